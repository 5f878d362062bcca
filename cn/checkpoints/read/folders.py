"""diffusers folders: a pipeline (unet, vae, text_encoder, scheduler, optionally controlnet) or a single ControlNet."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cn.archives.archive import Archive, open_archive
from cn.archives.entries import Entry
from cn.archives.metadata import decode
from cn.checkpoints.checkpoint import Checkpoint, ControlSpec, Part, text_in
from cn.checkpoints.keymaps.diffusers import current_name
from cn.checkpoints.layouts import BASE_PARTS, DIFFUSERS_FOLDERS, NETWORK_STEM, TEXT_STEM, PartName
from cn.checkpoints.read import diffusers_settings, infer
from cn.checkpoints.read.scaled import join_scales
from cn.checkpoints.read.settings import read_json
from cn.checkpoints.read.shards import open_shards
from cn.errors import WeightsError, about
from cn.model.config import ModelConfig, UNetConfig
from cn.text import first_names, shown

_TEXT_PICKLE_STEM = "pytorch_model"
_SCHEDULER = "scheduler/scheduler_config.json"
_WEIGHTS = frozenset({".safetensors", ".ckpt", ".pt", ".pth", ".bin"})
VARIANTS = ("", "fp16", "bf16", "non_ema")
"""The variants of weights that a folder may hold, in order of preference."""


@dataclass(frozen=True)
class Folder:
    """A diffusers folder with its weights opened."""

    path: Path
    archives: Mapping[PartName, list[Archive]]
    metadata: Mapping[str, str]


def open_folder(path: Path, variant: str | None = None) -> Folder:
    """Find and open the weights of a diffusers folder; `variant` ("fp16") selects one of several.

    Parts without that variant are read from their plain files, since many folders have it for the U-Net only. Raises
    InputError for damaged files, WeightsError where something is missing or the pipeline is of another family.
    """
    with about(path):
        return _open_folder(path, variant)


def _open_folder(path: Path, variant: str | None) -> Folder:
    index = read_json(path / "model_index.json")
    config = read_json(path / "config.json")
    if config.get("_class_name") == "ControlNetModel" or (config and not index and (path / "config.json").is_file()):
        return _open_control(path, config, variant)
    if not (path / "unet").is_dir():
        raise WeightsError(_not_a_pipeline(path, index))
    if (path / "text_encoder_2").is_dir():
        raise WeightsError("holds a Stable Diffusion XL model, which cn does not support")
    if (path / "controlnet_1").is_dir():
        raise WeightsError("holds several controls; give the folder of one of them")
    if missing := [DIFFUSERS_FOLDERS[p] for p in BASE_PARTS if not (path / DIFFUSERS_FOLDERS[p]).is_dir()]:
        raise WeightsError(f"has no folder {missing[0]}/, which a base needs")
    folders = {part: path / name for part, name in DIFFUSERS_FOLDERS.items() if (path / name).is_dir()}
    found = {part: _find(folder, variant) for part, folder in folders.items()}
    metadata = {"class": shown(index.get("_class_name", ""))} if index else {}
    if variant is not None and (plain := [folder.name for part, folder in folders.items() if not found[part]]):
        if len(plain) == len(folders):
            raise WeightsError(f"none of its parts has weights of variant {variant}")
        metadata["variant"] = f"{variant}; not available for {', '.join(plain)}"
    archives = {part: found[part] or network_archives(folder) for part, folder in folders.items()}
    return Folder(path, archives, metadata)


def describe(folder: Folder) -> Checkpoint:
    """The description of a folder. WeightsError for another family, InputError for damaged settings.

    Damaged settings may also raise ValueError and the like, and errors may lack the path: see `recognize`.
    """
    path, archives = folder.path, folder.archives
    if "unet" not in archives:
        return _control(path, archives["control"], path / "config.json")
    merged = {name: _entries(files) for name, files in archives.items()}
    parts = {name: _part(name, entries) for name, (entries, _) in merged.items()}
    model = _model(path, parts)
    unstated = model.unet.linear_projection and not (path / _SCHEDULER).is_file()
    control = None
    if "control" in parts:
        control = _spec(parts["control"], path / "controlnet/config.json", archives["control"][0])
    return Checkpoint(
        path=path,
        layout="diffusers",
        format=archives["unet"][0].format,
        parts=parts,
        model=model,
        prediction=None if unstated else model.schedule.prediction,
        control=control,
        metadata=folder.metadata,
        extras={f"{name}: {key}": what for name, (_, extras) in merged.items() for key, what in extras.items()},
        files=tuple(archive.path for files in archives.values() for archive in files),
    )


def control_file(archive: Archive) -> Checkpoint:
    """A diffusers ControlNet in a single file, with the config.json next to it, if there is one."""
    settings = archive.path.with_name("config.json")
    return _control(archive.path, [archive], settings if "cross_attention_dim" in read_json(settings) else None)


def _open_control(path: Path, config: Mapping[str, Any], variant: str | None) -> Folder:
    kind = config.get("_class_name", "an unnamed class")
    if kind != "ControlNetModel":
        raise WeightsError(f"its config.json is of {shown(kind)}; cn reads pipelines and ControlNetModel")
    return Folder(path, {"control": network_archives(path, variant)}, {})


def _control(path: Path, archives: list[Archive], settings: Path | None) -> Checkpoint:
    entries, extras = _entries(archives)
    part = _part("control", entries)
    return Checkpoint(
        path=path,
        layout="diffusers",
        format=archives[0].format,
        parts={"control": part},
        control=_spec(part, settings, archives[0]),
        metadata=archives[0].metadata,
        extras={**archives[0].extras, **extras},
        files=tuple(archive.path for archive in archives),
    )


def _not_a_pipeline(path: Path, index: Mapping[str, Any]) -> str:
    if (path / "transformer").is_dir() or (path / "prior").is_dir():
        return f"holds a {shown(index.get('_class_name', 'pipeline'))}, which is not Stable Diffusion 1 or 2"
    if not any(path.iterdir()):
        return "is an empty folder"
    if found := sorted(file.name for file in path.iterdir() if file.suffix.lower() in _WEIGHTS and file.is_file()):
        return f"holds {first_names(found)}: give the path of a file"
    return "is not a folder of weights (a diffusers folder has a model_index.json or a config.json)"


def network_archives(folder: Path, variant: str | None = None) -> list[Archive]:
    """The files that hold a network's weights. WeightsError where there are none."""
    if found := _find(folder, variant):
        return found
    of = f" of variant {variant}" if variant else ""
    safetensors, pickle = (TEXT_STEM, _TEXT_PICKLE_STEM) if _is_text(folder) else (NETWORK_STEM, NETWORK_STEM)
    raise WeightsError(f"has no weights{of} ({safetensors}.safetensors or {pickle}.bin)", path=folder)


