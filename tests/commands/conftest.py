"""`cn sample` on a tiny random base, in a folder of conditions and weights."""

import shutil
from pathlib import Path

import pytest

from cn import app
from cn.checkpoints.write.native import save_base
from tests.helpers.cli import cn
from tests.helpers.model_helpers import TINY_V, tiny_base
from tests.helpers.sampling import QUICK, QUICK_SWEEP, write_condition, write_control


@pytest.fixture(scope="session")
def tiny_base_file(small_sd_file: Path) -> Path:
    """Sides of images are multiples of 64, as those of Stable Diffusion."""
    return small_sd_file


@pytest.fixture(scope="module")
def sampling_folder(tmp_path_factory, tiny_base_file):
    """A folder with conditions, a training run's folder, and files of wrong kinds (shared: write elsewhere)."""
    folder = tmp_path_factory.mktemp("sampling")
    write_control(folder / "run/control.safetensors", tiny_base_file)
    other = folder / "other-base.safetensors"
    save_base(other, tiny_base(TINY_V), tokens=[0, 1, 2, 49406, 49407])
    write_control(folder / "other.safetensors", other, TINY_V, "depth")
    (folder / "cut.safetensors").write_bytes((folder / "run/control.safetensors").read_bytes()[:-50])
    write_condition(folder / "canny.png")
    write_condition(folder / "openpose.png", "openpose", seed=1)
    write_condition(folder / "plain.png", None)
    write_condition(folder / "wide.png", height=64, width=8000)
    (folder / "text.png").write_text("words")
    (folder / "cut.png").write_bytes((folder / "canny.png").read_bytes()[:-60])
    (folder / "empty").mkdir()
    return folder


@pytest.fixture
def sample(sampling_folder, tiny_base_file, tmp_path, monkeypatch, capsys):
    """Runs `cn sample` there; returns exit code, stdout and stderr. Outputs belong below "out"."""
    monkeypatch.chdir(tmp_path)
    for path in sampling_folder.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "base.safetensors").symlink_to(tiny_base_file)

    def run(*words, base="base.safetensors", quick=True):
        capsys.readouterr()
        code = app.run(["sample", *(["--base", base] if base else []), *(QUICK if quick else []), *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def sweep(sampling_folder, tiny_base_file, tmp_path, monkeypatch):
    """Runs `cn sample` where canny.png, base.safetensors and run are; gives exit code, lines of output, and errors."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(sampling_folder / "canny.png", "canny.png")
    shutil.copy(tiny_base_file, "base.safetensors")
    shutil.copytree(sampling_folder / "run", "run")

    def sample(*words, quick=QUICK_SWEEP, controlled=True):
        given = ["--cond", "canny.png", "--control", "run"] if controlled else []
        done = cn("sample", *given, "--base", "base.safetensors", *quick, "--quiet", *words)
        return done.returncode, done.stdout.splitlines(), done.stderr

    return sample
