"""Which states stay, and to which one a run goes back."""

import math

import pytest

from cn.train.divergence import WINDOW
from cn.train.retention import roll_back_step, superseded
from cn.train.run_folder import find_state, saved_steps
from tests.helpers.training import Listener, begin, resume, same, train, weights


def simulated(steps: int, every: int, keep: int, stops: tuple[int, ...] = ()) -> dict[int, list[int]]:
    """What is on the disk after each step."""
    saved, after = [0], {}
    for step in range(1, steps + 1):
        gone = superseded(saved, step, every=every, keep=keep)
        saved = [s for s in saved if s not in gone]
        if step % every == 0 or step in stops:
            saved.append(step)
            gone = superseded(saved, step, every=every, keep=keep)
            saved = [s for s in saved if s not in gone]
        after[step] = saved
    return after


@pytest.mark.parametrize("every", [1, 2, 3, 7, 9, 10, 11, 25, 100])
@pytest.mark.parametrize("keep", [1, 2, 5])
def test_the_newest_and_a_proved_one_stay(every, keep):
    for step, saved in simulated(120, every, keep).items():
        made = list(range(0, step + 1, every))
        assert saved[-keep:] == made[-keep:]
        assert any(s + WINDOW <= step for s in saved) or saved[0] == 0
        assert len(saved) <= keep + (1 if every >= WINDOW else 3 if every > 1 else 11)
        # Nothing that is given up is missed: the state to go back to is there, and is not far behind.
        for since in (step - WINDOW, step - 2, step - 1):
            if since >= 0:
                back = roll_back_step(saved, since, every=every)
                assert back is not None
                assert since - back < 2 * every * math.ceil(WINDOW / every)


@pytest.mark.parametrize("every", [1, 3, 9, 10, 25])
def test_stops_do_not_change_where_a_run_goes_back_to(every):
    plain, stopped = simulated(90, every, 1), simulated(90, every, 1, stops=(4, 13, 37, 38, 61))
    for step in plain:
        for since in range(max(0, step - WINDOW), step):
            assert roll_back_step(plain[step], since, every=every) == roll_back_step(
                stopped[step], since, every=every
            ), (step, since)


def test_the_oldest_is_better_than_none():
    assert roll_back_step([27], 25, every=10) == 27
    assert roll_back_step([3, 27], 26, every=10) == 3
    assert roll_back_step([], 25, every=10) is None


@pytest.mark.parametrize(("keep", "names"), [(1, [13]), (3, [9, 12, 13])])
def test_a_finished_run_keeps_as_many_as_are_wanted(keep, names, tmp_path, tiny_base_file, pair_set):
    run = tmp_path / "run"
    train(begin(run, tiny_base_file, pair_set, steps=13, save_every=3, keep=keep))
    assert saved_steps(run) == names
    assert (run / "control.safetensors").samefile(find_state(run).control)
    train(resume(run, steps=14, keep=1))
    assert saved_steps(run) == [14]


def test_without_room_for_the_proved_one_the_newest_stays(tmp_path, tiny_base_file, pair_set, monkeypatch):
    """After the check at the start something else has filled the disk."""
    run = tmp_path / "run"
    kept = []
    monkeypatch.setattr("cn.files.free_bytes", lambda _: 1 << 40 if not kept else 0)

    def look(result) -> None:
        kept.append(saved_steps(run))

    train(begin(run, tiny_base_file, pair_set, steps=6, save_every=2), Listener(look))
    assert kept == [[0], [0], [0, 2], [0, 2], [2, 4], [2, 4]]
    assert same(weights(run), weights(find_state(run).folder))
