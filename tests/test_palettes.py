"""Segmentation colours, depth maps and normal maps: the conventions of existing ControlNets."""

import numpy as np
import pytest

from cn.detect.depthmap import depth_to_map, normals_to_map
from cn.detect.palettes import ADE20K, paint


def test_the_ade20k_table():
    assert len(ADE20K.entries) == 150
    assert len(set(ADE20K.names)) == 150
    known = {"wall": (120, 120, 120), "sky": (6, 230, 230), "tree": (4, 200, 3), "person": (150, 5, 61),
             "car": (0, 102, 200), "grass": (4, 250, 7), "clock": (102, 255, 0), "flag": (92, 0, 255)}  # fmt: skip
    for name, colour in known.items():
        assert tuple(ADE20K.colours[ADE20K.id_of(name)]) == colour
    assert (ADE20K.id_of("wall"), ADE20K.id_of("person"), ADE20K.id_of("flag")) == (0, 12, 149)
    # One pair of classes shares a colour; the published table is like that.
    _, counts = np.unique(ADE20K.colours, axis=0, return_counts=True)
    assert sorted(counts)[-2:] == [1, 2]
    assert tuple(ADE20K.colours[ADE20K.id_of("road")]) == tuple(ADE20K.colours[ADE20K.id_of("skyscraper")])
    with pytest.raises(KeyError, match="dragon"):
        ADE20K.id_of("dragon")


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int64])
def test_painting(dtype):
    ids = np.arange(150).reshape(10, 15).astype(dtype)
    painted = paint(ids, ADE20K)
    assert painted.dtype == np.uint8
    assert np.array_equal(painted.reshape(150, 3), ADE20K.colours)


def test_what_has_no_class_is_black():
    ids = np.array([[-1, 150, 255, 0]], np.int32)
    assert paint(ids, ADE20K).tolist() == [[[0, 0, 0]] * 3 + [[120, 120, 120]]]


def test_near_is_white_and_the_sky_black():
    depth = np.array([[1.0, 2.0, 4.0], [np.inf, np.nan, -1.0]])
    assert depth_to_map(depth).tolist() == [[255, 127, 63], [0, 0, 0]]


def test_without_sky_the_farthest_is_black():
    depth = np.array([[1.0, 2.0, 4.0]])
    # Inverse depth 1, 1/2, 1/4, stretched: (1/2 − 1/4) / (1 − 1/4) = 1/3.
    assert depth_to_map(depth).tolist() == [[255, 85, 0]]
    assert not depth_to_map(np.full((3, 3), 5.0)).any()
    assert not depth_to_map(np.full((3, 3), np.inf)).any()


def test_the_map_does_not_depend_on_the_unit_of_length():
    depth = np.random.default_rng(0).uniform(1, 30, (40, 40))
    difference = depth_to_map(depth).astype(int) - depth_to_map(depth * 1000)
    assert np.abs(difference).max() <= 1
    assert depth_to_map(depth).max() == 255


def test_normals_are_coloured_red_left_green_up_blue_front():
    normals = np.array([[[-1, 0, 0], [1, 0, 0], [0, 1, 0], [0, -1, 0], [0, 0, 1], [0, 0, 0]]], float)
    assert normals_to_map(normals).tolist() == [
        [[255, 127, 127], [0, 127, 127], [127, 255, 127], [127, 0, 127], [127, 127, 255], [127, 127, 255]]
    ]


def test_normals_have_the_signs_of_the_gradients_of_inverse_depth():
    """The paper's extended normals: (∂d/∂x, ∂d/∂y, a) of inverse depth d, on a sphere in front of the camera."""
    y, x = np.mgrid[-1.5:1.5:61j, -1.5:1.5:61j]
    inside = x**2 + y**2 < 0.81
    z = np.sqrt(np.where(inside, 1 - x**2 - y**2, 1))
    inverse = 1 / (4 - z)
    colours = normals_to_map(np.stack([x, -y, z], axis=-1)).astype(int) - 127
    along_x, along_y = np.gradient(inverse, axis=1), np.gradient(inverse, axis=0)
    core = (x**2 + y**2 < 0.5) & (np.abs(x) > 0.1) & (np.abs(y) > 0.1)
    assert (np.sign(colours[core][:, 0]) == np.sign(along_x[core])).all()
    assert (np.sign(colours[core][:, 1]) == np.sign(along_y[core])).all()
