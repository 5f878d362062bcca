"""Grounds, lights and weather: all combinations, and what they leave as it is."""

from dataclasses import replace

import numpy as np
import pytest

from cn.scenes import Scene, View, changed, describe, recolored, render
from cn.scenes import vocabulary as words
from cn.scenes.backdrop import BACKDROPS, backdrop
from cn.scenes.choose_scene import GROUND_NAMES, LIGHT_NAMES
from cn.scenes.classes import CLASSES
from cn.scenes.ground import GROUNDS
from cn.scenes.lighting import LIGHTS
from cn.scenes.texture import fractal
from cn.scenes.weather import WEATHERS, particles, weathers_of

SIZE = 64
LABELS = ("depth", "normals", "classes", "coco", "keypoints")


def first(condition) -> Scene:
    return next(scene for scene in (describe(8, i) for i in range(500)) if condition(scene))


@pytest.fixture(scope="module")
def everywhere() -> Scene:
    """A scene with a person that may be on every ground."""
    return first(
        lambda s: s.items[0].person and all(changed(s, ground=g, weather="clear") for g in GROUND_NAMES) and not s.table
    )


@pytest.fixture(scope="module")
def versions(everywhere: Scene) -> dict[tuple[str, str, str], View]:
    """Its images on every ground, in every light and weather."""
    views = {}
    for ground in GROUND_NAMES:
        for light in LIGHT_NAMES:
            for weather in weathers_of(ground):
                scene = changed(everywhere, ground=ground, light=light, weather=weather)
                assert scene is not None
                views[ground, light, weather] = render(scene, SIZE)
    return views


def test_every_ground_light_and_weather_gives_an_image_of_its_own(versions: dict[tuple[str, str, str], View]):
    assert len(versions) == (len(GROUND_NAMES) - 1) * 4 * 4 + 4
    images = [view.rgb.astype(float) for view in versions.values()]
    assert all(20 < image.mean() < 235 and image.std() > 8 for image in images)
    for a, image in enumerate(images):
        for other in images[:a]:
            assert np.abs(image - other).mean() > 1.0


def test_light_and_weather_leave_the_labels_as_they_are(versions: dict[tuple[str, str, str], View]):
    for (ground, _, _), view in versions.items():
        base = versions[ground, "noon", "clear"]
        for name in LABELS:
            np.testing.assert_array_equal(getattr(view, name), getattr(base, name))


def test_the_main_things_stay_where_they_are_on_another_ground(versions: dict[tuple[str, str, str], View]):
    base = versions["meadow", "noon", "clear"]
    for view in versions.values():
        np.testing.assert_allclose(view.keypoints[..., :2], base.keypoints[..., :2], atol=0.02)
        person = (view.classes == CLASSES["person"]) & (base.classes == CLASSES["person"])
        assert person.sum() > 0.98 * (base.classes == CLASSES["person"]).sum()


def test_every_ground_is_labelled(versions: dict[tuple[str, str, str], View]):
    for (ground, _, _), view in versions.items():
        assert (view.classes == CLASSES[GROUNDS[ground].label]).mean() > 0.05
    assert not (versions["room", "noon", "clear"].classes == CLASSES["sky"]).any()
    assert (versions["room", "noon", "clear"].classes == CLASSES["wall"]).mean() > 0.2
    assert (versions["street", "noon", "clear"].classes == CLASSES["sidewalk"]).any()
    assert (versions["forest", "noon", "clear"].classes == CLASSES["tree"]).mean() > 0.1


def test_far_things_fade_in_fog(versions: dict[tuple[str, str, str], View]):
    clear, fog = (versions["meadow", "noon", w] for w in ("clear", "fog"))
    far = np.isfinite(clear.depth) & (clear.depth > 25)
    near = clear.classes == CLASSES["person"]
    assert fog.rgb[far].std(0).max() < 0.5 * clear.rgb[far].std(0).max()
    assert fog.rgb[near].std(0).max() > 0.5 * clear.rgb[near].std(0).max()


def test_wet_ground_is_darker(versions: dict[tuple[str, str, str], View]):
    ground = versions["street", "noon", "cloudy"].classes == CLASSES["road"]
    wet, dry = (versions["street", "noon", w].rgb[ground].mean() for w in ("rain", "cloudy"))
    assert wet < dry


