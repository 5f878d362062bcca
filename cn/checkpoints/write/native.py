"""Write cn's own files: one safetensors file per base or control, with a header that describes it.

The metadata entry `cn` is JSON: `role` "base" or "control", the configuration, and the file's origin. Tensors have the
names of the networks' parameters. A text tower that was trained on some of CLIP's 49,408 tokens is stored with their
embeddings and one shared by all others (`text.token_ids`), which saves 9 million numbers in the bundled base. Tensors
of other layouts that no network uses are stored as `kept.NAME`, so that converting back restores them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cn.archives.write import of_tensor, write_safetensors
from cn.checkpoints.checkpoint import ControlSpec
from cn.checkpoints.read.sources import EMBEDDING, TOKEN_IDS
from cn.checkpoints.write.headers import base_header, control_header
from cn.model.base import Base
from cn.model.concat import ConcatBaseline
from cn.model.controlnet import ControlNet


def save_base(
    path: Path,
    base: Base,
    *,
    half: bool = True,
    tokens: Sequence[int] | None = None,
    weights: Mapping[str, Mapping[str, Tensor]] | None = None,
    **meta: Any,
) -> None:
    """Write a base atomically. `tokens`: ids whose embeddings were trained; all others share one row.

    `weights` are those of the networks by name, where they are others than `base` computes with.
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
    _save(path, tensors, base_header(base.config, **meta), half)


def save_control(
    path: Path,
    model: ControlNet | ConcatBaseline,
    *,
    kind: str | None,
    base_sha256: str,
    half: bool = False,
    **meta: Any,
) -> None:
    """Write a control atomically."""
    spec = ControlSpec(
        unet=model.config, condition_channels=model.condition_channels, kind=kind, base_sha256=base_sha256
    )
    if isinstance(model, ConcatBaseline):
        spec = replace(spec, architecture="concat")
    else:
        spec = replace(spec, condition_encoder=model.condition_encoder_kind, links=model.links, pooled=model.pooled)
    _save(path, dict(model.state_dict()), control_header(spec, **meta), half)


def _save(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], half: bool) -> None:
    write_safetensors(path, {name: of_tensor(tensor, half=half) for name, tensor in tensors.items()}, metadata)
