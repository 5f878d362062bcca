"""BLIP (Li et al. 2022) of transformers: a vision transformer, and a BERT that looks at it and writes.

Network and weights are those of `BlipForConditionalGeneration`; decoding is `cn.caption.decoding`. Captions begin with
"a picture of", as in BLIP's training and in its own scripts, and are returned without these words: without them the
large network writes words that do not exist ("arafed").
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cn.caption.attention import ImageMemory, Memories, Memory
from cn.caption.captioner import Compute, Image, image_seed
from cn.caption.decoding import Vocabulary, decode
from cn.caption.settings import CaptionSettings
from cn.caption.words import tidy
from cn.errors import WeightsError

PROMPT = "a picture of"
MEAN = np.array((0.48145466, 0.4578275, 0.40821073), np.float32)
STD = np.array((0.26862954, 0.26130258, 0.27577711), np.float32)
"""Of the images that the vision transformer was trained with (CLIP's)."""
_NO_TEXT = ("[PAD]", "[UNK]", "[CLS]", "[MASK]")


class BlipTexts:
    """Texts about a batch of images: `cn.caption.decoding.TextNetwork`."""

    def __init__(self, model: Any, places: Tensor):
        """`places`: the output of the vision transformer, (images, places, width)."""
        self.bert, self.head = model.text_decoder.bert, model.text_decoder.cls
        self.heads = model.config.text_config.num_attention_heads
        cross = [layer.crossattention.self for layer in self.bert.encoder.layer]
        self.memories = Memories(
            [Memory() for _ in cross], [ImageMemory.of(one.key(places), one.value(places), self.heads) for one in cross]
        )

    def step(self, tokens: Tensor) -> Tensor:
        embeddings = self.bert.embeddings
        place = embeddings.position_embeddings.weight[self.memories.length]
        x = embeddings.LayerNorm(embeddings.word_embeddings(tokens.flatten()[:, None]) + place)
        for layer, memory, image in zip(
            self.bert.encoder.layer, self.memories.tokens, self.memories.images, strict=True
        ):
            own = layer.attention.self
            x = layer.attention.output(memory.attend(own.query(x), own.key(x), own.value(x), self.heads), x)
            x = layer.crossattention.output(image.attend(layer.crossattention.self.query(x)), x)
            x = layer.output(layer.intermediate(x), x)
        self.memories.length += 1
        return self.head(x).reshape(*tokens.shape, -1)

    def select(self, images: Tensor, beams: Tensor) -> None:
        self.memories.select(images, beams)


class BlipCaptioner:
    """`cn.caption.captioner.Captioner` with a BlipForConditionalGeneration."""

    def __init__(self, model: Any, words: Sequence[str], settings: CaptionSettings, compute: Compute):
        """`words`: the vocabulary of BERT, by number. Raises WeightsError where it is another one."""
        self.settings = settings
        self.compute = compute
        self.model = model.to(compute.device, compute.dtype).eval().requires_grad_(False)
        self.words = list(words)
        self.size = int(model.config.vision_config.image_size)
        self.vocabulary = self._vocabulary(model.config.text_config)

    def _vocabulary(self, config: Any) -> Vocabulary:
        numbers = {word: number for number, word in enumerate(self.words)}
        if missing := [word for word in (*PROMPT.split(), "[SEP]", *_NO_TEXT) if word not in numbers]:
            raise WeightsError(f"is not the vocabulary of BERT: it has no {' '.join(missing)}", path="vocab.txt")
        if len(self.words) > config.vocab_size:
            raise WeightsError(
                f"has {len(self.words):,} words, but the network {config.vocab_size:,}", path="vocab.txt"
            )
        # BLIP's own tokens, for the start and for its encoder, come after the words.
        beyond = range(len(self.words), config.vocab_size)
        prompt = (config.bos_token_id, *(numbers[word] for word in PROMPT.split()))
        forbidden = {config.bos_token_id, *beyond, *(numbers[word] for word in _NO_TEXT)}
        return Vocabulary(prompt, numbers["[SEP]"], tuple(sorted(forbidden)))

    @torch.inference_mode()
    def caption(self, images: Sequence[Image]) -> list[str]:
        """See `Captioner`. The whole image is seen, resized to a square, as BLIP was trained."""
        pixels = torch.stack([preprocess(image, self.size) for image in images])
        places = self.model.vision_model(
            pixel_values=pixels.to(self.compute.device, self.compute.dtype)
        ).last_hidden_state
        seeds = [image_seed(image, self.settings.seed) for image in images]
        texts = decode(BlipTexts(self.model, places), self.vocabulary, self.settings, seeds, places.device)
        return [self.text(tokens) for tokens in texts]

    def text(self, tokens: Sequence[int]) -> str:
        """Tokens as words: pieces ("##ing") are joined to what is before them."""
        return tidy(" ".join(self.words[token] for token in tokens).replace(" ##", "").removeprefix("##"))


def preprocess(image: Image, size: int) -> Tensor:
    """uint8 (h, w, 3) → float32 (3, size, size), as BlipImageProcessor does it (bicubic, CLIP's mean and deviation)."""
    from PIL import Image as PillowImage

    resized = PillowImage.fromarray(image).resize((size, size), PillowImage.Resampling.BICUBIC)
    scaled = np.asarray(resized, dtype=np.float32) / 255
    return torch.from_numpy((scaled - MEAN) / STD).permute(2, 0, 1)
