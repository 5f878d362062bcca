"""Captioners from names or files, and the caption of one image.

    from cn.caption.create import caption_image
    caption_image(array)                        # uint8 (h, w, 3) → "a dog on a beach"
    caption_image(array, captioner="coca", device="cuda", settings=CaptionSettings(num_beams=6))

The network is loaded once and kept for the next image.
"""

import functools
import os
from typing import Any

import torch

from cn import files as file_stamps
from cn.caption import weights as weight_files
from cn.caption.captioner import Captioner, Compute, Image
from cn.caption.settings import SCENES, CaptionSettings
from cn.caption.weights import Files
from cn.devices import choose_device, sampling_dtype
from cn.errors import UsageError, WeightsError, about

_KNOWN_COCA = {(1024, 14): "coca_ViT-L-14", (768, 32): "coca_ViT-B-32"}
"""open_clip's name by width and size of the patches, for files without open_clip_config.json."""

_BLIP_NAMES = (
    ("visual_encoder.cls_token", "vision_model.embeddings.class_embedding"),
    ("visual_encoder.pos_embed", "vision_model.embeddings.position_embedding"),
    ("visual_encoder.patch_embed.proj.", "vision_model.embeddings.patch_embedding."),
    ("visual_encoder.norm.", "vision_model.post_layernorm."),
    ("visual_encoder.blocks.", "vision_model.encoder.layers."),
    (".attn.proj.", ".self_attn.projection."),
    (".attn.qkv.", ".self_attn.qkv."),
    (".norm1.", ".layer_norm1."),
    (".norm2.", ".layer_norm2."),
)
"""From the authors' names to those of transformers."""


def open_captioner(
    engine: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    device: str = "auto",
    precision: str = "auto",
    settings: CaptionSettings | None = None,
) -> Captioner:
    """The captioner `engine` (`cn.caption.settings.ENGINES`; BLIP base where it is not given), or that of `weights`.

    `SCENES` is the bundled one, for images of the built-in world.

    `weights` is a file, a folder of open_clip or transformers, or a folder in the cache of the Hugging Face hub.
    Without it, the published file is used if it is here. Precision `auto` is fp32. Nothing is downloaded.
    Raises WeightsError where weights are missing, with what to do, or do not fit; UsageError for unknown names and
    devices, and where a library is not installed.
    """
    where = choose_device(device)
    compute = Compute(where, sampling_dtype("fp32" if precision == "auto" else precision, where))
    if engine == SCENES and weights is None:
        from cn.caption.scene_captioner import open_scene_captioner

        return open_scene_captioner(settings or CaptionSettings(), compute)
    files = weight_files.find(engine, weights)
    make = _coca if files.layout == "coca" else _blip
    with about(files.path):
        return make(files, settings or CaptionSettings(), compute)


def caption_image(
    image: Image,
    *,
    captioner: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    device: str = "auto",
    precision: str = "auto",
    settings: CaptionSettings | None = None,
) -> str:
    """The caption of one image, uint8 (h, w, 3) RGB, in one line; see `open_captioner` for the rest and for errors."""
    settings = settings or CaptionSettings()
    path = None if weights is None else os.fspath(weights)
    stamp = () if path is None else file_stamps.stamp(path)
    opened = _opened(captioner, path, stamp, device, precision, settings)
    return settings.finished(opened.caption([image])[0])


@functools.lru_cache(maxsize=1)
def _opened(
    engine: str | None,
    weights: str | None,
    stamp: tuple[int, ...],
    device: str,
    precision: str,
    settings: CaptionSettings,
) -> Captioner:
    return open_captioner(engine, weights, device, precision, settings)


