"""Training steps with kernels, interpreted on the CPU, against those without; and where layers use them."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from cn.model import kernel_choice
from cn.model.config import ScheduleConfig, UNetConfig
from cn.model.controlnet import ControlNet
from cn.model.schedule import Schedule
from cn.model.unet import UNet
from cn.train.fast.locked import half_norms, hold
from cn.train.loss import diffusion_loss
from cn.train.networks import checkpoint_blocks
from tests.helpers.interpreted import interpreted, run_interpreted, starts_process

pytest.importorskip("triton")


@starts_process
def test_interpreted() -> None:
    """All tests of this file that need it."""
    run_interpreted(__file__)


def networks() -> tuple[UNet, ControlNet]:
    """Narrow ones, of every kind of block."""
    torch.manual_seed(0)
    config = UNetConfig(
        channels=(16, 24, 24), strides=(2, 2), attention_levels=(0, 1), groups=8, context_dim=24, res_blocks=1
    )
    unet = UNet(config)
    return unet.train(), ControlNet.from_unet(unet).gaussian_zero_convolutions().train().requires_grad_(True)


def step_of(
    unet: UNet, control: ControlNet, size: tuple[int, int], autocast: torch.dtype | None = None
) -> dict[str, Tensor]:
    """The loss of a step, and all gradients."""
    torch.manual_seed(1)
    z0, noise, text = *torch.randn(2, 2, 4, *size), torch.randn(2, 77, 24)
    t, hint = torch.tensor([700, 20]), torch.rand(2, 3, 8 * size[0], 8 * size[1])
    parameters = {
        f"{number}.{name}": p
        for number, network in enumerate((unet, control))
        for name, p in network.named_parameters()
        if p.requires_grad
    }
    for p in parameters.values():
        p.grad = None
    with torch.autocast("cpu", autocast, enabled=autocast is not None):
        loss = diffusion_loss(unet, control, Schedule(ScheduleConfig()), z0, hint, text, t, noise)
    loss.backward()
    gradients = {name: p.grad for name, p in parameters.items() if p.grad is not None}
    assert gradients.keys() == parameters.keys()
    return {"loss": loss.detach(), **gradients}


@pytest.fixture
def with_kernels(monkeypatch: pytest.MonkeyPatch) -> Callable[[torch.dtype], list[Tensor]]:
    """From the call on, layers use kernels on the CPU in this precision; the maps that they were asked for."""

    def begin(dtype: torch.dtype) -> list[Tensor]:
        kernels, asked = kernel_choice._load_training(torch.device("cpu"), dtype), list[Tensor]()

        def of(x: Tensor) -> object:
            asked.append(x)
            return kernels if x.dtype == dtype else None

        monkeypatch.setattr(kernel_choice, "kernels_of", of)
        return asked

    return begin


@interpreted
@pytest.mark.parametrize("recompute", [False, True])
def test_a_training_step(recompute: bool, with_kernels: Callable[[torch.dtype], list[Tensor]]) -> None:
    """Loss and all gradients of a U-Net and its control, also where blocks recompute their activations."""
    unet, control = networks()
    wanted = step_of(unet, control, (6, 10))
    asked = with_kernels(torch.float32)
    for network in (unet, control):
        network.to(memory_format=torch.channels_last)
        if recompute:
            checkpoint_blocks(network)
    for name, found in step_of(unet, control, (6, 10)).items():
        want = wanted[name]
        assert float((found - want).norm()) <= 1e-4 * max(float(want.norm()), 1e-3), name
    assert len(asked) > 60


@interpreted
def test_a_training_step_under_autocast(
    with_kernels: Callable[[torch.dtype], list[Tensor]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `cn train` runs it: the U-Net held in half precision, the control in fp32. No less exact than without kernels,
    no map in another precision or layout, and no gradient copied to that layout."""
    dtype = torch.bfloat16
    unet, control = networks()
    unet.requires_grad_(False)
    exact = step_of(unet, control, (8, 4))
    hold(unet.encoder, dtype)
    hold(unet.decoder, dtype)
    half_norms(control, dtype)
    plain = step_of(unet, control, (8, 4), dtype)
    asked, copied = with_kernels(dtype), list[tuple[int, ...]]()
    for network in (unet, control):
        network.to(memory_format=torch.channels_last)
    contiguous = Tensor.contiguous

    def counted(x: Tensor, **layout: torch.memory_format) -> Tensor:
        # `ControlNet.encode` alone asks for torch's default layout.
        if layout and not x.is_contiguous(**layout):
            copied.append(x.stride())
        return contiguous(x, **layout)

    def refuse(*args: object) -> Tensor:
        raise AssertionError("torch normalizes")

    with monkeypatch.context() as patched:
        patched.setattr(Tensor, "contiguous", counted)
        for module in (*unet.modules(), *control.modules()):
            if isinstance(module, torch.nn.GroupNorm | torch.nn.LayerNorm):
                patched.setattr(module, "forward", refuse)
        found = step_of(unet, control, (8, 4), dtype)
    assert copied == []
    assert len(asked) > 60
    # Autocast takes the condition itself, in color, in fp32.
    assert {x.dtype for x in asked if x.shape[1] != 3} == {dtype}

    def error(of: dict[str, Tensor]) -> float:
        ours, right = (torch.cat([x.flatten() for x in gradients.values()]) for gradients in (of, exact))
        return float((ours - right).norm() / right.norm())

    assert error(found) < max(1.2 * error(plain), 1e-3)
    assert all(found[name].dtype == torch.float32 for name in found)


