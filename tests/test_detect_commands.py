"""`cn detect KIND` beside Canny through the command line: maps, what their PNGs say, resuming, failures."""

import contextlib
import inspect
import json
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from cn import images
from cn.commands.detect import surfaces
from cn.commands.detect.lines import hough
from cn.conditions import ConditionInfo, get
from cn.detect import batch, depth, effort, jobs, lineart, lines, loading, methods, normal, scribble, soft_edge, sources
from cn.detect.detectors import BGR, DARK, WHITE, DepthDetector, HedDetector, HoughDetector, NormalDetector
from cn.detect.jobs import Job
from cn.detect.nets.hed import ControlNetHED
from cn.detect.nets.inference import rearranged
from cn.detect.nets.midas_small import MidasSmall
from cn.detect.nets.sketch import Anime2Sketch
from cn.errors import InputError, UsageError, WeightsError
from cn.files import sha256
from cn.sample.request import make_conditions
from cn.weights import published
from tests.cli import cn, start_cn
from tests.golden.make_detectors_edges import REAL_WEIGHTS, fill

MLSD, TIN = REAL_WEIGHTS / "mlsd_tiny_512_fp32.pth", REAL_WEIGHTS / "TIN2.pth"
needs_real = pytest.mark.skipif(not (MLSD.is_file() and TIN.is_file()), reason=f"{REAL_WEIGHTS} is not here")

WEIGHT_FREE = {
    "hough": ("hough", "--method", "lsd"),
    "hed": ("hed", "--method", "gradient"),
    "scribble": ("scribble", "--method", "gradient"),
    "random scribble": ("scribble", "--method", "gradient", "--random", "--seed", "7"),
    "drawing": ("scribble", "--from-drawing"),
    "lineart": ("lineart", "--method", "standard"),
    "dark lineart": ("lineart", "--method", "standard", "--invert"),
}


def house(seed: int = 0, height: int = 96, width: int = 130) -> np.ndarray:
    """A dark block with a light window before a light sky: straight lines, surfaces, and most of it light."""
    rng = np.random.default_rng(seed)
    image = np.full((height, width, 3), (190, 210, 240), np.uint8)
    top, left = (int(rng.integers(20, 30)) for _ in range(2))
    image[top:, left : left + 50] = (90, 60, 50)
    image[top + 15 : top + 35, left + 15 : left + 35] = (250, 240, 200)
    return image


def photographs(folder: Path, count: int = 3) -> Path:
    (folder / "sub").mkdir(parents=True)
    for number in range(count):
        Image.fromarray(house(number)).save(folder / ("sub" if number == 1 else "") / f"{number}.png")
    return folder


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def info_of(path: Path) -> ConditionInfo:
    info = ConditionInfo.from_text(images.read_info(path))
    assert info is not None
    return info


