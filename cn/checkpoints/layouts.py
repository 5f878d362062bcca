"""What reading and writing share about each layout: its name, prefixes, folders and settings. Imports nothing heavy."""

from collections.abc import Mapping
from typing import Literal

from cn.model.config import Prediction, Spacing

Layout = Literal["native", "ldm", "diffusers"]
KeyNaming = Literal["native", "ldm", "diffusers", "transformers", "open_clip"]
"""Who names the tensors: text encoders of single files have the names of transformers or open_clip."""

Role = Literal["base", "control"]
"""What `--only` selects."""

PartName = Literal["unet", "vae", "text", "control"]
BASE_PARTS: tuple[PartName, ...] = ("unet", "vae", "text")
TITLES: Mapping[str, str] = {"unet": "U-Net", "vae": "VAE", "text": "text encoder", "control": "ControlNet"}

LDM_PREFIXES: Mapping[PartName, str] = {
    "unet": "model.diffusion_model.",
    "vae": "first_stage_model.",
    "text": "cond_stage_model.",
    "control": "control_model.",
}
"""Before the names of each part's tensors in an original single file."""

LDM_TEXT_PREFIXES: Mapping[KeyNaming, str] = {"transformers": "transformer.text_model.", "open_clip": "model."}
"""After the text encoder's prefix, by its key naming."""

DIFFUSERS_FOLDERS: Mapping[PartName, str] = {
    "unet": "unet",
    "vae": "vae",
    "text": "text_encoder",
    "control": "controlnet",
}
TEXT_STEM, NETWORK_STEM = "model", "diffusion_pytorch_model"
"""Names of the weights in diffusers folders, without suffix: of text encoders and of all other networks."""

DIFFUSERS_PREDICTIONS: Mapping[Prediction, str] = {"eps": "epsilon", "v": "v_prediction"}
PREDICTIONS: Mapping[str, Prediction] = {"eps": "eps", "v": "v", "epsilon": "eps", "v_prediction": "v"}
"""Every name of a prediction in .yaml and diffusers files → ours."""

MODELSPEC_PREDICTIONS: Mapping[Prediction, str] = {"eps": "epsilon", "v": "v"}
"""The metadata entry `modelspec.prediction_type`, as sd-scripts writes it."""

DIFFUSERS_SPACINGS: Mapping[str, Spacing] = {
    "leading": "leading",
    "linspace": "linspace",
    "trailing": "trailing_stride",
}
"""A diffusers scheduler's timestep_spacing → ours."""
