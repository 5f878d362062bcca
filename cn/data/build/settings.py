"""The settings of `cn dataset build`, each declared once. No torch and no NumPy, so that help is instant."""

import hashlib
import json
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, Literal

from cn import conditions, options
from cn.conditions import KINDS
from cn.detect import registry
from cn.errors import UsageError
from cn.options import COMPUTE_PANEL, DEVICE, PRECISION, Option
from cn.precision import PrecisionChoice

DATASET_PANEL, IMAGES_PANEL, MAPS_PANEL = "The dataset", "Images", "Condition maps"
MULTIPLE = 64
"""Sides of images are multiples of this, as Stable Diffusion needs."""

Crop = Literal["center", "random", "buckets", "none"]
ImageFormat = Literal["auto", "jpg", "png", "webp"]
Layout = Literal["folder", "webdataset"]


def _assignment(word: str) -> str:
    """A word of the form NAME=VALUE."""
    name, sign, value = word.partition("=")
    if not (name and sign and value):
        raise UsageError(f"expected KIND=VALUE, not {word!r}")
    return word


@dataclass(frozen=True, kw_only=True)
class BuildSettings:
    """What decides the bytes of a dataset. Raises UsageError for values out of range and for what does not fit."""

    kinds: Annotated[
        tuple[str, ...],
        Option(
            f"Condition: {', '.join(KINDS)}. Repeat it for several, in one pass over the images; each kind then gets "
            "its own OUT/KIND/prompt.json, of the same images.",
            panel=DATASET_PANEL,
            flags=("--cond",),
            metavar="KIND",
            completions=KINDS,
        ),
    ]
    layout: Annotated[
        Layout,
        Option(
            "How the dataset is written: folder (prompt.json and images) or webdataset (shards of tar files).",
            panel=DATASET_PANEL,
            flags=("--to",),
        ),
    ] = "folder"
    shard_size: Annotated[
        int,
        Option(
            "Images of a shard: what is processed as one piece, and lost at most when the process is killed.",
            panel=DATASET_PANEL,
            min=1,
            default="1000 for webdataset; for folder from 16 to 1000, by the number of images",
        ),
    ] = 0
    seed: Annotated[
        int,
        Option(
            "For everything random. What is random for an image depends on this and on its content alone.",
            panel=DATASET_PANEL,
            min=0,
        ),
    ] = 0
    on_empty: Annotated[
        Literal["drop", "keep"],
        Option(
            "Pairs whose map shows nothing: leave them out, as the paper does for images without people, or keep them.",
            panel=DATASET_PANEL,
        ),
    ] = "drop"
    resolution: Annotated[
        int,
        Option("Size of the images in pixels, a multiple of 64: see --crop.", panel=IMAGES_PANEL, min=MULTIPLE),
    ] = 512
    crop: Annotated[
        Crop,
        Option(
            "center or random: a square of N × N pixels. buckets: the aspect ratio is kept, as far as sides of "
            "multiples of 64 and an area of at most N × N allow. none: the short side becomes N, both sides multiples "
            "of 64.",
            panel=IMAGES_PANEL,
        ),
    ] = "center"
    min_side: Annotated[
        int,
        Option(
            "Leave out images with a shorter side.", panel=IMAGES_PANEL, min=0, metavar="PIXELS", default="half of N"
        ),
    ] = -1
    image_format: Annotated[
        ImageFormat,
        Option("Format of the images. auto: the original file where it fits as it is, else JPEG.", panel=IMAGES_PANEL),
    ] = "auto"
    quality: Annotated[int, Option("Of JPEG and WebP.", panel=IMAGES_PANEL, min=1, max=100)] = 95
    detect: Annotated[
        bool,
        Option(
            "Detect maps even where the source has them. Without it, a source's own maps are used.", panel=MAPS_PANEL
        ),
    ] = False
    methods: Annotated[
        tuple[str, ...],
        Option(
            "Method of a kind, as for cn detect: hed=gradient, hough=lsd, depth=midas-small.",
            panel=MAPS_PANEL,
            flags=("--method",),
            metavar="KIND=NAME",
            parse=_assignment,
        ),
    ] = ()
    weights: Annotated[
        tuple[str, ...],
        Option(
            "Weights of a kind's network, as for cn detect.",
            panel=MAPS_PANEL,
            metavar="KIND=FILE",
            parse=_assignment,
        ),
    ] = ()
    set_: Annotated[
        tuple[str, ...],
        Option(
            "A setting of a detector or reader of files, as for cn detect: canny.low=80, canny.random=no, "
            "depth.depth_is=disparity, openpose.min_keypoints=0.5.",
            panel=MAPS_PANEL,
            flags=("--set",),
            metavar="KIND.NAME=VALUE",
            parse=_assignment,
        ),
    ] = ()
    files: Annotated[
        tuple[str, ...],
        Option(
            "A folder of files that take the place of detecting, found by the names of the images: ade20k=annotations, "
            "depth=scans, normal=normals, openpose=poses. How they are read: --from.",
            panel=MAPS_PANEL,
            metavar="KIND=FOLDER",
            parse=_assignment,
        ),
    ] = ()
    labels: Annotated[
        str | None,
        Option(
            "The folder of label images for ade20k or coco: short for --files KIND=FOLDER.",
            panel=MAPS_PANEL,
            metavar="FOLDER",
        ),
    ] = None
    from_: Annotated[
        tuple[str, ...],
        Option(
            "What the files of --files are: ade20k=challenge, full, ids or colors; coco=cocostuff, ids or colors; "
            "depth=depth; normal=diode, opengl, directx, camera or depth; openpose=json; any kind=maps.",
            panel=MAPS_PANEL,
            flags=("--from",),
            metavar="KIND=WHAT",
            parse=_assignment,
        ),
    ] = ()
    device: Annotated[str, DEVICE] = "auto"
    precision: Annotated[PrecisionChoice, PRECISION] = "auto"
    batch_size: Annotated[
        int, Option("Images that go through a network at once.", panel=COMPUTE_PANEL, min=1, default="8 on a GPU")
    ] = 0

    def __post_init__(self) -> None:
        if not self.kinds:
            raise UsageError("--cond KIND is required")
        object.__setattr__(self, "kinds", tuple(dict.fromkeys(conditions.get(kind).kind for kind in self.kinds)))
        for name, value in (("shard_size", 0), ("min_side", -1), ("batch_size", 0)):
            field = options.declared(type(self))[name]
            if getattr(self, name) != value:
                options.check_value(field, getattr(self, name))
        if self.resolution % MULTIPLE:
            raise UsageError(f"--resolution must be a multiple of {MULTIPLE}, not {self.resolution}")
        if self.labels is not None:
            kind = self._label_kind()
            object.__setattr__(self, "files", (*self.files, f"{kind}={self.labels}"))
            object.__setattr__(self, "labels", None)
        for words in (self.methods, self.weights, self.files, self.from_, self.set_):
            self._check_kinds(words)
        for kind, method in self.assigned(self.methods).items():
            if (family := registry.kind_spec(kind).family) is None:
                raise UsageError(f"{kind} has no methods and needs no weights")
            registry.choose_method(family, method, kind in self.assigned(self.weights))
        for kind in self.assigned(self.from_):
            if kind not in self.assigned(self.files) and self.assigned(self.from_)[kind] not in ("depth", "diode"):
                raise UsageError(f"--from {kind}=… needs --files {kind}=FOLDER")
        for word in self.set_:
            if not word.partition("=")[0].partition(".")[2]:
                raise UsageError(f"--set is KIND.NAME=VALUE, not {word!r}")

    def _label_kind(self) -> str:
        found = [kind for kind in self.kinds if kind in ("ade20k", "coco")]
        if len(found) != 1:
            raise UsageError("--labels needs --cond ade20k or --cond coco; with both, use --files KIND=FOLDER")
        return found[0]

    def _check_kinds(self, words: tuple[str, ...]) -> None:
        for name in (_assignment(word).partition("=")[0] for word in words):
            if (kind := conditions.get(name.partition(".")[0]).kind) not in self.kinds:
                raise UsageError(f"{kind} is not among the conditions: add --cond {kind}")

    @property
    def least_side(self) -> int:
        """The shortest side, in pixels, that an image may have."""
        return self.min_side if self.min_side >= 0 else self.resolution // 2

    def assigned(self, words: tuple[str, ...]) -> dict[str, str]:
        """KIND=VALUE words as kind → value."""
        pairs = (word.partition("=") for word in words)
        return {conditions.get(name).kind: value for name, _, value in pairs}

    def of_kind(self, kind: str) -> dict[str, str]:
        """The settings of `--set` that belong to one kind: name → word."""
        found = {}
        for word in self.set_:
            name, _, value = word.partition("=")
            owner, _, setting = name.partition(".")
            if conditions.get(owner).kind == kind:
                found[setting.replace("-", "_")] = value
        return found

    def record(self) -> dict[str, Any]:
        """What decides the bytes, as JSON values: what dataset.json states, and what a second run must have as well."""
        left_out = ("device", "batch_size", "labels", "files", "weights")
        values = json.loads(json.dumps(asdict(self)))
        found = {name: value for name, value in values.items() if name not in left_out}
        # Folders may move; which maps come of files may not change.
        return found | ({"files": sorted(self.assigned(self.files))} if self.files else {})

    def digest(self) -> str:
        """A short hash of `record`."""
        return hashlib.sha256(json.dumps(self.record(), sort_keys=True).encode()).hexdigest()[:16]


def names() -> tuple[str, ...]:
    """The settings' names."""
    return tuple(field.name for field in fields(BuildSettings))
