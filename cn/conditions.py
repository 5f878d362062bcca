"""The paper's kinds of conditions (§3.5) and the metadata of condition maps. Imports no torch.

`get("pose")` is the entry for "openpose". `ConditionInfo` is the metadata in the PNG text of a condition map.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cn.errors import InputError, UsageError
from cn.json_text import parse_json

Geometry = Literal["discrete", "smooth"]
"""How a map may be resized: "discrete" by nearest neighbor (labels, drawn colors), "smooth" by area or bilinearly."""

TEXT_KEY = "cn.condition"
"""The PNG text chunk that holds a `ConditionInfo` as JSON."""


@dataclass(frozen=True)
class ConditionKind:
    """One kind of condition map, as the paper and published ControlNets use it."""

    kind: str
    geometry: Geometry
    convention: str
    aliases: tuple[str, ...] = ()


CONDITIONS: tuple[ConditionKind, ...] = (
    ConditionKind(kind="canny", geometry="discrete", convention="white lines, one pixel wide, on black"),
    ConditionKind(kind="hough", geometry="discrete", convention="white straight lines on black", aliases=("mlsd",)),
    ConditionKind(kind="hed", geometry="smooth", convention="soft white boundaries on black"),
    ConditionKind(kind="scribble", geometry="smooth", convention="thick white strokes on black"),
    ConditionKind(
        kind="openpose",
        geometry="discrete",
        convention="colored skeletons with 18 joints on black",
        aliases=("pose",),
    ),
    ConditionKind(kind="openpifpaf", geometry="discrete", convention="colored skeletons with 17 joints on black"),
    ConditionKind(
        kind="ade20k",
        geometry="discrete",
        convention="150 classes in the ADE20K palette, RGB; what has no class is black",
        aliases=("seg",),
    ),
    ConditionKind(kind="coco", geometry="discrete", convention="171 classes in the COCO-Stuff palette, RGB"),
    ConditionKind(
        kind="depth",
        geometry="smooth",
        convention="inverse depth, stretched to 0–255: near is white, the sky is black",
        aliases=("midas",),
    ),
    ConditionKind(
        kind="normal",
        geometry="smooth",
        convention="camera-space normals, (n + 1) / 2 as RGB: red left, green up, blue towards the viewer",
    ),
    ConditionKind(
        kind="lineart", geometry="smooth", convention="white lines on black (as drawn: dark on white, with --invert)"
    ),
)

KINDS: tuple[str, ...] = tuple(condition.kind for condition in CONDITIONS)
_BY_NAME = {name: condition for condition in CONDITIONS for name in (condition.kind, *condition.aliases)}


def get(kind: str) -> ConditionKind:
    """The condition of this name or alias; UsageError, listing the kinds, for any other."""
    try:
        return _BY_NAME[kind.strip().lower()]
    except KeyError:
        raise UsageError(f"unknown condition {kind!r}: choose one of {', '.join(KINDS)}") from None


@dataclass(frozen=True)
class ConditionInfo:
    """How a condition map was made: written into its PNG, and read when it is used as a condition."""

    kind: str
    detector: str
    params: Mapping[str, Any] = field(default_factory=dict)
    weights_sha256: str | None = None

    def to_text(self) -> dict[str, str]:
        """PNG text chunks, for `cn.images.write`."""
        record = {
            "kind": self.kind,
            "detector": self.detector,
            "params": dict(self.params),
            "weights_sha256": self.weights_sha256,
        }
        return {TEXT_KEY: json.dumps(record, sort_keys=True)}

    @classmethod
    def from_text(cls, text: Mapping[str, str]) -> "ConditionInfo | None":
        """From PNG text chunks (`cn.images.read_info`); None if they hold no condition.

        Raises InputError for a damaged record.
        """
        if TEXT_KEY not in text:
            return None
        try:
            record = parse_json(text[TEXT_KEY])
            kind, detector, params = record["kind"], record["detector"], record.get("params") or {}
            weights = record.get("weights_sha256")
        except (InputError, TypeError, KeyError, AttributeError):
            raise InputError(f"the text chunk {TEXT_KEY!r} of this image is damaged") from None
        if not (isinstance(kind, str) and isinstance(detector, str) and isinstance(params, dict)):
            raise InputError(f"the text chunk {TEXT_KEY!r} of this image is damaged")
        return cls(kind, detector, params, weights if isinstance(weights, str) else None)
