"""The images of a job as files."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING

from cn.errors import InputError, PartialError
from cn.parallel import available_cpus

if TYPE_CHECKING:
    from cn.sample.pipeline import Sample

    Pair = tuple[str, "Sample"]


class Saving:
    """Writes images in threads, so that neither the next batch nor a GPU, which has it by now, waits for files.

    Each is written that can be, and added to `written`; then the first error is raised. The `with` block ends when no
    file is being written any more.
    """

    def __init__(self, images_of_job: int):
        self.images_of_job, self.written = images_of_job, list[str]()
        self._begun: list[tuple[Pair, Future[None]]] = []
        self._pool = ThreadPoolExecutor(available_cpus())

    def begin(self, batch: "Sequence[Pair]") -> None:
        """Begin to write images to their paths."""
        self._begun += [(pair, self._pool.submit(pair[1].save, pair[0])) for pair in batch]

    def finish(self) -> "Iterator[Pair]":
        """Those that were begun, in order, as soon as they are written; after an interrupt, those that are left."""
        errors = list[BaseException]()
        while self._begun:
            pair, future = self._begun[0]
            error = future.exception()
            del self._begun[0]
            if error is not None:
                errors.append(error)
                continue
            self.written.append(pair[0])
            yield pair
        with self.saying_what_is_left():
            for error in errors:
                raise error

    @contextlib.contextmanager
    def saying_what_is_left(self) -> Iterator[None]:
        """PartialError for a file that cannot be written, where some of those that were written are still there."""
        try:
            yield
        except InputError as error:
            left = sum(map(os.path.exists, self.written))
            if left:
                what = f"{error.what}; {left} of {self.images_of_job} images are written"
                raise PartialError(what, path=error.path) from error
            if self.written:
                error.what += "; the images written before are no longer there"
            raise

    def __enter__(self) -> "Saving":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()
