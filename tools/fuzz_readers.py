"""The readers that the fuzzer feeds, one row each: its name, valid files, and a function that reads one."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path

import fuzz_images
import fuzz_seeds as seeds
import fuzz_sources as sources
import numpy as np
from fuzz_seeds import Seed

from cn import images
from cn.archives.archive import open_archive
from cn.archives.entries import load_tensor
from cn.checkpoints.read.contents import Contents
from cn.checkpoints.read.recognize import recognize
from cn.conditions import ConditionInfo
from cn.data import pair_notes, pairs, records
from cn.detect.detector import Detector
from cn.detect.pose.json_files import open_poses
from cn.detect.segmentation import labels, palettes
from cn.detect.segmentation.panoptic import PanopticLabels
from cn.detect.surfaces.ground_truth import DiodeNormals, MeasuredDepth, MeasuredNormals
from cn.detect.surfaces.normal_maps import NormalMaps
from cn.errors import CnError, InputError, about
from cn.images import pixel_values
from cn.images.video import open_video
from cn.sample import png_metadata
from cn.train.config import TrainConfig
from cn.train.metrics import Metrics
from cn.train.run_folder import find_state
from cn.weights import bundled


@dataclass(frozen=True)
class Reader:
    """A reader with its seeds: files or folders that it accepts."""

    name: str
    seeds: tuple[Seed, ...]
    read: Callable[[Path], object]
    """Is given the folder that a seed was written into; raises CnError for what it refuses."""
    others: tuple[Seed, ...] = ()
    """Further files to damage, which it refuses as they are."""
    mutable: tuple[str, ...] = ()
    """The files of a seed that are damaged: those whose path ends so; by default all."""


def _files(files: Mapping[str, bytes], suffix: str = "") -> tuple[Seed, ...]:
    """Seeds of one file each, called "input" with this suffix, or with that of its name."""
    return tuple({f"input{suffix or Path(name).suffix}": data} for name, data in files.items())


def _input(folder: Path) -> str:
    """The path of a seed's only file."""
    found = (path for path in folder.iterdir() if path.stem == "input" and path.suffix != ".yaml")
    return str(next(found, folder / "input"))


def _image(folder: Path) -> None:
    path = _input(folder)
    image, text = images.read_with_info(path)
    assert image.dtype == np.uint8
    assert image.ndim == 3
    with about(path):
        ConditionInfo.from_text(text)
    images.read_map(path)
    images.read_frame(path, images.frame_count(path) - 1)


def _video(folder: Path) -> None:
    for _ in islice(open_video(_input(folder)).frames(), 20):
        pass


def _numbers(folder: Path) -> None:
    path = _input(folder)
    detectors = (MeasuredDepth(), MeasuredNormals(focal=20.0), NormalMaps(convention="opengl"), DiodeNormals())
    # What a detector read it also draws, so that no number in a file stops it later.
    _all((partial(pixel_values.read_numbers, path), *(partial(_drawn, detector, path) for detector in detectors)))


def _drawn(detector: Detector, path: str) -> None:
    detector.detect([detector.read(path)], ["input"])


def _poses(folder: Path, yolo: bool = False) -> None:
    poses = open_poses(_input(folder), yolo)
    assert len(poses.names()) == len(poses)
    _all(partial(poses.image, number, size=(240, 320)) for number in range(min(len(poses), 20)))


MAX_MESSAGE = 700


def is_one_line(message: str) -> bool:
    """Whether a terminal shows it as one line of bounded length."""
    return message.isprintable() and bool(message.strip()) and len(message) <= MAX_MESSAGE


def _all(calls: Iterable[Callable[[], object]]) -> None:
    """Make every call; refused is what all of them refuse, or what one refuses in a wrong way."""
    refusals: list[CnError] = []
    made = 0
    for call in calls:
        made += 1
        try:
            call()
        except CnError as error:
            if not is_one_line(str(error)):
                raise
            refusals.append(error)
        except MemoryError:
            # An array within all bounds may be too large for the bound of an input; `cn detect` reports it so as well.
            refusals.append(InputError("needs more memory than there is"))
    if made and len(refusals) == made:
        raise refusals[0]


def _labels(folder: Path) -> None:
    path = _input(folder)
    calls = [partial(read, path) for kind in labels.READERS.values() for read in kind.values()]
    _all([*calls, partial(labels.read_palette_image, path, palettes.ADE20K)])


def _panoptic(folder: Path) -> None:
    PanopticLabels(folder / "panoptic.json").read(folder / "map.png")


def _dataset(folder: Path) -> None:
    found = list(records.iterate_records(folder))
    _all(pair.check for pair in found)
    records.read_records(folder)
    pair_notes.notes(found)
    _all(pair.check for pair in pairs.open_pairs(folder))


def _archive(folder: Path) -> None:
    for entry in open_archive(_input(folder)).entries.values():
        assert load_tensor(entry).shape == entry.shape


def _checkpoint(folder: Path, single: bool = True) -> None:
    Contents.of(recognize(Path(_input(folder)) if single else folder), prediction="eps")


def _described(folder: Path) -> None:
    bundled.describe(_input(folder))


def _run(folder: Path) -> None:
    TrainConfig.load(folder)
    find_state(folder)
    Metrics(folder / "metrics.jsonl").trim(3)
    recognize(folder / "control.safetensors")


def readers() -> list[Reader]:
    """All readers, in the order of the table."""
    rows = [
        Reader(name, _files(files, f".{name.replace(' ', '')}"), _image) for name, files in fuzz_images.images().items()
    ]
    colors = _files({**fuzz_images.images()["png"], **fuzz_images.images()["tiff"]}, ".png")
    pickles = _files(seeds.torch_files(), ".ckpt")
    both = ("native", "ldm", "diffusers")
    return [
        *rows,
        Reader("video", _files(fuzz_images.videos()), _video),
        Reader("numbers", _files(fuzz_images.numbers()), _numbers, colors),
        Reader("labels", _files(seeds.labels()), _labels, colors),
        Reader("panoptic", (seeds.panoptic(),), _panoptic, mutable=("json",)),
        Reader("condition", _files({"": seeds.condition()}, ".png"), _image),
        Reader("sample", _files(seeds.samples()), lambda folder: png_metadata.from_file(_input(folder))),
        Reader("poses", _files(seeds.poses(), ".json"), _poses),
        Reader("yolo", _files(seeds.yolo(), ".txt"), partial(_poses, yolo=True)),
        Reader("dataset", (seeds.dataset(),), _dataset, mutable=("prompt.json",)),
        Reader("lists", sources.lists(), sources.read, mutable=(".json", ".jsonl", ".csv", ".tsv", ".txt")),
        Reader("tars", sources.tars(), sources.read),
        Reader("tables", sources.tables(), sources.read),
        Reader("run", (seeds.run(),), _run, mutable=(".toml", ".json", ".jsonl")),
        Reader("safetensors", _files(seeds.safetensors(), ".safetensors"), _archive),
        Reader("torch", pickles[:3], _archive, pickles[3:]),
        Reader("headers", tuple(seeds.checkpoint("native", role) for role in ("base", "control")), _described),
        Reader(
            "checkpoint",
            tuple(
                seeds.checkpoint(layout, role) | {"input.yaml": seeds.settings_yaml()}
                for layout in both[:2]
                for role in ("base", "control")
            ),
            _checkpoint,
        ),
        Reader(
            "diffusers",
            tuple(seeds.checkpoint("diffusers", role) for role in ("base", "control", "all")),
            partial(_checkpoint, single=False),
        ),
    ]
