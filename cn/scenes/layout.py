"""Where everything stands and how the camera frames it."""

import numpy as np

from cn.scenes import kinds
from cn.scenes.geometry import Rng, Vec, turn
from cn.scenes.models.skeleton import skeleton
from cn.scenes.scene import Draft, Item, Scene

HATS_ABOVE = {
    "toque": 0.16,
    "pointed": 0.32,
    "party": 0.22,
    "crown": 0.10,
    "top hat": 0.16,
    "space helmet": 0.06,
    "helmet": 0.04,
    "brim": 0.06,
    "straw": 0.06,
    "beanie": 0.05,
}
"""How far hats reach above the hair, meters."""


def compose(
    rng: Rng,
    seed: int,
    index: int,
    ground: str,
    light: str,
    drafts: list[Draft],
    table: Item | None,
    together: str = "",
) -> Scene:
    """Place every draft and set up the camera; `together` is the name of the group of its people."""
    order = _keep_large([drafts[i] for i in rng.permutation(len(drafts))])
    fov = float(np.radians(rng.uniform(36, 42)))
    half_view = np.tan(fov / 2)
    base = kinds.TABLE_TOP if table else (kinds.RAFT_TOP if ground == "water" else 0.0)
    unit_size = max(d.height for d in order)
    _set_back(rng, order, table is not None)
    gaps = [float(rng.uniform(0.06, 0.18)) * min(unit_size, 1.6) for _ in order]
    tallest = (0.60, 0.78) if any(d.person for d in order) else (0.55, 0.72)
    fill = float(rng.uniform(*tallest) if unit_size > 1.3 * (order[0].scale) else rng.uniform(0.40, 0.55))
    bulge = 0.3 * max((d.half_width for d in order if not d.person), default=0.0)  # what extends towards the camera
    spots, left, total, top, distance = _frame(order, gaps, half_view, fill, bulge, base, table is not None)
    shift = left / 2 + float(rng.uniform(-0.04, 0.04)) * total
    items = []
    for d, spot in zip(order, spots, strict=True):
        x = (spot - shift) * (distance - d.z) / distance
        items += _items(d, (float(x), 0.0 if d.floats else base, float(d.z)))
    has_person = any(d.person for d in order)
    pitch = np.radians(rng.uniform(4, 13) if has_person else rng.uniform(5, 16))
    if together == "circle":
        pitch = np.radians(rng.uniform(17, 24))
    aim = base + top * float(rng.uniform(0.50, 0.58))
    if table:
        aim = base + top * 0.06
    target, eye = (0.0, float(aim), 0.0), (0.0, float(aim + distance * np.tan(pitch)), float(distance))
    framing = next((d.framing for d in order if d.person), "whole")
    if framing != "whole":
        eye, target = _close(rng, next(i for i in items if i.person), framing, half_view)
    span = {"morning": (35, 70), "noon": (25, 75), "dusk": (45, 80), "night": (35, 80)}[light]
    sun_turn = float(np.radians(rng.uniform(*span))) * (1 if rng.random() < 0.5 else -1)
    if table:
        table = Item(
            "table", table.colors, (0.0, 0.0, min(d.z for d in order) * 0.5), 0.0, float(total / 2 + 0.08) / 0.72
        )
    mountains = bool(rng.random() < 0.45)
    items.sort(key=lambda i: i.position[0])
    return Scene(
        seed,
        index,
        ground,
        light,
        tuple(items),
        table,
        eye,
        target,
        fov,
        sun_turn,
        float(total / 2),
        mountains,
        group=together,
        framing=framing,
    )


def _items(draft: Draft, place: Vec) -> list[Item]:
    """The items of a draft at `place`: one, or all members of a group."""
    if not draft.members:
        return [Item(draft.kind, tuple(draft.colors.items()), place, draft.heading, draft.scale, draft.person)]
    x, y, z = place
    return [
        Item("person", (), (x + m.offset[0], y + m.offset[1], z + m.offset[2]), m.heading, m.scale, m.person)
        for m in draft.members
    ]


