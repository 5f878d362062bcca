"""Several datasets in one run: mixed by repeats, each with its own findings, cache and faults."""

import pickle
import shutil
import subprocess
import sys

import pytest

from cn.data.pairs import open_pairs
from cn.errors import InputError, UsageError
from cn.train import latent_batches
from cn.train.cache import shards
from cn.train.config import TrainConfig
from cn.train.feed import Feed
from cn.train.order import Order
from cn.train.preview import Preview
from cn.train.request import check_request
from cn.train.run import plan
from tests.conftest import write_pairs
from tests.helpers.cli import program_environment
from tests.helpers.latent_caches import PAPER, losses, make
from tests.helpers.pair_layouts import LAYOUTS
from tests.helpers.training import Listener, begin, resume, same, train, weights


@pytest.fixture
def sets(tmp_path):
    return write_pairs(tmp_path / "a", 3), write_pairs(tmp_path / "b", 5)


def kohya(folder, out):
    """Folders with repeats, and the maps in one called conditioning."""
    for number, place in enumerate(("3_cat", "3_cat", "1_dog")):
        for name, into in (("target", place), ("source", f"conditioning/{place}")):
            (out / into).mkdir(parents=True, exist_ok=True)
            shutil.copy(folder / f"{name}/{number}.png", out / into / f"{number}.png")
    return out


def test_the_result_does_not_depend_on_workers_or_restarts(sets, tmp_path, tiny_base_file):
    given = {"repeats": (2, 1), "accumulate": 2, "flip": True}
    train(begin(tmp_path / "whole", tiny_base_file, sets, steps=4, **given))
    train(begin(tmp_path / "parts", tiny_base_file, sets, steps=2, **given), workers=2)
    assert TrainConfig.load(tmp_path / "parts").repeats == (2, 1)
    train(resume(tmp_path / "parts", steps=4))
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))


def test_the_plan_lists_every_dataset(sets, tmp_path, tiny_base_file):
    rows = plan(begin(tmp_path / "run", tiny_base_file, sets, repeats=(4, 1), flip=True))
    assert rows["data"] == f"depth from {sets[0]}, 3 pairs × 4; {sets[1]}, 5 pairs, 64×64: 17 images in an epoch"
    assert rows["mirrored"] == "half of the images, chosen anew each time (--flip)"


def test_kohyas_repeats_count_unless_others_are_given(tmp_path, tiny_base_file):
    data = kohya(write_pairs(tmp_path / "a", 3), tmp_path / "set")
    pairs = open_pairs(data, "depth")
    assert list(pairs.repeats()) == [1, 3, 3]  # by name: 1_dog before 3_cat
    for given, examples, words in (
        ({}, [0, *[1] * 3, *[2] * 3], "3 pairs, 7 with the repeats of their folders"),
        ({"repeats": (2,)}, [0, 0, 1, 1, 2, 2], "3 pairs × 2"),
    ):
        task = begin(tmp_path / "run", tiny_base_file, data, batch_size=1, steps=1, **given)
        order = Order.of(task.source, task.config)
        assert sorted(order.micro_batch(n)[0].example for n in range(len(examples))) == examples
        assert words in plan(task)["data"]


def test_layouts_are_mixed(tmp_path, tiny_base_file):
    folder = write_pairs(tmp_path / "a", 4)
    data = tuple(write(folder, tmp_path / name) for name, write in LAYOUTS.items())
    task = begin(tmp_path / "run", tiny_base_file, (folder, *data), steps=2)
    assert task.source.count == 20
    prompts = [task.source.fetch(number).example.prompt for number in range(20)]
    assert prompts == [f"image {number}" for number in range(4)] * 5
    assert train(task, workers=2).skipped == 0


def test_datasets_of_other_kinds_are_named(sets, tmp_path, tiny_base_file):
    other = write_pairs(tmp_path / "c", 2, kind="canny")
    with pytest.raises(UsageError, match=f"{other} holds canny maps, not depth; all --data of a run hold maps of one"):
        begin(tmp_path / "run", tiny_base_file, (*sets, other))
    unstated = write_pairs(tmp_path / "d", 2, kind=None)
    options = {"base": str(tiny_base_file), "data": tuple(map(str, (unstated, sets[0])))}
    assert check_request(options, out=tmp_path / "run").run == tmp_path / "run"
    with pytest.raises(UsageError, match="canny maps"):
        check_request({**options, "data": (*options["data"], str(other))}, out=tmp_path / "run")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"repeats": (1, 2, 3)}, "--repeats is given 3 times for 2 --data"),
        ({"repeats": (0,)}, "--repeats must be between 1 and 1000, not 0"),
        ({"repeats": (1, True)}, "--repeats must be"),
    ],
)
def test_repeats_belong_to_datasets(given, message, sets, tmp_path, tiny_base_file):
    with pytest.raises(UsageError, match=message):
        begin(tmp_path / "run", tiny_base_file, sets, **given)
    with pytest.raises(UsageError, match="--repeats needs --data"):
        begin(tmp_path / "run", tiny_base_file, "", repeats=(2,))


