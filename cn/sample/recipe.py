"""The recipe that every sampled PNG carries, so that `cn sample --from OUT.png` makes it again.

The text chunk `cn.recipe` is JSON: the prompt, all settings, the hashes of the weights, and the condition images
themselves as PNG in base 64 (a Canny map of 512×512 is about 10 kB).
"""

import base64
import json
from collections.abc import Mapping
from typing import Any

from cn import __version__, images
from cn.errors import InputError
from cn.sample.request import Condition, SampleRequest

TEXT_KEY = "cn.recipe"
_PLAIN = ("base", "negative", "steps", "scale", "eta", "guess", "precision")
_CONDITION = ("name", "control", "kind", "strength", "start", "end")


def to_text(
    request: SampleRequest, prompt: str, seed: int, size: tuple[int, int], hashes: Mapping[str, str]
) -> dict[str, str]:
    """The PNG text of one picture; `hashes` are SHA-256 of the base ("base") and the controls (by their names)."""
    record: dict[str, Any] = {name: getattr(request, name) for name in _PLAIN}
    record |= {"cn": __version__, "prompt": prompt, "seed": seed, "size": list(size), "sha256": dict(hashes)}
    record["conditions"] = [
        {name: getattr(condition, name) for name in _CONDITION}
        | {"png": base64.b64encode(images.encode(condition.image)).decode()}
        for condition in request.conditions
    ]
    return {TEXT_KEY: json.dumps(record, ensure_ascii=True, sort_keys=True)}


def from_file(path: str) -> tuple[SampleRequest, Mapping[str, str]]:
    """The request that made a picture, and the hashes of the weights that it was made with.

    Raises InputError for a file that carries no recipe or a damaged one.
    """
    images.read(path)
    text = images.read_info(path)
    if TEXT_KEY not in text:
        raise InputError(f"{path}: carries no recipe; only PNG files that cn sample wrote do (copies may lose it)")
    try:
        record = json.loads(text[TEXT_KEY])
        conditions = tuple(
            Condition(images.decode(base64.b64decode(c["png"]), c["name"]), **{name: c[name] for name in _CONDITION})
            for c in record["conditions"]
        )
        height, width = record["size"]
        request = SampleRequest(
            prompts=(record["prompt"],),
            conditions=conditions,
            seed=record["seed"],
            size=(height, width),
            **{name: record[name] for name in _PLAIN},
        )
        return request, dict(record["sha256"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path}: its recipe is damaged ({type(error).__name__}: {error})") from error
