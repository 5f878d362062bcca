"""The base of a request as it samples: read from its file, with another VAE and the LoRA files of the request."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import torch

from cn.checkpoints.read.load import open_base
from cn.checkpoints.read.lora.file import open_lora
from cn.checkpoints.read.lora.merge import merge
from cn.checkpoints.read.vae_file import open_vae, replace_vae
from cn.files import sha256
from cn.model.base import Base
from cn.sample.lora_choice import Lora
from cn.sample.options import VAE_NAME, SampleOptions
from cn.weights import bundled


def open_sampling_base(
    options: SampleOptions, device: torch.device, dtype: torch.dtype, *, inpainting: bool = True
) -> Base:
    """The locked base of these options; no file is changed. Without `inpainting`, inpainting bases are refused.

    Raises what `open_base`, `open_vae`, `open_lora` and `merge` raise.
    """
    loras = [Lora.parse(text) for text in options.lora]
    # Read first: a file that is no LoRA is refused before gigabytes are read.
    opened = [(open_lora(lora.find()), lora.weight) for lora in loras]
    with ThreadPoolExecutor(1) as pool:
        hashed = pool.map(sha256, [file.path for file, _ in opened])
        path = bundled.find(options.base, role="base")
        base = open_base(path, device, dtype, prediction=options.prediction, inpainting=inpainting)
        added = {}
        if options.vae is not None:
            added[VAE_NAME] = replace_vae(base, open_vae(bundled.find(options.vae, role="base"), base.config))
        merge(base, opened)
        return replace(base, added=added | dict(zip((lora.name for lora in loras), hashed, strict=True)))
