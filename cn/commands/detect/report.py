"""What a run of `cn detect` says: a line for each image, a summary, and the error for the exit code."""

import os
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cn import console
from cn.errors import CnError, InputError, OutputError, PartialError

if TYPE_CHECKING:
    from cn.detect.run.batch import Outcome
    from cn.detect.run.inputs import Sources

_MAX_WARNINGS = 10
"""Different warnings of images that the summary shows."""

_MAX_MEMORY_FAILURES = 3
"""After so many images, one after the other, for which memory was too short, the run stops."""


@dataclass
class Tally:
    """The outcomes so far, counted."""

    found: "Sources"
    src: str
    folders: tuple[str, ...]
    """Where results are written: DST, and the folder of sidecar files."""
    total: int | None = None
    """How many images there are, if that is known."""
    advise_frames: bool = True
    """Whether `--frames` is an option of these files."""
    chosen: bool = False
    """Whether it was said which frames are taken."""
    counts: "Counter[str]" = field(default_factory=Counter)
    other_settings: int = 0
    first_frames: int = 0
    """Files of several frames, or pages, of which the first was taken."""
    warnings: "Counter[str]" = field(default_factory=Counter)
    stopped: CnError | None = None
    """Why the run ends early: every further image would fail in the same way."""
    memory_failures: int = 0

    def add(self, outcome: "Outcome") -> None:
        """Count an outcome."""
        if outcome.status == "incomplete":
            return
        self.counts[outcome.status] += 1
        self.other_settings += outcome.status == "skipped" and outcome.message is not None
        self.first_frames += _is_first_of_several(outcome)
        if outcome.status == "written":
            self.memory_failures = 0
            if outcome.message is not None:
                self.warnings.update(outcome.general or (outcome.message,))
        if outcome.error is not None and not self.found.single:
            self.stopped = self._fatal(outcome.error)

    def _fatal(self, error: Exception) -> CnError | None:
        """The error, if every further image would fail in the same way."""
        from cn.errors import is_memory_error

        if isinstance(error, OutputError):
            gone = not all(os.access(folder, os.W_OK) for folder in self.folders)
            return error if error.stays or gone else None
        if isinstance(error, ImportError):
            return library_error(error)
        self.memory_failures += is_memory_error(error)
        if self.memory_failures < _MAX_MEMORY_FAILURES:
            return None
        return InputError(
            f"memory is short: {_MAX_MEMORY_FAILURES} images, one after the other, need more than there is"
        )

    @property
    def frames_advice(self) -> str:
        """What to do to get all frames."""
        return "; --frames all takes every frame" if self.advise_frames else ""

    def report(self, *, json: bool, quiet: bool) -> None:
        """One line of numbers, then warnings."""
        if not self.counts:
            return
        left_out = self.found.left_out
        if json and left_out:
            console.emit(left_out.record(self.src), json)
        if self.counts["skipped"] or not self.found.single:
            parts = [f"{self.counts['written']} written"]
            for status, words in _OTHERS.items():
                parts += [f"{self.counts[status]} {words}"] * bool(self.counts[status])
            text = left_out.text()
            console.status(f"{self.folders[0]}: {', '.join(parts)}{f'; {text}' if text else ''}", quiet=quiet)
        for line in left_out.warnings():
            console.warn(line)
        if self.first_frames and not self.chosen and not self.found.single:
            several = "1 animation or file" if self.first_frames == 1 else f"{self.first_frames} animations or files"
            console.warn(f"{several} of several pages: only the first frame of each is used{self.frames_advice}")
        if self.other_settings:
            console.warn(
                f"{self.other_settings} of those already there were made with other settings; "
                "--overwrite regenerates them"
            )
        for warning, count in self.warnings.most_common(_MAX_WARNINGS if not self.found.single else 0):
            console.warn(f"{warning} ({count} {'image' if count == 1 else 'images'})")
        if (more := len(self.warnings) - _MAX_WARNINGS) > 0:
            console.warn(f"{more} other warnings; --json has them")

    def judge(self) -> None:
        """Raise the error for the exit code, if images failed."""
        failed, all_of_them = self.counts["failed"], self.counts.total()
        done = all_of_them - failed
        if self.stopped is not None:
            rest = "more images" if self.total is None else f"{self.total - done} of {self.total} images"
            message = f"{self.stopped}; stopped with {rest} to do: when this is solved, the same command continues"
        elif failed:
            message = f"{failed} of {all_of_them} images failed{'; the others are done' if done else ''}"
        else:
            return
        raise PartialError(message) if done else InputError(message)


_OTHERS = {"skipped": "already there", "empty": "with nothing found (no file)", "failed": "failed"}
"""How the summary counts what is not written."""


def report(outcome: "Outcome", tally: Tally, json: bool, quiet: bool) -> None:
    """Say what became of an image."""
    single = tally.found.single
    if outcome.output != "-" and (json or outcome.status == "written"):
        console.emit(outcome.record(), json)
    if outcome.status == "incomplete" or (outcome.status == "written" and single and outcome.message is not None):
        console.warn(f"{outcome.path}: {outcome.message}")
    if single and _is_first_of_several(outcome) and not tally.chosen:
        what = f"only the first of its {outcome.frames} frames or pages is used"
        console.warn(f"{outcome.path}: {what}{tally.frames_advice}")
    if outcome.status == "failed":
        if single and outcome.error is not None:
            raise _single_error(outcome)
        if tally.stopped is None:
            console.error((outcome.message or outcome.path).replace("\n", "\\n"))
    if outcome.status == "empty" and single:
        console.status(f"{outcome.path}: nothing was found; no file is written (--on-empty skip)", quiet=quiet)


def _single_error(outcome: "Outcome") -> Exception:
    """The error of the only image; that memory is short is no fault of the program."""
    from cn.errors import is_memory_error

    assert outcome.error is not None
    return InputError(outcome.message or outcome.path) if is_memory_error(outcome.error) else outcome.error


def _is_first_of_several(outcome: "Outcome") -> bool:
    return outcome.frames is not None and outcome.frame is None


def library_error(error: Exception) -> InputError:
    """For a library that cannot be loaded."""
    reason = " ".join(str(error).split()) or type(error).__name__
    return InputError(f"a library cannot be loaded ({reason}); memory is short, or the installation is broken")
