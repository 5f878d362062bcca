"""The kinds of conditions of §3.5 of the paper, and the metadata of condition maps."""

import pytest

from cn import conditions, images
from cn.conditions import ConditionInfo
from cn.errors import InputError, UsageError


def test_the_kinds_are_the_papers():
    """Section 3.5, in its order."""
    assert (
        *("canny", "hough", "hed", "scribble", "openpose", "openpifpaf", "ade20k", "coco", "depth", "normal"),
        "lineart",
    ) == conditions.KINDS


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


def test_metadata_round_trip(tmp_path):
    import numpy as np

    info = ConditionInfo("depth", "MiDaS", {"resolution": 384, "model": "dpt"}, "ab" * 32)
    path = tmp_path / "a.png"
    images.write(path, np.zeros((4, 4), np.uint8), info.to_text())
    assert ConditionInfo.from_text(images.read_info(path)) == info
    assert ConditionInfo.from_text({}) is None
    assert ConditionInfo.from_text({"prompt": "a cat"}) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "{}",
        '{"kind": 3, "detector": "x"}',
        '{"kind": "a"}',
        '{"kind": "a", "detector": "b", "params": [1]}',
    ],
)
def test_a_damaged_text_chunk_is_an_input_error(text):
    with pytest.raises(InputError, match=r"cn\.condition"):
        ConditionInfo.from_text({conditions.TEXT_KEY: text})


def test_unknown_fields_of_later_versions_are_ignored():
    text = '{"kind": "canny", "detector": "canny", "params": {"low": 1}, "new": true}'
    assert ConditionInfo.from_text({conditions.TEXT_KEY: text}) == ConditionInfo("canny", "canny", {"low": 1})