def _is_text(folder: Path) -> bool:
    return folder.name == DIFFUSERS_FOLDERS["text"]


def _find(folder: Path, variant: str | None) -> list[Archive]:
    """One file, or the shards that an index lists; .safetensors before .bin. Empty where the folder has no weights."""
    text = [TEXT_STEM, _TEXT_PICKLE_STEM]
    stems = [*text, NETWORK_STEM] if _is_text(folder) else [NETWORK_STEM, *text]
    for kind in (variant,) if variant is not None else VARIANTS:
        for name in stems:
            for suffix in ("safetensors", "bin"):
                infix = f".{kind}" if kind else ""
                if (single := folder / f"{name}{infix}.{suffix}").is_file():
                    return [open_archive(single)]
                if (index := folder / f"{name}.{suffix}.index{infix}.json").is_file():
                    return open_shards(index)
    return []


def _entries(archives: list[Archive]) -> tuple[dict[str, Entry], dict[str, str]]:
    """The tensors of all shards, and descriptions of what is left out. A scale may be in another shard."""
    return join_scales({key: entry for archive in archives for key, entry in archive.entries.items()})


def _part(name: PartName, entries: dict[str, Entry]) -> Part:
    if name == "vae":
        entries = {current_name(key): entry for key, entry in entries.items()}
    if name == "text":
        # The position ids are 0 … 76 in every file, and cross-attention does not use the projection.
        entries = {
            key.removeprefix("text_model."): entry
            for key, entry in entries.items()
            if not key.endswith(("position_ids", "text_projection.weight"))
        }
        return Part("transformers", entries)
    return Part("diffusers", entries)


def _spec(part: Part, settings: Path | None, archive: Archive) -> ControlSpec:
    """From the shapes, from config.json, and from cn's own header where cn wrote the file."""
    config: Mapping[str, Any] = read_json(settings) if settings is not None else {}
    header = decode(archive).get("control", {})
    return ControlSpec(
        unet=_unet(part, settings),
        condition_channels=infer.condition_channels(part.shapes, "diffusers"),
        pooled=config.get("global_pool_conditions") is True,
        reversed_channels=config.get("controlnet_conditioning_channel_order") == "bgr",
        kind=text_in(header, "kind") or None,
        base_sha256=text_in(header, "base_sha256"),
    )


def _unet(part: Part, settings: Path | None) -> UNetConfig:
    if settings is None:
        return infer.unet_config(part.shapes, "diffusers")
    return infer.unet_config(part.shapes, "diffusers", partial(diffusers_settings.unet_settings, settings))


def _model(path: Path, parts: Mapping[PartName, Part]) -> ModelConfig:
    unet = _unet(parts["unet"], path / "unet/config.json")
    vae = infer.vae_config(parts["vae"].shapes, "diffusers", diffusers_settings.vae_settings(path / "vae/config.json"))
    text = infer.text_config(parts["text"].shapes, "transformers")
    sample = read_json(path / "unet/config.json").get("sample_size")
    return ModelConfig(
        name="sd2" if unet.linear_projection else "sd1",
        unet=unet,
        vae=vae,
        text=diffusers_settings.text_settings(
            text, path / "text_encoder/config.json", path / "tokenizer", sd2=unet.linear_projection
        ),
        schedule=diffusers_settings.schedule_settings(path / _SCHEDULER),
        image_size=sample * vae.factor if type(sample) is int and sample > 0 else 512,
    )
