"""What a scene is: plain frozen data, from which both the image and the caption come."""

from dataclasses import dataclass

from cn.scenes.geometry import Vec
from cn.scenes.models.skeleton import Person


@dataclass(frozen=True)
class Item:
    """One main thing of the scene; `kind` is "person" or a key of `kinds.KINDS`."""

    kind: str
    colors: tuple[tuple[str, str], ...]
    """(part, color name) pairs."""
    position: Vec
    heading: float
    scale: float
    person: Person | None = None

    def color(self, part: str) -> str:
        """The color of `part`, or an empty string."""
        return dict(self.colors).get(part, "")


@dataclass(frozen=True)
class Scene:
    """Everything that determines an image."""

    seed: int
    index: int
    ground: str
    light: str
    items: tuple[Item, ...]
    """From left to right."""
    table: Item | None
    """The table they stand on in a close-up."""
    eye: Vec
    target: Vec
    fov: float
    """Radians over the shorter side."""
    sun_turn: float
    """Where the light comes from, radians from the viewer's side towards +x."""
    half_width: float
    """Half the width of the group, meters."""
    mountains: bool
    """Whether there are mountains beyond the hills."""
    group: str = ""
    """What all people of the scene do together, a key of `groups.GROUPS`; empty if each is on their own."""
    weather: str = "clear"
    """"clear", "cloudy", "fog", "rain" or "snowfall"; always "clear" in a room."""
    framing: str = "whole"
    """How much of a single person is shown: whole, half (to the waist) or portrait (head and shoulders)."""


@dataclass
class Draft:
    """An item before it has a place."""

    kind: str
    colors: dict[str, str]
    heading: float
    scale: float
    half_width: float
    height: float
    person: Person | None = None
    z: float = 0.0
    floats: bool = False
    members: "tuple[Member, ...]" = ()
    """The people of a group that is placed as one; `person` is then the first of them."""
    framing: str = "whole"


@dataclass(frozen=True)
class Member:
    """One person of a group: where they stand in it (meters), heading and scale."""

    person: Person
    offset: Vec
    heading: float
    scale: float