def _coca(files: Files, settings: CaptionSettings, compute: Compute) -> Captioner:
    import open_clip

    from cn.caption.coca import CocaCaptioner

    stated = files.json("open_clip_config.json")
    if stated is not None:
        config = stated.get("model_cfg", stated)
    else:
        width, _, _, patch = files.entries["visual.conv1.weight"].shape
        if (width, patch) not in _KNOWN_COCA:
            raise WeightsError("is a CoCa of unknown size: put its open_clip_config.json beside it")
        config = open_clip.get_model_config(_KNOWN_COCA[width, patch])
    words = {name: value for name, value in config.items() if name not in ("custom_text", "model_type")}
    try:
        with torch.device("meta"):
            model = open_clip.CoCa(**words)
    except (TypeError, KeyError) as error:
        raise WeightsError(f"open_clip_config.json beside it describes no CoCa: {error}") from error
    weight_files.load(model, files.entries, files.path, compute.dtype)
    for part in (model.text, model.text_decoder):
        # The mask is no weight; it was made on the meta device, without values.
        part.attn_mask = torch.full(part.attn_mask.shape, -torch.inf, device="cpu").triu_(1)
    return CocaCaptioner(model, settings, compute)


def _blip(files: Files, settings: CaptionSettings, compute: Compute) -> Captioner:
    # First: transformers takes seconds.
    words = weight_files.vocabulary(files)
    try:
        from transformers import BlipConfig, BlipForConditionalGeneration
    except ImportError as error:
        raise UsageError(f'BLIP needs transformers ({error}): pip install "controlnet-cn[caption]"') from error
    from cn.caption.blip import BlipCaptioner

    entries = {_blip_name(name): entry for name, entry in files.entries.items()}
    stated = files.json("config.json") if files.layout == "blip" else None
    config = BlipConfig(**(stated or _blip_shapes(entries, len(words))))
    with torch.device("meta"):
        model = BlipForConditionalGeneration(config)
    # Files of transformers leave out what is the same as another tensor.
    for name, same in (
        ("decoder.weight", "text_decoder.bert.embeddings.word_embeddings.weight"),
        ("decoder.bias", "text_decoder.cls.predictions.bias"),
    ):
        entries.setdefault(f"text_decoder.cls.predictions.{name}", entries[same])
    weight_files.load(model, entries, files.path, compute.dtype)
    for module in model.modules():
        if isinstance(places := getattr(module, "position_ids", None), torch.Tensor):
            # They are no weights; they were made on the meta device, without values.
            module.position_ids = torch.arange(places.shape[-1], device="cpu")[None]
    return BlipCaptioner(model, words, settings, compute)


def _blip_name(name: str) -> str:
    for theirs, ours in _BLIP_NAMES if name.startswith("visual_encoder.") else ():
        name = name.replace(theirs, ours)
    return name


def _blip_shapes(entries: dict[str, Any], vocabulary: int) -> dict[str, Any]:
    """The configuration that the shapes of the tensors tell; heads are 64 wide in all published BLIPs."""

    def shape(name: str) -> tuple[int, ...]:
        return tuple(entries[name].shape)

    def layers(prefix: str) -> int:
        return 1 + max(int(name[len(prefix) :].split(".")[0]) for name in entries if name.startswith(prefix))

    width, _, _, patch = shape("vision_model.embeddings.patch_embedding.weight")
    places = shape("vision_model.embeddings.position_embedding")[1] - 1
    words, text = shape("text_decoder.bert.embeddings.word_embeddings.weight")
    vision_config = {
        "hidden_size": width,
        "intermediate_size": shape("vision_model.encoder.layers.0.mlp.fc1.weight")[0],
        "num_hidden_layers": layers("vision_model.encoder.layers."),
        "num_attention_heads": max(1, width // 64),
        "image_size": round(places**0.5) * patch,
        "patch_size": patch,
    }
    text_config = {
        "vocab_size": words,
        # BLIP's own tokens come after the words, that of the start first.
        "bos_token_id": vocabulary,
        "hidden_size": text,
        "encoder_hidden_size": width,
        "intermediate_size": shape("text_decoder.bert.encoder.layer.0.intermediate.dense.weight")[0],
        "num_hidden_layers": layers("text_decoder.bert.encoder.layer."),
        "num_attention_heads": max(1, text // 64),
        "max_position_embeddings": shape("text_decoder.bert.embeddings.position_embeddings.weight")[0],
    }
    return {"vision_config": vision_config, "text_config": text_config}
