"""Files of cn's own layout that several test files read."""

from pathlib import Path

import pytest

from cn.checkpoints.write.native import save_base, save_control
from cn.model.controlnet import ControlNet
from tests.helpers.model_helpers import TINY, fill, tiny_base


@pytest.fixture(scope="module")
def base_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "base.safetensors"
    save_base(path, tiny_base(), tokens=[320, 2368, 49407], steps=7)
    return path


@pytest.fixture(scope="module")
def control_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / "control.safetensors"
    save_control(path, fill(ControlNet(TINY.unet)), kind="canny", base_sha256="abc", prompt_drop=0.5)
    return path
