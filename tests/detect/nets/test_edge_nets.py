"""The line and edge networks: names and shapes equal the published files, outputs the published code."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cn.detect.nets.arrays import pad
from cn.detect.nets.hed import BSDS500HED, ControlNetHED
from cn.detect.nets.loading import load, load_net, without_prefix
from cn.detect.nets.mlsd import MLSDLarge, MLSDTiny
from cn.detect.nets.sketch import Anime2Sketch
from cn.detect.nets.tin import TIN
from cn.errors import InputError, WeightsError
from tests.golden.make_detectors_edges import FILE, fill, sample_image
from tests.helpers.model_helpers import relative

NETWORKS = {
    "ControlNetHED": ControlNetHED,
    "network-bsds500": BSDS500HED,
    "TIN1": lambda: TIN(1),
    "TIN2": TIN,
    "mlsd_large_512_fp32": MLSDLarge,
    "mlsd_tiny_512_fp32": MLSDTiny,
    "netG_Anime2Sketch": Anime2Sketch,
}


def golden(name):
    with np.load(FILE) as file:
        return file[name]


def published(name):
    """Names and shapes of a published file."""
    return dict(line.split("\t") for line in str(golden(f"keys/{name}")).splitlines())


def same(ours, name, thinned=1):
    reference = torch.from_numpy(golden(name))
    assert relative(ours[..., ::thinned, ::thinned], reference) < 1e-4
    assert float(reference.std()) > 1e-3, "the reference is not constant"


def tensor(image):
    return torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].float()


@pytest.mark.parametrize("name", NETWORKS)
def test_names_and_shapes_equal_those_of_the_published_file(name):
    with torch.device("meta"):
        ours = NETWORKS[name]().state_dict()
    assert {key: str(tuple(value.shape)) for key, value in ours.items()} == published(name)


@torch.inference_mode()
def test_controlnet_hed_gives_the_five_logits_of_the_published_class():
    sides = fill(ControlNetHED())(tensor(sample_image("hed")))
    assert len(sides) == 5
    for number, side in enumerate(sides):
        same(side[0, 0], f"hed/{number}")


@torch.inference_mode()
def test_the_original_hed_gives_the_probabilities_of_the_first_release():
    same(fill(BSDS500HED())(tensor(sample_image("bsds500")[..., ::-1]))[0, 0], "bsds500")


@pytest.mark.parametrize("stages", [1, 2])
@torch.inference_mode()
def test_tin_equals_its_authors_class_on_odd_sizes(stages):
    same(fill(TIN(stages))(tensor(sample_image(f"tin{stages}")[..., ::-1]))[0, 0], f"tin{stages}")


@pytest.mark.parametrize(("name", "network"), [("mlsd_large", MLSDLarge), ("mlsd_tiny", MLSDTiny)])
@torch.inference_mode()
def test_mlsd_gives_the_nine_planes_of_the_published_class(name, network):
    image = sample_image(name)
    planes = tensor(np.concatenate([image, np.ones((*image.shape[:2], 1), np.uint8)], axis=2)) / 127.5 - 1
    output = fill(network())(planes)
    assert output.shape == (1, 9, image.shape[0] // 2, image.shape[1] // 2)
    same(output[0], name, thinned=4)


@torch.inference_mode()
def test_anime2sketch_gives_the_drawing_of_the_published_class():
    output = fill(Anime2Sketch())(tensor(sample_image("sketch"))[..., :256] / 127.5 - 1)
    assert output.shape == (1, 1, 256, 256)
    same(output[0, 0], "sketch", thinned=4)


def stored(network, path, rename=lambda name: name, dtype=torch.float32):
    """The file `path` with the weights of `network`."""
    state = {
        rename(name): (value.to(dtype) if value.is_floating_point() else value).contiguous()
        for name, value in network.state_dict().items()
    }
    torch.save(state, path) if path.suffix == ".pth" else save_file(state, path)
    return path


@pytest.mark.parametrize(
    ("network", "family"),
    [(lambda: TIN(1), "hed"), (lambda: TIN(2), "hed"), (MLSDLarge, "hough"), (MLSDTiny, "hough")],
)
@pytest.mark.parametrize("prefix", ["", "module."])
def test_files_are_identified_by_their_tensors(tmp_path, network, family, prefix):
    filled = fill(network())
    opened = load_net(family, stored(filled, tmp_path / "any name.pth", lambda name: prefix + name))
    assert type(opened) is type(filled)
    assert not opened.training
    for name, value in filled.state_dict().items():
        assert torch.equal(opened.state_dict()[name], value)


@pytest.mark.parametrize("network", [ControlNetHED, BSDS500HED])
def test_hed_files_of_half_precision_are_read_as_float32(tmp_path, network):
    opened = load_net("hed", stored(fill(network()), tmp_path / "hed.pth", dtype=torch.float16))
    assert type(opened) is network
    assert {value.dtype for value in opened.state_dict().values()} == {torch.float32}


def test_anime2sketch_is_loaded_without_gradients(tmp_path):
    opened = load_net("lineart", stored(Anime2Sketch(), tmp_path / "netG.pth", lambda name: f"module.{name}"))
    assert not any(p.requires_grad for p in opened.parameters())


@pytest.mark.parametrize("family", ["hed", "hough", "lineart"])
def test_the_error_for_another_file_lists_the_suitable_ones(tmp_path, family):
    save_file({"conv.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"other\.safetensors: .*; give .*\.pth") as refusal:
        load_net(family, tmp_path / "other.safetensors")
    assert "\n" not in str(refusal.value)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="no such file"):
        load_net("hed", tmp_path / "TIN2.pth")


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda s: [s.pop(name) for name in list(s)[:5]], r"missing conv1_1.weight, .* and 2 more"),
        (lambda s: s.update(extra=torch.zeros(1)), r"unexpected extra$"),
        (
            lambda s: s.update({"score_final.bias": torch.zeros(2)}),
            r"wrong shape: score_final.bias \(2,\) instead of \(1,\)$",
        ),
    ],
)
def test_mismatched_weights_are_named(tmp_path, change, what):
    state = TIN().state_dict()
    change(state)
    save_file(state, tmp_path / "tin.safetensors")
    with pytest.raises(WeightsError, match=r"tin\.safetensors: these are not the weights of this network: " + what):
        load(TIN, tmp_path / "tin.safetensors")


def test_names_that_collide_are_refused(tmp_path):
    state = TIN(1).state_dict()
    save_file(state | {"module.conv1_1.bias": torch.zeros(16)}, tmp_path / "tin.safetensors")
    with pytest.raises(WeightsError, match="the same name except for a prefix"):
        load_net("hed", tmp_path / "tin.safetensors")


def test_names_of_a_file_are_shown_in_one_line(tmp_path):
    save_file(TIN(1).state_dict() | {"a\nb": torch.zeros(1)}, tmp_path / "tin.safetensors")
    with pytest.raises(WeightsError, match=r"unexpected a\?b$"):
        load(lambda: TIN(1), tmp_path / "tin.safetensors")


def test_numbers_that_are_not_finite_are_refused(tmp_path):
    state = fill(TIN()).state_dict()
    state["conv2_1.weight"][0, 0, 0, 0] = torch.nan
    save_file(state, tmp_path / "tin.safetensors")
    with pytest.raises(InputError, match=r"tin\.safetensors: damaged weights: conv2_1.weight"):
        load(TIN, tmp_path / "tin.safetensors")


def test_a_prefix_is_removed_once_at_the_start():
    rename = without_prefix("module.")
    assert [rename(name) for name in ("module.a", "a.module.b", "moduleVggOne.0.weight")] == [
        "a",
        "a.module.b",
        "moduleVggOne.0.weight",
    ]


def test_padding_repeats_the_last_row_and_column():
    images = np.arange(2 * 3 * 5, dtype=np.uint8).reshape(1, 3, 5, 2)
    padded = pad(images, 4)
    assert padded.shape == (1, 4, 8, 2)
    assert np.array_equal(padded[:, :3, :5], images)
    assert np.array_equal(padded[:, 3], padded[:, 2])
    assert (padded[:, :, 5:] == padded[:, :, 4:5]).all()
    assert pad(padded, 4) is padded


def test_methods_without_weights_do_not_import_torch():
    script = """
import sys
import numpy as np
from cn.detect.lines import hough, lineart, scribble
from cn.detect.lines.soft_edge_gradient import gradient_soft_edge
image = np.zeros((32, 32, 3), np.uint8)
scribble.released_scribble(gradient_soft_edge(image))
hough.draw_lines(hough.lsd_lines(image), (32, 32))
lineart.standard_lineart(image)
assert "torch" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
