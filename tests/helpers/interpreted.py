"""Triton's interpreter on the CPU, which a process has to be told of before it imports Triton."""

import os
import subprocess
import sys

import pytest

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
interpreted = pytest.mark.skipif(not INTERPRETED, reason="runs in the process that test_interpreted starts")
starts_process = pytest.mark.skipif(INTERPRETED, reason="it starts this process")


def run_interpreted(path: str) -> None:
    """All tests of a file that are `interpreted`, in a process of their own."""
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "-p", "no:xdist", path]
    run = subprocess.run(command, env=os.environ | {"TRITON_INTERPRET": "1"}, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    assert " passed" in run.stdout
