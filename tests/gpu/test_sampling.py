"""Sampling on each GPU of this machine, with its kernels and CUDA graphs, against fp32 on the CPU."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from cn.model.base import Base
from cn.model.engine import PLAIN, SamplingEngine
from cn.model.generate import Request, Sampling, generate
from cn.model.guidance import ControlInput
from cn.sample.options import AUTO, SpeedOptions
from cn.sample.speed import JobSize, make_engine
from tests.helpers.model_helpers import control, tiny_base, uniform

GPUS = torch.cuda.device_count()
REQUESTS = [Request("a cat", 3), Request("a red house", 4, negative="blue"), Request("", 5)]
SMALL = Sampling(height=40, width=56, steps=10)

pytestmark = pytest.mark.skipif(not GPUS, reason="needs a GPU")


@pytest.mark.parametrize("options", [AUTO, SpeedOptions(compile=False)], ids=["kernels and graphs", "as written"])
@pytest.mark.parametrize(("dtype", "most"), [(torch.float32, 1), (torch.float16, 3), (torch.bfloat16, 24)])
@pytest.mark.parametrize("index", range(GPUS or 1))
def test_images_are_those_of_the_cpu(index, dtype, most, options):
    """`most` of 255 apart. Each GPU, the first one as the current device and another one."""
    device = torch.device("cuda", index)
    base, side = tiny_base(), ControlInput(control("tiny"), uniform("hint", (1, 3, 40, 56)).sigmoid())
    wanted = images(base, side, PLAIN)
    moved = replace(base, **{name: copy.deepcopy(part).to(device, dtype) for name, part in base.networks.items()})
    side = ControlInput(copy.deepcopy(side.model).to(device, dtype), side.hint.to(device, dtype))
    job = JobSize(moved, (side.model,), (40, 56), len(REQUESTS), SMALL.steps)
    engine = make_engine(job, 1, options, device, pytest.fail)
    assert (engine.graphs is not None) == (options is AUTO)
    with torch.backends.cudnn.flags(allow_tf32=False):
        apart = np.abs(images(moved, side, engine) - wanted)
    assert apart.max() <= most
    assert apart.mean() <= most / 4


def images(base: Base, side: ControlInput, engine: SamplingEngine) -> np.ndarray:
    return np.stack(list(generate(base, REQUESTS, SMALL, [side], engine=engine))).astype(int)
