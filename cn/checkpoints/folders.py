"""diffusers folders: a pipeline (unet, vae, text_encoder, scheduler, maybe controlnet) or a ControlNet by itself."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cn.archives.archive import Archive, open_archive
from cn.archives.entries import Entry
from cn.checkpoints import infer, sidecar
from cn.checkpoints.checkpoint import Checkpoint, ControlSpec, Part, PartName, header_of
from cn.checkpoints.tables.diffusers import modern
from cn.errors import InputError, WeightsError
from cn.model.config import ModelConfig

_FOLDERS: Mapping[str, PartName] = {"unet": "unet", "vae": "vae", "text_encoder": "text", "controlnet": "control"}
_STEMS = {"text_encoder": "model"}
_STEM = "diffusion_pytorch_model"
_SCHEDULER = "scheduler/scheduler_config.json"
VARIANTS = ("", "fp16", "bf16", "non_ema")
"""The kinds of weights that a folder may hold side by side, the best first."""


def recognise(path: Path, variant: str | None = None) -> Checkpoint:
    """Describe a diffusers folder; a `variant` such as "fp16" is taken where several are there.

    Raises InputError for damaged files, WeightsError where something is missing or the pipeline is of another family.
    """
    index = sidecar.read_json(path / "model_index.json")
    config = sidecar.read_json(path / "config.json")
    if config.get("_class_name") == "ControlNetModel" or (config and not index and (path / "config.json").is_file()):
        return _control_folder(path, config, variant)
    if not (path / "unet").is_dir():
        raise WeightsError(f"{path}: {_not_a_pipeline(path, index)}")
    if (path / "text_encoder_2").is_dir():
        raise WeightsError(f"{path}: holds a Stable Diffusion XL model, which cn does not know")
    if (path / "controlnet_1").is_dir():
        raise WeightsError(f"{path}: holds several controls; give the folder of one of them")
    archives: dict[PartName, list[Archive]] = {}
    for folder, name in _FOLDERS.items():
        if (path / folder).is_dir():
            archives[name] = _archives(path / folder, _STEMS.get(folder, _STEM), variant)
        elif name != "control":
            raise WeightsError(f"{path}: has no folder {folder}/, which a base needs")
    parts = {name: _part(name, files) for name, files in archives.items()}
    model = _model(path, parts)
    silent = model.unet.linear_projection and not (path / _SCHEDULER).is_file()
    control = None
    if "control" in parts:
        config = sidecar.read_json(path / "controlnet/config.json")
        control = _spec(parts["control"], config, path, archives["control"][0])
    return Checkpoint(
        path=path,
        layout="diffusers",
        format=archives["unet"][0].format,
        parts=parts,
        model=model,
        prediction=None if silent else model.schedule.prediction,
        control=control,
        metadata={"class": index.get("_class_name", "")} if index else {},
        files=tuple(archive.path for files in archives.values() for archive in files),
    )


def control_file(archive: Archive) -> Checkpoint:
    """A diffusers ControlNet in a single file; its config.json is read where it lies beside it."""
    config = sidecar.read_json(archive.path.with_name("config.json"))
    return _control(archive.path, [archive], config if "cross_attention_dim" in config else {})


def _control_folder(path: Path, config: Mapping[str, Any], variant: str | None) -> Checkpoint:
    kind = config.get("_class_name", "an unnamed class")
    if kind != "ControlNetModel":
        raise WeightsError(f"{path}: its config.json is that of {kind}; cn reads pipelines and ControlNetModel")
    return _control(path, _archives(path, _STEM, variant), config)


def _control(path: Path, archives: list[Archive], config: Mapping[str, Any]) -> Checkpoint:
    part = _part("control", archives)
    return Checkpoint(
        path=path,
        layout="diffusers",
        format=archives[0].format,
        parts={"control": part},
        control=_spec(part, config, path, archives[0]),
        metadata=archives[0].metadata,
        files=tuple(archive.path for archive in archives),
    )


def _not_a_pipeline(path: Path, index: Mapping[str, Any]) -> str:
    if (path / "transformer").is_dir() or (path / "prior").is_dir():
        return f"holds a {index.get('_class_name', 'pipeline')}, which is no Stable Diffusion 1 or 2"
    if not any(path.iterdir()):
        return "is an empty folder"
    return "is no folder of weights that cn knows (a diffusers folder has a model_index.json or a config.json)"


def _archives(folder: Path, stem: str, variant: str | None) -> list[Archive]:
    """The files that hold a network's weights: one, or the shards that an index lists; .safetensors before .bin."""
    stems = [stem, _STEM, "model", "pytorch_model"]
    for kind in (variant,) if variant is not None else VARIANTS:
        for name in dict.fromkeys(stems):
            for suffix in ("safetensors", "bin"):
                infix = f".{kind}" if kind else ""
                if (single := folder / f"{name}{infix}.{suffix}").is_file():
                    return [open_archive(single)]
                if (index := folder / f"{name}.{suffix}.index{infix}.json").is_file():
                    return _shards(index)
    of = f" of variant {variant}" if variant else ""
    raise WeightsError(f"{folder}: has no weights{of} ({stem}.safetensors or {stem}.bin)")


