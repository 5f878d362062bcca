"""Hands: squares and keypoints equal to those of the release, and properties that always hold."""

import numpy as np
import pytest
import torch

from cn.detect.nets.openpose import HandNetwork
from cn.detect.pose import openpose_hands
from cn.detect.pose.upsampled_maps import Fields, ScaledMaps
from tests.golden import make_detectors_pose as made
from tests.helpers.pose_fields import given_maps


@pytest.mark.parametrize("name", made.SIZES)
def test_hand_squares_equal_those_of_the_release(name):
    size = made.SIZES[name]
    squares = [
        (*square, is_left)
        for person in made.golden(f"body/{name}/people").astype(np.float64)
        for square, is_left in zip(openpose_hands.hand_squares(person, size), (1, 0), strict=True)
        if square
    ]
    assert np.array_equal(np.array(squares).reshape(-1, 4), made.golden(f"body/{name}/hands"))


@pytest.mark.parametrize(("name", "side"), made.HANDS.items())
def test_keypoints_of_hands_equal_those_of_the_release(name, side):
    network = given_maps(HandNetwork, lambda x: made.hand_maps(name, x, side))
    found = openpose_hands.decode(openpose_hands.hand_maps(network, [made.sample_image(name, (side, side))])[0])
    assert np.array_equal(found[:, :2], made.golden(f"hands/{name}"))
    assert [x.shape[2] for x in network.seen] == [184, 368, 552, 736]
    assert np.flatnonzero(found[:, 2] == 0).tolist() == [3, 10, 17]


def test_hand_keypoints_are_in_pixels_of_the_image():
    people = np.zeros((2, 18, 3))
    # A right arm only: shoulder, elbow, wrist.
    people[0, [2, 3, 4]] = [(60, 100, 1), (100, 100, 1), (140, 100, 1)]
    heat = torch.zeros(1, 22, 23, 23)
    heat[0, 7, 11, 17] = 1.0
    network = given_maps(HandNetwork, lambda x: heat)
    found = openpose_hands.find_hands(network, np.zeros((200, 300, 3), np.uint8), people, scales=(0.5,))
    assert found.shape == (2, 2, 21, 3)
    (square,) = [s for s in openpose_hands.hand_squares(people[0], (200, 300)) if s]
    # A third of the forearm beyond the wrist, one and a half forearms wide.
    assert square == (123, 70, 60)
    assert np.flatnonzero(found[0, 1, :, 2]).tolist() == [7]
    assert found[0, 1, 7, :2] == pytest.approx([123 + 60 * 17.5 / 23, 70 + 60 * 11.5 / 23], abs=1.5)
    found[0, 1, 7] = 0
    assert not found.any()
    assert network.seen[0].shape == (1, 3, 184, 184)


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_hands_of_different_sizes_form_batches(batch):
    """The result does not depend on the batch composition."""
    people = np.zeros((2, 18, 3))
    people[0, [2, 3, 4]] = [(60, 100, 1), (100, 100, 1), (140, 100, 1)]
    people[0, [5, 6, 7]] = [(60, 40, 1), (90, 40, 1), (110, 40, 1)]
    people[1, [5, 6, 7]] = [(100, 150, 1), (140, 150, 1), (200, 150, 1)]
    seen = []

    def maps(x):
        seen.append(len(x))
        heat = torch.zeros(len(x), 22, 46, 46)
        for number in range(len(x)):
            # The brightest column of the input.
            heat[number, 3, 20, int(x[number, 0].mean(dim=0).argmax()) // 8] = 20.0
        return heat

    image = np.zeros((220, 300, 3), np.uint8)
    image[:, [130, 180]] = image[:, 120] = 255
    network = given_maps(HandNetwork, maps)
    found = openpose_hands.find_hands(network, image, people, (1.0,), batch)
    alone = np.concatenate([openpose_hands.find_hands(network, image, person[None], (1.0,)) for person in people])
    assert seen[: -(-3 // batch)] == {1: [1, 1, 1], 2: [2, 1], 8: [3]}[batch]
    assert np.array_equal(found, alone)
    assert (found[..., 3, 2] > 0).sum() == 3


def test_incomplete_or_small_arms_have_no_hand():
    person = np.zeros((18, 3))
    person[[5, 6, 7]] = [(60, 100, 1), (70, 100, 1), (80, 100, 1)]
    assert openpose_hands.hand_squares(person, (200, 300)) == (None, None)
    person[[5, 6, 7], 0] *= 2
    assert openpose_hands.hand_squares(person, (200, 300))[0] == (151, 85, 30)
    person[6, 2] = 0
    assert openpose_hands.hand_squares(person, (200, 300)) == (None, None)


def test_squares_are_cropped_at_the_border():
    person = np.zeros((18, 3))
    person[[2, 3, 4]] = [(250, 10, 1), (270, 10, 1), (290, 10, 1)]
    person[[5, 6, 7]] = [(100, 10, 1), (100, 50, 1), (100, 90, 1)]
    left, right = openpose_hands.hand_squares(person, (100, 300))
    assert left == (70, 73, 26)
    assert right is None


def test_a_keypoint_is_the_maximum_of_the_region_with_the_largest_total():
    heat = np.zeros((22, 60, 60))
    heat[0, 5, 5] = 5.0
    heat[0, 40:50, 30:40] = 0.4
    heat[0, 44, 33] = 0.5
    found = openpose_hands.decode(Fields([ScaledMaps(heat, np.eye(60), np.eye(60))]))
    assert found[0].tolist() == pytest.approx([33, 44, 0.5])
    assert not found[1:].any()
