"""What runs need before they start: data sets, bases, and a way to call the command line of cn."""

import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cn import app, scenes
from cn.caption.weights import SCENE_READER
from cn.files import make_folder, sha256, sha256_of_all, write_atomic
from cn.weights import bundled
from tools.paper.settings import Settings
from tools.paper.spec import OF_TRAINING, VALIDATION
from tools.paper.taken_data import exchange_prompts, take_first

TRAIN_SEED, VALIDATION_SEED = 1, 2
"""Scenes that neither the bundled base (seed 0) nor the held-out scenes are of."""
RENDERED_AT_ONCE = 5000
"""A part of a data set, half a minute on 16 cores."""
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

    def is_there(self, names: Iterable[str], kind: str, trained_on: str, base: str) -> bool:
        """Whether data sets, the latents of one of them and a base need not be made any more."""
        made = [_done(self.data_path(name, kind)) for name in names]
        made.append(_encoded(self.data_path(trained_on, kind), base))
        return all(path.exists() for path in (*made, self.base_path(base)))

    def make_data(self, name: str, kind: str) -> Path:
        """The data set of this name, rendered where it is not there: KIND-COUNT, validation, seen, mistaken.

        OutOfTimeError when the session is over before; the next one goes on with it.
        """
        path = self.data_path(name, kind)
        done = _done(path)
        if done.exists():
            return path
        make_folder(path.parent)
        if name == MISTAKEN:
            exchange_prompts(self.make_data(VALIDATION, kind), path)
        elif name in (VALIDATION, OF_TRAINING):
            self._render(path, kind, self.settings.validation, VALIDATION_SEED if name == VALIDATION else TRAIN_SEED)
        else:
            count = int(name.rpartition("-")[2])
            if not path.exists():
                self._take_over(path, kind, count)
            # In parts, so that a session ends in time.
            for reached in (*range(RENDERED_AT_ONCE, count, RENDERED_AT_ONCE), count):
                self.check_time()
                random = ("--random-thresholds",) if kind == "canny" else ()
                self._render(path, kind, reached, TRAIN_SEED, *random)
        write_atomic(done, b"")
        return path

    def _render(self, path: Path, kind: str, count: int, seed: int, *more: str) -> None:
        """The first `count` scenes of a seed; those that are there stay."""
        words = ("--cond", kind, "-n", str(count), "--seed", str(seed), *self._size(), *more)
        self.cn("dataset", "synth", path, *words, "-q")

    def _take_over(self, path: Path, kind: str, count: int) -> None:
        """What another finished data set of the kind has of these scenes is not rendered once more."""
        found = {int(other.stem.rpartition("-")[2]): other for other in path.parent.glob(f"{kind}-*.done")}
        if found:
            # The smallest that has all, or else the largest.
            of = min((n for n in found if n >= count), default=max(found))
            take_first(found[of].with_suffix(""), path, count)

    def make_cache(self, name: str, kind: str, base: str) -> None:
        """The latents of a data set, encoded once by the base of that name."""
        path = self.data_path(name, kind)
        done = _encoded(path, base)
        if done.exists():
            return
        self.check_time()
        size = () if base == SD_SIZE else self._size()
        words = ("--base", str(self.base_path(base)), *size, "--no-text", "--device", self.device)
        self.cn("dataset", "cache", path, *words, "-q")
        write_atomic(done, b"")

    def _size(self) -> tuple[str, ...]:
        return ("--size", str(self.settings.size)) if self.settings.size else ()

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


def _done(path: Path) -> Path:
    """The file that says that a data set is complete."""
    return path.with_name(f"{path.name}.done")


def _encoded(path: Path, base: str) -> Path:
    """The file that says that its latents of a base are there."""
    return path.with_name(f"{path.name}.latents-{base or 'default'}")
