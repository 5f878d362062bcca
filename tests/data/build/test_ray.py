"""`--engine ray` on a cluster of two nodes: the same bytes as on one machine, also when one node is killed midway."""

import os
import pickle
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from cn import errors
from cn.data.build import ray_engine, ray_worker, recipes, run
from cn.data.build.settings import BuildSettings
from cn.data.sources.open import open_source
from cn.errors import CnError, InputError, OutputError, PartialError, UsageError
from cn.ray_cluster import connection, work
from tests.helpers.cli import cn, start_cn
from tests.helpers.photos import contents
from tests.helpers.ray_cluster import two_nodes
from tests.helpers.waiting import wait_until

pytest.importorskip("ray", reason="Ray is not installed")

WORDS = ("--cond", "canny", "--cond", "hed", "--method", "hed=gradient", "--resolution", "64", "--shard-size", "4")
SETTINGS = BuildSettings(kinds=("canny", "hed"), methods=("hed=gradient",), resolution=64, shard_size=4)
SHARDS = 12


def done(out: Path) -> int:
    return len(list((out / "build/status").glob("*.jsonl")))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    for number in range(4 * SHARDS):
        image = np.full((96, 128, 3), number, np.uint8)
        cv2.circle(image, (40 + number % 40, 48), 20 + number % 17, (250, 200, 3 * number), -1)
        cv2.imwrite(str(folder / f"{number:02d}.png"), image)
        (folder / f"{number:02d}.txt").write_text(f"circle {number}")
    return folder


@pytest.fixture(scope="module")
def expected(photos, tmp_path_factory):
    """What a build on this machine alone gives."""
    out = tmp_path_factory.mktemp("local") / "set"
    assert cn("dataset", "build", photos, out, *WORDS).returncode == 0
    return contents(out)


@pytest.fixture(scope="module")
def cluster():
    with two_nodes(gpus=1) as nodes:
        yield nodes


@pytest.fixture
def nodes(cluster, monkeypatch):
    cluster.revive()
    monkeypatch.setenv("RAY_ADDRESS", cluster.address)
    return cluster


def start(photos: Path, out: Path) -> "subprocess.Popen[bytes]":
    """OUT as a path that other processes would look for in folders of their own."""
    return start_cn("dataset", "build", photos, out.name, *WORDS, "--engine", "ray", cwd=out.parent)


def prepared(photos: Path, out: Path) -> run.Build:
    return run.prepare(lambda: open_source(str(photos), results=(str(out),)), str(photos), str(out), SETTINGS)


@pytest.mark.slow
def test_a_killed_node_changes_nothing(nodes, photos, tmp_path, expected):
    out = tmp_path / "set"
    process = start(photos, out)
    wait_until(lambda: done(out) >= 2 or process.poll() is not None)
    nodes.kill_second()
    finished = done(out)
    stdout, stderr = process.communicate()
    assert process.returncode == 0, stderr.decode()
    assert finished < SHARDS
    assert contents(out) == expected
    # Ray's own words about the node are nowhere.
    assert stdout.decode() == f"{out.name}\n"
    assert "ray" not in stderr.decode().replace(str(tmp_path), "").lower()


@pytest.mark.slow
def test_an_interrupted_build_continues(nodes, photos, tmp_path, expected):
    out = tmp_path / "set"
    process = start(photos, out)
    wait_until(lambda: done(out) or process.poll() is not None)
    # Ray has a handler of its own for this signal.
    process.send_signal(signal.SIGTERM)
    stdout, stderr = process.communicate()
    assert process.returncode == 143, stderr.decode()
    assert stdout == b""
    assert stderr.decode().splitlines()[-1].endswith("what was finished is kept")
    assert 0 < done(out) < SHARDS
    assert cn("dataset", "build", photos, out, *WORDS).returncode == 0
    assert contents(out) == expected


@pytest.mark.slow
def test_actors_hold_gpus_and_a_dead_one_is_replaced(nodes, photos, tmp_path, expected, monkeypatch):
    out = tmp_path / "set"
    build = prepared(photos, out)
    monkeypatch.setattr(ray_engine, "_by_tasks", ray_engine._by_actors)
    counted: list[tuple[int, int]] = []
    found = []
    for result in ray_engine.run_ray(build.job, build.shards, None, lambda *counts: counted.append(counts)):
        found.append(result.shard)
        if len(found) == 2:
            nodes.kill_second()
    assert sorted(found) == build.shards
    assert counted == [(4, 0)] * SHARDS
    assert cn("dataset", "build", photos, out, *WORDS).returncode == 0
    assert contents(out) == expected


