"""What makes commands start and end sooner."""

import gc
import os
import subprocess
import sys

import pytest
import torch

from cn import app, startup
from cn.errors import WeightsError
from cn.sample import pipeline, run
from cn.sample.options import SampleOptions, SpeedOptions
from cn.sample.pipeline import SamplingPipeline
from cn.sample.request import SampleRequest


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_as_it_was_afterwards(enabled):
    if not enabled:
        gc.disable()
    try:
        with startup.without_collection():
            assert not gc.isenabled()
        assert gc.isenabled() == enabled
        with pytest.raises(KeyError), startup.without_collection():
            raise KeyError
        assert gc.isenabled() == enabled
    finally:
        gc.enable()


def test_networks_are_loaded_without_collection(monkeypatch, tmp_path):
    seen = []

    class Opened(Exception):
        pass

    def opened(*args, **options):
        seen.append(gc.isenabled())
        raise Opened

    monkeypatch.setattr(SamplingPipeline, "open", opened)
    request = SampleRequest(("a cat",), base=SampleOptions().base)
    with pytest.raises(Opened):
        run.prepare([request], out=str(tmp_path / "cat.png"), device="cpu")
    assert seen == [False]
    assert gc.isenabled()


def test_nothing_is_searched_at_the_end():
    """What is registered before it runs after it."""
    script = (
        "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count() > 0)); "
        "from cn import startup; startup.end_without_collection()"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["True"]


def test_commands_end_so(monkeypatch, capsys):
    told = []
    monkeypatch.setattr(startup, "end_without_collection", lambda: told.append(True))
    # What other tests have left running must not end the process of the tests.
    monkeypatch.setattr(app.os, "_exit", sys.exit)
    with pytest.raises(SystemExit):
        app.main(["--version"])
    assert told == [True]


@pytest.mark.parametrize(
    ("given", "system", "release", "expected"),
    [
        ({}, "linux", "6.8.0-generic", {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}),
        ({"PYTORCH_CUDA_ALLOC_CONF": "own"}, "linux", "6.8.0", {"PYTORCH_CUDA_ALLOC_CONF": "own"}),
        ({"PYTORCH_ALLOC_CONF": "backend:native"}, "linux", "6.8.0", {"PYTORCH_ALLOC_CONF": "backend:native"}),
        ({}, "linux", "5.15.167.4-microsoft-standard-WSL2", {}),
        ({}, "win32", "11", {}),
    ],
)
def test_memory_of_gpus_grows_in_place_where_that_works_and_nothing_else_is_asked_for(
    monkeypatch, given, system, release, expected
):
    environment = dict(given)
    monkeypatch.setattr(startup.os, "environ", environment)
    monkeypatch.setattr(startup.sys, "platform", system)
    monkeypatch.setattr(startup.platform, "release", lambda: release)
    startup.let_gpu_memory_grow()
    assert environment == expected


@pytest.mark.parametrize(
    ("given", "policy", "spins"),
    [({}, "PASSIVE", "1000"), ({"GOMP_SPINCOUNT": "0"}, "PASSIVE", "0"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE", "")],
)
def test_threads_hardly_spin_unless_told_otherwise(given, policy, spins):
    env = {name: value for name, value in os.environ.items() if name not in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")}
    code = "import os, cn; print(os.environ['OMP_WAIT_POLICY'], os.environ.get('GOMP_SPINCOUNT', ''))"
    run = subprocess.run([sys.executable, "-c", code], env=env | given, capture_output=True, text=True, check=True)
    assert run.stdout == f"{policy} {spins}\n"


def test_what_is_begun_while_torch_is_imported(monkeypatch, tmp_path):
    """The hashes of the base and its control, before networks are opened, and what their speed needs of a GPU."""
    begun = []

    class Opened(Exception):
        pass

    def opened(*args, **options):
        begun.append(options["speed"])
        raise Opened

    monkeypatch.setattr("cn.sample.weights.begin_sha256", lambda path: begun.append(path.name))
    monkeypatch.setattr(run, "open_pipelines", opened)
    speed = SpeedOptions(batch_size=3)
    with pytest.raises(Opened):
        run.prepare([SampleRequest(prompts=("x",))] * 2, out=str(tmp_path), number=True, speed=speed)
    assert begun == ["base.safetensors", speed]


@pytest.mark.parametrize(("speed", "begins"), [(SpeedOptions(), True), (SpeedOptions(compile=False), False)])
def test_kernels_are_begun_while_the_base_is_read(monkeypatch, speed, begins):
    begun = []

    def read(*args):
        raise WeightsError("read")

    monkeypatch.setattr(pipeline, "choose_device", lambda name: torch.device("cuda"))
    monkeypatch.setattr(pipeline, "begin_kernels", lambda *asked: begun.append(asked))
    monkeypatch.setattr(pipeline, "open_sampling_base", read)
    with pytest.raises(WeightsError):
        SamplingPipeline.open(SampleRequest(prompts=("x",)), speed=speed)
    assert begun == [(torch.device("cuda"), torch.float16)] * begins
