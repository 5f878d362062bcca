"""Which column of a table holds the images, the captions, the condition maps: by the names that tools give them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from cn import conditions
from cn.data.sources.maps import kind_of
from cn.data.sources.sample import UNSTATED
from cn.errors import InputError, UsageError

_IMAGES = (
    *("file_name", "image_file_name", "target", "target_file_name", "image", "image_path", "images", "img", "img_path"),
    *("path", "file_path", "filepath", "file", "filename", "image_name", "target_image", "output_image", "jpg", "png"),
)
"""Names of columns in lower case, the first that is there counts."""
_CAPTIONS = (
    *("text", "caption", "prompt", "captions", "texts", "description", "sentence", "sentences", "raw", "blip_caption"),
    *("en_text", "txt", "title", "alt_text"),
)
_MAPS = (
    *("conditioning_image", "conditioning", "condition", "condition_image", "control", "control_image", "cond"),
    *("conditioning_image_path", "conditioning_path", "control_path", "control_image_path", "hint", "guide"),
)
_FILE_NAME = "_file_name"
_URLS = ("url", "image_url", "img_url")
ROLES = ("image", "caption", "condition")
"""What `--column` can name, besides kinds of conditions."""


@dataclass(frozen=True)
class Columns:
    """The names of columns."""

    image: str
    caption: str | None = None
    maps: Mapping[str, str] = field(default_factory=dict)
    """By kind of condition; UNSTATED where the column does not say it."""

    @property
    def used(self) -> set[str]:
        """All that are read for what they are, not kept as `Sample.extra`."""
        return {self.image, *self.maps.values()} | ({self.caption} if self.caption is not None else set())

    def text(self) -> str:
        """In words: `images: "file_name", captions: "text"`."""
        words = [f'images: "{self.image}"']
        words += [f'captions: "{self.caption}"'] if self.caption is not None else []
        words += [f'{kind or "condition"} maps: "{name}"' for kind, name in self.maps.items()]
        return ", ".join(words)


PROMPT_JSON = Columns("target", "prompt", {UNSTATED: "source"})
"""The official trainer's."""


def check_columns(chosen: Mapping[str, str]) -> None:
    """UsageError for a role that no column can have."""
    for role in chosen:
        if role not in ROLES and not kind_of(role):
            names = ", ".join((*ROLES, "or a kind of condition"))
            raise UsageError(f"--column {role}={chosen[role]}: {role!r} is no role; use {names}")


def find_columns(
    names: Sequence[str], chosen: Mapping[str, str], usable: Iterable[str] | None = None
) -> Columns | None:
    """The columns of a table whose columns have these `names`; `chosen` are those that the user named, by role.

    `usable`: the columns whose values could be images. None where no column holds images. Raises InputError where a
    column that was named is not there.
    """
    for role, name in chosen.items():
        if name not in names:
            raise InputError(f'no column "{name}" (--column {role}={name}); there are {", ".join(names)}')
    possible = set(names if usable is None else usable)
    lower = {name.lower(): name for name in reversed(names)}
    images = [lower[each] for each in _IMAGES if each in lower and lower[each] in possible]
    image = chosen.get("image") or next(iter(images), None)
    if image is None:
        return None
    maps = {_kind(role): name for role, name in chosen.items() if role not in ("image", "caption")}
    taken = {image, *chosen.values()}
    for name in names:
        if name not in taken and name in possible and (kind := _map_kind(name.lower(), image)) is not None:
            maps.setdefault(kind, name)
    # What could be an image is no text.
    no_texts = {*taken, *maps.values()} | (set() if usable is None else possible)
    captions = (lower[each] for each in _CAPTIONS if each in lower and lower[each] not in no_texts)
    return Columns(image, chosen.get("caption") or next(captions, None), maps)


def find_urls(names: Sequence[str]) -> str | None:
    """The column with the addresses of images that were not downloaded."""
    return next((name for name in names if name.lower() in _URLS), None)


def _kind(role: str) -> str:
    return UNSTATED if role == "condition" else kind_of(role)


def _map_kind(name: str, image: str) -> str | None:
    """The kind of the maps in a column of this name (lower case); None if it holds no maps."""
    stem = name.removesuffix(_FILE_NAME)
    if stem in _MAPS or (stem in ("source", "source_image") and image.lower().startswith("target")):
        return UNSTATED
    for ending in ("_image", "_map", "_path", "_conditioning"):
        stem = stem.removesuffix(ending)
    for beginning in ("conditioning_", "condition_", "control_", "cond_"):
        stem = stem.removeprefix(beginning)
    known = {other for spec in conditions.CONDITIONS for other in (spec.kind, *spec.aliases)}
    return kind_of(stem) if stem in known else None
