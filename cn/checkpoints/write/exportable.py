"""What other tools' layouts cannot store."""

from collections.abc import Iterator

from cn.checkpoints.checkpoint import ControlSpec
from cn.checkpoints.layouts import Layout
from cn.errors import WeightsError
from cn.model.config import END_TOKEN, ModelConfig, UNetConfig

_TOOLS = {"ldm": "the original layout", "diffusers": "diffusers"}


def check_exportable(config: ModelConfig | None, control: ControlSpec | None, to: Layout) -> list[str]:
    """Messages about what gets lost in a layout; empty for cn's own.

    Raises WeightsError, with the reason and what to do, for a model that the layout cannot store at all.
    """
    if to == "native":
        return []
    losses: list[str] = []
    if control is not None:
        _check_control(control, to)
        losses += _control_losses(control, to)
    if config is not None:
        _check_unet(config.unet, to)
        losses += _losses(config, to)
    return losses


def _check_control(control: ControlSpec, to: Layout) -> None:
    if control.architecture == "concat":
        raise WeightsError(
            "is no ControlNet but the baseline whose condition enters through the U-Net's input (cn train --baseline "
            f"concat), which {_TOOLS[to]} cannot store; keep it in cn's layout"
        )
    if control.condition_encoder == "paper":
        raise WeightsError(
            f"has the paper's condition encoder of four layers, which {_TOOLS[to]} cannot store and no other tool can "
            "run; keep it in cn's layout, or train a control for other tools with --cond-encoder released"
        )
    _check_unet(control.unet, to)


def _check_unet(unet: UNetConfig, to: Layout) -> None:
    if set(unet.strides) != {2}:
        raise WeightsError(
            f"its U-Net has strides {', '.join(map(str, unet.strides))}, but {_TOOLS[to]} supports only 2; "
            "models based on cn's bundled base can only be stored in cn's own layout"
        )
    if to == "ldm" and unet.groups != 32:
        raise WeightsError(f"its U-Net has {unet.groups} normalization groups, the original layout supports only 32")


def _control_losses(control: ControlSpec, to: Layout) -> Iterator[str]:
    if control.links == "middle":
        yield f"{_TOOLS[to]} cannot store a link to the middle block only; the other zero convolutions must be zero"
    if control.pooled and to == "ldm":
        yield "the original layout does not store that residuals are averaged over the image: name the file *_shuffle"
    if control.condition_channels != 3:
        yield f"its condition has {control.condition_channels} channels; most other tools expect 3"


def _losses(config: ModelConfig, to: Layout) -> Iterator[str]:
    unet, text, schedule = config.unet, config.text, config.schedule
    usual = unet.head_dim == 64 if unet.linear_projection else unet.heads == 8
    if to == "ldm" and not usual:
        yield "the original layout does not store the number of attention heads: other tools need a .yaml that does"
    family = (False, 0) if unet.linear_projection else (True, END_TOKEN)
    if to == "ldm" and (text.quick_gelu, text.pad_id) != family:
        yield "its text encoder is not the one that other tools expect with its U-Net: they will run it differently"
    sampler = schedule.zero_terminal_snr, schedule.spacing, schedule.steps_offset, schedule.final_alpha_one
    if to == "ldm" and sampler != (False, "leading", 1, False):
        yield "the original layout does not store sampler settings (zero terminal SNR, timesteps, the last step)"
    if to == "ldm" and schedule.prediction == "v":
        yield "the original layout has v-prediction only in the file's metadata; tools that ignore it need a .yaml file"
    if to == "diffusers" and schedule.spacing == "trailing":
        yield (
            "diffusers has no setting for cn's trailing timesteps: step counts that do not divide "
            f"{schedule.steps} will give different images"
        )
    if schedule.guidance_rescale:
        yield f"{_TOOLS[to]} does not store the setting guidance rescale {schedule.guidance_rescale:g}"
    if to == "ldm" and unet.linear_projection and text.layers == text.run_layers:
        yield "the original layout has one more text layer, which never runs: a copy of the last one is written there"
    if to == "diffusers" and text.layers > text.run_layers:
        yield "left out the text encoder's last layer and projection, which never run and diffusers does not store"
