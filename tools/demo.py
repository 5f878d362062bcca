"""The main commands for real: detect, build a dataset, sample, train. Run by `make demo`.

Every command is printed before it runs. The images are left in demo/.
"""

import argparse
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cn import images
from cn.errors import CnError
from tools.gallery.documents import SHOWN, shown_prompts
from tools.gallery.scenes import SEED

FOLDER = Path("demo")
CN = Path(sys.executable).with_name("cn")


TRAINING = ("--cond", "canny", "--scenes", "128", "--steps", "300", "--batch-size", "4", "--lr", "1e-3")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--photo", type=Path, help="a photograph of your own; default: one of scikit-image's")
    arguments = parser.parse_args()
    start = time.monotonic()
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir()
    try:
        sheets = [detect(arguments.photo), sample(), train()]
    except subprocess.CalledProcessError as error:
        sys.exit(f"The demo stopped: `cn {error.cmd[1]}` ended with status {error.returncode}.")
    except CnError as error:
        sys.exit(f"The demo stopped: {error}")
    print(f"\nDone in {time.monotonic() - start:.0f} seconds. The images:\n")
    for path, what in sheets:
        print(f"  {path.resolve()}\n      {what}")


def detect(photo: Path | None) -> tuple[Path, str]:
    """Canny edges of a real photograph."""
    headline("1. Edges of a photograph")
    if photo is None:
        photo = FOLDER / "photo.png"
        images.write(photo, public_photograph())
    edges, sheet = FOLDER / "photo-canny.png", FOLDER / "1-canny.png"
    cn("detect", "canny", photo, edges)
    images.write(
        sheet, images.grid([images.read(photo), images.read(edges)], ["photograph", "cn detect canny"], columns=2)
    )
    return sheet, "a photograph and its Canny edges"


def public_photograph() -> NDArray[np.uint8]:
    """The astronaut Eileen Collins, by NASA: in the public domain, and part of scikit-image's package."""
    from skimage import data

    return np.asarray(data.astronaut())


def sample() -> tuple[Path, str]:
    """Three conditions, three prompts each, one sheet."""
    headline("2. Images that follow a condition image and a prompt")
    rows: list[list[NDArray[np.uint8]]] = []
    labels: list[str] = []
    for kind, subject in SHOWN:
        pairs, out = FOLDER / "pairs" / kind, FOLDER / "samples" / kind
        scene, prompts = shown_prompts(subject)
        cn("dataset", "synth", pairs, "--count", 1, "--cond", kind, "--seed", SEED, "--start", scene, "-q")
        typed = [word for prompt in prompts for word in ("--prompt", prompt)]
        condition = pairs / "source" / f"{scene:06d}.png"
        made = cn("sample", "--cond", condition, *typed, "--out", out)
        rows.append([images.read(condition), *map(images.read, made)])
        labels += ["", *prompts]
    sheet = FOLDER / "2-samples.png"
    titles = ["condition", "its own caption", "another prompt", "yet another"]
    flat = [image for row in rows for image in row]
    images.write(sheet, images.grid(flat, labels, row_titles=[kind for kind, _ in SHOWN], column_titles=titles))
    return sheet, "what ControlNets make of edges, depth and poses, three prompts each"


def train() -> tuple[Path, str]:
    """A ControlNet trained from scratch: its samples before and after a short training."""
    headline("3. A ControlNet, trained from scratch on the built-in scenes")
    run = FOLDER / "run"
    cn("train", *TRAINING, "--out", run, "--preview-every", 1_000_000)
    sheet = FOLDER / "3-training.png"
    shutil.copy(max((run / "previews").glob("*.png")), sheet)
    return sheet, "the same conditions, prompts and noise before and after the training"


def cn(*words: object) -> list[str]:
    """Run one `cn` command, showing it first and its results as they come; returns the lines of its stdout."""
    command = [str(CN), *map(str, words)]
    print(f"\n$ cn {shlex.join(command[1:])}", flush=True)
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            print(line, end="", flush=True)
            lines.append(line.rstrip("\n"))
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    return lines


def headline(text: str) -> None:
    print(f"\n── {text} ──", flush=True)


if __name__ == "__main__":
    main()
