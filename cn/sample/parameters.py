r"""The text `parameters` of AUTOMATIC1111's web UI, which many programs and sites read: written, and read of others.

    a red house
    Negative prompt: blurry
    Steps: 20, Sampler: DDIM, CFG scale: 9.0, Seed: 5, Size: 512x512, Model hash: 6ce0161689, Model: v1-5-pruned, ...

Sources: `create_infotext` in modules/processing.py, `quote` and `parse_generation_parameters` in
modules/infotext_utils.py of https://github.com/AUTOMATIC1111/stable-diffusion-webui, version 1.10; `serialize_unit` in
scripts/infotext.py of https://github.com/Mikubill/sd-webui-controlnet, version 1.1.447.
"""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cn import __version__
from cn.errors import InputError, UsageError
from cn.sample.options import BASE_KEY
from cn.sample.request import Condition, SampleRequest

KEY = "parameters"
WRITER = "cn"
"""What stands before the version, in the field `Version`."""
_SAMPLERS = {"ddim": "DDIM", "euler": "Euler", "euler-a": "Euler a", "dpm++2m": "DPM++ 2M"}
_KARRAS = "Karras"
"""The type of schedule; before version 1.9 it was a part of the sampler's name."""
_FIELD = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
_NEGATIVE = "Negative prompt:"
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")


def to_parameters(request: SampleRequest, prompt: str, seed: int, hashes: Mapping[str, str]) -> str:
    """Of one image of a request whose `size` and `scale` are known; `hashes` as in the metadata of `cn.sample`.

    Brackets of plain prompts get backslashes, without which that program would read weights.
    """
    assert request.size is not None
    assert request.scale is not None
    height, width = request.size
    fields: dict[str, object] = {
        "Steps": request.steps,
        "Sampler": _SAMPLERS[request.sampler],
        "Schedule type": _KARRAS if request.sigmas == "karras" else None,
        "CFG scale": request.scale,
        "Seed": seed,
        "Size": f"{width}x{height}",
        "Model hash": hashes[BASE_KEY][:10] or None,
        "Model": Path(request.base).stem,
        # The noise is the CPU's, whatever computes: that program's setting "Random number generator source".
        "RNG": "CPU",
        "Denoising strength": None if request.start_image is None else request.share,
        "Eta DDIM": request.eta or None,
        **{f"ControlNet {k}": _unit(c, hashes, request.guess) for k, c in enumerate(request.conditions)},
        "Version": f"{WRITER} {__version__}",
    }
    plain = request.prompt_syntax == "plain"
    negative = _escaped(request.negative) if plain else request.negative
    lines = [_escaped(prompt) if plain else prompt, f"{_NEGATIVE} {negative}" if negative else ""]
    last = ", ".join(f"{name}: {_quoted(value)}" for name, value in fields.items() if value is not None)
    return "\n".join([*filter(None, lines), last])


def from_parameters(text: str) -> tuple[SampleRequest, list[str]]:
    """The request that such a text describes, and what else decided the image ("sampler Euler a").

    Raises InputError, without a path, where it holds no settings or wrong ones.
    """
    *lines, last = text.strip().split("\n")
    fields = {name.strip(): _unquoted(value.strip()) for name, value in _FIELD.findall(last)}
    if not {"Steps", "Seed"} <= fields.keys():
        raise InputError("its text 'parameters' holds no settings (Steps, Seed …)")
    prompt, _, negative = "\n".join(["", *map(str.strip, lines)]).partition(f"\n{_NEGATIVE}")
    given: dict[str, Any] = {"negative": negative.strip(), "prompt_syntax": "a1111"}
    try:
        given |= {"steps": int(fields["Steps"]), "seed": int(fields["Seed"])}
        if "CFG scale" in fields:
            given["scale"] = float(fields["CFG scale"])
        if sampler := _sampler(fields):
            given |= sampler
        if size := _SIZE.fullmatch(fields.get("Size", "")):
            given["size"] = (int(size[2]), int(size[1]))
        return SampleRequest(prompts=(prompt.strip(),), **given), list(_others(fields))
    except (ValueError, UsageError) as error:
        raise InputError(f"its text 'parameters' cannot be used: {error}") from error


def _sampler(fields: Mapping[str, str]) -> dict[str, str]:
    """The sampler and its noise levels; {} for one that is not among ours."""
    name, schedule = fields.get("Sampler", ""), fields.get("Schedule type", "Automatic")
    if name.endswith(f" {_KARRAS}"):
        name, schedule = name.removesuffix(f" {_KARRAS}"), _KARRAS
    found = [own for own, other in _SAMPLERS.items() if other == name]
    if not found or schedule not in ("Automatic", "Uniform", _KARRAS):
        return {}
    # "Automatic" is Karras for DPM++ 2M, as in modules/sd_samplers_kdiffusion.py.
    karras = schedule == _KARRAS or (schedule == "Automatic" and "Schedule type" in fields and name == "DPM++ 2M")
    return {"sampler": found[0], "sigmas": "karras" if karras else "default"}


def _others(fields: Mapping[str, str]) -> Iterator[str]:
    for name in ("Sampler", "Model", "Clip skip", "Denoising strength", "Hires upscale", "Lora hashes"):
        if name in fields and not (name == "Sampler" and _sampler(fields)):
            yield f"{name.lower()} {fields[name]}"
    if any(name.startswith("ControlNet") for name in fields):
        yield "its condition images"


def _unit(condition: Condition, hashes: Mapping[str, str], guess: bool) -> str:
    """One ControlNet, as the web UI's extension writes it; no "," and no ":" may stand in its values."""
    name = re.sub(r"[,:]", "_", Path(condition.control).stem or condition.control)
    values = {
        "Module": "none",
        "Model": f"{name} [{hashes.get(condition.control, '')[:8]}]",
        "Weight": condition.strength,
        "Resize Mode": "Just Resize",
        "Guidance Start": condition.start,
        "Guidance End": condition.end,
        "Pixel Perfect": False,
        "Control Mode": "ControlNet is more important" if guess else "Balanced",
    }
    return ", ".join(f"{key}: {value}" for key, value in values.items())


def _escaped(prompt: str) -> str:
    return re.sub(r"([\\()\[\]])", r"\\\1", prompt)


def _quoted(value: object) -> str:
    text = str(value)
    return json.dumps(text, ensure_ascii=False) if re.search(r"[,:\n]", text) else text


def _unquoted(value: str) -> str:
    if not (value.startswith('"') and value.endswith('"')):
        return value
    try:
        return str(json.loads(value))
    except (ValueError, RecursionError):
        return value
