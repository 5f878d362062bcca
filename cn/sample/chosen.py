"""What sampling would choose by the weights: size, precision, prediction and hashes; read from the headers of files.

No network is loaded, so that images of another choice are refused before anything slow begins. No torch at the top.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from cn.files import begin_sha256, sha256_of_all
from cn.model.config import ModelConfig, Prediction
from cn.precision import Precision, precision_of
from cn.sample import recipes
from cn.sample.automatic import captioner_of
from cn.sample.lora_choice import Lora
from cn.sample.options import VAE_NAME
from cn.sample.png_metadata import Recipe
from cn.sample.prompts import CaptionedBy
from cn.sample.request import SampleRequest
from cn.sample.sizes import size_of
from cn.weights import bundled


@dataclass
class Chosen:
    """For `device` and, of automatic prompts, `captioner`; each file is read once."""

    device: str = "auto"
    captioner: str | None = None
    _configs: dict[tuple[str, Prediction | None], ModelConfig] = field(default_factory=dict)
    _precisions: dict[str, Precision] = field(default_factory=dict)
    _hashes: dict[tuple[str, ...], str] = field(default_factory=dict)
    _captioners: dict[str, CaptionedBy] = field(default_factory=dict)

    def refuse(self, path: Path, there: Recipe, wanted: SampleRequest) -> None:
        """OtherRecipeError where an image that is there is not the one that is wanted: of one prompt and one seed.

        Raises also what opening weights raises, as far as their headers show it.
        """
        recipes.refuse(path, recipes.difference(there.request, wanted) or self._difference(there, wanted))

    def _difference(self, there: Recipe, wanted: SampleRequest) -> str | None:
        before, config = there.request, self._config(wanted)
        if before.size != (size := size_of(wanted, config)):
            return recipes.different_size(before.size, size)
        chosen = {"precision": self._precision(wanted.precision), "prediction": config.schedule.prediction}
        for name, now in chosen.items():
            # Images of other programs do not state them.
            if getattr(before, name) not in (None, "auto", now):
                return recipes.another(name, getattr(before, name), now)
        if (changed := recipes.changed_weights(there.hashes, self._all_hashes(wanted, config))) is not None:
            return changed
        by = before.captioned_by
        if wanted.auto and by is not None and by.sha256 != (now_by := self._captioned_by(wanted)).sha256:
            return recipes.another("captioner", by.name, now_by.name)
        return None

    def _config(self, request: SampleRequest) -> ModelConfig:
        key = request.base, request.prediction
        if key not in self._configs:
            from cn.checkpoints.read.load import describe_base

            self._configs[key] = describe_base(bundled.find(request.base, role="base")).config(request.prediction)
        return self._configs[key]

    def _precision(self, given: str) -> Precision:
        if given not in self._precisions:
            from cn.devices import choose_device, sampling_dtype

            self._precisions[given] = precision_of(sampling_dtype(given, choose_device(self.device)))
        return self._precisions[given]

    def _all_hashes(self, request: SampleRequest, config: ModelConfig) -> dict[str, str]:
        """As `SamplingPipeline.hashes`."""
        base, vae = request.base, request.vae
        found = {"base": self._hash(partial(_described, base, "base"), "base", base)}
        if vae is not None:
            found[VAE_NAME] = self._hash(partial(_of_vae, vae, config), VAE_NAME, vae, base)
        for lora in map(Lora.parse, request.lora):
            found[lora.name] = self._hash(partial(_of_lora, lora), lora.name)
        for name in {c.control for c in request.conditions}:
            found[name] = self._hash(partial(_described, name, "control"), "control", name)
        return found

    def _hash(self, files: Callable[[], Sequence[Path]], *key: str) -> str:
        if key not in self._hashes:
            listed = files()
            for path in listed:
                # It is asked for again where the networks are loaded.
                begin_sha256(path)
            self._hashes[key] = sha256_of_all(listed)
        return self._hashes[key]

    def _captioned_by(self, request: SampleRequest) -> CaptionedBy:
        if request.base not in self._captioners:
            self._captioners[request.base] = captioner_of([request], self.captioner).by
        return self._captioners[request.base]


def _described(name: str, role: bundled.Role) -> Sequence[Path]:
    """The files of a base or control."""
    from cn.checkpoints.read.recognize import recognize

    return recognize(bundled.find(name, role=role)).files


def _of_vae(name: str, config: ModelConfig) -> Sequence[Path]:
    from cn.checkpoints.read.vae_file import open_vae

    return open_vae(bundled.find(name, role="base"), config).files


def _of_lora(lora: Lora) -> Sequence[Path]:
    from cn.checkpoints.read.lora.file import open_lora

    return [open_lora(lora.find()).path]
