"""The original single files (CompVis, Stability AI, the official ControlNet), split into their parts. No torch."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from cn.archives.archive import Archive
from cn.archives.entries import Entry
from cn.checkpoints.checkpoint import BASE_PARTS, HEADER, Checkpoint, ControlSpec, Dialect, Part, PartName
from cn.checkpoints.read import infer
from cn.checkpoints.read.sidecar import OriginalSettings, read_yaml
from cn.errors import WeightsError
from cn.model.config import ModelConfig, Prediction

_PREFIXES: Mapping[str, PartName] = {
    "model.diffusion_model.": "unet",
    "first_stage_model.": "vae",
    "cond_stage_model.": "text",
    "control_model.": "control",
}
EMA = "model_ema."
_EMA_REASON = "averaged weights (EMA) and their counters"
_KEPT = re.compile(
    r"betas|logvar|(sqrt_)?alphas_cumprod(_prev)?|(sqrt|log)_one_minus_alphas_cumprod|sqrt_recip(m1)?_alphas_cumprod"
    r"|posterior_(variance|log_variance_clipped|mean_coef[12])|.*\.position_ids"
    r"|cond_stage_model\.(model\.|transformer\.)?(text_projection(\.weight)?|logit_scale)"
)
_DROPPED = {
    r"model_ema\..*": _EMA_REASON,
    r"first_stage_model\.(loss|model_ema)\..*": "the VAE's training loss",
    r"lvlb_weights|scale_factor|denoiser\..*": "left from training",
    r"cond_stage_model\.transformer\.(vision_model|visual_projection).*|cond_stage_model\.model\.visual\..*": (
        "CLIP's image tower"
    ),
    r"cond_stage_model\.model\.attn_mask": "the causal mask, which is always the same",
    r"embedding_manager\..*": "learned words of an old trainer; cn has no use for them",
}


def split(archive: Archive, header: Mapping[str, Any], ema: bool) -> Checkpoint:
    """An original single file with its prefixes: a base, a control (1.1), or a base with a control (1.0)."""
    parts: dict[PartName, dict[str, Entry]] = {}
    kept: dict[str, Entry] = {}
    dropped: dict[str, list[str]] = {}
    unknown = []
    for name, entry in archive.entries.items():
        reason = _why_dropped(name, entry)
        prefix = next((p for p in _PREFIXES if name.startswith(p)), None)
        if reason is not None:
            dropped.setdefault(reason, []).append(name)
        elif _KEPT.fullmatch(name):
            # Merges may lack `text_model.`; what is kept gets the name that the official code asks for.
            kept[re.sub(r"transformer\.embeddings\.", "transformer.text_model.embeddings.", name)] = entry
        elif prefix is not None:
            parts.setdefault(_PREFIXES[prefix], {})[name.removeprefix(prefix)] = entry
        else:
            unknown.append(name)
    if ema:
        averaged = _averaged(archive, parts.get("unet", {}))
        used = {entry.offset for entry in averaged.values()}
        dropped[_EMA_REASON] = [n for n in dropped[_EMA_REASON] if archive.entries[n].offset not in used]
        dropped["the plain weights of the U-Net; the averaged ones (EMA) are taken"] = list(parts["unet"])
        parts["unet"] = averaged
    reasons = {why: tuple(names) for why, names in dropped.items() if names}
    found = _ldm(parts, archive, header, reasons, unknown)
    if found.has_base or not kept:
        return replace(found, kept=kept)
    return replace(found, dropped={**found.dropped, "they belong to a base, which is not here": tuple(kept)})


def bare_control(archive: Archive, header: Mapping[str, Any]) -> Checkpoint:
    """A ControlNet whose tensors have no prefix."""
    return _ldm({"control": dict(archive.entries)}, archive, header, {}, ())


def _why_dropped(name: str, entry: Entry) -> str | None:
    """Why a tensor of an original file is left out; None for one that is not."""
    if name.endswith(".position_ids") and entry.is_floating:
        return "position ids stored as floating-point numbers; they are counted anew"
    return next((why for pattern, why in _DROPPED.items() if re.fullmatch(pattern, name)), None)


def _averaged(archive: Archive, unet: Mapping[str, Entry]) -> dict[str, Entry]:
    """The U-Net's averaged weights, which are kept under names without dots."""
    names = {name: f"{EMA}diffusion_model{name.replace('.', '')}" for name in unet}
    if missing := [theirs for theirs in names.values() if theirs not in archive.entries]:
        raise WeightsError(f"has no averaged weights (EMA): {missing[0]} is not there")
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
    beside = read_yaml(archive.path)
    whole_clip = any(name.endswith(("text_projection", "logit_scale")) for name in archive.entries)
    model = _model(parts, header, beside, whole_clip) if "unet" in parts else None
    control = None
    if "control" in parts:
        shapes = parts["control"].shapes
        control = ControlSpec(
            infer.unet_config(shapes, "ldm", beside.heads_of),
            condition_channels=infer.condition_channels(shapes, "ldm"),
        )
        control = ControlSpec.from_record(header["control"]) if "control" in header else beside.control(control)
    return Checkpoint(
        path=archive.path,
        layout="ldm",
        format=archive.format,
        parts=parts,
        model=model,
        prediction=_prediction(model, header, beside, archive.metadata),
        control=control,
        dropped=dropped,
        unknown=tuple(unknown),
        metadata={k: v for k, v in archive.metadata.items() if k != HEADER} | dict(header),
        leftovers=archive.leftovers,
        files=(archive.path,),
    )


