"""Rows of `make bench` about `cn detect`: images per second, seconds for one, and how that compares.

Networks have random weights, because time does not depend on them.
"""

import functools
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cn.conditions import ConditionInfo
from cn.detect import registry
from cn.detect.detector import Detection, Detector, WithoutNetwork
from cn.detect.lines.canny import CannyDetector
from cn.detect.run import batch, inputs, jobs, schedule
from cn.images import SUFFIXES

CN = Path(sys.executable).with_name("cn")
PLAIN = Path(__file__).with_name("bench_plain.py")
PHOTOGRAPHS = 500
WARM_UP = 2
"""Images before the rate is measured: the first ones wait for code that is generated for their size."""


@dataclass(frozen=True)
class Case:
    """One method of detecting, and how many photographs are enough to measure its rate."""

    name: str
    kind: str
    count: int
    options: tuple[str, ...] = ()
    network: str | None = None
    """Module and class of the network in `cn.detect.nets`."""


ENOUGH = {
    "canny": 100,
    "lsd": 100,
    "gradient": 40,
    "standard": 60,
    "MLSDLarge": 24,
    "MLSDTiny": 60,
    "ControlNetHED": 16,
    "BSDS500HED": 16,
    "TIN": 12,
    "Anime2Sketch": 20,
    "BodyNetwork": 12,
    "LightBodyNetwork": 24,
    "ShuffleNetV2K16": 24,
    "ShuffleNetV2K30": 12,
    "UniFormerUPerNet": 6,
    "DeepLabV2MSC": 6,
    "DPTHybrid": 12,
    "MidasSmall": 60,
}
"""How many photographs are enough, by kind, method or class of the network; others are not measured."""


def cases(kind: str) -> Iterator[Case]:
    """The methods and networks of a kind; for `scribble`, which is made of soft edges, those without weights only."""
    row = registry.kind_spec(kind)
    if row.family is None:
        yield Case(kind, kind, ENOUGH[kind])
        return
    for method in registry.methods(row.family):
        if not method.networks:
            yield Case(f"{kind}, {method.name}", kind, ENOUGH[method.name], ("--method", method.name))
        elif registry.kinds_of(row.family)[0] == kind:
            measured = (spec for spec in method.networks if spec.class_name in ENOUGH)
            yield from (Case(f"{kind}, {spec.title}", kind, ENOUGH[spec.class_name], (), spec.net) for spec in measured)


def photographs(folder: Path, count: int = PHOTOGRAPHS) -> Path:
    """`count` JPEG files of 512×512: scikit-image's photographs, turned and cut."""
    from skimage import data

    originals = [data.astronaut(), data.coffee(), data.chelsea(), data.rocket()]
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(count):
        image = Image.fromarray(originals[number % len(originals)]).resize((760, 640)).rotate(rng.uniform(-10, 10))
        x, y = int(rng.integers(60, 190)), int(rng.integers(40, 90))
        image.crop((x, y, x + 512, y + 512)).save(folder / f"{number:03}.jpg", quality=90)
    return folder


def canny_rows() -> Iterator[tuple[str, str, str]]:
    """`cn detect canny` on 500 photographs: three rounds, compared with a plain loop and with reading and writing."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = photographs(folder / "photographs")
        taken: dict[str, list[float]] = {"plain": [], "cn": [], "two": []}
        commands = {
            "plain": [sys.executable, PLAIN, "canny", source, folder / "plain"],
            "cn": [CN, "detect", "canny", source, folder / "cn", "--overwrite", "--quiet"],
            "two": [CN, "detect", "canny", source, folder / "cn", "--overwrite", "--quiet", "--workers", "2"],
        }
        for _ in range(3):
            for key, command in commands.items():
                start = time.perf_counter()
                subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
                taken[key].append(time.perf_counter() - start)
        plain, ours, two = (min(taken[key]) for key in commands)
        yield f"canny, {PHOTOGRAPHS} × 512²: plain loop of Pillow + cv2", f"{PHOTOGRAPHS / plain:.0f} images/s", ""
        yield "  cn detect canny", f"{PHOTOGRAPHS / ours:.0f} images/s, {plain / ours:.2f} × plain", "≥ 1.8 ×"
        yield "  cn detect canny --workers 2", f"{PHOTOGRAPHS / two:.0f} images/s, {plain / two:.2f} × plain", ""
        alone, pillow = _share_of_files(source, folder)
        yield "  over reading and writing alone, by Pillow's defaults", f"{pillow:.2f}", "≥ 0.9"
        yield "  over reading and writing alone, by cn's", f"{alone:.2f}", ""


@dataclass(frozen=True)
class _Ready(WithoutNetwork):
    """Maps that are finished already."""

    kind: ClassVar[str] = "canny"
    maps: dict[str, NDArray[np.uint8]] = field(default_factory=dict)

    def info(self, key: str) -> ConditionInfo:
        return self.condition_info("ready", {})

    def detect(self, images: list[NDArray[np.uint8]], keys: list[str]) -> list[Detection]:  # type: ignore[override]
        return [Detection(self.maps[key]) for key in keys]


def _share_of_files(source: Path, folder: Path) -> tuple[float, float]:
    """Time of reading, writing over that of the whole, start-up left out: with cn's files, and Pillow's defaults."""
    found = inputs.find(str(source), "", suffixes=SUFFIXES)
    todo = list(jobs.of(found, str(folder / "again")))
    canny = CannyDetector()
    with_maps = {job.key: canny.detect([canny.read(job.source)], [job.key])[0].map for job in todo}

    def run(detector: Detector) -> float:
        start = time.perf_counter()
        outcomes = schedule.run(batch.Pipeline(detector, overwrite=True), todo, len(todo), 1)
        assert all(outcome.status == "written" for outcome in outcomes)
        return time.perf_counter() - start

    def by_pillow(job: jobs.Job) -> None:
        np.asarray(Image.open(job.source).convert("RGB"))
        Image.fromarray(with_maps[job.key]).save(job.output)

    def pillow() -> float:
        from cn.parallel import map_threads

        start = time.perf_counter()
        assert all(done.error is None for done in map_threads(by_pillow, todo, 2))
        return time.perf_counter() - start

    whole, files, defaults = (
        min(times) for times in zip(*((run(canny), run(_Ready(with_maps)), pillow()) for _ in range(3)), strict=True)
    )
    return files / whole, defaults / whole


def kind_rows(kind: str) -> Iterator[tuple[str, str, str]]:
    """A kind: images per second in a folder, seconds for one, and networks compared with running them plainly."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = photographs(folder / "photographs", max(case.count for case in cases(kind)))
        for case in cases(kind):
            yield _row(case, folder, source)


