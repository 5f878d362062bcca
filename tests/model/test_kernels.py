"""The kernels for GPUs against torch: interpreted on the CPU, in a process of their own that Triton has to be told."""

import subprocess
from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.helpers.interpreted import interpreted, run_interpreted, starts_process

pytest.importorskip("triton")


@starts_process
def test_interpreted() -> None:
    """All other tests of this file."""
    run_interpreted(__file__)


def channels_last(*shape: int) -> Tensor:
    return (torch.randn(*shape) * 2 + 5).contiguous(memory_format=torch.channels_last)


@interpreted
@pytest.mark.parametrize(("silu", "added", "shifted"), [(False, False, False), (True, True, False), (True, True, True)])
@pytest.mark.parametrize(
    ("shape", "groups"),
    [
        ((2, 64, 8, 8), 32),  # Held whole.
        ((1, 40, 9, 7), 8),  # The same, of odd sizes.
        ((2, 320, 16, 16), 32),  # In parts, two for each image.
        ((1, 96, 24, 20), 32),  # The last part is smaller.
        ((1, 1200, 12, 11), 8),  # Groups of more channels than are written at once.
        ((1, 32, 130, 140), 32),  # Moments of more parts than are joined at once with 8 channels a group.
        ((1, 64, 130, 140), 8),
    ],
)
def test_group_norm(shape: tuple[int, ...], groups: int, silu: bool, added: bool, shifted: bool) -> None:
    from cn.model.kernels.norm import group_norm

    torch.manual_seed(0)
    x, (weight, bias, more) = channels_last(*shape), torch.randn(3, shape[1])
    by = torch.randn(shape[0], shape[1]) * 3
    found = group_norm(
        x, groups, weight, bias, 1e-5, added=more if added else None, shift=by if shifted else None, silu=silu
    )
    x = x + more[:, None, None] * added + by[:, :, None, None] * shifted
    wanted = F.group_norm(x.double(), groups, weight.double(), bias.double(), 1e-5)
    wanted = F.silu(wanted) if silu else wanted
    assert found.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=2e-4)


@interpreted
def test_group_norm_of_a_large_mean() -> None:
    """The variance is that of differences from the mean: of sums of squares nothing would remain here."""
    from cn.model.kernels.norm import group_norm

    torch.manual_seed(0)
    x = (torch.randn(1, 32, 20, 20) + 3000).contiguous(memory_format=torch.channels_last)
    one, zero = torch.ones(32), torch.zeros(32)
    wanted = F.group_norm(x.double(), 8, one.double(), zero.double())
    torch.testing.assert_close(group_norm(x, 8, one, zero, 1e-5).double(), wanted, rtol=0, atol=2e-3)


@interpreted
@pytest.mark.parametrize("channels", [40, 320, 1280])
def test_layer_norm(channels: int) -> None:
    from cn.model.kernels.rows import add_layer_norm, layer_norm

    torch.manual_seed(0)
    a, b, (weight, bias) = torch.randn(2, 37, channels), torch.randn(2, 37, channels) + 4, torch.randn(2, channels)
    torch.testing.assert_close(layer_norm(b, weight, bias, 1e-5), F.layer_norm(b, (channels,), weight, bias))
    total, normalized = add_layer_norm(a, b, weight, bias, 1e-5)
    torch.testing.assert_close(total, a + b)
    torch.testing.assert_close(normalized, F.layer_norm(a + b, (channels,), weight, bias))


@interpreted
def test_elementwise() -> None:
    from cn.model.kernels.rows import add, enlarge, geglu, join

    torch.manual_seed(0)
    x = torch.randn(2, 5, 2600) * 3
    value, gate = x.chunk(2, dim=-1)
    torch.testing.assert_close(geglu(x), value * F.gelu(gate))
    a, b, c, bias = (
        channels_last(1, 40, 5, 3),
        channels_last(1, 1100, 5, 3),
        channels_last(1, 1100, 5, 3),
        torch.randn(40),
    )
    torch.testing.assert_close(add(a, a, bias), a + a + bias[:, None, None])
    torch.testing.assert_close(join(a, b, c), torch.cat([a, b + c], dim=1))
    twice = torch.cat([a, a]).contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(
        join(twice, b, torch.cat([b, c])), torch.cat([twice, torch.cat([b, b]) + torch.cat([b, c])], 1)
    )
    for stride in (2, 4):
        assert enlarge(b, stride).equal(F.interpolate(b, scale_factor=stride, mode="nearest"))
    for made in (add(a, a, bias), join(a, b, c), enlarge(b, 2)):
        assert made.is_contiguous(memory_format=torch.channels_last)


