"""diffusers folders: a pipeline (unet, vae, text_encoder, scheduler, maybe controlnet) or a ControlNet by itself."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from cn.archives.archive import Archive, open_archive
from cn.archives.entries import Entry, shown
from cn.checkpoints.checkpoint import Checkpoint, ControlSpec, Part, PartName, header_of, text_in
from cn.checkpoints.keymaps.diffusers import modern
from cn.checkpoints.read import infer, sidecar
from cn.errors import InputError, WeightsError
from cn.model.config import ModelConfig, UNetConfig

_FOLDERS: Mapping[str, PartName] = {"unet": "unet", "vae": "vae", "text_encoder": "text", "controlnet": "control"}
_STEM = "diffusion_pytorch_model"
_SCHEDULER = "scheduler/scheduler_config.json"
VARIANTS = ("", "fp16", "bf16", "non_ema")
"""The kinds of weights that a folder may hold side by side, the best first."""


@dataclass(frozen=True)
class Folder:
    """A diffusers folder with its weights opened."""

    path: Path
    archives: Mapping[PartName, list[Archive]]
    metadata: Mapping[str, str]


def open_folder(path: Path, variant: str | None = None) -> Folder:
    """Find and open the weights of a diffusers folder; a `variant` such as "fp16" is taken where several are there.

    A part that lacks the variant is taken plain, as folders often hold it of the U-Net alone. Raises InputError for
    damaged files, WeightsError where something is missing or the pipeline is of another family.
    """
    index = sidecar.read_json(path / "model_index.json")
    config = sidecar.read_json(path / "config.json")
    if config.get("_class_name") == "ControlNetModel" or (config and not index and (path / "config.json").is_file()):
        return _open_control(path, config, variant)
    if not (path / "unet").is_dir():
        raise WeightsError(f"{path}: {_not_a_pipeline(path, index)}")
    if (path / "text_encoder_2").is_dir():
        raise WeightsError(f"{path}: holds a Stable Diffusion XL model, which cn does not know")
    if (path / "controlnet_1").is_dir():
        raise WeightsError(f"{path}: holds several controls; give the folder of one of them")
    if missing := [folder for folder, name in _FOLDERS.items() if name != "control" and not (path / folder).is_dir()]:
        raise WeightsError(f"{path}: has no folder {missing[0]}/, which a base needs")
    folders = [folder for folder in _FOLDERS if (path / folder).is_dir()]
    found = {folder: _find(path / folder, variant) for folder in folders}
    metadata = {"class": shown(index.get("_class_name", ""))} if index else {}
    if variant is not None and (plain := [folder for folder in folders if not found[folder]]):
        if len(plain) == len(folders):
            raise WeightsError(f"{path}: none of its parts has weights of variant {variant}")
        metadata["variant"] = f"{variant}; plain for want of it: {', '.join(plain)}"
    archives = {_FOLDERS[folder]: found[folder] or _archives(path / folder) for folder in folders}
    return Folder(path, archives, metadata)


def describe(folder: Folder) -> Checkpoint:
    """What a folder is. WeightsError for another family, InputError for damaged settings.

    Damaged settings may raise ValueError and its like too, and messages may lack the folder's name: see `recognize`.
    """
    path, archives = folder.path, folder.archives
    if "unet" not in archives:
        return _control(path, archives["control"], path / "config.json")
    parts = {name: _part(name, files) for name, files in archives.items()}
    model = _model(path, parts)
    silent = model.unet.linear_projection and not (path / _SCHEDULER).is_file()
    control = None
    if "control" in parts:
        control = _spec(parts["control"], path / "controlnet/config.json", archives["control"][0])
    return Checkpoint(
        path=path,
        layout="diffusers",
        format=archives["unet"][0].format,
        parts=parts,
        model=model,
        prediction=None if silent else model.schedule.prediction,
        control=control,
        metadata=folder.metadata,
        files=tuple(archive.path for files in archives.values() for archive in files),
    )


def control_file(archive: Archive) -> Checkpoint:
    """A diffusers ControlNet in a single file; its config.json is read where it lies beside it."""
    settings = archive.path.with_name("config.json")
    return _control(archive.path, [archive], settings if "cross_attention_dim" in sidecar.read_json(settings) else None)


def _open_control(path: Path, config: Mapping[str, Any], variant: str | None) -> Folder:
    kind = config.get("_class_name", "an unnamed class")
    if kind != "ControlNetModel":
        raise WeightsError(f"{path}: its config.json is that of {shown(kind)}; cn reads pipelines and ControlNetModel")
    return Folder(path, {"control": _archives(path, variant)}, {})


def _control(path: Path, archives: list[Archive], settings: Path | None) -> Checkpoint:
    part = _part("control", archives)
    return Checkpoint(
        path=path,
        layout="diffusers",
        format=archives[0].format,
        parts={"control": part},
        control=_spec(part, settings, archives[0]),
        metadata=archives[0].metadata,
        files=tuple(archive.path for archive in archives),
    )


def _not_a_pipeline(path: Path, index: Mapping[str, Any]) -> str:
    if (path / "transformer").is_dir() or (path / "prior").is_dir():
        return f"holds a {shown(index.get('_class_name', 'pipeline'))}, which is no Stable Diffusion 1 or 2"
    if not any(path.iterdir()):
        return "is an empty folder"
    return "is no folder of weights that cn knows (a diffusers folder has a model_index.json or a config.json)"


def _archives(folder: Path, variant: str | None = None) -> list[Archive]:
    """The files that hold a network's weights. WeightsError where there are none."""
    if found := _find(folder, variant):
        return found
    of = f" of variant {variant}" if variant else ""
    safetensors, pickle = ("model", "pytorch_model") if folder.name == "text_encoder" else (_STEM, _STEM)
    raise WeightsError(f"{folder}: has no weights{of} ({safetensors}.safetensors or {pickle}.bin)")


