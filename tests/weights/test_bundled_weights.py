"""The weights that come with the package: what they say of themselves, and that they work."""

import numpy as np
import pytest
from safetensors.torch import load_file

from cn.sample.pipeline import SamplingPipeline
from cn.sample.request import Condition, SampleRequest
from cn.weights import bundled
from tests.helpers.sampling import is_finite

KINDS = ("canny", "depth", "openpose")
PATHS = [bundled.FOLDER / f"{name}.safetensors" for name in ("base", *KINDS)]

pytestmark = pytest.mark.skipif(
    not all(path.is_file() for path in PATHS), reason="this checkout has no bundled weights (cn/weights/*.safetensors)"
)


def test_headers():
    base, *controls = bundled.files()
    assert (base.name, base.role, base.base_sha256) == ("base", "base", None)
    assert [(c.name, c.role, c.kind) for c in controls] == [(kind, "control", kind) for kind in KINDS]
    assert {weights.license for weights in (base, *controls)} == {"CC0-1.0"}
    assert {control.base_sha256 for control in controls} == {base.sha256}


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_every_number_is_finite_and_half_precision(path):
    tensors = load_file(path)
    assert is_finite(tensors)
    assert {str(t.dtype) for t in tensors.values() if t.is_floating_point()} == {"torch.float16"}


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
