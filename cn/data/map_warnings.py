"""Condition maps of a dataset that cannot be right, counted."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cn import images
from cn.conditions import ConditionInfo
from cn.data.records import ImageFile
from cn.detect.checks import check_map, file_facts
from cn.errors import InputError


@dataclass
class MapTally:
    """The warnings about some maps: each text once, with the first map that has it and their number."""

    found: dict[str, list[ImageFile]] = field(default_factory=dict)

    def add(self, path: ImageFile, image: NDArray[np.uint8], kind: str) -> None:
        """Look at a map, uint8 (h, w, 3), that was read from `path` as one of this kind."""
        for warning in check_map(image, kind, map_info(path), file_facts(path)):
            self.found.setdefault(str(warning), []).append(path)

    def messages(self, checked: int) -> list[str]:
        """One for each kind of warning, those of most maps first."""
        ordered = sorted(self.found.items(), key=lambda item: -len(item[1]))
        return [
            f"{paths[0]} {text}" + (f" ({len(paths)} of {checked} maps)" if len(paths) > 1 else "")
            for text, paths in ordered
        ]


def map_info(path: ImageFile) -> ConditionInfo | None:
    """What the PNG of a map states about it; None where it states nothing, or its text is damaged."""
    try:
        return ConditionInfo.from_text(images.read_info(path))
    except InputError:
        return None
