"""What `cn dataset caption` captions, and where each caption goes: beside the image, into prompt.json, or into a list.

Each job gives the images that need a caption, counts the others, and keeps each caption as soon as it is known.
"""

import contextlib
import functools
import os
import posixpath
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from cn import storage
from cn.caption import journal, prompt_file
from cn.caption.run import Task
from cn.data.blobs import File
from cn.data.records import RECORDS
from cn.data.sources.folder import FolderEntries
from cn.data.sources.listed import ListedPart
from cn.data.sources.sample import Source
from cn.errors import CnError, InputError
from cn.files import open_atomic

JOURNAL = ".cn-captions.jsonl"
"""Beside a prompt.json: the captions of a run that is not finished."""


@dataclass
class Seen:
    """What was met among the images that need no caption, or cannot have one."""

    kept: int = 0
    """Had a caption already."""
    empty: int = 0
    """Had an empty one, which counts as none."""
    resumed: int = 0
    """Captioned by an earlier run that did not finish."""
    broken: list[tuple[str, CnError]] = field(default_factory=list)
    """Not yet reported: name and error."""


class Job(Protocol):
    """Images to caption, and where their captions go."""

    total: int | None
    seen: Seen
    each: bool
    """Whether each caption has a file of its own."""

    def tasks(self) -> Iterator[Task]:
        """The images without a caption. Those that cannot have one are added to `seen.broken`."""
        ...

    def put(self, task: Task, caption: str) -> str:
        """Keep a caption; the path of the file that it went to. Raises OutputError."""
        ...

    def finish(self) -> list[str]:
        """All images were seen: the files that are written only now."""
        ...


@dataclass
class SidecarJob:
    """A folder of images: NAME.txt beside each."""

    source: Source
    extension: str
    overwrite: bool
    each: bool = True
    seen: Seen = field(default_factory=Seen)
    shared: int = 0
    """Images whose name without suffix another image has too."""

    def __post_init__(self) -> None:
        self.total = self.source.count
        stems = Counter(_stem(sample.image.path) for sample in self.source.samples() if isinstance(sample.image, File))
        self._shared = {stem for stem, count in stems.items() if count > 1}

    def tasks(self) -> Iterator[Task]:
        for sample in self.source.samples():
            if sample.problem is not None or not isinstance(sample.image, File):
                why = sample.problem or "is no file of its own; --list FILE writes captions of such images"
                self.seen.broken.append((sample.name, InputError(why, path=sample.name)))
                continue
            try:
                text = sample.read_caption()
            except CnError as error:
                self.seen.broken.append((sample.image.path, error))
                continue
            if text is not None and not self.overwrite:
                self.seen.kept += 1
                continue
            self.seen.empty += text is None and sample.caption_file is not None
            yield Task(sample.image.path, sample.image, self._sidecar(sample.image.path, sample.caption_file))

    def _sidecar(self, image: str, existing: File | None) -> str:
        if existing is not None:
            return existing.path
        stem = _stem(image)
        if stem not in self._shared:
            return stem + self.extension
        self.shared += 1
        return image + self.extension

    def put(self, task: Task, caption: str) -> str:
        assert isinstance(task.target, str)
        storage.write(task.target, f"{caption}\n".encode())
        return task.target

    def finish(self) -> list[str]:
        return []


def reads_sidecars(source: Source) -> bool:
    """Whether captions beside the images are those of the source; lists and tables have their own."""
    return any(isinstance(part, ListedPart) and isinstance(part.entries, FolderEntries) for part in source.parts)


def _stem(path: str) -> str:
    return posixpath.splitext(path)[0]


def prompt_files(src: str) -> list[Path]:
    """The prompt.json files of a dataset: SRC itself, the one in it, or those of each kind; none for other sources."""
    path = Path(src)
    if path.name == RECORDS and path.is_file():
        return [path]
    if not path.is_dir():
        return []
    return [path / RECORDS] if (path / RECORDS).is_file() else sorted(path.glob(f"*/{RECORDS}"))


