"""The kernels compiled for a GPU, without one: the interpreter accepts what the compiler does not."""

import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

triton = pytest.importorskip("triton")
from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402
from triton.runtime.jit import JITFunction  # noqa: E402

pytestmark = pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="about the compiler")
HOPPER = GPUTarget("cuda", 90, 32)
TYPES = {torch.float16: "*fp16", torch.bfloat16: "*bf16", torch.float32: "*fp32"}
DIVISIBLE = [["tt.divisibility", 16]]


def compile_launch(kernel: Any, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    """As Triton would for a launch with these arguments."""
    named = dict(zip(kernel.arg_names, args, strict=False)) | options
    signature, constants, attributes = {}, {}, {}
    for number, parameter in enumerate(kernel.params):
        name, value = parameter.name, named.pop(parameter.name)
        if parameter.is_constexpr:
            signature[name], constants[number,] = "constexpr", value
        elif isinstance(value, Tensor):
            signature[name], attributes[number,] = TYPES[value.dtype], DIVISIBLE
        else:
            signature[name] = {bool: "u1", int: "i32", float: "fp32"}[type(value)]
            if type(value) is int and value % 16 == 0 and name not in kernel.do_not_specialize:
                attributes[number,] = DIVISIBLE
    source = ASTSource(kernel, signature, constants, attributes)
    return triton.compile(source, target=HOPPER, options=named)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[tuple[str, ...], Any]:
    """What is compiled instead of launched, by the names of kernels and the dtypes of their tensors."""
    kept: dict[tuple[str, ...], Any] = {}

    def run(kernel: Any, *args: Any, grid: Any, warmup: bool, **options: Any) -> None:
        dtypes = [str(arg.dtype) for arg in args if isinstance(arg, Tensor)]
        key = kernel.__name__, *dtypes
        if key not in kept:
            kept[key] = compile_launch(kernel, args, options)

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(JITFunction, "run", run)
    return kept


LOADED = {
    "_load": {
        "_whole", "_moments", "_joined", "_applied", "_layer_norm", "_geglu", "_add", "_join", "_enlarge",
    },
    "_load_training": {
        "image_forward", "image_backward", "_moments", "_joined", "_applied", "_part_sums", "_join_sums",
        "_part_gradient", "_forward", "_backward", "_geglu", "_geglu_gradient", "_add", "_channel_sums", "_join",
        "_split", "_enlarge", "_shrink",
    },
}  # fmt: skip


@pytest.mark.parametrize("load", LOADED)
def test_loading_compiles_every_kernel(load: str, compiled: dict[tuple[str, ...], Any]) -> None:
    """In half precision, with weights in the same, and for training in fp32 too."""
    from cn.model import kernel_choice

    getattr(kernel_choice, load)(torch.device("cpu"), torch.bfloat16)
    assert {name for name, *_ in compiled} == LOADED[load]
    assert all("sm_90" in kernel.asm["ptx"] for kernel in compiled.values())
    weights = {dtypes[4] for name, *dtypes in compiled if name == "image_forward"}
    assert weights == ({"torch.bfloat16", "torch.float32"} if load == "_load_training" else set())
