"""`--fix`: what is repaired is right then, the originals come back byte for byte, and no kill leaves half a dataset."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from cn import images
from cn.conditions import ConditionInfo
from cn.data.lint.contents import read_contents
from cn.data.lint.fix import fix
from cn.data.lint.lint import Lint, LintSettings
from cn.data.lint.undo import exclusive, undo
from cn.data.records import read_records
from cn.detect.segmentation.palettes import ADE20K, paint
from cn.errors import InputError, UsageError
from tests.data.lint.photographs import NAMES, photograph
from tests.helpers.kills import repair_killed


def shot(number: int) -> np.ndarray:
    return images.resize(photograph(NAMES[number]), (128, 128))


def edges(number: int) -> np.ndarray:
    from cn.detect.lines.canny import canny

    return np.repeat(canny(shot(number), 80, 160)[..., None], 3, axis=2)


def labels(number: int) -> np.ndarray:
    """Areas of a few classes that follow the image's brightness."""
    gray = cv2.GaussianBlur(shot(number).mean(axis=2), (0, 0), 4)
    return paint(np.where(gray > 128, 3, np.where(gray > 70, 16, 40)), ADE20K)


def faulty(root: Path) -> Path:
    """Two kinds of four images, of which each fault that can be repaired has its own."""
    lines: dict[str, list[str]] = {"canny": [], "ade20k": []}
    (root / "target").mkdir(parents=True)
    for number in range(6):
        images.write(root / f"target/{number}.png", shot(number))
        for kind, make in (("canny", edges), ("ade20k", labels)):
            (root / kind / "source").mkdir(parents=True, exist_ok=True)
            info = ConditionInfo(kind, "by hand").to_text()
            images.write(root / kind / f"source/{number}.png", make(number), info)
            record = {"source": f"source/{number}.png", "target": f"../target/{number}.png", "prompt": f"no {number}"}
            lines[kind].append(json.dumps(record))
    images.write(root / "canny/source/1.png", 255 - edges(1), ConditionInfo("canny", "by hand").to_text())
    images.write(root / "ade20k/source/2.png", labels(2)[..., ::-1])
    images.write(root / "ade20k/source/3.jpg", labels(3))
    lines["ade20k"][3] = lines["ade20k"][3].replace("3.png", "3.jpg", 1)
    (root / "ade20k/source/3.png").unlink()
    lines["canny"][4] = lines["canny"][4].replace("no 4", "  no 4\\n")
    lines["canny"].insert(2, '{"source": "source/9.png"')
    (root / "canny/source/5.png").write_bytes(b"no image")
    for kind, texts in lines.items():
        (root / kind / "prompt.json").write_text("\n".join(texts) + "\n")
    return root


def findings(root: Path) -> list:
    return list(Lint.open(root, LintSettings()).findings())


def rules(root: Path) -> list[str]:
    return sorted(finding.rule for finding in findings(root))


