"""Stand-alone autoencoders: a file of the original layout or of diffusers, its folder, or the VAE of a whole base."""

from dataclasses import replace
from pathlib import Path

from cn.archives.archive import Archive, open_archive
from cn.checkpoints.checkpoint import Checkpoint, Part
from cn.checkpoints.keymaps.diffusers import current_name
from cn.checkpoints.layouts import DIFFUSERS_FOLDERS, LDM_PREFIXES, KeyNaming
from cn.checkpoints.read import infer
from cn.checkpoints.read.folders import network_archives
from cn.checkpoints.read.load import fill
from cn.checkpoints.read.recognize import recognize
from cn.checkpoints.read.scaled import join_scales
from cn.checkpoints.read.settings import number, read_json
from cn.errors import CnError, WeightsError, about
from cn.files import sha256_of_all
from cn.model.base import Base
from cn.model.config import ModelConfig

_CLASS = "AutoencoderKL"
_FIRST_LAYERS: tuple[tuple[str, KeyNaming], ...] = (
    ("encoder.down.0.block.0.conv1.weight", "ldm"),
    ("encoder.down_blocks.0.resnets.0.conv1.weight", "diffusers"),
)
"""A tensor that every autoencoder has, in the original layout and in diffusers'."""

_UNUSED = ("loss.", "model_ema.")
"""Before tensors that only the training of an autoencoder uses."""


def open_vae(path: Path, config: ModelConfig) -> Checkpoint:
    """Describe the autoencoder in a file or folder, for a base with this configuration; no tensor is read.

    Raises InputError for a damaged file, WeightsError for what holds no autoencoder or one of another shape.
    """
    with about(path):
        found = _described(path, config)
        ours, held = config.vae, found.parts["vae"]
        if found.model is not None:
            _check_scale(found.model.vae.scale, config)
        if held.naming == "native":
            return found
        theirs = infer.vae_config(held.shapes, held.naming)
        if theirs.latent_channels != ours.latent_channels:
            raise WeightsError(
                f"its latents have {theirs.latent_channels} channels, and those of the base {config.name!r} "
                f"{ours.latent_channels}: it belongs to another family of models"
            )
        if (theirs.channels, theirs.res_blocks) != (ours.channels, ours.res_blocks):
            raise WeightsError(
                f"its VAE has other shapes than that of the base {config.name!r}: channels {_words(theirs.channels)}, "
                f"not {_words(ours.channels)}"
                if theirs.channels != ours.channels
                else f"its VAE has {theirs.res_blocks} residual blocks a level, not {ours.res_blocks}"
            )
        return found


def replace_vae(base: Base, found: Checkpoint) -> str:
    """Read the autoencoder that `open_vae` found into a base, in place of its own; the SHA-256 of its files.

    The base's scale of latents stays. Raises as `open_vae`.
    """
    fill(base.vae, found, "vae", base.device, base.dtype)
    base.lock()
    return sha256_of_all(found.files)


def _described(path: Path, config: ModelConfig) -> Checkpoint:
    if path.is_dir():
        folder = path / DIFFUSERS_FOLDERS["vae"] if (path / DIFFUSERS_FOLDERS["vae"]).is_dir() else path
        settings = read_json(folder / "config.json")
        if settings.get("_class_name") != _CLASS:
            return _of_base(path)
        _check_scale(number(settings, "scaling_factor"), config)
        return _from(path, network_archives(folder), config)
    return _from(path, [open_archive(path)], config)


def _from(path: Path, archives: list[Archive], config: ModelConfig) -> Checkpoint:
    """From the tensors of a file, whose names may have the prefix of whole checkpoints, or of the shards of one."""
    prefix = LDM_PREFIXES["vae"]
    stored = {name: entry for archive in archives for name, entry in archive.entries.items()}
    inside = {name.removeprefix(prefix): entry for name, entry in stored.items() if name.startswith(prefix)}
    entries, _ = join_scales(inside or stored)
    naming = next((naming for name, naming in _FIRST_LAYERS if name in entries), None)
    if naming is None:
        return _of_base(path)
    used = {current_name(name): entry for name, entry in entries.items() if not name.startswith(_UNUSED)}
    return _checkpoint(path, archives, Part(naming, used), config)


def _checkpoint(path: Path, archives: list[Archive], part: Part, config: ModelConfig) -> Checkpoint:
    return Checkpoint(
        path=path,
        layout="ldm" if part.naming == "ldm" else "diffusers",
        format=archives[0].format,
        parts={"vae": part},
        model=config,
        files=tuple(archive.path for archive in archives),
    )


def _of_base(path: Path) -> Checkpoint:
    """The autoencoder of cn's own base; WeightsError for anything else, saying what it is."""
    try:
        found = recognize(path)
    except CnError as error:
        what = error.what.removeprefix("holds neither a base nor a control; it is ")
        raise WeightsError(f"a VAE was expected, but this is not one: {what}", path=error.path) from error
    if "vae" not in found.parts:
        raise WeightsError(f"a VAE was expected, but this is {found.what}", path=path)
    return replace(found, parts={"vae": found.parts["vae"]})


def _check_scale(scale: float | None, config: ModelConfig) -> None:
    """WeightsError where an autoencoder states that its latents have another scale: the shapes would not show it."""
    if scale is not None and scale != config.vae.scale:
        raise WeightsError(
            f"its latents are scaled by {scale:g}, and those of the base {config.name!r} by {config.vae.scale:g}: "
            "it belongs to another model, such as Stable Diffusion XL"
        )


def _words(channels: tuple[int, ...]) -> str:
    return ", ".join(map(str, channels))
