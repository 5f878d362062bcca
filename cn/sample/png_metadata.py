"""The recipe that every sampled PNG carries, so that `cn sample --from OUT.png` makes it again.

The text chunk `cn.pretrain` is JSON: the prompt, all settings, the hashes of the weights, and the condition images
themselves, at the image's size, as PNG in base 64 (a Canny map of 512×512 is about 10 kB).
"""

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cn import __version__, images
from cn.errors import CnError, InputError
from cn.sample.request import Condition, SampleRequest

TEXT_KEY = "cn.recipe"
_NUMBER = (int, float)
_PLAIN: dict[str, tuple[type, ...]] = {
    "base": (str,),
    "prediction": (str, type(None)),
    "negative": (str,),
    "steps": (int,),
    "scale": _NUMBER,
    "eta": _NUMBER,
    "guess": (bool,),
    "precision": (str,),
}
_CONDITION: dict[str, tuple[type, ...]] = {
    "name": (str,),
    "control": (str,),
    "kind": (str, type(None)),
    "strength": _NUMBER,
    "start": _NUMBER,
    "end": _NUMBER,
}


def to_text(
    request: SampleRequest, hints: Sequence[np.ndarray], prompt: str, seed: int, hashes: Mapping[str, str]
) -> dict[str, str]:
    """The PNG text of one image of a request whose `size` is settled.

    `hints` are the conditions at that size, uint8 (h, w, 3); `hashes` the SHA-256 of the base ("base") and of the
    controls (by their names).
    """
    record: dict[str, Any] = {name: getattr(request, name) for name in _PLAIN}
    record |= {"cn": __version__, "prompt": prompt, "seed": seed, "size": request.size, "sha256": dict(hashes)}
    record["conditions"] = [
        {name: getattr(condition, name) for name in _CONDITION}
        | {"png": base64.b64encode(images.encode(hint)).decode()}
        for condition, hint in zip(request.conditions, hints, strict=True)
    ]
    return {TEXT_KEY: json.dumps(record, ensure_ascii=True, sort_keys=True)}


def from_file(path: str) -> tuple[SampleRequest, Mapping[str, str]]:
    """The request that made an image ("-" is standard input), and the hashes of the weights that it was made with.

    Raises InputError for a file that carries no recipe or a damaged one.
    """
    name = "standard input" if path == "-" else path
    _, text = images.read_with_info(path)
    if TEXT_KEY not in text:
        raise InputError(f"{name}: carries no recipe; only PNG files that cn sample wrote do (copies may lose it)")
    try:
        return _parse(json.loads(text[TEXT_KEY]))
    except (TypeError, ValueError, RecursionError, CnError) as error:
        raise InputError(f"{name}: its recipe is damaged: {error}") from error


def _parse(record: object) -> tuple[SampleRequest, Mapping[str, str]]:
    """Raises TypeError, ValueError or what SampleRequest raises when something in it is not as `to_text` wrote it."""
    conditions = tuple(
        Condition(
            images.decode(base64.b64decode(_get(entry, "png", str), validate=True), "condition"),
            **{name: _get(entry, name, *types) for name, types in _CONDITION.items()},
        )
        for entry in _get(record, "conditions", list)
    )
    height, width = (_get({"size": side}, "size", int) for side in _get(record, "size", list))
    request = SampleRequest(
        prompts=(_get(record, "prompt", str),),
        conditions=conditions,
        seed=_get(record, "seed", int),
        size=(height, width),
        **{name: _get(record, name, *types) for name, types in _PLAIN.items()},
    )
    return request, _get(record, "sha256", dict)


def _get(record: object, name: str, *types: type) -> Any:
    """`record[name]`; TypeError unless it is there and of one of the types."""
    if not isinstance(record, dict) or name not in record:
        raise TypeError(f"{name} is missing")
    if not isinstance(record[name], types):
        raise TypeError(f"{name} is {record[name]!r:.40}")
    return record[name]
