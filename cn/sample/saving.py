"""The images of a batch as files."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from cn.errors import InputError, PartialError
from cn.parallel import available_cpus, map_threads

if TYPE_CHECKING:
    from cn.sample.pipeline import Sample


def save_all(
    batch: "Sequence[tuple[str, Sample]]", images_of_job: int, written: list[str]
) -> "Iterator[tuple[str, Sample]]":
    """Write the images of a batch at once, so that a GPU, which has the next batch by now, waits for none of them.

    Each is written that can be, and added to `written`; then the first error is raised.
    """
    errors = list[Exception]()
    for done in map_threads(lambda one: one[1].save(one[0]), batch, min(len(batch), available_cpus())):
        if done.error is not None:
            errors.append(done.error)
            continue
        written.append(done.item[0])
        yield done.item
    with saying_what_is_left(written, images_of_job):
        for error in errors:
            raise error


@contextlib.contextmanager
def saying_what_is_left(written: Sequence[str], images_of_job: int) -> Iterator[None]:
    """PartialError for an image that cannot be written, where some of those that were `written` are still there."""
    try:
        yield
    except InputError as error:
        left = sum(map(os.path.exists, written))
        if left:
            what = f"{error.what}; {left} of {images_of_job} images are written"
            raise PartialError(what, path=error.path) from error
        if written:
            error.what += "; the images written before are no longer there"
        raise
