"""Identify a file or folder by its content, never by its name. No torch.

The reader of each layout (`single_file`, `folders`) splits the tensors into parts and names what it leaves out.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cn.archives.archive import Archive, open_archive
from cn.archives.metadata import decode
from cn.checkpoints.checkpoint import Checkpoint, ControlSpec, Part
from cn.checkpoints.layouts import BASE_PARTS, PartName
from cn.checkpoints.read import eight_bit, folders, single_file, unrecognized
from cn.checkpoints.read.scaled import with_scales
from cn.checkpoints.read.shards import reject_shard
from cn.errors import UsageError, WeightsError, about
from cn.model.config import ModelConfig
from cn.text import shown


def recognize(
    path: Path,
    *,
    archive: Archive | None = None,
    ema: bool = False,
    variant: str | None = None,
    base: Path | None = None,
) -> Checkpoint:
    """Describe a file or folder of weights; `archive` is the file, if it has been opened already.

    `ema` selects the averaged U-Net of an original checkpoint, `variant` ("fp16") one set of weights in a folder.
    `base` is a file to look for in the first place where a control is stored as differences to its base.

    Raises InputError for damaged files, WeightsError for what is missing or is neither a base nor a control.
    """
    with about(path):
        archive = None if path.is_dir() else archive or open_archive(path)
        if ema and not (archive and any(name.startswith(single_file.EMA) for name in archive.entries)):
            raise WeightsError("has no EMA weights (model_ema.*), which only original checkpoints hold")
        if archive is not None and variant is not None:
            raise UsageError("--variant selects files in a diffusers folder, but this is a file")
        if archive is None and all((path / f"{role}.safetensors").is_file() for role in ("base", "control")):
            return _native_folder(path)
        if archive is not None:
            reject_shard(path)
        opened = with_scales(archive) if archive else folders.open_folder(path, variant)
        try:
            checkpoint = _described(opened, ema, base) if isinstance(opened, Archive) else folders.describe(opened)
            if checkpoint.model is not None:
                _check_model(checkpoint.model)
        except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
            # The only place that turns impossible values in a file's description into a message.
            what = f"{error} is missing" if isinstance(error, KeyError) else str(error)
            raise WeightsError(f"its description is not valid in this version of cn ({shown(what, 200)})") from error
        return checkpoint


def _native_folder(path: Path) -> Checkpoint:
    """A folder of cn's own that holds a base and its control."""
    base, control = (recognize(path / f"{role}.safetensors") for role in ("base", "control"))
    if not base.has_base or control.control is None:
        raise WeightsError("its base.safetensors and control.safetensors are not a base and a control", path=path)
    return replace(
        base,
        path=path,
        parts={**base.parts, "control": control.parts["control"]},
        control=control.control,
        files=(*base.files, *control.files),
    )


def _described(archive: Archive, ema: bool, base: Path | None) -> Checkpoint:
    """The description of a file: cn's own, a diffusers ControlNet, or an original one."""
    header = decode(archive)
    if "role" in header:
        return _native(replace(archive, entries=eight_bit.joined(archive, header, base)), header)
    names = archive.entries
    if not {"difference", "lora_controlnet"}.isdisjoint(names):
        raise WeightsError(f"is {unrecognized.describe(names, archive.extras)}")
    unrecognized.reject_related_models(names)
    if "controlnet_cond_embedding.conv_in.weight" in names:
        return folders.control_file(archive)
    if "zero_convs.0.0.weight" in names:
        return single_file.bare_control(archive, header)
    if any(name.startswith(("model.diffusion_model.input_blocks.", "control_model.")) for name in names):
        return single_file.split(archive, header, ema)
    raise WeightsError(f"holds neither a base nor a control; it is {unrecognized.describe(names, archive.extras)}")


def _check_model(model: ModelConfig) -> None:
    """WeightsError for parts that do not fit together, ValueError for impossible settings."""
    unet, latents = model.unet, model.vae.latent_channels
    if unet.out_channels != latents or not (unet.in_channels == latents or unet.has_mask):
        raise WeightsError(
            f"its U-Net has {unet.in_channels} input and {unet.out_channels} output channels, but its VAE's latents "
            f"have {latents}: it is not Stable Diffusion 1 or 2"
        )
    if unet.context_dim != model.text.width:
        raise WeightsError(
            f"its U-Net takes text of width {unet.context_dim}, but its text encoder has width {model.text.width}"
        )
    if not isinstance(model.name, str) or type(model.image_size) is not int or model.image_size < 1:
        raise ValueError(f"its name is {model.name!r} and its image size {model.image_size!r}")
    for name, value in (("train_lr", model.train_lr), ("guidance_scale", model.guidance_scale)):
        if type(value) not in (int, float):
            raise ValueError(f"its {name} is {value!r}, and should be a number")
    if not isinstance(model.middle_controls, bool):
        raise ValueError(f"its middle_controls is {model.middle_controls!r}, and should be true or false")


def _native(archive: Archive, header: Mapping[str, Any]) -> Checkpoint:
    """One of cn's own files, described by its header."""
    described = Checkpoint(archive.path, "native", archive.format, {}, metadata=header, files=(archive.path,))
    entries = dict(archive.entries)
    if header["role"] == "control":
        spec = ControlSpec.from_record(header)
        return replace(described, parts={"control": Part("native", entries)}, control=spec)
    if header["role"] != "base":
        raise ValueError(f"unknown role {header['role']!r}")
    model = ModelConfig.from_dict(header["config"])
    parts: dict[PartName, Part] = {}
    for part in BASE_PARTS:
        own = {
            name.removeprefix(f"{part}."): entries.pop(name) for name in list(entries) if name.startswith(f"{part}.")
        }
        parts[part] = Part("native", own)
    kept = {name.removeprefix("kept."): entries.pop(name) for name in list(entries) if name.startswith("kept.")}
    prediction = model.schedule.prediction
    return replace(described, parts=parts, model=model, prediction=prediction, kept=kept, unknown=tuple(entries))