@pytest.fixture
def used(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The layers use kernels on the CPU in float32 too; how often each was, and how often none could be ("")."""
    from cn.model import kernel_choice

    counts: Counter[str] = Counter()
    kernels, of = kernel_choice._load(torch.device("cpu"), torch.float32), kernel_choice.kernels_for

    def counted(name: str, kernel: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **options: Any) -> Any:
            counts[name] += 1
            return kernel(*args, **options)

        return run

    def looked_up(x: Tensor, weight: Tensor | None) -> object:
        found = of(x, weight)
        counts[""] += found is None
        return found

    counting = SimpleNamespace(**{name: counted(name, kernel) for name, kernel in vars(kernels).items()})
    monkeypatch.setattr(kernel_choice, "kernels_of", lambda x: counting)
    monkeypatch.setattr(kernel_choice, "kernels_for", looked_up)
    return counts


@interpreted
@torch.no_grad()
def test_networks(used: Counter[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A U-Net with a control, and an autoencoder: the same with kernels, for sizes that halve to odd ones too."""
    from cn.model import kernel_choice
    from cn.model.config import UNetConfig, VAEConfig
    from cn.model.controlnet import ControlNet
    from cn.model.unet import UNet
    from cn.model.vae import AutoencoderKL

    torch.manual_seed(0)
    unet = UNet(
        UNetConfig(
            channels=(16, 32, 32), strides=(2, 2), attention_levels=(0, 1), groups=8, context_dim=24, res_blocks=1
        )
    )
    control = ControlNet.from_unet(unet).gaussian_zero_convolutions()
    vae = AutoencoderKL(VAEConfig(channels=(16, 32), groups=8, res_blocks=1))
    z, t, text = torch.randn(1, 4, 6, 10), torch.tensor([700.0]), torch.randn(2, 77, 24)
    encoded = control.encode(torch.rand(1, 3, 48, 80), (6, 10))

    def predict() -> list[Tensor]:
        controlled = unet(z, t, text, control.residuals(z, t, text, encoded))
        return [controlled, unet(z, t, text), vae.decode(z), vae.encode(z[:, :3]).mean]

    with monkeypatch.context() as plain:
        plain.setattr(kernel_choice, "kernels_of", lambda x: None)
        wanted = predict()
    used.clear()
    for network in (unet, control, vae):
        network.to(memory_format=torch.channels_last)
    for found, want in zip(predict(), wanted, strict=True):
        torch.testing.assert_close(found, want, rtol=1e-4, atol=1e-4)
    assert used.pop("", 0) == 0, "where a kernel could not be used"
    assert set(used) == {"group_norm", "layer_norm", "add_layer_norm", "geglu", "add", "join", "enlarge"}


@starts_process
def test_without_triton_or_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks stay as they are, and the reason is returned."""
    from cn.model import kernel_choice

    conv = torch.nn.Conv2d(8, 8, 3)
    compiler = subprocess.CalledProcessError(1, ["gcc"])
    for error, words in (
        (ImportError("No module named 'triton'"), "No module named 'triton'"),
        (RuntimeError("Failed to find C compiler.\nSet CC."), "Failed to find C compiler."),
        (AssertionError(), "AssertionError"),
        (compiler, "Python.h"),
    ):

        def fail(device: torch.device, dtype: torch.dtype, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(kernel_choice, "_loading", {})
        monkeypatch.setattr(kernel_choice, "_load", fail)
        reason = kernel_choice.use_kernels([conv], torch.device("cpu"), torch.half)
        assert reason is not None
        assert words in reason
        assert conv.weight.is_contiguous()
        assert not kernel_choice._kernels


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> object:
    """What stands for the kernels of the CPU."""
    from cn.model import kernel_choice

    kernels = object()
    for name in ("_loading", "_kernels", "_training"):
        monkeypatch.setattr(kernel_choice, name, {})
    for name in ("_load", "_load_training"):
        monkeypatch.setattr(kernel_choice, name, lambda device, dtype: kernels)
    return kernels


@starts_process
def test_networks_are_prepared(loaded: object) -> None:
    from cn.model import kernel_choice

    conv = torch.nn.Conv2d(8, 8, 3)
    assert kernel_choice.use_kernels([conv], torch.device("cpu"), torch.half) is None
    assert conv.weight.is_contiguous(memory_format=torch.channels_last)
    assert kernel_choice._kernels == {torch.device("cpu"): loaded}
    kernel_choice.without_kernels()
    assert not kernel_choice._kernels


@starts_process
def test_maps_that_kernels_take(loaded: object, monkeypatch: pytest.MonkeyPatch) -> None:
    """In half precision on a prepared GPU, without gradients, autocast and torch.compile; channels last."""
    from cn.model import kernel_choice

    kernel_choice._kernels[torch.device("cuda", 0)] = loaded
    half = SimpleNamespace(is_cuda=True, dtype=torch.half, device=torch.device("cuda", 0))
    with torch.no_grad():
        assert kernel_choice.kernels_of(half) is loaded  # type: ignore[arg-type]
        other = {"is_cuda": False}, {"dtype": torch.float32}, {"device": torch.device("cuda", 1)}
        for change in other:
            assert kernel_choice.kernels_of(SimpleNamespace(**vars(half) | change)) is None  # type: ignore[arg-type]
        for module, name in ((torch.compiler, "is_compiling"), (torch, "is_autocast_enabled")):
            with monkeypatch.context() as patched:
                patched.setattr(module, name, lambda *device: True)
                assert kernel_choice.kernels_of(half) is None  # type: ignore[arg-type]
        map_, weight = channels_last(1, 8, 3, 3), torch.ones(8)
        monkeypatch.setattr(kernel_choice, "kernels_of", lambda x: loaded)
        assert kernel_choice.kernels_for(map_, weight) is loaded
        assert kernel_choice.kernels_for(map_.contiguous(), weight) is None
        assert kernel_choice.kernels_for(map_, weight.half()) is None
    monkeypatch.undo()
    assert kernel_choice.kernels_of(half) is None  # type: ignore[arg-type]


@starts_process
def test_rows_are_repeated() -> None:
    from cn.model.layers import join, repeated

    x, skip = channels_last(4, 8, 3, 3), channels_last(2, 8, 3, 3)
    assert repeated(skip, 4).equal(torch.cat([skip, skip]))
    assert repeated(skip, 4).is_contiguous(memory_format=torch.channels_last)
    assert repeated(skip[:1], 1) is not None
    assert repeated(x, 2) is x, "what has more rows is broadcast"
    with pytest.raises(ValueError, match="2 rows cannot become 3"):
        repeated(skip, 3)
    with pytest.raises(RuntimeError):
        join(x, channels_last(2, 8, 2, 2), channels_last(4, 8, 2, 2))
