"""How good images are, and what is in them, by the network that reads the built-in world (`cn.caption`)."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from cn.caption.captioner import Compute
from cn.caption.scene_captioner import open_scene_captioner
from cn.caption.scene_reader import prepare
from cn.caption.settings import CaptionSettings
from cn.devices import choose_device
from cn.eval.distances import kid

Image = NDArray[np.uint8]
_AT_ONCE = 16
_FUNCTION_WORDS = frozenset(["a", "an", "the", "in", "on", "of", "with", "and", "at", "by", "near", "to"])


@dataclass(frozen=True)
class Looked:
    """What the network says of images: features (n, d), the words of a caption of each, and features (n, e) of how they
    are drawn: means and standard deviations of its first layer, in which textures and edges are."""

    features: NDArray[np.float64]
    words: list[frozenset[str]]
    drawn: NDArray[np.float64]


class Reader:
    """The network on its device."""

    def __init__(self, device: str = "auto"):
        self.captioner = open_scene_captioner(CaptionSettings(), Compute(choose_device(device), torch.float32))

    @torch.inference_mode()
    def look(self, images: Sequence[Image]) -> Looked:
        """Features and words of images, uint8 (h, w, 3) each."""
        features, drawn, captions = list[NDArray[np.float64]](), list[NDArray[np.float64]](), list[str]()
        model = self.captioner.model
        for start in range(0, len(images), _AT_ONCE):
            part = images[start : start + _AT_ONCE]
            pixels = prepare(part, self.captioner.compute.device)
            _, whole = model.features(pixels)
            features.append(whole.double().cpu().numpy())
            first = model.stem(pixels).relu()
            drawn.append(torch.cat([first.mean((2, 3)), first.std((2, 3))], 1).double().cpu().numpy())
            captions += self.captioner.caption(part)
        words = [frozenset(caption.replace(",", " ").split()) - _FUNCTION_WORDS for caption in captions]
        return Looked(np.concatenate(features), words, np.concatenate(drawn))


def distance(images: Looked, true: Looked) -> float:
    """KID on the network's features, the mean of what is in images and of how they are drawn.

    0 for images that cannot be told from true ones, and slightly below by chance; larger is worse. The features of what
    is in an image hardly see noise or blur, those of its first layer do.
    """
    return (_kid(images.features, true.features) + _kid(images.drawn, true.drawn)) / 2


def _kid(images: NDArray[np.float64], true: NDArray[np.float64]) -> float:
    """Each feature is scaled to mean 0 and standard deviation 1 over the true images.

    Features that hardly differ between true images are scaled as the others are, so that a single image with one of
    them does not decide.
    """
    mean, spread = true.mean(axis=0), true.std(axis=0)
    spread = np.maximum(spread, max(float(np.median(spread)), 1e-6))
    return float(kid((images - mean) / spread, (true - mean) / spread).value)


def content(images: Looked, true: Looked) -> NDArray[np.float64]:
    """(n,): the share of the words of each true image that are those of the sampled image too."""
    pairs = zip(images.words, true.words, strict=True)
    return np.array([len(found & wanted) / len(wanted) if wanted else np.nan for found, wanted in pairs])


def prompt_wins(images: Looked, true: Looked) -> NDArray[np.float64]:
    """(n,): 1 where image i shows more of what the next true image alone shows than of what true image i alone does.

    The images are sampled with the condition of image i and the prompt of the next (`workplace.MISTAKEN`). 0.5 where
    both are equal, NaN where the two true images show the same.
    """
    wins = []
    for i, found in enumerate(images.words):
        condition, prompt = true.words[i], true.words[(i + 1) % len(true.words)]
        only_condition, only_prompt = condition - prompt, prompt - condition
        if not only_condition or not only_prompt:
            wins.append(np.nan)
            continue
        of_prompt, of_condition = (len(found & only) / len(only) for only in (only_prompt, only_condition))
        wins.append(0.5 if of_prompt == of_condition else float(of_prompt > of_condition))
    return np.array(wins)