def the_map(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """What each of several pictures has."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def made_up(tmp_path_factory) -> dict[str, Path]:
    """Files of three networks with made-up weights, which load as the published ones do."""
    folder = tmp_path_factory.mktemp("weights")
    torch.manual_seed(0)
    networks: dict[str, nn.Module] = {
        "hed": fill(ControlNetHED()),
        "midas": MidasSmall(),
        "sketch": fill(Anime2Sketch()),
    }
    for name, network in networks.items():
        halves = {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}
        save_file(halves, folder / f"{name}.safetensors")
    return {name: folder / f"{name}.safetensors" for name in networks}


@pytest.mark.parametrize("name", WEIGHT_FREE)
def test_workers_and_interruptions_change_no_byte(name, tmp_path):
    photographs(tmp_path / "in")
    words = ("detect", *WEIGHT_FREE[name], "--recursive")
    one = cn(*words[:2], "in", "one", *words[2:], "--workers", "1", cwd=tmp_path)
    assert one.returncode == 0, one.stderr
    assert sorted(one.stdout.split()) == ["one/0.png", "one/2.png", "one/sub/1.png"]
    two = cn(*words[:2], "in", "two", *words[2:], "--workers", "2", cwd=tmp_path)
    assert two.returncode == 0, two.stderr
    assert tree(tmp_path / "one") == tree(tmp_path / "two")
    before = tree(tmp_path / "one")
    (tmp_path / "one" / "2.png").unlink()
    again = cn(*words[:2], "in", "one", *words[2:], cwd=tmp_path)
    assert (again.stdout, again.stderr) == ("one/2.png\n", "one: 1 written, 2 already there\n")
    assert tree(tmp_path / "one") == before


def test_maps_without_weights_are_those_of_the_functions_and_say_so(tmp_path):
    photograph = house()
    Image.fromarray(photograph).save(tmp_path / "a.png")
    soft = soft_edge.gradient_soft_edge(photograph)
    random = scribble.random_augmentation(7, "a.png")
    expected = {
        "hough": lines.draw_lines(lines.lsd_lines(photograph), (96, 130)),
        "hed": soft,
        "scribble": scribble.released(soft),
        "random scribble": scribble.augmented(soft, random),
        "drawing": scribble.from_drawing(photograph),
        "lineart": lineart.standard_lineart(photograph),
        "dark lineart": lineart.standard_lineart(photograph, invert=True),
    }
    conventions = {"lineart": WHITE, "dark lineart": DARK}
    for name, (kind, *options) in WEIGHT_FREE.items():
        out = tmp_path / f"{name}.png"
        done = cn("detect", kind, "a.png", out, *options, "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        record = json.loads(done.stdout)
        assert (record["status"], record["size"]) == ("written", [130, 96])
        found, info = the_map(out), info_of(out)
        assert (found.dtype, found.shape) == (np.uint8, (96, 130))
        assert np.array_equal(found, expected[name]), name
        # Something was found, and the ground is black, but for dark lines on white.
        assert 0 < (found > 127).mean() < 1
        assert np.median(found) == (255 if name == "dark lineart" else 0)
        assert (info.kind, info.weights_sha256) == (kind, None)
        assert info.params["convention"] == conventions.get(name, get(kind).convention)
        assert info.params["method"] == ("from-drawing" if name == "drawing" else options[1])
    assert info_of(tmp_path / "random scribble.png").params["augmentation"] == random.record()


@needs_real
def test_published_weights_draw_lines_and_edges_and_their_hash_is_kept(tmp_path):
    photographs(tmp_path / "in", count=2)
    cases = {
        "hough": (MLSD, "M-LSD tiny", {"method": "mlsd", "score": 0.1, "length": 0.1}),
        "hed": (TIN, "TIN", {"method": "tin"}),
        "scribble": (TIN, "scribble from TIN", {"method": "tin"}),
    }
    for kind, (weights, detector, params) in cases.items():
        # Scribbles come from the same edges: their second run would show nothing more.
        for workers in ("1",) if kind == "scribble" else ("1", "2"):
            words = ("--weights", weights, "--recursive", "--workers", workers)
            done = cn("detect", kind, "in", f"{kind}{workers}", *words, cwd=tmp_path)
            assert done.returncode == 0, done.stderr
            assert tree(tmp_path / f"{kind}{workers}") == tree(tmp_path / f"{kind}1")
        info = info_of(tmp_path / f"{kind}1" / "sub" / "1.png")
        stated = {**params, "convention": get(kind).convention}
        assert info == ConditionInfo(kind, detector, stated, sha256(weights))
    with one_thread():
        soft = soft_edge.soft_edges(rearranged(soft_edge.open_soft_edge(TIN)), house(1)[None])[0]
        (found,) = lines.mlsd_lines(rearranged(lines.open_mlsd(MLSD)), house(1)[None])
    assert np.array_equal(the_map(tmp_path / "hed1/sub/1.png"), soft)
    assert np.array_equal(the_map(tmp_path / "hough1/sub/1.png"), lines.draw_lines(found, (96, 130)))
    assert np.array_equal(the_map(tmp_path / "scribble1/sub/1.png"), scribble.released(soft))
    for kind in cases:
        assert (the_map(tmp_path / f"{kind}1/sub/1.png") > 127).any(), kind


@needs_real
def test_weights_of_another_method_are_one_line_and_exit_code_4(tmp_path):
    photographs(tmp_path / "in")
    for words, said in (
        (("hed", "--weights", MLSD), "holds none of the soft edge networks"),
        (("hough", "--weights", TIN), "holds none of M-LSD's networks"),
        (("hed", "--method", "hed", "--weights", TIN), "holds TIN, but --method hed takes"),
        (("normal", "--weights", TIN), "holds none of the depth networks"),
    ):
        done = cn("detect", words[0], "in", "out", *words[1:], cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr.count("\n")) == (4, "", 1), done.stderr
        assert str(words[-1]) in done.stderr
        assert said in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("hough",), ["mlsd_large_512_fp32.pth", "--weights", "--method lsd"]),
        (("hed",), ["ControlNetHED.pth", "--weights", "--method gradient"]),
        (("hed", "--method", "tin"), ["TIN2.pth", "--method gradient"]),
        (("scribble",), ["ControlNetHED.pth", "--from-drawing"]),
        (("depth",), ["dpt_hybrid-midas-501f0c75.pt", "--weights"]),
        (("normal", "--method", "midas-small"), ["midas_v21_small_256.pt", "--weights"]),
        (("lineart",), ["netG.pth", "--method standard"]),
        (("hed", "--weights", "nothing.pth"), ["nothing.pth"]),
    ],
)
def test_missing_weights_are_one_line_that_says_what_to_do(words, named, tmp_path):
    photographs(tmp_path / "in")
    empty = {
        name: str(tmp_path / "empty") for name in ("HOME", "CN_WEIGHTS", "HF_HOME", "TORCH_HOME", "XDG_CACHE_HOME")
    }
    done = cn("detect", words[0], "in", "out", *words[1:], cwd=tmp_path, env=empty)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (4, "", 1), done.stderr
    assert [name for name in named if name not in done.stderr] == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("hed", "--method", "canny"),
        ("hough", "--method", "lsd", "--weights", "x.pth"),
        ("scribble", "--from-drawing", "--random"),
        ("scribble", "--from-drawing", "--method", "gradient"),
        ("normal", "--strength", "0"),
        ("depth", "--batch-size", "0"),
    ],
)
def test_words_that_do_not_go_together(words, tmp_path):
    photographs(tmp_path / "in")
    done = cn("detect", words[0], "in", "out", *words[1:], cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert not (tmp_path / "out").exists()


def test_a_picture_is_not_weights(tmp_path):
    Image.fromarray(house()).save(tmp_path / "a.png")
    done = cn("detect", "depth", "a.png", "b.png", "--weights", "a.png", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "a.png: is a picture, not weights" in done.stderr


def test_depth_and_normals_by_midas(made_up, tmp_path):
    Image.fromarray(house()).save(tmp_path / "a.png")
    weights = made_up["midas"]
    for kind, *options in (("depth",), ("normal", "--strength", "0.05", "--bgr")):
        done = cn("detect", kind, "a.png", f"{kind}.png", *options, "--weights", weights, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    network = rearranged(depth.open_depth(weights))
    (inverse,) = depth.inverse_depth(network, [house()])
    near = depth.depth_map(inverse, (96, 130))
    normals = normal.normal_from_depth(inverse, (96, 130), strength=0.05)
    assert np.array_equal(the_map(tmp_path / "depth.png"), near)
    assert (near.min(), near.max()) == (0, 255)
    assert np.array_equal(the_map(tmp_path / "normal.png"), normals[..., ::-1])
    assert not np.array_equal(normals, normals[..., ::-1])
    info = info_of(tmp_path / "normal.png")
    assert (info.kind, info.detector, info.weights_sha256) == (
        "normal", "normals from MiDaS v2.1 small", sha256(weights)
    )  # fmt: skip
    assert info.params == {"strength": 0.05, "background": 0.1, "bgr": True, "convention": BGR}
    assert info_of(tmp_path / "depth.png").params["convention"] == get("depth").convention


def test_line_drawings_by_anime2sketch(made_up, tmp_path):
    Image.fromarray(house()).save(tmp_path / "a.png")
    weights = made_up["sketch"]
    done = cn("detect", "lineart", "a.png", "b.png", "--weights", weights, "--invert", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (drawn,) = lineart.sketches(rearranged(lineart.open_anime2sketch(weights)), house()[None], invert=True)
    assert np.array_equal(the_map(tmp_path / "b.png"), drawn)
    info = info_of(tmp_path / "b.png")
    assert (info.detector, info.weights_sha256, info.params["convention"]) == ("Anime2Sketch", sha256(weights), DARK)


def test_pictures_of_several_sizes_share_batches_and_keep_their_order(made_up):
    network = loading.open_network("hed", str(made_up["hed"]))
    assert network.name == "ControlNetHED"
    by_two = replace(network, running=loading.Running(batch=2))
    pictures = [house(0), house(1, 64, 80), house(2), house(3), house(4, 64, 80)]
    together = HedDetector(by_two).maps(pictures)
    alone = HedDetector(network).maps(pictures)
    assert [one.shape for one in together] == [picture.shape[:2] for picture in pictures]
    # Company changes the last bits only.
    assert max(int(np.abs(a.astype(int) - b).max()) for a, b in zip(together, alone, strict=True)) <= 1
    assert len({one.tobytes() for one in alone}) == 5


def test_each_of_several_images_has_one_thread_and_the_number_is_as_before(made_up, tmp_path, monkeypatch):
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(3)
    original = soft_edge.soft_edges
    monkeypatch.setattr(soft_edge, "soft_edges", lambda *a: seen.append(torch.get_num_threads()) or original(*a))
    folder = photographs(tmp_path / "in")
    jobs = [Job(str(folder / f"{n}.png"), str(tmp_path / f"{n}.png"), f"{n}") for n in (0, 2)]
    work = batch.Work(HedDetector(loading.open_network("hed", str(made_up["hed"]))))
    try:
        assert [outcome.status for outcome in batch.run(work, jobs, 2, 2)] == ["written"] * 2
        assert seen == [1, 1]
        assert torch.get_num_threads() == 3
        list(batch.run(replace(work, overwrite=True), jobs[:1], 1, 2))
        assert seen == [1, 1, 3], "a single image has all"
    finally:
        torch.set_num_threads(before)


def test_every_method_names_networks_that_exist_and_published_files():
    for family, ways in methods.METHODS.items():
        assert ways[0].networks, f"the default of {family} is the network of the paper"
        for method in ways:
            assert set(method.networks) <= set(methods.NETWORKS)
            assert bool(method.networks) == bool(method.published)
            assert not method.published or published.find(method.published).file == method.published


def test_the_defaults_are_those_of_the_functions():
    helps = {n: p.annotation.__metadata__[0].help for n, p in inspect.signature(surfaces.normal).parameters.items()}
    assert 2 * np.pi == normal.STRENGTH
    assert "Default, as published for dpt-hybrid: 2π" in helps["strength"]
    assert f"Default: {normal.BACKGROUND}" in helps["background"]
    options = {name: p.default for name, p in inspect.signature(hough).parameters.items()}
    assert options["score"] == lines.SCORE
    (shortest,) = (p.annotation for n, p in inspect.signature(hough).parameters.items() if n == "length")
    assert f"(default {lines.LENGTH})" in shortest.__metadata__[0].help
    assert f"(default {lines.LSD_LENGTH})" in shortest.__metadata__[0].help


def test_lines_shorter_than_asked_for_are_left_out():
    (every,) = HoughDetector(length=0.0).detect([house()], ["a"])
    (long,) = HoughDetector(length=0.6).detect([house()], ["a"])
    assert 0 < np.count_nonzero(long.map) < np.count_nonzero(every.map)
    assert 0 < long.found["lines"] < every.found["lines"]
    (none,) = HoughDetector().detect([np.full((40, 50, 3), 9, np.uint8)], ["a"])
    assert none.map.shape == (40, 50)
    assert none.empty
    assert not none.map.any()


def test_sample_detects_what_needs_no_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("CN_WEIGHTS", str(tmp_path / "none"))
    path = tmp_path / "a.png"
    Image.fromarray(house()).save(path)
    soft = soft_edge.gradient_soft_edge(house())
    expected = {
        "hough": lines.draw_lines(lines.lsd_lines(house()), (96, 130)),
        "hed": soft,
        "scribble": scribble.released(soft),
        "lineart": lineart.standard_lineart(house()),
    }
    for kind, made in expected.items():
        (condition,) = make_conditions([str(path)], controls=["any"], detect=kind)
        assert condition.kind == kind
        assert np.array_equal(condition.image, np.repeat(made[..., None], 3, axis=2))
    with pytest.raises(WeightsError, match="cn weights pull dpt-hybrid"):
        make_conditions([str(path)], controls=["any"], detect="depth")
    with pytest.raises(UsageError, match="unknown condition"):
        make_conditions([str(path)], controls=["any"], detect="coffee")
    Image.new("RGB", (64, 64)).save(path)
    with pytest.raises(InputError, match="nothing was found"):
        make_conditions([str(path)], controls=["any"], detect="hough")


def test_sample_detects_by_the_network_whose_weights_are_here(made_up, tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    Image.fromarray(house()).save(path)
    file = methods.METHODS["hed"][0].published
    monkeypatch.setenv("CN_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(published, "here", lambda entry: made_up["hed"] if entry.file == file else None)
    (condition,) = make_conditions([str(path)], controls=["any"], detect="hed")
    network = loading.open_network("hed", str(made_up["hed"]), loading.Running.chosen())
    assert np.array_equal(condition.image[..., 0], HedDetector(network).maps([house()])[0])


# ---- what was found, and what not ----


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
            assert found["lines"] == len(lines.lsd_lines(house())) > 0
        else:
            assert found[name] == round(float((made >= 128).mean()), 4) > 0


def test_networks_say_how_near_and_how_flat(made_up):
    network = loading.open_network("depth", str(made_up["midas"]))
    (near,) = DepthDetector(network).detect([house()], ["a"])
    (inverse,) = depth.inverse_depth(rearranged(depth.open_depth(made_up["midas"])), [house()])
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
    assert (kept.returncode, kept.stderr) == (0, "kept: 2 written\n")
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
        "failed: in/wall.png",
        "cn: 1 of 2 images failed; the others are done",
    ]
    alone = cn("detect", kind, "in/wall.png", "alone.png", *free, "--on-empty", "fail", cwd=tmp_path)
    assert (alone.returncode, alone.stderr) == (3, "cn: in/wall.png: nothing was found in it\n")
    assert not (tmp_path / "alone.png").exists()


def test_the_summary_names_the_first_of_many_failures(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(14):
        (tmp_path / "in" / f"{number:02}.png").write_text("words")
    Image.fromarray(house()).save(tmp_path / "in" / "a.png")
    done = cn("detect", "canny", "in", "out", cwd=tmp_path)
    assert done.returncode == 5
    named = ", ".join(f"in/{number:02}.png" for number in range(10))
    assert done.stderr.splitlines()[-2] == f"failed: {named} and 4 more"


# ---- networks ----


def test_a_part_of_a_batch_is_made_again_in_its_company(made_up, tmp_path):
    """Company in a batch may change the last bits: a run that goes on must not see another one."""
    photographs(tmp_path / "in", count=5)
    words = ("detect", "hed", "in", "out", "--recursive", "--weights", made_up["hed"], "--batch-size", "3")
    assert cn(*words, cwd=tmp_path).returncode == 0
    whole = tree(tmp_path / "out")
    seen: list[int] = []

    class Counting(HedDetector):
        def detect(self, images, keys):
            seen.append(len(images))
            return super().detect(images, keys)

    (tmp_path / "out" / "3.png").unlink()
    network = loading.open_network("hed", str(made_up["hed"]), loading.Running(batch=3))
    found = sources.find(str(tmp_path / "in"), "", endings=images.SUFFIXES, recursive=True)
    todo = list(jobs.of(found, str(tmp_path / "out")))
    outcomes = list(batch.run(batch.Work(Counting(network)), todo, 5, 2))
    assert [o.status for o in outcomes] == ["skipped"] * 2 + ["written"] + ["skipped"] * 2
    assert seen == [3], "the batch of what was missing, and no other"
    assert tree(tmp_path / "out") == whole


def test_one_that_spoils_its_batch_fails_alone(made_up, tmp_path):
    class Picky(HedDetector):
        def detect(self, images, keys):
            if any(key.startswith("2") for key in keys):
                raise ZeroDivisionError("two")
            return super().detect(images, keys)

    folder = photographs(tmp_path / "in", count=5)
    found = sources.find(str(folder), "", endings=images.SUFFIXES, recursive=True)
    network = loading.open_network("hed", str(made_up["hed"]), loading.Running(batch=5))
    todo = list(jobs.of(found, str(tmp_path / "out")))
    outcomes = {o.path: o for o in batch.run(batch.Work(Picky(network)), todo, 5, 2)}
    assert {path for path, o in outcomes.items() if o.status == "failed"} == {str(folder / "2.png")}
    assert "ZeroDivisionError: two" in str(outcomes[str(folder / "2.png")].note)
    assert len(tree(tmp_path / "out")) == 4


def test_half_precision_gives_nearly_the_same_map_and_says_so(made_up, tmp_path):
    Image.fromarray(house()).save(tmp_path / "a.png")
    words = ("detect", "hed", "a.png", "--weights", made_up["hed"], "--device", "cpu")
    for precision in ("fp32", "bf16"):
        done = cn(*words[:3], f"{precision}.png", *words[3:], "--precision", precision, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    full, half = (the_map(tmp_path / f"{name}.png").astype(int) for name in ("fp32", "bf16"))
    assert 0 < np.abs(full - half).max() < 40
    assert np.abs(full - half).mean() < 4
    assert info_of(tmp_path / "bf16.png").params["precision"] == "bf16"
    assert "precision" not in info_of(tmp_path / "fp32.png").params


def test_numbers_that_a_format_cannot_hold_are_an_error(made_up, tmp_path):
    state = {name: 1e3 * value.float() for name, value in load_file(made_up["hed"]).items()}
    save_file(state, tmp_path / "loud.safetensors")
    Image.fromarray(house()).save(tmp_path / "a.png")
    words = ("detect", "hed", "a.png", "b.png", "--weights", "loud.safetensors", "--precision", "fp16")
    done = cn(*words, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "use bf16 or fp32" in done.stderr


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("--device", "cuda:99"), "no cuda device" if not torch.cuda.is_available() else "CUDA device(s)"),
        (("--device", "gpu"), "--device is auto"),
        (("--precision", "fp8"), "--precision is auto"),
        (("--batch-size", "0"), "--batch-size"),
    ],
)
def test_where_and_how_to_compute_is_checked(made_up, tmp_path, words, what):
    Image.fromarray(house()).save(tmp_path / "a.png")
    done = cn("detect", "hed", "a.png", "b.png", "--weights", made_up["hed"], *words, cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert what in done.stderr


def test_safe_edges_have_three_levels(made_up, tmp_path):
    Image.fromarray(house()).save(tmp_path / "a.png")
    for name, options in {"plain": (), "safe": ("--safe",)}.items():
        done = cn("detect", "hed", "a.png", f"{name}.png", "--method", "gradient", *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
    plain, safe = (the_map(tmp_path / f"{name}.png") for name in ("plain", "safe"))
    # safe_step(x, 2) of annotator/util.py: whole thirds of x, over 2.
    expected = np.clip(np.floor(plain / 255 * 3 + 1e-9) / 2 * 255, 0, 255).astype(np.uint8)
    assert np.array_equal(safe, expected)
    assert set(np.unique(safe)) == {0, 127, 255}
    assert info_of(tmp_path / "safe.png").params["safe"] is True


def test_midas_is_fed_as_asked(made_up, tmp_path):
    Image.fromarray(house()).save(tmp_path / "a.png")
    made = {}
    for way in ("released", "midas", None):
        options = ("--prepare", way) if way else ()
        done = cn("detect", "depth", "a.png", f"{way}.png", "--weights", made_up["midas"], *options, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        made[way] = the_map(tmp_path / f"{way}.png")
    assert np.array_equal(made["midas"], made[None])
    assert not np.array_equal(made["midas"], made["released"])
    assert info_of(tmp_path / "released.png").params["prepared"] == "released"


def test_threads_are_bounded_by_work_processors_and_memory(made_up, monkeypatch):
    network = loading.open_network("hed", str(made_up["hed"]))
    gpu = replace(network, running=loading.Running("cuda", batch=8))
    monkeypatch.setattr(effort, "processors", lambda: 16)
    monkeypatch.setattr(effort, "available_memory", lambda: 10 * effort.MEMORY)
    assert [effort.workers(HedDetector(network), count) for count in (1, 3, 100)] == [1, 3, 10]
    assert [effort.workers(HedDetector(gpu), count) for count in (1, 16, 17, 1000)] == [1, 2, 3, 8]
    assert [effort.workers(HedDetector(), count) for count in (1, 47, 48, 5000)] == [1, 1, 2, 16]
    monkeypatch.setattr(effort, "available_memory", lambda: 1)
    assert effort.workers(HedDetector(network), 100) == 1
    monkeypatch.undo()
    assert effort.available_memory() > 100_000_000


@needs_real
def test_a_flipped_byte_is_found_before_anything_is_drawn(tmp_path):
    data = bytearray(TIN.read_bytes())
    data[500_000] ^= 0xFF
    (tmp_path / "TIN2.pth").write_bytes(data)
    Image.fromarray(house()).save(tmp_path / "a.png")
    env = {"CN_WEIGHTS": str(tmp_path)}
    done = cn("detect", "hed", "a.png", "b.png", "--method", "tin", cwd=tmp_path, env=env)
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
    assert "is damaged, or another file" in done.stderr
    assert not (tmp_path / "b.png").exists()
    (tmp_path / "TIN2.pth").write_bytes(TIN.read_bytes())
    assert cn("detect", "hed", "a.png", "b.png", "--method", "tin", cwd=tmp_path, env=env).returncode == 0


def test_weights_of_whole_numbers_are_none(made_up, tmp_path):
    state = {name: (100 * value).to(torch.int32) for name, value in load_file(made_up["hed"]).items()}
    save_file(state, tmp_path / "int.safetensors")
    Image.fromarray(house()).save(tmp_path / "a.png")
    done = cn("detect", "hed", "a.png", "b.png", "--weights", "int.safetensors", cwd=tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (4, 1)
    assert "holds whole numbers" in done.stderr


@needs_real
def test_a_second_interrupt_ends_a_network_at_once_and_leaves_whole_files(tmp_path):
    (tmp_path / "in").mkdir()
    for number in range(4):
        Image.fromarray(house(number)).resize((2600, 2000)).save(tmp_path / "in" / f"{number}.png")
    process = start_cn("detect", "hed", "in", "out", "--weights", TIN, cwd=tmp_path)
    time.sleep(8)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert b"terminate" not in errors
    out = tmp_path / "out"
    assert all(images.is_whole_png(path) for path in out.glob("*.png"))
