"""Training on images of their own aspect ratios: shapes, the same crop of image and map, exact resuming, caches."""

import json
import shutil

import numpy as np
import pytest
import torch

from cn import images
from cn.data.buckets import bucket_shapes
from cn.data.folder import load_pair
from cn.data.pairs import open_pairs
from cn.errors import InputError, UsageError
from cn.train import latent_batches
from cn.train.bucketing import SIZES, load_sizes
from cn.train.cache import shards
from cn.train.cache.job import open_job
from cn.train.cache.key import bucket_crop
from cn.train.latent_batches import micro_batches
from cn.train.run import plan
from cn.train.run_folder import find_state
from tests.conftest import write_pairs
from tests.helpers.latent_caches import PAPER, losses
from tests.helpers.pair_layouts import LAYOUTS
from tests.helpers.shaped_pairs import SHAPES, write_shaped
from tests.helpers.training import Listener, begin, resume, same, train, weights


@pytest.fixture(scope="session")
def tiny_base_file(small_sd_file):
    return small_sd_file


BUCKETS = {"size": 192, "buckets": True}
WANTED = {(192, 192), (256, 128), (128, 256)}


def batches(task, count, **given):
    stream = micro_batches(
        task.source, task.networks.base, task.config, 0, workers=0, skip=pytest.fail, cache=task.cache, **given
    )
    return [batch for batch, _ in zip(stream, range(count), strict=False)]


@pytest.mark.parametrize("in_memory", [True, False])
def test_every_micro_batch_has_the_shape_of_its_images(in_memory, tmp_path, tiny_base_file, monkeypatch):
    if not in_memory:
        monkeypatch.setattr(latent_batches, "CACHE_BYTES", 0)
    task = begin(tmp_path / "run", tiny_base_file, write_shaped(tmp_path / "a", 9), steps=9, **BUCKETS)
    found = set()
    for batch in batches(task, 9):
        height, width = batch.hint.shape[-2:]
        assert batch.mean.shape == batch.std.shape == (2, 4, height // 8, width // 8)
        found.add((height, width))
    assert found == WANTED
    assert plan(task)["shapes"] == "3 shapes (--buckets): 128×256 3 pairs, 192×192 3 pairs, 256×128 3 pairs"


@pytest.mark.parametrize("height", [97, 250, 511])
@pytest.mark.parametrize("width", [101, 380, 640])
def test_image_and_map_are_cropped_alike(height, width, tmp_path):
    """The map is the image, with marks in all places: it must be so afterwards, and keep the middle."""
    rng = np.random.default_rng(height * width)
    image = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    data = write_pairs(tmp_path / "a", 1)
    images.write(data / "target/0.png", image)
    images.write(data / "source/0.png", image)
    (pair,) = open_pairs(data, "depth")
    for shape in bucket_shapes(192, 64, 2):
        example = load_pair(pair, shape, "depth")
        assert example.target.shape == (*shape, 3)
        assert np.array_equal(example.target, example.condition)


def test_a_map_of_another_size_shows_the_same_part(tmp_path):
    rows, columns = np.mgrid[0:300, 0:520]
    image = np.stack([rows * 255 / 299, columns * 255 / 519, rows * 0], axis=-1).round().astype(np.uint8)
    data = write_pairs(tmp_path / "a", 1)
    images.write(data / "target/0.png", image)
    for height, width in ((600, 1040), (148, 260), (300, 512)):
        images.write(data / "source/0.png", np.asarray(images.resize(image, (height, width))))
        (pair,) = open_pairs(data, "depth")
        for shape in bucket_shapes(192, 64, 2):
            example = load_pair(pair, shape, "depth")
            difference = np.abs(example.target.astype(int) - example.condition)
            # One level is a pixel of the image or two: half a pixel of the smaller one, and rounding.
            assert difference.max() <= 2, (height, width, shape)


def test_a_run_resumes_bit_for_bit_with_everything_at_once(tmp_path, tiny_base_file):
    data = write_shaped(tmp_path / "a", 7), write_shaped(tmp_path / "b", 4)
    given = {**BUCKETS, "flip": True, "accumulate": 2, "batch_size": 1, "repeats": (1, 2), "seed": 3}
    train(begin(tmp_path / "whole", tiny_base_file, data, steps=3, **given))
    train(begin(tmp_path / "parts", tiny_base_file, data, steps=1, **given), workers=2)
    train(resume(tmp_path / "parts", steps=3), workers=0)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "parts"))
    assert losses(tmp_path / "whole") == losses(tmp_path / "parts")


