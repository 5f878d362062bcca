"""COCO's panoptic maps as ids of COCO-Stuff, and what is refused."""

import json

import numpy as np
import pytest

from cn.detect.segmentation.palettes import COCO_STUFF, NONE
from cn.detect.segmentation.panoptic import PanopticLabels, ids_of_categories
from cn.errors import InputError
from tests.detect.segmentation.test_labels import gray, saved


def panoptic(folder, annotations, **more):
    path = folder / "panoptic.json"
    path.write_text(json.dumps({"annotations": annotations, **more}))
    return path


def coded_png(path, segments):
    """A map whose pixels are segment numbers."""
    numbers = np.array(segments)
    return saved(path, np.stack([numbers % 256, numbers // 256 % 256, numbers // 65536], axis=-1).astype(np.uint8))


def segment(number, category):
    return {"id": number, "category_id": category, "iscrowd": 0, "bbox": [0, 0, 1, 1], "area": 1}


def test_panoptic_maps_become_ids_of_coco_stuff(tmp_path):
    segments = [segment(7, 1), segment(300, 13), segment(70_000, 184), segment(16_777_215, 199), segment(9, 183)]
    annotations = [
        {"image_id": 1, "file_name": "0001.png", "segments_info": segments},
        {"image_id": 2, "file_name": "0002.png", "segments_info": [segment(7, 200)]},
    ]
    known = PanopticLabels(panoptic(tmp_path, annotations, categories=[{"id": 1, "name": "person", "isthing": 1}]))
    read = known.read(coded_png(tmp_path / "0001.png", [[0, 7, 300], [70_000, 16_777_215, 9]]))
    assert read.dtype == np.uint8
    names = [[COCO_STUFF.names[i] if i != NONE else None for i in row] for row in read]
    assert names == [[None, "person", "stop sign"], ["tree", "wall-other", None]]
    other = known.read(coded_png(tmp_path / "0002.png", [[7, 7]]))
    assert (other == COCO_STUFF.id_of("rug")).all()


def test_every_category_of_the_panoptic_task_has_a_class():
    table = ids_of_categories()
    assert table.shape == (201,)
    # 80 things and 36 kinds of stuff of their own, at their number less one; 17 merged.
    assert COCO_STUFF.names[table[1]] == "person"
    assert COCO_STUFF.names[table[90]] == "toothbrush"
    assert COCO_STUFF.names[table[92]] == "banner"
    assert COCO_STUFF.names[table[181]] == "window-other"
    assert [COCO_STUFF.names[i].removesuffix("-other") for i in table[184:]] == [
        "tree", "fence", "ceiling", "sky", "cabinet", "table", "floor", "pavement", "mountain", "grass", "dirt",
        "paper", "food", "building", "rock", "wall", "rug"
    ]  # fmt: skip
    assert set(np.flatnonzero(table == NONE).tolist()) == {0, 12, 26, 29, 30, 45, 66, 68, 69, 71, 83, 91, 183}


def test_panoptic_maps_and_annotations_that_do_not_go_together(tmp_path):
    annotation = {"image_id": 1, "file_name": "0001.png", "segments_info": [segment(7, 1), segment(8, 201)]}
    known = PanopticLabels(panoptic(tmp_path, [annotation]))
    with pytest.raises(InputError, match=r"0002\.png.*panoptic\.json has no annotation"):
        known.read(coded_png(tmp_path / "0002.png", [[7]]))
    with pytest.raises(InputError, match=r"segment 8 of 0001\.png has category 201"):
        known.read(coded_png(tmp_path / "0001.png", [[7]]))
    annotation["segments_info"] = [segment(7, 1)]
    known = PanopticLabels(panoptic(tmp_path, [annotation]))
    with pytest.raises(InputError, match=r"0001\.png.*does not describe its segment 263"):
        known.read(coded_png(tmp_path / "0001.png", [[7, 263]]))
    with pytest.raises(InputError, match=r"0001\.png.*one channel"):
        known.read(gray(tmp_path / "0001.png", [7, 7]))
    with pytest.raises(InputError, match="no such file"):
        known.read(tmp_path / "none" / "0001.png")


@pytest.mark.parametrize(
    "text",
    ["", "{", "[]", "{}", '{"annotations": {}}', '{"annotations": [{"id": 1, "category_id": 2, "image_id": 3}]}',
     '{"annotations": [{"file_name": "a.png"}]}', '{"annotations": [{"segments_info": []}]}',
     '{"annotations": [{"file_name": "a.png", "segments_info": [{"id": "x", "category_id": 1}]}]}',
     '{"annotations": [{"file_name": "a.png", "segments_info": [3]}]}', "[" * 100_000],
)  # fmt: skip
def test_what_is_no_panoptic_annotation_is_refused(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(InputError, match=r"a\.json: (is not a panoptic|invalid JSON)") as caught:
        PanopticLabels(tmp_path / "a.json")
    assert "\n" not in str(caught.value)


def test_missing_annotations_are_named(tmp_path):
    with pytest.raises(InputError, match=r"a\.json: no such file"):
        PanopticLabels(tmp_path / "a.json")
    with pytest.raises(InputError, match="cannot be read"):
        PanopticLabels(tmp_path)
