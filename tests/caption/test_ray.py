"""`--engine ray` of captions on a cluster of two nodes: the same as locally, also when a node is killed midway."""

import itertools
import json
import pickle
import signal
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from cn.caption import create, ray_engine, ray_worker, run
from cn.caption.create import open_captioner
from cn.caption.run import Task
from cn.caption.settings import CaptionSettings
from cn.data.blobs import Content
from cn.errors import InputError, UsageError, WeightsError
from cn.ray_cluster import connection, work
from tests.helpers.cli import cn, start_cn
from tests.helpers.ray_cluster import two_nodes
from tests.helpers.tiny_captioners import blip_folder, coca_folder
from tests.helpers.waiting import wait_until

pytest.importorskip("ray", reason="Ray is not installed")

SETTINGS = CaptionSettings(num_beams=8, max_length=40)
COUNT = 4 * 16
SHORT = ("--num-beams", "2", "--max-length", "8")


@pytest.fixture(scope="module")
def blip(tmp_path_factory) -> Path:
    return blip_folder(tmp_path_factory.mktemp("weights") / "blip", seed=3)


@pytest.fixture(scope="module")
def cluster():
    with two_nodes() as nodes:
        yield nodes


@pytest.fixture
def nodes(cluster, monkeypatch):
    cluster.revive()
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    return cluster


def photos(folder: Path, count: int) -> Path:
    folder.mkdir(parents=True)
    for number in range(count):
        array = np.random.default_rng(number).integers(0, 256, (24 + number % 7, 40, 3), dtype=np.uint8)
        Image.fromarray(array).save(folder / f"{number:03}.png")
    return folder


def captions(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.glob("*.txt")}


def words(src: str | Path, weights: Path, *more: str | Path) -> tuple[str | Path, ...]:
    return (
        *("dataset", "caption", src, "--weights", weights, "--device", "cpu"),
        *("--num-beams", "8", "--max-length", "40", *more),
    )


def by_ray(tasks, weights: Path | None, src: str = "-", **more):
    options = {"engine": None, "device": "auto", "precision": "auto", "settings": SETTINGS, "workers": None, **more}
    path = None if weights is None else str(weights)
    return ray_engine.caption_by_ray(tasks, src=src, weights=path, **options)


@pytest.mark.slow
def test_a_killed_node_costs_only_its_images(nodes, blip, tmp_path):
    folder = photos(tmp_path / "in", 20)
    (folder / "007.png").write_bytes(b"no image")
    killed = []

    def tasks():
        """The images again and again, until a node was killed and a round more."""
        for number in itertools.count():
            if number % 20 == 0 and killed and number >= killed[0] + 60:
                return
            yield Task(f"{number}", str(folder / f"{number % 20:03}.png"), target=number)

    found = {}
    for outcome in by_ray(tasks(), blip):
        assert outcome.task.target not in found
        found[outcome.task.target] = outcome
        if not killed and nodes.kill_second_at_work():
            killed.append(len(found))
    assert sorted(found) == list(range(len(found)))
    assert len(found) >= killed[0] + 20
    local = list(
        run.caption_all(
            open_captioner(weights=blip, device="cpu", settings=SETTINGS),
            [Task(path.name, path) for path in sorted(folder.iterdir())],
            batch_size=4,
            workers=1,
        )
    )
    for number, outcome in found.items():
        expected = local[number % 20]
        assert (outcome.caption, outcome.loop) == (expected.caption, expected.loop)
        assert str(outcome.error) == str(expected.error)
    assert sum(outcome.error is not None for outcome in local) == 1


