"""Names that other systems take for the same: they differ in case, or in the Unicode form, only."""

import os
import unicodedata
from functools import lru_cache


class NameIndex:
    """The names of a dataset's files, as Windows and macOS compare them."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}

    def clash(self, path: str) -> str | None:
        """The first other name that a path clashes with, if there is one; the path is added."""
        known = self._names.setdefault(folded(path), path)
        return None if known == path else known


def folded(path: str) -> str:
    """The path without differences of case and of Unicode normalization."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", path).casefold())


def other_case(path: str) -> str | None:
    """The name of a file that is missing, as it is spelled in its folder in another case; None if there is none."""
    folder, name = os.path.split(path)
    return _listing(folder).get(folded(name))


@lru_cache(maxsize=16)
def _listing(folder: str) -> dict[str, str]:
    try:
        return {folded(name): name for name in os.listdir(folder)}
    except OSError:
        return {}
