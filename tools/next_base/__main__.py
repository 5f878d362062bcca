"""Make the weights that the next bundled base starts from: python -m tools.next_base FOLDER

Its autoencoder is there already (`autoencoder.safetensors`, with the record of its training): latents of 8 channels
instead of 4, whose reconstructions keep eyes, mouths and rain (36.5 dB instead of 31.4). The U-Net and the ControlNets
are those of the bundled base, with as many channels: new inputs have no effect yet, and the first outputs are the old
ones. `python -m cn.pretrain denoiser control-KIND --start FOLDER` goes on from there.
"""

import argparse
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import nn

from cn.checkpoints.read.load import open_base, open_control
from cn.checkpoints.write.native import save_base, save_control
from cn.model.base import Base
from cn.model.config import PRESETS
from cn.model.controlnet import ControlNet
from cn.pretrain.vocabulary import known_tokens
from cn.weights import bundled

HERE = Path(__file__).parent
CONTROLS = ("canny", "depth", "openpose")
NEW_OUTPUTS = 0.1
"""The factor on the initial weights of new outputs: small, so that their first errors are."""


@torch.no_grad()
def grown(network: nn.Module, earlier: nn.Module) -> None:
    """Give `network` the weights of one with fewer channels at its input and output."""
    before = earlier.state_dict()
    for name, tensor in network.state_dict().items():
        old = before[name]
        if tensor.shape != old.shape:
            if tensor.ndim > 1 and tensor.shape[0] == old.shape[0]:
                tensor.zero_()
            else:
                tensor *= NEW_OUTPUTS
        tensor[tuple(map(slice, old.shape))] = old


def make(folder: Path) -> None:
    """Write the base and the ControlNets into a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    model = PRESETS["scenes"]
    earlier, base = open_base(bundled.FOLDER / "base.safetensors"), Base.create(model, torch.device("cpu"))
    torch.manual_seed(0)
    grown(base.unet, earlier.unet)
    grown(base.text, earlier.text)
    base.vae.load_state_dict(
        {name: value.float() for name, value in load_file(HERE / "autoencoder.safetensors").items()}
    )
    save_base(folder / "base.safetensors", base, bits=8, tokens=known_tokens(model.text), license="CC0-1.0")
    base = open_base(folder / "base.safetensors")
    for kind in CONTROLS:
        control, old = ControlNet.from_unet(base.unet), open_control(bundled.FOLDER / f"{kind}.safetensors").model
        grown(control, old)
        save_control(folder / f"{kind}.safetensors", control, kind=kind, base=base, base_sha256=base.sha256, bits=8)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    make(parser.parse_args().folder)
