"""Make keys.json.xz: the names and shapes of every tensor in the published full-size models. See README.md here.

    python -m tests.golden.make_keys RELEASE          (from the repository's root)

RELEASE is a checkout of lllyasviel/ControlNet, commit ed85cd1. Its code and diffusers' build each model on the meta
device, so no weights are needed and nothing is downloaded. Besides diffusers, transformers and open_clip, the release's
code wants pytorch_lightning and omegaconf to be installed.
"""

import importlib
import json
import lzma
import sys
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest import mock

import open_clip
import torch
import transformers
from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel
from omegaconf import OmegaConf
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel

from tests.golden.keys import FILE, Keys

CONTROL = "control_model."
HF_TEXT = "cond_stage_model.transformer."
YAMLS = {"sd15": "models/cldm_v15.yaml", "sd21": "models/cldm_v21.yaml"}

UNETS: dict[str, dict[str, Any]] = {
    "sd15": {"attention_head_dim": 8, "cross_attention_dim": 768},
    "sd21": {"attention_head_dim": [5, 10, 20, 20], "cross_attention_dim": 1024, "use_linear_projection": True},
}
VAE = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
}
TEXTS = {
    "sd15": CLIPTextConfig(
        hidden_size=768, intermediate_size=3072, num_attention_heads=12, num_hidden_layers=12, projection_dim=768
    ),
    "sd21": CLIPTextConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_attention_heads=16,
        num_hidden_layers=23,
        hidden_act="gelu",
        projection_dim=512,
    ),
}


def shapes(model: nn.Module) -> Keys:
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def with_text_model(name: str) -> str:
    """A name of CLIPTextModel as the published files have it: transformers 5 builds and saves it without the prefix."""
    return f"text_model.{name.removeprefix('text_model.')}"


def stand_ins() -> ExitStack:
    """What the release of 2023 needs changed to be built today and without a network.

    pytorch_lightning moved `rank_zero_only`, and the text towers are built from their sizes, not downloaded.
    """
    moved = ModuleType("pytorch_lightning.utilities.distributed")
    moved.__dict__["rank_zero_only"] = lambda function: function
    create = open_clip.create_model_and_transforms
    changes = ExitStack()
    for change in (
        mock.patch.dict(sys.modules, {moved.__name__: moved}),
        mock.patch.object(transformers.CLIPTokenizer, "from_pretrained", return_value=None),
        mock.patch.object(CLIPTextModel, "from_pretrained", side_effect=lambda name: CLIPTextModel(TEXTS["sd15"])),
        mock.patch.object(open_clip, "create_model_and_transforms", lambda arch, **kwargs: create(arch, device="meta")),
    ):
        changes.enter_context(change)
    return changes


def on_cpu(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same, with values: the noise schedule goes through NumPy."""

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        with torch.device("cpu"):
            return function(*args, **kwargs)

    return wrapped


def release(folder: Path, yaml: str) -> Keys:
    """The state dict that the release's own code loads strictly, from `control_sd15_canny.pth` for one."""
    with stand_ins(), torch.device("meta"):
        diffusion = importlib.import_module("ldm.models.diffusion.ddpm").LatentDiffusion
        with mock.patch.object(diffusion, "register_schedule", on_cpu(diffusion.register_schedule)):
            build = importlib.import_module("ldm.util").instantiate_from_config
            keys = shapes(build(OmegaConf.load(folder / yaml).model))
    if text := {name: keys.pop(name) for name in list(keys) if name.startswith(HF_TEXT)}:
        keys |= {HF_TEXT + with_text_model(name.removeprefix(HF_TEXT)): shape for name, shape in text.items()}
        # A buffer in every published file: transformers stored it until 4.30 (the release pins 4.19.2).
        keys[f"{HF_TEXT}text_model.embeddings.position_ids"] = (1, 77)
    return keys


def make(folder: Path) -> dict[str, Keys]:
    groups: dict[str, Keys] = {}
    for name, yaml in YAMLS.items():
        whole = release(folder, yaml)
        groups[f"ldm/{name}"] = {k: v for k, v in whole.items() if not k.startswith(CONTROL)}
        groups[f"control/{name}"] = {k: v for k, v in whole.items() if k.startswith(CONTROL)}
        with torch.device("meta"):
            groups[f"diffusers/{name}/unet"] = shapes(UNet2DConditionModel(**UNETS[name]))
            groups[f"diffusers/{name}/controlnet"] = shapes(ControlNetModel(**UNETS[name]))
            groups[f"diffusers/{name}/vae"] = shapes(AutoencoderKL(**VAE))
            text = shapes(CLIPTextModel(TEXTS[name]))
        groups[f"diffusers/{name}/text_encoder"] = {with_text_model(k): v for k, v in text.items()}
    return groups


def main() -> None:
    folder = Path(sys.argv[1])
    sys.path.insert(0, str(folder))
    groups = {group: dict(sorted(keys.items())) for group, keys in make(folder).items()}
    FILE.write_bytes(lzma.compress(json.dumps(groups, separators=(",", ":")).encode(), preset=9 | lzma.PRESET_EXTREME))
    for group, keys in groups.items():
        print(f"{group:28} {len(keys):5}")


if __name__ == "__main__":
    main()
