"""The two depth networks: names equal the published files, outputs other implementations."""

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cn.detect.nets.dpt import DPTHybrid
from cn.detect.nets.loading import load, load_net
from cn.detect.nets.midas_small import MidasSmall
from cn.detect.surfaces.depth import inverse_depth
from cn.detect.surfaces.preprocessing import InputSize, input_size
from cn.errors import WeightsError
from tests.helpers.depth_cases import NETWORKS, THINNED, filled, golden, network_input, sample_image, square_input
from tests.helpers.model_helpers import parameters

network = cache(filled)

SMALL = InputSize("upper_bound", 256)


def described(make) -> nn.Module:
    with torch.device("meta"):
        return make()


def shapes(net: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in net.state_dict().items()}


def run(kind: str, x: Tensor) -> Tensor:
    with torch.inference_mode():
        return network(kind)(x)


def close(ours: Tensor, reference: np.ndarray) -> None:
    """To 1e-4 of the largest value."""
    assert ours.shape == reference.shape
    assert np.abs(ours.numpy() - reference).max() <= 1e-4 * np.abs(reference).max()
    assert reference.std() > 0.1 * reference.max(), "a reference that says something"


@pytest.mark.parametrize(("kind", "tensors", "numbers"), [("dpt", 368, 123_146_985), ("small", 482, 21_320_545)])
def test_names_and_shapes_equal_those_of_the_published_file(kind, tensors, numbers):
    ours = described(NETWORKS[kind])
    published = dict(line.split("\t") for line in str(golden(f"{kind}.keys")).splitlines())
    assert {name: str(shape) for name, shape in shapes(ours).items()} == published
    assert len(published) == tensors
    assert parameters(ours) == numbers


@pytest.mark.parametrize("kind", NETWORKS)
def test_outputs_equal_those_of_the_released_annotator(kind):
    ours = run(kind, network_input())
    assert ours.shape == (1, 96, 128)
    assert float((ours > 0).float().mean()) > 0.9, "a map that is cut off at 0 would prove nothing"
    close(ours[THINNED], golden(f"{kind}.annotator"))


def test_outputs_equal_those_of_transformers():
    close(run("dpt", square_input())[THINNED], golden("dpt.transformers"))


@pytest.mark.parametrize("wrapped", [False, True], ids=["plain", "with the optimizer"])
def test_a_file_in_the_published_layout_is_identified_and_loaded(tmp_path, wrapped):
    state = network("small").state_dict()
    torch.save({"optimizer": {"state": {}}, "model": state} if wrapped else state, tmp_path / "midas.pt")
    loaded = load_net("depth", tmp_path / "midas.pt")
    assert isinstance(loaded, MidasSmall)
    assert input_size(loaded) == SMALL
    with torch.inference_mode():
        assert torch.allclose(loaded(square_input()), run("small", square_input()), atol=1e-5)


def test_dpt_hybrid_is_identified_and_loaded_strictly(tmp_path):
    # Each tensor repeats one value, to avoid writing half a gigabyte.
    values = {name: torch.tensor(0.01 * len(name)) for name in shapes(described(DPTHybrid))}
    torch.save(
        {name: values[name].expand(shape) for name, shape in shapes(described(DPTHybrid)).items()}, tmp_path / "d"
    )
    loaded = load_net("depth", tmp_path / "d")
    assert isinstance(loaded, DPTHybrid)
    assert input_size(loaded) == InputSize("released", 384)
    assert not loaded.training
    assert all(torch.equal(tensor, values[name].expand_as(tensor)) for name, tensor in loaded.state_dict().items())


def test_other_weights_are_refused_with_their_path(tmp_path):
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pt")
    with pytest.raises(WeightsError, match=r"other\.pt.*holds no depth network.*dpt_hybrid"):
        load_net("depth", tmp_path / "other.pt")
    state = dict(network("small").state_dict())
    del state["scratch.output_conv.4.bias"]
    torch.save(state, tmp_path / "cut.pt")
    with pytest.raises(WeightsError, match=r"cut\.pt.*scratch\.output_conv\.4\.bias"):
        load_net("depth", tmp_path / "cut.pt")
    with pytest.raises(WeightsError, match="not the weights of this network"):
        load(MidasSmall, tmp_path / "other.pt")


def test_any_image_size_works_and_the_result_is_deterministic():
    images = [sample_image(50, 70), sample_image(1, 1), sample_image(300, 20)]
    first = inverse_depth(network("small"), images)
    assert [found.shape for found in first] == [SMALL.size(*image.shape[:2]) for image in images]
    assert all(found.dtype == np.float32 and np.isfinite(found).all() and found.min() >= 0 for found in first)
    again = inverse_depth(network("small"), images)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
