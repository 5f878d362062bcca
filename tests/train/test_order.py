"""The order of images: pure functions, in which every image comes equally often, wherever one starts."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from cn.data.buckets import bucket_shapes, merged, nearest
from cn.data.examples import Draw
from cn.data.mixture import datasets
from cn.train.order import Order, bucket_batch, image_indices
from cn.train.run_data import open_source
from tests.conftest import write_pairs
from tests.helpers.training import begin


def indices(order: Order, numbers: range) -> list[int]:
    return [draw.example for number in numbers for draw in order.micro_batch(number)]


def test_an_epoch_of_two_datasets_is_every_pair_times_its_repeats(tmp_path, tiny_base_file):
    data = write_pairs(tmp_path / "a", 3), write_pairs(tmp_path / "b", 5)
    task = begin(tmp_path / "run", tiny_base_file, data, repeats=(4, 1), batch_size=1, steps=1)
    order = Order.of(task.source, task.config)
    epochs = [indices(order, range(17 * epoch, 17 * (epoch + 1))) for epoch in range(3)]
    each = {**dict.fromkeys(range(3), 4), **dict.fromkeys(range(3, 8), 1)}
    assert [Counter(epoch) for epoch in epochs] == [each] * 3
    assert len({tuple(epoch) for epoch in epochs}) == 3
    assert [part.count for part in datasets(task.source)] == [3, 5]
    prompts = [task.source.fetch(number).example.prompt for number in range(8)]
    assert prompts == [f"image {number}" for number in (0, 1, 2, 0, 1, 2, 3, 4)]


def test_one_number_of_repeats_serves_all_and_the_seed_decides_the_order(tmp_path, tiny_base_file):
    data = write_pairs(tmp_path / "a", 2), write_pairs(tmp_path / "b", 2)
    orders = []
    for seed in (0, 0, 1):
        task = begin(tmp_path / "run", tiny_base_file, data, repeats=(3,), batch_size=2, seed=seed)
        orders.append(indices(Order.of(task.source, task.config), range(6)))
    assert Counter(orders[0]) == Counter(dict.fromkeys(range(4), 3))
    assert orders[0] == orders[1] != orders[2]


SIZES = ((30, 4), (7, 5, 12), (5,), (1, 3, 2), (101, 64, 16, 4))


@pytest.mark.parametrize("counts", SIZES)
def test_a_micro_batch_is_of_one_bucket_and_all_images_come_equally_often(counts):
    size = min(4, *counts)
    seen = [Counter(dict.fromkeys(range(count), 0)) for count in counts]
    number, ends = 0, {epoch: sum(epoch * count // size for count in counts) for epoch in range(1, 12)}
    for epoch, end in ends.items():
        while number < end:
            bucket, places = bucket_batch(3, number, counts, size)
            assert len(places) == size
            seen[bucket].update(places)
            number += 1
        times = {count for bucket in seen for count in bucket.values()}
        assert times <= {epoch - 1, epoch}, "no image is ahead of another by more than one"
    assert len({bucket_batch(3, n, counts, size)[0] for n in range(number)}) == len(counts)


def test_micro_batches_of_buckets_are_mixed_and_found_without_those_before():
    counts, size = (4000, 4000), 4
    early = [bucket_batch(0, number, counts, size)[0] for number in range(200)]
    assert 60 < sum(early) < 140, "the buckets do not come one after the other"
    far = bucket_batch(0, 123_456_789, counts, size)
    assert far == bucket_batch(0, 123_456_789, counts, size)
    orders = [[bucket_batch(seed, number, counts, size) for number in range(20)] for seed in (0, 1)]
    assert orders[0] != orders[1]


def test_processes_share_one_sequence():
    """Process r of W gets the micro-batches r, r + W, … of a step."""
    from cn.train.latent_batches import _Numbers
    from cn.train.world import World

    alone = list(_Numbers(2, 5, 4, World()))
    assert alone == list(range(8, 20))
    two = [list(_Numbers(2, 5, 4, World(rank, 2))) for rank in range(2)]
    assert [number for pair in zip(*two, strict=True) for number in pair] == alone


def test_half_of_the_pairs_are_mirrored_by_place():
    order = Order(seed=5, batch_size=8, count=10, flip=True)
    draws = [draw for number in range(500) for draw in order.micro_batch(number)]
    assert [draw.example for draw in draws] == [i for n in range(500) for i in image_indices(5, n, 8, 10)]
    share = np.mean([draw.mirrored for draw in draws])
    assert abs(share - 0.5) < 4 * 0.5 / 4000**0.5
    assert {draw for draw in draws if draw.example == 3} == {Draw(3, False), Draw(3, True)}
    assert order.micro_batch(77) == draws[77 * 8 : 78 * 8]
    other = Order(seed=6, batch_size=8, count=10, flip=True)
    assert [d.mirrored for n in range(9) for d in other.micro_batch(n)] != [d.mirrored for d in draws[:72]]


@pytest.mark.parametrize(("size", "multiple", "ratio"), [(512, 64, 2), (1024, 64, 2), (256, 32, 4), (64, 64, 2)])
def test_shapes_of_buckets(size, multiple, ratio):
    shapes = bucket_shapes(size, multiple, ratio)
    assert (size, size) in shapes
    assert {(w, h) for h, w in shapes} == set(shapes)
    for height, width in shapes:
        assert height % multiple == width % multiple == 0
        assert height * width <= size**2
        assert max(height, width) <= ratio * min(height, width)
    if size == 512:
        assert shapes == ((640, 384), (576, 448), (512, 512), (448, 576), (384, 640))
    assert len(shapes) == 1 or size > 64


def test_every_image_gets_the_nearest_ratio_and_is_enlarged_no_more_than_as_a_square():
    shapes = bucket_shapes(512, 64, 2)
    rng = np.random.default_rng(0)
    sizes = rng.integers(40, 3000, (400, 2))
    numbers = nearest(sizes, shapes)
    for (height, width), number in zip(sizes, numbers, strict=True):
        distances = [abs(np.log(w / h) - np.log(width / height)) for h, w in shapes]
        assert distances[number] == min(distances)
        enlarged = max(shapes[number][0] / height, shapes[number][1] / width)
        assert enlarged <= 512 / min(height, width) * (1 + 1e-9)
    assert nearest(np.array([[0, 0], [5, 0]]), shapes).tolist() == [len(shapes)] * 2


def test_rare_shapes_join_their_neighbors():
    shapes = bucket_shapes(512, 64, 2)
    numbers = np.array([0, 0, 2, 2, 2, 2, 2, 3, 4, 4, 4, 4, 5])
    assert merged(numbers, np.ones(13, int), shapes, 1) == [0, 1, 2, 3, 4]
    # Number 3 lies between 2 and 4, nearer to 2; number 0 joins the nearest one in use.
    assert merged(numbers, np.ones(13, int), shapes, 4) == [2, 1, 2, 2, 4]
    assert merged(numbers, np.full(13, 4), shapes, 4) == [0, 1, 2, 3, 4], "repeats count"
    assert len(set(merged(numbers, np.ones(13, int), shapes, 100)) - {1}) == 1


def test_the_examples_of_a_bucket_are_those_of_its_shape(tmp_path: Path, tiny_base_file):
    from cn import images

    data = write_pairs(tmp_path / "a", 12)
    for number in range(12):
        shape = (192, 192) if number % 3 else (250, 120)
        for name in ("source", "target"):
            images.write(data / f"{name}/{number}.png", np.full((*shape, 3), number, np.uint8))
    task = begin(tmp_path / "run", tiny_base_file, data, size=192, buckets=True, batch_size=4, steps=1, repeats=(2,))
    source, _ = open_source(task.config, multiple=64)
    order = Order.of(source, task.config)
    batches = [order.micro_batch(number) for number in range(6)]
    for batch in batches:
        shapes = {source.fetch(draw.example).example.target.shape for draw in batch}
        assert len(shapes) == 1
    assert Counter(draw.example for batch in batches for draw in batch) == dict.fromkeys(range(12), 2)
