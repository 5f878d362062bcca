"""Load networks from any file or folder of weights."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from cn.checkpoints.checkpoint import Checkpoint, ControlSpec
from cn.checkpoints.keymaps.keymap import Shape
from cn.checkpoints.layouts import BASE_PARTS, PartName
from cn.checkpoints.read.recognize import recognize
from cn.checkpoints.read.sources import check_finite, find_sources, reject_unknown
from cn.errors import WeightsError
from cn.files import sha256_of_all
from cn.model.base import Base
from cn.model.concat import ConcatBaseline
from cn.model.config import ModelConfig, Prediction, UNetConfig
from cn.model.controlnet import ControlNet


@dataclass(frozen=True)
class Control:
    """A control in memory with its file's metadata: the condition's kind, the base it was trained on."""

    model: ControlNet | ConcatBaseline
    kind: str | None
    base_sha256: str = ""
    sha256: str = ""
    meta: dict[str, Any] = field(default_factory=dict)


def open_base(
    path: Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    *,
    prediction: Prediction | None = None,
    inpainting: bool = False,
) -> Base:
    """Load a base from any layout and lock it; `prediction` is for files that do not say it.

    Raises InputError if a file is damaged, WeightsError if it is not a base or its tensors do not match, and for an
    inpainting base, which takes a mask too, unless the caller has one (`inpainting`).
    """
    checkpoint = describe_base(path)
    base = empty_base(checkpoint.config(prediction))
    if base.config.unet.has_mask and not inpainting:
        raise WeightsError(
            "is an inpainting model, which only cn sample takes, with --image and --mask; give another base",
            path=path,
        )
    reject_unknown(checkpoint)
    with ThreadPoolExecutor(1) as pool:
        hashed = pool.submit(sha256_of_all, checkpoint.files)
        for part in BASE_PARTS:
            fill(base.networks[part], checkpoint, part, device, dtype)
        source = str(checkpoint.metadata.get("source_sha256", ""))
        return replace(base, sha256=hashed.result(), source_sha256=source).lock()


def describe_base(path: Path) -> Checkpoint:
    """A base as its headers describe it; no tensor is read. Raises what `open_base` raises for what is none."""
    checkpoint = recognize(Path(path))
    if not checkpoint.has_base:
        raise WeightsError(f"a base was expected, but this is {checkpoint.what}", path=path)
    return checkpoint


def open_control(
    path: Path,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    *,
    base: Path | None = None,
) -> Control:
    """Load a control from any layout, in evaluation mode; a base in the same file is ignored.

    A control that is stored as differences to its base is rebuilt from the base's file: `base` if that is it, the one
    beside the control, or the bundled one. Raises InputError if a file is damaged, WeightsError if it is not a control,
    its tensors do not match or its base is not there.
    """
    checkpoint = recognize(Path(path), base=base)
    spec = checkpoint.control
    if spec is None:
        raise WeightsError(f"a control was expected, but this is {checkpoint.what}", path=path)
    reject_unknown(checkpoint)
    model = empty_control(spec, Path(path))
    with ThreadPoolExecutor(1) as pool:
        hashed = pool.submit(sha256_of_all, checkpoint.files)
        fill(model, checkpoint, "control", device, dtype)
        return Control(model.eval(), spec.kind, spec.base_sha256, hashed.result(), dict(checkpoint.metadata))


def empty_base(config: ModelConfig) -> Base:
    """The networks on the meta device: names and shapes without memory for the numbers."""
    with _NoInitialWeights():
        return Base.create(config, "meta")


def empty_control(spec: ControlSpec, path: Path) -> ControlNet | ConcatBaseline:
    """As `empty_base`; WeightsError for an impossible description."""
    try:
        with torch.device("meta"), _NoInitialWeights():
            if spec.architecture == "concat":
                return ConcatBaseline(spec.unet, condition_channels=spec.condition_channels)
            return ControlNet(
                spec.unet,
                condition_encoder=spec.condition_encoder,
                condition_channels=spec.condition_channels,
                links=spec.links,
                pooled=spec.pooled,
            )
    except (LookupError, TypeError, ValueError, RuntimeError) as error:
        raise WeightsError(f"its description is not valid in this version of cn ({error})", path=path) from error


class _NoInitialWeights(TorchFunctionMode):
    """Layers draw no initial weights: on the meta device, too, that takes half of the time of making a network."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _INITIALIZERS:
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)


_INITIALIZERS = frozenset(
    (nn.init.kaiming_uniform_, nn.init.uniform_, nn.init.normal_, torch.Tensor.fill_, torch.Tensor.zero_)
)


def shapes_of(network: nn.Module) -> dict[str, Shape]:
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def fill(
    network: nn.Module, checkpoint: Checkpoint, part: PartName, device: torch.device | str, dtype: torch.dtype
) -> None:
    """Read every parameter of a network from one part of a file. WeightsError unless they match one to one."""
    tensors = {}
    for name, source in find_sources(checkpoint, part, shapes_of(network)).items():
        stored = source.read()
        check_finite(checkpoint, name, stored, source.dtype)
        # Copied even where it is float32 already: tensors in a mapped file are not aligned, the CPU's kernels then add
        # in another order, and a resumed run would differ from an uninterrupted one.
        tensors[name] = stored.to(device, dtype, copy=True)
    network.load_state_dict(tensors, strict=True, assign=True)


def check_fits(control: Control, base: Base, name: str) -> None:
    """WeightsError when a control was made for a U-Net of other shapes than the base's, or does not take images."""
    if (channels := control.model.condition_channels) != _IMAGE_CHANNELS:
        raise WeightsError(
            f"this control takes conditions of {channels} channels, but images have {_IMAGE_CHANNELS}", path=name
        )
    # An inpainting U-Net takes a mask besides the latents; controls are given the latents alone.
    ours = replace(base.config.unet, in_channels=base.config.unet.out_channels)
    theirs = control.model.config
    for words, of in _DIFFERENCES:
        if of(ours) != of(theirs):
            raise WeightsError(
                f"this control was made for another base than {base.config.name!r}: it has "
                f"{words} {of(theirs)}, the base {of(ours)}; give the base it was trained on with --base",
                path=name,
            )


def _heads(config: UNetConfig) -> tuple[int, ...]:
    """The number of attention heads at each level and in the middle; configurations give it or a head's width."""
    return tuple(config.heads_at(width) for width in config.attention_widths)


_IMAGE_CHANNELS = 3
_DIFFERENCES: tuple[tuple[str, Callable[[UNetConfig], object]], ...] = (
    ("a context width of", lambda config: config.context_dim),
    ("channels:", lambda config: config.channels),
    ("strides:", lambda config: config.strides),
    ("attention at the levels", lambda config: config.attention_levels),
    ("attention heads:", _heads),
    ("linear projections:", lambda config: config.linear_projection),
    ("residual blocks per level:", lambda config: config.res_blocks),
    ("a transformer depth of", lambda config: config.transformer_depth),
    ("latent channels:", lambda config: config.in_channels),
    ("normalization groups:", lambda config: config.groups),
)
"""What a control and its base's U-Net must have in common."""
