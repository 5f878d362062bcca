"""What drives. Each model stands on y = 0 around the origin and its nose points to +z; lengths in meters."""

from itertools import pairwise

import numpy as np

from cn.scenes.builder import Builder, PartColors
from cn.scenes.geometry import Rng


def car(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A toy car: a saloon, a round one or a pickup."""
    (_saloon, _beetle, _pickup)[int(rng.choice(3, p=(0.5, 0.28, 0.22)))](build, colors["body"])
    _wheels(build, "car", 0.40, (-0.64, 0.66), 0.25)
    _lights(build, "car", 0.32, 0.46, (1.14, -1.15))


def _saloon(build: Builder, body: str) -> None:
    """Bonnet, cabin and boot."""
    build.capsule((0, 0.42, -0.82), (0, 0.42, 0.86), 0.40, 0.40, body, "car", flat=0.62, facing=(0, 1, 0))
    build.box((0, 0.40, 0.0), (0.50, 0.20, 1.02), body, "car")
    _bumpers(build, body)
    screen = np.stack([(0.42, 0, 0), (0, 0.27, -0.11), (0, 0, 0.14)], axis=1)
    build.box((0, 0.82, -0.18), (0.42, 0.27, 0.44), "glass", "car")
    build.box((0, 0.82, 0.28), (1, 1, 1), "glass", "car", columns=screen)
    for z in (-0.62, 0.27):
        build.capsule((-0.38, 1.08, z), (0.38, 1.08, z), 0.055, 0.055, body, "car")
    build.box((0, 1.08, -0.175), (0.44, 0.055, 0.445), body, "car")
    for side in (-1, 1):
        build.box((side * 0.40, 0.82, -0.12), (0.035, 0.26, 0.05), body, "car")
        build.box((side * 0.40, 0.82, -0.62), (0.035, 0.26, 0.09), body, "car")


def _beetle(build: Builder, body: str) -> None:
    """Two domes and four round wings."""
    build.ellipsoid((0, 0.42, 0), (0.47, 0.34, 1.12), body, "car")
    build.ellipsoid((0, 0.70, -0.12), (0.42, 0.46, 0.70), body, "car")
    build.ellipsoid((0, 0.86, -0.12), (0.425, 0.18, 0.48), "glass", "car")
    build.ellipsoid((0, 0.86, -0.12), (0.27, 0.18, 0.70), "glass", "car")
    build.ellipsoid((0, 0.86, -0.12), (0.435, 0.24, 0.05), body, "car")
    build.box((0, 0.28, 0), (0.50, 0.05, 0.60), "hub", "car")
    for side in (-1, 1):
        for z in (-0.64, 0.66):
            build.ellipsoid((side * 0.42, 0.33, z), (0.14, 0.29, 0.38), body, "car")
    for z in (-1.14, 1.14):
        build.capsule((-0.40, 0.30, z), (0.40, 0.30, z), 0.05, 0.05, "hub", "car")


def _pickup(build: Builder, body: str) -> None:
    """A cabin in front of an open bed."""
    build.box((0, 0.40, 0.0), (0.50, 0.17, 1.05), body, "car")
    build.capsule((-0.30, 0.58, 0.78), (0.30, 0.58, 0.78), 0.17, 0.17, body, "car")
    build.box((0, 0.58, 0.62), (0.46, 0.13, 0.40), body, "car")
    _bumpers(build, body)
    screen = np.stack([(0.42, 0, 0), (0, 0.26, -0.10), (0, 0, 0.13)], axis=1)
    build.box((0, 0.84, 0.05), (0.43, 0.26, 0.30), "glass", "car")
    build.box((0, 0.84, 0.36), (1, 1, 1), "glass", "car", columns=screen)
    build.box((0, 1.11, 0.06), (0.45, 0.05, 0.36), body, "car")
    build.box((0, 0.84, -0.24), (0.45, 0.26, 0.06), body, "car")
    for side in (-1, 1):
        build.box((side * 0.46, 0.66, -0.62), (0.035, 0.13, 0.42), body, "car")
        build.box((side * 0.42, 0.84, 0.10), (0.03, 0.26, 0.04), body, "car")
    build.box((0, 0.66, -1.02), (0.48, 0.13, 0.035), body, "car")


def _bumpers(build: Builder, body: str) -> None:
    """The rounded ends of a car."""
    for z in (-1.02, 1.02):
        build.capsule((-0.42, 0.40, z), (0.42, 0.40, z), 0.20, 0.20, body, "car", flat=0.7)
        build.capsule((-0.44, 0.27, z * 1.09), (0.44, 0.27, z * 1.09), 0.06, 0.06, "hub", "car")


def _wheels(build: Builder, label: str, x: float, places: tuple[float, ...], radius: float, hub: str = "hub") -> None:
    """A wheel on each side at every z of `places`; their inner faces are `x` from the middle."""
    for side in (-1, 1):
        for z in places:
            build.frustum((side * x, radius, z), (side * (x + 0.17), radius, z), radius, radius, "tyre", label)
            near, far = (side * (x + 0.15), radius, z), (side * (x + 0.185), radius, z)
            build.frustum(near, far, radius * 0.55, radius * 0.48, hub, label)


def _lights(build: Builder, label: str, x: float, y: float, ends: tuple[float, float]) -> None:
    """Two head lights at the front end and two red ones at the rear."""
    for side in (-1, 1):
        build.ellipsoid((side * x, y, ends[0]), (0.10, 0.10, 0.05), "bulb", label, glow=1.0)
        build.ellipsoid((side * x, y, ends[1]), (0.08, 0.07, 0.04), "red", label, glow=0.4)


def van(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A rounded van with a pale upper half."""
    body = colors["body"]
    upper = "cream" if body not in ("white", "yellow") else "grey"
    build.box((0, 0.55, 0), (0.52, 0.33, 1.12), body, "van")
    build.capsule((0, 0.92, -0.80), (0, 0.92, 0.68), 0.50, 0.48, upper, "van", flat=0.95, facing=(0, 1, 0))
    build.box((0, 0.98, -0.06), (0.50, 0.24, 1.0), upper, "van")
    build.capsule((-0.36, 0.60, 1.10), (0.36, 0.60, 1.10), 0.18, 0.18, body, "van", flat=0.6)
    screen = np.stack([(0.44, 0, 0), (0, 0.20, -0.09), (0, 0, 0.12)], axis=1)
    build.box((0, 1.02, 0.96), (1, 1, 1), "glass", "van", columns=screen)
    for z, half in ((0.55, 0.22), (-0.02, 0.24), (-0.62, 0.24)):
        build.box((0, 1.04, z), (0.515, 0.16, half), "glass", "van")
    build.box((0, 0.28, 0), (0.53, 0.05, 1.16), "hub", "van")
    _wheels(build, "van", 0.40, (-0.70, 0.72), 0.26)
    _lights(build, "van", 0.36, 0.58, (1.21, -1.14))


def bus(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A long bus with a row of windows and a white stripe."""
    body = colors["body"]
    build.box((0, 0.80, 0), (0.54, 0.56, 1.48), body, "bus")
    build.capsule((0, 1.32, -1.05), (0, 1.32, 1.05), 0.50, 0.50, body, "bus", flat=0.28, facing=(0, 1, 0))
    build.box((0, 0.62, 0), (0.55, 0.05, 1.49), "cream" if body != "white" else "blue", "bus")
    for z in (-1.15, -0.66, -0.17, 0.32, 0.81):
        build.box((0, 1.02, z), (0.55, 0.20, 0.20), "glass", "bus")
    build.box((0.30, 0.78, 1.24), (0.255, 0.44, 0.13), "glass", "bus")
    build.box((-0.30, 0.78, 1.24), (0.255, 0.44, 0.13), "glass", "bus")
    build.box((0, 1.02, 1.45), (0.48, 0.24, 0.05), "glass", "bus")
    build.box((0, 0.28, 0), (0.55, 0.06, 1.50), "dark", "bus")
    _wheels(build, "bus", 0.42, (-0.85, 0.86), 0.28)
    _lights(build, "bus", 0.36, 0.46, (1.49, -1.49))


def truck(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A truck: cab in front, cargo box or tipping bed behind."""
    cab, load = colors["cab"], colors["load"]
    build.box((0, 0.36, -0.05), (0.40, 0.09, 1.40), "dark", "truck")
    build.box((0, 0.72, 0.98), (0.50, 0.34, 0.40), cab, "truck")
    build.capsule((-0.36, 0.62, 1.34), (0.36, 0.62, 1.34), 0.14, 0.14, cab, "truck", flat=0.6)
    build.box((0, 1.22, 0.88), (0.48, 0.20, 0.30), "glass", "truck")
    build.box((0, 1.42, 0.86), (0.50, 0.06, 0.36), cab, "truck")
    build.box((0, 1.22, 0.60), (0.50, 0.22, 0.06), cab, "truck")
    build.box((0, 1.05, 0.92), (0.51, 0.04, 0.34), cab, "truck")
    if rng.random() < 0.65:
        build.box((0, 1.08, -0.50), (0.56, 0.62, 0.98), load, "truck")
        build.box((0, 0.50, -0.50), (0.57, 0.05, 1.0), "hub", "truck")
    else:
        build.box((0, 0.80, -0.50), (0.56, 0.32, 0.98), load, "truck")
        build.ellipsoid((0, 1.08, -0.50), (0.50, 0.32, 0.86), "stone_warm", "truck")
        for z in (-1.0, -0.5, 0.0):
            build.box((0, 0.80, z), (0.58, 0.32, 0.04), "hub", "truck")
    _wheels(build, "truck", 0.40, (-1.05, -0.48, 0.95), 0.27)
    _lights(build, "truck", 0.36, 0.58, (1.42, -1.48))


def tractor(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A tractor: big wheels behind, small ones in front, a cab of glass."""
    body = colors["body"]
    hub = "yellow" if body != "yellow" else "red"
    build.box((0, 0.72, 0.52), (0.26, 0.20, 0.56), body, "truck")
    build.capsule((0, 0.88, 0.0), (0, 0.88, 0.92), 0.24, 0.22, body, "truck", flat=0.55, facing=(0, 1, 0))
    build.box((0, 0.72, 1.07), (0.20, 0.16, 0.03), "dark", "truck")
    build.box((0, 0.62, -0.40), (0.30, 0.24, 0.38), body, "truck")
    build.box((0, 1.12, -0.36), (0.32, 0.30, 0.34), "glass", "truck")
    build.box((0, 1.46, -0.36), (0.40, 0.05, 0.44), body, "truck")
    for side in (-1, 1):
        for z in (-0.70, -0.04):
            build.capsule((side * 0.32, 0.85, z), (side * 0.32, 1.42, z), 0.03, 0.03, body, "truck")
        build.capsule((side * 0.44, 0.98, -0.72), (side * 0.44, 1.04, -0.30), 0.13, 0.13, body, "truck", flat=0.5)
        build.ellipsoid((side * 0.16, 0.92, 1.05), (0.07, 0.07, 0.05), "bulb", "truck", glow=1.0)
    build.capsule((0.14, 1.0, 0.62), (0.14, 1.42, 0.62), 0.045, 0.045, "metal", "truck")
    _wheels(build, "truck", 0.34, (-0.50,), 0.50, hub)
    _wheels(build, "truck", 0.28, (0.78,), 0.30, hub)


def train(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A steam engine with boiler, chimney and cab."""
    body, trim = colors["body"], colors["trim"]
    build.box((0, 0.42, 0), (0.40, 0.10, 1.30), "dark", "train")
    build.frustum((0, 0.90, -0.40), (0, 0.90, 1.12), 0.40, 0.40, body, "train")
    build.frustum((0, 0.90, 1.10), (0, 0.90, 1.20), 0.41, 0.36, "metal", "train")
    for z in (0.10, 0.66):
        build.frustum((0, 0.90, z), (0, 0.90, z + 0.07), 0.415, 0.415, trim, "train")
    build.frustum((0, 1.20, 0.88), (0, 1.70, 0.88), 0.12, 0.20, "dark", "train")
    build.frustum((0, 1.66, 0.88), (0, 1.74, 0.88), 0.24, 0.24, trim, "train")
    build.capsule((0, 1.22, 0.30), (0, 1.36, 0.30), 0.17, 0.15, trim, "train")
    build.box((0, 0.92, -0.84), (0.48, 0.42, 0.44), body, "train")
    for x in (-0.44, 0.44):
        for z in (-1.22, -0.46):
            build.box((x, 1.48, z), (0.04, 0.18, 0.05), body, "train")
    build.box((0, 1.70, -0.84), (0.56, 0.05, 0.54), trim, "train")
    build.ellipsoid((0, 1.28, 1.08), (0.11, 0.11, 0.09), "bulb", "train", glow=1.0)
    for k in range(3):
        build.frustum(
            (0, 0.12 + 0.1 * k, 1.20), (0, 0.2 + 0.1 * k, 1.20), 0.5 - 0.08 * k, 0.46 - 0.08 * k, trim, "train"
        )
    _wheels(build, "train", 0.36, (-0.86, -0.26, 0.34, 0.90), 0.28, trim)
    for side in (-1, 1):
        build.capsule((side * 0.56, 0.30, -0.86), (side * 0.56, 0.30, 0.90), 0.035, 0.035, "hub", "train")


def bicycle(build: Builder, colors: PartColors, rng: Rng) -> None:
    """A bicycle: wheels with spokes, a frame of tubes, saddle and handlebar."""
    frame = colors["body"]
    radius, front, back = 0.36, np.array((0, 0.40, 0.58)), np.array((0, 0.40, -0.52))
    for center in (front, back):
        rim = [center + radius * np.array((0, np.cos(a), np.sin(a))) for a in np.linspace(0, 2 * np.pi, 13)]
        for a, b in pairwise(rim):
            build.capsule(a, b, 0.036, 0.036, "tyre", "bicycle")
        for spoke in rim[:6:2]:
            build.capsule(spoke, 2 * center - spoke, 0.010, 0.010, "hub", "bicycle")
        build.capsule(np.subtract(center, (0.05, 0, 0)), np.add(center, (0.05, 0, 0)), 0.045, 0.045, "metal", "bicycle")
    crank, seat, head = np.array((0, 0.40, -0.04)), np.array((0, 0.86, -0.18)), np.array((0, 0.86, 0.42))
    for a, b in ((crank, seat), (crank, head), (seat - (0, 0.06, 0), head), (back, crank), (back, seat - (0, 0.08, 0))):
        build.capsule(a, b, 0.032, 0.032, frame, "bicycle")
    build.capsule(front, np.add(head, (0, 0.16, -0.05)), 0.030, 0.030, frame, "bicycle")
    build.capsule((-0.24, 1.04, 0.32), (0.24, 1.04, 0.32), 0.028, 0.028, "dark", "bicycle")
    build.capsule((0, 0.96, -0.30), (0, 0.96, -0.08), 0.085, 0.045, "dark", "bicycle", flat=0.6, facing=(0, 1, 0))
    build.capsule(seat, np.add(seat, (0, 0.08, 0)), 0.025, 0.025, "metal", "bicycle")
    build.frustum(np.subtract(crank, (0.06, 0, 0)), np.add(crank, (0.06, 0, 0)), 0.10, 0.10, "hub", "bicycle")
    build.capsule((0.10, 0.40, -0.04), (0.10, 0.24, 0.04), 0.022, 0.022, "metal", "bicycle")
    build.capsule((-0.10, 0.40, -0.04), (-0.10, 0.56, -0.12), 0.022, 0.022, "metal", "bicycle")
