"""Captions of scenes: every main thing with its colors, the relations between them, the place and the light."""

import numpy as np

from cn.scenes import vocabulary as words
from cn.scenes.scene import Item, Scene

MAX_WORDS = 45
"""A longer caption is generated again."""


def caption(scene: Scene) -> str:
    """One caption (at most 45 words), phrased in one of many ways, but always the same for the same scene."""
    writer = _Writer(scene)
    for _ in range(8):
        text = writer.write()
        if len(text.split()) <= MAX_WORDS:
            break
    return text


def article(phrase: str) -> str:
    """`phrase` with "a" or "an"."""
    return ("an " if phrase[0] in "aeiou" else "a ") + phrase


class _Writer:
    """Writes captions of one scene with a random stream of its own."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.rng = np.random.default_rng(np.random.SeedSequence([scene.seed, scene.index, 2]))
        floating = scene.ground == "water" and all(i.position[1] == 0 for i in scene.items)
        self.place = "raft" if scene.ground == "water" and not floating else scene.ground
        self.names: dict[int, str] = {}

    def chance(self, share: float) -> bool:
        """True in `share` of the cases."""
        return bool(self.rng.random() < share)

    def pick(self, options: tuple[str, ...]) -> str:
        """One of `options`."""
        return str(options[int(self.rng.integers(len(options)))])

    def write(self) -> str:
        """Choose what to leave out, then the form of the sentence."""
        drop = self.rng.random()
        ground = "" if drop < 0.08 else self._ground()
        light = "" if 0.08 <= drop < 0.16 else self.pick(words.LIGHT[self.scene.light])
        first, *others = self._order()
        style = self.rng.random()
        if len(self.scene.items) > 1 and self._one_kind():
            return _join(self._set_of_one_kind(), ground, light)
        if style < 0.14 and light:
            return f"{self.pick(words.MOOD[self.scene.light])}: {_join(self._group(first, others), ground)}"
        if style < 0.26 and ground and not self.scene.table:
            place = _join(self.pick(words.PLACE[self.place]), light)
            return f"{place} with {self._group(first, others)}"
        if style < 0.38 and light:
            return f"{light}, {_join(self._group(first, others), ground)}"
        if style < 0.55 and first.person:
            text = _join(self._someone(first, finite=True), ground, light)
            return text + self._beside(first, others)
        if style < 0.70 and others:
            return _join(self._someone(first) if first.person else self._thing(first), ground, light) + self._beside(
                first, others
            )
        text = _join(self._group(first, others), ground, light)
        if self.chance(0.12):
            text += ", mountains in the distance" if self.scene.mountains else ", hills in the distance"
        return text

    def _ground(self) -> str:
        """The place, with the table if there is one."""
        if self.scene.table is None:
            return self.pick(words.GROUND[self.place])
        table = f"on {article(self.scene.table.color('body'))} table"
        return _join(table, self.pick(words.GROUND[self.place])) if self.chance(0.5) else table

    def _order(self) -> list[Item]:
        """People first, then from left to right; sometimes the big things first."""
        items = list(self.scene.items)
        if self.chance(0.85):
            items.sort(key=lambda i: i.person is None)
        return items

    def _one_kind(self) -> bool:
        """Whether to speak of a set of equal things in several colors."""
        kinds = {i.kind for i in self.scene.items}
        plain = all(len(i.colors) == 1 and i.kind not in words.OF_A_PART for i in self.scene.items)
        return len(kinds) == 1 and plain and self.chance(0.7)

    def _set_of_one_kind(self) -> str:
        """ "three cones, red, blue and green" or each with its own article."""
        items = self.scene.items
        kind = items[0].kind
        number = {2: "two", 3: "three", 4: "four"}[len(items)]
        colors = [i.colors[0][1] for i in items]
        name = kind if self.chance(0.5) or len({*colors}) < len(colors) else ""
        if name:
            return _list([article(f"{c} {kind}") for c in colors])
        return f"{number} {words.PLURAL.get(kind, kind + 's')}, {_list(colors)}"

    def _group(self, first: Item, others: list[Item]) -> str:
        """All things in one phrase, with a relation when there are two."""
        lead = self._describe(first)
        if not others:
            return lead
        if len(others) == 1 and self.chance(0.75):
            return f"{lead} {self._relation(first, others[0])} {self._describe(others[0])}"
        return _list([lead, *(self._describe(o) for o in others)])

    def _relation(self, first: Item, second: Item) -> str:
        """How `first` stands to `second`, in the image's terms."""
        back = first.position[2] - second.position[2]
        options = [
            "beside",
            "next to",
            "near",
            "to the left of" if first.position[0] < second.position[0] else "to the right of",
        ]
        if back > 0.8:
            options += ["in front of"] * 3
        elif back < -0.8:
            options += ["behind"] * 3
        return self.pick(tuple(options))

    def _beside(self, first: Item, others: list[Item]) -> str:
        """A second clause that places the other things around the first: ", a red car beside her"."""
        if not others:
            return ""
        them = words.PRONOUN.get(self.names.get(id(first), ""), "them" if first.person else "it")
        named = _list([self._describe(o) for o in others])
        behind = all(first.position[2] - o.position[2] > 0.8 for o in others)
        left = all(o.position[0] < first.position[0] for o in others)
        right = all(o.position[0] > first.position[0] for o in others)
        options = [f"{named} beside {them}", f"{named} nearby"]
        if left or right:
            options += [f"{named} on the {'left' if left else 'right'}"]
        if behind:
            options += [f"{named} behind {them}"] * 3
        return ", " + self.pick(tuple(options))

    def _describe(self, item: Item) -> str:
        """A noun phrase for any item."""
        return self._someone(item) if item.person else self._thing(item)

    def _someone(self, item: Item, finite: bool = False) -> str:
        """A person: word, clothes, what they do, sometimes hat, hair, trousers or view."""
        person = item.person
        assert person is not None
        role = person.pose in words.ROLES and self.chance(0.28)
        who = self.pick(words.ROLES[person.pose]) if role else self.pick(words.WHO[person.who])
        self.names[id(item)] = who
        *length, garment = self.pick(words.GARMENT[person.garment]).split()
        dress = article(" ".join([*length, person.top, garment]))
        extra = self.rng.random()
        if person.hat != "none" and extra < 0.5:
            dress += f" and {article(person.hat_color)} {self.pick(words.HAT[person.hat])}"
        elif person.garment != "dress" and extra < 0.68:
            dress += f" and {person.legs} {self.pick(words.TROUSERS)}"
        hair = f" with {words.HAIR[person.hair]}" if person.hat == "none" and self.chance(0.12) else ""
        wears = self.pick(("in", "in", "in", "wearing"))
        action = self.pick((words.FINITE if finite else words.ACTION)[person.pose])
        if role and not finite and self.chance(0.6):
            action = ""
        prop = article(person.seat_color if person.seat else person.prop_color or "red")
        seat = self.pick(words.SEAT[person.seat]) if person.seat else ""
        action = action.format(c=prop, seat=seat, side=self._side(item))
        text = _join(f"{article(who)}{hair} {wears} {dress}", action)
        facing = abs(item.heading)
        if facing > 2.4 and self.chance(0.55):
            text += ", seen from behind," if finite else " seen from behind"
        elif 1.1 < facing < 1.8 and not finite and self.chance(0.12):
            text += " seen from the side"
        return text

    def _side(self, item: Item) -> str:
        """Where a pointing arm points in the image."""
        assert item.person is not None
        arm = 1.0 if item.person.mirrored else -1.0
        across = arm * np.cos(item.heading) + 0.25 * np.sin(item.heading)
        return "to the right" if across > 0.3 else "to the left" if across < -0.3 else "ahead"

    def _thing(self, item: Item) -> str:
        """A thing with the colors of its parts."""
        colors = dict(item.colors)
        kind = "gift" if "ribbon" in colors else item.kind
        if kind == "tree" and colors["leaves"] == "pink" and self.chance(0.4):
            return "a pink blossom tree"
        phrase = self.pick(words.THINGS[kind])
        lead, *rest = phrase.split(" with ", 1) if " with " in phrase else phrase.split(" in ", 1)
        joint = " with " if " with " in phrase else " in "
        bare = colors | {f"{part}_bare": c for part, c in colors.items()}
        text = article(lead.format(**bare))
        if rest:
            joined = {part: article(c) for part, c in colors.items()} | {
                f"{part}_bare": c for part, c in colors.items()
            }
            text += joint + rest[0].format(**joined)
        return text


def _join(*parts: str) -> str:
    """The parts that are not empty, with blanks between."""
    return " ".join(p for p in parts if p)


def _list(parts: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(parts) == 1:
        return parts[0]
    return ", ".join(parts[:-1]) + " and " + parts[-1]
