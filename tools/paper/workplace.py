"""What runs need before they start: data sets, bases, and a way to call the command line of cn."""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cn import app, scenes
from cn.caption.weights import SCENE_READER
from cn.files import make_folder, sha256, sha256_of_all, write_atomic
from cn.weights import bundled
from tools.paper.settings import Settings
from tools.paper.spec import OF_TRAINING, VALIDATION

TRAIN_SEED, VALIDATION_SEED = 1, 2
"""Scenes that neither the bundled base (seed 0) nor the held-out scenes are of."""
MISTAKEN = "mistaken"
"""The data set whose prompts are those of other images."""
SD_SIZE, SCRATCH = "sd15", "scratch"
"""Bases: random weights of Stable Diffusion 1.5's size, and the bundled one with an untrained U-Net."""


class CommandError(Exception):
    """A command of cn that failed; its text is what the command said."""


class OutOfTimeError(Exception):
    """The session is over before a run is; what is done is kept."""


@dataclass(frozen=True)
class Workplace:
    """The folder of all that is made, the settings, the base, the device, and when to stop (`time.time()`)."""

    folder: Path
    settings: Settings
    base: str = bundled.BASE_NAME
    device: str = "auto"
    deadline: float = float("inf")
    workers: int = 0
    """Processes that read images, of each training."""

    @cached_property
    def base_sha256(self) -> str:
        return sha256(self.base_path(""))

    @cached_property
    def scenes_sha256(self) -> str:
        """Of the code that renders: other scenes are other data."""
        return sha256_of_all(sorted(Path(scenes.__file__).parent.rglob("*.py")))

    @cached_property
    def common(self) -> dict[str, str | int]:
        """What the numbers of all runs depend on."""
        weights = {"base_sha256": self.base_sha256, "reader_sha256": sha256(SCENE_READER)}
        return {**weights, "scenes_sha256": self.scenes_sha256, **self.settings.shared()}

    def base_path(self, name: str) -> Path:
        """The file of the base of this name; `make_base` has made it."""
        return bundled.find(self.base, role="base") if not name else self.folder / "bases" / f"{name}.safetensors"

    def data_path(self, name: str, kind: str) -> Path:
        folder = self.folder / "data" / f"{self.settings.name}-{self.scenes_sha256[:8]}"
        return folder / (name if name.startswith(kind) else f"{name}-{kind}")

    @property
    def seconds_left(self) -> float:
        return self.deadline - time.time()

    def check_time(self) -> None:
        """OutOfTimeError when the session is over."""
        if self.seconds_left <= 0:
            raise OutOfTimeError

    def cn(self, *words: str | Path) -> None:
        """One command of cn in this process. Raises CommandError where it fails."""
        said = _Lines()
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            code = app.run([str(word) for word in words])
        if code:
            raise CommandError(f"cn {' '.join(map(str, words))} ended with {code}: {said.last()}")

    def make_data(self, name: str, kind: str) -> Path:
        """The data set of this name, rendered where it is not there: KIND-COUNT, validation, seen, mistaken."""
        path = self.data_path(name, kind)
        done = path.with_name(f"{path.name}.done")
        if done.exists():
            return path
        make_folder(path.parent)
        if name == MISTAKEN:
            _exchange_prompts(self.make_data(VALIDATION, kind), path)
        else:
            training = name not in (VALIDATION, OF_TRAINING)
            count = name.rpartition("-")[2] if training else str(self.settings.validation)
            seed = VALIDATION_SEED if name == VALIDATION else TRAIN_SEED
            size = ("--size", str(self.settings.size)) if self.settings.size else ()
            random = ("--random-thresholds",) if training and kind == "canny" else ()
            self.cn("dataset", "synth", path, "--cond", kind, "-n", count, "--seed", str(seed), *size, *random, "-q")
            if training:
                base, device = self.base_path(""), self.device
                self.cn("dataset", "cache", path, "--base", base, *size, "--no-text", "--device", device, "-q")
        write_atomic(done, b"")
        return path

    def make_base(self, name: str) -> Path:
        """The base of this name, `SD_SIZE` or `SCRATCH`."""
        path = self.base_path(name)
        if path.exists():
            return path
        import torch

        from cn.checkpoints.read.load import open_base
        from cn.checkpoints.write.native import save_base
        from cn.model.base import Base
        from cn.model.config import PRESETS

        make_folder(path.parent)
        torch.manual_seed(0)
        if name == SD_SIZE:
            made = Base.create(PRESETS["sd15"], "cpu")
        else:
            made = open_base(self.base_path(""))
            made.unet.load_state_dict(Base.create(made.config, "cpu").unet.state_dict())
        save_base(path, made)
        return path


class _Lines:
    """Takes what a command writes, and remembers the end of it."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.text = ""

    def write(self, text: str) -> int:
        self.text = (self.text + text)[-4000:]
        return len(text)

    def flush(self) -> None:
        """Nothing is held back."""

    def isatty(self) -> bool:
        return False

    def last(self) -> str:
        return " / ".join(line for line in self.text.splitlines() if line.strip())[-600:]


def _exchange_prompts(source: Path, path: Path) -> None:
    """A data set of the same pairs, each with the prompt of the next one: the last has that of the first."""
    records = [json.loads(line) for line in _lines(source / "prompt.json")]
    prompts = [record["prompt"] for record in records]
    for record, prompt in zip(records, [*prompts[1:], prompts[0]], strict=True):
        record["prompt"] = prompt
        for role in ("source", "target"):
            record[role] = str(source.resolve() / record[role])
    make_folder(path)
    write_atomic(path / "prompt.json", "".join(json.dumps(record) + "\n" for record in records).encode())


def _lines(path: Path) -> Iterator[str]:
    return (line for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
