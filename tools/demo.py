"""The main commands for real: detect, build a dataset, sample, train. Run by `make demo`.

Every command is printed before it runs. The images are left in demo/.
"""

import argparse
import json
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cn import images
from cn.errors import CnError

FOLDER = Path("demo")
CN = Path(sys.executable).with_name("cn")


@dataclass(frozen=True)
class Show:
    """One row of the grid of samples: a built-in scene gives the condition, which is sampled with three prompts."""

    kind: str
    scene: int
    prompts: tuple[str, str]
    """Two of our own; the third is the scene's own caption."""


SHOWS = (
    Show(
        "canny",
        90,
        ("a red house with a white roof on grass at night", "a yellow house with a blue roof on sand at dusk"),
    ),
    Show("depth", 286, ("a red car on snow at night", "a blue car in a meadow at noon")),
    Show(
        "openpose",
        396,
        ("a dancer in a red coat on snow at dusk", "a woman in a yellow dress cheering on a beach at noon"),
    ),
)
SCENES_SEED = 2
SAMPLING_SEED = 7
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
    for show in SHOWS:
        pairs, out = FOLDER / "pairs" / show.kind, FOLDER / "samples" / show.kind
        cn(
            "dataset",
            "synth",
            pairs,
            "--count",
            1,
            "--cond",
            show.kind,
            "--seed",
            SCENES_SEED,
            "--start",
            show.scene,
            "-q",
        )
        pair = json.loads((pairs / "prompt.json").read_text().splitlines()[0])
        prompts = (pair["prompt"], *show.prompts)
        typed = [word for prompt in prompts for word in ("--prompt", prompt)]
        condition = pairs / pair["source"]
        made = cn("sample", "--cond", condition, *typed, "--seed", SAMPLING_SEED, "--out", out)
        rows.append([images.read(condition), *map(images.read, made)])
        labels += ["", *prompts]
    sheet = FOLDER / "2-samples.png"
    titles = ["condition", "its own caption", "another prompt", "yet another"]
    flat = [image for row in rows for image in row]
    images.write(sheet, images.grid(flat, labels, row_titles=[show.kind for show in SHOWS], column_titles=titles))
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
