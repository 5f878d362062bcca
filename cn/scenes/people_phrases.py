"""Phrases for people: one with clothes and action, a group with what it does, and tags."""

import numpy as np

from cn.scenes import people_words as people
from cn.scenes import vocabulary as words
from cn.scenes.models.skeleton import Person
from cn.scenes.phrases import Phrases, article, join, listed
from cn.scenes.scene import Item

_NO_TROUSERS = ("dress", "robe", "skirt", "shorts")


class PeoplePhrases(Phrases):
    """What can be said of the people of a scene."""

    def someone(self, item: Item, finite: bool = False, full: bool = True) -> str:
        """A person: word, clothes, what they do, sometimes hat, hair, trousers or view; `full` tells colors."""
        person = item.person
        assert person is not None
        who, doer = self._who(person, full)
        self.names[id(item)] = who
        looks = self._looks(item, person)
        wears = self.pick(("in", "in", "in", "wearing"))
        clothes = f"{wears} {self._clothes(person)}" if full else ""
        action = self._finite(item) if finite else self._action(item)
        if doer and not finite and not person.prop and self.chance(0.6):
            action = ""
        text = join(article(who), looks, clothes, action)
        facing = abs(item.heading)
        if facing > 2.4 and self.chance(0.55):
            text += ", seen from behind," if finite else " seen from behind"
        elif 1.1 < facing < 1.8 and not finite and person.pose not in ("lying", "sleeping") and self.chance(0.12):
            text += " seen from the side"
        return text

    def _who(self, person: Person, full: bool) -> tuple[str, bool]:
        """The word for a person, and whether it already says what they do."""
        if person.role:
            name = self.pick(people.ROLE_WORDS.get(person.role, (person.role,)))
            young = person.who in ("boy", "girl") and self.chance(0.6)
            return (f"{person.who} dressed as {article(name)}" if young else name), False
        whole = self.scene.framing == "whole"
        if whole and person.pose in people.DOERS and self.chance(0.28):
            return self.pick(people.DOERS[person.pose]), True
        who = self.pick(words.WHO[person.who])
        if person.hair_style == "bald" and person.hat == "none" and self.chance(0.5):
            who = "bald " + who
        return who, False

    def _looks(self, item: Item, person: Person) -> str:
        """Sometimes hair, beard, glasses or expression, with "with"; more often when the face is large."""
        near = self.scene.framing != "whole"
        front = abs(item.heading) < 1.0
        parts = []
        if person.hat == "none" and person.hair_style != "bald" and self.chance(0.45 if near else 0.15):
            hair = self.pick(people.HAIR_STYLE[person.hair_style]) if self.chance(0.6) else "{}"
            parts.append(hair.format(words.HAIR[person.hair]))
        if front and person.beard and self.chance(0.6 if near else 0.25):
            parts.append(article(person.beard))
        if front and person.glasses and self.chance(0.7 if near else 0.3):
            parts.append("glasses")
        return "with " + listed(parts) if parts else ""

    def _clothes(self, person: Person) -> str:
        """The top with its color, and one or two more things."""
        dress = self._top(person)
        parts = [dress]
        low = self.scene.framing != "portrait"
        if person.garment == "skirt" and low:
            parts.append(f"{article(person.legs)} skirt")
        elif person.garment == "shorts" and low:
            parts.append(f"{person.legs} shorts")
        elif person.role == "farmer" and low:
            parts.append(f"{person.legs} {self.pick(('dungarees', 'overalls'))}")
        extra = self.rng.random()
        if person.hat != "none" and (extra < 0.5 or not person.hat_color):
            parts.append(self._hat(person))
        elif person.accessory and extra < 0.8:
            parts.append(f"{article(person.accessory_color)} {person.accessory}")
        elif person.garment not in _NO_TROUSERS and not person.role and low and extra < 0.75:
            parts.append(f"{person.legs} {self.pick(words.TROUSERS)}")
        elif person.shoes != "dark" and self.scene.framing == "whole" and extra > 0.93:
            parts.append(f"{person.shoes} shoes")
        return listed(parts)

    def _top(self, person: Person) -> str:
        """The garment with color and pattern."""
        pattern = people.PATTERN[person.pattern] if self.chance(0.75) else ""
        if person.role == "knight":
            return f"{person.top} armour"
        if person.role in people.ROLE_DRESS:
            name = self.pick(people.ROLE_DRESS[person.role])
        else:
            key = "shirt" if person.garment in ("skirt", "shorts") else person.garment
            name = self.pick(words.GARMENT[key])
        *length, garment = name.split(" ", 1) if name.startswith("long ") else [name]
        return article(join(*length, pattern, person.top, garment))

    def _hat(self, person: Person) -> str:
        """A hat with its color, if that has a name."""
        return article(join(person.hat_color, self.pick(words.HAT[person.hat])))

    def _action(self, item: Item) -> str:
        """What a person does; in a portrait only what shows there."""
        person = item.person
        assert person is not None
        near = self.scene.framing != "whole"
        if near and abs(item.heading) < 1.0 and self.chance(0.35 if not person.prop else 0.0):
            return self.pick(people.LOOK[person.mouth])
        if self.scene.framing == "portrait" and person.pose not in ("saluting", "thinking"):
            return ""
        return self._filled(self.pick(people.ACTION[person.pose]), item)

    def _finite(self, item: Item) -> str:
        """What a person does, as a verb."""
        person = item.person
        assert person is not None
        if person.pose in people.FINITE and self.chance(0.6):
            return self._filled(self.pick(people.FINITE[person.pose]), item)
        actions = tuple(a for a in people.ACTION[person.pose] if _continuous(a))
        return "is " + self._filled(self.pick(actions), item) if actions else "stands"

    def _filled(self, phrase: str, item: Item) -> str:
        """`phrase` with its colors and words."""
        person = item.person
        assert person is not None
        color = person.seat_color if person.seat else person.prop_color or "red"
        seat = self.pick(words.SEAT[person.seat]) if person.seat else ""
        return phrase.format(c=article(color), bare=color, seat=seat, side=self._side(item))

    def _side(self, item: Item) -> str:
        """Where a pointing arm points in the image."""
        assert item.person is not None
        arm = 1.0 if item.person.mirrored else -1.0
        across = arm * np.cos(item.heading) + 0.25 * np.sin(item.heading)
        return "to the right" if across > 0.3 else "to the left" if across < -0.3 else "ahead"

    def together(self, members: list[Item], full: bool, finite: bool = False) -> str:
        """A group: its people, with clothes if `full`, and what they do."""
        crowd = self.crowd(members, full)
        actions = people.GROUP[self.scene.group]
        if finite:
            actions = tuple(a for a in actions if _continuous(a)) or actions
        phrase = self.pick(actions)
        colored = next((m for m in members if m.person and m.person.prop_color), members[0])
        action = self._filled(phrase, colored)
        return join(crowd, "are" if finite and _continuous(phrase) else "", action)

    def crowd(self, members: list[Item], full: bool) -> str:
        """The people of a group: counted ("three children") or one by one ("a man in a red coat and …")."""
        persons = [m.person for m in members if m.person]
        if not full or len(persons) > 3:
            text = self._counted(persons)
            tops = [self._top(p) for p in persons]
            if not full:
                return text
            if self.scene.group == "team":
                return f"{text} in {persons[0].top} shirts and {persons[0].legs} shorts"
            return f"{text} in {listed(tops)}"
        if self.scene.group == "team":
            return f"{self._counted(persons)} in {persons[0].top} shirts and {persons[0].legs} shorts"
        phrases = []
        for person in persons:
            who, _ = self._who(person, True) if person.role else (self.pick(words.WHO[person.who]), False)
            phrases.append(f"{article(who)} in {self._brief(person)}")
        return listed(phrases)

    def _brief(self, person: Person) -> str:
        """The top, sometimes with the hat."""
        parts = [self._top(person)]
        if person.garment == "skirt" and self.chance(0.5):
            parts.append(f"{article(person.legs)} skirt")
        elif person.hat != "none" and self.chance(0.2):
            parts.append(self._hat(person))
        return listed(parts)

    def _counted(self, persons: list[Person]) -> str:
        """ "two men", "a man and a woman", "three children"."""
        number = people.NUMBERS[len(persons)]
        kinds, roles = {p.who for p in persons}, {p.role for p in persons}
        if self.scene.group == "team":
            return f"a football team of {number}" if self.chance(0.4) else f"{number} football players"
        if len(roles) == 1 and "" not in roles and len(kinds) >= 1:
            return f"{number} {persons[0].role}s"
        if self.scene.group == "parent and child" and self.chance(0.5):
            adult = next(p.who for p in persons if p.who in ("man", "woman"))
            child = next(p.who for p in persons if p.who not in ("man", "woman"))
            return f"a {'father' if adult == 'man' else 'mother'} and a {self.pick((child, 'child'))}"
        if self.scene.group == "family" and self.chance(0.6):
            return self.pick(("a family", f"a family of {number}"))
        if len(persons) == 2 and len(kinds) == 2 and self.chance(0.6):
            return listed([article(p.who) for p in persons])
        if len(kinds) == 1:
            return f"{number} {people.PLURAL[persons[0].who]}"
        if kinds == {"boy", "girl"}:
            return f"{number} {self.pick(('children', 'kids'))}"
        return f"{number} people" if len(persons) < 4 or self.chance(0.7) else f"a group of {number} people"

    def tags(self, item: Item) -> list[str]:
        """A person in tags: "woman", "red coat", "waving"."""
        person = item.person
        assert person is not None
        who = person.role or person.who
        top = self._top(person)
        parts = [who, top[top.index(" ") + 1 :] if top.startswith(("a ", "an ")) else top]
        if person.hat != "none" and self.chance(0.5):
            parts.append(self._hat(person).split(" ", 1)[1])
        action = self._action(item)
        if action and _continuous(action) and self.chance(0.8):
            parts.append(action.rstrip(","))
        return parts


def _continuous(phrase: str) -> bool:
    """Whether `phrase` can follow "is"."""
    return phrase.split(" ")[0].endswith("ing")
