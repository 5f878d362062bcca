"""Texts in the EXIF data of JPEG and WebP files, where a PNG has text chunks: keyword → text.

`parameters`, the text that AUTOMATIC1111's web UI writes, goes where that program has it: the user comment, in UTF-16
(EXIF 2.3, 4.6.5; piexif's `UserComment.dump`). All others are one JSON object in the image description; a text that is
a JSON object itself is not quoted again.
"""

import json
from collections.abc import Mapping
from typing import Any

from PIL import ExifTags, Image

from cn.errors import InputError
from cn.images.opening import opened
from cn.json_text import parse_json

PARAMETERS = "parameters"
"""The keyword of what goes into the user comment."""
FORMATS = ("JPEG", "WEBP")
"""Pillow's names of the formats that are meant."""
MAX_JPEG_BYTES = 65_533
"""A segment of a JPEG has 16 bits for its length, and two of its bytes are that length itself (ITU T.81, B.1.1.4)."""
_MAX_TEXT = 64 << 20
_UNICODE, _ASCII = b"UNICODE\0", b"ASCII\0\0\0"


def to_exif(text: Mapping[str, str]) -> bytes:
    """The EXIF data that holds these texts."""
    exif = Image.Exif()
    if PARAMETERS in text:
        comment = _UNICODE + text[PARAMETERS].encode("utf-16-be", "replace")
        exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.UserComment] = comment
    record = {name: _unquoted(value) for name, value in text.items() if name != PARAMETERS}
    if record:
        exif[ExifTags.Base.ImageDescription] = json.dumps(record, sort_keys=True)
    return exif.tobytes()


def read_exif(data: bytes) -> dict[str, str]:
    """The texts that `to_exif` wrote, or other programs: {} where there are none, or the EXIF data is damaged."""
    with opened(data) as image:
        found = exif_entries(image)
    text = {PARAMETERS: found[ExifTags.Base.UserComment]} if ExifTags.Base.UserComment in found else {}
    try:
        record = parse_json(found.get(ExifTags.Base.ImageDescription, ""))
    except InputError:
        return text
    if isinstance(record, dict):
        text |= {name: value if isinstance(value, str) else json.dumps(value) for name, value in record.items()}
    return text


def exif_entries(image: Image.Image) -> dict[int, str]:
    """Tag → text of the entries in which programs leave text; {} where there are none, or they are damaged."""
    try:
        exif = image.getexif()
        tags = (ExifTags.Base.ImageDescription, ExifTags.Base.Make, ExifTags.Base.Model, ExifTags.Base.Software)
        found: dict[int, Any] = {tag: exif.get(tag) for tag in tags}
        found[ExifTags.Base.UserComment] = exif.get_ifd(ExifTags.IFD.Exif).get(ExifTags.Base.UserComment)
    except (OSError, SyntaxError, ValueError, KeyError, TypeError):
        return {}
    return {tag: _decoded(value) for tag, value in found.items() if isinstance(value, str | bytes)}


def _unquoted(text: str) -> Any:
    try:
        value = parse_json(text)
    except InputError:
        return text
    return value if isinstance(value, dict) else text


def _decoded(value: str | bytes) -> str:
    """The text of an entry; a user comment begins with eight bytes that name its encoding (EXIF 2.3, 4.6.5)."""
    if isinstance(value, str):
        return value[:_MAX_TEXT]
    code, rest = value[:8], value[8:_MAX_TEXT]
    if code == _UNICODE:
        # Most writers use the big-endian order, whatever the file's is.
        order = "utf-16-le" if rest[1::2].count(0) > rest[::2].count(0) else "utf-16-be"
        return rest.decode(order, "replace")
    return (rest if code == _ASCII else value[:_MAX_TEXT]).decode("utf-8", "replace")
