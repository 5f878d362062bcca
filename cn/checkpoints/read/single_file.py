"""The original single files (CompVis, Stability AI, the official ControlNet), split into their parts. No torch."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from cn.archives.archive import Archive
from cn.archives.entries import Entry
from cn.archives.metadata import METADATA_KEY
from cn.checkpoints.checkpoint import Checkpoint, ControlSpec, Part
from cn.checkpoints.layouts import (
    BASE_PARTS,
    LDM_PREFIXES,
    LDM_TEXT_PREFIXES,
    MODELSPEC_PREDICTIONS,
    TITLES,
    KeyNaming,
    PartName,
)
from cn.checkpoints.read import infer
from cn.checkpoints.read.original_yaml import OriginalSettings, read_yaml
from cn.errors import WeightsError
from cn.model.config import ModelConfig, Prediction

EMA = "model_ema."
_EMA_REASON = "EMA weights and their counters"
_KEPT = re.compile(
    r"betas|logvar|(sqrt_)?alphas_cumprod(_prev)?|(sqrt|log)_one_minus_alphas_cumprod|sqrt_recip(m1)?_alphas_cumprod"
    r"|posterior_(variance|log_variance_clipped|mean_coef[12])|.*\.position_ids"
    r"|cond_stage_model\.(model\.|transformer\.)?(text_projection(\.weight)?|logit_scale)"
)
_DROPPED = {
    r"model_ema\..*": _EMA_REASON,
    r"first_stage_model\.(loss|model_ema)\..*": "the VAE's training loss",
    r"lvlb_weights|scale_factor|denoiser\..*": "only used in training",
    r"cond_stage_model\.transformer\.(vision_model|visual_projection).*|cond_stage_model\.model\.visual\..*": (
        "CLIP's image tower"
    ),
    r"cond_stage_model\.model\.attn_mask": "the causal mask, a constant",
    r"embedding_manager\..*": "textual inversion embeddings of an old trainer, which cn does not use",
}


def split(archive: Archive, header: Mapping[str, Any], ema: bool) -> Checkpoint:
    """An original single file with its prefixes: a base, a control (1.1), or a base with a control (1.0)."""
    parts: dict[PartName, dict[str, Entry]] = {}
    kept: dict[str, Entry] = {}
    dropped: dict[str, list[str]] = {}
    unknown = []
    for name, entry in archive.entries.items():
        reason = _why_dropped(name, entry)
        part = next((part for part, prefix in LDM_PREFIXES.items() if name.startswith(prefix)), None)
        if reason is not None:
            dropped.setdefault(reason, []).append(name)
        elif _KEPT.fullmatch(name):
            # Merged models may lack `text_model.`; the official code requires it.
            kept[re.sub(r"transformer\.embeddings\.", "transformer.text_model.embeddings.", name)] = entry
        elif part is not None:
            parts.setdefault(part, {})[name.removeprefix(LDM_PREFIXES[part])] = entry
        else:
            unknown.append(name)
    if ema:
        averaged = _averaged(archive, parts.get("unet", {}))
        used = {entry.offset for entry in averaged.values()}
        dropped[_EMA_REASON] = [n for n in dropped[_EMA_REASON] if archive.entries[n].offset not in used]
        dropped["the plain weights of the U-Net, replaced by the EMA weights"] = list(parts["unet"])
        parts["unet"] = averaged
    reasons = {why: tuple(names) for why, names in dropped.items() if names}
    found = _ldm(parts, archive, header, reasons, unknown)
    if found.has_base or not kept:
        return replace(found, kept=kept)
    return replace(found, dropped={**found.dropped, "they belong to a base, which is missing": tuple(kept)})


def bare_control(archive: Archive, header: Mapping[str, Any]) -> Checkpoint:
    """A ControlNet whose tensors have no prefix."""
    return _ldm({"control": dict(archive.entries)}, archive, header, {}, ())


def _why_dropped(name: str, entry: Entry) -> str | None:
    """Why a tensor of an original file is left out; None if it is used."""
    if name.endswith(".position_ids") and entry.is_floating:
        return "position ids stored as floating-point numbers, which are recomputed"
    return next((why for pattern, why in _DROPPED.items() if re.fullmatch(pattern, name)), None)


def _averaged(archive: Archive, unet: Mapping[str, Entry]) -> dict[str, Entry]:
    """The EMA weights of the U-Net, which are stored under names without dots."""
    names = {name: f"{EMA}diffusion_model{name.replace('.', '')}" for name in unet}
    if missing := [theirs for theirs in names.values() if theirs not in archive.entries]:
        raise WeightsError(f"has no EMA weights: {missing[0]} is missing")
    return {name: archive.entries[theirs] for name, theirs in names.items()}


def _ldm(
    tensors: Mapping[PartName, Mapping[str, Entry]],
    archive: Archive,
    header: Mapping[str, Any],
    dropped: Mapping[str, tuple[str, ...]],
    unknown: Iterable[str],
) -> Checkpoint:
    tensors, orphans = _without_orphans(tensors)
    dropped = {**dropped, **orphans}
    parts = {name: _part(name, entries) for name, entries in tensors.items()}
    settings = read_yaml(archive.path)
    full_clip = any(name.endswith(("text_projection", "logit_scale")) for name in archive.entries)
    model = _model(parts, header, settings, full_clip) if "unet" in parts else None
    control = None
    if "control" in parts:
        shapes = parts["control"].shapes
        control = ControlSpec(
            infer.unet_config(shapes, "ldm", settings.heads_of),
            condition_channels=infer.condition_channels(shapes, "ldm"),
        )
        control = ControlSpec.from_record(header["control"]) if "control" in header else settings.control(control)
    return Checkpoint(
        path=archive.path,
        layout="ldm",
        format=archive.format,
        parts=parts,
        model=model,
        prediction=_prediction(model, header, settings, archive.metadata),
        control=control,
        dropped=dropped,
        unknown=tuple(unknown),
        metadata={k: v for k, v in archive.metadata.items() if k != METADATA_KEY} | dict(header),
        extras=archive.extras,
        files=(archive.path,),
    )


def _without_orphans(
    tensors: Mapping[PartName, Mapping[str, Entry]],
) -> tuple[Mapping[PartName, Mapping[str, Entry]], dict[str, tuple[str, ...]]]:
    """Drop parts of an incomplete base from a file with a control; also gives the names of their tensors."""
    orphans = [part for part in BASE_PARTS if part in tensors]
    if "control" not in tensors or len(orphans) in (0, 3):
        return tensors, {}
    names = tuple(LDM_PREFIXES[part] + name for part in orphans for name in tensors[part])
    return {"control": tensors["control"]}, {"parts of an incomplete base": names}


def _part(name: PartName, entries: Mapping[str, Entry]) -> Part:
    if name != "text":
        return Part("ldm", entries)
    naming: KeyNaming = "open_clip" if any(key.startswith("model.") for key in entries) else "transformers"
    prefix = LDM_TEXT_PREFIXES[naming]
    # Merged models may lack the prefix's last word, `text_model.`.
    shorter = prefix.removesuffix("text_model.")
    return Part(naming, {key.removeprefix(prefix).removeprefix(shorter): entry for key, entry in entries.items()})


def _model(
    parts: Mapping[PartName, Part], header: Mapping[str, Any], settings: OriginalSettings, full_clip: bool
) -> ModelConfig:
    """The base's configuration: from the header where cn wrote the file, else from shapes and settings."""
    if missing := [part for part in BASE_PARTS if part not in parts]:
        raise WeightsError(f"has a U-Net but no {' and no '.join(TITLES[part] for part in missing)}")
    if "config" in header:
        return ModelConfig.from_dict(header["config"])
    unet = infer.unet_config(parts["unet"].shapes, "ldm", settings.heads_of)
    family = "sd2" if unet.linear_projection else "sd1"
    vae = infer.vae_config(parts["vae"].shapes, "ldm")
    text = infer.text_config(parts["text"].shapes, parts["text"].naming, full_clip=full_clip)
    return settings.model(ModelConfig(name=family, unet=unet, vae=vae, text=text))


def _prediction(
    model: ModelConfig | None, header: Mapping[str, Any], settings: OriginalSettings, metadata: Mapping[str, str]
) -> Prediction | None:
    """From cn's header, the .yaml or the `modelspec` metadata of sd-scripts; SD 1 always predicts the noise."""
    if model is None:
        return None
    if "config" in header:
        return model.schedule.prediction
    spec = metadata.get("modelspec.prediction_type")
    from_spec = next((ours for ours, theirs in MODELSPEC_PREDICTIONS.items() if theirs == spec), None)
    return settings.prediction or from_spec or ("eps" if not model.unet.linear_projection else None)
