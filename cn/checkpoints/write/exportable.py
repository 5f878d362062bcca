"""What the layouts of other tools have no place for."""

from collections.abc import Iterator

from cn.checkpoints.checkpoint import ControlSpec, Layout
from cn.checkpoints.read.infer import END_TOKEN
from cn.errors import WeightsError
from cn.model.config import ModelConfig, UNetConfig

_TOOLS = {"ldm": "the original layout", "diffusers": "diffusers"}


def check_expressible(config: ModelConfig | None, control: ControlSpec | None, to: Layout) -> list[str]:
    """What gets lost on the way to a layout, for a person to read; nothing for our own.

    Raises WeightsError, with the reason and what to do, for a model that the layout cannot hold at all.
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
    if control.condition_encoder == "paper":
        raise WeightsError(
            f"has the paper's condition encoder of four layers, which {_TOOLS[to]} has no place for, and "
            "no other tool could run it; keep it as it is, or train one to share with --cond-encoder released"
        )
    _check_unet(control.unet, to)


def _check_unet(unet: UNetConfig, to: Layout) -> None:
    if set(unet.strides) != {2}:
        raise WeightsError(
            f"its U-Net halves with strides {', '.join(map(str, unet.strides))}, where {_TOOLS[to]} knows only 2; "
            "models on cn's bundled base stay in cn's own layout"
        )
    if to == "ldm" and unet.groups != 32:
        raise WeightsError(f"its U-Net normalizes in {unet.groups} groups, where the original layout knows only 32")


def _control_losses(control: ControlSpec, to: Layout) -> Iterator[str]:
    if control.links == "middle":
        yield f"{_TOOLS[to]} has no word for a link to the middle block only; the other zero convolutions must be zero"
    if control.pooled and to == "ldm":
        yield "the original layout does not say that residuals are averaged over the image: name the file *_shuffle"
    if control.condition_channels != 3:
        yield f"its condition has {control.condition_channels} channels, where other tools mostly expect 3"


def _losses(config: ModelConfig, to: Layout) -> Iterator[str]:
    unet, text, schedule = config.unet, config.text, config.schedule
    usual = unet.head_dim == 64 if unet.linear_projection else unet.heads == 8
    if to == "ldm" and not usual:
        yield "the original layout does not say how many attention heads there are: other tools need a .yaml that does"
    family = (False, 0) if unet.linear_projection else (True, END_TOKEN)
    if to == "ldm" and (text.quick_gelu, text.pad_id) != family:
        yield "its text encoder is not the one that goes with its U-Net: other tools will run it otherwise"
    sampler = schedule.zero_terminal_snr, schedule.spacing, schedule.steps_offset, schedule.final_alpha_one
    if to == "ldm" and sampler != (False, "leading", 1, False):
        yield "the original layout does not hold the sampler's settings (zero terminal SNR, timesteps, the last step)"
    if to == "ldm" and schedule.prediction == "v":
        yield "that it predicts v is in the file's metadata; tools that do not read that need a .yaml beside it"
    if to == "diffusers" and schedule.spacing == "trailing":
        yield (
            "a step that ends where the next begins is no setting of diffusers: numbers of steps that do not divide "
            f"{schedule.steps} will draw another image"
        )
    if schedule.guidance_rescale:
        yield f"guidance rescale {schedule.guidance_rescale:g} is a setting that {_TOOLS[to]} does not hold"
    if to == "ldm" and unet.linear_projection and text.layers == text.run_layers:
        yield "the original layout has one more text layer, which never runs: it holds a copy of the last"
    if to == "diffusers" and text.layers > text.run_layers:
        yield "left out: the text encoder's last layer and projection, which never run and diffusers has no place for"
