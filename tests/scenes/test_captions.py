"""Captions: true, complete, varied."""

import re

import pytest

from cn.scenes import Scene, caption, describe
from cn.scenes import vocabulary as words
from cn.scenes.captions import full_caption
from cn.scenes.colors import NAMED
from cn.scenes.people_words import GROUP

FIXED = r"(red|brown|black|grey) hair|grey rock|green meadow|clear blue sky|orange evening sky|green plant|green bush"
"""Colors that belong to no part of a thing."""


@pytest.fixture(scope="module")
def captioned() -> list[tuple[Scene, str]]:
    return [(scene, caption(scene)) for scene in (describe(21, i) for i in range(1200))]


def test_the_same_scene_gets_the_same_caption():
    for variant in (0, 3):
        first = [caption(describe(4, i), variant) for i in range(20)]
        assert first == [caption(describe(4, i), variant) for i in range(20)]


def test_variants_tell_a_scene_in_other_words():
    scene = describe(4, 1)
    assert caption(scene) == caption(scene, 0)
    assert len({caption(scene, v) for v in range(12)}) > 8


def test_every_main_thing_is_named_with_its_colors(captioned: list[tuple[Scene, str]]):
    for scene, _ in captioned:
        text = full_caption(scene)
        assert len(text.split()) <= 45, text
        lights = (*words.LIGHT[scene.light], *words.LIGHT_PLAIN[scene.light])
        assert any(phrase in text for phrase in lights), text
        assert any(text.endswith(phrase) for phrase in words.WEATHER[scene.weather]), text
        for item in scene.items:
            for _, color in item.colors:
                assert color in text, text
            if item.person:
                assert item.person.top in text, text
                if scene.framing != "portrait" and item.person.prop != "sword":
                    for color in (item.person.prop_color, item.person.seat_color):
                        assert color in text, text


def colors_of(scene: Scene) -> set[str]:
    """All colors that a caption of `scene` may name."""
    known = {c for i in scene.items for _, c in i.colors}
    for person in (i.person for i in scene.items if i.person):
        known |= {person.top, person.legs, person.hat_color, person.prop_color, person.seat_color}
        known |= {person.accessory_color, person.shoes}
    return known | ({c for _, c in scene.table.colors} if scene.table else set())


def test_no_color_is_invented(captioned: list[tuple[Scene, str]]):
    for scene, text in captioned:
        for told in (text, caption(scene, 1), full_caption(scene)):
            left = re.sub(FIXED, "", told)
            spoken = {c for c in NAMED if re.search(rf"\b{c}\b", left)}
            assert spoken <= colors_of(scene), told


def test_people_are_counted_and_do_together_what_is_told(captioned: list[tuple[Scene, str]]):
    numbers = {2: "two", 3: "three", 4: "four", 5: "five"}
    counted = 0
    for scene, text in captioned:
        people = [i for i in scene.items if i.person]
        for number, word in numbers.items():
            if re.search(rf"\b{word} (people|men|women|boys|girls|children|kids)\b", text):
                assert len(people) == number, text
                counted += 1
        for name in ("shaking hands", "holding hands"):
            if name in text:
                assert name in GROUP[scene.group] or (name == "holding hands" and scene.group == "circle"), text
    assert counted > 30


def test_captions_are_many_and_short(captioned: list[tuple[Scene, str]]):
    texts = [text for _, text in captioned]
    assert len(set(texts)) > 1100
    lengths = [len(t.split()) for t in texts]
    assert max(lengths) <= 45
    assert min(lengths) <= 3
    assert max(lengths) > 30
    shapes = {re.sub(rf"\b({'|'.join(NAMED)})\b", "c", t) for t in texts}
    assert len(shapes) > 900


def test_light_and_ground_are_mostly_mentioned(captioned: list[tuple[Scene, str]]):
    lights = {k: (*words.LIGHT[k], *words.MOOD[k]) for k in words.LIGHT}
    mentions_light = [any(p in text for p in lights[scene.light]) for scene, text in captioned]
    assert 0.6 < sum(mentions_light) / len(captioned) < 0.9
    for scene, text in captioned:
        for other, phrases in words.LIGHT.items():
            if other != scene.light:
                assert not any(text.endswith(p) for p in phrases), text


def test_articles(captioned: list[tuple[Scene, str]]):
    for _, text in captioned:
        assert not re.search(r"\ba [aeio]", text), text
        assert not re.search(r"\ban [^aeiou]", text), text
        assert not re.search(r"\ba (men|women|people)\b", text), text
        assert "  " not in text
        assert not re.search(r"[{}]", text), text


def test_left_and_right_are_true(captioned: list[tuple[Scene, str]]):
    checked = 0
    for scene, text in captioned:
        found = re.search(r"to the (left|right) of", text)
        if found and len(scene.items) == 2 and not all(i.person for i in scene.items):
            first, second = scene.items
            synonyms = {"fir": "fir|pine", "cat": "cat|kitten", "dog": "dog|puppy", "rock": "rock|boulder"}
            synonyms |= {kind: kind for kind in ("robot", "drum", "guitar", "lantern", "cake", "candle", "bottle")}
            if (
                first.person
                or second.person
                or first.kind == second.kind
                or (first.kind not in synonyms and second.kind not in synonyms)
            ):
                continue
            named = first if first.kind in synonyms else second
            other = second if named is first else first
            leads = re.search(synonyms[named.kind], text[: found.start()]) is not None
            subject, reference = (named, other) if leads else (other, named)
            assert (subject.position[0] < reference.position[0]) == (found.group(1) == "left"), text
            checked += 1
    assert checked > 0


def test_an_aside_before_another_clause_has_one_comma():
    for index in (384, 1691):
        assert ",," not in caption(describe(3, index))
