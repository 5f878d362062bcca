"""The metadata that every sampled image carries, so that `cn sample --from OUT.png` reproduces it.

The text chunk `cn.sample` of a PNG, and the image description of a JPEG or WebP (`cn.images.exif_text`), is JSON: the
prompt, all options, the hashes of the weights, and the images that were given (conditions, the image to start from and
its mask), at the size of the result, as PNG in base 64 (a Canny map of 512×512 is about 10 kB); `source` is the
hash of each as it was given. An option that an image
of an earlier version does not name has its default. The text `parameters` beside it is for other programs
(`cn.sample.parameters`); of an image that has only that, the request is what it says.
"""

import base64
import io
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from cn import __version__, images, options
from cn.errors import CnError, InputError, about
from cn.images import exif_text, png_text, reader
from cn.model.config import PAPER_SCALE
from cn.sample import foreign, parameters
from cn.sample.condition_images import Origin
from cn.sample.options import ConditionOptions, SampleOptions
from cn.sample.prompts import CaptionedBy
from cn.sample.request import Condition, SampleRequest
from cn.sample.start_image import GivenImage, to_mask

TEXT_KEY = "cn.sample"
SHEET_KEY = "cn.sweep"
"""The text of the sheet of a sweep, which is no sampled image."""
_OLD_TEXT_KEY = "cn.recipe"
"""Its name until version 0.1."""
_STORED = [name for name in options.declared(SampleOptions) if name != "count"]
"""`count` is not stored: each image has its own metadata, and does not depend on how many were sampled."""
_STORED_OF_CONDITION = ["name", "kind", *options.declared(ConditionOptions)]


Decoder = Callable[[Any], np.ndarray]
"""What makes an image (h, w, 3) of its part of the metadata."""


class Encoder:
    """Images as PNG in base 64, a mask as 0 and 255; each once, though many samples have it. They outlive this."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}

    def __call__(self, image: np.ndarray) -> str:
        """uint8 (h, w, 3) or bool (h, w)."""
        if id(image) not in self._known:
            pixels = image.astype(np.uint8) * 255 if image.dtype == bool else image
            self._known[id(image)] = base64.b64encode(images.encode(pixels)).decode()
        return self._known[id(image)]


def to_text(
    request: SampleRequest,
    hints: Sequence[np.ndarray],
    prompt: str,
    seed: int,
    hashes: Mapping[str, str],
    start_image: GivenImage | None = None,
    encode: Encoder | None = None,
) -> dict[str, str]:
    """The PNG text of one image of a request whose `size` is known.

    `hints` are the conditions at that size, uint8 (h, w, 3), and so is `start_image`; `hashes` the SHA-256 of the base
    ("base") and of the controls (by their names). `encode` may have encoded them for other images of the request.
    """
    encode = encode or Encoder()
    record: dict[str, Any] = {name: getattr(request, name) for name in _STORED}
    record |= {"cn": __version__, "prompt": prompt, "seed": seed, "sha256": dict(hashes)}
    record["conditions"] = [
        {name: getattr(condition, name) for name in _STORED_OF_CONDITION}
        # The image to start from stands in the metadata once.
        | ({"masked": True} if condition.masked else {"png": encode(hint), "source": condition.source})
        for condition, hint in zip(request.conditions, hints, strict=True)
    ]
    if request.captioned_by is not None:
        record |= {"prompt_mode": "auto", "captioner": asdict(request.captioned_by)}
    if start_image is not None:
        given = request.start_image or start_image
        record["image"] = {"name": start_image.name, "png": encode(start_image.image), "source": given.source}
        if start_image.mask is not None:
            record["mask"] = {"name": start_image.mask_name, "png": encode(start_image.mask)}
    return {
        TEXT_KEY: json.dumps(record, ensure_ascii=True, sort_keys=True),
        parameters.KEY: parameters.to_parameters(request, prompt, seed, hashes),
    }


def to_exif(text: Mapping[str, str], format: str) -> bytes:
    """The EXIF data of a JPEG or WebP with what `to_text` gave.

    A JPEG holds 64 kB of it: where that is too little, all images in it are left out (`fits_jpeg`). Raises
    InputError where the prompts alone are too much.
    """
    exif = exif_text.to_exif(text)
    if format != "JPEG" or len(exif) <= exif_text.MAX_JPEG_BYTES:
        return exif
    record = json.loads(text[TEXT_KEY])
    record["conditions"] = [entry | {"png": None} for entry in record["conditions"]]
    record |= {name: record[name] | {"png": None} for name in ("image", "mask") if name in record}
    exif = exif_text.to_exif({**text, TEXT_KEY: json.dumps(record, sort_keys=True)})
    if len(exif) > exif_text.MAX_JPEG_BYTES:
        raise InputError("these prompts are too long for the metadata of a JPEG; write a PNG or WebP")
    return exif


def fits_jpeg(text: Mapping[str, str]) -> bool:
    """Whether all that `to_text` gave fits into a JPEG."""
    return len(exif_text.to_exif(text)) <= exif_text.MAX_JPEG_BYTES


@dataclass(frozen=True)
class Recipe:
    """The request that made an image, and the hashes of the weights that it was made with ({}: not known).

    An image that was left out is empty, (0, 0, 3).
    """

    request: SampleRequest
    hashes: Mapping[str, str]
    warnings: tuple[str, ...] = ()
    """Why the image will not be the same."""


def from_file(path: str, *, pixels: bool = True) -> Recipe:
    """The recipe of an image ("-" is standard input); without `pixels` the images in it are empty, which is faster.

    Raises InputError for a file without metadata, or with damaged metadata.
    """
    return from_bytes(reader.read_bytes(path), reader.display_name(path), pixels=pixels)


def from_bytes(data: bytes, name: str, *, pixels: bool = True) -> Recipe:
    """`from_file` for the bytes of an image that messages call `name`."""
    with about(name):
        is_png = data.startswith(png_text.SIGNATURE)
        text = png_text.read_text(io.BytesIO(data)) if is_png else exif_text.read_exif(data)
        found = text.get(TEXT_KEY, text.get(_OLD_TEXT_KEY))
        if found is None and SHEET_KEY in text:
            raise InputError("is the sheet of a sweep; give one of the images that it shows")
        if found is None:
            return _foreign(data, text)
    try:
        return Recipe(*_parse(json.loads(found), pixels))
    except (TypeError, ValueError, RecursionError, CnError) as error:
        raise InputError(f"its sampling metadata is damaged: {error}", path=name) from error


def _foreign(data: bytes, text: Mapping[str, str]) -> Recipe:
    """What an image says that is not `cn sample`'s, or has lost its metadata."""
    said = text.get(parameters.KEY, "")
    if "Steps: " not in said or "Seed: " not in said:
        raise InputError(foreign.why_not(data, text if data.startswith(png_text.SIGNATURE) else {}))
    request, others = parameters.from_parameters(said)
    own = f"Version: {parameters.WRITER} " in said
    what = "has lost the metadata of cn sample" if own else "was not written by cn sample"
    without = f"; without {', '.join(others)}" if others else ""
    warning = f"{what}: only prompt, steps, scale, seed, size and sampler are used, from its text 'parameters'{without}"
    return Recipe(request, {}, (warning,))


