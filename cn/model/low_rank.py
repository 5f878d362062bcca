"""What an adapter adds to one weight of a base, from the small tensors that its file stores for that layer.

Sources: LoRA (Hu et al. 2021, §4.1: ΔW = B·A·α/r); LyCORIS (Yeh et al. 2023): LoCon for convolutions, LoHa, LoKr, and
its modules/*.py for the shapes; sd-scripts networks/lora.py.
"""

from collections.abc import Mapping

import torch
from torch import Tensor

Factors = Mapping[str, Tensor]
Shape = tuple[int, ...]


def weight_change(factors: Factors, shape: Shape, alpha: float | None = None) -> Tensor:
    """ΔW of a weight of this shape, (out, in) or (out, in, kh, kw), in float32.

    `factors` are the tensors of one layer by the last part of their names in kohya's and LyCORIS's files, in float32;
    α defaults to the rank. Raises ValueError where they are incomplete or make another shape.
    """
    for name, factor in factors.items():
        if not factor.numel() or (name != "diff" and factor.ndim < 2):
            raise ValueError(f"its {name} is {_dimensions(tuple(factor.shape))}, which is no matrix")
    for first, make in (("down", _lora), ("up", _lora), ("hada_w1_a", _loha)):
        if first in factors:
            return make(factors, shape, alpha)
    if any(name.startswith("lokr_") for name in factors):
        return _lokr(factors, shape, alpha)
    return _fitted(_take(factors, "diff"), shape)


def _lora(factors: Factors, shape: Shape, alpha: float | None) -> Tensor:
    """up·down; with `mid` (LoCon's Tucker form) the three convolutions 1×1, k×k and 1×1 after each other."""
    up, down = _take(factors, "up"), _take(factors, "down")
    rank = down.shape[0]
    if up.flatten(1).shape[1] != rank:
        raise ValueError(f"its two matrices have ranks {up.flatten(1).shape[1]} and {rank}")
    if (mid := factors.get("mid")) is not None:
        if mid.ndim != 4 or mid.shape[:2] != (rank, rank):
            raise ValueError(f"its mid is {_dimensions(tuple(mid.shape))}, and its rank is {rank}")
        made = torch.einsum("os,srkl,ri->oikl", up.flatten(1), mid, down.flatten(1))
    else:
        made = (up.flatten(1) @ down.flatten(1)).reshape(up.shape[0], *down.shape[1:])
    return _fitted(made, shape) * _scale(alpha, rank)


def _loha(factors: Factors, shape: Shape, alpha: float | None) -> Tensor:
    """The elementwise product of two matrices of low rank."""
    first, second = (_product(factors, f"hada_w{k}_a", f"hada_w{k}_b", f"hada_t{k}") for k in (1, 2))
    if first.shape != second.shape:
        raise ValueError(f"its two factors are {_dimensions(first.shape)} and {_dimensions(second.shape)}")
    return _fitted(first * second, shape) * _scale(alpha, factors["hada_w1_b"].shape[0])


def _lokr(factors: Factors, shape: Shape, alpha: float | None) -> Tensor:
    """The Kronecker product of a small and a larger matrix, each stored whole or as a product of low rank."""
    first, second = (
        factors[f"lokr_w{k}"]
        if f"lokr_w{k}" in factors
        else _product(factors, f"lokr_w{k}_a", f"lokr_w{k}_b", f"lokr_t{k}")
        for k in (1, 2)
    )
    rank = next((factors[name].shape[0] for name in ("lokr_w2_b", "lokr_w1_b") if name in factors), None)
    first = first.reshape(*first.shape, *(1,) * (second.ndim - first.ndim))
    made = torch.kron(first, second.contiguous())
    # α says something only of products; LyCORIS writes a meaningless one where both are stored whole.
    return _fitted(made, shape) * (1.0 if rank is None else _scale(alpha, rank))


def _product(factors: Factors, a: str, b: str, core: str) -> Tensor:
    left, right = _take(factors, a), _take(factors, b)
    try:
        if (middle := factors.get(core)) is not None:
            return torch.einsum("ijkl,ip,jr->prkl", middle, left, right)
        return left @ right
    except RuntimeError as error:
        sizes = f"{_dimensions(left.shape)} and {_dimensions(right.shape)}"
        raise ValueError(f"its factors of {sizes} cannot be multiplied") from error


def _take(factors: Factors, name: str) -> Tensor:
    if name not in factors:
        raise ValueError(f"it has {', '.join(sorted(factors)) or 'nothing'} but no {name}")
    return factors[name]


def _scale(alpha: float | None, rank: int) -> float:
    return 1.0 if alpha is None else alpha / rank


def _fitted(made: Tensor, shape: Shape) -> Tensor:
    """A 1×1 convolution and a linear layer have the same numbers; LyCORIS also flattens kernels."""
    squeezed, wanted = _squeezed(tuple(made.shape)), _squeezed(shape)
    flattened = (wanted[0], torch.Size(wanted[1:]).numel())
    if squeezed != wanted and squeezed != flattened:
        raise ValueError(f"it is for a weight of {_dimensions(made.shape)}, but the base's is {_dimensions(shape)}")
    return made.reshape(shape)


def _squeezed(shape: Shape) -> Shape:
    return shape[:2] if shape[2:] == (1, 1) else shape


def _dimensions(shape: Shape) -> str:
    return "×".join(map(str, shape)) or "a scalar"