def _row(case: Case, folder: Path, source: Path) -> tuple[str, str, str]:
    inputs_folder = folder / case.name.replace(" ", "-").replace("/", "-")
    inputs_folder.mkdir()
    for path in sorted(source.iterdir())[: case.count]:
        (inputs_folder / path.name).hardlink_to(path)
    options = list(case.options)
    if case.network:
        weights = folder / f"{case.network}.safetensors"
        _make_weights(case.network, weights)
        options += ["--weights", str(weights), "--device", "cpu"]
    words = [str(CN), "detect", case.kind, str(inputs_folder), str(folder / "out"), "--overwrite", *options]
    rates = [_rate(words)]
    comparison = ""
    if case.network:
        plain = [sys.executable, str(PLAIN), case.kind, str(inputs_folder), str(folder / "plain"), str(weights)]
        plain_rates = [_rate(plain)]
        rates.append(_rate(words))
        plain_rates.append(_rate(plain))
        comparison = f", {max(rates) / max(plain_rates):.2f} × image by image"
    single = [*words[:3], str(next(iter(sorted(inputs_folder.iterdir())))), str(folder / "one.png"), *words[5:]]
    seconds = statistics.median(_seconds(single) for _ in range(3))
    return (
        f"detect {case.name}",
        f"{max(rates):.3g} images/s{comparison}; one: {seconds:.1f} s",
        "≥ 1.3 ×" * bool(comparison),
    )


def decoder_rows() -> Iterator[tuple[str, str, str]]:
    """From a network's fields to people, ten in 512×512, in one thread: the median of 30."""
    import torch

    # The tests' fields of known people are in every checkout.
    sys.path.insert(0, str(Path(__file__).parent.parent))
    from cn.detect.pose import openpose_body, openpose_decoder, pifpaf_decoder
    from cn.detect.pose.upsampled_maps import Fields
    from tests.helpers import pifpaf_fields, pose_fields

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    people = np.array(
        [pose_fields.placed(n, 10 + 100 * (n % 5), 10 + 250 * (n // 5) + rng.uniform(0, 8), 200) for n in range(10)]
    )

    def decode(maps: pose_fields.Maps, height: int) -> None:
        heat, affinities = (Fields([openpose_body.scaled_maps(some, (height, height), (512, 512))]) for some in maps)
        openpose_decoder.decode(heat, affinities, openpose_decoder.OPENPOSE)

    for name, height in (("at scale 0.5", 184), ("at scale 1", 368)):
        maps = pose_fields.maps_of(people, (height // 8, height // 8), 512 * 8 / height)

        taken = _milliseconds(functools.partial(decode, maps, height))
        yield f"decoding ten people, OpenPose {name}", f"{taken:.1f} ms", "≤ 15 ms"
    cif, caf = pifpaf_fields.fields(pifpaf_fields.crowd())
    yield (
        "decoding ten people, OpenPifPaf",
        f"{_milliseconds(lambda: pifpaf_decoder.decode(cif, caf)):.1f} ms",
        "≤ 15 ms",
    )
    torch.set_num_threads(threads)


def _milliseconds(work: Callable[[], object]) -> float:
    times = []
    for _ in range(33):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return 1000 * statistics.median(times[3:])


def _rate(words: list[str]) -> float:
    """Images a second of a command that prints a line for each, start-up left out."""
    moments = []
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        moments = [time.perf_counter() for _ in process.stdout]
    assert process.returncode == 0, words
    return (len(moments) - 1 - WARM_UP) / (moments[-1] - moments[WARM_UP])


def _seconds(words: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def _make_weights(network: str, path: Path) -> None:
    import importlib

    import torch
    from safetensors.torch import save_file

    module, _, name = network.rpartition(".")
    torch.manual_seed(0)
    make: Callable[[], torch.nn.Module] = getattr(importlib.import_module(f"cn.detect.nets.{module}"), name)
    save_file({key: value.contiguous() for key, value in make().state_dict().items()}, path)
