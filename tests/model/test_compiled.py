"""Functions that torch compiles: for a few shapes, and plainly where it cannot; here by compilers without code."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch._dynamo.exc import Unsupported

from cn.model.compiled import MAX_SHAPES, Compiled


def double(x: Tensor, more: list[Tensor | None]) -> list[Tensor | None]:
    return [2 * x, *(one if one is None else 2 * one for one in more)]


def test_a_function_is_compiled_for_a_few_shapes():
    """Those that come first; None among the arguments counts, and so do precisions."""
    torch.compiler.reset()
    seen = []

    def backend(graph: Any, given: list[Tensor]) -> Callable:
        seen.append(tuple(given[0].shape))
        return graph.forward

    compiled = Compiled(double, "doubling", pytest.fail, backend=backend)
    for side in (*range(2, MAX_SHAPES + 4), 2):
        x = torch.rand(side, 4)
        found = compiled(x, [None, x])
        assert found[1] is None
        assert torch.equal(found[0], 2 * x)
        assert torch.equal(found[2], 2 * x)
    assert seen == [(side, 4) for side in range(2, MAX_SHAPES + 2)]
    assert torch.equal(compiled(torch.ones(2, 4), [None, None])[0], torch.full((2, 4), 2.0))
    assert len(seen) == MAX_SHAPES, "no more kinds of arguments are compiled"


def test_what_cannot_be_compiled_runs_as_it_is():
    def broken(*args: Any) -> list[Tensor]:
        raise Unsupported("a graph that no compiler takes")

    warnings, x = list[str](), torch.rand(1, 3)
    compiled = Compiled(double, "doubling", warnings.append, backend="eager")
    compiled._compiled = broken
    assert torch.equal(compiled(x, [])[0], 2 * x)
    assert torch.equal(compiled(x, [])[0], 2 * x)
    assert warnings == [
        "the doubling cannot be compiled here (a graph that no compiler takes): it runs as it is, slower"
    ]


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, KeyboardInterrupt, ValueError])
def test_other_errors_are_raised(error):
    def broken(*args: Any) -> list[Tensor]:
        raise error

    compiled = Compiled(double, "doubling", pytest.fail, backend="eager")
    compiled._compiled = broken
    with pytest.raises(error):
        compiled(torch.ones(1), [])
