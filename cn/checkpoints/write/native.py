"""Write cn's own files: one safetensors file per base or control, with a header that describes it.

The metadata entry `cn` is JSON: `role` "base" or "control", the configuration, and the file's origin. Tensors have the
names of the networks' parameters. A text tower that was trained on some of CLIP's 49,408 tokens is stored with their
embeddings and one shared by all others (`text.token_ids`), which saves 9 million numbers in the bundled base. Tensors
of other layouts that no network uses are stored as `kept.NAME`, so that converting back restores them.

With `bits` 8 large weights are whole numbers with scales, and a ControlNet can be stored as differences to its base:
see `cn.checkpoints.read.eight_bit`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from cn.archives.write import Item, of_tensor, write_safetensors
from cn.checkpoints.checkpoint import ControlSpec
from cn.checkpoints.read.eight_bit import COPIED
from cn.checkpoints.read.sources import EMBEDDING, TOKEN_IDS
from cn.checkpoints.write import eight_bit
from cn.checkpoints.write.headers import base_header, control_header
from cn.model.base import Base
from cn.model.concat import ConcatBaseline
from cn.model.controlnet import ControlNet


def save_base(
    path: Path,
    base: Base,
    *,
    half: bool = True,
    bits: Literal[8] | None = None,
    tokens: Sequence[int] | None = None,
    weights: Mapping[str, Mapping[str, Tensor]] | None = None,
    **meta: Any,
) -> None:
    """Write a base atomically. `tokens`: ids whose embeddings were trained; all others share one row.

    `bits` 8 rounds large weights to 8 bits and all others to 16; otherwise `half` decides. `weights` are those of the
    networks by name, where they are others than `base` computes with.
    """
    weights = weights or {part: network.state_dict() for part, network in base.networks.items()}
    tensors = {f"{part}.{name}": tensor for part, found in weights.items() for name, tensor in found.items()}
    if tokens is not None and len(set(tokens)) < base.config.text.vocab_size:
        ids = torch.tensor(sorted(set(tokens)))
        others = torch.ones(base.config.text.vocab_size, dtype=torch.bool)
        others[ids] = False
        shared = int(others.nonzero()[0])
        embedding = f"text.{EMBEDDING}"
        tensors[embedding] = tensors[embedding][torch.cat([ids, torch.tensor([shared])])]
        tensors[f"text.{TOKEN_IDS}"] = ids
    if bits == 8:
        parts = tuple(f"{part}." for part in weights)
        write_safetensors(path, eight_bit.items(tensors, parts), base_header(base.config, bits=bits, **meta))
    else:
        write_safetensors(path, _items(tensors, half), base_header(base.config, **meta))


def save_control(
    path: Path,
    model: ControlNet | ConcatBaseline,
    *,
    kind: str | None,
    base_sha256: str = "",
    half: bool = False,
    bits: Literal[8] | None = None,
    base: Base | None = None,
    base_name: str | None = None,
    **meta: Any,
) -> None:
    """Write a control atomically; `base_sha256` is the hash of its base's file, `base_name` how it was called.

    `bits` 8 rounds large weights to 8 bits and all others to 16; otherwise `half` decides. With `base` as well, what a
    ControlNet copied from it is stored as differences to it, and reading needs its file. Raises ValueError unless
    `base` is in full precision, unchanged since it was read from its file, and of the control's shapes.
    """
    base_sha256 = base_sha256 or (base.sha256 if base is not None else "")
    meta |= {} if base_name is None else {"base": base_name}
    spec = ControlSpec(
        unet=model.config, condition_channels=model.condition_channels, kind=kind, base_sha256=base_sha256
    )
    if isinstance(model, ConcatBaseline):
        spec = replace(spec, architecture="concat")
    else:
        spec = replace(spec, condition_encoder=model.condition_encoder_kind, links=model.links, pooled=model.pooled)
    tensors: Mapping[str, Tensor] = model.state_dict()
    if bits is None:
        write_safetensors(path, _items(tensors, half), control_header(spec, **meta))
        return
    if base is not None and isinstance(model, ControlNet):
        tensors = _differences(tensors, base, base_sha256)
        meta["differences"] = True
    write_safetensors(path, eight_bit.items(tensors), control_header(spec, bits=bits, **meta))


def _items(tensors: Mapping[str, Tensor], half: bool) -> dict[str, Item]:
    return {name: of_tensor(tensor, half=half) for name, tensor in tensors.items()}


def _differences(tensors: Mapping[str, Tensor], base: Base, base_sha256: str) -> dict[str, Tensor]:
    if base.dtype != torch.float32 or base.added or not base.sha256 or base.sha256 != base_sha256:
        raise ValueError("differences are to a base in full precision, as its file has it, with the file's hash")
    return eight_bit.differences(tensors, base.unet.state_dict(), COPIED)