@pytest.mark.slow
def test_an_interrupted_run_continues_with_the_same_captions(nodes, blip, tmp_path):
    local, folder = photos(tmp_path / "local", COUNT), photos(tmp_path / "in", COUNT)
    assert cn(*words(local, blip)).returncode == 0
    expected = captions(local)
    assert len(expected) == COUNT
    process = start_cn(*words(folder, blip, "--engine", "ray", "--workers", "1"))
    wait_until(lambda: captions(folder) or process.poll() is not None)
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate()
    assert process.returncode == 143, stderr.decode()
    done = captions(folder)
    # A path that was written in the moment of the signal may be missing.
    printed = stdout.decode().split()
    assert len({*printed}) == len(printed) >= len(done) - 1
    assert {*printed} <= {str(folder / name) for name in done}
    assert 0 < len(done) < COUNT
    result = cn(*words("in", blip, "--engine", "ray", "--workers", "1"), cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert captions(folder) == expected
    assert sorted(result.stdout.split()) == sorted(f"in/{name}" for name in expected if name not in done)
    assert f"{COUNT - len(done)} captioned, {len(done)} had a caption" in result.stderr


@pytest.mark.slow
def test_datasets_and_lists_are_those_of_a_local_run(nodes, tmp_path):
    weights = coca_folder(tmp_path / "coca", seed=5)
    for name in ("local", "ray"):
        photos(tmp_path / name / "target", 35)
        lines = [
            {"source": "a.png", "target": f"target/{n:03}.png", "prompt": "mine" if n == 3 else ""} for n in range(35)
        ]
        (tmp_path / name / "prompt.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
        (tmp_path / name / "target/009.png").write_bytes(b"no image")
    results = {}
    for name, more in {"local": SHORT, "ray": (*SHORT, "--engine", "ray", "--workers", "1")}.items():
        one = cn(*words(".", weights, *more), cwd=tmp_path / name)
        two = cn(*words("target", weights, "--list", "list.jsonl", "--decoding", "nucleus", *more), cwd=tmp_path / name)
        files = [(tmp_path / name / file).read_bytes() for file in ("prompt.json", "list.jsonl")]
        results[name] = (one.returncode, one.stdout, one.stderr, two.returncode, two.stdout, two.stderr, files)
    assert results["ray"] == results["local"]
    assert results["ray"][0] == results["ray"][3] == 5
    assert "target/009.png: " in results["ray"][2]
    assert "33 captioned, 1 had a caption, 1 failed" in results["ray"][2]
    assert not list((tmp_path / "ray").glob(".cn-*"))


@pytest.mark.slow
def test_errors_of_nodes_arrive_as_they_are(nodes, blip, tmp_path, monkeypatch):
    image = photos(tmp_path / "in", 1) / "000.png"
    tasks = [Task(f"{number}", Content(f"{number}", image.read_bytes())) for number in range(3)]
    gone = str(tmp_path / "gone")
    with connection.connected():
        # Bytes that only this process has are sent.
        assert [outcome.task for outcome in by_ray(tasks, blip, workers=1)] == tasks
        with pytest.raises(InputError, match="shared folder") as no_source:
            list(by_ray(tasks, blip, src=gone, workers=1))
        assert no_source.value.path == gone
        with pytest.raises(UsageError, match="has no GPU"):
            list(by_ray(tasks, blip, device="cuda", workers=1))
        (blip / "vocab.txt").rename(blip / "other.txt")
        try:
            with pytest.raises(WeightsError, match=r"bert-vocab.*\(on the Ray node .*\)"):
                list(by_ray(tasks, blip, workers=1))
        finally:
            (blip / "other.txt").rename(blip / "vocab.txt")
        monkeypatch.setattr(ray_engine, "_MEMORY", 1 << 60)
        with pytest.raises(UsageError, match=r"has no CPU with .* GB of memory"):
            list(by_ray(tasks, blip, workers=1))
        monkeypatch.undo()
        monkeypatch.setattr(work, "__version__", "0.0.1")
        with pytest.raises(UsageError, match=r"not 0\.0\.1; install the same version"):
            list(by_ray(tasks, blip, workers=1))


def test_a_unit_is_whole_batches(tmp_path):
    tasks = [Task(f"{number}", f"{number}.png", number) for number in range(50)]
    chunks = list(ray_engine._chunks(b"job", tasks, 6, 16))
    assert [len(chunk.tasks) for chunk in chunks] == [18, 18, 14]
    assert [task for chunk in chunks for task in chunk.tasks] == tasks
    assert chunks[1].name == "18 images from 18 on"
    # Large images that are sent: one batch is the least.
    large = [Task(f"{number}", Content(f"{number}", bytes(20 << 20))) for number in range(5)]
    assert [len(chunk.tasks) for chunk in ray_engine._chunks(b"job", large, 2, 16)] == [4, 1]


def test_gpus_are_used_where_there_are_some_and_cpus_that_have_the_memory():
    nodes = [
        {"Alive": True, "Resources": {"CPU": 8.0, "GPU": 2.0, "memory": 7e9}},
        {"Alive": True, "Resources": {"CPU": 1.0, "memory": 7e9}},
        {"Alive": True, "Resources": {"memory": 7e9}},
        {"Alive": False, "Resources": {"CPU": 8.0, "memory": 7e9}},
    ]
    ray = SimpleNamespace(nodes=lambda: nodes, cluster_resources=lambda: {"CPU": 9.0, "GPU": 2.0})
    assert ray_engine._cpus(ray, 2_000_000_000) == 3 + 1
    assert ray_engine._cpus(ray, 8_000_000_000) == 0
    assert [ray_engine._on_gpus(ray, device) for device in ("auto", "cuda", "cpu")] == [True, True, False]
    alone = SimpleNamespace(cluster_resources=lambda: {"CPU": 9.0})
    assert [ray_engine._on_gpus(alone, device) for device in ("auto", "cpu")] == [False, False]


def test_memory_is_of_one_process():
    with pytest.raises(UsageError, match="memory of one process"):
        next(by_ray([Task("a", "memory://photos/a.png")], None, src="memory://photos"))


def test_units_are_made_as_late_as_needed():
    made = []

    def units():
        for number in range(9):
            made.append(number)
            yield work.Unit(f"{number}", "done", ())

    waiting = work._Waiting(units())
    assert waiting.count(2) == 2
    first = waiting.take()
    assert (first.name, made) == ("0", [0, 1])
    waiting.put_back(first)
    assert waiting.take() is first
    assert waiting.count(100) == 8


def test_the_network_is_loaded_once(blip, tmp_path, monkeypatch):
    opened = []

    def counted(*arguments):
        opened.append(arguments)
        return open_captioner(*arguments)

    monkeypatch.setattr(create, "open_captioner", counted)
    folder = photos(tmp_path / "in", 9)
    tasks = [Task(path.name, str(path)) for path in sorted(folder.iterdir())]
    job = ray_worker.RayJob(CaptionSettings(batch_size=2), None, str(blip), "cpu", "auto", None, str(folder))
    data = pickle.dumps(job)
    texts = []
    for chunk in ray_engine._chunks(data, tasks, 2, 4):
        outcomes = ray_worker.caption_here(*chunk.arguments, "1.2.3.4")
        assert isinstance(outcomes, list)
        texts += [outcome.caption for outcome in outcomes]
    assert len(opened) == 1
    network = open_captioner(weights=blip, device="cpu")
    expected = run.caption_all(network, tasks, batch_size=2, workers=1)
    assert texts == [outcome.caption for outcome in expected]


def test_without_a_cluster_nothing_is_begun(blip, tmp_path, monkeypatch):
    folder = photos(tmp_path / "in", 1)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    result = cn(*words(folder, blip, "--engine", "ray", "--list", tmp_path / "list.jsonl"))
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("cn: no Ray cluster answers at 127.0.0.1:1 (Connection refused): start one with")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in"]
