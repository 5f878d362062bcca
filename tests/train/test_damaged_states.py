"""A run folder after a power failure, on an odd file system, or on another machine."""

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from cn.errors import InputError
from cn.train.run_folder import find_state, saved_steps
from tests.conftest import write_pairs
from tests.helpers.training import Listener, begin, resume, same, train, weights


@pytest.fixture(scope="module")
def made(tmp_path_factory, tiny_base_file, pair_set) -> Path:
    """A run of 12 steps that keeps the states after 8 and 12."""
    run = tmp_path_factory.mktemp("made") / "run"
    train(begin(run, tiny_base_file, pair_set, steps=12, save_every=4, keep=2))
    return run


@pytest.fixture
def run(made, tmp_path) -> Path:
    """A copy of it, with the hard links."""
    for path in sorted(made.rglob("*")):
        copy = tmp_path / "run" / path.relative_to(made)
        if path.is_dir():
            copy.mkdir(parents=True)
        elif path.parent != made or not path.name.endswith(".safetensors"):
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(path.read_bytes())
    os.link(tmp_path / "run/state/step-00000012/control.safetensors", tmp_path / "run/control.safetensors")
    return tmp_path / "run"


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-5])


DAMAGES = {
    "a cut optimizer": (lambda state: truncate(state / "optimizer.safetensors"), r"optimizer.safetensors has .* bytes"),
    "empty numbers": (lambda state: (state / "numbers.json").write_bytes(b""), "Expecting value"),
    "a missing file": (lambda state: (state / "optimizer.safetensors").unlink(), "No such file"),
    "wrong numbers": (lambda state: (state / "numbers.json").write_text('{"loss": "low"}'), "has a wrong loss"),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_the_state_before_a_damaged_one_is_taken_and_said(name, run, made):
    damage, why = DAMAGES[name]
    damage(run / "state/step-00000012")
    task, listener = resume(run), Listener()
    assert task.step == 8
    train(task, listener)
    (warning,) = listener.warnings
    assert warning.startswith(f"{run / 'state/step-00000012'}: the state is damaged (")
    assert warning.endswith("): the run goes on from the state after step 8")
    assert re.search(why, warning)
    assert same(weights(run), weights(made))
    assert find_state(run).numbers == find_state(made).numbers
    assert saved_steps(run) == [8, 12]


def test_with_none_before_it_there_is_nothing_to_resume(run):
    for step in (8, 12):
        truncate(run / f"state/step-{step:08d}/control.safetensors")
    with pytest.raises(
        InputError, match=r"nothing to resume, and no earlier state is kept: .*step-00000012: the state"
    ):
        resume(run)


def test_the_result_is_that_of_the_state_a_run_goes_on_from(run):
    """RUN/control.safetensors was a link to the damaged state's file."""
    truncate(run / "state/step-00000012/optimizer.safetensors")
    seen = []
    listener = Listener(lambda r: seen.append((run / "control.safetensors").samefile(find_state(run).control)))
    train(resume(run), listener)
    assert seen == [True] * 4


def test_another_machine_is_said(run, made):
    file = run / "state/step-00000012/numbers.json"
    numbers = json.loads(file.read_text())
    cpu = numbers["computed_by"]["device"]
    assert cpu.startswith("cpu with ")
    numbers["computed_by"]["device"] = "NVIDIA H200"
    file.write_text(json.dumps(numbers))
    listener = Listener()
    train(resume(run, steps=13), listener)
    (warning,) = listener.warnings
    assert warning.startswith(f"not computed as before (device: NVIDIA H200 → {cpu}): data, noise ")
    listener = Listener()
    train(resume(run, steps=14), listener)
    assert listener.warnings == []


def test_without_hard_links_results_are_copies(tmp_path, tiny_base_file, pair_set, monkeypatch):
    def refuse(*args, **named):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    run = tmp_path / "run"
    train(begin(run, tiny_base_file, pair_set, steps=3, save_every=2))
    assert not (run / "control.safetensors").samefile(find_state(run).control)
    assert same(weights(run), weights(find_state(run).folder))
    assert not list(run.rglob(".cn-*"))


def test_a_half_removed_state_is_no_state(tmp_path, tiny_base_file, pair_set, monkeypatch):
    """A removal that is killed in the middle leaves a folder that the next session sweeps."""
    run = tmp_path / "run"

    rmtree = shutil.rmtree

    def end(path, **named):
        if (path / "numbers.json").exists():
            (path / "numbers.json").unlink()
            raise KeyboardInterrupt
        rmtree(path, **named)

    with monkeypatch.context() as patch:
        patch.setattr("cn.temporaries.shutil.rmtree", end)
        with pytest.raises(KeyboardInterrupt):
            train(begin(run, tiny_base_file, pair_set, steps=12, save_every=1))
    assert any(path.name.startswith(".cn-") for path in (run / "state").iterdir())
    listener = Listener()
    train(resume(run), listener)
    assert listener.warnings == []
    assert [path.name for path in (run / "state").iterdir()] == ["step-00000012"]


@pytest.mark.parametrize("gone", ["prompt.json", "target"])
def test_data_that_vanishes_is_said_and_the_last_step_is_saved(gone, tmp_path, tiny_base_file):
    data = write_pairs(tmp_path / "pairs", 30)
    run, free, away = tmp_path / "run", tmp_path / "free", tmp_path / "away"

    def vanish(result) -> None:
        if result.step == 2:
            (data if gone == "prompt.json" else data / gone).rename(away)

    with pytest.raises(InputError, match=r"in a row are broken.*no such file; the state after step \d is kept") as said:
        train(begin(run, tiny_base_file, data, steps=9, save_every=100), Listener(vanish))
    assert str(said.value).endswith(f"continue with cn train --resume {run}")
    assert find_state(run).step >= 2
    away.rename(data if gone == "prompt.json" else data / gone)
    assert train(resume(run)).step == 9
    train(begin(free, tiny_base_file, data, steps=9))
    assert same(weights(run), weights(free))
