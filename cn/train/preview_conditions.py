"""The conditions and prompts of a person's own that previews show (`--preview-cond`). No torch."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cn import images
from cn.data.frame import centered
from cn.detect.checks import check_map
from cn.errors import UsageError
from cn.model.config import DEFAULT_PROMPT
from cn.sample.condition_images import ConditionImage, read_condition
from cn.sample.fit import fit
from cn.sample.png_metadata import TEXT_KEY
from cn.sample.request import with_article
from cn.train.options.data_checks import one_each


@dataclass(frozen=True)
class PreviewCondition:
    """A condition image as it was given, and its prompt."""

    given: ConditionImage
    prompt: str

    def fitted(self, kind: str, size: int, multiple: int) -> NDArray[np.uint8]:
        """(h, w, 3), as `cn sample` would take it, in its own aspect ratio: h · w is about size²."""
        height, width = self.given.image.shape[:2]
        scale = size / math.sqrt(height * width)
        down, across = (max(multiple, round(side * scale / multiple) * multiple) for side in (height, width))
        part = centered(height, width, (down, across)).cut(self.given.image)
        return np.asarray(fit(part, kind, (down, across), (down, across), self.given.name), np.uint8)

    def warnings(self, kind: str) -> list[str]:
        """What cannot be right about it in a run that learns this kind, as `cn sample` would say it."""
        given = self.given
        if given.kind not in (None, kind):
            found = [f"is {with_article(str(given.kind))} map, but this run learns {kind}", *given.origin.warnings]
        else:
            wrong = check_map(given.image, kind, given.origin.info, given.origin.facts)
            found = [*given.origin.warnings, *map(str, wrong)]
        return [f"{given.name}: {text}" for text in found]


def read_preview_conditions(paths: Sequence[str], prompts: Sequence[str], kind: str | None) -> list[PreviewCondition]:
    """The images of `--preview-cond`, each with its prompt: its own of `--preview-prompt`, the one for all, that of its
    PNG where `cn sample` wrote it, or the default one (§4.1).

    Raises UsageError where their numbers do not fit, InputError, naming it, for an image that cannot be read.
    """
    if (paths and len(prompts) not in (0, 1, len(paths))) or (prompts and not paths):
        raise UsageError(
            f"--preview-prompt is given {len(prompts)} times for {len(paths)} --preview-cond: "
            "give it once, or once for each"
        )
    if "-" in paths:
        raise UsageError("--preview-cond needs a file, which a resumed run reads again, and not standard input")
    return [
        PreviewCondition(read_condition(path, follows=kind), _own_prompt(path) if prompt is None else prompt)
        for path, prompt in zip(paths, one_each(prompts, len(paths)), strict=True)
    ]


def _own_prompt(path: str) -> str:
    """The prompt that the metadata of an image states, or the default one."""
    try:
        prompt = json.loads(images.read_info(path)[TEXT_KEY])["prompt"]
    except (KeyError, ValueError, TypeError, RecursionError):
        return DEFAULT_PROMPT
    return prompt if isinstance(prompt, str) else DEFAULT_PROMPT
