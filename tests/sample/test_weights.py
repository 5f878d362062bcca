"""Which weights a request takes: those of a run whose base was trained too, and whether all are there."""

import os
import shutil
from pathlib import Path

import pytest

from cn.errors import UsageError, WeightsError
from cn.sample.again import again
from cn.sample.request import Condition, SampleRequest, make_conditions
from cn.sample.weights import check_files, own_base, with_own_base
from cn.weights import bundled
from tests.helpers.sampling import blocks, write_condition


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """`both` and `other` have a base of their own, as --large-scale leaves it; `small` has none."""
    monkeypatch.chdir(tmp_path)
    for name in ("both", "other", "small"):
        state = Path(name, "state/step-00000010")
        state.mkdir(parents=True)
        for file in ("control", "base")[: 1 + (name != "small")]:
            (state / f"{file}.safetensors").write_bytes(name.encode())
            os.link(state / f"{file}.safetensors", Path(name, f"{file}.safetensors"))
    return tmp_path


def request(*controls: str, base: str = "base") -> SampleRequest:
    conditions = tuple(Condition(blocks(), "c.png", "canny", control=control) for control in controls)
    return SampleRequest(("x",), conditions, base=base)


@pytest.mark.parametrize("control", ["both", "both/", "both/control.safetensors", "both/state/step-00000010"])
def test_the_base_of_a_large_scale_run(runs, control):
    base = own_base([control])
    assert base is not None
    assert os.path.samefile(base, "both/base.safetensors")
    assert with_own_base(request(control)).base == base


def test_other_controls_have_no_base_of_their_own(runs):
    shutil.copy("both/control.safetensors", "both/downloaded.safetensors")
    for control in ("small", "small/control.safetensors", "both/downloaded.safetensors", "canny"):
        assert own_base([control]) is None
        assert with_own_base(request(control)).base == "base"
    assert own_base([]) is None


def test_several_controls(runs):
    assert own_base(["both", "small", "both/state/step-00000010", "canny"]) == "both/base.safetensors"
    with pytest.raises(UsageError) as caught:
        own_base(["both", "other"])
    for word in ("both/base.safetensors", "other/base.safetensors", "--base"):
        assert word in str(caught.value)


def test_reproducing_with_a_run_that_has_moved(runs):
    stored = request("gone", base="gone/base.safetensors")
    assert again(stored, {}, {"control": ["both"]}).base == "both/base.safetensors"
    assert again(stored, {"base": "other"}, {"control": ["both"]}).base == "other"
    assert again(stored, {}, {"control": ["small"]}).base == "gone/base.safetensors"
    assert again(stored, {}, {}).base == "gone/base.safetensors"


def test_files_that_are_missing(runs):
    check_files(request("both", "canny", base="both"))
    assert bundled.find("both", role="base") == Path("both/base.safetensors")
    with pytest.raises(WeightsError, match=r"gone\.safetensors: no such weights file"):
        check_files(request("both", "gone.safetensors"))
    with pytest.raises(WeightsError, match=r"no weights are called 'gone'"):
        check_files(request(base="gone"))


def test_a_kind_without_a_bundled_control(tmp_path, monkeypatch):
    """The built-in scenes have maps of every kind: training needs no dataset."""
    monkeypatch.setattr(bundled, "files", list)
    monkeypatch.chdir(tmp_path)
    write_condition("lines.png", "hough")
    with pytest.raises(WeightsError) as caught:
        make_conditions(["lines.png"])
    assert str(caught.value).endswith("or train one: cn train --cond hough")
