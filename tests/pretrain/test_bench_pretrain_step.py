"""The benchmark of pretraining's step, on a CPU with a tiny network: that it runs, and what it shows."""

import os
import re
import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).parents[2] / "tools/bench_pretrain_step.py"


def test_it_measures_what_a_cpu_can_and_names_what_takes_the_time():
    words = ["--device", "cpu", "--nets", "tiny", "--batches", "2", "--steps", "1", "--profile", "channels_last"]
    path = os.pathsep.join(filter(None, (str(TOOL.parents[1]), os.environ.get("PYTHONPATH"))))
    run = subprocess.run(
        [sys.executable, TOOL, *words], env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    measured = re.findall(r"^ +tiny +2 (\S+) +([\d.]+) +([\d,]+) +0\.0$", run.stdout, re.MULTILINE)
    assert [name for name, _, _ in measured] == ["contiguous", "channels_last"]
    assert all(float(ms) > 0 and int(rate.replace(",", "")) > 0 for _, ms, rate in measured)
    assert len(re.findall("on a GPU only", run.stdout)) == 7
    rows = re.findall(r"^ +([\d.]+) +[\d.]+% +\d+  (\S+)$", run.stdout, re.MULTILINE)
    assert len(rows) == 10
    assert [float(ms) for ms, _ in rows] == sorted((float(ms) for ms, _ in rows), reverse=True)
    assert "aten::convolution_backward" in [name for _, name in rows]
