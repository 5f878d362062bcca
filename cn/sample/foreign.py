"""Why an image cannot be reproduced: which other program wrote it, as its metadata says."""

from collections.abc import Mapping

from cn.conditions import TEXT_KEY as CONDITION_KEY
from cn.conditions import ConditionInfo
from cn.images.exif_text import exif_entries
from cn.images.opening import opened

A1111, COMFYUI, FOOOCUS = "AUTOMATIC1111's web UI or one like it", "ComfyUI", "Fooocus"

_BY_CHUNK: tuple[tuple[str, str], ...] = (
    ("invokeai_metadata", "InvokeAI"),
    ("invokeai_graph", "InvokeAI"),
    ("sd-metadata", "InvokeAI"),
    ("dream", "InvokeAI"),
    ("workflow", COMFYUI),
    ("fooocus_scheme", FOOOCUS),
    ("parameters", A1111),
    ("use_stable_diffusion_model", "Easy Diffusion"),
)
"""Text chunks by which programs are recognized, in lower case, the first that is there."""


def why_not(data: bytes, text: Mapping[str, str]) -> str:
    """What the bytes of an image without the metadata of `cn sample` are, and what to do; `text` are its PNG chunks.

    Raises InputError for what is no image.
    """
    with opened(data) as image:
        format = image.format or "image"
        exif = list(exif_entries(image).values())
    if CONDITION_KEY in text:
        info = ConditionInfo.from_text(text)
        return (
            f"is a condition map ({info.kind if info else 'of unknown kind'}), not a sampled image; use it with --cond"
        )
    found = _from_chunks(text) or _from_exif(exif)
    if found is not None:
        writer, where = found
        return (
            f"was written by {writer} (it says so in {where}), and not with settings in a form that is read: give its "
            "prompt and settings as options"
        )
    of = "" if format == "PNG" else f"is a {format} file and "
    return f"{of}has no sampling metadata of cn sample: programs that edit, copy or upload images often remove it"


def _from_chunks(text: Mapping[str, str]) -> tuple[str, str] | None:
    """(program, where it says so) from the text chunks of a PNG."""
    names = {name.lower(): name for name in text}
    for key, writer in _BY_CHUNK:
        if key in names:
            parameters = text[names[key]]
            if key == "parameters" and "sui_image_params" in parameters:
                writer = "SwarmUI"
            elif key == "parameters" and "Version: Fooocus" in parameters:
                writer = FOOOCUS
            return writer, f"its text chunk {names[key]!r}"
    if text.get("Software") == "NovelAI":
        return "NovelAI", "its text chunk 'Software'"
    if "prompt" in names and "class_type" in text[names["prompt"]]:
        return COMFYUI, f"its text chunk {names['prompt']!r}"
    return None


def _from_exif(entries: list[str]) -> tuple[str, str] | None:
    """(program, where it says so) from the EXIF texts of a JPEG or WebP."""
    for entry in entries:
        if "sui_image_params" in entry:
            return "SwarmUI", "its EXIF data"
        if "class_type" in entry or entry.lower().startswith(("workflow:", "prompt:")):
            return COMFYUI, "its EXIF data"
        if "fooocus" in entry.lower():
            return FOOOCUS, "its EXIF data"
        if "invokeai" in entry.lower():
            return "InvokeAI", "its EXIF data"
        if "Steps: " in entry and "Sampler: " in entry:
            return A1111, "its EXIF data"
    return None
