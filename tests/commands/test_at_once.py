"""What `cn convert` and `cn transfer` can refuse by their options is refused before anything heavy is loaded."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from tests.helpers.cli import cn
from tests.helpers.forks import Ended, in_forks

HEAVY = ("torch", "cv2", "scipy", "timm", "torchvision")


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
    (("weights", "pull", "hed"), 4, "cn weights pull --kind hed gets the networks of its detector"),
]


@pytest.fixture(scope="module")
def refused(tmp_path_factory) -> dict[tuple[str, ...], tuple[Path, Ended]]:
    """For each command line the folder where it ran, and how it ended."""
    root = tmp_path_factory.mktemp("refused")
    folders = [write_files(root / str(number)) for number in range(len(REFUSALS))]
    ended = in_forks([(folder, words) for folder, (words, *_) in zip(folders, REFUSALS, strict=True)], HEAVY)
    return {words: how for (words, *_), how in zip(REFUSALS, zip(folders, ended, strict=True), strict=True)}


@pytest.mark.parametrize(("words", "code", "message"), REFUSALS, ids=[" ".join(words) for words, *_ in REFUSALS])
def test_a_refusal_loads_nothing_heavy(refused, tmp_path, words, code, message):
    files, done = refused[words]
    assert (done.code, done.loaded, done.stdout) == (code, [], ""), done.stderr
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
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
