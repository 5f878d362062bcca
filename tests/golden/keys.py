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


def keys(group: str) -> Keys:
    """The name of each tensor of a group → its shape.

    Groups: "ldm/sd15", "control/sd15", "diffusers/sd15/unet", "…/controlnet", "…/vae", "…/text_encoder", and of sd21.
    """
    return {name: tuple(shape) for name, shape in _groups()[group].items()}
