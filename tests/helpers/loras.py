"""LoRA files for the narrow bases of the tests, in every spelling of their names."""

from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.helpers.model_helpers import uniform

Pairs = dict[str, tuple[Tensor, Tensor]]
"""Layer of diffusers, behind "unet." or "text_encoder." → up and down."""

RANK = 2
LAYERS = (
    "unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q",
    "unet.down_blocks.0.attentions.1.transformer_blocks.0.attn2.to_k",
    "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0",
    "unet.up_blocks.1.attentions.2.transformer_blocks.0.attn2.to_v",
    "text_encoder.text_model.encoder.layers.0.self_attn.k_proj",
    "text_encoder.text_model.encoder.layers.0.self_attn.out_proj",
)
"""Layers that all spellings can name."""
MORE_LAYERS = (
    "unet.up_blocks.1.attentions.0.transformer_blocks.0.ff.net.0.proj",
    "unet.up_blocks.1.attentions.0.proj_in",
    "unet.down_blocks.1.resnets.0.conv1",
    "unet.down_blocks.0.downsamplers.0.conv",
    "unet.up_blocks.0.upsamplers.0.conv",
    "unet.up_blocks.2.resnets.1.conv_shortcut",
    "unet.mid_block.resnets.1.time_emb_proj",
    "text_encoder.text_model.encoder.layers.1.mlp.fc2",
)
"""Further ones, some of them convolutions of 3×3."""
_T, _U = "transformer_blocks.0", "transformer_blocks_0"
_OURS = "attention.blocks.0"
OURS = {
    f"unet.down_blocks.0.attentions.0.{_T}.attn1.to_q": f"encoder.blocks.1.{_OURS}.self_attention.q",
    f"unet.down_blocks.0.attentions.1.{_T}.attn2.to_k": f"encoder.blocks.2.{_OURS}.cross_attention.k",
    f"unet.mid_block.attentions.0.{_T}.attn1.to_out.0": f"encoder.middle.{_OURS}.self_attention.out",
    f"unet.up_blocks.1.attentions.2.{_T}.attn2.to_v": f"decoder.blocks.5.{_OURS}.cross_attention.v",
    f"unet.up_blocks.1.attentions.0.{_T}.ff.net.0.proj": f"decoder.blocks.3.{_OURS}.feed_forward.inner",
    "unet.up_blocks.1.attentions.0.proj_in": "decoder.blocks.3.attention.proj_in",
    "unet.down_blocks.1.resnets.0.conv1": "encoder.blocks.4.res.conv_1",
    "unet.down_blocks.0.downsamplers.0.conv": "encoder.blocks.3.conv",
    "unet.up_blocks.0.upsamplers.0.conv": "decoder.blocks.2.upsample.conv",
    "unet.up_blocks.2.resnets.1.conv_shortcut": "decoder.blocks.7.res.skip",
    "unet.mid_block.resnets.1.time_emb_proj": "encoder.middle.res_2.time",
    "text_encoder.text_model.encoder.layers.0.self_attn.out_proj": "tower.transformer.resblocks.0.attn.out_proj",
    "text_encoder.text_model.encoder.layers.1.mlp.fc2": "tower.transformer.resblocks.1.mlp.c_proj",
}
"""Our names, counted by hand, but for queries, keys and values of the text encoder, which are rows of one weight."""
LDM = {
    f"unet.down_blocks.0.attentions.0.{_T}.attn1.to_q": f"input_blocks_1_1_{_U}_attn1_to_q",
    f"unet.down_blocks.0.attentions.1.{_T}.attn2.to_k": f"input_blocks_2_1_{_U}_attn2_to_k",
    f"unet.mid_block.attentions.0.{_T}.attn1.to_out.0": f"middle_block_1_{_U}_attn1_to_out_0",
    f"unet.up_blocks.1.attentions.2.{_T}.attn2.to_v": f"output_blocks_5_1_{_U}_attn2_to_v",
}
"""The names of the original layout, of those layers of the U-Net in `LAYERS`."""


def pairs(state: dict[str, dict[str, Tensor]], layers: Sequence[str] = LAYERS, salt: str = "") -> Pairs:
    """Factors for the layers of a base; `state` are its tensors by part and our names."""
    found = {}
    for layer in layers:
        part = "unet" if layer.startswith("unet.") else "text"
        name = OURS.get(layer, "tower.transformer.resblocks.0.attn.out_proj")
        out, inputs, *kernel = state[part][f"{name}.weight"].shape
        down = uniform(f"{salt}{layer}/down", (RANK, inputs, *kernel))
        up = uniform(f"{salt}{layer}/up", (out, RANK, *(1,) * len(kernel)))
        found[layer] = (0.2 * up, 0.2 * down)
    return found


def kohya(found: Pairs, alpha: float | None = 1.0, *, original: bool = False) -> dict[str, Tensor]:
    """As sd-scripts writes them; `original`: the U-Net by the names of the original layout."""
    content = {}
    for layer, (up, down) in found.items():
        name = layer.replace("text_encoder.", "lora_te.").replace("unet.", "lora_unet.").replace(".", "_")
        name = f"lora_unet_{LDM[layer]}" if original and layer in LDM else name
        content |= {f"{name}.lora_up.weight": up, f"{name}.lora_down.weight": down}
        content |= {f"{name}.alpha": torch.tensor(alpha)} if alpha is not None else {}
    return content


def peft(found: Pairs) -> dict[str, Tensor]:
    """As diffusers writes them today."""
    return {
        f"{layer}.lora_{factor}.weight": tensor
        for layer, (up, down) in found.items()
        for factor, tensor in (("A", down), ("B", up))
    }


def old_diffusers(found: Pairs) -> dict[str, Tensor]:
    """As diffusers wrote them before PEFT."""
    content = {}
    for layer, (up, down) in found.items():
        word = "lora_linear_layer" if layer.startswith("text_encoder.") else "lora"
        content |= {f"{layer}.{word}.up.weight": up, f"{layer}.{word}.down.weight": down}
    return content


def processors(found: Pairs) -> dict[str, Tensor]:
    """As diffusers wrote them in early 2023: the U-Net without a prefix, attention processors."""
    content = {}
    for layer, (up, down) in found.items():
        name = layer.removeprefix("unet.").replace(".to_out.0", ".to_out")
        stem, _, last = name.rpartition(".")
        if layer.startswith("unet."):
            name = f"{stem}.processor.{last}_lora"
        else:
            name = f"{stem}.to_{last.removesuffix('_proj')}_lora"
        content |= {f"{name}.up.weight": up, f"{name}.down.weight": down}
    return content


def write(path: Path, content: dict[str, Tensor], metadata: dict[str, str] | None = None) -> Path:
    save_file({name: tensor.contiguous() for name, tensor in content.items()}, path, metadata)
    return path