def _shards(index: Path) -> list[Archive]:
    """The shards of an index; each tensor must be where the index says. InputError or WeightsError otherwise."""
    weights = sidecar.read_json(index).get("weight_map")
    if not isinstance(weights, dict) or not all(isinstance(name, str) for name in weights.values()):
        raise InputError(f"{index}: has no weight_map of names to files")
    names = sorted(set(weights.values()))
    if outside := [name for name in names if Path(name).name != name]:
        raise InputError(f"{index}: speaks of a file outside its folder: {outside[0]}")
    archives = [open_archive(index.with_name(name)) for name in names]
    found = {name: archive.path.name for archive in archives for name in archive.entries}
    if wrong := [name for name, file in weights.items() if found.get(name) != file]:
        raise InputError(f"{index}: {wrong[0]} is not in {weights[wrong[0]]}, as the index says")
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


def _spec(part: Part, config: Mapping[str, Any], path: Path, archive: Archive) -> ControlSpec:
    """From the shapes, from config.json, and from what cn says in a file that it has written."""
    shapes = part.shapes
    try:
        unet = infer.unet_config(shapes, "diffusers")
        channels = infer.condition_channels(shapes, "diffusers")
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None
    told = header_of(archive).get("control", {})
    return ControlSpec(
        unet=sidecar.unet_settings(unet, config, path / "config.json"),
        condition_channels=channels,
        pooled=config.get("global_pool_conditions") is True,
        reversed_channels=config.get("controlnet_conditioning_channel_order") == "bgr",
        kind=told.get("kind"),
        base_sha256=told.get("base_sha256", ""),
    )


def _model(path: Path, parts: Mapping[PartName, Part]) -> ModelConfig:
    try:
        unet = infer.unet_config(parts["unet"].shapes, "diffusers")
        vae = infer.vae_config(parts["vae"].shapes, "diffusers")
        text = infer.text_config(parts["text"].shapes, "transformers")
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None
    settings = {name: sidecar.read_json(path / name / "config.json") for name in _FOLDERS}
    unet = sidecar.unet_settings(unet, settings["unet"], path / "unet/config.json")
    sample = settings["unet"].get("sample_size")
    vae = sidecar.vae_settings(vae, settings["vae"], path / "vae/config.json")
    return ModelConfig(
        name="sd2" if unet.linear_projection else "sd1",
        unet=unet,
        vae=vae,
        text=sidecar.text_settings(text, settings["text_encoder"], path / "tokenizer"),
        schedule=sidecar.schedule_settings(path / _SCHEDULER),
        image_size=sample * vae.factor if isinstance(sample, int) and sample > 0 else 512,
    )
