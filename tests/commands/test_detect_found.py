"""What `cn detect` says that it has found, and what it does where it found nothing or failed."""

import json

import pytest
from PIL import Image

from cn.detect.lines import hough
from cn.detect.nets.cpu import optimize_for_cpu
from cn.detect.nets.loading import load_net
from cn.detect.network import open_network
from cn.detect.surfaces import depth
from cn.detect.surfaces.depth import DepthDetector
from cn.detect.surfaces.normal import NormalDetector
from tests.helpers.cli import cn
from tests.helpers.detect_cases import WEIGHT_FREE, house, the_map, tree


def test_records_say_what_was_found(tmp_path):
    Image.fromarray(house()).save(tmp_path / "a.png")
    expected = {"canny": "edges", "hough": "lines", "hed": "edges", "scribble": "strokes", "lineart": "lines"}
    free = {"canny": (), **{kind: WEIGHT_FREE[kind][1:] for kind in ("hough", "hed", "scribble", "lineart")}}
    for kind, name in expected.items():
        done = cn("detect", kind, "a.png", f"{kind}.png", *free[kind], "--json", cwd=tmp_path)
        found = json.loads(done.stdout)["found"]
        made = the_map(tmp_path / f"{kind}.png")
        assert list(found) == [name]
        if kind == "hough":
            assert found["lines"] == len(hough.lsd_lines(house())) > 0
        else:
            assert found[name] == round(float((made >= 128).mean()), 4) > 0


def test_networks_say_how_near_and_how_flat(made_up):
    network = open_network("depth", str(made_up["midas"]))
    (near,) = DepthDetector(network).detect([house()], ["a"])
    (inverse,) = depth.inverse_depth(optimize_for_cpu(load_net("depth", made_up["midas"])), [house()])
    assert near.found == {"nearest": round(float(inverse.max()), 4), "farthest": round(float(inverse.min()), 4)}
    (flat,) = NormalDetector(network, strength=1e4).detect([house()], ["a"])
    assert flat.found["flat"] > 0.9
    assert flat.found | near.found == flat.found


@pytest.mark.parametrize("kind", ["canny", "hough", "hed", "scribble", "lineart"])
def test_nothing_found_is_kept_skipped_or_a_failure_as_asked(kind, tmp_path):
    (tmp_path / "in").mkdir()
    Image.fromarray(house()).save(tmp_path / "in" / "house.png")
    Image.new("RGB", (130, 96), (120, 130, 140)).save(tmp_path / "in" / "wall.png")
    free = () if kind == "canny" else WEIGHT_FREE[kind][1:]
    kept = cn("detect", kind, "in", "kept", *free, cwd=tmp_path)
    assert (kept.returncode, kept.stderr) == (0, "kept: 2 written\nwarning: nothing was found (1 image)\n")
    assert not the_map(tmp_path / "kept" / "wall.png").any()
    skipped = cn("detect", kind, "in", "skipped", *free, "--on-empty", "skip", "--json", cwd=tmp_path)
    assert (skipped.returncode, skipped.stderr) == (0, "skipped: 1 written, 1 with nothing found (no file)\n")
    assert list(tree(tmp_path / "skipped")) == ["house.png"]
    record = {r["path"]: r for r in map(json.loads, skipped.stdout.splitlines())}["in/wall.png"]
    assert (record["status"], record["size"], set(record["found"].values())) == ("empty", None, {0})
    failed = cn("detect", kind, "in", "failed", *free, "--on-empty", "fail", cwd=tmp_path)
    assert (failed.returncode, failed.stdout) == (5, "failed/house.png\n")
    assert failed.stderr.splitlines() == [
        "cn: in/wall.png: nothing was found in it",
        "failed: 1 written, 1 failed",
        "cn: 1 of 2 images failed; the others are done",
    ]
    alone = cn("detect", kind, "in/wall.png", "alone.png", *free, "--on-empty", "fail", cwd=tmp_path)
    assert (alone.returncode, alone.stderr) == (3, "cn: in/wall.png: nothing was found in it\n")
    assert not (tmp_path / "alone.png").exists()


def test_each_of_many_failures_has_its_line_and_the_summary_counts_them(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(14):
        (tmp_path / "in" / f"{number:02}.png").write_text("words")
    Image.fromarray(house()).save(tmp_path / "in" / "a.png")
    done = cn("detect", "canny", "in", "out", cwd=tmp_path)
    assert done.returncode == 5
    *lines, summary, last = done.stderr.splitlines()
    assert sorted(lines) == [f"cn: in/{number:02}.png: not an image but text" for number in range(14)]
    assert (summary, last) == ("out: 1 written, 14 failed", "cn: 14 of 15 images failed; the others are done")
