"""Training on data as people have it: broken pairs are skipped, counted and listed, wherever they lie."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cn import images
from cn.errors import InputError
from cn.train import run as runs
from cn.train.warning_log import MAX_SHOWN
from tests.conftest import write_pairs
from tests.helpers.cli import cn
from tests.helpers.forks import Ended, in_forks
from tests.helpers.training import Listener, begin, resume, same, train, weights


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize("place", [0, 1, 5])
def test_a_target_cut_in_half_is_skipped_wherever_it_lies(place, tmp_path, tiny_base_file):
    data = write_pairs(tmp_path / "data", 6)
    cut(data / f"target/{place}.png")
    listener = Listener()
    result = train(begin(tmp_path / "run", tiny_base_file, data, steps=4), listener)
    assert (result.step, result.skipped) == (4, 1)
    assert len(listener.warnings) == 1
    assert f"prompt.json:{place + 1}: " in listener.warnings[0]
    assert "is broken or cut off" in listener.warnings[0]
    assert (tmp_path / "run/warnings.txt").read_text().splitlines() == listener.warnings


@pytest.mark.parametrize("place", [0, 3])
def test_a_pair_of_another_frame_is_skipped_wherever_it_lies(place, tmp_path, tiny_base_file):
    data = write_pairs(tmp_path / "data", 6)
    images.write(str(data / f"target/{place}.png"), np.zeros((64, 96, 3), np.uint8))
    listener = Listener()
    assert train(begin(tmp_path / "run", tiny_base_file, data, steps=2), listener).skipped == 1
    assert f"prompt.json:{place + 1}: source is 64×64 and target 96×64: not the same frame" in listener.warnings[0]


def test_most_of_a_set_broken_is_refused_with_the_first_and_their_number(tmp_path, tiny_base_file):
    data = write_pairs(tmp_path / "data", 6)
    for place in range(4):
        cut(data / f"target/{place}.png")
    with pytest.raises(InputError, match=r"4 of 6 pairs are broken: .*:1: .*:2: .*:3: .*; and 1 more"):
        begin(tmp_path / "run", tiny_base_file, data, steps=2)
    assert not (tmp_path / "run").exists()


def test_twelve_of_six_hundred_are_all_listed(tmp_path, tiny_base_file):
    """Of every kind: lines, missing images, images that are cut off (those among the 256 that are read first)."""
    data = write_pairs(tmp_path / "data", 600, size=8)
    lines = (data / "prompt.json").read_text().splitlines()
    broken = list(range(25, 600, 50))
    for number in broken[:4]:
        lines[number] = lines[number][:20]
    for number in broken[4:]:
        (data / f"source/{number}.png").unlink()
    (data / "prompt.json").write_text("\n".join(lines) + "\n")
    run = tmp_path / "run"
    words = ["train", "--cond", "depth", "--base", tiny_base_file, "--data", data, "--out", run]
    words += ["--steps", "1", "--batch-size", "1", "--preview-every", "0", "--size", "64", "--workers", "0", "--json"]
    planned = cn(*words, "--dry-run")
    assert planned.returncode == 0
    assert "600 pairs (12 known to be broken: skipped)" in planned.stderr
    done = cn(*words)
    assert done.returncode == 0, done.stderr
    for told in (planned.stderr, done.stderr, (run / "warnings.txt").read_text()):
        assert [f"prompt.json:{number + 1}: " in told for number in broken] == [True] * 12
    assert f"12 of 600 pairs were skipped; {run}/warnings.txt lists them" in done.stderr
    assert json.loads(done.stdout)["skipped"] == 12


def test_a_terminal_shows_the_first_and_the_file_all(tmp_path, tiny_base_file):
    data = write_pairs(tmp_path / "data", 60, size=8)
    for number in range(MAX_SHOWN + 5):
        (data / f"source/{number}.png").unlink()
    task = begin(tmp_path / "run", tiny_base_file, data, steps=1, size=64)
    assert runs.warnings(task)[MAX_SHOWN:] == ["5 more pairs are skipped"]
    listener = Listener()
    train(task, listener)
    assert len(listener.warnings) == MAX_SHOWN + 1
    assert "warnings.txt lists all of them" in listener.warnings[-1]
    assert len((tmp_path / "run/warnings.txt").read_text().splitlines()) == MAX_SHOWN + 5


def test_a_resumed_run_skips_the_same_pairs(tmp_path, tiny_base_file):
    data = write_pairs(tmp_path / "data", 6)
    cut(data / "target/2.png")
    (data / "source/4.png").unlink()
    for folder, stops in (("whole", [6]), ("parts", [2, 4, 6])):
        train(begin(tmp_path / folder, tiny_base_file, data, steps=stops[0]))
        for steps in stops[1:]:
            assert train(resume(tmp_path / folder, steps=steps)).skipped == 2
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    whole, parts = ((tmp_path / folder / "warnings.txt").read_text() for folder in ("whole", "parts"))
    assert whole == parts


def test_maps_that_cannot_be_right_are_counted_in_one_warning(tmp_path, tiny_base_file):
    data = write_pairs(tmp_path / "data", 4, kind=None)
    edges = np.zeros((64, 64, 3), np.uint8)
    edges[10::20] = 255
    for number in range(4):
        images.write(str(data / f"source/{number}.png"), edges if number == 3 else 255 - edges)
    task = begin(tmp_path / "run", tiny_base_file, data, cond="canny", steps=1)
    listener = Listener()
    train(task, listener)
    (warning,) = listener.warnings
    assert warning.startswith(f"{data}/source/0.png is mostly white, but canny maps are white lines")
    assert warning.endswith("(3 of 4 maps)")


def test_lines_in_the_alpha_channel_are_seen(tmp_path, tiny_base_file):
    data = write_pairs(tmp_path / "data", 2, kind=None)
    for number in range(2):
        lines = np.full((64, 64, 4), 255, np.uint8)
        lines[..., 3] = 0
        lines[10::20, :, 3] = 255
        Image.fromarray(lines).save(data / f"source/{number}.png")
    task = begin(tmp_path / "run", tiny_base_file, data, cond="canny", steps=1)
    assert task.findings.warnings == ()
    condition = task.source.fetch(0).example.condition
    assert condition[10].min() == 255
    assert condition[11:30].max() == 0


def test_right_data_is_not_warned_about(tmp_path, tiny_base_file, pair_set):
    listener = Listener()
    assert train(begin(tmp_path / "run", tiny_base_file, pair_set, steps=1), listener).skipped == 0
    assert listener.warnings == []
    assert not (tmp_path / "run/warnings.txt").exists()


def test_a_damaged_text_in_a_map_is_no_reason_to_stop(tmp_path, tiny_base_file):
    data = write_pairs(tmp_path / "data", 2, kind=None)
    depth = np.linspace(0, 255, 64, dtype=np.uint8)[:, None, None].repeat(64, 1).repeat(3, 2)
    for number in range(2):
        images.write(str(data / f"source/{number}.png"), depth, {"cn.condition": "{broken"})
    assert train(begin(tmp_path / "run", tiny_base_file, data, steps=1)).skipped == 0


AT_ONCE = [
    (["--data", "nowhere", "--cond", "depth"], 3, "nowhere: no such file or folder"),
    (["--data", "empty", "--cond", "depth"], 3, "empty: no images in it; a dataset is a folder with prompt.json"),
    (["--data", "set", "--cond", "canny"], 2, "set holds depth maps, not canny; give --cond depth"),
    (["--data", "broken", "--cond", "depth"], 3, "2 of 2 pairs are broken"),
    (["--cond", "depth", "--base", "nowhere.safetensors"], 4, "nowhere.safetensors: no such weights file"),
    (["--cond", "depth", "--init-from", "nothing"], 4, "no weights are called 'nothing'"),
    (["--cond", "depth", "--seed", "230205543"], 2, "is reserved for held-out scenes"),
    (["--cond", "depth", "--seed", "-1"], 2, "--seed must be at least 0"),
    (["--cond", "depth", "--out", "set"], 3, "set: is not empty"),
    (["--cond", "depth", "--device", "gpu"], 2, "--device"),
    (["--resume", "empty"], 3, "empty: not a training run"),
    (["--resume", "set/prompt.json"], 3, "prompt.json: not a training run, but a file; give the folder of the run"),
    (["--resume", "empty", "--overwrite"], 2, "it takes no --out and no --overwrite"),
    (["--reconnect", "--cond", "depth"], 2, "give it with --resume RUN"),
    ([], 2, "--cond KIND is required"),
]


@pytest.fixture(scope="module")
def refused(tmp_path_factory) -> list[Ended]:
    folder = tmp_path_factory.mktemp("refused")
    write_pairs(folder / "set", 2)
    (folder / "empty").mkdir()
    broken = write_pairs(folder / "broken", 2)
    for number in range(2):
        os.unlink(broken / f"source/{number}.png")
    return in_forks([(folder, ["train", *words]) for words, *_ in AT_ONCE], ("torch", "cv2", "open_clip"))


@pytest.mark.parametrize("number", range(len(AT_ONCE)), ids=[" ".join(row[0]) for row in AT_ONCE])
def test_what_can_be_refused_is_refused_before_torch_is_loaded(number, refused):
    _, code, message = AT_ONCE[number]
    done = refused[number]
    assert (done.code, done.loaded, done.stdout) == (code, [], ""), done.stderr
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
