"""Fingerprints against the library ImageHash, and groups against comparing all with all."""

import hashlib
import itertools

import cv2
import imagehash
import numpy as np
import pytest
from PIL import Image

from cn.data import near_duplicates
from cn.data.near_duplicates import Fingerprint, bands, fingerprint, groups, near_pairs, perceptual_hash, union


def picture(seed: int, height: int = 96, width: int = 128) -> np.ndarray:
    """Shapes of several sizes with some noise, as different from seed to seed as photographs are."""
    random = np.random.default_rng(seed)
    image = np.zeros((height, width, 3))
    for rows, columns, weight in ((3, 4, 0.5), (12, 16, 0.3), (24, 32, 0.2)):
        coarse = random.integers(0, 256, (rows, columns, 3)).astype(np.uint8)
        image += weight * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.clip(image + random.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def bits_between(a: bytes, b: bytes) -> int:
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).bit_count()


@pytest.mark.parametrize("seed", range(6))
def test_the_hash_is_that_of_imagehash(seed):
    image = picture(seed, 256, 256)
    theirs = imagehash.phash(Image.fromarray(image), hash_size=16)
    # Pillow shrinks with another filter: single bits near the median may differ.
    assert bits_between(perceptual_hash(image), np.packbits(theirs.hash).tobytes()) <= 12


def test_a_fingerprint_by_hand():
    image = np.zeros((8, 8, 3), np.uint8)
    image[:4, :4] = (200, 100, 50)
    found = fingerprint(b"the file", image)
    assert found.digest == hashlib.sha256(b"the file").digest()[:16]
    colors = np.frombuffer(found.colors, np.uint8).reshape(4, 4, 3)
    assert colors[0, 0].tolist() == colors[1, 1].tolist() == [200, 100, 50]
    assert not colors[2:].any()
    assert len(found.hash) == 32


def test_copies_are_near_and_others_are_not():
    images = [picture(seed) for seed in range(12)]
    every = []
    for image in images:
        jpeg = cv2.imdecode(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR)
        small = cv2.resize(image, (96, 72), interpolation=cv2.INTER_AREA)
        brighter = np.clip(image.astype(int) + 6, 0, 255).astype(np.uint8)
        every += [image, jpeg, small, brighter]
    assert groups([fingerprint(b"", image) for image in every]).tolist() == [4 * (i // 4) for i in range(48)]


def test_another_color_is_another_image():
    image = picture(0)
    assert perceptual_hash(image) == perceptual_hash(
        np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)
    )
    red = np.full((32, 32, 3), (200, 0, 0), np.uint8)
    blue = np.full((32, 32, 3), (0, 0, 200), np.uint8)
    assert groups([fingerprint(b"", each) for each in (red, blue, red)]).tolist() == [0, 1, 0]


def test_bands_are_diagonals():
    hash = np.zeros((1, 32), np.uint8)
    hash[0, 0] = 0b10000000  # row 0, column 0
    hash[0, 2 * 3] = 0b01000000  # row 3, column 1
    expected = [0] * 16
    expected[0] = 1 << 15  # column - row = 0; the first row is the first bit
    expected[14] = 1 << 12  # 1 - 3 = -2
    assert bands(hash)[0].tolist() == expected


def made(values: list[int], colors: list[int] | None = None) -> list[Fingerprint]:
    shades = colors or [100] * len(values)
    return [Fingerprint(b"", v.to_bytes(32, "big"), bytes([c] * 48)) for v, c in zip(values, shades, strict=True)]


def close_and_far(seed: int, count: int = 150, most: int = 40) -> list[int]:
    """Hashes of which many are some bits from an earlier one."""
    random = np.random.default_rng(seed)
    values: list[int] = []
    for number in range(count):
        base = int.from_bytes(random.bytes(32), "big")
        if number % 3 and values:
            flips = random.choice(256, int(random.integers(0, most)), replace=False)
            base = values[int(random.integers(0, len(values)))] ^ sum(1 << int(bit) for bit in flips)
        values.append(base)
    return values


def connected(values: list[int], most: int) -> list[int]:
    """The groups, by comparing all with all."""
    labels = list(range(len(values)))
    for i, j in itertools.combinations(range(len(values)), 2):
        if (values[i] ^ values[j]).bit_count() <= most:
            low, high = sorted((labels[i], labels[j]))
            labels = [low if label == high else label for label in labels]
    return labels


@pytest.mark.parametrize("seed", range(4))
def test_groups_are_the_connected_ones(seed):
    values = close_and_far(seed)
    assert groups(made(values)).tolist() == connected(values, near_duplicates.MAX_BITS)


def test_every_pair_of_fewer_than_16_bits_is_found():
    random = np.random.default_rng(0)
    base = int.from_bytes(random.bytes(32), "big")
    for _ in range(100):
        other = base ^ sum(1 << int(bit) for bit in random.choice(256, 15, replace=False))
        assert groups(made([base, other])).tolist() == [0, 0]


def test_colors_that_are_apart():
    assert groups(made([5, 5, 5], [100, 112, 125])).tolist() == [0, 0, 2]
    assert groups([]).tolist() == []
    assert groups(made([1])).tolist() == [0]


def test_union():
    labels = np.arange(6)
    union(labels, np.array([[4, 5], [2, 4], [0, 1]]))
    assert labels.tolist() == [0, 0, 2, 3, 2, 2]


def test_work_is_linear_however_alike_the_images_are(monkeypatch):
    """5,000 frames of one shot, each some bits from the one before it."""
    random = np.random.default_rng(0)
    values = [int.from_bytes(random.bytes(32), "big")]
    for _ in range(4999):
        values.append(values[-1] ^ sum(1 << int(bit) for bit in random.choice(24, 2, replace=False)))
    compared = []
    count = np.bitwise_count
    monkeypatch.setattr(np, "bitwise_count", lambda words: compared.append(len(words)) or count(words))
    assert set(groups(made(values)).tolist()) == {0}
    assert sum(compared) <= 16 * 64 * len(values)
    compared.clear()
    assert len(list(near_pairs(made([int.from_bytes(random.bytes(32), "big") for _ in range(5000)])))) == 0
    assert sum(compared) < 5000 * 16
