"""Normals from measured depth: synthetic planes and spheres, and a real photograph."""

import numpy as np
import pytest

from cn.detect.surfaces.camera import Camera, surface_normals
from tests.helpers.depth_cases import (
    CAMERA,
    SIZE,
    degrees,
    depth_from_disparity,
    plane_depth,
    points_from_depth,
    sphere_depth,
    unit,
)

MIDDLEBURY = {"focal": 994.978, "baseline": 193.001, "offset": 31.086}
"""Of scikit-image's motorcycle: pixels, millimeters, pixels."""


@pytest.mark.parametrize("normal", [(0, 0, 1), (0, 1, 0.3), (0.7, 0, 0.7), (-0.5, -0.4, 0.6), (0.05, 0.9, 0.1)])
@pytest.mark.parametrize("radius", [1, 2, 4])
def test_normals_of_planes_are_exact(normal, radius):
    depth = plane_depth(unit(*normal), 2.0)
    found = surface_normals(depth, CAMERA, radius=radius)
    seen = np.isfinite(depth) & (depth < 12)
    assert seen.sum() > 1000
    assert degrees(found[seen], unit(*normal)).max() < 0.01


def test_normals_of_a_sphere_are_within_a_degree():
    center = np.array([0.2, -0.1, -3.0])
    depth = sphere_depth(center, 0.9)
    true = (points_from_depth(depth, CAMERA) - center) / 0.9
    found = surface_normals(depth, CAMERA, radius=1)
    # Near the outline the slope changes too fast for three pixels.
    rays = CAMERA.rays(*SIZE)
    core = np.isfinite(depth) & (-(true * rays).sum(axis=-1) > 0.5 * np.linalg.norm(rays, axis=-1))
    assert core.sum() > 4000
    assert degrees(found[core], true[core]).max() < 1.0


def test_an_edge_separates_the_surfaces_on_both_sides():
    near, far = plane_depth(unit(0.6, 0, 0.8), 2.0), plane_depth(unit(-0.3, 0.5, 0.8), 4.0)
    assert (near < 0.9 * far)[:, 70:90].all()
    depth = np.where(np.arange(SIZE[1]) < 80, near, far)
    found = surface_normals(depth, CAMERA)
    assert degrees(found[:, 70:80], unit(0.6, 0, 0.8)).max() < 0.01
    assert degrees(found[:, 80:90], unit(-0.3, 0.5, 0.8)).max() < 0.01


def test_holes_are_unknown_and_do_not_affect_their_neighbors():
    depth = plane_depth(unit(0.3, 0.3, 0.9), 2.0)
    holes = np.random.default_rng(0).random(SIZE) < 0.3
    depth[holes] = np.random.default_rng(1).choice([np.nan, np.inf, 0.0, -1.0], holes.sum())
    found = surface_normals(depth, CAMERA)
    assert not found[holes].any()
    assert degrees(found[~holes], unit(0.3, 0.3, 0.9)).max() < 0.01


def test_too_few_neighbors_give_no_normal():
    depth = np.full((9, 9), np.nan)
    depth[4, 4] = 2.0
    assert not surface_normals(depth, CAMERA).any()
    depth[4, :] = 2.0
    assert not surface_normals(depth, CAMERA).any(), "a line is no surface"
    depth[5, 4] = 2.0
    assert surface_normals(depth, CAMERA)[4, 4].any()
    assert not surface_normals(np.full((1, 1), 2.0), CAMERA).any()


def test_rays_project_back_to_their_pixels():
    depth = np.random.default_rng(0).uniform(1, 9, SIZE)
    x, y, z = np.moveaxis(points_from_depth(depth, CAMERA), -1, 0)
    assert np.allclose(z, -depth)
    v, u = np.indices(SIZE)
    assert np.allclose(CAMERA.cx + CAMERA.fx * x / depth, u)
    assert np.allclose(CAMERA.cy - CAMERA.fy * y / depth, v)
    depth[3, 4] = 0
    assert np.isnan(points_from_depth(depth, CAMERA)[3, 4]).all()


def test_disparity_to_depth():
    disparity = np.array([[68.914, np.nan, np.inf], [-31.086, -40.0, 0.0]])
    depth = depth_from_disparity(disparity, **MIDDLEBURY)
    assert depth[0, 0] == pytest.approx(1.93001 * 994.978)
    assert np.isnan(depth[0, 1:]).all()
    assert np.isinf(depth[1, :2]).all()
    assert depth[1, 2] == pytest.approx(193.001 * 994.978 / 31.086)


def test_the_floor_of_a_real_photograph_is_a_plane():
    """Middlebury's motorcycle, whose disparity was measured: two far ends of the floor and a box on a shelf."""
    data = pytest.importorskip("skimage.data")
    depth = depth_from_disparity(data.stereo_motorcycle()[2], **MIDDLEBURY)
    assert 2000 < np.nanmin(depth) < np.nanmax(depth) < 5100, "millimeters"
    camera = Camera(MIDDLEBURY["focal"], MIDDLEBURY["focal"], 311.193, 254.877)
    found, points = surface_normals(depth, camera), points_from_depth(depth, camera)
    fitted = {}
    for name, place in {
        "front": np.s_[440:495, 20:300],
        "left": np.s_[330:430, 10:100],
        "box": np.s_[60:90, 535:580],
    }.items():
        here = points[place][np.isfinite(points[place]).all(axis=-1)]
        normal = np.linalg.svd(here - here.mean(axis=0), full_matrices=False)[2][2]
        normal *= -np.sign(normal @ here.mean(axis=0))
        fitted[name] = normal
        seen = np.abs(found[place]).max(axis=-1) > 0
        assert seen.mean() > 0.9
        off = degrees(found[place][seen], normal)
        assert np.median(off) < 2.5
        assert np.percentile(off, 90) < 4
        mean = found[place][seen].mean(axis=0)
        assert degrees(unit(*mean), normal) < 0.5
    assert fitted["front"][1] > 0.95, "the floor faces up"
    assert degrees(fitted["front"], fitted["left"]) < 1
    assert abs(degrees(fitted["front"], fitted["box"]) - 90) < 5, "boxes stand upright"
