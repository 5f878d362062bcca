"""Thirty kills (tools/kill_trainings.py makes a thousand), and each run ends in the bytes of an uninterrupted one."""

import json
import subprocess
import sys

from tests.helpers.cli import program_environment

KILLS = 30


def test_runs_that_are_killed_until_they_are_finished(tmp_path, tiny_base_file, pair_set):
    words = [str(word) for word in (tmp_path / "run", tiny_base_file, pair_set, KILLS, 0)]
    command = [sys.executable, "-m", "tests.helpers.training_kills", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=program_environment())
    assert done.returncode == 0, done.stderr[-2000:]
    runs = [json.loads(line) for line in done.stdout.splitlines()]
    assert [run for run in runs if run["different"]] == []
    assert sum(len(run["kills"]) for run in runs) >= KILLS
    assert {run["recipe"] for run in runs} == {"previews", "roll-back", "accumulation"}
