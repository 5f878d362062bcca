"""The shapes that files are checked against are those of the networks."""

from dataclasses import replace
from itertools import product
from pathlib import Path

import pytest

from cn.checkpoints.checkpoint import ControlSpec
from cn.checkpoints.read.load import empty_base, empty_control, shapes_of
from cn.checkpoints.shapes import base_shapes, control_shapes
from cn.model.config import PRESETS, UNetConfig
from tests.helpers.layouts import CONFIGS
from tests.helpers.model_helpers import TINY, TINY_V

UNUSUAL = replace(
    TINY,
    unet=UNetConfig(
        in_channels=4,
        channels=(32, 64, 96),
        strides=(2, 2),
        res_blocks=3,
        attention_levels=(2,),
        transformer_depth=2,
        heads=4,
        context_dim=40,
    ),
    vae=replace(TINY.vae, channels=(32, 64), res_blocks=1, latent_channels=6),
)
MODELS = {**PRESETS, **CONFIGS, "tiny": TINY, "tiny-v": TINY_V, "unusual": UNUSUAL}


@pytest.mark.parametrize("name", MODELS)
def test_a_base(name):
    networks = empty_base(MODELS[name]).networks
    assert base_shapes(MODELS[name]) == {part: shapes_of(network) for part, network in networks.items()}


@pytest.mark.parametrize(
    ("name", "encoder"), list(product(["sd15", "sd21", "scenes", "unusual"], ["paper", "released"]))
)
def test_a_control(name, encoder):
    spec = ControlSpec(MODELS[name].unet, encoder, condition_channels=5)
    assert control_shapes(spec) == shapes_of(empty_control(spec, Path("x")))