def test_findings_name_their_dataset(sets, tmp_path, tiny_base_file):
    lines = (sets[1] / "prompt.json").read_text().replace('"image 0"', '""')
    (sets[1] / "prompt.json").write_text(lines)
    (sets[0] / "source/1.png").unlink()
    task = begin(tmp_path / "run", tiny_base_file, sets, steps=3)
    assert [f"{sets[0]}/prompt.json:2: " in message for message in task.findings.broken] == [True]
    assert task.findings.warnings == (f"{sets[1]}: 1 of 5 pairs have no caption; their prompt is empty",)
    assert "(1 known to be broken: skipped)" in plan(task)["data"]
    listener = Listener()
    assert train(task, listener).skipped == 1
    fetched = task.source.fetch(1)
    assert fetched.example.prompt == "image 2", "of the same dataset"
    assert task.source.fetch(2).example.prompt == "image 2"


def test_most_of_one_dataset_broken_is_refused(sets, tmp_path, tiny_base_file):
    for number in range(2):
        (sets[0] / f"target/{number}.png").write_bytes(b"none")
    with pytest.raises(InputError, match=f"{sets[0]}: 2 of 3 pairs are broken"):
        begin(tmp_path / "run", tiny_base_file, sets)


def test_each_dataset_has_its_own_cache(sets, tmp_path, tiny_base_file, monkeypatch):
    monkeypatch.setattr(shards, "MAX_ROWS", 2)
    given = {**PAPER, "steps": 3, "batch_size": 3}
    make(sets[1], tiny_base_file)
    for in_memory in (True, False):
        if not in_memory:
            monkeypatch.setattr(latent_batches, "CACHE_BYTES", 0)
        shutil.rmtree(tmp_path / "some", ignore_errors=True)
        task = begin(tmp_path / "some", tiny_base_file, sets, **given)
        assert f"those of {sets[0]} are encoded" in plan(task)["latents"]
        assert not next(task.networks.base.vae.encoder.parameters()).is_meta
        train(task)
        shutil.rmtree(tmp_path / "none", ignore_errors=True)
        train(begin(tmp_path / "none", tiny_base_file, sets, cache=False, **given))
        assert losses(tmp_path / "some") == pytest.approx(losses(tmp_path / "none"), abs=1e-4)
    make(sets[0], tiny_base_file)
    task = begin(tmp_path / "all", tiny_base_file, sets, **given)
    assert next(task.networks.base.vae.encoder.parameters()).is_meta
    assert "not decoded" in plan(task)["latents"]
    encoded = []
    task.networks.base.text.register_forward_hook(lambda module, args, output: encoded.append(args))
    train(task)
    assert encoded == [], "the embeddings of both caches are found"
    assert losses(tmp_path / "all") == pytest.approx(losses(tmp_path / "none"), abs=1e-4)


def test_previews_take_pairs_of_all_datasets(tmp_path, tiny_base_file):
    data = tuple(write_pairs(tmp_path / str(count), count) for count in (20, 1, 2, 3))
    task = begin(tmp_path / "run", tiny_base_file, data, steps=1)
    shown = Preview.of(task.source, task.config).examples
    firsts = [task.source.fetch(number).example for number in (0, 20, 21, 23)]
    assert [e.condition.tobytes() for e in shown] == [e.condition.tobytes() for e in firsts]
    two = begin(tmp_path / "run", tiny_base_file, data[:2], steps=1)
    assert len(Preview.of(two.source, two.config).examples) == 3


def test_captions_that_name_sides_are_counted_with_flip(tmp_path, tiny_base_file):
    data = write_pairs(tmp_path / "a", 4)
    text = (
        (data / "prompt.json").read_text().replace("image 1", "a cat on the left").replace("image 3", "bright leftover")
    )
    (data / "prompt.json").write_text(text)
    warnings = begin(tmp_path / "run", tiny_base_file, data, flip=True).findings.warnings
    assert len(warnings) == 1
    assert warnings[0].startswith("1 of the 4 captions that were looked at say left or right")
    assert begin(tmp_path / "run", tiny_base_file, data).findings.warnings == ()


def test_worker_processes_load_no_torch(sets, tmp_path, tiny_base_file):
    """Each would take seconds and hundreds of megabytes."""
    make(sets[0], tiny_base_file)
    task = begin(tmp_path / "run", tiny_base_file, sets, flip=True)
    fetchers = tmp_path / "fetchers"
    fetchers.write_bytes(
        pickle.dumps([Feed(task.source, task.networks.base, True, c).fetch for c in (None, task.cache)])
    )
    script = (
        "import pickle, sys\n"
        "from cn.data.examples import Draw\n"
        "found = [fetch(Draw(n, n == 1)) for fetch in pickle.load(open(sys.argv[1], 'rb')) for n in range(8)]\n"
        "print('torch' in sys.modules, [type(each).__name__ for each in found].count('FetchedHint'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, fetchers], capture_output=True, text=True, env=program_environment()
    )
    assert done.stdout.split() == ["False", "2"], done.stderr
