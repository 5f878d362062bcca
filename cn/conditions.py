"""The paper's conditions as data: what each is, how its maps look, and how the paper trained it (§3.5). No torch.

`get("pose")` gives the entry for "openpose". `ConditionInfo` is what a condition image says of itself in its PNG text.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from cn.errors import InputError, UsageError

Geometry = Literal["discrete", "smooth"]
"""How a map may be resized: "discrete" by nearest neighbor (labels, drawn colors), "smooth" by area or bilinear."""

TEXT_KEY = "cn.condition"
"""The PNG text chunk that holds a `ConditionInfo` as JSON."""

SD15, SD21, WAIFU = "Stable Diffusion 1.5", "Stable Diffusion 2.1", "Waifu Diffusion"
A100, RTX = "Nvidia A100 80G", "Nvidia RTX 3090TI"


@dataclass(frozen=True)
class Recipe:
    """One training set of §3.5: how many pairs, from where, and the GPU time, where the paper states them."""

    name: str
    pairs: int | None
    source: str
    gpu_hours: int | None = None
    gpu: str | None = None


@dataclass(frozen=True)
class Condition:
    """One kind of condition image, as the paper uses it and as existing ControlNets expect it."""

    kind: str
    title: str
    detector: str
    geometry: Geometry
    convention: str
    base: str
    recipes: tuple[Recipe, ...]
    aliases: tuple[str, ...] = ()
    starts_from: str | None = None
    """The kind whose finished control the paper starts from; None starts from a fresh one."""
    scenes: bool = False
    """Whether the built-in scenes give this map exactly."""


CONDITIONS: tuple[Condition, ...] = (
    Condition(
        kind="canny",
        title="Canny edges",
        detector="Canny edge detector, with random thresholds for training data",
        geometry="discrete",
        convention="white lines, one pixel wide, on black",
        base=SD15,
        recipes=(
            Recipe("canny", 3_000_000, "internet images with captions", 600, A100),
            Recipe("canny-1k", 1_000, "the canny set, highest resolutions"),
            Recipe("canny-10k", 10_000, "the canny set, highest resolutions"),
            Recipe("canny-50k", 50_000, "the canny set, highest resolutions"),
            Recipe("canny-500k", 500_000, "the canny set, highest resolutions"),
        ),
        scenes=True,
    ),
    Condition(
        kind="hough",
        title="Straight lines",
        detector="M-LSD, a learned deep Hough transform",
        geometry="discrete",
        convention="white straight lines on black",
        base=SD15,
        recipes=(Recipe("hough", 600_000, "Places2, captioned by BLIP", 150, A100),),
        aliases=("mlsd",),
        starts_from="canny",
    ),
    Condition(
        kind="hed",
        title="Soft edges",
        detector="HED boundary detection",
        geometry="smooth",
        convention="soft white boundaries on black",
        base=SD15,
        recipes=(Recipe("hed", 3_000_000, "internet images with captions", 300, A100),),
    ),
    Condition(
        kind="scribble",
        title="User sketches",
        detector="HED with random thresholds, masking, morphology and non-maximum suppression",
        geometry="smooth",
        convention="thick white strokes on black",
        base=SD15,
        recipes=(Recipe("scribble", 500_000, "internet images with captions", 150, A100),),
        starts_from="canny",
    ),
    Condition(
        kind="openpose",
        title="Human pose (OpenPose)",
        detector="OpenPose body key points; images with at least 30 % of a body's points",
        geometry="discrete",
        convention="colored skeletons with 18 joints on black",
        base=SD21,
        recipes=(Recipe("openpose", 200_000, "internet images with captions", 300, A100),),
        aliases=("pose",),
        scenes=True,
    ),
    Condition(
        kind="openpifpaf",
        title="Human pose (OpenPifPaf)",
        detector="OpenPifPaf key points; images with at least 30 % of a body's points",
        geometry="discrete",
        convention="colored skeletons with 17 joints on black",
        base=SD21,
        recipes=(Recipe("openpifpaf", 80_000, "internet images with captions", 400, RTX),),
    ),
    Condition(
        kind="ade20k",
        title="Segmentation (ADE20K)",
        detector="ADE20K labels, or a network trained on them",
        geometry="discrete",
        convention="150 classes in the ADE20K palette, RGB; what has no class is black",
        base=SD15,
        recipes=(Recipe("ade20k", 164_000, "ADE20K, captioned by BLIP", 200, A100),),
        aliases=("seg",),
        scenes=True,
    ),
    Condition(
        kind="coco",
        title="Segmentation (COCO-Stuff)",
        detector="COCO-Stuff labels, or a network trained on them",
        geometry="discrete",
        convention="171 classes in the COCO-Stuff palette, RGB",
        base=SD15,
        recipes=(Recipe("coco", 164_000, "COCO-Stuff, captioned by BLIP", 400, RTX),),
    ),
    Condition(
        kind="depth",
        title="Depth",
        detector="MiDaS",
        geometry="smooth",
        convention="inverse depth, stretched to 0–255: near is white, the sky is black",
        base=SD15,
        recipes=(
            Recipe("depth", 3_000_000, "internet images with captions", 500, A100),
            Recipe("depth-small", 200_000, "the depth set, highest resolutions"),
        ),
        aliases=("midas",),
        scenes=True,
    ),
    Condition(
        kind="normal",
        title="Normal map",
        detector="DIODE labels, then normals computed from MiDaS depth",
        geometry="smooth",
        convention="camera-space normals, (n + 1) / 2 as RGB: red left, green up, blue towards the viewer",
        base=SD15,
        recipes=(
            Recipe("normal", 25_452, "DIODE, captioned by BLIP", 100, A100),
            Recipe("normal-extended", None, "normals from MiDaS depth; continues the normal control", 200, A100),
        ),
        scenes=True,
    ),
    Condition(
        kind="lineart",
        title="Cartoon line drawing",
        detector="a cartoon line drawing extractor",
        geometry="smooth",
        convention="white lines on black (as drawn: dark on white, with --invert)",
        base=WAIFU,
        recipes=(Recipe("lineart", 1_000_000, "the most popular cartoon images with captions", 300, A100),),
    ),
)

KINDS: tuple[str, ...] = tuple(condition.kind for condition in CONDITIONS)
_BY_NAME = {name: condition for condition in CONDITIONS for name in (condition.kind, *condition.aliases)}


def get(kind: str) -> Condition:
    """The condition of this name or alias; UsageError, listing the kinds, for any other."""
    try:
        return _BY_NAME[kind.strip().lower()]
    except KeyError:
        raise UsageError(f"unknown condition {kind!r}: choose one of {', '.join(KINDS)}") from None


def scene_kinds() -> tuple[str, ...]:
    """The kinds that the built-in scenes give exactly."""
    return tuple(condition.kind for condition in CONDITIONS if condition.scenes)


@dataclass(frozen=True)
class ConditionInfo:
    """What made a condition image: written into its PNG, read by whatever uses it as a condition."""

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
        """From PNG text chunks (`cn.images.read_info`); None when they say nothing of a condition.

        Raises InputError when they do but cannot be understood.
        """
        if TEXT_KEY not in text:
            return None
        try:
            record = json.loads(text[TEXT_KEY])
            kind, detector, params = record["kind"], record["detector"], record.get("params") or {}
            weights = record.get("weights_sha256")
        except (ValueError, TypeError, KeyError, AttributeError):
            raise InputError(f"the text chunk {TEXT_KEY!r} of this image cannot be understood") from None
        if not (isinstance(kind, str) and isinstance(detector, str) and isinstance(params, dict)):
            raise InputError(f"the text chunk {TEXT_KEY!r} of this image cannot be understood")
        return cls(kind, detector, params, weights if isinstance(weights, str) else None)
