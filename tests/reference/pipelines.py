"""Narrow diffusers pipelines of the published layouts, with weights that are functions of the parameters' names.

Needs diffusers and transformers: tests reach it through the fixture `shelf`, which skips where they are missing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import torch
from diffusers import (
    AutoencoderKL,
    ControlNetModel,
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    PNDMScheduler,
    StableDiffusionControlNetImg2ImgPipeline,
    StableDiffusionControlNetInpaintPipeline,
    StableDiffusionControlNetPipeline,
    StableDiffusionPipeline,
    UNet2DConditionModel,
)
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from tests.golden.names import clip_vocabulary
from tests.helpers.model_helpers import uniform

FROM_IMAGE, WITH_MASK = StableDiffusionControlNetImg2ImgPipeline, StableDiffusionControlNetInpaintPipeline
Weights = Literal["plain", "calm"]
"""Plain: every part has equal weight, for comparing tensors. Calm: see `straighten`, for comparing images."""


@dataclass(frozen=True)
class Layout:
    """One published layout made narrow. Diffusers calls the number of heads `attention_head_dim`."""

    name: str
    unet: dict[str, Any]
    text: dict[str, Any]
    pad_token: str
    prediction: Literal["epsilon", "v_prediction"] = "epsilon"
    inputs: int = 4
    """Channels that the U-Net takes: 9 is an inpainting model."""
    straight: float = 0.93
    rest: float = 0.05
    """See `straighten`: chosen so that images use the whole range and control and prompt show in them."""


SD1_TEXT = {"hidden_size": 64, "num_attention_heads": 1, "num_hidden_layers": 3, "hidden_act": "quick_gelu"}
SD2_TEXT = {"hidden_size": 128, "num_attention_heads": 2, "num_hidden_layers": 3, "hidden_act": "gelu"}
SD1_UNET = {"block_out_channels": (64, 96, 128, 128), "attention_head_dim": 8, "cross_attention_dim": 64}
SD2_UNET = {
    "block_out_channels": (64, 128, 192, 192),
    "attention_head_dim": [1, 2, 3, 3],
    "cross_attention_dim": 128,
    "use_linear_projection": True,
}
VAE = {
    "block_out_channels": (32, 64, 64, 96),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
    "sample_size": 64,
}
SCHEDULER = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "num_train_timesteps": 1000,
    "set_alpha_to_one": False,
    "skip_prk_steps": True,
    "steps_offset": 1,
    "trained_betas": None,
    "clip_sample": False,
}
LAYOUTS = {
    layout.name: layout
    for layout in (
        Layout("sd1", SD1_UNET, SD1_TEXT, "<|endoftext|>"),
        Layout("sd2", SD2_UNET, SD2_TEXT, "!"),
        Layout("sd2-v", SD2_UNET, SD2_TEXT, "!", prediction="v_prediction", straight=0.3, rest=0.4),
        Layout("sd1-inpaint", SD1_UNET, SD1_TEXT, "<|endoftext|>", inputs=9),
        Layout("sd2-inpaint", SD2_UNET, SD2_TEXT, "!", inputs=9),
    )
}


@torch.no_grad()
def fill(network: nn.Module, salt: str) -> Any:
    """Every parameter, zero convolutions too, made from its name; deviations keep signals near 1."""
    for name, p in network.named_parameters():
        value = uniform(f"{salt}/{name}", tuple(p.shape))
        if p.ndim > 1:
            p.copy_(value * p[0].numel() ** -0.5)
        else:
            p.copy_(1 + 0.2 * value if name.endswith("weight") else 0.1 * value)
    return network.eval().requires_grad_(False)


@torch.no_grad()
def straighten(unet: UNet2DConditionModel, straight: float, rest: float) -> None:
    """Make the prediction `straight` times the normalized latents, and `rest` times what the network does.

    Every latent channel goes into a few feature channels, half of them negated, and by the first skip connection and
    the last block's 1×1 convolution reaches the output's norm untouched. As silu(x) - silu(-x) = x, the output
    convolution brings it back exactly. The last block's own contribution is made small, all else stays as it is.
    """
    width = unet.conv_in.out_channels
    latents, signs = torch.arange(width) // 2 % 4, 1 - 2 * (torch.arange(width) % 2)
    block, attention = unet.up_blocks[-1].resnets[-1], unet.up_blocks[-1].attentions[-1]
    unet.conv_in.weight.zero_()[torch.arange(width), latents, 1, 1] = signs.float()
    unet.conv_in.bias.zero_()
    into = block.conv_shortcut.weight
    into.mul_(rest)[:, -width:, 0, 0] = torch.eye(width)
    for layer in (block.conv2, attention.proj_out):
        layer.weight.mul_(rest)
        layer.bias.mul_(rest)
    unet.conv_norm_out.weight.fill_(1)
    unet.conv_norm_out.bias.zero_()
    out = torch.zeros_like(unet.conv_out.weight)
    out[latents, torch.arange(width), 1, 1] = straight * 8 / width * signs
    unet.conv_out.weight.copy_(out)
    unet.conv_out.bias.zero_()


@torch.no_grad()
def _unet(layout: Layout, calm: bool) -> UNet2DConditionModel:
    unet = UNet2DConditionModel(**layout.unet, in_channels=layout.inputs, sample_size=8)
    unet = fill(unet, f"{layout.name}/unet")
    if calm:
        further = unet.conv_in.weight[:, 4:].clone()
        straighten(unet, layout.straight, layout.rest)
        unet.conv_in.weight[:, 4:] = further
    return unet


def _vae(layout: Layout) -> AutoencoderKL:
    return fill(AutoencoderKL(**VAE), f"{layout.name}/vae")


def _text(layout: Layout) -> CLIPTextModel:
    width = layout.text["hidden_size"]
    return fill(CLIPTextModel(CLIPTextConfig(**layout.text, intermediate_size=4 * width)), f"{layout.name}/text")


@cache
def tokenizer(layout: str) -> CLIPTokenizer:
    vocabulary, merges = clip_vocabulary()
    pad = LAYOUTS[layout].pad_token
    return CLIPTokenizer(vocabulary, [tuple(m) for m in merges], pad_token=pad, model_max_length=77)


def _scheduler(layout: Layout) -> PNDMScheduler | DDIMScheduler:
    """As the published scheduler_config.json: the class is PNDM for SD 1.5, DDIM for SD 2.1.

    PNDM does not have `clip_sample`, but the published files hold it for other samplers.
    """
    kind = PNDMScheduler if layout.prediction == "epsilon" else DDIMScheduler
    return kind.from_config(SCHEDULER | {"prediction_type": layout.prediction})


def base(name: str, weights: Weights = "plain") -> StableDiffusionPipeline:
    """A whole base model as diffusers saves and loads it."""
    layout = LAYOUTS[name]
    return StableDiffusionPipeline(
        unet=_unet(layout, weights == "calm"),
        vae=_vae(layout),
        text_encoder=_text(layout),
        tokenizer=tokenizer(name),
        scheduler=_scheduler(layout),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def control(name: str, weights: Weights = "plain", salt: str = "one") -> ControlNetModel:
    """A ControlNet with the released condition encoder; other salts make others, "pooled" one like Shuffle."""
    layout = LAYOUTS[name]
    net = ControlNetModel(**layout.unet, global_pool_conditions=salt == "pooled")
    net = fill(net, f"{layout.name}/control/{salt}")
    for layer in net.controlnet_cond_embedding.modules():
        if isinstance(layer, nn.Conv2d):  # without a norm between them, eight SiLU would leave nothing of the condition
            layer.weight.mul_(1.9)
    if weights == "calm":
        net.controlnet_down_blocks[0].weight.mul_(layout.rest)
        net.controlnet_down_blocks[0].bias.mul_(layout.rest)
    return net


class EulerAncestralKarras(EulerAncestralDiscreteScheduler):
    """With the noise levels of Karras, which diffusers has for Euler only: taken from there."""

    def set_timesteps(self, num_inference_steps: int, device: Any = None) -> None:
        super().set_timesteps(num_inference_steps, device)
        other = EulerDiscreteScheduler.from_config(self.config, use_karras_sigmas=True)
        other.set_timesteps(num_inference_steps, device)
        self.sigmas, self.timesteps = other.sigmas, other.timesteps


def scheduler(settings: Mapping[str, Any], sampler: str = "ddim", sigmas: str = "default") -> Any:
    """The scheduler of a sampler of cn, with the settings of scheduler_config.json."""
    karras = sigmas == "karras"
    if sampler == "euler-a":
        return (EulerAncestralKarras if karras else EulerAncestralDiscreteScheduler).from_config(settings)
    kinds = {"ddim": DDIMScheduler, "euler": EulerDiscreteScheduler, "dpm++2m": DPMSolverMultistepScheduler}
    return kinds[sampler].from_config(settings, **({"use_karras_sigmas": True} if karras else {}))


def controlled(
    base: StableDiffusionPipeline,
    controls: Sequence[ControlNetModel],
    settings: Mapping[str, Any] | None = None,
    sampler: str = "ddim",
    sigmas: str = "default",
    kind: Any = StableDiffusionControlNetPipeline,
) -> Any:
    """The reference: the base's parts with one or several controls, and a sampler.

    `settings` change those of the base's scheduler, as its file may have them: unlike StableDiffusionPipeline, the
    pipeline with a control does not put back a steps_offset of 1.
    """
    # As in a file, all count: from_config leaves out those that it remembers to be a class's defaults.
    published = {name: value for name, value in base.scheduler.config.items() if name != "_use_default_values"}
    pipe = kind(
        **{k: v for k, v in base.components.items() if k not in ("scheduler", "image_encoder")},
        controlnet=list(controls) if len(controls) > 1 else controls[0],
        scheduler=scheduler(published | dict(settings or {}), sampler, sigmas),
        requires_safety_checker=False,
    )
    pipe.set_progress_bar_config(disable=True)
    return pipe
