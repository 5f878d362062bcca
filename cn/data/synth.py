"""Datasets from the built-in scenes: rendered by worker processes, resumable and reproducible byte for byte."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cn import images
from cn.data.prefetch import map_ordered
from cn.data.records import RECORDS, Pair, complete_records, format_line
from cn.data.scenes import render_examples
from cn.data.settings import SynthSettings
from cn.detect.checks.lines import KINDS as LINES
from cn.errors import InputError
from cn.files import make_folder, write_atomic
from cn.temporaries import sweep


@dataclass(frozen=True)
class Synthesis:
    """What to render, and where. A call renders one scene's files.

    With one kind, `out` is the dataset; with several, there is one dataset per kind, `out`/KIND, of the same images.
    """

    out: Path
    settings: SynthSettings

    @property
    def folders(self) -> dict[str, Path]:
        """Kind → its dataset."""
        kinds = self.settings.kinds
        return {kind: self.out if len(kinds) == 1 else self.out / kind for kind in kinds}

    def record(self, kind: str, number: int) -> dict[str, Any]:
        """A line of `prompt.json` without the prompt."""
        name, settings = f"{number:06d}.png", self.settings
        record = {"source": f"source/{name}", "target": f"target/{name}"}
        extra: dict[str, Any] = {"kind": kind, "seed": settings.seed, "scene": number, "size": settings.size}
        if kind in LINES:
            choices = "random" if settings.random_thresholds else "fixed"
            extra["thresholds" if kind == "canny" else "drawing"] = choices
        return record | extra

    def __call__(self, number: int) -> str:
        """Render scene `number`, write its images, and return its prompt."""
        settings, folders = self.settings, self.folders
        examples = render_examples(
            settings.kinds, settings.size, settings.seed, number, random=settings.random_thresholds
        )
        encoded: bytes | None = None
        prompt = ""
        for kind, example in examples.items():
            record, folder = self.record(kind, number), folders[kind]
            encoded = encoded or images.encode(example.target, "PNG")
            text = example.info.to_text() if example.info is not None else None
            write_atomic(folder / record["target"], encoded, durable=False)
            write_atomic(folder / record["source"], images.encode(example.condition, "PNG", text), durable=False)
            prompt = example.prompt
        return prompt


@dataclass(frozen=True)
class Missing:
    """What a dataset still lacks: `render` are the scenes without images, `recorded` those that have a line."""

    render: tuple[int, ...]
    recorded: frozenset[int]


def prepare(synthesis: Synthesis, *, overwrite: bool = False) -> Missing:
    """Create the folders and find out which of the scenes are missing.

    An incomplete last line of an earlier run is removed. Raises InputError if a folder holds another dataset; with
    `overwrite` that one's images and records are removed instead.
    """
    start = synthesis.settings.start
    wanted = range(start, start + synthesis.settings.count)
    missing: set[int] = set()
    recorded: set[int] = set(wanted)
    for kind, folder in synthesis.folders.items():
        for name in ("source", "target"):
            sweep(make_folder(folder / name))
        if overwrite:
            _clear(folder)
        done = _done(synthesis, kind)
        recorded &= done.keys()
        missing.update(n for n in wanted if n not in done or not done[n])
    return Missing(tuple(sorted(missing)), frozenset(recorded))


def make(synthesis: Synthesis, missing: Missing, *, workers: int) -> Iterator[int]:
    """Render the missing scenes; yields the number of each once its images and records are written.

    A record is written after both its images, in the order of the scenes, so that a dataset that was resumed many times
    has the same bytes as one rendered at once.
    """
    prompts = map_ordered(synthesis, missing.render, workers)
    with contextlib.ExitStack() as stack:
        stack.callback(prompts.close)
        files = {k: stack.enter_context(open(folder / RECORDS, "ab")) for k, folder in synthesis.folders.items()}
        for number, prompt in zip(missing.render, prompts, strict=True):
            if number not in missing.recorded:
                for kind, file in files.items():
                    file.write(format_line(prompt=prompt, **synthesis.record(kind, number)).encode())
                    file.flush()
            yield number


def _done(synthesis: Synthesis, kind: str) -> dict[int, bool]:
    """The scenes that have a record in a kind's dataset → whether both images are complete."""
    folder = synthesis.folders[kind]
    file = folder / RECORDS
    pairs, length = complete_records(file)
    done = {}
    for pair in pairs:
        number = pair.extra.get("scene")
        if not isinstance(number, int) or _record(pair, folder) != synthesis.record(kind, number):
            raise InputError(
                f"already holds another dataset ({pair.where} has other settings); "
                "choose another folder, or --overwrite it",
                path=folder,
            )
        done[number] = all(images.is_complete_png(path) for path in _files(pair).values())
    if file.exists() and file.stat().st_size > length:
        with file.open("r+b") as stream:
            stream.truncate(length)
    return done


def _record(pair: Pair, folder: Path) -> dict[str, Any]:
    return {name: path.relative_to(folder).as_posix() for name, path in _files(pair).items()} | dict(pair.extra)


def _files(pair: Pair) -> dict[str, Path]:
    """The images of a pair that a line of `prompt.json` names."""
    return {"source": Path(str(pair.source)), "target": Path(str(pair.target))}


def _clear(folder: Path) -> None:
    """Remove a dataset's records and the images that they name, and nothing else."""
    pairs, _ = complete_records(folder / RECORDS)
    (folder / RECORDS).unlink(missing_ok=True)
    for pair in pairs:
        for path in _files(pair).values():
            if path.is_relative_to(folder):
                path.unlink(missing_ok=True)
