"""Images that are there, compared with those that a job would sample: also by what weights and their headers decide.

No network is loaded, so that other images are refused before anything slow begins. No torch at the top.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cn.files import begin_sha256, sha256_of_all
from cn.model.config import ModelConfig
from cn.precision import Precision, precision_of
from cn.sample import recipes
from cn.sample.automatic import captioner_of
from cn.sample.fit import fit
from cn.sample.lora_choice import Lora
from cn.sample.png_metadata import Recipe
from cn.sample.prompts import CaptionedBy
from cn.sample.request import Condition, SampleRequest, followed_kind
from cn.sample.sizes import own_size, size_of
from cn.sample.weights import UsedFile
from cn.weights import bundled

if TYPE_CHECKING:
    from cn.checkpoints.checkpoint import Checkpoint


@dataclass
class Comparison:
    """On `device` and, of automatic prompts, with `captioner`; each file of weights is read once."""

    device: str = "auto"
    captioner: str | None = None
    _bases: "dict[str, Checkpoint]" = field(default_factory=dict)
    _precisions: dict[str, Precision] = field(default_factory=dict)
    _hashes: dict[tuple[str, ...], str] = field(default_factory=dict)
    _captioners: dict[str, CaptionedBy] = field(default_factory=dict)

    def refuse(self, path: Path, there: Recipe, wanted: SampleRequest) -> None:
        """OtherRecipeError where an image that is there is not the one that is wanted: of one prompt and one seed.

        Raises also what opening weights raises, as far as their headers show it.
        """
        recipes.refuse(path, recipes.difference(there.request, wanted) or self._difference(there, wanted))

    def _difference(self, there: Recipe, wanted: SampleRequest) -> str | None:
        config = self._base(wanted.base).config(wanted.prediction)
        changed = recipes.different_weights(there, wanted, lambda used: self._hash(used, wanted.base, config))
        return changed or self._different_decision(there.request, wanted, config)

    def _different_decision(self, before: SampleRequest, wanted: SampleRequest, config: ModelConfig) -> str | None:
        if before.size != (size := size_of(wanted, config)):
            return recipes.different_size(before.size, size)
        scale = config.guidance_scale if wanted.scale is None else wanted.scale
        if before.scale not in (None, scale):
            return recipes.another("scale", before.scale, scale)
        precision, prediction = self._precision(wanted.precision), config.schedule.prediction
        # Images of earlier versions do not state them.
        if before.precision not in ("auto", precision):
            different = recipes.another("precision", before.precision, precision)
            # The device decides it: the job may have begun on another one.
            return f"{different} (--precision {before.precision} goes on with it)"
        if before.prediction not in (None, prediction):
            return recipes.another("prediction", before.prediction, prediction)
        by = before.captioned_by
        if wanted.auto and by is not None and by.sha256 != (now_by := self._captioned_by(wanted)).sha256:
            return recipes.another("captioner", by.name, now_by.name)
        return _different_pixels(before, wanted, size, config)

    def _base(self, name: str) -> "Checkpoint":
        if name not in self._bases:
            from cn.checkpoints.read.load import describe_base

            self._bases[name] = describe_base(bundled.find(name, role="base"))
        return self._bases[name]

    def _precision(self, given: str) -> Precision:
        if given not in self._precisions:
            from cn.devices import choose_device, sampling_dtype

            self._precisions[given] = precision_of(sampling_dtype(given, choose_device(self.device)))
        return self._precisions[given]

    def _hash(self, used: UsedFile, base: str, config: ModelConfig) -> str:
        key = (used.role, used.name, base if used.role == "vae" else "")
        if key not in self._hashes:
            listed = self._base(base).files if used.role == "base" else _files(used, base, config)
            for path in listed:
                # It is asked for again where the networks are loaded.
                begin_sha256(path)
            self._hashes[key] = sha256_of_all(listed)
        return self._hashes[key]

    def _captioned_by(self, request: SampleRequest) -> CaptionedBy:
        if request.base not in self._captioners:
            self._captioners[request.base] = captioner_of([request], self.captioner).by
        return self._captioners[request.base]


def _files(used: UsedFile, base: str, config: ModelConfig) -> Sequence[Path]:
    """The files of a VAE, LoRA or control for a base, given its configuration too."""
    if used.role == "vae":
        from cn.checkpoints.read.vae_file import open_vae

        return open_vae(bundled.find(used.name, role="base"), config).files
    if used.role == "lora":
        from cn.checkpoints.read.lora.file import open_lora

        return [open_lora(Lora(used.name).find()).path]
    from cn.checkpoints.read.recognize import recognize

    return recognize(bundled.find(used.name, role="control"), base=bundled.find(base, role="base")).files


def _different_pixels(
    before: SampleRequest, wanted: SampleRequest, size: tuple[int, int], config: ModelConfig
) -> str | None:
    """Of an image of an earlier version, which holds what it was given at its own `size`, (height, width)."""

    def fitted(condition: Condition) -> np.ndarray:
        kind = condition.kind or followed_kind(condition.control)
        own = own_size(condition.image, wanted, config)
        return fit(condition.image, kind, size, own, condition.name, wanted.fit)

    for old, new in zip(before.conditions, wanted.conditions, strict=True):
        if not (old.masked or old.origin.source or np.array_equal(old.image, fitted(new))):
            return recipes.OTHER_CONDITION
    start, given = before.start_image, wanted.start_image
    if start is None or given is None or start.stored_source:
        return None
    now = given.at(size, own_size(given.image, wanted, config))
    same = start.mask is None or now.mask is None or np.array_equal(start.mask, now.mask)
    return None if same and np.array_equal(start.image, now.image) else recipes.OTHER_START