def test_only_rain_and_snow_fall(everywhere: Scene):
    for weather in WEATHERS:
        image = np.full((128, 160, 3), 60, np.uint8)
        particles(replace(everywhere, weather=weather), image)
        brighter = (image > 60).all(-1)
        assert not (image < 60).any()
        assert (0.02 < brighter.mean() < 0.4) == brighter.any() == (weather in ("rain", "snowfall"))
        assert weather != "snowfall" or image.max() > 200


def test_the_same_drops_fall_again(everywhere: Scene):
    for ground, weather in (("meadow", "rain"), ("snow", "snowfall")):
        scene = changed(everywhere, ground=ground, weather=weather)
        assert scene is not None
        np.testing.assert_array_equal(render(scene, 48).rgb, render(scene, 48).rgb)


def test_a_change_keeps_everything_else(everywhere: Scene):
    base = replace(everywhere, weather="clear")
    assert changed(base) == base
    assert changed(base, light="dusk") == replace(base, light="dusk")
    assert changed(base, ground="snow") == replace(base, ground="snow")
    assert changed(base, ground="meadow", weather="fog") == replace(base, ground="meadow", weather="fog")
    there = changed(base, ground="water")
    assert there is not None
    assert there.items[0].position[1] > 0
    back = changed(there, ground=base.ground)
    assert back is not None
    np.testing.assert_allclose(back.eye, base.eye)


def test_what_cannot_be_is_none():
    boat = first(lambda s: any(i.kind == "boat" for i in s.items))
    assert changed(boat, ground="meadow", weather="clear") is None
    table = first(lambda s: s.table is not None and s.weather == "clear")
    assert changed(table, ground="water") is None
    assert changed(replace(table, weather="rain"), ground="room") is None
    assert changed(replace(table, ground="meadow"), weather="snowfall") is None
    with pytest.raises(KeyError, match="moon"):
        changed(table, ground="moon")


def test_another_color_of_one_part_changes_nothing_else():
    scene = first(lambda s: s.items[0].person and any(i.colors for i in s.items) and not s.table)
    view = render(scene, SIZE)
    person, thing = scene.items[0], next(i for i in scene.items if i.colors)
    for item, part in ((person, "top"), (thing, thing.colors[0][0])):
        old = item.color(part) or item.person.top
        color = "teal" if old != "teal" else "orange"
        new = recolored(scene, item, part, color)
        again = render(new, SIZE)
        for name in LABELS:
            np.testing.assert_array_equal(getattr(view, name), getattr(again, name))
        differs = (view.rgb != again.rgb).any(-1)
        assert 0.001 < differs.mean() < 0.6
        assert recolored(new, new.items[scene.items.index(item)], part, old) == scene
    with pytest.raises(ValueError, match="wings"):
        recolored(scene, thing, "wings", "red")
    with pytest.raises(ValueError, match="mauve"):
        recolored(scene, thing, thing.colors[0][0], "mauve")
    with pytest.raises(ValueError, match="not one of"):
        recolored(scene, replace(thing, scale=9.0), thing.colors[0][0], "red")


def test_all_tables_speak_of_the_same_grounds_lights_and_weathers():
    assert set(GROUNDS) == set(GROUND_NAMES) == set(BACKDROPS) == set(words.GROUND) - {"raft"}
    assert set(words.PLACE) == set(words.GROUND)
    assert set(LIGHTS) == set(LIGHT_NAMES) == set(words.LIGHT) == set(words.LIGHT_PLAIN) == set(words.MOOD_PLAIN)
    assert set(WEATHERS) == set(words.WEATHER)
    for shares in (*BACKDROPS.values(), *map(weathers_of, GROUND_NAMES)):
        assert sum(shares.values()) == pytest.approx(1)


def test_backdrops_turn_up_and_have_words():
    seen = {backdrop(describe(0, i)) for i in range(400)}
    assert seen == {name for names in BACKDROPS.values() for name in names} | {"mountains"}
    assert seen == set(words.BACKDROP)


def test_noise_repeats_and_blurs_with_the_footprint():
    x, y = np.random.default_rng(0).uniform(-3, 3, (2, 4000)).astype(np.float32)
    fine = fractal(x, y, 0.0)
    np.testing.assert_allclose(fractal(x + 2, y - 1, 0.0), fine, atol=2e-3)
    spread = [fractal(x, y, wide).std() for wide in (0.0, 0.05, 0.2, 1.0)]
    assert spread == sorted(spread, reverse=True)
    assert spread[0] > 0.3
    assert spread[-1] < 0.2
