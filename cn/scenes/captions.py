"""Captions of scenes: complete or brief, as sentences, phrases or tags; never more than is in the scene."""

from collections.abc import Callable

from cn.scenes import thing_words
from cn.scenes import vocabulary as words
from cn.scenes.backdrop import backdrop
from cn.scenes.people_phrases import PeoplePhrases
from cn.scenes.phrases import article, join, listed
from cn.scenes.scene import Item, Scene

__all__ = ["MAX_WORDS", "article", "caption", "full_caption"]

MAX_WORDS = 45
"""A longer caption is generated again."""
PICTURES = ("a picture of", "an image of", "a picture showing", "a 3D picture of", "a rendering of", "a scene with")
PORTRAITS = ("a portrait of", "portrait of", "a close-up of", "a close portrait of")
HALVES = ("a half-length portrait of", "the upper body of", "a picture of", "a portrait of")


def caption(scene: Scene, variant: int = 0) -> str:
    """One caption (at most 45 words), phrased in one of many ways; the same for the same scene and `variant`.

    Other variants (1, 2, …) tell the same scene in other words: most are complete sentences, some leave out colors,
    things, place or light, and some are tags.
    """
    writer = _Writer(scene, variant)
    return _short_enough(writer.write, writer.brief)


def full_caption(scene: Scene) -> str:
    """A caption that names every main thing with its colors, the ground and the light, to measure prompts with."""
    writer = _Writer(scene, 1_000_003)
    return _short_enough(writer.complete, writer.complete)


def _short_enough(write: Callable[[], str], brief: Callable[[], str]) -> str:
    """What `write` gives, or what `brief` gives when it is always too long."""
    for _ in range(8):
        text = write().replace(",,", ",")  # An aside that ends with a comma, before a clause that begins with one.
        if len(text.split()) <= MAX_WORDS:
            return text
    return brief()


