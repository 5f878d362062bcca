"""Functions of tensors compiled by torch, where that is possible."""

from collections.abc import Callable
from typing import Any, Generic, ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")

MAX_SHAPES = 4
"""Shapes of batches that are compiled: each takes as long as the first. Those that come after them run as they are."""


class Compiled(Generic[P, R]):
    """A function compiled for each set of shapes of its tensors; as it is beyond MAX_SHAPES, and where it cannot be
    compiled, which `warn` is told once. `name` is what messages call it."""

    def __init__(
        self, function: Callable[P, R], name: str, warn: Callable[[str], None], *, backend: str | Callable = "inductor"
    ):
        self.function, self.name, self.warn = function, name, warn
        self._compiled: Callable[P, R] | None = torch.compile(function, dynamic=False, backend=backend)
        self._shapes: set[Any] = set()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        shapes = _shapes((args, kwargs))
        if shapes not in self._shapes and len(self._shapes) < MAX_SHAPES:
            self._shapes.add(shapes)
        if self._compiled is None or shapes not in self._shapes:
            return self.function(*args, **kwargs)
        try:
            return self._compiled(*args, **kwargs)
        except compile_errors() as error:
            self._compiled = None
            self.warn(f"the {self.name} cannot be compiled here ({reason_of(error)}): it runs as it is, slower")
            return self.function(*args, **kwargs)


def compile_errors() -> tuple[type[Exception], ...]:
    """What is raised where something cannot be compiled. A function, because to import it takes seconds."""
    from torch._dynamo.exc import TorchDynamoException
    from torch._inductor import exc

    return TorchDynamoException, exc.CppCompileError, exc.InvalidCxxCompiler, exc.OperatorIssue


def reason_of(error: BaseException) -> str:
    """The first line that says something."""
    cause = getattr(error, "inner_exception", error)
    lines = (line.strip() for line in str(cause).splitlines())
    return next((line for line in lines if line), type(error).__name__)


def _shapes(value: Any) -> Any:
    """What of the arguments of a function decides for which shapes it is compiled."""
    if isinstance(value, Tensor):
        return tuple(value.shape), value.dtype
    if isinstance(value, dict):
        return tuple((name, _shapes(each)) for name, each in value.items())
    if isinstance(value, list | tuple):
        return tuple(map(_shapes, value))
    return value is None
