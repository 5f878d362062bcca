"""Damaged files that once ended in a traceback or an endless line, found by `tools/fuzz.py`."""

import json
import struct
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from cn.checkpoints.read.recognize import recognize
from cn.checkpoints.read.settings import number
from cn.conditions import TEXT_KEY, ConditionInfo
from cn.detect.pose.json_files import open_poses
from cn.detect.surfaces.normal_maps import read_normals
from cn.errors import CnError, InputError
from cn.images import pixel_values
from cn.train.config import TrainConfig
from cn.train.metrics import Metrics
from cn.train.run_folder import find_state
from tests.helpers.layouts import convert, native_base

DEEP = "[" * 3000


def refused(call, *arguments: object) -> str:
    with pytest.raises(CnError) as caught:
        call(*arguments)
    message = str(caught.value)
    assert message.isprintable()
    assert len(message) < 500
    return message


@pytest.mark.parametrize("numbers", ["7", "null", '"x"', "[]", DEEP, "{", "9" * 4301])
def test_the_numbers_of_a_state(tmp_path, numbers):
    state = tmp_path / "state/step-00000005"
    state.mkdir(parents=True)
    (state / "numbers.json").write_text(numbers)
    assert "the state is damaged" in refused(find_state, tmp_path)


@pytest.mark.parametrize(
    "line", [DEEP, '{"step": ' + "9" * 400 + "}", '{"step": ' + "9" * 4301 + "}", "{}", "7", '{"step": {}}']
)
def test_lines_of_metrics_that_are_dropped(tmp_path, line):
    file = tmp_path / "metrics.jsonl"
    file.write_text(f'{{"step": 1}}\n{line}\n{{"step": 2}}\n')
    Metrics(file).trim(2)
    assert file.read_text() == '{"step": 1}\n{"step": 2}\n'


@pytest.mark.parametrize(
    "text", ["x" * 5000 + " = 1", f'cond = "{"x" * 5000}"', f"steps = {DEEP}", "steps = " + "9" * 400]
)
def test_a_configuration_with_long_names_and_values(tmp_path, text):
    (tmp_path / "config.toml").write_text(text)
    assert refused(TrainConfig.load, tmp_path).startswith(f"{tmp_path}/config.toml: ")


@pytest.mark.parametrize("text", [DEEP, "9" * 4301, "[]", '{"kind": "\\ud800"}'])
def test_the_text_of_a_condition(text):
    with pytest.raises(InputError, match="is damaged"):
        ConditionInfo.from_text({TEXT_KEY: text})


@pytest.mark.parametrize("value", ["x" * 5000, 10**400, [1] * 5000])
@pytest.mark.parametrize("name", ["num_train_timesteps", "beta_start", "prediction_type", "timestep_spacing"])
def test_a_scheduler_with_a_long_value(tmp_path, name, value):
    native_base(tmp_path / "sd1.safetensors", "sd1")
    folder = convert(tmp_path / "sd1.safetensors", tmp_path / "folder", "diffusers")
    settings = folder / "scheduler/scheduler_config.json"
    settings.write_text(json.dumps(json.loads(settings.read_text()) | {name: value}))
    assert refused(recognize, folder).startswith(str(folder))


def test_a_list_of_no_poses(tmp_path):
    path = tmp_path / "poses.json"
    path.write_text('{"images": [], "annotations": [{"image_id": 1, "category_id": 2, "keypoints": [1, 2, 2]}]}')
    assert refused(open_poses, path) == f"{path}: describes no image with people"


@pytest.mark.parametrize(
    "header", [b"{'descr': '<f4', 'fortran_order': False, 'shape': (2,", b"{" * 3000, b"'" + b"a" * 90]
)
def test_the_header_of_an_array(tmp_path, header):
    path = Path(tmp_path / "x.npy")
    path.write_bytes(b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header)
    assert "the array is broken" in refused(pixel_values.read_numbers, path)


def test_normals_of_which_none_is_known(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros((4, 5, 3), np.float32))
    normals = read_normals(str(tmp_path / "a.npy"), "opengl")
    assert not normals.vectors.any()


def test_a_number_beyond_all_floats_in_original_settings():
    assert "should be a number above 0" in refused(number, {"scale_factor": 10**400}, "scale_factor")


def test_a_file_of_poses_costs_what_it_holds(tmp_path):
    """Not the half gigabyte that one may have."""
    (tmp_path / "a.json").write_text('{"people": []}')
    tracemalloc.start()
    try:
        open_poses(tmp_path / "a.json")
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
    finally:
        tracemalloc.stop()