def snapshot(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


FAULTS = ["broken", "broken-line", "caption-spaces", "inverted", "reversed-channels", "smeared-colors"]


def test_what_is_repaired_is_right_and_comes_back_byte_for_byte(tmp_path):
    root = faulty(tmp_path / "set")
    before = snapshot(root)
    assert rules(root) == FAULTS
    done = fix(read_contents(root), findings(root))
    assert sorted(finding.rule for finding in done.findings) == FAULTS
    assert done.failures == []
    assert rules(root) == []

    assert np.array_equal(images.read(root / "canny/source/1.png"), edges(1))
    assert images.read_info(root / "canny/source/1.png") == ConditionInfo("canny", "by hand").to_text()
    assert np.array_equal(images.read(root / "ade20k/source/2.png"), labels(2))
    snapped = images.read(root / "ade20k/source/3.png")
    assert (snapped == labels(3)).all(axis=2).mean() > 0.95, "pixels along the edges may take the class beside them"
    records = [json.loads(line) for line in (root / "ade20k/prompt.json").read_text().splitlines()]
    assert records[3]["source"] == "source/3.png"
    assert [pair.prompt for pair in read_records(root / "canny")] == [f"no {number}" for number in range(5)]
    kept = {name: data for name, data in snapshot(root).items() if not name.startswith("lint/")}
    assert kept.keys() == before.keys() | {"ade20k/source/3.png"}, "no file is removed"

    undo(root)
    assert snapshot(root) == before
    assert not (root / "lint").exists()


def test_lines_that_do_not_change_keep_their_bytes(tmp_path):
    root = faulty(tmp_path / "set")
    odd = '{"target":"../target/0.png",   "source": "source/0.png", "prompt": "\\u00e9", "more": [1, 2.50]}'
    file = root / "canny/prompt.json"
    lines = file.read_bytes().splitlines(keepends=True)
    lines[0] = odd.encode() + b"\r\n"
    file.write_bytes(b"".join(lines))
    fix(read_contents(root), findings(root))
    assert file.read_bytes().splitlines(keepends=True)[0] == lines[0]


def test_a_dry_run_changes_nothing(tmp_path):
    root = faulty(tmp_path / "set")
    before = snapshot(root)
    done = fix(read_contents(root), findings(root), dry_run=True)
    assert sorted(finding.rule for finding in done.findings) == FAULTS
    assert snapshot(root) == before


def test_runs_are_undone_one_after_the_other_the_last_one_first(tmp_path):
    root = faulty(tmp_path / "set")
    states = [snapshot(root)]
    fix(read_contents(root), [f for f in findings(root) if f.rule == "inverted"])
    states.append({name: data for name, data in snapshot(root).items() if not name.startswith("lint/")})
    fix(read_contents(root), findings(root))
    undo(root)
    assert {name: data for name, data in snapshot(root).items() if not name.startswith("lint/")} == states[1]
    undo(root)
    assert snapshot(root) == states[0]
    with pytest.raises(InputError, match="could be undone"):
        undo(root)


def test_nothing_is_undone_where_a_file_was_edited_since(tmp_path):
    root = faulty(tmp_path / "set")
    fix(read_contents(root), findings(root))
    (root / "canny/prompt.json").write_text("mine\n")
    before = snapshot(root)
    with pytest.raises(InputError, match=r"canny/prompt.json: was changed after .* its original is .*undo/0001"):
        undo(root)
    assert snapshot(root) == before


def test_maps_outside_of_the_dataset_are_left_as_they_are(tmp_path):
    root = faulty(tmp_path / "set")
    outside = tmp_path / "outside.png"
    (root / "canny/source/1.png").rename(outside)
    (root / "canny/source/1.png").symlink_to(outside)
    before = outside.read_bytes()
    done = fix(read_contents(root), [f for f in findings(root) if f.rule == "inverted"])
    assert done.findings == []
    assert done.failures == [f"{root}/canny/source/1.png: is not stored in the dataset, so that it is left as it is"]
    assert outside.read_bytes() == before


def test_labels_in_colors_of_no_class_are_not_guessed(tmp_path):
    root = faulty(tmp_path / "set")
    map = labels(0)
    map[:40, :40] = (123, 77, 33)
    images.write(root / "ade20k/source/0.png", map)
    found = [f for f in findings(root) if f.rule in ("off-palette", "no-palette")]
    assert len(found) == 1
    done = fix(read_contents(root), found)
    assert done.findings == []
    assert "cannot be repaired without a guess" in done.failures[0]


def test_a_dataset_does_not_become_empty(tmp_path):
    root = faulty(tmp_path / "set")
    for path in root.glob("target/*.png"):
        path.write_bytes(b"")
    before = snapshot(root)
    with pytest.raises(InputError, match="every line would be left out"):
        fix(read_contents(root), [f for f in findings(root) if f.rule == "broken"])
    assert snapshot(root) == before


def test_an_array_becomes_lines(tmp_path):
    root = faulty(tmp_path / "set")
    file = root / "canny/prompt.json"
    records = [json.loads(line) for line in file.read_text().splitlines() if line.endswith("}")]
    file.write_text(json.dumps(records, indent=1))
    fix(read_contents(root), findings(root))
    assert [pair.prompt for pair in read_records(root / "canny")] == [f"no {number}" for number in range(5)]


def test_other_layouts_are_not_repaired(tmp_path):
    images.write(tmp_path / "a.png", shot(0))
    (tmp_path / "a.txt").write_text("a")
    with pytest.raises(UsageError, match="datasets with prompt"):
        fix(read_contents(tmp_path), [])


def test_two_repairs_at_once_do_not_mix(tmp_path):
    root = faulty(tmp_path / "set")
    with exclusive(root), pytest.raises(InputError, match="is being repaired by another"):
        fix(read_contents(root), findings(root))


@pytest.mark.slow
def test_killed_at_any_place_the_dataset_is_whole_and_is_undone(tmp_path):
    """Each map is the old or the new one, each line names files that are there; undo brings all back."""
    root = faulty(tmp_path / "set")
    before = snapshot(root)
    fix(read_contents(root), findings(root))
    after = {name: data for name, data in snapshot(root).items() if not name.startswith("lint/")}
    undo(root)
    killed = 0
    for place in range(1, 60, 4):
        ended = repair_killed(root, "fix", place)
        now = {
            name: data for name, data in snapshot(root).items() if not name.startswith("lint/") and ".cn-" not in name
        }
        assert all(data in (before.get(name), after.get(name)) for name, data in now.items())
        assert before.keys() <= now.keys()
        names = [json.loads(line)["source"] for line in now["ade20k/prompt.json"].decode().splitlines()]
        assert {f"ade20k/{name}" for name in names} <= now.keys()
        if ended == 0:
            break
        killed += 1
        while (root / "lint/undo").is_dir() and any(path.name.isdecimal() for path in (root / "lint/undo").iterdir()):
            undo(root)
        assert {name: data for name, data in snapshot(root).items() if ".cn-" not in name} == before
    assert killed >= 5
    assert ended == 0


@pytest.mark.slow
def test_undo_that_is_killed_is_complete_after_another_one(tmp_path):
    root = faulty(tmp_path / "set")
    before = snapshot(root)
    for place in range(1, 40, 3):
        fix(read_contents(root), findings(root))
        ended = repair_killed(root, "undo", place)
        if ended == 0:
            break
        if (root / "lint/undo/0001").is_dir():
            undo(root)
        now = {name: data for name, data in snapshot(root).items() if ".cn-" not in name}
        assert now == before
    assert place > 10
    assert os.path.exists(root / "target/0.png")
