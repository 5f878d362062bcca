"""How a job is computed: batches, graphs, compilation."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from cn.errors import UsageError
from cn.model.base import Base
from cn.model.config import ModelConfig
from cn.sample import speed
from cn.sample.options import AUTO, SpeedOptions, parse_batch_size
from cn.sample.speed import JobSize, batch_size, make_engine
from tests.helpers.model_helpers import tiny_base

CUDA, CPU = torch.device("cuda"), torch.device("cpu")
SD = Base.create(ModelConfig(name="sd15"), "meta")


def job(images: int = 1, steps: int = 20, size: tuple[int, int] = (512, 512)) -> JobSize:
    """On a GPU, without one: in fp16."""
    unet = SD.unet
    base = SimpleNamespace(unet=unet, vae=SD.vae, config=SD.config, device=CUDA, dtype=torch.float16)
    return JobSize(base, (unet.encoder,), size, images, steps)  # type: ignore[arg-type]


GIB = 2.0**30


@pytest.fixture(autouse=True)
def kernels(monkeypatch):
    """What GPU kernels were prepared for."""
    asked: list[object] = []

    def use(networks, device, dtype):
        asked.append((tuple(networks), device, dtype))

    monkeypatch.setattr(speed, "use_kernels", use)
    monkeypatch.setattr(speed, "without_kernels", lambda: asked.append("none"))
    return asked


@pytest.mark.parametrize(
    ("images", "free", "expected"),
    [(1, 100, 1), (5, 100, 5), (64, 100, speed.LARGE_BATCH), (64, 4, 3), (64, 0.5, 1), (64, 0, 1)],
)
def test_images_at_once(images, free, expected):
    assert batch_size(job(images), AUTO, lambda: free * GIB) == expected


def test_small_images_are_many_and_large_ones_few():
    plenty = lambda: 1000 * GIB  # noqa: E731
    assert batch_size(job(1000, size=(256, 256)), AUTO, plenty) == speed.MAX_IMAGES
    assert batch_size(job(1000, size=(1024, 1024)), AUTO, plenty) == 2
    assert batch_size(job(1000), SpeedOptions(batch_size=100), plenty) == 100


def test_on_a_cpu_one_at_a_time():
    def unknown() -> float:
        raise AssertionError

    base = tiny_base()
    assert batch_size(JobSize(base, (), (64, 64), 9, 20), AUTO, unknown) == 1
    assert batch_size(JobSize(base, (), (64, 64), 9, 20), SpeedOptions(batch_size=3), unknown) == 3


def ways(size: JobSize, batch: int = 1, options: SpeedOptions = AUTO, device: torch.device = CUDA) -> tuple[bool, bool]:
    engine = make_engine(size, batch, options, device, pytest.fail)
    return engine.compiled, engine.graphs is not None


def test_what_a_gpu_computes():
    captured, plain, compiled, both = (False, True), (False, False), (True, False), (True, True)
    assert ways(job()) == ways(job(4), 4) == captured
    assert ways(job(steps=speed.MIN_CAPTURED_STEPS - 1)) == plain
    assert ways(job(3, steps=4)) == captured, "12 steps in all"
    assert ways(job(8), 8) == captured, "the CPU saves images meanwhile"
    assert ways(job(16), 16) == plain, "the GPU is busy, and a graph takes memory"
    assert ways(job(100_000)) == captured, "compiled only if that is asked for"
    assert ways(job(), options=SpeedOptions(compile=True)) == both
    assert ways(job(16), 16, options=SpeedOptions(compile=True)) == compiled
    assert ways(job(), options=SpeedOptions(compile=False)) == plain
    assert ways(job(), device=CPU) == plain
    assert ways(job(), device=CPU, options=SpeedOptions(compile=True)) == compiled


def test_kernels_are_for_gpus_in_half_precision(kernels):
    ways(job())
    unet, vae, control = SD.unet, SD.vae, SD.unet.encoder
    assert kernels == [((unet, vae, control), CUDA, torch.float16)]
    kernels.clear()
    precise = job()
    precise.base.dtype = torch.float32  # type: ignore[misc]
    ways(precise)
    ways(job(), device=CPU)
    assert not kernels
    ways(job(), options=SpeedOptions(compile=False))
    assert kernels == ["none"], "those of an earlier job are not used any more"


def test_where_kernels_cannot_be_compiled(monkeypatch):
    """Sampling goes on without them, and says why it is slower."""
    told: list[str] = []
    monkeypatch.setattr(speed, "_told", set())
    monkeypatch.setattr(speed, "use_kernels", lambda networks, device, dtype: "no C compiler")
    for _ in range(2):
        assert make_engine(job(), 1, AUTO, CUDA, told.append).graphs is not None
    (message,) = told
    assert "no C compiler" in message


def test_a_small_base_is_captured_in_large_batches():
    small = replace(job(32), size=(64, 64))
    assert ways(small, 32) == (False, True)


@pytest.mark.parametrize("text", ["auto", "4"])
def test_words(text):
    assert parse_batch_size(text) == (None if text == "auto" else 4)


@pytest.mark.parametrize("text", ["", "many", "1.5", "0x4"])
def test_wrong_words(text):
    with pytest.raises(UsageError, match="--batch-size must be a number or auto"):
        parse_batch_size(text)


@pytest.mark.parametrize("number", [0, -1, 10_000])
def test_wrong_numbers(number):
    with pytest.raises(UsageError, match="--batch-size must be"):
        SpeedOptions(batch_size=number)


def test_the_memory_of_texts():
    """Keys and values: 2 × 2 × 77 tokens × the widths of 16 and 7 layers, in fp16, and once more in a graph."""
    unet, control = 5 * 320 + 5 * 640 + 6 * 1280, 2 * 320 + 2 * 640 + 3 * 1280
    assert job().text_bytes == 2 * (2 * 2 * 77 * (unet + control) * 2)
    assert job().text_bytes < 0.03 * job().image_bytes
    long = replace(job(64), chunks=40)
    assert long.text_bytes == 40 * job().text_bytes
    assert batch_size(long, AUTO, lambda: 8 * GIB) < batch_size(job(64), AUTO, lambda: 8 * GIB)
