"""A run that is interrupted leaves complete files only, and the next one gives the same bytes."""

import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.helpers.canny_cases import tree
from tests.helpers.cli import cn, start_cn
from tests.helpers.waiting import wait_until


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """A folder of 48 large images that take a while, and what a run without interruption makes of them."""
    folder = tmp_path_factory.mktemp("many")
    (folder / "in").mkdir()
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), dtype=np.uint8)
    Image.fromarray(noise).save(folder / "first.jpg", quality=80)
    for number in range(48):
        os.link(folder / "first.jpg", folder / "in" / f"{number:03}.jpg")
    assert (
        cn("detect", "canny", "in", "clean", "--workers", "2", "--random-thresholds", "-q", cwd=folder).returncode == 0
    )
    return folder


@pytest.mark.parametrize(
    ("number", "code", "workers"), [(signal.SIGKILL, -9, 2), (signal.SIGINT, 130, 2), (signal.SIGTERM, 143, 1)]
)
def test_an_interrupted_run_leaves_whole_files_only_and_goes_on_to_the_same_bytes(many, number, code, workers):
    out = many / f"out{int(number)}"
    words = ("detect", "canny", "in", out, "--workers", str(workers), "--random-thresholds")
    process = start_cn(*words, cwd=many)
    wait_until(lambda: len(list(out.glob("*.png"))) >= 8 or process.poll() is not None)
    assert process.poll() is None
    # Ctrl-C reaches the whole group, kill -9 only the parent.
    if number == signal.SIGINT:
        os.killpg(process.pid, number)
    else:
        process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code
    time.sleep(0.5 if number == signal.SIGKILL else 0)
    files = {name: data for name, data in tree(out).items() if not name.startswith(".")}
    clean = tree(many / "clean")
    assert 8 <= len(files) < 48
    assert files == {name: clean[name] for name in files}
    if number != signal.SIGKILL:
        assert sorted(tree(out)) == sorted(files), "no temporary is left"
        assert " written\n" in errors.decode()
        assert errors.decode().splitlines()[-1].startswith("cn: ")
    again = cn(*words, cwd=many)
    assert again.returncode == 0
    assert f"{len(files)} already there" in again.stderr
    assert {name: data for name, data in tree(out).items() if not name.startswith(".")} == clean
    shutil.rmtree(out)