def _find(folder: Path, variant: str | None) -> list[Archive]:
    """One file, or the shards that an index lists; .safetensors before .bin. Empty where the folder has no weights."""
    stems = ["model", "pytorch_model", _STEM] if folder.name == "text_encoder" else [_STEM, "model", "pytorch_model"]
    for kind in (variant,) if variant is not None else VARIANTS:
        for name in stems:
            for suffix in ("safetensors", "bin"):
                infix = f".{kind}" if kind else ""
                if (single := folder / f"{name}{infix}.{suffix}").is_file():
                    return [open_archive(single)]
                if (index := folder / f"{name}.{suffix}.index{infix}.json").is_file():
                    return _shards(index)
    return []


def _shards(index: Path) -> list[Archive]:
    """The shards of an index; each tensor must be where the index says. InputError or WeightsError otherwise."""
    weights = sidecar.read_json(index).get("weight_map")
    if not isinstance(weights, dict) or not weights or not all(isinstance(name, str) for name in weights.values()):
        raise InputError(f"{index}: has no weight_map of names to files")
    names = sorted(set(weights.values()))
    if outside := [name for name in names if Path(name).name != name or not name or name == ".."]:
        raise InputError(f"{index}: speaks of a file outside its folder: {shown(outside[0])}")
    if odd := [name for name in names if not name.isprintable()]:
        raise InputError(f"{index}: speaks of a file that no folder has: {shown(odd[0])}")
    archives = [open_archive(index.with_name(name)) for name in names]
    found = {name: archive.path.name for archive in archives for name in archive.entries}
    if wrong := [name for name, file in weights.items() if found.get(name) != file]:
        raise InputError(f"{index}: {shown(wrong[0])} is not in {weights[wrong[0]]}, as the index says")
    return archives


def _part(name: PartName, archives: list[Archive]) -> Part:
    entries: dict[str, Entry] = {key: entry for archive in archives for key, entry in archive.entries.items()}
    if name == "vae":
        entries = {modern(key): entry for key, entry in entries.items()}
    if name == "text":
        # The position ids are 0 … 76 in every file, and a projection is not used for the cross-attention.
        entries = {
            key.removeprefix("text_model."): entry
            for key, entry in entries.items()
            if not key.endswith(("position_ids", "text_projection.weight"))
        }
        return Part("transformers", entries)
    return Part("diffusers", entries)


def _spec(part: Part, settings: Path | None, archive: Archive) -> ControlSpec:
    """From the shapes, from config.json, and from what cn says in a file that it has written."""
    config: Mapping[str, Any] = sidecar.read_json(settings) if settings is not None else {}
    told = header_of(archive).get("control", {})
    return ControlSpec(
        unet=_unet(part, settings),
        condition_channels=infer.condition_channels(part.shapes, "diffusers"),
        pooled=config.get("global_pool_conditions") is True,
        reversed_channels=config.get("controlnet_conditioning_channel_order") == "bgr",
        kind=text_in(told, "kind") or None,
        base_sha256=text_in(told, "base_sha256"),
    )


def _unet(part: Part, settings: Path | None) -> UNetConfig:
    if settings is None:
        return infer.unet_config(part.shapes, "diffusers")
    return infer.unet_config(part.shapes, "diffusers", partial(sidecar.unet_settings, settings))


def _model(path: Path, parts: Mapping[PartName, Part]) -> ModelConfig:
    unet = _unet(parts["unet"], path / "unet/config.json")
    vae = infer.vae_config(parts["vae"].shapes, "diffusers", sidecar.vae_settings(path / "vae/config.json"))
    text = infer.text_config(parts["text"].shapes, "transformers")
    sample = sidecar.read_json(path / "unet/config.json").get("sample_size")
    return ModelConfig(
        name="sd2" if unet.linear_projection else "sd1",
        unet=unet,
        vae=vae,
        text=sidecar.text_settings(
            text, path / "text_encoder/config.json", path / "tokenizer", sd2=unet.linear_projection
        ),
        schedule=sidecar.schedule_settings(path / _SCHEDULER),
        image_size=sample * vae.factor if type(sample) is int and sample > 0 else 512,
    )
