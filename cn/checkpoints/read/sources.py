"""Our parameters, each with the place in a file that it comes from: checked as a whole, read one by one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cn.archives.entries import Entry, load_tensor, read_chunks
from cn.archives.finite import is_finite
from cn.checkpoints.checkpoint import TITLES, Checkpoint, Part, PartName
from cn.checkpoints.keymaps.keymap import Shape, match
from cn.errors import InputError, WeightsError

if TYPE_CHECKING:
    from torch import Tensor

EMBEDDING, TOKEN_IDS = "tower.token_embedding.weight", "token_ids"
"""A text tower of ours may hold the rows of some tokens and one for all others: see `native`."""

FIRST_CONVOLUTION = "condition_encoder.layers.0.weight"


@dataclass(frozen=True)
class Source:
    """One parameter: its pieces in the file (to be joined along dimension 0) and the shape that it has with us."""

    pieces: tuple[Entry, ...]
    shape: Shape
    token_ids: Entry | None = None
    """Which tokens the rows belong to; the last row stands for all others."""
    reversed_channels: bool = False
    """The file's condition is BGR: its input channels are turned round."""

    @property
    def dtype(self) -> str:
        return self.pieces[0].dtype

    @property
    def stored(self) -> tuple[Entry, ...]:
        """The pieces, where their bytes are the parameter's as they lie in the file; else nothing."""
        changed = self.token_ids is not None or self.reversed_channels or any(p.strides for p in self.pieces)
        mixed = len({piece.dtype for piece in self.pieces}) > 1
        return () if changed or mixed else self.pieces

    @property
    def rows(self) -> Entry | None:
        """The rows of some tokens and of all others, where the file holds no more."""
        return self.pieces[0] if self.token_ids is not None else None

    def read(self) -> "Tensor":
        """The tensor in its stored number format, mapped from the file where that is possible."""
        import torch

        tensors = [load_tensor(piece) for piece in self.pieces]
        tensor = tensors[0] if len(tensors) == 1 else torch.cat(tensors)
        if self.token_ids is not None:
            tensor = tensor[-1:].repeat(self.shape[0], 1).index_copy_(0, load_tensor(self.token_ids), tensor[:-1])
        return (tensor.flip(1) if self.reversed_channels else tensor).reshape(self.shape)


def find_sources(checkpoint: Checkpoint, part: PartName, wanted: Mapping[str, Shape]) -> dict[str, Source]:
    """Where each parameter of a network (our names and shapes) lies in a checkpoint.

    Raises WeightsError that names the first offenders unless every tensor of the part has a taker, every parameter a
    tensor, and all shapes agree.
    """
    held = checkpoint.parts[part]
    names = checkpoint.table(part).names(wanted)
    token_ids = held.entries.get(TOKEN_IDS) if held.dialect == "native" else None
    shapes = {name: shape for name, shape in held.shapes.items() if name != TOKEN_IDS}
    if token_ids is not None:
        _check_tokens(checkpoint, held, token_ids, wanted[EMBEDDING])
        wanted_here = {**wanted, EMBEDDING: shapes[EMBEDDING]}
    else:
        wanted_here = dict(wanted)
    if mismatch := match(names, wanted_here, shapes):
        raise WeightsError(f"{checkpoint.path}: its {TITLES[part]} does not fit together: {mismatch}")
    for name in (theirs for ours in wanted for theirs in names[ours]):
        if not held.entries[name].is_floating:
            kind = held.entries[name].dtype
            raise WeightsError(f"{checkpoint.path}: {name} is {kind}, and weights are floating-point numbers")
    control = checkpoint.control
    turned = part == "control" and control is not None and control.reversed_channels
    return {
        ours: Source(
            tuple(held.entries[theirs] for theirs in names[ours]),
            tuple(shape),
            token_ids if ours == EMBEDDING else None,
            turned and ours == FIRST_CONVOLUTION,
        )
        for ours, shape in wanted.items()
    }


def _check_tokens(checkpoint: Checkpoint, held: Part, token_ids: Entry, shape: Shape) -> None:
    rows = held.entries.get(EMBEDDING)
    ids: list[int] = []
    if token_ids.dtype == "I64" and len(token_ids.shape) == 1:
        ids = np.frombuffer(b"".join(bytes(chunk) for chunk in read_chunks(token_ids)), "<i8").tolist()
    fits = rows is not None and rows.shape == (len(ids) + 1, shape[1])
    if not fits or not ids or len(set(ids)) != len(ids) or not 0 <= min(ids) <= max(ids) < shape[0]:
        raise WeightsError(f"{checkpoint.path}: its token rows do not fit its description")


def refuse_unknown(checkpoint: Checkpoint) -> None:
    """WeightsError for tensors that nobody knows: the model may be another than it seems."""
    if checkpoint.unknown:
        more = f" and {len(checkpoint.unknown) - 3} more" if len(checkpoint.unknown) > 3 else ""
        named = ", ".join(checkpoint.unknown[:3])
        raise WeightsError(f"{checkpoint.path}: nothing takes its tensors {named}{more}")


def check_finite(checkpoint: Checkpoint, name: str, tensor: "Tensor", dtype: str) -> None:
    """InputError when a tensor that was read holds NaN or infinity: such weights draw black pictures."""
    import torch

    if not is_finite(tensor.contiguous().view(torch.uint8).numpy(), dtype):
        raise InputError(f"{checkpoint.path}: its weights are broken: {name} holds numbers that are not finite")
