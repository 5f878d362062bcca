"""The names and shapes of all tensors of the published full-size models, as their files hold them (keys.json.xz)."""

import json
import lzma
from functools import cache
from pathlib import Path

FILE = Path(__file__).parent / "keys.json.xz"

Keys = dict[str, tuple[int, ...]]


@cache
def _groups() -> dict[str, dict[str, list[int]]]:
    return json.loads(lzma.decompress(FILE.read_bytes()))


def groups() -> list[str]:
    """ "ldm/sd15", "control/sd15", "diffusers/sd15/unet", "…/controlnet", "…/vae", "…/text_encoder", and of sd21."""
    return list(_groups())


def keys(group: str) -> Keys:
    """One group: the name of each tensor → its shape."""
    return {name: tuple(shape) for name, shape in _groups()[group].items()}
