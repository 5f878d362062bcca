"""The names of tensors in LoRA files: which layer of which part a tensor belongs to, and what it is there.

Four programs' spellings of one thing, all found in published files:

    lora_unet_down_blocks_0_…_attn1_to_q.lora_down.weight     sd-scripts and LyCORIS (also lora_unet_input_blocks_1_1_…)
    unet.down_blocks.0.….attn1.to_q.lora_A.weight             diffusers with PEFT
    unet.down_blocks.0.….attn1.to_q.lora.down.weight          diffusers before it
    down_blocks.0.….attn1.processor.to_q_lora.down.weight     diffusers of early 2023

Layers are compared by their names with dots as underscores, because the first spelling has no dots. No torch.
"""

import re
from dataclasses import dataclass
from typing import Literal

AdapterPart = Literal["unet", "text"]

_SUFFIXES: tuple[tuple[str, str], ...] = (
    (r"(lora_down|lora\.down|lora_linear_layer\.down|lora_A(\.\w+)?)\.weight", "down"),
    (r"(lora_up|lora\.up|lora_linear_layer\.up|lora_B(\.\w+)?)\.weight", "up"),
    (r"lora_mid\.weight", "mid"),
    (r"alpha", "alpha"),
    (r"hada_(w[12]_[ab]|t[12])", ""),
    (r"lokr_(w[12](_[ab])?|t2)", ""),
    (r"diff|w_norm", "diff"),
    (r"diff_b|b_norm", "diff_b"),
    (r"dora_scale|lora_magnitude_vector(\.\w+)*", "dora"),
    (r"oft_blocks|oft_diag|oft_R\..*|boft_[RS]\..*", "oft"),
    (r"[ab][12]\.weight|glora_.*", "glora"),
    (r"on_input|ia3_l\..*", "ia3"),
)
"""What follows the layer's name → what the tensor is; "" stands for the suffix itself."""

_COMPILED = tuple((re.compile(rf"(?P<layer>.+?)\.(?P<suffix>{suffix})"), factor) for suffix, factor in _SUFFIXES)
_PROCESSOR = re.compile(r"(?P<layer>.+?)\.(processor\.)?to_(?P<which>[qkv]|out)_lora\.(?P<factor>down|up)\.weight")

_PREFIXES: tuple[tuple[str, AdapterPart | None], ...] = (
    ("lora_unet_", "unet"),
    ("lora_te1_", "text"),
    ("lora_te_", "text"),
    ("lycoris_", None),
    ("unet.", "unet"),
    ("text_encoder.", "text"),
    ("text_encoders.clip_l.transformer.", "text"),
    ("model.diffusion_model.", "unet"),
    ("diffusion_model.", "unet"),
    ("base_model.model.", None),
)
"""Before the layer's name → the part; None where its own name has to tell."""

_TEXT_ROOT = re.compile(r"(text_model[._])?(?=(encoder[._]layers|embeddings|final_layer_norm)[._])")

REFUSED = {
    "dora": "a DoRA (a LoRA whose weights are normalized anew), which cn cannot merge; give a LoRA without DoRA",
    "oft": "an OFT adapter, which rotates weights instead of adding to them; cn merges LoRA, LoCon, LoHa and LoKr",
    "glora": "a GLoRA adapter; cn merges LoRA, LoCon, LoHa and LoKr",
    "ia3": "an IA3 adapter; cn merges LoRA, LoCon, LoHa and LoKr",
}
"""Kinds of adapters that cannot be added to weights, by a factor that only they have."""


@dataclass(frozen=True)
class TensorName:
    """One tensor's name, understood."""

    part: AdapterPart
    layer: str
    """With underscores, without the part's prefix."""
    dotted: str
    """As the file has it, without the part's prefix."""
    factor: str
    """ "down", "up", "mid", "alpha", "hada_w1_a", "lokr_w1", "diff", … or a key of `REFUSED`."""


def understand(name: str) -> TensorName | None:
    """What the tensor of this name is; None for names that no LoRA has."""
    if (match := _PROCESSOR.fullmatch(name)) is not None:
        part, layer = _part(match["layer"])
        which, factor = match["which"], match["factor"]
        text = "out_proj" if which == "out" else f"{which}_proj"
        layer += f".{text}" if part == "text" else f".to_{which}" + ".0" * (which == "out")
        return TensorName(part, layer.replace(".", "_"), layer, factor)
    for pattern, factor in _COMPILED:
        if (match := pattern.fullmatch(name)) is not None:
            part, layer = _part(match["layer"])
            return TensorName(part, layer.replace(".", "_"), layer, factor or match["suffix"])
    return None


def _part(layer: str) -> tuple[AdapterPart, str]:
    part: AdapterPart | None = None
    for prefix, known in _PREFIXES:
        if layer.startswith(prefix):
            layer, part = layer.removeprefix(prefix), known or part
            break
    if (root := _TEXT_ROOT.match(layer)) is not None:
        return "text", layer[root.end() :]
    return part or "unet", layer
