"""Perceptual hashes against the library ImageHash, and groups against comparing all with all."""

import itertools

import cv2
import imagehash
import numpy as np
import pytest
from PIL import Image

from cn.data import near_duplicates
from cn.data.near_duplicates import groups, near_pairs, perceptual_hash, union


def picture(seed: int, height: int = 96, width: int = 128) -> np.ndarray:
    """Smooth shapes with some noise, as different from seed to seed as photographs are."""
    random = np.random.default_rng(seed)
    coarse = random.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    image = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(int)
    return np.clip(image + random.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def bits_between(a: int, b: int) -> int:
    return (a ^ b).bit_count()


@pytest.mark.parametrize("seed", range(8))
def test_the_hash_is_that_of_imagehash(seed):
    image = picture(seed)
    theirs = int(str(imagehash.phash(Image.fromarray(image))), 16)
    # Pillow shrinks with another filter: single bits near the median may differ.
    assert bits_between(perceptual_hash(image), theirs) <= 4


def test_copies_are_near_and_others_far():
    images = [picture(seed) for seed in range(12)]
    hashes = [perceptual_hash(image) for image in images]
    for image, value in zip(images, hashes, strict=True):
        jpeg = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], cv2.IMREAD_COLOR)
        small = cv2.resize(image, (64, 48), interpolation=cv2.INTER_AREA)
        brighter = np.clip(image.astype(int) + 12, 0, 255).astype(np.uint8)
        for copy in (jpeg, small, brighter):
            assert bits_between(value, perceptual_hash(copy)) <= near_duplicates.DISTANCE
    assert min(bits_between(a, b) for a, b in itertools.combinations(hashes, 2)) > near_duplicates.DISTANCE


def test_an_image_of_one_color_has_no_hash():
    assert perceptual_hash(np.full((50, 60, 3), 128, np.uint8)) is None
    assert perceptual_hash(np.zeros((1, 1, 3), np.uint8)) is None
    noise = np.random.default_rng(0).integers(0, 3, (64, 64, 3)).astype(np.uint8)
    assert perceptual_hash(noise) is None
    line = np.zeros((64, 64, 3), np.uint8)
    line[:, 30:34] = 255
    assert perceptual_hash(line) == perceptual_hash(line[..., 0])


def brute_force(hashes, distance):
    return {
        (i, j)
        for (i, a), (j, b) in itertools.combinations(enumerate(hashes), 2)
        if a is not None and b is not None and bits_between(a, b) <= distance
    }


def close_and_far(seed: int, count: int = 120) -> list[int | None]:
    """Hashes of which many are a few bits from an earlier one, in random bits."""
    random = np.random.default_rng(seed)
    hashes: list[int | None] = []
    for number in range(count):
        if number % 3 == 0 or not hashes:
            hashes.append(int(random.integers(0, 2**64, dtype=np.uint64)))
        else:
            flips = random.choice(64, int(random.integers(0, 14)), replace=False)
            base = next(value for value in hashes[int(random.integers(0, len(hashes))) :] + hashes if value is not None)
            hashes.append(base ^ sum(1 << int(bit) for bit in flips))
        if number % 17 == 5:
            hashes[-1] = None
    return hashes


@pytest.mark.parametrize("distance", [0, 1, 3, 4, 6, 8, 11])
def test_pairs_are_those_of_comparing_all_with_all(distance):
    hashes = close_and_far(distance)
    expected = brute_force(hashes, distance)
    found = {tuple(pair) for pairs in near_pairs(hashes, distance) for pair in pairs.tolist()}
    assert found <= expected
    # Of equal hashes, the first one makes the pairs.
    first = {value: hashes.index(value) for value in hashes if value is not None}
    assert {(first[hashes[i]], first[hashes[j]]) for i, j in expected if hashes[i] != hashes[j]} <= {
        (first[hashes[i]], first[hashes[j]]) for i, j in found
    } | {(first[hashes[j]], first[hashes[i]]) for i, j in found}
    assert {j for i, j in expected if hashes[i] == hashes[j]} <= {j for _, j in found}


@pytest.mark.parametrize("distance", [0, 5, 8])
def test_groups_are_the_connected_ones(distance, monkeypatch):
    monkeypatch.setattr(near_duplicates, "_AT_ONCE", 7)
    hashes = close_and_far(100 + distance)
    neighbors = {i: {i} for i in range(len(hashes))}
    for i, j in brute_force(hashes, distance):
        neighbors[i].add(j)
        neighbors[j].add(i)
    for start in range(len(hashes)):
        reached, waiting = set(), [start]
        while waiting:
            place = waiting.pop()
            if place not in reached:
                reached.add(place)
                waiting += neighbors[place]
        assert groups(hashes, distance)[start] == min(reached)


def test_what_a_caller_knows_better():
    hashes = [1, 3, 7, 1 << 40]
    assert groups(hashes, 1).tolist() == [0, 0, 0, 3]
    assert groups(hashes, 1, confirm=lambda pairs: pairs[:, 1] != 2).tolist() == [0, 0, 2, 3]
    labels = groups(hashes, 0)
    union(labels, np.array([[1, 3], [2, 3]]))
    assert labels.tolist() == [0, 1, 1, 1]
    assert groups([]).tolist() == []
    assert groups([None, None]).tolist() == [0, 1]


@pytest.mark.parametrize("distance", [-1, 12])
def test_a_distance_that_cannot_be_searched(distance):
    with pytest.raises(ValueError, match="distance"):
        list(near_pairs([1, 2], distance))


def test_work_grows_with_the_images_and_not_with_their_square(monkeypatch):
    """Candidates that are compared for 100,000 random hashes: a thousandth of all pairs."""
    compared = []
    joined = near_duplicates._joined

    def counting(*words):
        for a, b in joined(*words):
            compared.append(len(a))
            yield a, b

    monkeypatch.setattr(near_duplicates, "_joined", counting)
    hashes = np.random.default_rng(0).integers(0, 2**64, 100_000, dtype=np.uint64).tolist()
    hashes[70_000] = hashes[5] ^ 0b111
    assert groups(hashes)[70_000] == 5
    assert sum(compared) < 100_000**2 / 2 / 700
    assert max(compared) <= 2 * near_duplicates._AT_ONCE
