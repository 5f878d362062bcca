"""Detectors with networks: batches, threads, precision, damaged weights, interrupts."""

import signal
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from cn import images
from cn.detect.lines import hed
from cn.detect.lines.hed import HedDetector
from cn.detect.network import ComputeSettings, open_network
from cn.detect.run import batch, inputs, jobs, schedule, workers
from cn.detect.run.jobs import Job
from tests.helpers.cli import cn, start_cn
from tests.helpers.detect_cases import TIN, house, info_of, needs_real, photographs, the_map, tree


def test_images_of_several_sizes_share_batches_and_keep_their_order(made_up):
    network = open_network("hed", str(made_up["hed"]))
    assert network.class_name == "ControlNetHED"
    by_two = replace(network, compute=ComputeSettings(batch_size=2))
    houses = [house(0), house(1, 64, 80), house(2), house(3), house(4, 64, 80)]
    together = HedDetector(by_two).maps(houses)
    alone = HedDetector(network).maps(houses)
    assert [one.shape for one in together] == [image.shape[:2] for image in houses]
    # The batch composition changes the last bits only.
    assert max(int(np.abs(a.astype(int) - b).max()) for a, b in zip(together, alone, strict=True)) <= 1
    assert len({one.tobytes() for one in alone}) == 5


def test_each_of_several_images_has_one_thread_and_the_number_is_as_before(made_up, tmp_path, monkeypatch):
    before, seen = torch.get_num_threads(), []
    torch.set_num_threads(3)
    original = hed.soft_edges
    monkeypatch.setattr(hed, "soft_edges", lambda *a: seen.append(torch.get_num_threads()) or original(*a))
    folder = photographs(tmp_path / "in")
    jobs = [Job(str(folder / f"{n}.png"), str(tmp_path / f"{n}.png"), f"{n}") for n in (0, 2)]
    work = batch.Pipeline(HedDetector(open_network("hed", str(made_up["hed"]))))
    try:
        assert [outcome.status for outcome in schedule.run(work, jobs, 2, 2)] == ["written"] * 2
        assert seen == [1, 1]
        assert torch.get_num_threads() == 3
        list(schedule.run(replace(work, overwrite=True), jobs[:1], 1, 2))
        assert seen == [1, 1, 3], "a single image has all"
    finally:
        torch.set_num_threads(before)


def test_a_missing_map_is_regenerated_with_the_same_batch_composition(made_up, tmp_path):
    """The batch composition may change the last bits: a resumed run must use the same one."""
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
    network = open_network("hed", str(made_up["hed"]), ComputeSettings(batch_size=3))
    found = inputs.find(str(tmp_path / "in"), "", suffixes=images.SUFFIXES, recursive=True)
    todo = list(jobs.of(found, str(tmp_path / "out")))
    outcomes = list(schedule.run(batch.Pipeline(Counting(network)), todo, 5, 2))
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
    found = inputs.find(str(folder), "", suffixes=images.SUFFIXES, recursive=True)
    network = open_network("hed", str(made_up["hed"]), ComputeSettings(batch_size=5))
    todo = list(jobs.of(found, str(tmp_path / "out")))
    outcomes = {o.path: o for o in schedule.run(batch.Pipeline(Picky(network)), todo, 5, 2)}
    assert {path for path, o in outcomes.items() if o.status == "failed"} == {str(folder / "2.png")}
    assert "ZeroDivisionError: two" in str(outcomes[str(folder / "2.png")].message)
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
        (("--device", "gpu"), "--device must be auto"),
        (("--precision", "fp8"), "--precision"),
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


def test_threads_are_bounded_by_work_cores_and_memory(made_up, monkeypatch):
    network = open_network("hed", str(made_up["hed"]))
    gpu = replace(network, compute=ComputeSettings("cuda", batch_size=8))
    monkeypatch.setattr(workers, "available_cpus", lambda: 16)
    monkeypatch.setattr(workers, "available_memory", lambda: 10 * workers.MEMORY)
    assert [workers.workers(HedDetector(network), count) for count in (1, 3, 100)] == [1, 3, 10]
    assert [workers.workers(HedDetector(gpu), count) for count in (1, 16, 17, 1000)] == [1, 2, 3, 8]
    assert [workers.workers(HedDetector(), count) for count in (1, 47, 48, 5000)] == [1, 1, 2, 16]
    monkeypatch.setattr(workers, "available_memory", lambda: 1)
    assert workers.workers(HedDetector(network), 100) == 1
    monkeypatch.undo()
    assert workers.available_memory() > 100_000_000


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
    assert "holds integers" in done.stderr


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
    assert all(images.is_complete_png(path) for path in out.glob("*.png"))
