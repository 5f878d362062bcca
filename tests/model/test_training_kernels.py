"""The kernels that torch differentiates, against torch in float64; interpreted on the CPU, as in `test_kernels`."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.helpers.interpreted import interpreted, run_interpreted, starts_process

pytest.importorskip("triton")
CLOSE = 2e-5


@starts_process
def test_interpreted() -> None:
    """All other tests of this file."""
    run_interpreted(__file__)


def channels_last(*shape: int) -> Tensor:
    return (torch.randn(*shape) * 2 + 5).contiguous(memory_format=torch.channels_last)


def compare(found: Callable[..., Tensor], wanted: Callable[..., Tensor], *given: Tensor, close: float = CLOSE) -> None:
    """Results and the gradients of all that is given, for a random gradient of the result; theirs in float64."""
    ours = [x.detach().clone().requires_grad_() for x in given]
    exact = [x.detach().double().requires_grad_() for x in given]
    result, expected = found(*ours), wanted(*exact)
    slope = torch.randn_like(result)
    result.backward(slope)
    expected.backward(slope.double())
    pairs = [(result, expected), *((x.grad, y.grad) for x, y in zip(ours, exact, strict=True))]
    for number, (mine, right) in enumerate(pairs):
        assert mine is not None
        assert right is not None
        assert mine.dtype == (given[number - 1] if number else result).dtype
        assert float((mine.double() - right).detach().norm() / right.detach().norm()) < close, number


OPTIONS = [(False, False, False), (True, False, False), (True, True, False), (False, False, True), (True, True, True)]


@interpreted
@pytest.mark.parametrize(("silu", "added", "shifted"), OPTIONS)
@pytest.mark.parametrize(
    ("shape", "groups", "many"),
    [
        ((3, 64, 4, 4), 32, 512),  # A small map; groups of 2 channels, all 64 in one program.
        ((2, 96, 9, 7), 32, 512),  # Odd sizes, two programs of 48 channels; more cells than a program holds at once.
        ((2, 40, 19, 17), 8, 1),  # Whole images, in several steps, the last of which is smaller; idle columns.
        ((1, 70, 12, 11), 10, 1),  # Groups of 7 channels, of which no aligned number fits.
        ((2, 96, 19, 17), 32, 512),  # In parts, of channels too.
        ((1, 300, 12, 11), 2, 512),  # A group of more channels than fit together with others, in parts.
        ((1, 300, 8, 8), 2, 512),
    ],
)
def test_group_norm(
    shape: tuple[int, ...],
    groups: int,
    many: int,
    silu: bool,
    added: bool,
    shifted: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from cn.model.kernels import gradients, norm_training

    monkeypatch.setattr(norm_training, "MANY", many)
    torch.manual_seed(0)
    weight, bias, more = torch.randn(3, shape[1])
    extra = [more] * added + [torch.randn(shape[:2]) * 3] * shifted

    def split(rest: tuple[Tensor, ...]) -> tuple[Tensor | None, Tensor | None]:
        return rest[0] if added else None, rest[-1] if shifted else None

    def found(x: Tensor, weight: Tensor, bias: Tensor, *rest: Tensor) -> Tensor:
        more, by = split(rest)
        y = gradients.group_norm(x, groups, weight, bias, 1e-5, added=more, shift=by, silu=silu)
        assert y.is_contiguous(memory_format=torch.channels_last)
        return y

    def wanted(x: Tensor, weight: Tensor, bias: Tensor, *rest: Tensor) -> Tensor:
        more, by = split(rest)
        x = x if more is None else x + more[:, None, None]
        x = x if by is None else x + by[:, :, None, None]
        y = F.group_norm(x, groups, weight, bias, 1e-5)
        return F.silu(y) if silu else y

    compare(found, wanted, channels_last(*shape), weight, bias, *extra)


@interpreted
@pytest.mark.parametrize("many", [1, 512])
def test_gradients_of_two_uses_of_a_map(many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of whole images and in parts, and where one of the uses has none."""
    from cn.model.kernels import gradients, norm_training

    monkeypatch.setattr(norm_training, "MANY", many)
    torch.manual_seed(0)
    x, weight, bias = channels_last(2, 32, 13, 11), torch.randn(32), torch.randn(32)
    mix = torch.randn_like(x)

    def found(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        again, y = gradients.fork_group_norm(x, 8, weight, bias, 1e-5, silu=True)
        return again * mix.to(x.dtype) + y

    def wanted(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        return x * mix.to(x.dtype) + F.silu(F.group_norm(x, 8, weight, bias))

    compare(found, wanted, x, weight, bias)
    compare(lambda x: gradients.fork_group_norm(x, 8, weight, bias, 1e-5)[0] * 2, lambda x: x * 2, x)


@interpreted
@pytest.mark.parametrize("many", [1, 512])
def test_group_norm_of_a_large_mean(many: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums of squares would leave nothing of the variance, neither of a whole image nor of its parts."""
    from cn.model.kernels import norm_training

    monkeypatch.setattr(norm_training, "MANY", many)
    torch.manual_seed(0)
    x = (torch.randn(1, 32, 20, 20) + 3000).contiguous(memory_format=torch.channels_last)
    one, zero = torch.ones(32), torch.zeros(32)
    y, statistics = norm_training.forward(x, 8, one, zero, 1e-5, None, None, False)
    wanted = F.group_norm(x.double(), 8, one.double(), zero.double())
    torch.testing.assert_close(y.double(), wanted, rtol=0, atol=2e-3)
    groups = x.double().reshape(8, -1)
    torch.testing.assert_close(statistics[0, 0].double(), groups.mean(dim=1), rtol=1e-6, atol=0)
    torch.testing.assert_close(statistics[1, 0].double(), 1 / groups.std(dim=1, correction=0), rtol=1e-4, atol=0)


@interpreted
def test_half_precision_with_weights_in_fp32_or_half() -> None:
    """Gradients have the dtype of what they belong to, and are sums in float32."""
    from cn.model.kernels import gradients

    torch.manual_seed(0)
    for dtype in (torch.float32, torch.float16):
        x, by = channels_last(2, 32, 12, 12).half(), torch.randn(2, 32).half()
        weight, bias, more = torch.randn(3, 32).to(dtype)

        def found(x: Tensor, weight: Tensor, bias: Tensor, more: Tensor, by: Tensor) -> Tensor:
            return gradients.group_norm(x, 8, weight, bias, 1e-5, added=more, shift=by, silu=True)

        def wanted(x: Tensor, weight: Tensor, bias: Tensor, more: Tensor, by: Tensor) -> Tensor:
            return F.silu(F.group_norm(x + more[:, None, None] + by[:, :, None, None], 8, weight, bias, 1e-5))

        compare(found, wanted, x, weight, bias, more, by, close=2e-3)
        tokens = torch.randn(2, 9, 32).half()
        compare(
            lambda x, w, b: gradients.layer_norm(x, w, b, 1e-5),
            lambda x, w, b: F.layer_norm(x, (32,), w, b),
            tokens,
            weight,
            bias,
            close=2e-3,
        )


@interpreted
@pytest.mark.parametrize(("shape", "programs"), [((2, 37, 40), 528), ((3, 50, 96), 3), ((2, 5, 320), 2)])
def test_layer_norm(shape: tuple[int, ...], programs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sums over tokens in one step of a program, or in several."""
    from cn.model.kernels import gradients, rows_training

    monkeypatch.setattr(rows_training, "PROGRAMS", programs)
    torch.manual_seed(0)
    a, b, mix = torch.randn(shape), torch.randn(shape) + 4, torch.randn(shape)
    weights = torch.randn(2, shape[-1])

    def both(total: Tensor, normal: Tensor) -> Tensor:
        return total * mix.to(total.dtype) + normal

    def plain(a: Tensor, b: Tensor, w: Tensor, bias: Tensor) -> Tensor:
        return both(a + b, F.layer_norm(a + b, shape[-1:], w, bias))

    compare(lambda a, b, w, bias: both(*gradients.add_layer_norm(a, b, w, bias, 1e-5)), plain, a, b, *weights)
    compare(
        lambda x, w, bias: gradients.layer_norm(x, w, bias, 1e-5),
        lambda x, w, bias: F.layer_norm(x, shape[-1:], w, bias),
        b,
        *weights,
    )
    # Of the normalization alone.
    compare(
        lambda a, b, w, bias: gradients.add_layer_norm(a, b, w, bias, 1e-5)[1],
        lambda a, b, w, bias: F.layer_norm(a + b, shape[-1:], w, bias),
        a,
        b,
        *weights,
    )


@interpreted
def test_elementwise(monkeypatch: pytest.MonkeyPatch) -> None:
    from cn.model.kernels import gradients, rows_training

    monkeypatch.setattr(rows_training, "PROGRAMS", 2)
    torch.manual_seed(0)

    def geglu(x: Tensor) -> Tensor:
        value, gate = x.chunk(2, dim=-1)
        return value * F.gelu(gate)

    compare(gradients.geglu, geglu, torch.randn(2, 5, 600) * 3)
    a, b, c = channels_last(2, 40, 13, 7), channels_last(2, 40, 13, 7), channels_last(2, 70, 13, 7)
    compare(gradients.add, lambda a, b, bias: a + b + bias[:, None, None], a, b, torch.randn(40))
    compare(lambda a, b: gradients.join(a, b, None), lambda a, b: torch.cat([a, b], dim=1), a, c)
    compare(gradients.join, lambda a, b, c: torch.cat([a, b + c], dim=1), c, a, b)
    # Fewer rows are repeated.
    compare(gradients.join, lambda a, b, c: torch.cat([a, b.repeat(2, 1, 1, 1) + c], dim=1), c, a[:1], b)
    for stride in (2, 3):
        compare(
            lambda x: gradients.enlarge(x, stride),  # noqa: B023
            lambda x: F.interpolate(x, scale_factor=float(stride), mode="nearest"),  # noqa: B023
            a,
        )


@interpreted
def test_a_gradient_in_another_layout_and_one_that_is_not_needed() -> None:
    from cn.model.kernels import gradients

    torch.manual_seed(0)
    x, weight, bias = channels_last(2, 32, 6, 5), torch.randn(32), torch.randn(32)

    def found(x: Tensor) -> Tensor:
        y = gradients.group_norm(gradients.add(x, x, bias), 8, weight, bias, 1e-5)
        return gradients.enlarge(gradients.join(y, y, None), 2).contiguous().flatten(1)[:, ::3]

    def wanted(x: Tensor) -> Tensor:
        y = F.group_norm(2 * x + bias.double()[:, None, None], 8, weight.double(), bias.double())
        return F.interpolate(torch.cat([y, y], dim=1), scale_factor=2.0, mode="nearest").flatten(1)[:, ::3]

    compare(found, wanted, x)


@interpreted
def test_gradients_of_biases(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of tokens and of maps, in several steps of a program."""
    from cn.model.kernels import gradients, rows_training

    monkeypatch.setattr(rows_training, "PROGRAMS", 2)
    torch.manual_seed(0)
    mix = torch.randn(70)
    for x, each in ((torch.randn(5, 90, 70), mix), (channels_last(2, 70, 19, 17), mix[:, None, None])):

        def added(x: Tensor, bias: Tensor, each: Tensor = each) -> Tensor:
            return (x + bias.reshape(each.shape)) * each.to(x.dtype)

        def found(x: Tensor, bias: Tensor, each: Tensor = each) -> Tensor:
            y = x + bias.detach().reshape(each.shape)
            return gradients.with_bias_gradient(y, bias) * each

        compare(found, added, x, torch.randn(70))