def test_what_is_repaired_meanwhile_does_not_change_the_order(tmp_path, tiny_base_file):
    """The sizes of the images are those of the start, also of one that could not be read then."""
    data = write_shaped(tmp_path / "a", 8)
    intact = (data / "target/3.png").read_bytes()
    runs = [tmp_path / "whole", tmp_path / "parts"]
    for run, steps in zip(runs, (3, 1), strict=True):
        (data / "target/3.png").write_bytes(b"no image")
        listener = Listener()
        train(begin(run, tiny_base_file, data, steps=steps, **BUCKETS), listener)
        assert any("1 images cannot be read: they are left out" in warning for warning in listener.warnings)
    (data / "target/3.png").write_bytes(intact)
    train(resume(tmp_path / "parts", steps=3))
    assert same(*map(weights, runs))
    assert load_sizes(runs[0])[0].tolist()[3] == [0, 0]
    (runs[0] / SIZES).write_bytes(b"cut")
    assert load_sizes(runs[0]) == []
    assert resume(runs[0], steps=5).step == 3


def test_a_broken_image_is_replaced_by_one_of_its_shape(tmp_path, tiny_base_file):
    data = write_shaped(tmp_path / "a", 9)
    task = begin(tmp_path / "run", tiny_base_file, data, steps=9, batch_size=1, **BUCKETS)
    (data / "target/0.png").write_bytes((data / "target/0.png").read_bytes()[:100])
    fetched = task.source.fetch(0)
    assert np.array_equal(fetched.example.target, task.source.fetch(3).example.target)
    assert "prompt.json:1: " in fetched.skipped[0]
    for number in (3, 6):
        (data / f"source/{number}.png").unlink()
    fetched = task.source.fetch(0)
    assert fetched.example.target.shape == (192, 192, 3), "none of its shape is left: another one is cropped to it"
    assert len(fetched.skipped) == 3
    listener = Listener()
    assert train(task, listener).skipped == 3


def test_a_vanished_folder_ends_the_run_with_its_state(tmp_path, tiny_base_file, monkeypatch):
    monkeypatch.setattr(latent_batches, "CACHE_BYTES", 0)
    data = write_shaped(tmp_path / "a", 7), write_shaped(tmp_path / "b", 6)
    task = begin(tmp_path / "run", tiny_base_file, data, steps=30, save_every=2, batch_size=1, **BUCKETS)

    def remove(result):
        if result.step == 2:
            shutil.rmtree(data[1])

    with pytest.raises(InputError, match=r"6 pairs in a row are broken; the last: .*/b/"):
        train(task, Listener(remove))
    assert find_state(tmp_path / "run").step >= 2


def test_rare_shapes_small_images_and_a_base_with_one_shape_are_said(tmp_path, tiny_base_file):
    data = write_shaped(tmp_path / "a", 10, (*[(192, 192)] * 8, (250, 120), (60, 60)))
    warnings = " ".join(begin(tmp_path / "run", tiny_base_file, data, steps=1, **BUCKETS).findings.warnings)
    assert "1 images have a shape of which there are fewer than --batch-size 2: they are cropped" in warnings
    assert "2 of 10 images are smaller than what they are trained at, and enlarged" in warnings
    task = begin(tmp_path / "run", tiny_base_file, data, steps=1, size=64, buckets=True)
    assert "64×64 is the only shape at this size" in " ".join(task.findings.warnings)
    with pytest.raises(UsageError, match="--buckets needs --data"):
        begin(tmp_path / "run", tiny_base_file, "", **BUCKETS)