class PromptJob:
    """The prompt.json files of a dataset; images that several of them share are captioned once."""

    each = False

    def __init__(self, files: list[Path], overwrite: bool, settings: str, stack: contextlib.ExitStack):
        self.files, self.overwrite = files, overwrite
        self.seen = Seen()
        self.root = files[0].parent if len(files) == 1 else files[0].parent.parent
        self.path = self.root / JOURNAL
        self.journal = stack.enter_context(journal.journal(self.path, settings))
        self.total: int | None = len(
            {self._key(file, entry.target) for file in files for entry in prompt_file.entries(file) if entry.target}
        )
        self.new = 0

    def _key(self, file: Path, target: str) -> str:
        """The image's path relative to the dataset, by which all kinds call it the same."""
        return os.path.relpath(prompt_file.image_path(file, target), self.root)

    def tasks(self) -> Iterator[Task]:
        # Where one kind has a prompt for an image and another has none, only the empty one is filled.
        done: set[str] = set()
        for file in self.files:
            for entry in prompt_file.entries(file):
                if entry.problem is not None:
                    self.seen.broken.append((entry.where, InputError(entry.problem, path=entry.where)))
                    continue
                key = self._key(file, entry.target)
                if key in done:
                    continue
                if entry.prompt and not self.overwrite:
                    self.seen.kept += 1
                    continue
                done.add(key)
                if key in self.journal:
                    self.seen.resumed += 1
                    continue
                image = prompt_file.image_path(file, entry.target)
                yield Task(image, image, key)

    def put(self, task: Task, caption: str) -> str:
        assert isinstance(task.target, str)
        self.journal.add(task.target, caption)
        self.new += 1
        return str(self.files[0])

    def _caption(self, file: Path, target: str) -> str | None:
        return self.journal.get(self._key(file, target))

    def finish(self) -> list[str]:
        """Everything goes into the files; the journal stays if one of them cannot be written."""
        written = []
        for file in self.files if self.new or self.seen.resumed else ():
            if prompt_file.fill(file, functools.partial(self._caption, file), overwrite=self.overwrite):
                written.append(str(file))
        self.path.unlink(missing_ok=True)
        return written


class ListJob:
    """Captions in a file of lines, for sources that stay as they are."""

    each = False

    def __init__(self, source: Source, path: Path, overwrite: bool, settings: str, stack: contextlib.ExitStack):
        self.source, self.path, self.overwrite = source, path, overwrite
        self.seen = Seen()
        self.total = source.count
        self.part = path.with_name(f".cn-{path.name}.part")
        self.journal = stack.enter_context(journal.journal(self.part, settings))
        self.earlier = None if overwrite else stack.enter_context(journal.captions_of(path))

    def tasks(self) -> Iterator[Task]:
        for sample in self.source.samples():
            if sample.problem is not None or sample.image is None:
                error = InputError(sample.problem or "has no image", path=sample.name)
                self.seen.broken.append((sample.name, error))
                continue
            if sample.name in self.journal:
                self.seen.resumed += 1
            elif self._existing(sample.name) is not None:
                self.seen.kept += 1
            else:
                try:
                    text = None if self.overwrite else sample.read_caption()
                except CnError as error:
                    self.seen.broken.append((sample.name, error))
                    continue
                if text is None:
                    self.seen.empty += sample.caption_file is not None and not self.overwrite
                    yield Task(sample.name, sample.image, sample.name)
                else:
                    self.seen.kept += 1
                    self.journal.add(sample.name, text)

    def _existing(self, name: str) -> str | None:
        return None if self.earlier is None else self.earlier.get(name)

    def put(self, task: Task, caption: str) -> str:
        self.journal.add(task.name, caption)
        return str(self.path)

    def finish(self) -> list[str]:
        """The list in the order of the source, and what was in it of other images before; the journal goes."""
        names = [sample.name for sample in self.source.samples()]
        with open_atomic(self.path) as file:
            for name in dict.fromkeys([*names, *(self.earlier.names() if self.earlier is not None else ())]):
                text = self.journal.get(name) or self._existing(name)
                if text is not None:
                    file.write(journal.line(name, text).encode())
        self.part.unlink(missing_ok=True)
        return [str(self.path)]
