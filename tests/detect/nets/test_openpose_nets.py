"""The pose networks: names and shapes equal the published files, outputs the published code."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cn.detect.nets.keypoint_rcnn import KeypointRCNN
from cn.detect.nets.loading import load_net
from cn.detect.nets.openpose import BodyNetwork, HandNetwork
from cn.detect.nets.openpose_light import LightBodyNetwork
from cn.detect.pose.keypoint_rcnn import find_people as by_boxes
from cn.detect.pose.keypoint_rcnn import to_people
from cn.detect.pose.openpose import find_people
from cn.errors import WeightsError
from tests.golden.make_detectors_pose import fill, golden, sample_image, tensor
from tests.helpers.model_helpers import parameters, relative, uniform

NETWORKS = {
    "body_pose_model": BodyNetwork,
    "hand_pose_model": HandNetwork,
    "lightweight_openpose": LightBodyNetwork,
}


def same(ours, name):
    reference = torch.from_numpy(golden(name))
    assert relative(ours[0], reference) < 1e-4
    assert float(reference.std()) > 1e-2, "a reference that says something"


@pytest.fixture(scope="module")
def view():
    return tensor(sample_image("nets", (64, 80)))


@pytest.mark.parametrize("name", NETWORKS)
def test_names_and_shapes_equal_those_of_the_published_file(name):
    with torch.device("meta"):
        ours = NETWORKS[name]().state_dict()
    listed = dict(line.split("\t") for line in str(golden(f"keys/{name}")).splitlines())
    assert {key: str(tuple(value.shape)) for key, value in ours.items()} == listed
    assert len(listed) > 100 or name == "hand_pose_model"


@torch.inference_mode()
def test_the_body_network_gives_the_maps_of_the_published_class(view):
    heat, affinities = fill(BodyNetwork())(view)
    same(heat, "nets/body/heat")
    same(affinities, "nets/body/affinities")
    # The bug of the published code: a ReLU after the last confidence maps, none after the last affinity fields.
    assert float(heat.min()) == 0
    assert float(affinities.min()) < -0.1


@torch.inference_mode()
def test_the_hand_network_gives_the_maps_of_the_published_class(view):
    same(fill(HandNetwork())(view), "nets/hand")


@torch.inference_mode()
def test_the_light_network_gives_the_maps_of_its_authors_class(view):
    heat, affinities = fill(LightBodyNetwork())(view)
    same(heat, "nets/light/heat")
    same(affinities, "nets/light/affinities")


@pytest.fixture(scope="module")
def light_weights():
    return fill(LightBodyNetwork()).state_dict()


def test_the_light_checkpoint_is_read_out_of_its_wrapper(tmp_path, light_weights):
    torch.save({"state_dict": light_weights, "iter": 370000, "optimizer": {"lr": 1e-3}}, tmp_path / "light.pth")
    network = load_net("openpose", tmp_path / "light.pth")
    assert type(network) is LightBodyNetwork
    assert not network.training
    assert not any(p.requires_grad for p in network.parameters())
    assert all(torch.equal(value, light_weights[name]) for name, value in network.state_dict().items())


@pytest.mark.parametrize(("network", "family"), [(BodyNetwork, "openpose"), (HandNetwork, "hands")])
def test_files_are_identified_by_their_tensors(tmp_path, network, family):
    # Half precision and one value per tensor, to avoid writing 200 MB.
    with torch.device("meta"):
        shapes = {name: value.shape for name, value in network().state_dict().items()}
    state = {f"module.{name}": torch.full(shape, 0.25, dtype=torch.float16) for name, shape in shapes.items()}
    save_file(state, tmp_path / "any name.safetensors")
    opened = load_net(family, tmp_path / "any name.safetensors")
    assert type(opened) is network
    assert parameters(opened) == {BodyNetwork: 52_311_446, HandNetwork: 36_832_324}[network]


def test_the_error_for_another_file_lists_the_suitable_ones(tmp_path):
    save_file({"conv6_2_CPM.weight": torch.zeros(1)}, tmp_path / "hand.safetensors")
    known = r"give body_pose_model\.pth, checkpoint_iter_370000\.pth or keypointrcnn_resnet50_fpn_coco-fc266e95\.pth$"
    with pytest.raises(WeightsError, match=r"hand\.safetensors: holds OpenPose's hands; " + known):
        load_net("openpose", tmp_path / "hand.safetensors")
    with pytest.raises(WeightsError, match=r"hand\.safetensors: these are not the weights of this network: missing"):
        load_net("hands", tmp_path / "hand.safetensors")
    save_file({"conv.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"other\.safetensors: holds no openpose network; " + known):
        load_net("openpose", tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"other\.safetensors: holds no hands network; give hand_pose_model\.pth"):
        load_net("hands", tmp_path / "other.safetensors")


@pytest.fixture(scope="module")
def boxes():
    """torchvision's own network from its builder, with weights that detect something."""
    from torchvision.models.detection import keypointrcnn_resnet50_fpn

    network = few(keypointrcnn_resnet50_fpn(weights=None, weights_backbone=None).eval())
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if name.endswith("num_batches_tracked"):
                continue
            filled = uniform(name, tuple(value.shape))
            if value.ndim > 1:
                # Boxes with small offsets, and intermediate scores.
                last = 0.1 if "pred" in name or "cls_score" in name else 1.0
                value.copy_(filled * (2 / value[0].numel()) ** 0.5 * last)
            else:
                norm = (".bn" in name or "downsample.1" in name) and name.endswith(("weight", "running_var"))
                value.copy_((0.3 if "bn3.weight" in name else 1.0) + 0.1 * filled if norm else 0.1 * filled)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            # As torchvision does for the published weights.
            module.eps = 0.0
    return network


