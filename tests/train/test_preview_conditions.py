"""Previews of a person's own conditions and prompts."""

import json

import numpy as np
import pytest

from cn import images
from cn.conditions import ConditionInfo
from cn.errors import InputError, UsageError
from cn.model.config import DEFAULT_PROMPT
from cn.train.preview import Preview
from cn.train.preview_conditions import read_preview_conditions
from cn.train.request import check_request
from tests.conftest import write_pairs
from tests.helpers.shaped_pairs import write_shaped
from tests.helpers.training import Listener, begin, resume, train


@pytest.fixture(scope="session")
def tiny_base_file(small_sd_file):
    return small_sd_file


@pytest.fixture
def own(tmp_path):
    """A wide and a square map; the second one is an image that cn sample wrote, with its prompt."""
    ramp = np.linspace(0, 255, 300, dtype=np.uint8)[None, :, None].repeat(150, 0).repeat(3, 2)
    wide, square = str(tmp_path / "wide.png"), str(tmp_path / "square.png")
    images.write(wide, ramp, ConditionInfo("depth", "test").to_text())
    images.write(square, ramp[:, :150], {"cn.sample": json.dumps({"prompt": "a red house"})})
    return wide, square


def test_conditions_are_fitted_as_cn_sample_takes_them(own, tmp_path, tiny_base_file):
    task = begin(tmp_path / "run", tiny_base_file, "", preview_cond=own, steps=1, size=192)
    shown = Preview.of(task.source, task.config, 64).examples
    assert [e.size for e in shown] == [(128, 256), (192, 192)]
    assert [e.prompt for e in shown] == [DEFAULT_PROMPT, "a red house"]
    assert np.abs(shown[0].condition[0, :, 0].astype(int) - np.linspace(0, 255, 256)).max() < 3
    given = {"preview_prompt": ("one", "two")}
    both = begin(tmp_path / "run", tiny_base_file, "", preview_cond=own, steps=1, **given)
    assert [e.prompt for e in Preview.of(both.source, both.config).examples] == ["one", "two"]
    assert [each.prompt for each in read_preview_conditions(own, ("for all",), "depth")] == ["for all"] * 2


def test_thin_lines_stay_whole_when_they_shrink(tmp_path):
    lines = np.zeros((400, 400, 3), np.uint8)
    lines[::40] = 255
    images.write(tmp_path / "lines.png", lines)
    (condition,) = read_preview_conditions((str(tmp_path / "lines.png"),), (), "canny")
    assert (condition.fitted("canny", 128, 64)[..., 0].max(axis=1) == 255).sum() >= 10


@pytest.mark.usefixtures("quick_previews")
def test_a_run_shows_them_and_they_may_change(own, tmp_path, tiny_base_file, pair_set):
    run = tmp_path / "run"
    given = {"preview_every": 1, "preview_cond": own[:1], "preview_prompt": ("a hill",)}
    train(begin(run, tiny_base_file, pair_set, steps=1, **given))
    assert images.read(run / "before.png").shape[:2] == (64, 64)
    rows = [images.read(run / f"previews/step-{step:06d}.png").shape[0] for step in (0, 1)]
    train(resume(run, steps=2))
    same_rows = images.read(run / "previews/step-000002.png").shape[0]
    train(resume(run, steps=3, preview_cond=own[1:], preview_prompt=("another",)))
    other_rows = images.read(run / "previews/step-000003.png").shape[0]
    assert same_rows == rows[1] > rows[0]
    assert other_rows == rows[0], "the images before training were of other conditions"


@pytest.mark.slow
@pytest.mark.usefixtures("quick_previews")
def test_a_sheet_of_several_sizes(tmp_path, tiny_base_file):
    data = write_shaped(tmp_path / "a", 3)
    task = begin(tmp_path / "run", tiny_base_file, data, steps=1, size=192, buckets=True, batch_size=1, preview_every=1)
    train(task)
    sizes = [e.size for e in Preview.of(task.source, task.config).examples]
    assert sorted(sizes) == [(128, 256), (192, 192), (256, 128)]
    strip = images.read(tmp_path / "run/before.png")
    assert strip.shape[:2] == (256, 576)
    assert (strip[192:, : sizes[0][1]] == 255).all()
    first, second = (images.read(tmp_path / f"run/previews/step-00000{step}.png") for step in (0, 1))
    assert second.shape[0] > first.shape[0]


def test_what_is_wrong_with_them_is_said(own, tmp_path, tiny_base_file, pair_set):
    other = str(tmp_path / "canny.png")
    images.write(other, np.zeros((64, 64, 3), np.uint8), ConditionInfo("canny", "test").to_text())
    listener = Listener()
    train(begin(tmp_path / "run", tiny_base_file, pair_set, steps=1, preview_cond=(other,)), listener)
    assert listener.warnings == [f"{other}: is a canny map, but this run learns depth"]
    assert begin(tmp_path / "run2", tiny_base_file, pair_set, steps=1, preview_cond=own[:1]).findings.warnings == ()


def test_what_cannot_be_read_is_refused_at_once(own, tmp_path, tiny_base_file, pair_set):
    options = {"cond": "depth", "base": str(tiny_base_file), "data": (str(pair_set),)}
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"\x89PNG\r\n\x1a\n")
    for given, error, message in (
        ({"preview_cond": ("nowhere.png",)}, InputError, "nowhere.png: no such file"),
        ({"preview_cond": (str(broken),)}, InputError, "broken.png: the image is broken"),
        ({"preview_cond": ("-",)}, UsageError, "needs a file"),
        ({"preview_cond": own, "preview_prompt": ("a", "b", "c")}, UsageError, "given 3 times for 2 --preview-cond"),
        ({"preview_prompt": ("a",)}, UsageError, "given 1 times for 0 --preview-cond"),
    ):
        with pytest.raises(error, match=message):
            check_request({**options, **given}, out=tmp_path / "run")
    train(begin(tmp_path / "run", tiny_base_file, write_pairs(tmp_path / "p", 2), steps=1, preview_cond=own))
    (tmp_path / "wide.png").unlink()
    with pytest.raises(InputError, match=r"wide\.png: no such file"):
        check_request({}, resume=tmp_path / "run")
    assert check_request({"preview_cond": own[1:]}, resume=tmp_path / "run").state.step == 1
