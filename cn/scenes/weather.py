"""Weather: how it changes the light, how far one sees, and the drops and flakes in the air."""

from dataclasses import dataclass, replace

import cv2
import numpy as np

from cn.scenes.geometry import Array, Vec
from cn.scenes.lighting import LIGHTS, Light
from cn.scenes.scene import Scene


@dataclass(frozen=True)
class Weather:
    """How a weather looks."""

    grey: float
    """0: the colors of the clear sky; 1: those of `_GREY_SKY`."""
    sun: float
    """Share of the sun's light that is left."""
    ambient: float
    """Factor of the light from the sky."""
    sight: float
    """Distance that fog or drops leave visible, as a multiple of that of the main things; 0: as in clear air."""
    blur: int
    """Radius of the filter that softens the shadows, texels."""


WEATHERS: dict[str, Weather] = {
    "clear": Weather(0.0, 1.0, 1.0, 0.0, 2),
    "cloudy": Weather(0.9, 0.34, 1.14, 0.0, 4),
    "fog": Weather(1.0, 0.24, 1.18, 3.2, 5),
    "rain": Weather(1.0, 0.22, 1.12, 9.0, 5),
    "snowfall": Weather(0.95, 0.26, 1.12, 6.0, 5),
}
_USUAL = {"clear": 0.50, "cloudy": 0.20, "fog": 0.13, "rain": 0.17}
_SHARES: dict[str, dict[str, float]] = {
    "snow": {"clear": 0.46, "cloudy": 0.12, "fog": 0.10, "snowfall": 0.32},
    "sand": {"clear": 0.62, "cloudy": 0.18, "fog": 0.08, "rain": 0.12},
    "room": {"clear": 1.0},
}
_GREY_SKY: dict[str, tuple[str, str, str]] = {
    "morning": ("#e3e0de", "#d0d5da", "#aeb9c4"),
    "noon": ("#dfe5ea", "#c6cfd8", "#9dabb9"),
    "dusk": ("#c7a89f", "#a58c9c", "#6f6788"),
    "night": ("#3d4a68", "#2c3755", "#1c253d"),
}
"""Horizon, middle and zenith under clouds, as shown."""
_INDOORS: dict[str, tuple[Vec, Vec, Vec]] = {
    "morning": ((1.30, 1.08, 0.80), (0.66, 0.64, 0.64), (0.40, 0.34, 0.28)),
    "noon": ((1.20, 1.17, 1.10), (0.72, 0.75, 0.80), (0.42, 0.40, 0.37)),
    "dusk": ((1.35, 0.92, 0.54), (0.50, 0.40, 0.38), (0.30, 0.20, 0.15)),
    "night": ((1.10, 0.76, 0.42), (0.34, 0.29, 0.31), (0.20, 0.14, 0.11)),
}
"""Light from the window or, after dark, from a lamp; light from all around; light from the floor."""


def weathers_of(ground: str) -> dict[str, float]:
    """The weathers that a ground may have, with their shares."""
    return _SHARES.get(ground, _USUAL)


def light_of(scene: Scene) -> Light:
    """The light of a scene in its weather, outside or in a room."""
    light = LIGHTS[scene.light]
    if scene.ground == "room":
        sun, ambient, bounce = _INDOORS[scene.light]
        return replace(light, sun=sun, ambient=ambient, bounce=bounce, elevation=52, exposure=1.0)
    weather = WEATHERS[scene.weather]
    if not weather.grey:
        return light
    sky = [
        mix(clear, grey, weather.grey)
        for clear, grey in zip((light.horizon, light.middle, light.zenith), _GREY_SKY[scene.light], strict=True)
    ]
    haze = mix(light.haze, sky[0], 0.9)
    if weather.sight and weather.sight < 4:  # one sees the same fog in all directions
        haze = mix(sky[0], sky[1], 0.4)
        sky = [haze, haze, mix(haze, sky[1], 0.7)]
    return replace(
        light,
        sun=_greyer(light.sun, weather.sun, weather.grey),
        elevation=max(light.elevation, 58),
        ambient=_greyer(light.ambient, weather.ambient, weather.grey),
        horizon=sky[0],
        middle=sky[1],
        zenith=sky[2],
        haze=haze,
    )


def _greyer(color: Vec, factor: float, grey: float) -> Vec:
    """A linear color `factor` times as bright and, for `grey` 1, with little of its hue left."""
    mean = sum(color) / 3
    red, green, blue = (factor * (c + (mean - c) * 0.6 * grey) for c in color)
    return (red, green, blue)


def mix(first: str, second: str, share: float) -> str:
    """The color `share` of the way from "#rrggbb" to another."""
    parts = [(int(first[i : i + 2], 16), int(second[i : i + 2], 16)) for i in (1, 3, 5)]
    return "#" + "".join(f"{round(a + (b - a) * share):02x}" for a, b in parts)


def haze(scene: Scene, scale: float, depth: Array) -> Array:
    """Share (n,) of the haze's color at `depth` (n,) meters."""
    away = max(scale, scene.eye[2] / 5.5)
    clear = (1 - np.exp(np.maximum(depth - np.float32(6 * scale), 0) * np.float32(-1 / (75 * scale)))) * np.float32(
        0.85
    )
    sight = WEATHERS[scene.weather].sight
    if not sight:
        return clear
    thick = 1 - np.exp(np.maximum(depth - np.float32(3.6 * away), 0) * np.float32(-1 / (5.5 * sight * away)))
    return np.maximum(clear, thick * np.float32(0.97))


def particles(scene: Scene, rgb: Array) -> None:
    """Draw rain or snow into `rgb` (h, w, 3), uint8, in place."""
    if scene.weather not in ("rain", "snowfall"):
        return
    rng = np.random.default_rng(np.random.SeedSequence([scene.seed, scene.index, 3]))
    height, width = rgb.shape[:2]
    side = max(height, width)
    cover = np.zeros((height, width), np.uint8)
    fine = min(side / 256, 1.0)
    thick = max(1, round(side / 256))
    strong = {"night": 0.5, "dusk": 0.75}.get(scene.light, 1.0)
    if scene.weather == "rain":
        slant = float(rng.uniform(-0.25, 0.25))
        for x, y, near in rng.random((230, 3)).tolist():
            long = 0.02 + 0.05 * near
            start = (round((x * 1.3 - 0.15) * side * 16), round((y * 1.1 - 0.1) * side * 16))
            end = (start[0] + round(slant * long * side * 16), start[1] + round(long * side * 16))
            shade = round(255 * (0.12 + 0.24 * near) * fine * strong)
            cv2.line(cover, start, end, shade, thick, cv2.LINE_AA, 4)
        color = np.array((225, 232, 242), np.float32)
    else:
        for x, y, near in rng.random((260, 3)).tolist():
            radius = (0.0016 + 0.0062 * near**4) * side
            shade = round(255 * (0.55 + 0.4 * near) * min(1.0, (radius / 0.7) ** 2) * (0.6 + 0.4 * strong))
            center = (round(x * side * 16), round(y * side * 16))
            cv2.circle(cover, center, round(max(radius, 0.7) * 16), shade, -1, cv2.LINE_AA, 4)
        color = np.array((250, 252, 255), np.float32)
    rows = np.nonzero(cover)
    share = cover[rows].astype(np.float32)[:, None] / 255
    rgb[rows] = np.round(rgb[rows] + (color - rgb[rows]) * share).astype(np.uint8)
