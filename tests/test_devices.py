"""The values of `--device` and `--precision`."""

from types import SimpleNamespace

import pytest
import torch

from cn.devices import choose_device, sampling_dtype
from cn.errors import UsageError
from cn.precision import precision_of

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def machine(monkeypatch):
    """Sets what the machine has."""

    def install(cuda: int = 0, mps: bool = False) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return install


@pytest.mark.parametrize(
    ("has", "chosen"), [({}, "cpu"), ({"mps": True}, "mps"), ({"cuda": 1}, "cuda"), ({"cuda": 1, "mps": True}, "cuda")]
)
def test_auto_is_the_best_available(machine, has, chosen):
    machine(**has)
    assert choose_device("auto") == torch.device(chosen)


def test_available_devices(machine):
    machine(cuda=2, mps=True)
    for name in ("cpu", "cuda", "cuda:1", "mps"):
        assert choose_device(name) == torch.device(name)


@pytest.mark.parametrize(("name", "cuda"), [("cuda", 0), ("cuda:0", 0), ("cuda:2", 2), ("mps", 1)])
def test_unavailable_devices(machine, name, cuda):
    machine(cuda=cuda)
    with pytest.raises(UsageError, match=f"--device {name}: this machine has"):
        choose_device(name)


@pytest.mark.parametrize("name", ["", "gpu", "meta", "cuda:x", "xpu", "AUTO"])
def test_invalid_devices(machine, name):
    machine(cuda=1)
    with pytest.raises(UsageError, match="--device must be auto, cpu"):
        choose_device(name)


def test_precision():
    assert sampling_dtype("auto", CPU) == torch.float32
    assert sampling_dtype("auto", CUDA) == torch.float16
    for name, dtype in (("fp32", torch.float32), ("bf16", torch.bfloat16), ("fp16", torch.float16)):
        assert sampling_dtype(name, CPU) == sampling_dtype(name, CUDA) == dtype
        assert precision_of(dtype) == name
    with pytest.raises(UsageError, match="--precision"):
        sampling_dtype("fp8", CPU)


@pytest.mark.parametrize(
    ("precision", "device", "kept"),
    [("fp32", CUDA, False), ("fp32", CPU, True), ("fp16", CUDA, True), ("bf16", CUDA, True), ("auto", CUDA, True)],
)
def test_float32_on_cuda_is_float32(monkeypatch, precision, device, kept):
    """TF32 rounds to ten bits; it goes off where float32 is asked for, for convolutions and products alike."""
    for name in ("cudnn", "cuda"):  # the real ones hold for the process, and would not come back
        flags = SimpleNamespace(allow_tf32=True, matmul=SimpleNamespace(allow_tf32=True))
        monkeypatch.setattr(torch.backends, name, flags)
    assert sampling_dtype(precision, device).is_floating_point
    assert torch.backends.cudnn.allow_tf32 is kept
    assert torch.backends.cuda.matmul.allow_tf32 is kept
