"""After a kill at any place and the same command again, a folder holds results and state, and nothing else."""

from pathlib import Path

import numpy as np
import pytest

from cn import images
from tests.conftest import write_pairs
from tests.helpers.cli import cn
from tests.helpers.kills import kill_everywhere, listing


def check(folder: Path, words: list[object], again: list[object] | None, *, least: int, every: int = 1) -> list[str]:
    """Kill `words` everywhere, each time followed by `again` (None: the same command); what is there in the end."""
    texts = [str(word) for word in words]
    runs = kill_everywhere(folder, texts, texts if again is None else [str(word) for word in again], every)
    assert len(runs) >= least
    assert any(any(".cn-" in name for name in run["killed"]) for run in runs)
    complete = runs[-1]["killed"]
    assert not any(".cn-" in name for name in complete)
    assert [run["after"] for run in runs] == [complete] * len(runs)
    return complete


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(3):
        images.write(str(folder / f"{number}.png"), np.full((8, 8, 3), 40 * number, np.uint8))
    return folder


def test_detect(tmp_path, photos):
    out = tmp_path / "out"
    found = check(out, ["detect", "canny", photos, out, "--workers", 1, "-q"], None, least=4)
    assert found == ["0.png", "1.png", "2.png"]


def test_dataset_synth(tmp_path):
    out = tmp_path / "out"
    words = ["dataset", "synth", out, "--count", 1, "--cond", "depth", "--size", 64, "--workers", 1, "-q"]
    found = check(out, words, None, least=2)
    assert found == ["prompt.json", "source", "source/000000.png", "target", "target/000000.png"]


def test_dataset_cache(tmp_path, tiny_base_file):
    pairs = write_pairs(tmp_path / "pairs", 2)
    words = ["dataset", "cache", pairs, "--base", tiny_base_file, "--workers", 1, "--device", "cpu", "-q"]
    found = check(pairs / "cache", words, None, least=6)
    assert [path.rpartition("/")[2].partition("-")[0] for path in found[1:]] == ["cache.json", "latents", "text"]


def test_sample(tmp_path, tiny_base_file):
    out = tmp_path / "out"
    words = ["sample", "--base", tiny_base_file, "--steps", 1, "--count", 2, "-o", f"{out}/", "-q"]
    assert check(out, words, [*words, "--overwrite"], least=3) == ["base-seed0.png", "base-seed1.png"]


@pytest.mark.parametrize(("name", "layout", "every"), [("base.safetensors", "ldm", 1), ("base", "diffusers", 12)])
def test_convert(name, layout, every, tmp_path, tiny_base_file):
    words = ["convert", tiny_base_file, tmp_path / "out" / name, "--to", layout, "--overwrite"]
    assert check(tmp_path / "out", words, None, least=3, every=every)[0] == name


def test_resume(tmp_path, tiny_base_file, pair_set):
    """Killed while it resumes: the next resumption sweeps, and goes on."""
    run = tmp_path / "run"
    words = ["train", "--cond", "depth", "--base", tiny_base_file, "--data", pair_set, "--out", run]
    assert cn(*words, "--steps", 1, "--batch-size", 1, "--preview-every", 0, "-q").returncode == 0
    before = listing(run)
    for _ in range(3):
        assert cn("train", "--resume", run, "-q").returncode == 0
        assert listing(run) == before
