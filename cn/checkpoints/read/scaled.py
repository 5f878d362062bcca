"""Weights of 8 bits with scales: a weight is its stored number times the scale that lies beside it.

Two spellings of one convention: NAME.scale_weight with a marker `scaled_fp8`, and NAME.weight_scale, with or without
NAME.comfy_quant; scales of inputs only matter to hardware that also computes in 8 bits. A scale is one number, or one
for each row of the weight. Sources: ComfyUI (QUANTIZATION.md, comfy/utils.py: convert_old_quants), compressed-tensors.
No torch.
"""

import re
from collections.abc import Mapping
from dataclasses import replace

from cn.archives.archive import Archive
from cn.archives.entries import Entry
from cn.errors import WeightsError
from cn.text import shown

_SCALES = ("scale_weight", "weight_scale")
_INVERSE = "weight_scale_inv"
_UNUSED: tuple[tuple[str, str], ...] = (
    (r"(.*\.)?(scale_input|input_scale)", "scales of inputs, for hardware that computes in 8 bits"),
    (r"(.*\.)?(scaled_fp8|comfy_quant)", "marks of weights with scales"),
)
"""Names of what belongs to scaled weights and is not needed to read them, and what it is."""

_QUANTIZED: tuple[tuple[str, str], ...] = (
    (r".*\.(quant_state\.bitsandbytes__.*|absmax|nested_absmax|quant_map)", "by bitsandbytes"),
    (r".*\.weight\._(data|scale)", "by optimum-quanto"),
    (r".*\.(qweight|qzeros|wscales|smooth_factor)", "to 4 bits (GPTQ, AWQ or SVDQuant)"),
    (r".*\.weight_scale_2", "to 4 bits (NVFP4)"),
)


def with_scales(archive: Archive) -> Archive:
    """The file with the scales joined to their weights; what is not needed is described in its extras."""
    entries, extras = join_scales(archive.entries)
    return replace(archive, entries=entries, extras={**archive.extras, **extras})


def join_scales(entries: Mapping[str, Entry]) -> tuple[dict[str, Entry], dict[str, str]]:
    """As `with_scales` for the tensors of a network; also gives what is left out: name → description.

    Tensors without weights of 8 bits are returned as they are. Raises WeightsError for other ways to quantize.
    """
    for pattern, how in _QUANTIZED:
        if (name := next((name for name in entries if re.fullmatch(pattern, name)), None)) is not None:
            raise WeightsError(f"is quantized {how} ({shown(name)}), which cn does not read; give the file in 16 bits")
    if not any(entry.dtype.startswith("F8_") for entry in entries.values()):
        return dict(entries), {}
    joined = dict(entries)
    for name in entries:
        layer, _, kind = name.rpartition(".")
        weight = entries.get(f"{layer}.weight")
        if weight is None or not weight.dtype.startswith("F8_"):
            continue
        if kind == _INVERSE:
            raise WeightsError(f"{_blocks(name)}; give the file in 16 bits")
        if kind in _SCALES:
            joined[f"{layer}.weight"] = replace(
                joined[f"{layer}.weight"], scale=_checked(name, joined.pop(name), weight)
            )
    extras = {}
    for pattern, what in _UNUSED:
        found = [name for name in joined if re.fullmatch(pattern, name)]
        for name in found:
            del joined[name]
        if found:
            extras[found[0] if len(found) == 1 else f"{shown(found[0])} and {len(found) - 1} more"] = what
    return joined, extras


def _checked(name: str, scale: Entry, weight: Entry) -> Entry:
    """The scale, if it is one number or one for each row: WeightsError for others."""
    rows = weight.shape[0] if weight.shape else 1
    if scale.dtype not in ("F32", "F16", "BF16", "F64"):
        raise WeightsError(f"the scale {shown(name)} is {scale.dtype}, and should be a floating-point number")
    if scale.elements != 1 and (scale.elements != rows or scale.shape[0] != rows):
        raise WeightsError(f"{_blocks(name)}; give the file in 16 bits")
    return scale


def _blocks(name: str) -> str:
    return f"{shown(name)} has one scale for each block of its weight; cn reads one scale a weight, or one a row"
