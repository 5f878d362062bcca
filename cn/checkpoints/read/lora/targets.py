"""The layers of a base by all the names that LoRA files have for them. No torch."""

from collections.abc import Mapping
from dataclasses import dataclass

from cn.checkpoints.keymaps import clip, diffusers, ldm
from cn.checkpoints.keymaps.keymap import Shape, Table
from cn.checkpoints.read.lora.names import AdapterPart
from cn.checkpoints.shapes import base_shapes
from cn.model.config import ModelConfig


@dataclass(frozen=True)
class Target:
    """A weight of the base, or the rows of it that are a layer of their own elsewhere (queries, keys and values)."""

    part: AdapterPart
    parameter: str
    """Our name, with `.weight` or `_weight`."""
    shape: Shape
    rows: tuple[int, int] | None = None

    @property
    def bias(self) -> str:
        return self.parameter.removesuffix("weight") + "bias"


def targets(config: ModelConfig) -> Mapping[tuple[AdapterPart, str], Target]:
    """(part, the layer's name with underscores) → the weight that belongs to it."""
    shapes = base_shapes(config)
    found: dict[tuple[AdapterPart, str], Target] = {}
    for table in (diffusers.unet(config.unet), ldm.unet(config.unet)):
        _add(found, "unet", table, shapes["unet"])
    _add(found, "text", clip.transformers(), shapes["text"])
    return found


def _add(
    found: dict[tuple[AdapterPart, str], Target], part: AdapterPart, table: Table, shapes: Mapping[str, Shape]
) -> None:
    for ours, shape in shapes.items():
        if not ours.endswith("weight"):
            continue
        names = table.translate(ours)
        height = shape[0] // len(names)
        for k, theirs in enumerate(names):
            layer = theirs.removesuffix(".weight").replace(".", "_")
            rows = (k * height, (k + 1) * height) if len(names) > 1 else None
            found[part, layer] = Target(part, ours, (height, *shape[1:]), rows)