@starts_process
def test_where_kernels_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a prepared GPU, in half precision; those with gradients where they are needed, those without elsewhere."""
    gpu = torch.device("cuda", 0)
    monkeypatch.setattr(kernel_choice, "_kernels", {gpu: "plain"})
    monkeypatch.setattr(kernel_choice, "_training", {gpu: "training"})
    with FakeTensorMode():
        half, single = (torch.empty(2, 8, 4, 4, dtype=dtype, device=gpu) for dtype in (torch.float16, torch.float32))
        assert kernel_choice.kernels_of(half) == "training"
        assert kernel_choice.kernels_of(single) is None
        assert kernel_choice.kernels_of(half.cpu()) is None
        with torch.no_grad():
            assert kernel_choice.kernels_of(half) == "plain"
        with monkeypatch.context() as autocast:
            autocast.setattr(torch, "is_autocast_enabled", lambda device: device == "cuda")
            assert kernel_choice.kernels_of(half) == "training"
            assert kernel_choice.fit(half, single)
            with torch.no_grad():
                assert kernel_choice.kernels_of(half) is None
        assert not kernel_choice.fit(half, single)
        assert kernel_choice.kernels_for(half, half) is None
        assert kernel_choice.kernels_for(half.to(memory_format=torch.channels_last), half) == "training"
        monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
        assert kernel_choice.kernels_of(half) is None


@starts_process
def test_without_triton(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks stay as they are, and the reason is returned."""

    def fail(device: torch.device, dtype: torch.dtype) -> None:
        raise ImportError("No module named 'triton'")

    conv = torch.nn.Conv2d(8, 8, 3)
    monkeypatch.setattr(kernel_choice, "_load_training", fail)
    assert kernel_choice.use_training_kernels([conv], torch.device("cpu"), torch.half) == "No module named 'triton'"
    assert conv.weight.is_contiguous()
    monkeypatch.setattr(kernel_choice, "_training", {})
    monkeypatch.setattr(kernel_choice, "_load_training", lambda device, dtype: "kernels")
    assert kernel_choice.use_training_kernels([conv], torch.device("cpu"), torch.half) is None
    assert conv.weight.is_contiguous(memory_format=torch.channels_last)
    assert kernel_choice._training == {torch.device("cpu"): "kernels"}
