"""Every closed-form intersection against a march along the ray through the solid's definition."""

import numpy as np
import pytest

from cn.scenes.builder import Builder
from cn.scenes.geometry import frame_along, look_at, parallel, roll, tilt, turn
from cn.scenes.lighting import shadow_map
from cn.scenes.primitives import BOX, FRUSTUM, HITS, ROUND_CONE, SPHERE, Size, corners, normal

SOLIDS: list[tuple[int, Size]] = [
    (SPHERE, (0.0, 0.0, 0.0)),
    (BOX, (0.0, 0.0, 0.0)),
    (FRUSTUM, (1.0, 0.0, 0.0)),
    (FRUSTUM, (0.0, 0.0, 0.0)),
    (FRUSTUM, (0.4, 0.0, 0.0)),
    (FRUSTUM, (1.3, 0.0, 0.0)),
    (ROUND_CONE, (1.2, 0.5, 0.5)),
    (ROUND_CONE, (1.0, 0.6, 0.3)),
    (ROUND_CONE, (0.9, 0.2, 0.7)),
]


def inside(kind: int, size: Size, p: np.ndarray) -> np.ndarray:
    """The definition in the module's docstring: which points (..., 3) are in the solid."""
    x, y, z = np.moveaxis(p, -1, 0)
    if kind == SPHERE:
        return x * x + y * y + z * z <= 1
    if kind == BOX:
        return np.abs(p).max(-1) <= 1
    if kind == FRUSTUM:
        radius = (1 + size[0]) / 2 + (size[0] - 1) / 2 * y
        return (np.abs(y) <= 1) & (x * x + z * z <= radius * radius)
    length, r0, r1 = size
    share = np.linspace(0, 1, 81)  # the hull is the union of balls along the axis
    gap = np.hypot(np.hypot(x, z)[..., None], y[..., None] - share * length) - (r0 + (r1 - r0) * share)
    return gap.min(-1) <= 0


def rays(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Rays from a shell of radius 4 towards points about the origin."""
    rng = np.random.default_rng(seed)
    start = rng.normal(size=(count, 3))
    start *= 4 / np.linalg.norm(start, axis=1, keepdims=True)
    direction = rng.uniform(-1.3, 1.3, (count, 3)) - start
    return start, direction * rng.uniform(0.3, 2.0, (count, 1))


@pytest.mark.parametrize(("kind", "size"), SOLIDS)
def test_first_hit_is_where_a_march_enters(kind: int, size: Size):
    start, direction = rays(200, seed=kind)
    with np.errstate(all="ignore"):
        t = HITS[kind](tuple(start.T), tuple(direction.T), size)
    reach = 8 / np.linalg.norm(direction, axis=1)
    steps = np.linspace(0, 1, 2001)[None] * reach[:, None]
    within = np.concatenate(
        [
            inside(kind, size, start[a : a + 50, None] + steps[a : a + 50, :, None] * direction[a : a + 50, None])
            for a in range(0, 200, 50)
        ]
    )
    marched = np.where(within.any(1), np.take_along_axis(steps, within.argmax(1)[:, None], 1)[:, 0], np.nan)
    both = np.isfinite(t) & np.isfinite(marched)
    assert both.sum() > 30
    assert (np.isfinite(t) != np.isfinite(marched)).sum() <= 4  # a march may step over a grazed edge
    tolerance = 1.2 * reach[both] / 2000 + 1e-6
    assert (np.abs(t[both] - marched[both]) <= tolerance).mean() > 0.98


@pytest.mark.parametrize(("kind", "size"), SOLIDS)
def test_normals_point_out_and_away_from_the_surface(kind: int, size: Size):
    start, direction = rays(300, seed=7 + kind)
    with np.errstate(all="ignore"):
        t = HITS[kind](tuple(start.T), tuple(direction.T), size)
    hit = np.isfinite(t)
    p = start[hit] + t[hit, None] * direction[hit]
    n = normal(kind, p.T, size).T
    n = n / np.linalg.norm(n, axis=1, keepdims=True)
    assert (np.einsum("nc,nc->n", n, direction[hit]) <= 1e-6).all()
    assert not inside(kind, size, p + 0.02 * n).any()
    assert inside(kind, size, p - 0.02 * n).mean() > 0.97


@pytest.mark.parametrize(("kind", "size"), SOLIDS)
def test_corners_enclose_the_solid(kind: int, size: Size):
    box = corners(kind, size)
    points = np.random.default_rng(0).uniform(-2, 2.5, (20_000, 3))
    points = points[inside(kind, size, points)]
    assert (points >= box.min(0) - 1e-9).all()
    assert (points <= box.max(0) + 1e-9).all()


def test_rotations_are_rotations():
    for matrix in (
        turn(0.7),
        tilt(-1.1),
        roll(2.0),
        frame_along(np.array([1.0, 2.0, -0.5])),
        frame_along(np.array([0, 0, 2.0])),
    ):
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-12)
        assert np.linalg.det(matrix) == pytest.approx(1)


def test_depth_is_meters_along_the_axis():
    camera = look_at(np.array([0.0, 1.5, 6.0]), np.array([0.0, 1.0, 0.0]), 0.7, 120, 200)
    points = np.random.default_rng(1).uniform(-1.5, 1.5, (50, 3))
    x, y, depth = camera.project(points)
    origin, direction = camera.rays(x.astype(np.float32), y.astype(np.float32))
    np.testing.assert_allclose((origin + depth * direction).T, points, atol=2e-5)
    ahead = np.array([0.0, -0.5, -6.0]) / np.hypot(0.5, 6.0)
    np.testing.assert_allclose(depth, (points - np.array([0.0, 1.5, 6.0])) @ ahead, atol=1e-9)


def test_parallel_light_projects_along_itself():
    light = np.array([0.3, 0.8, 0.5])
    camera = parallel(light, np.zeros(3), (2.0, 2.0), 64)
    a, b = camera.project(np.array([0.2, 0.1, 0.3])), camera.project(np.array([0.2, 0.1, 0.3]) + 0.7 * light)
    assert a[0] == pytest.approx(b[0])
    assert a[1] == pytest.approx(b[1])
    assert a[2] > b[2]


def test_shadows_fall_where_the_light_is_stopped_and_nowhere_else():
    build = Builder()
    build.ellipsoid((0.0, 1.0, 0.0), 0.5, "red", "ball")
    with np.errstate(invalid="ignore"):  # a miss is NaN
        shadows = shadow_map(np.array([0.0, 1.0, 0.0]) + 1e-3, build.solids, np.zeros(3), 2.0, 128, 2)
    ground = np.array([[0.0, 0.0, 0.0], [0.3, 0.0, 0.0], [1.2, 0.0, 0.0], [-1.0, 0.0, 1.0]], np.float32)
    lit = shadows.lit(ground.T, np.ones(4, bool))
    assert (lit[:2] < 0.02).all()
    assert (lit[2:] > 0.98).all()
    assert shadows.lit(np.array([[0.0], [1.51], [0.0]], np.float32), np.ones(1, bool))[0] > 0.9
    rim = shadows.lit(
        np.stack([np.linspace(0.3, 0.7, 60), np.zeros(60), np.zeros(60)]).astype(np.float32), np.ones(60, bool)
    )
    assert (np.diff(rim) > -0.02).all()
    assert ((rim > 0.1) & (rim < 0.9)).sum() > 5  # soft
