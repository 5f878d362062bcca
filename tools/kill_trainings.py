"""Kill trainings 1,000 times at random moments; each run, continued until it is finished, must end in the same bytes.

    PYTHONPATH=. OMP_NUM_THREADS=1 python tools/kill_trainings.py [KILLS] [SEED] [BASE] [KIND,KIND …]

The moments (SIGKILL) lie at calls of functions, at changes of files, and at random times: while networks are loaded, in
the middle of a step, of a save, of a preview, of a roll-back. BASE is a file (default: the bundled base), KIND a kind
of run (default: all of them). Prints a line for each finished run; the exit status is 1 if any differs.
"""

import random
import shutil
import sys
import tempfile
import time
from pathlib import Path

from cn.weights.bundled import BASE_NAME, find
from tests.conftest import write_pairs
from tests.helpers.training_kills import Recipe, Server, killed_runs, recipes, wait_for


def seconds_of(recipe: Recipe, folder: Path) -> float:
    """How long a run takes without interruption."""
    shutil.rmtree(folder, ignore_errors=True)
    before = time.perf_counter()
    assert wait_for(Server(recipe).fork(folder)) == 0
    return time.perf_counter() - before


def main() -> None:
    kills = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    draw = random.Random(int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    base = Path(sys.argv[3]) if len(sys.argv) > 3 else find(BASE_NAME, role="base")
    runs = killed = different = 0
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        data, folder = write_pairs(Path(name, "pairs"), 6), Path(name, "run")
        wanted = sys.argv[4].split(",") if len(sys.argv) > 4 else None
        chosen = [recipe for recipe in recipes(base, data) if wanted is None or recipe.name in wanted]
        for recipe in chosen:
            seconds = seconds_of(recipe, folder)
            for done in killed_runs(folder, recipe, draw, -(-kills // len(chosen)), seconds):
                runs, killed = runs + 1, killed + len(done["kills"])
                different += bool(done["different"])
                verdict = f"DIFFERENT: {', '.join(done['different'])}" if done["different"] else "same bytes"
                print(f"{recipe.name}: killed {', '.join(done['kills']) or 'never'}: {verdict}", flush=True)
    minutes = (time.perf_counter() - start) / 60
    print(f"{killed} kills of {runs} runs in {minutes:.0f} minutes: {runs - different} of {runs} with the same bytes")
    sys.exit(different > 0)


if __name__ == "__main__":
    main()