def _without_orphans(
    tensors: Mapping[PartName, Mapping[str, Entry]],
) -> tuple[Mapping[PartName, Mapping[str, Entry]], dict[str, tuple[str, ...]]]:
    """A control with parts of a base, but not all of them, is a control: without those, whose names are given."""
    orphans = [part for part in BASE_PARTS if part in tensors]
    if "control" not in tensors or len(orphans) in (0, 3):
        return tensors, {}
    prefixes = {part: prefix for prefix, part in _PREFIXES.items()}
    names = tuple(prefixes[part] + name for part in orphans for name in tensors[part])
    return {"control": tensors["control"]}, {"parts of a base that is not whole": names}


def _part(name: PartName, entries: Mapping[str, Entry]) -> Part:
    if name != "text":
        return Part("ldm", entries)
    dialect: Dialect = "open_clip" if any(key.startswith("model.") for key in entries) else "transformers"
    prefix = r"model\." if dialect == "open_clip" else r"transformer\.(text_model\.)?"
    return Part(dialect, {re.sub(f"^{prefix}", "", key): entry for key, entry in entries.items()})


def _model(
    parts: Mapping[PartName, Part], header: Mapping[str, Any], beside: OriginalSettings, whole_clip: bool
) -> ModelConfig:
    """The base's configuration: from our own header where we wrote the file, else from its shapes."""
    if missing := [part for part in ("vae", "text") if part not in parts]:
        words = {"vae": "autoencoder (VAE)", "text": "text encoder"}
        raise WeightsError(f"has a U-Net but no {' and no '.join(words[part] for part in missing)}")
    if "config" in header:
        return ModelConfig.from_dict(header["config"])
    unet = infer.unet_config(parts["unet"].shapes, "ldm", beside.heads_of)
    family = "sd2" if unet.linear_projection else "sd1"
    vae = infer.vae_config(parts["vae"].shapes, "ldm")
    text = infer.text_config(parts["text"].shapes, parts["text"].dialect, whole_clip=whole_clip)
    return beside.model(ModelConfig(name=family, unet=unet, vae=vae, text=text))


def _prediction(
    model: ModelConfig | None, header: Mapping[str, Any], beside: OriginalSettings, metadata: Mapping[str, str]
) -> Prediction | None:
    """Ours, the yaml's, the `modelspec` that sd-scripts writes; SD 1 always predicts the noise."""
    if model is None:
        return None
    if "config" in header:
        return model.schedule.prediction
    said: Mapping[str, Prediction] = {"epsilon": "eps", "v": "v"}
    spec = said.get(metadata.get("modelspec.prediction_type", ""))
    return beside.prediction or spec or ("eps" if not model.unet.linear_projection else None)
