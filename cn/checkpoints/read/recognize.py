"""What a file or folder is, told by its content and never by its name. No torch.

The readers of each layout split the tensors into parts and name what they leave out; see `folders` for diffusers.
"""

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from cn.archives.archive import Archive, open_archive
from cn.archives.entries import shown
from cn.checkpoints.checkpoint import Checkpoint, ControlSpec, Part, PartName, header_of
from cn.checkpoints.read import folders, infer, single_file
from cn.errors import UsageError, WeightsError
from cn.model.config import ModelConfig


def recognize(
    path: Path, *, archive: Archive | None = None, ema: bool = False, variant: str | None = None
) -> Checkpoint:
    """Describe a file or folder of weights; `archive` when the file has been opened already.

    `ema` takes the averaged U-Net of an original checkpoint, `variant` ("fp16") one kind of weights in a folder.

    Raises InputError for what cannot be read, WeightsError for what is missing or is neither base nor control.
    """
    archive = None if path.is_dir() else archive or open_archive(path)
    if ema and not (archive and any(name.startswith(single_file.EMA) for name in archive.entries)):
        raise WeightsError(f"{path}: has no averaged weights (model_ema.*), which only original checkpoints hold")
    if archive is not None and variant is not None:
        raise UsageError(f"{path}: --variant chooses among the files of a diffusers folder, and this is a file")
    if archive is None and all((path / f"{role}.safetensors").is_file() for role in ("base", "control")):
        return _ours(path)
    opened = archive or folders.open_folder(path, variant)
    try:
        checkpoint = _described(opened, ema) if isinstance(opened, Archive) else folders.describe(opened)
        if checkpoint.model is not None:
            _check_model(checkpoint.model)
    except WeightsError as error:
        # Those who see only tensors cannot name the file.
        named = str(error).startswith((f"{path}:", f"{path}{os.sep}", f"{os.path.splitext(path)[0]}."))
        raise error if named else WeightsError(f"{path}: {error}") from None
    except (LookupError, TypeError, ValueError, AttributeError, RecursionError) as error:
        # The one place where what a file says of itself and cannot be becomes a line for its user.
        what = f"it lacks {error}" if isinstance(error, KeyError) else str(error)
        raise WeightsError(
            f"{path}: its description is not one that this version of cn reads ({shown(what, 200)})"
        ) from error
    return checkpoint


def _ours(path: Path) -> Checkpoint:
    """A folder of our own that holds a base and its control."""
    base, control = (recognize(path / f"{role}.safetensors") for role in ("base", "control"))
    if not base.has_base or control.control is None:
        raise WeightsError(f"{path}: its base.safetensors and control.safetensors are not a base and a control")
    return replace(
        base,
        path=path,
        parts={**base.parts, "control": control.parts["control"]},
        control=control.control,
        files=(*base.files, *control.files),
    )


def _described(archive: Archive, ema: bool) -> Checkpoint:
    """What a file is: ours, a diffusers ControlNet, or an original one."""
    header = header_of(archive)
    if "role" in header:
        return _native(archive, header)
    names = archive.entries
    if not {"difference", "lora_controlnet"}.isdisjoint(names):
        raise WeightsError(f"is {infer.stranger(dict(names))}")
    infer.refuse_relatives(names)
    if "controlnet_cond_embedding.conv_in.weight" in names:
        return folders.control_file(archive)
    if "zero_convs.0.0.weight" in names:
        return single_file.bare_control(archive, header)
    if any(name.startswith(("model.diffusion_model.input_blocks.", "control_model.")) for name in names):
        return single_file.split(archive, header, ema)
    raise WeightsError(f"holds neither a base nor a control; it is {infer.stranger(dict(names))}")


def _check_model(model: ModelConfig) -> None:
    """WeightsError for parts that do not go together, ValueError for settings that no base has."""
    unet, latents = model.unet, model.vae.latent_channels
    if (unet.in_channels, unet.out_channels) != (latents, latents):
        raise WeightsError(
            f"its U-Net takes {unet.in_channels} channels and gives {unet.out_channels}, but its VAE's latents have "
            f"{latents}: it is no Stable Diffusion 1 or 2"
        )
    if unet.context_dim != model.text.width:
        raise WeightsError(
            f"its U-Net takes text of width {unet.context_dim}, but its text encoder gives {model.text.width}"
        )
    if not isinstance(model.name, str) or type(model.image_size) is not int or model.image_size < 1:
        raise ValueError(f"its name is {model.name!r} and its images' size {model.image_size!r}")
    if type(model.train_lr) not in (int, float):
        raise ValueError(f"its train_lr is {model.train_lr!r}, and should be a number")


def _native(archive: Archive, header: Mapping[str, Any]) -> Checkpoint:
    """One of our own files, which says itself what it is."""
    described = Checkpoint(archive.path, "native", archive.format, {}, metadata=header, files=(archive.path,))
    entries = dict(archive.entries)
    if header["role"] == "control":
        spec = ControlSpec.from_record(header)
        return replace(described, parts={"control": Part("native", entries)}, control=spec)
    if header["role"] != "base":
        raise ValueError(f"a role called {header['role']!r}")
    model = ModelConfig.from_dict(header["config"])
    parts: dict[PartName, Part] = {}
    for part in ("unet", "vae", "text"):
        own = {
            name.removeprefix(f"{part}."): entries.pop(name) for name in list(entries) if name.startswith(f"{part}.")
        }
        parts[part] = Part("native", own)
    kept = {name.removeprefix("kept."): entries.pop(name) for name in list(entries) if name.startswith("kept.")}
    prediction = model.schedule.prediction
    return replace(described, parts=parts, model=model, prediction=prediction, kept=kept, unknown=tuple(entries))
