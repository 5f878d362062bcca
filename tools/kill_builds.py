"""Kill a build of 500 images with three kinds and two workers at 50 random moments; its bytes must be the same always.

    PYTHONPATH=. python tools/kill_builds.py [TRIALS] [SEED]

Each trial is killed once (SIGKILL, the whole process group), at a moment drawn from the time that an undisturbed build
takes, and continued by the same command. Prints a line for each trial; the exit status is 1 if any differs.
"""

import hashlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.helpers.photos import contents, write_photos

IMAGES = 500
KINDS = ("--cond", "canny", "--cond", "scribble", "--cond", "lineart", "--method", "scribble=gradient",
         "--method", "lineart=standard")  # fmt: skip


def start(photos: Path, out: Path) -> subprocess.Popen[bytes]:
    words = ("dataset", "build", photos, out, *KINDS, "--resolution", "128", "--workers", "2", "-q")
    return subprocess.Popen(
        [sys.executable, "-m", "cn", *map(str, words)], stdout=subprocess.DEVNULL, start_new_session=True
    )


def digest(folder: Path) -> str:
    """Of all files and their names, without the locks of a process that was killed."""
    total = hashlib.sha256()
    for name, data in contents(folder).items():
        if not name.startswith("build/locks/"):
            total.update(f"{name}\0{len(data)}\0".encode() + data)
    return total.hexdigest()


def main() -> None:
    trials = int(sys.argv[1]) if len(sys.argv) > 1 else 50
    rng = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    with tempfile.TemporaryDirectory() as folder:
        photos = write_photos(Path(folder, "photos"), IMAGES, width=160, height=128)
        out = Path(folder, "set")
        begin = time.perf_counter()
        assert start(photos, out).wait() == 0
        seconds, expected = time.perf_counter() - begin, digest(out)
        different = 0
        for trial in range(trials):
            shutil.rmtree(out)
            moment = rng.uniform(0, seconds)
            process = start(photos, out)
            try:
                process.wait(moment)
                killed = "was done"
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                killed = "killed"
            shards = len(list(out.glob("build/status/*.jsonl")))
            status = start(photos, out).wait()
            same = status == 0 and digest(out) == expected
            different += not same
            verdict = "same bytes" if same else f"DIFFERENT (exit {status})"
            print(f"{trial + 1:3} {killed} after {moment:.2f} s with {shards} shards done: {verdict}", flush=True)
    print(f"{trials - different} of {trials} with the same bytes")
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
