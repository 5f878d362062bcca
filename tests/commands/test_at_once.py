"""What `cn convert` and `cn transfer` can refuse by their options is refused before anything heavy is loaded."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

HEAVY = ("torch", "cv2", "scipy", "timm", "torchvision")


SCRIPT = f"""
import sys
from cn import app
code = app.run(sys.argv[1:])
print(code, *(name for name in {HEAVY} if name in sys.modules))
"""


@pytest.fixture
def files(tmp_path) -> Path:
    save_file({"x": torch.zeros(1)}, tmp_path / "there.safetensors")
    (tmp_path / "full").mkdir()
    (tmp_path / "full/note.txt").touch()
    (tmp_path / "empty").mkdir()
    return tmp_path


TRANSFER = ("--control", "canny", "--from-base", "base", "--to-base")
REFUSALS = [
    (
        ("convert", "base", "there.safetensors"),
        3,
        "there.safetensors: already exists; give another name, or --overwrite",
    ),
    (("convert", "gone.safetensors", "new.safetensors"), 4, "gone.safetensors: no such weights file; give the path"),
    (
        ("convert", "gone.pkl", "new.safetensors"),
        4,
        "gone.pkl: no such weights file; give the path of a file or folder",
    ),
    (("convert", "base", "full"), 3, "full: is not empty; give another name, or --overwrite"),
    (("convert", "base", "full", "--to", "diffusers"), 3, "full: is not empty"),
    (("convert", "base", "new.ckpt"), 2, "new.ckpt: cn writes .safetensors files"),
    (("convert", "base", "new.bin", "--to", "ldm"), 2, "name it new.safetensors"),
    (("convert", "base", "new.safetensors", "--to", "diffusers"), 2, "a diffusers checkpoint is a folder; give a name"),
    (("convert", "base", "there.safetensors/new.safetensors"), 3, "there.safetensors is a file, not a folder"),
    (("convert", "base", "new.safetensors", "--to", "onnx"), 2, "'onnx' is not one of"),
    (("convert", "base", ""), 2, "the destination is empty"),
    (("transfer", "there.safetensors", *TRANSFER, "base"), 3, "already exists"),
    (("transfer", "new.safetensors", *TRANSFER, "gone.ckpt"), 4, "gone.ckpt: no such weights file"),
    (("transfer", "new.safetensors", *TRANSFER, "there.safetensors"), 4, "holds neither a base nor a control"),
    (("transfer", "new.pth", *TRANSFER, "base"), 2, "name it new.safetensors"),
    (("inspect", "gone.safetensors"), 4, "no such weights file"),
    (("weights", "pull", "nosuch"), 4, "no published weights are called 'nosuch': cn weights list shows all"),
    (("weights", "pull", "base"), 4, "called 'base': it comes with cn, so there is nothing to download"),
    (("weights", "pull", "hed"), 4, "called 'hed': cn weights pull --kind hed gets the networks of its detector"),
]


@pytest.mark.parametrize(("words", "code", "message"), REFUSALS, ids=[" ".join(words) for words, *_ in REFUSALS])
def test_a_refusal_loads_nothing_heavy(files, words, code, message):
    before = sorted(files.rglob("*"))
    done = subprocess.run([sys.executable, "-c", SCRIPT, *words], capture_output=True, text=True, cwd=files, check=True)
    assert done.stdout == f"{code}\n", done.stderr
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert sorted(files.rglob("*")) == before


def test_an_existing_destination_may_be_replaced_or_filled(files):
    for target, more in (
        ("there.safetensors", ["--overwrite"]),
        ("empty/new.safetensors", []),
        ("a/b/new.safetensors", []),
    ):
        script = "import sys; from cn import app; sys.exit(app.run(sys.argv[1:]))"
        done = subprocess.run([sys.executable, "-c", script, "convert", "canny", target, *more, "-q"], cwd=files)
        assert done.returncode == 0
        assert (files / target).stat().st_size > 1_000_000