class _Writer(PeoplePhrases):
    """Writes captions of one scene."""

    def __init__(self, scene: Scene, variant: int) -> None:
        super().__init__(scene, variant)
        floating = scene.ground == "water" and all(i.position[1] == 0 for i in scene.items)
        self.place = "raft" if scene.ground == "water" and not floating else scene.ground

    def write(self) -> str:
        """Choose how much to tell, then the form."""
        draw = self.rng.random()
        if draw < 0.13:
            return self.brief()
        if draw < 0.22:
            return self._tags()
        if draw < 0.40:
            return self._sentence(
                self._ground() if self.chance(0.55) else "",
                self._conditions() if self.chance(0.5) else "",
                full=self.chance(0.6),
                whole=self.chance(0.5),
            )
        drop = self.rng.random()
        ground = "" if drop < 0.06 else self._ground()
        return self._sentence(ground, "" if 0.06 <= drop < 0.12 else self._conditions())

    def complete(self) -> str:
        """Everything there is."""
        lead = self._opening() if self.scene.framing != "whole" else ""
        return join(lead, self._all(*self._order()), self._ground(), self._conditions(both=True))

    def brief(self) -> str:
        """The main thing without colors, sometimes with its place or the light: "a dog on a beach"."""
        first, _ = self._order()
        where = self._ground(colors=False) if self.chance(0.6) else ""
        when = self._conditions() if self.chance(0.25) else ""
        lead = self._opening() if self.chance(0.3) else ""
        return join(lead, self._plain(first), where, when)

    def _tags(self) -> str:
        """Words with commas: "woman, red coat, snow, night"."""
        first, others = self._order()
        if self.scene.group:
            tags = [self.together(first, full=False)]
        elif first[0].person:
            tags = self.tags(first[0])
        else:
            tags = [self._thing(first[0]).split(" ", 1)[1]]
        tags += [self._describe(o).split(" ", 1)[1] for o in others if not o.person and self.chance(0.8)]
        if self.chance(0.85):
            tags.append({"raft": "jetty"}.get(self.place, self.place))
        if self.chance(0.85):
            tags.append(self.scene.light)
        if self.scene.framing == "portrait":
            tags.insert(0, "portrait")
        return ", ".join(tags)

    def _sentence(self, ground: str, light: str, full: bool = True, whole: bool = True) -> str:
        """One of the forms of a sentence; not `full`: without colors; not `whole`: the main thing only."""
        first, others = self._order()
        others = others if whole else []
        style = self.rng.random()
        if not first[0].person and full and whole and len(self.scene.items) > 1 and self._one_kind():
            return join(self._set_of_one_kind(), ground, light)
        if self.scene.framing != "whole" and style < 0.7:
            return join(self._opening(), self._all(first, others, full), ground, light)
        if style < 0.10 and light:
            moods = words.MOOD if self._sees_clear_sky() else words.MOOD_PLAIN
            return f"{self.pick(moods[self.scene.light])}: {join(self._all(first, others, full), ground)}"
        if style < 0.20 and ground and not self.scene.table:
            return f"{join(self.pick(words.PLACE[self.place]), light)} with {self._all(first, others, full)}"
        if style < 0.30 and light:
            return f"{light}, {join(self._all(first, others, full), ground)}"
        if style < 0.40:
            return join(self._opening(), self._all(first, others, full), ground, light)
        if style < 0.58 and first[0].person:
            text = join(self._lead(first, full, finite=True), ground, light)
            return text + self._beside(first, others)
        if style < 0.70 and others:
            return join(self._lead(first, full), ground, light) + self._beside(first, others)
        text = join(self._all(first, others, full), ground, light)
        if self.chance(0.10) and self.scene.framing == "whole" and self.scene.weather != "fog":
            text += f", {self.pick(words.BACKDROP[backdrop(self.scene)])}"
        return text

    def _opening(self) -> str:
        """ "a picture of", "a portrait of"."""
        return self.pick({"portrait": PORTRAITS, "half": HALVES}.get(self.scene.framing, PICTURES))

    def _conditions(self, both: bool = False) -> str:
        """The light and the weather; unless `both`, seldom only one of them."""
        light = self.pick((words.LIGHT if self._sees_clear_sky() else words.LIGHT_PLAIN)[self.scene.light])
        weather = self.pick(words.WEATHER[self.scene.weather])
        draw = 1.0 if both else self.rng.random()
        if not weather or draw < 0.12:
            return light
        return weather if draw < 0.24 else join(light, weather)

    def _sees_clear_sky(self) -> bool:
        """Whether sun, moon and stars may be spoken of."""
        return self.scene.weather == "clear" and self.scene.ground != "room"

    def _ground(self, colors: bool = True) -> str:
        """The place, with the table if there is one."""
        if self.scene.table is None:
            return self.pick(words.GROUND[self.place])
        table = f"on {article(self.scene.table.color('body'))} table" if colors else "on a table"
        return join(table, self.pick(words.GROUND[self.place])) if self.chance(0.5) else table

    def _order(self) -> tuple[list[Item], list[Item]]:
        """What is told first (all people of a group, or one thing), and the rest; mostly people first."""
        items = list(self.scene.items)
        people = [i for i in items if i.person]
        if self.scene.group:
            return people, [i for i in items if not i.person]
        if self.chance(0.85) or self.scene.framing != "whole":
            items.sort(key=lambda i: i.person is None)
        return items[:1], items[1:]

    def _lead(self, first: list[Item], full: bool, finite: bool = False) -> str:
        """The main thing or group."""
        if self.scene.group and first[0].person:
            return self.together(first, full, finite)
        if first[0].person:
            return self.someone(first[0], finite, full)
        return self._thing(first[0]) if full else article(first[0].kind)

    def _plain(self, first: list[Item]) -> str:
        """The main thing in the fewest words."""
        return self._lead(first, full=False)

    def _one_kind(self) -> bool:
        """Whether to speak of a set of equal things in several colors."""
        kinds = {i.kind for i in self.scene.items}
        plain = all(len(i.colors) == 1 and i.kind not in thing_words.OF_A_PART for i in self.scene.items)
        return len(kinds) == 1 and plain and self.chance(0.7)

    def _set_of_one_kind(self) -> str:
        """ "three cones, red, blue and green" or each with its own article."""
        items = self.scene.items
        kind = items[0].kind
        number = {2: "two", 3: "three", 4: "four"}[len(items)]
        colors = [i.colors[0][1] for i in items]
        name = kind if self.chance(0.5) or len({*colors}) < len(colors) else ""
        if name:
            return listed([article(f"{c} {kind}") for c in colors])
        return f"{number} {thing_words.PLURAL.get(kind, kind + 's')}, {listed(colors)}"

    def _all(self, first: list[Item], others: list[Item], full: bool = True) -> str:
        """All things in one phrase, with a relation when there are two."""
        lead = self._lead(first, full)
        if not others:
            return lead
        rest = [self._describe(o, full) for o in others]
        if len(others) == 1 and self.chance(0.75):
            return f"{lead} {self._relation(first[0], others[0]) if len(first) == 1 else 'beside'} {rest[0]}"
        return listed([lead, *rest])

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

    def _beside(self, first: list[Item], others: list[Item]) -> str:
        """A second clause that places the other things around the first: ", a red car beside her"."""
        if not others:
            return ""
        lone = first[0]
        them = words.PRONOUN.get(self.names.get(id(lone), ""), "them" if lone.person else "it")
        named = listed([self._describe(o) for o in others])
        behind = all(f.position[2] - o.position[2] > 0.8 for o in others for f in first)
        left = all(o.position[0] < f.position[0] for o in others for f in first)
        right = all(o.position[0] > f.position[0] for o in others for f in first)
        options = [f"{named} beside {them}", f"{named} nearby"]
        if left or right:
            options += [f"{named} on the {'left' if left else 'right'}"]
        if behind:
            options += [f"{named} behind {them}"] * 3
        return ", " + self.pick(tuple(options))

    def _describe(self, item: Item, full: bool = True) -> str:
        """A noun phrase for any item."""
        if item.person:
            return self.someone(item, full=full)
        return self._thing(item) if full else article(item.kind)

    def _thing(self, item: Item) -> str:
        """A thing with the colors of its parts."""
        colors = dict(item.colors)
        kind = "gift" if "ribbon" in colors else item.kind
        if kind == "tree" and colors["leaves"] == "pink" and self.chance(0.4):
            return "a pink blossom tree"
        phrase = self.pick(thing_words.THINGS[kind])
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
