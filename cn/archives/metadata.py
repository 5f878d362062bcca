"""What safetensors files written by cn say about themselves: one metadata entry, in JSON."""

import json
from collections.abc import Mapping
from typing import Any

from cn.archives.archive import Archive
from cn.errors import InputError
from cn.json_text import parse_json

METADATA_KEY = "cn"
"""The entry of the safetensors metadata that holds it."""


def decode(archive: Archive) -> dict[str, Any]:
    """The description in a file written by cn; {} for other files. InputError where it is damaged."""
    try:
        header = parse_json(archive.metadata.get(METADATA_KEY, "{}"))
        # NaN, which no strict reader of `--json` could take.
        json.dumps(header, allow_nan=False)
    except (InputError, ValueError) as error:
        raise InputError(f"its header is damaged: {error}", path=archive.path) from None
    return header if isinstance(header, dict) else {}


def encode(header: Mapping[str, Any], key: str = METADATA_KEY) -> dict[str, str]:
    """A description as a metadata entry, with its names sorted so that equal descriptions give equal bytes."""
    return {key: json.dumps(header, ensure_ascii=False, sort_keys=True)}
