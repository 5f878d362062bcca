"""CoCa (Yu et al. 2022) of open_clip: an image encoder, a text tower, and a decoder that looks at both.

The network is open_clip's; its `generate` is replaced (`cn.caption.decoding`). Feeding one token at a time gives what
`CoCa.forward` computes for whole texts: both towers are causal, and the class token that open_clip appends to a text is
seen by no other token. Token 0, with which open_clip pads, is never written: training never asked for it.
"""

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cn.caption.attention import ImageMemory, Memories, Memory
from cn.caption.captioner import Compute, Image, image_seed
from cn.caption.decoding import Vocabulary, decode
from cn.caption.settings import CaptionSettings
from cn.caption.words import tidy

START, END, PADDING = 49406, 49407, 0


class CocaTexts:
    """Texts about a batch of images: `cn.caption.decoding.TextNetwork`."""

    def __init__(self, model: Any, places: Tensor):
        """`places`: what the image encoder gives to the decoder, (images, places, width)."""
        self.model = model
        self.text, self.decoder = model.text, model.text_decoder
        cross = self.decoder.cross_attn
        self.memories = Memories(
            [Memory() for _ in (*self.text.transformer.resblocks, *self.decoder.resblocks)],
            [_image_memory(block, places) for block in cross],
        )

    def step(self, tokens: Tensor) -> Tensor:
        rows = tokens.flatten()[:, None]
        dtype = self.text.transformer.get_cast_dtype()
        place = self.text.positional_embedding[self.memories.length].to(dtype)
        x = self.text.token_embedding(rows).to(dtype) + place
        own = iter(self.memories.tokens)
        for block in self.text.transformer.resblocks:
            x = _self_block(block, x, next(own))
        for block, cross, image in zip(
            self.decoder.resblocks, self.decoder.cross_attn, self.memories.images, strict=True
        ):
            x = _self_block(block, x, next(own))
            x = _after(cross, x, image.attend(_projected(cross.attn, cross.ln_1(x), 0)))
        self.memories.length += 1
        return (self.decoder.ln_final(x) @ self.decoder.text_projection).reshape(*tokens.shape, -1)

    def select(self, images: Tensor, beams: Tensor) -> None:
        self.memories.select(images, beams)


def _image_memory(block: Any, places: Tensor) -> ImageMemory:
    places = block.ln_1_kv(places)
    return ImageMemory.of(_projected(block.attn, places, 1), _projected(block.attn, places, 2), block.attn.num_heads)


def _self_block(block: Any, x: Tensor, memory: Memory) -> Tensor:
    query, key, value = F.linear(block.ln_1(x), block.attn.in_proj_weight, block.attn.in_proj_bias).chunk(3, -1)
    return _after(block, x, memory.attend(query, key, value, block.attn.num_heads))


def _projected(attention: nn.MultiheadAttention, x: Tensor, part: int) -> Tensor:
    """Queries (0), keys (1) or values (2)."""
    weight, bias = (whole.chunk(3)[part] for whole in (attention.in_proj_weight, attention.in_proj_bias))
    return F.linear(x, weight, bias)


def _after(block: Any, x: Tensor, attended: Tensor) -> Tensor:
    """The rest of a block after its attention."""
    x = x + block.ls_1(block.attn.out_proj(attended))
    return x + block.ls_2(block.mlp(block.ln_2(x)))


class CocaCaptioner:
    """`cn.caption.captioner.Captioner` with a CoCa of open_clip."""

    def __init__(self, model: Any, settings: CaptionSettings, compute: Compute):
        import open_clip

        self.settings = settings
        self.compute = compute
        self.model = model.to(compute.device, compute.dtype).eval().requires_grad_(False)
        self.preprocess = open_clip.image_transform(
            self.model.visual.image_size,
            is_train=False,
            mean=open_clip.OPENAI_DATASET_MEAN,
            std=open_clip.OPENAI_DATASET_STD,
        )
        self.vocabulary = Vocabulary((START,), END, (PADDING, START))

    @torch.inference_mode()
    def caption(self, images: Sequence[Image]) -> list[str]:
        """See `Captioner`. Images are resized to the short side, and the middle square is seen, as CoCa was trained."""
        import open_clip
        from PIL import Image as PillowImage

        pixels = torch.stack([self.preprocess(PillowImage.fromarray(image)) for image in images])
        places = self.model(pixels.to(self.compute.device, self.compute.dtype))["image_embs"]
        seeds = [image_seed(image, self.settings.seed) for image in images]
        texts = decode(CocaTexts(self.model, places), self.vocabulary, self.settings, seeds, places.device)
        return [tidy(open_clip.decode(torch.tensor(tokens, dtype=torch.long))) for tokens in texts]
