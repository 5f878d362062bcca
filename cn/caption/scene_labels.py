"""What can be read off an image of the built-in world, and the caption that says it. No torch.

An image is read cell by cell: to which part of which thing a cell belongs (`PARTS`), and in which color. The bundled
base knows the words of `cn.scenes.vocabulary` only, which no captioner of photographs uses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cn.scenes import kinds, thing_words
from cn.scenes import vocabulary as words
from cn.scenes.captions import article
from cn.scenes.choose_scene import LIGHT_NAMES

PERSON, TABLE = "person", "close-up table"
"""Things besides `kinds.KINDS`; the second is the table that small things stand on."""
PERSON_PARTS = ("top", "legs", "hat", "accessory", "prop", "seat")
OPTIONAL_PARTS = (("box", "ribbon"),)
"""(thing, part) that some things of a kind have, besides those of `kinds.KINDS`."""
SIZE, CELL = 128, 4
"""Pixels of a side of the images that are read, and of a cell."""
REST = ""
"""The part of a thing that has no color of its own."""
NOTHING = ("", REST)

PARTS: tuple[tuple[str, str], ...] = (
    NOTHING,
    *((kind, part) for kind, spec in kinds.KINDS.items() for part in (REST, *dict(spec.parts))),
    *OPTIONAL_PARTS,
    *((PERSON, part) for part in (REST, *PERSON_PARTS)),
    (TABLE, "body"),
)
"""(thing, part) of which cells are."""
COLORS = kinds.ALL
GROUNDS = tuple(words.GROUND)
LIGHTS = LIGHT_NAMES
WEATHERS = tuple(words.WEATHER)
MAX_PEOPLE = 5


@dataclass(frozen=True)
class Seen:
    """A thing that was seen, and the colors of those of its parts that were."""

    thing: str
    colors: Mapping[str, str]


def caption_of(seen: Sequence[Seen], ground: str, light: str, weather: str = WEATHERS[0]) -> str:
    """A caption of things from left to right, with the most usual word of each: people first, as captions here do."""
    table = next((one for one in seen if one.thing == TABLE), None)
    main = sorted((one for one in seen if one.thing != TABLE), key=lambda one: one.thing != PERSON)
    named = [_person(one) if one.thing == PERSON else _thing(one) for one in main]
    listed = ", ".join(named[:-1]) + " and " + named[-1] if len(named) > 1 else "".join(named)
    where = words.GROUND[ground][0]
    if table is not None:
        where = f"on {article(' '.join([*table.colors.values(), 'table']))}"
    parts = (listed, where) if listed else (words.PLACE[ground][0],)
    # Indoors and under clouds nothing is said of the sun or of stars.
    lights = words.LIGHT if weather == "clear" and ground != "room" else words.LIGHT_PLAIN
    return " ".join((*parts, *(word for word in (words.WEATHER[weather][0],) if word), lights[light][0]))


def _person(seen: Seen) -> str:
    """Of people only what has a color of its own is read: who they are and what they do takes finer eyes."""
    text = "a person"
    if "top" in seen.colors:
        text += f" in {article(seen.colors['top'])} top"
        if "hat" in seen.colors:
            text += f" and {article(seen.colors['hat'])} {words.HAT['beanie'][0]}"
        elif "legs" in seen.colors:
            text += f" and {seen.colors['legs']} {words.TROUSERS[0]}"
    return text


def _thing(seen: Seen) -> str:
    """ "a yellow house with a blue roof"; a part whose color is not known is left out."""
    kind = "gift" if "ribbon" in seen.colors else seen.thing
    phrase = thing_words.THINGS[kind][0]
    joint = " with " if " with " in phrase else " in "
    lead, *rest = phrase.split(joint, 1)
    try:
        bare = {f"{part}_bare": color for part, color in seen.colors.items()}
        text = article(lead.format(**seen.colors, **bare))
    except KeyError:
        return article(seen.thing)
    try:
        joined = {part: article(color) for part, color in seen.colors.items()}
        return text + "".join(joint + part.format(**joined, **bare) for part in rest)
    except KeyError:
        return text
