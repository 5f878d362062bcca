"""The table of conditions against §3.5 of the paper, and what a condition image says of itself."""

import pytest

from cn import conditions, images
from cn.conditions import ConditionInfo
from cn.errors import InputError, UsageError

# Kind: pairs, GPU hours, what the paper starts from; section 3.5.
PAPER = {
    "canny": (3_000_000, 600, None),
    "hough": (600_000, 150, "canny"),
    "hed": (3_000_000, 300, None),
    "scribble": (500_000, 150, "canny"),
    "openpose": (200_000, 300, None),
    "openpifpaf": (80_000, 400, None),
    "ade20k": (164_000, 200, None),
    "coco": (164_000, 400, None),
    "depth": (3_000_000, 500, None),
    "normal": (25_452, 100, None),
    "lineart": (1_000_000, 300, None),
}


def test_the_table_is_the_papers():
    table = {c.kind: (c.recipes[0].pairs, c.recipes[0].gpu_hours, c.starts_from) for c in conditions.CONDITIONS}
    assert table == PAPER
    assert set(PAPER) == set(conditions.KINDS)
    bases = {c.kind: c.base for c in conditions.CONDITIONS if c.base != conditions.SD15}
    assert bases == {
        "openpose": "Stable Diffusion 2.1",
        "openpifpaf": "Stable Diffusion 2.1",
        "lineart": "Waifu Diffusion",
    }
    rtx = [c.kind for c in conditions.CONDITIONS if c.recipes[0].gpu == conditions.RTX]
    assert rtx == ["openpifpaf", "coco"]


def test_starting_points_exist_and_scenes_give_five():
    for condition in conditions.CONDITIONS:
        assert condition.starts_from in (None, *conditions.KINDS)
    assert conditions.scene_kinds() == ("canny", "openpose", "ade20k", "depth", "normal")


def test_smooth_and_discrete_maps():
    smooth = {c.kind for c in conditions.CONDITIONS if c.geometry == "smooth"}
    assert smooth == {"hed", "scribble", "depth", "normal", "lineart"}


@pytest.mark.parametrize(
    ("name", "kind"), [("pose", "openpose"), ("seg", "ade20k"), ("Canny ", "canny"), ("depth", "depth")]
)
def test_aliases(name, kind):
    assert conditions.get(name).kind == kind


def test_names_are_unique_and_an_unknown_one_lists_the_kinds():
    names = [name for c in conditions.CONDITIONS for name in (c.kind, *c.aliases)]
    assert len(names) == len(set(names))
    with pytest.raises(UsageError) as caught:
        conditions.get("sketchy")
    assert all(kind in str(caught.value) for kind in conditions.KINDS)


def test_a_condition_image_says_what_made_it(tmp_path):
    import numpy as np

    info = ConditionInfo("depth", "MiDaS", {"resolution": 384, "model": "dpt"}, "ab" * 32)
    path = tmp_path / "a.png"
    images.write(path, np.zeros((4, 4), np.uint8), info.to_text())
    assert ConditionInfo.from_text(images.read_info(path)) == info
    assert ConditionInfo.from_text({}) is None
    assert ConditionInfo.from_text({"prompt": "a cat"}) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"kind": 3, "detector": "x"}', '{"kind": "a"}',
                                  '{"kind": "a", "detector": "b", "params": [1]}'])  # fmt: skip
def test_a_damaged_text_chunk_is_an_input_error(text):
    with pytest.raises(InputError, match=r"cn\.condition"):
        ConditionInfo.from_text({conditions.TEXT_KEY: text})


def test_unknown_fields_of_later_versions_are_ignored():
    text = '{"kind": "canny", "detector": "canny", "params": {"low": 1}, "new": true}'
    assert ConditionInfo.from_text({conditions.TEXT_KEY: text}) == ConditionInfo("canny", "canny", {"low": 1})
