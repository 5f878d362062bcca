"""The metadata that every sampled PNG carries, so that `cn sample --from OUT.png` reproduces it.

The text chunk `cn.sample` is JSON: the prompt, all options, the hashes of the weights, and the images that were given
(conditions, the image to start from and its mask), at the size of the result, as PNG in base 64 (a Canny map of 512×512
is about 10 kB). An option that an image of an earlier version does not name has its default.
"""

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cn import __version__, images, options
from cn.errors import CnError, InputError, about
from cn.images import png_text, reader
from cn.sample import foreign
from cn.sample.options import ConditionOptions, SampleOptions
from cn.sample.request import Condition, SampleRequest
from cn.sample.start_image import GivenImage, to_mask

TEXT_KEY = "cn.sample"
_OLD_TEXT_KEY = "cn.recipe"
"""Its name until version 0.1."""
_STORED = [name for name in options.declared(SampleOptions) if name != "count"]
"""`count` is not stored: each image has its own metadata, and does not depend on how many were sampled."""
_STORED_OF_CONDITION = ["name", "kind", *options.declared(ConditionOptions)]


def to_text(
    request: SampleRequest,
    hints: Sequence[np.ndarray],
    prompt: str,
    seed: int,
    hashes: Mapping[str, str],
    start_image: GivenImage | None = None,
) -> dict[str, str]:
    """The PNG text of one image of a request whose `size` is known.

    `hints` are the conditions at that size, uint8 (h, w, 3), and so is `start_image`; `hashes` the SHA-256 of the base
    ("base") and of the controls (by their names).
    """
    record: dict[str, Any] = {name: getattr(request, name) for name in _STORED}
    record |= {"cn": __version__, "prompt": prompt, "seed": seed, "sha256": dict(hashes)}
    record["conditions"] = [
        {name: getattr(condition, name) for name in _STORED_OF_CONDITION}
        # The image to start from stands in the metadata once.
        | ({"masked": True} if condition.masked else {"png": _encoded(hint)})
        for condition, hint in zip(request.conditions, hints, strict=True)
    ]
    if start_image is not None:
        record["image"] = {"name": start_image.name, "png": _encoded(start_image.image)}
        if start_image.mask is not None:
            record["mask"] = {"name": start_image.mask_name, "png": _encoded(start_image.mask.astype(np.uint8) * 255)}
    return {TEXT_KEY: json.dumps(record, ensure_ascii=True, sort_keys=True)}


def from_file(path: str) -> tuple[SampleRequest, Mapping[str, str]]:
    """The request that made an image ("-" is standard input), and the hashes of the weights that it was made with.

    Raises InputError for a file without this metadata, or with damaged metadata.
    """
    name = reader.display_name(path)
    data = reader.read_bytes(path)
    text = png_text.read_text(io.BytesIO(data))
    found = text.get(TEXT_KEY, text.get(_OLD_TEXT_KEY))
    if found is None:
        with about(name):
            raise InputError(foreign.why_not(data, text))
    try:
        return _parse(json.loads(found))
    except (TypeError, ValueError, RecursionError, CnError) as error:
        raise InputError(f"its sampling metadata is damaged: {error}", path=name) from error


def _parse(record: Any) -> tuple[SampleRequest, Mapping[str, str]]:
    """Raises TypeError, ValueError or what SampleRequest raises when something in it is not as `to_text` wrote it."""
    start = _start_image(record)
    conditions = tuple(_condition(entry, start) for entry in _get(record, "conditions", list))
    prompt, hashes = _get(record, "prompt", str), _get(record, "sha256", dict)
    # The identity of an image: these have no sensible default.
    needed = {"seed": _get(record, "seed", int), "size": _get(record, "size", list)}
    found = {name: value for name, value in dict(record).items() if name in _STORED}
    images_of_it = {"conditions": conditions, "start_image": start}
    request = options.from_values(SampleRequest, found | needed | {"prompts": (prompt,)} | images_of_it)
    return request, hashes


def _start_image(record: Mapping[str, Any]) -> GivenImage | None:
    if "image" not in record:
        return None
    image = _get(record, "image", dict)
    found = GivenImage(_decoded(image), _get(image, "name", str))
    if "mask" not in record:
        return found
    mask = _get(record, "mask", dict)
    return replace(found, mask=to_mask(_decoded(mask)), mask_name=_get(mask, "name", str))


def _condition(record: Any, start: GivenImage | None) -> Condition:
    if isinstance(record, dict) and record.get("masked") is True:
        if start is None or start.mask is None:
            raise ValueError("the mask of a condition is missing")
        image, masked = start.image, True
    else:
        image, masked = _decoded(record), False
    found = {name: value for name, value in dict(record).items() if name in _STORED_OF_CONDITION}
    return options.from_values(Condition, found | {"image": image, "masked": masked})


def _encoded(image: np.ndarray) -> str:
    return base64.b64encode(images.encode(image)).decode()


def _decoded(record: Any) -> np.ndarray:
    return images.decode(base64.b64decode(_get(record, "png", str), validate=True), "an image in it")


def _get(record: object, name: str, kind: type) -> Any:
    """`record[name]`; TypeError unless it is there and of this type."""
    if not isinstance(record, dict) or name not in record:
        raise TypeError(f"{name} is missing")
    if not isinstance(record[name], kind):
        raise TypeError(f"{name} is {record[name]!r:.40}")
    return record[name]
