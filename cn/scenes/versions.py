"""The same scene with one thing changed, to measure whether an image follows each word of its prompt."""

from dataclasses import replace

from cn.scenes import kinds
from cn.scenes.colors import NAMED
from cn.scenes.ground import GROUNDS
from cn.scenes.lighting import LIGHTS
from cn.scenes.scene import Item, Scene
from cn.scenes.weather import WEATHERS, weathers_of


def changed(
    scene: Scene, *, light: str | None = None, ground: str | None = None, weather: str | None = None
) -> Scene | None:
    """`scene` under another light, on another ground or in another weather, everything else as it was.

    None where that cannot be: a kind of thing does not stand on that ground, a table is out of place there, or the
    ground does not have that weather. Raises KeyError for an unknown name.
    """
    light, ground, weather = light or scene.light, ground or scene.ground, weather or scene.weather
    for name, known in ((light, LIGHTS), (ground, GROUNDS), (weather, WEATHERS)):
        if name not in known:
            raise KeyError(f"no light, ground or weather is called {name!r}")
    if weather not in weathers_of(ground):
        return None
    things = [*scene.items, *([scene.table] if scene.table else [])]
    if not all(_may_stand(item, ground) for item in things) or (scene.table and ground == "water"):
        return None
    lift = (kinds.RAFT_TOP if ground == "water" else 0.0) - (kinds.RAFT_TOP if scene.ground == "water" else 0.0)
    if lift:
        scene = _raised(scene, lift)
    return replace(scene, light=light, ground=ground, weather=weather)


def recolored(scene: Scene, item: Item, part: str, color: str) -> Scene:
    """`scene` with `color` for one `part` of `item`, which is one of its items.

    A part is a name in `Item.colors` or, for people, a field of `Person` that holds the name of a color, such as
    "top". Raises ValueError for an item, part or color that there is not.
    """
    if color not in NAMED:
        raise ValueError(f"no color is called {color!r}")
    if not any(other is item for other in scene.items):
        raise ValueError("the item is not one of the scene's items")
    if part in dict(item.colors):
        new = replace(item, colors=tuple((name, color if name == part else old) for name, old in item.colors))
    elif item.person is not None and getattr(item.person, part, None) in NAMED:
        person = replace(item.person, **{part: color})  # type: ignore[arg-type]
        new = replace(item, person=person)
    else:
        raise ValueError(f"the {item.kind} has no color of its {part!r}")
    return replace(scene, items=tuple(new if other is item else other for other in scene.items))


def _may_stand(item: Item, ground: str) -> bool:
    """Whether an item belongs on `ground`."""
    return item.person is not None or ground in kinds.KINDS[item.kind].grounds


def _raised(scene: Scene, lift: float) -> Scene:
    """Everything that stands, and the camera, `lift` meters higher."""
    items = []
    for item in scene.items:
        x, y, z = item.position
        items.append(item if item.kind in kinds.FLOATING else replace(item, position=(x, y + lift, z)))
    (ex, ey, ez), (tx, ty, tz) = scene.eye, scene.target
    return replace(scene, items=tuple(items), eye=(ex, ey + lift, ez), target=(tx, ty + lift, tz))
