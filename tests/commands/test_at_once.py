"""What `cn convert` and `cn transfer` can refuse by their options is refused before anything heavy is loaded."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.helpers.cli import cn

HEAVY = ("torch", "cv2", "scipy", "timm", "torchvision")


SCRIPT = f"""
import json, os, sys
from cn import app
for folder, words in json.load(sys.stdin):
    if os.fork():
        os.wait()
        continue
    os.chdir(folder)
    for stream, name in ((1, "out.txt"), (2, "err.txt")):
        os.dup2(os.open(f"../{{name}}", os.O_WRONLY | os.O_CREAT), stream)
    code = app.run(words)
    print(code, *(name for name in {HEAVY} if name in sys.modules), flush=True)
    os._exit(0)
"""
"""Runs command lines, each in a process of its own that has imported no more than `cn` does at its start."""


def write_files(folder: Path) -> Path:
    folder.mkdir(parents=True)
    save_file({"x": torch.zeros(1)}, folder / "there.safetensors")
    (folder / "full").mkdir()
    (folder / "full/note.txt").touch()
    (folder / "empty").mkdir()
    return folder


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


@pytest.fixture(scope="module")
def refused(tmp_path_factory) -> dict[tuple[str, ...], Path]:
    """For each command line the folder where it ran, beside what it wrote to stdout and stderr."""
    root = tmp_path_factory.mktemp("refused")
    folders = {words: write_files(root / str(number) / "files") for number, (words, *_) in enumerate(REFUSALS)}
    jobs = json.dumps([(str(folder), words) for words, folder in folders.items()])
    subprocess.run([sys.executable, "-c", SCRIPT], input=jobs, text=True, check=True)
    return folders


@pytest.mark.parametrize(("words", "code", "message"), REFUSALS, ids=[" ".join(words) for words, *_ in REFUSALS])
def test_a_refusal_loads_nothing_heavy(refused, tmp_path, words, code, message):
    files = refused[words]
    out, err = ((files.parent / f"{name}.txt").read_text() for name in ("out", "err"))
    assert out == f"{code}\n", err
    assert message in err
    assert len(err.splitlines()) == 1
    untouched = write_files(tmp_path / "files")
    assert {p.relative_to(files) for p in files.rglob("*")} == {p.relative_to(untouched) for p in untouched.rglob("*")}


def test_an_existing_destination_may_be_replaced_or_filled(tmp_path):
    files = write_files(tmp_path / "files")
    for target, more in (
        ("there.safetensors", ["--overwrite"]),
        ("empty/new.safetensors", []),
        ("a/b/new.safetensors", []),
    ):
        assert cn("convert", "canny", target, *more, "-q", cwd=files).returncode == 0
        assert (files / target).stat().st_size > 1_000_000
