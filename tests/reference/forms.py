"""Diffusers folders in the forms in which they are published and saved."""

import copy
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
FIELDS_OF_2022 = {
    "vae": {"act_fn", "block_out_channels", "down_block_types", "in_channels", "latent_channels", "layers_per_block"}
    | {"norm_num_groups", "out_channels", "sample_size", "up_block_types"},
    "unet": {"act_fn", "attention_head_dim", "block_out_channels", "center_input_sample", "cross_attention_dim"}
    | {"down_block_types", "downsample_padding", "flip_sin_to_cos", "freq_shift", "in_channels", "layers_per_block"}
    | {"mid_block_scale_factor", "norm_eps", "norm_num_groups", "out_channels", "sample_size", "up_block_types"}
    | {"use_linear_projection"},
}


def plain(model: Any, folder: Path) -> None:
    model.save_pretrained(folder)


def half(model: Any, folder: Path) -> None:
    """Half precision, in files whose names say so."""
    copy.deepcopy(model).to(dtype=torch.float16).save_pretrained(folder, variant="fp16")


def sharded(model: Any, folder: Path) -> None:
    """Several files and an index for each network."""
    model.save_pretrained(folder, max_shard_size="10MB")


def pickled(model: Any, folder: Path) -> None:
    """`.bin` files; transformers 5 writes none for the text encoder any more, so that one is rewritten."""
    model.save_pretrained(folder, safe_serialization=False)
    text = folder / "text_encoder" / "model.safetensors"
    if text.is_file():
        torch.save(load_file(text), text.with_name("pytorch_model.bin"))
        text.unlink()


def aged(model: Any, folder: Path) -> None:
    """A pipeline as it was published in 2022, in all that a reader can tell.

    The autoencoder's attention has its old names; the text encoder's tensors begin with `text_model.` (transformers 5
    saves them without) and there is `position_ids`; its special tokens are the published, wrong ones; and the
    configurations lack what came later, `scaling_factor` for one.
    """
    model.save_pretrained(folder)
    _rewrite(folder / "vae" / "diffusion_pytorch_model.safetensors", _old_attention)
    text = folder / "text_encoder" / "model.safetensors"
    ids = {"text_model.embeddings.position_ids": torch.arange(77)[None]}
    _rewrite(text, lambda name: f"text_model.{name.removeprefix('text_model.')}", ids)
    _edit(folder / "text_encoder" / "config.json", lambda config: config | {"pad_token_id": 1, "eos_token_id": 2})
    for part in FIELDS_OF_2022:
        _edit(folder / part / "config.json", partial(_old_fields, FIELDS_OF_2022[part]))


def _old_fields(known: set[str], config: dict[str, Any]) -> dict[str, Any]:
    return {field: value for field, value in config.items() if field in known}


def _old_attention(name: str) -> str:
    for new, old in OLD_ATTENTION.items():
        if ".mid_block.attentions.0." in name:
            name = name.replace(f".{new}.", f".{old}.")
    return name


def _rewrite(path: Path, rename: Callable[[str], str], extra: dict[str, Tensor] | None = None) -> None:
    tensors = {rename(name): tensor.clone() for name, tensor in load_file(path).items()}
    save_file(tensors | (extra or {}), path)


def _edit(path: Path, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    path.write_text(json.dumps(change(json.loads(path.read_text())), indent=2))