def _parse(record: Any, pixels: bool) -> tuple[SampleRequest, Mapping[str, str]]:
    """Raises TypeError, ValueError or what SampleRequest raises when something in it is not as `to_text` wrote it."""
    decoded = _decoded if pixels else _empty
    start = _start_image(record, decoded)
    conditions = tuple(_condition(entry, start, decoded) for entry in _get(record, "conditions", list))
    prompt, hashes = _get(record, "prompt", str), _get(record, "sha256", dict)
    hashes = {name: _get(hashes, name, str) for name in hashes}
    # The identity of an image: these have no sensible default.
    needed = {"seed": _get(record, "seed", int), "size": _get(record, "size", list)}
    # Not that of the base: an image was sampled with one scale, which is the paper's where none is stated.
    needed["scale"] = _get({"scale": PAPER_SCALE, **record}, "scale", (int, float))
    found = {name: value for name, value in dict(record).items() if name in _STORED}
    given = {
        "conditions": conditions,
        "start_image": start,
        "prompts": (prompt,),
        "captioned_by": _captioned_by(record),
    }
    request = options.from_values(SampleRequest, found | needed | given)
    return request, hashes


def _captioned_by(record: Mapping[str, Any]) -> CaptionedBy | None:
    if "captioner" not in record:
        return None
    captioner = _get(record, "captioner", dict)
    return CaptionedBy(_get(captioner, "name", str), _get(captioner, "sha256", str))


def _start_image(record: Mapping[str, Any], decoded: Decoder) -> GivenImage | None:
    if "image" not in record:
        return None
    image = _get(record, "image", dict)
    found = GivenImage(decoded(image), _get(image, "name", str), stored_source=_source(image))
    if "mask" not in record:
        return found
    mask = _get(record, "mask", dict)
    return replace(found, mask=to_mask(decoded(mask)), mask_name=_get(mask, "name", str))


def _condition(record: Any, start: GivenImage | None, decoded: Decoder) -> Condition:
    if isinstance(record, dict) and record.get("masked") is True:
        if start is None or start.mask is None:
            raise ValueError("the mask of a condition is missing")
        image, masked = start.image, True
    else:
        image, masked = decoded(record), False
    found = {name: value for name, value in dict(record).items() if name in _STORED_OF_CONDITION}
    origin = Origin(check=False, source=_source(record))
    return options.from_values(Condition, found | {"image": image, "masked": masked, "origin": origin})


def _source(record: Mapping[str, Any]) -> str:
    """ "" in an image of an earlier version."""
    return _get(record, "source", str) if "source" in record else ""


def _decoded(record: Any) -> np.ndarray:
    """(h, w, 3), or (0, 0, 3) where there was no room for it."""
    if isinstance(record, dict) and record.get("png", "") is None:
        return _empty(record)
    return images.decode(base64.b64decode(_get(record, "png", str), validate=True), "an image in it")


def _empty(record: Any) -> np.ndarray:
    """What stands for an image that was left out."""
    return np.zeros((0, 0, 3), np.uint8)


def _get(record: object, name: str, kind: type | tuple[type, ...]) -> Any:
    """`record[name]`; TypeError unless it is there and of this type, or of one of these."""
    if not isinstance(record, dict) or name not in record:
        raise TypeError(f"{name} is missing")
    if not isinstance(record[name], kind):
        raise TypeError(f"{name} is {record[name]!r:.40}")
    return record[name]
