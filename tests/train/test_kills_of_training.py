"""Thirty kills (tools/kill_trainings.py makes a thousand), and each run ends in the bytes of an uninterrupted one."""

from tests.helpers.training_kills import killed_until_finished
from tests.helpers.warm import in_fork

KILLS = 30


def test_runs_that_are_killed_until_they_are_finished(tmp_path, tiny_base_file, pair_set):
    runs = in_fork(killed_until_finished, tmp_path / "run", tiny_base_file, pair_set, KILLS, 0)
    assert [run for run in runs if run["different"]] == []
    assert sum(len(run["kills"]) for run in runs) >= KILLS
    assert {run["recipe"] for run in runs} == {"previews", "roll-back", "accumulation"}
