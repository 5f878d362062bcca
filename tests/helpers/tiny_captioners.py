"""Captioners of random weights in files, small enough for tests: a CoCa of open_clip and a BLIP of transformers."""

import json
from pathlib import Path

import open_clip
import torch
from safetensors.torch import save_file
from transformers import BlipConfig, BlipForConditionalGeneration

WORDS = ["a", "picture", "of", "cat", "dog", "red", "on", "the", "table", "##s", "##ning", "run", "'", "s", ".", ","]
VOCABULARY = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
"""Of the tiny BLIP; its two own tokens come after these."""

COCA = {
    "embed_dim": 16,
    "vision_cfg": {
        "image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16,
        "attentional_pool": True, "attn_pooler_heads": 2, "output_tokens": True,
    },
    "text_cfg": {
        "context_length": 76, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2,
        "embed_cls": True, "output_tokens": True,
    },
    "multimodal_cfg": {
        "context_length": 76, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2, "attn_pooler_heads": 2,
    },
    "custom_text": True,
}  # fmt: skip


def coca(seed: int = 0, **text: int) -> torch.nn.Module:
    """A CoCa of random weights, which are large enough that images and words matter."""
    torch.manual_seed(seed)
    words = {name: value for name, value in COCA.items() if name != "custom_text"}
    words["text_cfg"] = {**COCA["text_cfg"], **text}
    words["multimodal_cfg"] = {**COCA["multimodal_cfg"], **text}
    return _filled(open_clip.CoCa(**words), seed)


def _filled(model: torch.nn.Module, seed: int) -> torch.nn.Module:
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        values = torch.randn(parameter.shape, generator=generator)
        norm = parameter.ndim == 1 and name.endswith("weight")
        parameter.data = 1 + 0.2 * values if norm else values * (0.2 if parameter.ndim == 1 else 0.5)
    return model.eval().requires_grad_(False)


def coca_folder(folder: Path, seed: int = 0) -> Path:
    """The same in a folder as open_clip publishes it."""
    folder.mkdir(parents=True, exist_ok=True)
    model = coca(seed)
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": COCA, "preprocess_cfg": {}}))
    save_file(
        {name: tensor.contiguous() for name, tensor in model.state_dict().items()},
        folder / "open_clip_model.safetensors",
    )
    return folder


def blip_config() -> BlipConfig:
    number = {word: i for i, word in enumerate(VOCABULARY)}
    text = {
        "vocab_size": len(VOCABULARY) + 2, "hidden_size": 64, "encoder_hidden_size": 128, "intermediate_size": 48,
        "num_hidden_layers": 2, "num_attention_heads": 1, "max_position_embeddings": 80,
        "bos_token_id": len(VOCABULARY), "sep_token_id": number["[SEP]"], "pad_token_id": 0,
    }  # fmt: skip
    vision = {
        "hidden_size": 128, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 2,
        "image_size": 32, "patch_size": 16,
    }  # fmt: skip
    return BlipConfig(vision_config=vision, text_config=text)


def blip(seed: int = 0) -> torch.nn.Module:
    """A BLIP of random weights, which are large enough that images and words matter."""
    return _filled(BlipForConditionalGeneration(blip_config()), seed)


def blip_folder(folder: Path, seed: int = 0) -> Path:
    """The same in a folder as transformers writes it, with its vocabulary."""
    model = blip(seed)
    model.save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    return folder
