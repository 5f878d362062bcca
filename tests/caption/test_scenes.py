"""The captioner of the built-in world: its words are those of the captions, and most of them are right."""

from collections import Counter

import numpy as np
import pytest
import torch

from cn.caption import scene_captioner
from cn.caption.create import open_captioner
from cn.caption.scene_labels import NOTHING, PARTS, PERSON, TABLE, Seen, caption_of
from cn.caption.weights import SCENE_READER
from cn.data.seeds import EVAL_SEED
from cn.scenes import describe, render, thing_words
from cn.scenes import vocabulary as words

HELD_OUT = 24


@pytest.fixture(scope="module")
def captioner():
    return open_captioner("scenes", device="cpu")


@pytest.fixture(scope="module")
def read(captioner):
    """What is read of held-out scenes, and the scenes."""
    scenes = [describe(EVAL_SEED, number) for number in range(1000, 1000 + HELD_OUT)]
    return list(zip(captioner.read([render(scene, 96).rgb for scene in scenes]), scenes, strict=True))


HOUSE = Seen("house", {"walls": "yellow", "roof": "orange"})
PHRASES = {
    "a person in a red top and blue trousers and a yellow house with an orange roof on sand at dusk": (
        "sand",
        [HOUSE, Seen(PERSON, {"top": "red", "legs": "blue"})],
    ),
    "a green plant in a grey pot on water at dusk": ("water", [Seen("plant", {"pot": "grey"})]),
    "a red box with a white ribbon on snow at dusk": ("snow", [Seen("box", {"body": "red", "ribbon": "white"})]),
    "a blue mug on an orange table at dusk": (
        "tiles",
        [Seen("mug", {"body": "blue"}), Seen(TABLE, {"body": "orange"})],
    ),
    "a mug on a table at dusk": ("tiles", [Seen("mug", {}), Seen(TABLE, {})]),
    "a red house and a snowman on snow at dusk": (
        "snow",
        [Seen("house", {"walls": "red"}), Seen("snowman", {"hat": "red"})],
    ),
    "a red rocket with blue fins on sand at dusk": ("sand", [Seen("rocket", {"body": "red", "fins": "blue"})]),
    "a person in a green top and a red hat on a wooden jetty at dusk": (
        "raft",
        [Seen(PERSON, {"top": "green", "hat": "red"})],
    ),
    "a person on grass at dusk": ("meadow", [Seen(PERSON, {})]),
    "a meadow at dusk": ("meadow", []),
}
"""Caption → ground, and what is seen from left to right."""


@pytest.mark.parametrize("caption", PHRASES)
def test_captions_are_phrased_as_those_of_scenes(caption):
    ground, seen = PHRASES[caption]
    assert caption_of(seen, ground, "dusk") == caption


def test_weather_and_light_are_said_together():
    seen = [Seen("ball", {"body": "red"})]
    assert caption_of(seen, "sand", "night", "fog") == "a red ball on sand in fog at night"
    assert caption_of(seen, "room", "noon") == f"a red ball {words.GROUND['room'][0]} at noon"


def test_all_words_are_known_to_the_bundled_base():
    """Every thing in every color, in the words that captions of scenes use."""
    known = " ".join(str(table) for table in (*vars(words).values(), thing_words.THINGS) if isinstance(table, dict))
    for thing, part in PARTS[1:]:
        text = caption_of([Seen(thing, {part: "red"} if part else {})], "snow", "night")
        for word in set(text.split()) - {"a", "an", "and", "red", "table"}:
            assert word in known, (thing, text)


def test_most_of_what_it_reads_is_right(read):
    right, total = Counter(), Counter()
    for (seen, ground, light, weather), scene in read:
        right["weather"] += weather == scene.weather
        right["ground"] += ground in (scene.ground, "raft" if scene.ground == "water" else "")
        right["light"] += light == scene.light
        true = {item.kind for item in scene.items} | ({TABLE} if scene.table else set())
        found = {one.thing for one in seen}
        right["named"] += len(found & true)
        total["named"] += len(found)
        right["found"] += len(found & true)
        total["found"] += len(true)
        for one in seen:
            same = [item for item in scene.items if item.kind == one.thing and item.person is None]
            for part, color in one.colors.items() if len(same) == 1 else ():
                right["colors"] += color == same[0].color(part)
                total["colors"] += 1
    assert right["ground"] >= 0.9 * HELD_OUT
    assert right["light"] >= 0.9 * HELD_OUT
    assert right["weather"] >= 0.8 * HELD_OUT
    assert right["named"] >= 0.6 * total["named"]
    assert right["found"] >= 0.55 * total["found"]
    assert right["colors"] >= 0.7 * total["colors"] > 0


def test_a_caption_depends_on_its_image_alone(captioner):
    images = [render(describe(EVAL_SEED, number), 64).rgb for number in range(3)]
    every = captioner.caption(images)
    assert every == [captioner.caption([image])[0] for image in images]
    assert len(set(every)) == 3
    wide = np.repeat(images[0], 2, axis=1)
    assert captioner.caption([wide])[0]


def test_what_may_be_one_thing_or_another_is_named_once():
    """Two uncertain things at the same place; another one elsewhere."""
    number = {name: k for k, name in enumerate(PARTS)}
    parts = torch.zeros(8, 8, len(PARTS))
    parts[..., number[NOTHING]] = 1
    parts[:4, :4] = parts[4:, 4:] = 0
    parts[:4, :4, number["cat", "body"]], parts[:4, :4, number["dog", "body"]] = 0.55, 0.45
    parts[4:, 4:, number["ball", "body"]] = 1
    found = scene_captioner._things(parts)
    assert [(thing, int(mass.sum())) for thing, mass in found] == [("ball", 16), ("cat", 16)]
    assert scene_captioner._things(parts * 0 + torch.eye(len(PARTS))[0]) == []


def test_it_is_small():
    assert SCENE_READER.stat().st_size < 2_000_000
