"""The weights that come with the package: what they say of themselves, and that they work."""

import numpy as np
import pytest
from safetensors.torch import load_file

from cn import conditions
from cn.checkpoints.read.inspection import inspect
from cn.sample.pipeline import SamplingPipeline
from cn.sample.request import Condition, SampleRequest
from cn.weights import bundled
from tests.helpers.sampling import is_finite

PATHS = sorted(bundled.FOLDER.glob("*.safetensors"))
KINDS = sorted(path.stem for path in PATHS if path.stem != bundled.BASE_NAME)

pytestmark = pytest.mark.skipif(
    not {"base", "canny"} <= {path.stem for path in PATHS},
    reason="this checkout has no bundled weights (cn/weights/*.safetensors)",
)


def test_headers():
    base, *controls = bundled.files()
    assert (base.name, base.role, base.base_sha256) == ("base", "base", None)
    assert [(c.name, c.role, c.kind) for c in controls] == [(kind, "control", kind) for kind in KINDS]
    assert set(KINDS) <= set(conditions.KINDS)
    assert {weights.license for weights in (base, *controls)} == {"CC0-1.0"}
    assert {control.base_sha256 for control in controls} == {base.sha256}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_number_is_finite_and_small(path):
    """In half precision, or in 8 bits with scales and a part in half precision."""
    tensors = load_file(path)
    assert is_finite(tensors)
    dtypes = {str(t.dtype).removeprefix("torch.") for name, t in tensors.items() if "token_ids" not in name}
    eight_bits = bundled.describe(path).metadata.get("bits") == 8
    assert dtypes == ({"int8", "float32", "float16"} if eight_bits else {"float16"})


def test_all_together_are_small():
    sizes = {path.stem: path.stat().st_size for path in PATHS}
    assert sum(sizes.values()) <= 100e6


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_each_is_usable(path):
    report = inspect(path)
    assert (report.usable, report.layout, report.warnings) == (True, "native", ())


def sampled(*conditions: Condition) -> np.ndarray:
    request = SampleRequest(("a red house on a meadow",), conditions, steps=4, size=(256, 256))
    (made,) = SamplingPipeline.open(request, device="cpu").samples()
    return made.image


def test_an_image_follows_its_condition_and_is_the_same_every_time():
    edges = np.zeros((256, 256, 3), np.uint8)
    edges[100:200, (60, 190)] = edges[(100, 199), 60:191] = 255
    condition = Condition(edges, "edges.png", "canny", control="canny")
    controlled = sampled(condition)
    assert controlled.shape == (256, 256, 3)
    assert np.array_equal(controlled, sampled(condition))
    difference = np.abs(controlled.astype(int) - sampled().astype(int))
    assert difference.mean() > 5
