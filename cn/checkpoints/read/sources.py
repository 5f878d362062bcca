"""Where each of our parameters is stored in a checkpoint: checked together, read one by one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cn.archives.entries import TORCH_NAMES, Entry, load_tensor, read_chunks
from cn.archives.finite import is_finite
from cn.checkpoints.checkpoint import Checkpoint, Part
from cn.checkpoints.keymaps.keymap import Shape, match
from cn.checkpoints.layouts import TITLES, PartName
from cn.errors import InputError, WeightsError
from cn.text import first_names

if TYPE_CHECKING:
    from torch import Tensor

EMBEDDING, TOKEN_IDS = "tower.token_embedding.weight", "token_ids"
"""cn's own files may hold embeddings for some tokens and one row for all others: see `write.native`."""

FIRST_CONVOLUTION = "condition_encoder.layers.0.weight"


@dataclass(frozen=True)
class Source:
    """One parameter: its pieces in the file (concatenated along dimension 0) and its shape in our network."""

    pieces: tuple[Entry, ...]
    shape: Shape
    token_ids: Entry | None = None
    """The tokens that the rows belong to; the last row is for all others."""
    reversed_channels: bool = False
    """The file's condition is BGR: the input channels are reversed."""

    @property
    def dtype(self) -> str:
        """Of what `read` gives: float32 where numbers are computed from several dtypes, scales or differences."""
        dtypes = {"F32" if piece.is_computed else piece.dtype for piece in self.pieces}
        return dtypes.pop() if len(dtypes) == 1 else "F32"

    @property
    def stored(self) -> tuple[Entry, ...]:
        """The pieces if the file holds their bytes unchanged; otherwise empty."""
        changed = (
            self.token_ids is not None or self.reversed_channels or any(p.strides or p.is_computed for p in self.pieces)
        )
        mixed = len({piece.dtype for piece in self.pieces}) > 1
        return () if changed or mixed else self.pieces

    @property
    def rows(self) -> Entry | None:
        """The shortened embedding, if the file holds rows for some tokens only."""
        return self.pieces[0] if self.token_ids is not None else None

    def read(self) -> "Tensor":
        """The tensor in its `dtype`, memory-mapped where possible."""
        import torch

        dtype = getattr(torch, TORCH_NAMES[self.dtype])
        tensors = [load_tensor(piece).to(dtype) for piece in self.pieces]
        tensor = tensors[0] if len(tensors) == 1 else torch.cat(tensors)
        if self.token_ids is not None:
            tensor = tensor[-1:].repeat(self.shape[0], 1).index_copy_(0, load_tensor(self.token_ids), tensor[:-1])
        return (tensor.flip(1) if self.reversed_channels else tensor).reshape(self.shape)


def find_sources(checkpoint: Checkpoint, part: PartName, wanted: Mapping[str, Shape]) -> dict[str, Source]:
    """The source of each parameter of a network, given our names and shapes.

    Raises WeightsError, with the names of the first mismatches, unless every tensor of the part is used, every
    parameter has a tensor, and all shapes agree.
    """
    held = checkpoint.parts[part]
    names = checkpoint.table(part).names(wanted)
    token_ids = held.entries.get(TOKEN_IDS) if held.naming == "native" else None
    shapes = {name: shape for name, shape in held.shapes.items() if name != TOKEN_IDS}
    if token_ids is not None:
        _check_tokens(checkpoint, held, token_ids, wanted[EMBEDDING])
        wanted_here = {**wanted, EMBEDDING: shapes[EMBEDDING]}
    else:
        wanted_here = dict(wanted)
    if mismatch := match(names, wanted_here, shapes):
        raise WeightsError(f"the tensors of its {TITLES[part]} do not match: {mismatch}", path=checkpoint.path)
    for name in (theirs for ours in wanted for theirs in names[ours]):
        if not held.entries[name].is_floating:
            dtype = held.entries[name].dtype
            raise WeightsError(f"{name} is {dtype}, but weights are floating-point numbers", path=checkpoint.path)
    control = checkpoint.control
    reversed_ = part == "control" and control is not None and control.reversed_channels
    return {
        ours: Source(
            tuple(held.entries[theirs] for theirs in names[ours]),
            tuple(shape),
            token_ids if ours == EMBEDDING else None,
            reversed_ and ours == FIRST_CONVOLUTION,
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
        raise WeightsError("its token rows do not match its description", path=checkpoint.path)


def reject_unknown(checkpoint: Checkpoint) -> None:
    """WeightsError for unrecognized tensors: the model may be a different one than it seems."""
    if checkpoint.unknown:
        raise WeightsError(f"unrecognized tensors: {first_names(checkpoint.unknown)}", path=checkpoint.path)


def check_finite(checkpoint: Checkpoint, name: str, tensor: "Tensor", dtype: str) -> None:
    """InputError when a tensor that was read holds NaN or infinity: such weights make black images."""
    import torch

    if not is_finite(tensor.contiguous().view(torch.uint8).numpy(), dtype):
        raise InputError(f"its weights are broken: {name} holds numbers that are not finite", path=checkpoint.path)
