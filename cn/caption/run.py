"""Captions for many images: read ahead by threads, captioned in batches, with an outcome for every image."""

import contextlib
import time
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from cn import images
from cn.caption.captioner import Captioner, Image
from cn.caption.words import is_loop
from cn.errors import CnError, InputError, WeightsError, is_memory_error
from cn.images.reader import ImagePath
from cn.parallel import Done, map_threads

T = TypeVar("T")
CPU_BATCH, GPU_BATCH = 4, 16


@dataclass(frozen=True)
class Task:
    """One image to caption; `target` says, to whoever made the task, where the caption belongs."""

    name: str
    image: ImagePath
    target: object = None


@dataclass(frozen=True)
class Outcome:
    """What became of a task: a caption, with prefix and suffix, or an error."""

    task: Task
    caption: str | None = None
    error: CnError | None = None
    seconds: float = 0.0
    loop: bool = False
    """Whether the caption repeats the same words ("a cat a cat a cat")."""


def default_batch(captioner: Captioner) -> int:
    """Images at a time, where nobody says how many."""
    return CPU_BATCH if captioner.compute.device.type == "cpu" else GPU_BATCH


def caption_all(
    captioner: Captioner, tasks: Iterable[Task], *, batch_size: int, workers: int
) -> Generator[Outcome, None, None]:
    """Caption every image and yield its outcome, in order; `workers` threads read ahead.

    A batch for which memory is short is divided, down to single images. Failures of images are yielded, never raised;
    WeightsError, which every image would have, is raised. Memory does not grow with the number of images.
    """
    with contextlib.closing(map_threads(_read, tasks, workers)) as ahead:  # type: ignore[type-var]
        for batch in _batches(map(_read_or_failed, ahead), batch_size):
            yield from _captioned(captioner, batch)


def caption_arrays(captioner: Captioner, given: Mapping[str, Image]) -> Iterator[Outcome]:
    """The outcome of each image in memory, by its name, in order; errors are those of `caption_all`."""
    tasks: Iterator[tuple[Task, Image | CnError]] = ((Task(name, name), image) for name, image in given.items())
    for batch in _batches(tasks, captioner.settings.batch_size or default_batch(captioner)):
        yield from _captioned(captioner, batch)


def _read(task: Task) -> Image:
    return images.read(task.image)


def _read_or_failed(done: Done[Task, Image]) -> tuple[Task, Image | CnError]:
    if done.error is not None:
        return done.item, _as_error(done.item, done.error)
    assert done.value is not None
    return done.item, done.value


def _batches(items: Iterator[T], size: int) -> Iterator[list[T]]:
    while batch := list(islice(items, size)):
        yield batch


def _captioned(captioner: Captioner, batch: Sequence[tuple[Task, Image | CnError]]) -> Iterator[Outcome]:
    start = time.perf_counter()
    readable = [(task, image) for task, image in batch if not isinstance(image, CnError)]
    texts = _texts(captioner, readable)
    seconds = (time.perf_counter() - start) / max(1, len(readable))
    results = dict(zip((id(task) for task, _ in readable), texts, strict=True))
    for task, image in batch:
        result = results.get(id(task), image)
        if isinstance(result, CnError):
            yield Outcome(task, error=result)
        else:
            assert isinstance(result, str)
            yield Outcome(task, captioner.settings.finished(result), seconds=seconds, loop=is_loop(result))


def _texts(captioner: Captioner, readable: Sequence[tuple[Task, Image]]) -> list[str | CnError]:
    if not readable:
        return []
    try:
        texts: list[str] | None = captioner.caption([image for _, image in readable])
    except WeightsError:
        raise
    except Exception as error:
        # Not swallowed: alone, the image that failed is named, and the others succeed.
        if len(readable) == 1:
            return [_as_error(readable[0][0], error)]
        texts = None
    if texts is None:
        # Here, where the error no longer holds the tensors of the failed attempt.
        half = len(readable) // 2
        return [*_texts(captioner, readable[:half]), *_texts(captioner, readable[half:])]
    empty = "the network wrote no words; other settings (--min-length, --decoding) may help"
    return [text or InputError(empty, path=task.name) for text, (task, _) in zip(texts, readable, strict=True)]


def _as_error(task: Task, error: Exception) -> CnError:
    """What is wrong with an image, as the one line that is shown. Faults of the program are raised."""
    if isinstance(error, CnError):
        return error
    if is_memory_error(error):
        return InputError("needs more memory than there is", path=task.name)
    raise error
