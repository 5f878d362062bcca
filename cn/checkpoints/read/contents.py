"""A checkpoint in which every tensor is accounted for: all parameters by our names, ready to be loaded or written."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from cn.archives.entries import Entry
from cn.checkpoints.checkpoint import Checkpoint, ControlSpec
from cn.checkpoints.keymaps.keymap import Shape
from cn.checkpoints.layouts import BASE_PARTS, Layout, PartName, Role
from cn.checkpoints.read.sources import find_sources, reject_unknown
from cn.checkpoints.shapes import base_shapes, control_shapes
from cn.errors import UsageError
from cn.model.config import ModelConfig, Prediction

if TYPE_CHECKING:
    from torch import Tensor


class Parameter(Protocol):
    """One parameter that can be read."""

    @property
    def dtype(self) -> str: ...

    @property
    def shape(self) -> Shape: ...

    @property
    def stored(self) -> tuple[Entry, ...]:
        """Its pieces along dimension 0 if a file holds their bytes unchanged; otherwise empty."""

    def read(self) -> "Tensor":
        """The whole tensor, in its stored dtype."""


@dataclass(frozen=True)
class Contents:
    """A base, a control or both, with every parameter present."""

    path: Path
    layout: Layout
    parts: Mapping[PartName, Mapping[str, Parameter]]
    config: ModelConfig | None
    control: ControlSpec | None
    kept: Mapping[str, Entry]
    notes: tuple[str, ...] = ()
    """Messages about what was left out or assumed."""
    files: tuple[Path, ...] = ()
    """All files that it is read from, for the hash."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """The file's own metadata (license, training), which is kept on conversion."""

    @classmethod
    def of(
        cls,
        checkpoint: Checkpoint,
        *,
        only: Role | None = None,
        prediction: Prediction | None = None,
        pooled: bool = False,
    ) -> "Contents":
        """Locate every tensor of a checkpoint, or with `only` those of its base or its control.

        `pooled` states that a control's residuals are averaged over the image, which its file may not say.

        Raises WeightsError with the names of the first tensors that are missing, unexpected or of the wrong shape,
        UsageError when the part that is asked for does not exist.
        """
        reject_unknown(checkpoint)
        config = checkpoint.config(prediction) if checkpoint.has_base and only != "control" else None
        spec = checkpoint.control if only != "base" else None
        if config is None and spec is None:
            raise UsageError(f"--only {only}, but this is {checkpoint.what}", path=checkpoint.path)
        if pooled and spec is None:
            raise UsageError(f"--pooled is for controls, but this is {checkpoint.what}", path=checkpoint.path)
        parts: dict[PartName, Mapping[str, Parameter]] = {}
        if config is not None:
            shapes = base_shapes(config)
            parts |= {part: find_sources(checkpoint, part, shapes[part]) for part in BASE_PARTS}
        notes = list(_left_out(checkpoint))
        if config is not None and checkpoint.prediction not in (None, config.schedule.prediction):
            notes.append(f"the file says {checkpoint.prediction}, overridden by --prediction {prediction}")
        if only is not None and checkpoint.has_base and checkpoint.has_control:
            notes.append(f"left out the {'control' if only == 'base' else 'base'}, as requested")
        if spec is not None:
            parts["control"] = find_sources(checkpoint, "control", control_shapes(spec))
            if spec.reversed_channels:
                notes.append("the control takes BGR conditions: its first layer is reordered to take RGB")
            spec = replace(spec, reversed_channels=False, pooled=spec.pooled or pooled)
        kept = checkpoint.kept if config is not None else {}
        foreign = {k: v for k, v in checkpoint.metadata.items() if k != "format" and not checkpoint.has_header}
        own = dict(checkpoint.metadata) if checkpoint.has_header else {}
        metadata = {"source_metadata": foreign} if foreign else own
        return cls(
            path=checkpoint.path,
            layout=checkpoint.layout,
            parts=parts,
            config=config,
            control=spec,
            kept=kept,
            notes=tuple(notes),
            files=checkpoint.files,
            metadata=metadata,
        )

    @property
    def parameters(self) -> int:
        return sum(math.prod(source.shape) for sources in self.parts.values() for source in sources.values())


def _left_out(checkpoint: Checkpoint) -> list[str]:
    notes = [f"left out {_count(names)}: {why}" for why, names in checkpoint.dropped.items()]
    return notes + [f"left out {name} ({what})" for name, what in checkpoint.extras.items()]


def _count(names: Sequence[str]) -> str:
    return f"{len(names)} tensors ({names[0]}, …)" if len(names) > 1 else f"1 tensor ({names[0]})"
