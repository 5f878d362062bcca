"""The networks that judge samples, and the labels that they are trained on: small ones, on a shard of renderings."""

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch

from cn.caption.scene_captioner import _boundaries, _gaps, _instances, readings
from cn.caption.scene_labels import COLORS, GROUNDS, LIGHTS, MAX_PEOPLE, PARTS, PERSON, TABLE, WEATHERS
from cn.caption.scene_reader import Reading
from cn.checkpoints.write.native import save_base
from cn.pretrain import labels
from cn.pretrain.dense import DenseLoss, DenseProbe, draw, focal_loss, heat_maps, peaks
from cn.pretrain.judges import DENSE, READER, JudgeConfig, open_dense, open_reader, train_dense, train_reader
from cn.pretrain.labelled import LabelledImages, compressed, degraded
from cn.pretrain.reader import across_of
from cn.pretrain.session import Budget
from cn.scenes import describe, kinds, render
from cn.scenes.colors import LINEAR
from cn.scenes.scene import Item
from cn.scenes.scene_model import build_scene_model
from tests.helpers.model_helpers import TINY_V, tiny_base

CPU = torch.device("cpu")
SCENES = [describe(5, number) for number in range(16)]
COUNT = 6


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A few 64-pixel scenes with labels, as a shard."""
    folder = tmp_path_factory.mktemp("pool")
    views = [render(scene, 64) for scene in SCENES[:COUNT]]
    rows = [labels.labels(scene, view) for scene, view in zip(SCENES[:COUNT], views, strict=True)]
    for name in rows[0]:
        np.save(folder / f"000000.{name}.npy", np.stack([row[name] for row in rows]))
    np.save(folder / "000000.rgb.npy", np.stack([view.rgb for view in views]))
    (folder / "000000.json").write_text("[]")
    return folder


@cache
def scene_of(kind):
    """One thing alone, or a person, on a meadow (boats on a lake), near enough to be seen well."""
    if kind == PERSON:
        return next(scene for scene in SCENES if any(item.person for item in scene.items))
    spec = kinds.KINDS[kind]
    colors = tuple((part, choices[-1]) for part, choices in spec.parts)
    item = Item(kind, colors, (0.0, 0.0, 0.0), 0.5, 1.0)
    tall = max(spec.height, 1.5 * spec.half_width)
    eye, target = (0.0, 0.7 * tall, 3.2 * tall), (0.0, 0.5 * spec.height, 0.0)
    ground = "water" if kind == "boat" else "meadow"
    return replace(SCENES[0], ground=ground, items=(item,), table=None, eye=eye, target=target)


@pytest.mark.parametrize("kind", [*kinds.KINDS, PERSON])
def test_every_colored_part_of_a_thing_is_labelled_with_its_color(kind):
    """Also fur and leaves, whose material has another name than their color."""
    seen, scene = set(), scene_of(kind)
    cells = labels.cells_of(scene)
    for number, item in enumerate(scene.items):
        here = cells["cells_owners"] == number
        pairs = set(zip(cells["cells_parts"][here].tolist(), cells["cells_colors"][here].tolist(), strict=True))
        for part, color in pairs:
            thing, name = PARTS[part]
            assert thing == item.kind
            assert (color == labels.NONE) == (name == "")
            assert name == "" or COLORS[color] == labels.parts_of(item)[name]
            seen.add((thing, name))
    parts = dict(kinds.KINDS[kind].parts) if kind != PERSON else {"top": ()}
    assert {(kind, part) for part in parts} <= seen


def test_nothing_but_colored_parts_takes_the_color_of_a_mark():
    """A solid that has a mark's color in the marked copy has none of the marks' colors in the scene itself."""
    for scene in (*SCENES, *map(scene_of, kinds.KINDS)):
        marks = [dict(zip(labels.parts_of(item), labels.MARKS, strict=False)) for item in scene.items]
        items = [labels.recolored(item, mark) for item, mark in zip(scene.items, marks, strict=True)]
        copy = replace(scene, items=tuple(items))
        own, marked = build_scene_model(scene).solids, build_scene_model(copy).solids
        # Other colors are no other random numbers: what surrounds the things is the same.
        around, same = ([solid.matrix for solid in solids if solid.owner < 0] for solids in (own, marked))
        assert np.array_equal(around, same)
        for solid in own:
            for mark in marks[solid.owner].values() if solid.owner >= 0 else ():
                assert not np.array_equal(solid.color, LINEAR[mark])


def test_labels_say_what_the_scene_is():
    for scene in SCENES:
        ground, light, weather, people = labels.whole_of(scene)
        assert GROUNDS[ground] in (scene.ground, "raft" if scene.ground == "water" else "")
        assert (LIGHTS[light], WEATHERS[weather]) == (scene.light, scene.weather)
        assert people == min(MAX_PEOPLE, sum(item.person is not None for item in scene.items))
        if scene.table is not None:
            cells = labels.cells_of(scene)
            here = cells["cells_owners"] == len(scene.items)
            assert {PARTS[part] for part in np.unique(cells["cells_parts"][here])} == {(TABLE, "body")}


def test_dense_labels_are_those_of_the_view():
    view = render(scene_of(PERSON), 64)
    found = labels.dense_of(view)
    assert np.array_equal(found["dense_ade20k"], view.classes[2::4, 2::4] - 1)
    assert np.array_equal(found["dense_coco"], view.coco[2::4, 2::4])
    assert np.allclose(found["dense_normals"] / 127, view.normals[2::4, 2::4], atol=0.005)
    people = len(view.keypoints)
    assert np.allclose(found["dense_keypoints"][:people] * (64, 64, 1), view.keypoints, atol=0.1)
    assert not found["dense_keypoints"][people:].any()


def test_compression_keeps_smooth_images_and_worsens_others():
    torch.manual_seed(0)
    flat, noise = torch.full((1, 3, 16, 16), 0.3), torch.randn(1, 3, 16, 16)
    step = torch.full((1, 1, 1, 1), 0.1)
    assert torch.allclose(compressed(flat, step), flat, atol=0.01)
    assert torch.allclose(compressed(noise, 1e-4 * step), noise, atol=1e-3)
    assert 0.01 < float((compressed(noise, 5 * step) - noise).abs().mean()) < 1
    assert degraded(noise).shape == noise.shape


def test_images_come_with_their_labels(folder):
    data = LabelledImages.open(folder, labels.CELL_LABELS, COUNT, CPU)
    data.reconstructed = 255 - data.rgb[:3]
    torch.manual_seed(0)
    images, true = data.draw(64)
    for image, whole in zip(((images + 1) * 127.5).round().byte(), true["whole"], strict=True):
        plain = [k for k in range(COUNT) if torch.equal(image, data.rgb[k])]
        inverted = [k for k in range(3) if torch.equal(image, data.reconstructed[k])]
        assert torch.equal(data.labels["whole"][(plain or inverted)[0]], whole)
    with pytest.raises(ValueError, match="no rendered scenes with the labels what"):
        LabelledImages.open(folder, ("what",), COUNT, CPU)


def test_middles_are_where_owners_are():
    owners = torch.full((1, 2, 4), labels.NONE)
    owners[0, :, 0], owners[0, 0, 3], owners[0, 0, 1] = 0, 1, 1
    across, known = across_of(owners)
    assert torch.equal(known[0], torch.tensor([[1.0, 1, 0, 1], [1, 0, 0, 0]]))
    assert torch.allclose(across[0], torch.tensor([[0.0, 0.25, 0, -0.25], [0, 0, 0, 0]]))


def test_things_of_one_kind_are_told_apart_by_their_middles():
    votes = torch.tensor([0.1] * 8 + [0.12] * 8 + [0.5] * 9 + [0.9] * 10)
    weights = torch.ones(35)
    assert len(_gaps(votes, weights)) == 2
    low, high = _boundaries(votes, weights, 3)
    assert 0.12 < low <= 0.5 < high <= 0.9
    assert _boundaries(votes, weights, 1) == []
    middles = votes.reshape(5, 7)
    assert [int(where.sum()) for where in _instances(torch.ones(5, 7), middles, 3)] == [16, 9, 10]
    assert [int(where.sum()) for where in _instances(torch.ones(5, 7), middles, None)] == [16, 9, 10]


def test_several_people_are_read_each_in_their_own_color():
    """A reading without doubt: three people, the middle one in red."""
    n, top = len(PARTS), PARTS.index((PERSON, "top"))
    parts, colors, across = (
        torch.full((1, 8, 9, n), -9.0),
        torch.full((1, 8, 9, len(COLORS)), -9.0),
        torch.zeros(1, 8, 9),
    )
    parts[..., 0] = 0
    for place, color in enumerate(("blue", "red", "blue")):
        columns = slice(3 * place, 3 * place + 3)
        parts[:, 2:7, columns, top] = 9
        colors[:, :, columns, COLORS.index(color)] = 9
        across[:, :, columns] = torch.tensor([1.0, 0.0, -1.0]) / 9
    ground, light, weather = (torch.eye(size)[:1] for size in (len(GROUNDS), len(LIGHTS), len(WEATHERS)))
    people = torch.eye(MAX_PEOPLE + 1)[3:4]
    (found,) = readings(Reading(parts, colors, across, ground, light, weather, people))
    assert [(seen.thing, dict(seen.colors)) for seen in found.seen] == [
        (PERSON, {"top": color}) for color in ("blue", "red", "blue")
    ]
    assert (found.ground, found.light, found.weather) == (GROUNDS[0], LIGHTS[0], WEATHERS[0])


def test_keypoints_are_found_where_their_maps_have_them():
    keypoints = torch.zeros(1, 2, 18, 3)
    keypoints[0, 0, 3] = torch.tensor([0.25, 0.5, 1.0])
    keypoints[0, 1, 3] = torch.tensor([0.75, 0.5, 0.5])
    keypoints[0, 1, 7] = torch.tensor([0.1, 0.9, 1.0])
    keypoints[0, 0, 9] = torch.tensor([0.5, 0.5, 0.0])
    heat = heat_maps(keypoints, 16, 16)
    assert int((heat == 1).sum()) == 3
    logits = torch.logit(heat.clamp(1e-4, 1 - 1e-4))
    (found,) = peaks(logits)
    assert sorted(float(x) for x in found[found[:, 3, 2] > 0, 3, 0]) == pytest.approx([0.28125, 0.78125])
    assert [float(x) for x in found[found[:, 7, 2] > 0, 7, 1]] == pytest.approx([0.90625])
    assert not found[:, 9, 2].any()
    assert float(focal_loss(logits, heat)) < 0.1 * float(focal_loss(logits.flip(3), heat))


def test_judges_are_trained_saved_and_opened(folder, tmp_path):
    """A few steps from the same start make the loss smaller; files keep the weights in half precision."""
    (tmp_path / "pool").symlink_to(folder)
    train_reader(tmp_path, COUNT, CPU, Budget(steps=1), JudgeConfig(batch_size=2, warmup=1))
    opened = open_reader(tmp_path / READER, CPU)
    assert opened(torch.randn(1, 3, 128, 128)).parts.shape == (1, 32, 32, len(PARTS))
    assert (tmp_path / READER).stat().st_size < 2_000_000
    save_base(tmp_path / "autoencoder.safetensors", tiny_base(TINY_V), half=False)
    settings = JudgeConfig(batch_size=2, warmup=1, ema_decay=0.0, reconstructions=2)
    train_dense(tmp_path, COUNT, CPU, Budget(steps=3), settings)
    probe = open_dense(tmp_path / DENSE, CPU)
    torch.manual_seed(0)
    batch = draw(LabelledImages.open(folder, labels.DENSE_LABELS, COUNT, CPU), COUNT, 0)
    torch.manual_seed(settings.seed)
    with torch.no_grad():
        before, after = float(DenseLoss(DenseProbe())(*batch)), float(DenseLoss(probe)(*batch))
    assert after < before
    assert probe(batch[0]).depth.shape == (COUNT, 1, 16, 16)
