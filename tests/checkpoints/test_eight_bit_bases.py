"""The base of a control that is stored as differences to it: where it is looked for, and what is said of it."""

import datetime
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from cn import api, images
from cn.checkpoints.read.inspection import inspect
from cn.checkpoints.read.load import open_base, open_control
from cn.checkpoints.write.native import save_base
from cn.errors import WeightsError
from cn.sample.weights import own_base
from cn.weights import bundled, releases
from cn.weights.releases import Release
from tests.helpers.cli import cn
from tests.helpers.differences import CHANGED, write_both, write_control
from tests.helpers.layouts import base
from tests.helpers.model_helpers import SHORT, tiny_base
from tests.helpers.native_files import header


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base, and a control with one changed tensor, both in 8 bits."""
    return write_both(tmp_path_factory.mktemp("eight"))


def test_the_base_of_a_control_is_found(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beside it, as given, or bundled; otherwise the error says which is missing and what to do."""
    alone = Path(shutil.copy(folder / "control.safetensors", tmp_path / "control.safetensors"))
    other = tmp_path / "base.safetensors"
    save_base(other, base("sd1"), bits=8, license="another file")
    for given in (None, other, tmp_path):
        with pytest.raises(WeightsError, match=header(alone)["base_sha256"][:12]) as caught:
            open_control(alone, base=given)
        assert "cn sample, train and eval also take its path with --base" in str(caught.value)
    expected = open_control(folder / "control.safetensors").model.state_dict()[CHANGED]
    given = Path(shutil.copy(folder / "base.safetensors", tmp_path / "given.safetensors"))
    assert torch.equal(open_control(alone, base=given).model.state_dict()[CHANGED], expected)
    monkeypatch.setattr(bundled, "FOLDER", folder)
    assert torch.equal(open_control(alone).model.state_dict()[CHANGED], expected)
    report = inspect(alone)
    assert report.usable
    monkeypatch.undo()
    assert not inspect(alone).usable


def test_commands_take_the_given_base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("away").mkdir()
    save_base(Path("away/given.safetensors"), tiny_base(SHORT), bits=8)
    stored = open_base(Path("away/given.safetensors"))
    write_control(Path("control.safetensors"), stored)
    images.write("cond.png", np.zeros((64, 64, 3), np.uint8))
    words = ["sample", "--cond", "cond.png", "--control", "control.safetensors", "--steps", "1", "--out", "a.png", "-q"]
    done = cn(*words)
    assert (done.returncode, "take its path with --base" in done.stderr) == (4, True)
    assert cn(*words, "--base", "away/given.safetensors").returncode == 0
    assert Path("a.png").is_file()
    with pytest.raises(WeightsError, match="is neither the bundled base nor beside it"):
        api.load_control("control.safetensors")
    assert api.load_control("control.safetensors", base="away/given.safetensors").kind == "canny"


def test_the_base_beside_differences_is_sampled_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the error about a missing base says to put it there. Not where the bundled base is the same."""
    save_base(tmp_path / "base.safetensors", tiny_base(SHORT), bits=8)
    control = tmp_path / "mine.safetensors"
    write_control(control, open_base(tmp_path / "base.safetensors"))
    assert own_base([str(control)]) == str(tmp_path / "base.safetensors")
    monkeypatch.setattr(bundled, "FOLDER", Path(shutil.copytree(tmp_path, tmp_path / "bundled")))
    assert own_base([str(control)]) is None
    monkeypatch.undo()
    save_base(tmp_path / "base.safetensors", tiny_base(SHORT), bits=8, license="another file")
    assert own_base([str(control)]) is None
    control.write_bytes(b"damaged")
    assert own_base([str(control)]) is None


def test_a_missing_base_of_a_release_is_named(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alone = Path(shutil.copy(folder / "control.safetensors", tmp_path / "control.safetensors"))
    past = Release(datetime.date(2025, 1, 2), "0.0.9", {"base": header(alone)["base_sha256"]})
    monkeypatch.setattr(releases, "releases", lambda: (past,))
    with pytest.raises(WeightsError, match=r"that of the bundled weights of 2025-01-02 \(cn 0\.0\.9\), as base"):
        open_control(alone)
