"""A checkpoint whose every tensor has found its place: all parameters by our names, ready to be read or written."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

from cn.archives.entries import Entry
from cn.checkpoints.checkpoint import BASE_PARTS, Checkpoint, ControlSpec, Layout, PartName
from cn.checkpoints.keymaps.keymap import Shape
from cn.checkpoints.read.sources import find_sources, refuse_unknown
from cn.checkpoints.shapes import base_shapes, control_shapes
from cn.errors import UsageError
from cn.model.config import ModelConfig, Prediction

if TYPE_CHECKING:
    from torch import Tensor

Only = Literal["base", "control"]


class Parameter(Protocol):
    """One parameter that can be read."""

    @property
    def dtype(self) -> str: ...

    @property
    def shape(self) -> Shape: ...

    @property
    def stored(self) -> tuple[Entry, ...]:
        """Its pieces along dimension 0, where their bytes lie in a file as they are; else nothing."""

    def read(self) -> "Tensor":
        """The whole tensor, in its stored number format."""


@dataclass(frozen=True)
class Contents:
    """A base, a control or both, with nothing left over."""

    path: Path
    layout: Layout
    parts: Mapping[PartName, Mapping[str, Parameter]]
    config: ModelConfig | None
    control: ControlSpec | None
    kept: Mapping[str, Entry]
    notes: tuple[str, ...] = ()
    """What was left out, for a person to read."""
    files: tuple[Path, ...] = ()
    """All files that it is read from, for the hash."""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    """What the file says of itself (license, training), which goes on with it."""

    @classmethod
    def of(
        cls,
        checkpoint: Checkpoint,
        *,
        only: Only | None = None,
        prediction: Prediction | None = None,
        pooled: bool = False,
    ) -> "Contents":
        """Find the place of every tensor of a checkpoint, or `only` of its base or control.

        `pooled` says of a control what its file does not: that its residuals are averaged over the picture.

        Raises WeightsError that names the first offenders where something is missing, left over or of another shape,
        UsageError when what is asked for is not there.
        """
        refuse_unknown(checkpoint)
        config = checkpoint.config(prediction) if checkpoint.has_base and only != "control" else None
        spec = checkpoint.control if only != "base" else None
        if config is None and spec is None:
            raise UsageError(f"{checkpoint.path}: --only {only}, but this is {checkpoint.what}")
        if pooled and spec is None:
            raise UsageError(f"{checkpoint.path}: --pooled is for controls, and this is {checkpoint.what}")
        parts: dict[PartName, Mapping[str, Parameter]] = {}
        if config is not None:
            shapes = base_shapes(config)
            parts |= {part: find_sources(checkpoint, part, shapes[part]) for part in BASE_PARTS}
        notes = list(_left_out(checkpoint))
        if config is not None and checkpoint.prediction not in (None, config.schedule.prediction):
            notes.append(f"its file says {checkpoint.prediction}; it is taken to predict {prediction}, as asked")
        if only is not None and checkpoint.has_base and checkpoint.has_control:
            notes.append(f"left out the {'control' if only == 'base' else 'base'}, as asked")
        if spec is not None:
            parts["control"] = find_sources(checkpoint, "control", control_shapes(spec))
            if spec.reversed_channels:
                notes.append("the control takes its condition as BGR: its first layer is turned round to take RGB")
            spec = replace(spec, reversed_channels=False, pooled=spec.pooled or pooled)
        kept = checkpoint.kept if config is not None else {}
        foreign = {k: v for k, v in checkpoint.metadata.items() if k != "format" and not checkpoint.has_header}
        told = {"source_metadata": foreign} if foreign else dict(checkpoint.metadata) if checkpoint.has_header else {}
        return cls(checkpoint.path, checkpoint.layout, parts, config, spec, kept, tuple(notes), checkpoint.files, told)

    @property
    def parameters(self) -> int:
        return sum(math.prod(source.shape) for sources in self.parts.values() for source in sources.values())


def _left_out(checkpoint: Checkpoint) -> list[str]:
    notes = [f"left out {_count(names)}: {why}" for why, names in checkpoint.dropped.items()]
    return notes + [f"left out {name} ({what})" for name, what in checkpoint.leftovers.items()]


def _count(names: Sequence[str]) -> str:
    return f"{len(names)} tensors ({names[0]}, …)" if len(names) > 1 else f"1 tensor ({names[0]})"