def few(network):
    """The network with a small input size and few boxes."""
    network.transform.min_size = (64,)
    network.rpn._post_nms_top_n["testing"] = 20
    network.roi_heads.detections_per_img = 4
    return network


def old(name):
    """A tensor name in the published file, which is older than torchvision's wrappers of these layers."""
    return name.replace("rpn.head.conv.0.0.", "rpn.head.conv.") if "rpn" in name else plain_pyramid(name)


def plain_pyramid(name):
    head, _, tail = name.rpartition(".")
    return f"{head.removesuffix('.0')}.{tail}" if "fpn." in name else name


def test_keypoint_rcnn_equals_torchvisions_network(tmp_path, boxes):
    """Nothing is downloaded: this file has the names of the published one."""
    state = {old(n): v for n, v in boxes.state_dict().items() if not n.endswith("num_batches_tracked")}
    assert {"backbone.fpn.inner_blocks.3.weight", "rpn.head.conv.bias"} < set(state)
    torch.save(state, tmp_path / "keypointrcnn.pth")
    network = few(load_net("openpose", tmp_path / "keypointrcnn.pth"))
    image = sample_image("boxes", (48, 64))
    with torch.inference_mode():
        (ours,) = network([torch.from_numpy(image).permute(2, 0, 1).float() / 255])
        (theirs,) = boxes([torch.from_numpy(image).permute(2, 0, 1).float() / 255])
    assert len(theirs["scores"]) > 3
    for name in ("boxes", "scores", "keypoints", "keypoints_scores"):
        assert torch.allclose(ours[name], theirs[name], rtol=1e-3, atol=1e-3), name
    least = float(theirs["scores"].median())
    (found,) = by_boxes(network, image[None], min_box_score=least, min_point_logit=-1e9)
    assert len(found.keypoints) == int((theirs["scores"] >= least).sum())
    assert np.allclose(found.keypoints[0, 0, :2], theirs["keypoints"][0, 0, :2], atol=0.1)


def test_current_names_of_keypoint_rcnn_are_kept():
    with torch.device("meta"):
        names = list(KeypointRCNN().state_dict())
    assert [KeypointRCNN.renamed(name) for name in names] == names
    assert [KeypointRCNN.renamed(old(name)) for name in names] == names


def test_boxes_and_points_below_their_thresholds_are_dropped():
    places = torch.arange(2 * 17 * 3, dtype=torch.float32).reshape(2, 17, 3)
    logits = torch.full((2, 17), 5.0)
    logits[0, [9, 5]] = 1.9
    found = to_people({"scores": torch.tensor([0.95, 0.89]), "keypoints": places, "keypoints_scores": logits})
    assert found.scores.tolist() == pytest.approx([0.95])
    assert found.keypoints.shape == (1, 18, 3)
    (body,) = found.keypoints
    # COCO's keypoint 9 is the left wrist, 5 the left shoulder, without which there is no neck.
    assert np.flatnonzero(body[:, 2] == 0).tolist() == [1, 5, 7]
    assert body[4].tolist() == pytest.approx([*places[0, 10, :2].tolist(), 1 / (1 + np.exp(-5))])


def test_images_without_people_are_empty():
    nothing = {"scores": torch.zeros(0), "keypoints": torch.zeros(0, 17, 3), "keypoints_scores": torch.zeros(0, 17)}
    found = to_people(nothing)
    assert found.keypoints.shape == (0, 18, 3)
    assert found.scores.shape == (0,)


@pytest.mark.parametrize("size", [(1, 1), (7, 12), (300, 7)])
def test_any_size_works(size):
    image = np.random.default_rng(0).integers(0, 256, (2, *size, 3), dtype=np.uint8)
    found = find_people(fill(LightBodyNetwork()), image)
    assert len(found) == 2
    assert all(people.keypoints.shape[1:] == (18, 3) for people in found)