@pytest.mark.slow
def test_errors_of_nodes_arrive_as_they_are(nodes, photos, tmp_path, monkeypatch):
    build = prepared(photos, tmp_path / "set")

    def raised(job, error):
        with pytest.raises(error) as caught:
            list(ray_engine.run_ray(job, build.shards, 1, lambda *_: None))
        return caught.value

    gone = str(tmp_path / "gone")
    (tmp_path / "set/target").write_bytes(b"in the way of a folder")
    with connection.connected():
        no_source = raised(replace(build.job, root=gone), InputError)
        no_out = raised(replace(build.job, places=replace(build.job.places, out=gone)), InputError)
        in_the_way = raised(build.job, InputError)
        monkeypatch.setattr(work, "__version__", "0.0.1")
        other_version = raised(build.job, UsageError)
    assert no_source.path == no_out.path == gone
    assert no_source.what.startswith("the Ray node ")
    assert "shared folder" in no_source.what
    assert not Path(gone).exists()
    assert in_the_way.path is not None
    assert in_the_way.path.startswith(str(tmp_path / "set/target"))
    assert "not 0.0.1; install the same version" in str(other_version)


def test_without_a_cluster_nothing_is_begun(photos, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:1")
    result = cn("dataset", "build", photos, tmp_path / "set", *WORDS, "--engine", "ray")
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("cn: no Ray cluster answers at 127.0.0.1:1 (Connection refused): start one with")
    assert not (tmp_path / "set").exists()
    # A cluster that was killed, of which a file of Ray tells.
    monkeypatch.delenv("RAY_ADDRESS")
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    (tmp_path / "ray").mkdir()
    (tmp_path / "ray/ray_current_cluster").write_text("127.0.0.1:1")
    assert cn("dataset", "build", photos, tmp_path / "set", *WORDS, "--engine", "ray").stderr == result.stderr


def test_without_ray_its_extra_is_named(photos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    result = cn("dataset", "build", photos, tmp_path / "set", *WORDS, "--engine", "ray")
    assert result.returncode == 2
    assert 'pip install "controlnet-cn[ray]"' in result.stderr


def test_memory_is_of_one_process(photos, tmp_path):
    build = prepared(photos, tmp_path / "set")
    job = replace(build.job, places=replace(build.job.places, out="memory://set"))
    with pytest.raises(UsageError, match="memory of one process"):
        next(ray_engine.run_ray(job, [0], None, lambda *_: None))


def test_every_error_survives_pickling():
    classes = [value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, CnError)]
    assert len(classes) > 8
    assert pickle.loads(pickle.dumps(errors.ReportedError(5))).exit_code == 5
    for cls in {*classes} - {errors.ReportedError}:
        copy = pickle.loads(pickle.dumps(cls("is cut off", path="a/b.png")))
        assert type(copy) is cls
        assert (copy.what, copy.path, str(copy)) == ("is cut off", "a/b.png", "a/b.png: is cut off")
    full = pickle.loads(pickle.dumps(OutputError("no space", path="x", number=28)))
    assert full.number == 28
    assert full.stays
    stopped = errors.StoppedError("terminated")
    stopped.exit_code = errors.ExitCode.TERMINATED
    assert pickle.loads(pickle.dumps(stopped)).exit_code == 143


def test_networks_go_to_the_gpus_of_the_cluster(made_up, photos, tmp_path):
    settings = BuildSettings(kinds=("hed", "canny"), weights=(f"hed={made_up['hed']}",), device="cpu")
    job = replace(prepared(photos, tmp_path / "set").job, settings=settings, recipes=recipes.create(settings))
    hed, canny = ray_worker.on_gpu(job).recipes
    assert hed.detector is not None
    assert hed.detector.network is not None
    assert (hed.detector.network.device, hed.detector.network.batch_size) == ("cuda", 8)
    assert hed.detector.network.sha256 == job.recipes[0].detector.network.sha256
    assert canny == job.recipes[1]
    (path,) = {network.path for network in ray_worker._networks(job.recipes)}
    assert path == os.path.abspath(made_up["hed"])


def test_a_shard_that_dies_too_often_is_given_up():
    error = work.gave_up(work.Unit("shard 3", "built", ()), RuntimeError("node died\nmore"))
    assert isinstance(error, PartialError)
    assert str(error).startswith("shard 3 could not be built on the Ray cluster: RuntimeError: node died; what is done")