def _close(rng: Rng, item: Item, framing: str, half_view: float) -> tuple[Vec, Vec]:
    """Eye and target for a portrait (head and shoulders) or a half figure (to the waist)."""
    assert item.person is not None
    bones = skeleton(item.person)
    base = np.array(item.position)
    head = base + turn(item.heading) @ bones.head_center * item.scale
    crown, chest = 0.30 + HATS_ABOVE.get(item.person.hat, 0.0), 0.48 if framing == "portrait" else 0.88
    low, high = head[1] - chest * item.scale, head[1] + crown * item.scale
    if framing == "half":
        high = max(high, base[1] + float(bones.joints[[4, 7], 1].max() + 0.12) * item.scale)
    middle = (low + high) / 2
    distance = (high - low) / (2 * half_view) * float(rng.uniform(0.98, 1.12))
    turned = float(rng.uniform(-0.05, 0.05)) * distance
    rise = float(np.tan(np.radians(rng.uniform(0, 7)))) * distance
    aside = float(rng.uniform(-0.06, 0.06)) * distance
    target = (float(head[0]) + aside, float(middle), float(head[2]))
    return (target[0] + turned, float(middle + rise), float(head[2] + distance)), target


def _frame(
    order: list[Draft], gaps: list[float], half_view: float, fill: float, bulge: float, base: float, tabletop: bool
) -> tuple[list[float], float, float, float, float]:
    """Line everything up as the camera sees it and find the distance from which it fills the image.

    The room that things need depends on the distance and the distance on the room, so both are found by iteration.
    Returns the places from left to right (seen in the plane z = 0), their full width, the width and height to frame,
    and the distance.
    """
    distance = 3.0 * max(d.height for d in order)
    for _ in range(4):
        left, spots = 0.0, list[float]()
        for i, d in enumerate(order):
            shrink = distance / (distance - d.z)
            if i:
                left += _gap(order[i - 1], d, gaps[i])
            spots.append(left + d.half_width * shrink)
            left += 2 * d.half_width * shrink
        total = max(left, 0.80 if tabletop else 0.3 * max(d.height for d in order))
        lift = 0.0 if tabletop else base
        top = max((d.height + (0 if d.floats else lift)) * distance / (distance - d.z) for d in order)
        distance = max(total / (2 * half_view * (0.70 if tabletop else 0.86)), top / (2 * half_view * fill)) + bulge
    return spots, left, total, top, distance


def _keep_large(order: list[Draft]) -> list[Draft]:
    """Remove the last items until the group is narrow enough that its shortest person is not tiny in the image."""
    kept = list(order)
    while len(kept) > 1:
        wide = sum(2 * d.half_width for d in kept)
        shortest = min([d.height for d in kept if d.person] or [max(d.height for d in kept)])
        if shortest > 0.45 * wide:
            break
        spare = [d for d in kept if not d.person] or kept
        kept.remove(spare[-1])
    return kept


def _set_back(rng: Rng, order: list[Draft], tabletop: bool) -> None:
    """Choose how far back each stands: tall things behind, small ones a little in front."""
    tallest = max(d.height for d in order)
    for d in order:
        if len(order) == 1:
            d.z = 0.0
        elif any(o.framing != "whole" for o in order) and not d.person:
            d.z = -float(rng.uniform(2.2, 3.4))
        elif tabletop:
            d.z = float(rng.uniform(-0.10, 0.06))
        elif d.kind in kinds.TALL and any(o.kind not in kinds.TALL for o in order):
            d.z = -float(rng.uniform(0.9, 1.9))
        elif d.floats:
            d.z = -float(rng.uniform(1.3, 2.0))
        elif d.height < 0.65 * tallest:
            d.z = float(rng.uniform(-0.05, 0.30))
        else:
            d.z = float(rng.uniform(-0.25, 0.12)) * min(1.0, tallest)


def _gap(left: Draft, right: Draft, gap: float) -> float:
    """Free width between two neighbors; one well behind the other may be covered a little."""
    if abs(left.z - right.z) > 0.8 and not (left.floats or right.floats):
        return gap - 0.42 * min(left.half_width, right.half_width, 0.6)
    return gap
