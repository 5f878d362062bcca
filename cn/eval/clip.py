"""CLIP score (Hessel et al. 2021): how well images fit their prompts, by a CLIP of open_clip.

Weights are never downloaded: they are the file that was given.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from cn.archives.archive import open_archive
from cn.caption.weights import load
from cn.data.examples import Example
from cn.errors import UsageError, WeightsError, about
from cn.eval.measures import Measure
from cn.files import sha256

HOW = (
    "--clip-weights FILE: open_clip_model.safetensors of timm/vit_base_patch32_clip_224.openai, or the file of another "
    "model that --clip-model names"
)
_BATCH = 32


class ClipScorer:
    """100 × the cosine of an image and its prompt, at least 0 (as torchmetrics has it; the paper's factor is 2.5).

    Images are resized to the model's short side and cropped, as CLIP was trained; prompts are cut to 77 tokens.
    """

    name = "CLIP score"
    measure = Measure("CLIP score", "higher", about="100 × the cosine of image and prompt by CLIP")

    def __init__(self, model: Any, tokenizer: Any, title: str, weights_sha256: str):
        import open_clip

        self.model, self.tokenizer = model.eval().requires_grad_(False), tokenizer
        self.title, self.weights_sha256 = title, weights_sha256
        self.preprocess = open_clip.image_transform(
            model.visual.image_size,
            is_train=False,
            mean=open_clip.OPENAI_DATASET_MEAN,
            std=open_clip.OPENAI_DATASET_STD,
        )

    @classmethod
    def open(cls, path: str | os.PathLike[str], name: str, device: torch.device) -> "ClipScorer":
        """The model that open_clip calls `name`, with the weights of a file; UsageError for an unknown name.

        Raises WeightsError where the file is missing or of another model, InputError where it is damaged.
        """
        import open_clip

        config = open_clip.get_model_config(name) or {}
        if "text_cfg" not in config or config.get("custom_text") or "hf_model_name" in config["text_cfg"]:
            raise UsageError(f"--clip-model: open_clip has no CLIP that is called {name!r}")
        if not os.path.isfile(path):
            raise WeightsError("no such file; give it with --clip-weights", path=path)
        file = Path(path)
        model = open_clip.CLIP(**config)
        with about(file):
            entries = {key.removeprefix("module."): entry for key, entry in open_archive(file).entries.items()}
        load(model, entries, file, torch.float32)
        return cls(model.to(device), open_clip.get_tokenizer(name), name, sha256(path))

    def description(self) -> dict[str, Any]:
        return {"detector": f"open_clip {self.title}", "weights_sha256": self.weights_sha256}

    @torch.inference_mode()
    def given(self, examples: Sequence[Example]) -> list[NDArray[np.float32]]:
        tokens = self.tokenizer([example.prompt for example in examples]).to(self._device)
        return list(F.normalize(self.model.encode_text(tokens).float(), dim=-1).cpu().numpy())

    @torch.inference_mode()
    def found(self, images: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.float32]]:
        from PIL import Image

        pixels = torch.stack([self.preprocess(Image.fromarray(image)) for image in images]).to(self._device)
        parts = [self.model.encode_image(part).float() for part in pixels.split(_BATCH)]
        return list(F.normalize(torch.cat(parts), dim=-1).cpu().numpy())

    def compare(self, given: Sequence[Any], found: Sequence[Any]) -> NDArray[np.float64]:
        cosines = [float(np.dot(g.astype(np.float64), f.astype(np.float64))) for g, f in zip(given, found, strict=True)]
        return 100 * np.maximum(np.array(cosines, np.float64), 0)

    @property
    def _device(self) -> torch.device:
        return next(self.model.parameters()).device