@pytest.mark.parametrize("layout", ["webdataset", "parquet"])
def test_buckets_of_other_layouts(layout, tmp_path, tiny_base_file):
    folder = write_shaped(tmp_path / "a", 6)
    data = LAYOUTS[layout](folder, tmp_path / layout)
    tasks = [begin(tmp_path / "run", tiny_base_file, each, steps=3, **BUCKETS) for each in (folder, data)]
    a, b = (batches(task, 3) for task in tasks)
    assert all(torch.equal(x.hint, y.hint) and torch.equal(x.mean, y.mean) for x, y in zip(a, b, strict=True))


def cached(data, base, *, max_ratio=2.0, size=192):
    job = open_job(open_pairs(data), base, size=size, precision="fp32", device="cpu", crop=bucket_crop(max_ratio))
    return job, job.run(batch_size=2, workers=0)


def test_a_cache_of_buckets_gives_the_numbers_of_encoding(tmp_path, tiny_base_file, monkeypatch):
    monkeypatch.setattr(shards, "MAX_ROWS", 2)
    data = write_shaped(tmp_path / "a", 8, SHAPES[:2])
    job, report = cached(data, tiny_base_file)
    assert (report.encoded, report.broken) == (8, [])
    assert job.plan_rows()["images"] == "8, in 2 shapes of the area of 192×192 (--buckets)"
    rows = {shards.row_shape(path, "mean") for path in shards.files(job.plan.folder, "latents")}
    assert rows == {(4, 24, 24), (4, 32, 16)}
    assert cached(data, tiny_base_file)[1].encoded == 0
    given = {**PAPER, **BUCKETS, "steps": 3, "accumulate": 2}
    task = begin(tmp_path / "cached", tiny_base_file, data, **given)
    assert task.cache is not None
    assert task.cache.complete
    assert next(task.networks.base.vae.encoder.parameters()).is_meta
    train(task)
    train(begin(tmp_path / "without", tiny_base_file, data, cache=False, **given))
    assert losses(tmp_path / "cached") == pytest.approx(losses(tmp_path / "without"), abs=1e-5)


def test_a_cache_of_another_crop_is_named_and_not_used(tmp_path, tiny_base_file):
    data = write_shaped(tmp_path / "a", 6)
    cached(data, tiny_base_file)
    for given, reason, command in (
        ({"size": 192}, "is of aspect-ratio buckets", f"{data} --base {tiny_base_file} --size 192"),
        ({**BUCKETS, "max_ratio": 1.5}, "buckets-2", "--size 192 --buckets --max-ratio 1.5"),
    ):
        task = begin(tmp_path / "run", tiny_base_file, data, steps=1, **given)
        words = " ".join(task.findings.warnings)
        assert task.cache is None
        assert reason in words
        assert words.endswith(command)


def test_what_a_cache_lacks_is_encoded(tmp_path, tiny_base_file, monkeypatch):
    """Images that were merged into another shape, mirrored ones, and those of a dataset without a cache."""
    monkeypatch.setattr(latent_batches, "CACHE_BYTES", 0)
    shapes = ((192, 192), (192, 192), (250, 120), (192, 192), (192, 192), (192, 192))
    data = write_shaped(tmp_path / "a", 6, shapes), write_shaped(tmp_path / "b", 3, shapes)
    cached(data[0], tiny_base_file)
    given = {**PAPER, **BUCKETS, "batch_size": 3, "flip": True, "steps": 3}
    task = begin(tmp_path / "cached", tiny_base_file, data, **given)
    assert task.cache is not None
    assert [cache is None for cache in task.cache.caches] == [False, True]
    assert task.cache.caches[0].pairs.other_shape == {2}
    assert not task.cache.complete
    said = plan(task)["latents"]
    assert said.endswith(f"; mirrored images, those of {data[1]}, 1 of rare shapes are encoded")
    train(task)
    train(begin(tmp_path / "without", tiny_base_file, data, cache=False, **given))
    assert losses(tmp_path / "cached") == pytest.approx(losses(tmp_path / "without"), abs=1e-4)
    assert json.loads((tmp_path / "cached/metrics.jsonl").read_text().splitlines()[0])["step"] == 1
