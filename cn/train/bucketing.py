"""The aspect-ratio buckets of a run: which shape each pair has, and the sizes that this follows from.

The sizes are kept in the run's folder: a run that is resumed has the same buckets, whatever was repaired meanwhile.
"""

from array import array
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save

from cn.data.buckets import Buckets, bucket_shapes, merged, nearest
from cn.data.examples import Source
from cn.data.folder import FolderDataset
from cn.data.image_sizes import read_sizes
from cn.data.mixture import datasets
from cn.errors import InputError
from cn.files import write_atomic
from cn.train.config import TrainConfig

Sizes = NDArray[np.int32]
"""(n, 2) height and width of the image of each pair; 0 for one that cannot be read."""

SIZES = "image-sizes.safetensors"


def bucketed(
    parts: Sequence[FolderDataset], config: TrainConfig, multiple: int, known: Sequence[Sizes] = ()
) -> tuple[list[FolderDataset], list[str]]:
    """The datasets of a run with the shape of each pair, and what a person should know of it.

    `known` are the sizes of earlier; those of a dataset that has another number of pairs now are read again. Raises
    InputError where no image can be read.
    """
    sizes = [
        known[number] if len(known) == len(parts) and len(known[number]) == part.count else read_sizes(part.pairs)
        for number, part in enumerate(parts)
    ]
    shapes = bucket_shapes(config.size, multiple, config.max_ratio)
    every, times = np.concatenate(sizes), np.concatenate([np.asarray(part.times(), np.int64) for part in parts])
    numbers = nearest(every, shapes)
    if (numbers == len(shapes)).all():
        raise InputError("no image can be read", path=config.data[0])
    target = np.array([*merged(numbers, times, shapes, config.batch_size), len(shapes)])
    chosen = np.split(target[numbers], np.cumsum([len(each) for each in sizes])[:-1])
    made = [
        replace(part, buckets=Buckets(shapes, array("H", of.astype(np.uint16).tobytes()), each))
        for part, of, each in zip(parts, chosen, sizes, strict=True)
    ]
    return made, _notes(every, target[numbers], int((target[numbers] != numbers).sum()), shapes, config, multiple)


def _notes(
    sizes: Sizes,
    numbers: NDArray[np.int64],
    moved: int,
    shapes: Sequence[tuple[int, int]],
    config: TrainConfig,
    multiple: int,
) -> list[str]:
    found = []
    if len(shapes) == 1:
        found.append(
            f"--buckets: with sides that are multiples of {multiple}, {config.size}×{config.size} is the only shape at "
            "this size"
        )
    if moved:
        found.append(
            f"{moved:,} images have a shape of which there are fewer than --batch-size {config.batch_size}: they are "
            "cropped to the nearest shape that has more"
        )
    if unread := int((numbers == len(shapes)).sum()):
        found.append(f"{unread:,} images cannot be read: they are left out")
    known = numbers < len(shapes)
    wanted = np.array(shapes)[numbers[known]]
    if small := int((wanted / sizes[known]).max(axis=1, initial=0).__gt__(1).sum()):
        found.append(f"{small:,} of {len(sizes):,} images are smaller than what they are trained at, and enlarged")
    return found


def save_sizes(run: Path, source: Source) -> None:
    """Write RUN/image-sizes.safetensors, for a run with buckets."""
    sizes = [part.buckets.sizes for part in datasets(source) if part.buckets is not None]
    if sizes:
        write_atomic(run / SIZES, save({str(number): np.ascontiguousarray(each) for number, each in enumerate(sizes)}))


def load_sizes(run: Path) -> list[Sizes]:
    """What `save_sizes` wrote; [] where it is not there, or damaged."""
    try:
        found = load_file(run / SIZES)
        return [found[str(number)] for number in range(len(found))]
    except (OSError, SafetensorError, KeyError):
        return []
