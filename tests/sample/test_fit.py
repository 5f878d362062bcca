"""A condition of another shape than the image: cropped, padded or stretched; and the sizes that are asked for."""

import numpy as np
import pytest

from cn.errors import InputError, UsageError
from cn.sample.fit import fit
from cn.sample.request import SampleRequest, changed
from cn.sample.sizes import working_size

OWN = (64, 64)
"""The size that a condition alone would lead to, here never that of the image."""


def stripes(height: int, width: int) -> np.ndarray:
    """Columns of 10 pixels, each with a color of its own, and a white row in the middle."""
    image = np.zeros((height, width, 3), np.uint8)
    image[..., 0] = np.arange(width) // 10 * 10
    image[height // 2] = 255
    return image


def test_crop_takes_the_center():
    image = stripes(80, 160)
    assert np.array_equal(fit(image, "ade20k", (80, 80), OWN, "c.png", "crop"), image[:, 40:120])
    assert np.array_equal(fit(image, "ade20k", (80, 80), (80, 80), "c.png", "crop").shape, (80, 80, 3))
    tall = fit(image, "depth", (128, 64), OWN, "c.png", "crop")
    assert tall.shape == (128, 64, 3)
    assert 55 < tall[:40, :, 0].min() <= tall[:40, :, 0].max() < 105, "columns 60 to 99 of 160"


@pytest.mark.parametrize(
    ("kind", "color"), [("ade20k", (0, 0, 0)), ("canny", (0, 0, 0)), ("normal", (127, 127, 255)), (None, (7, 8, 9))]
)
def test_pad_keeps_all_of_it(kind, color):
    """The background of the kind, or that of the image where the kind is not known."""
    image = np.full((40, 80, 3), (7, 8, 9), np.uint8)
    image[10:30, 10:70] = 200
    made = fit(image, kind, (80, 80), OWN, "c.png", "pad")
    assert np.array_equal(made[20:60], image)
    assert (made[:20] == color).all()
    assert (made[60:] == color).all()


def test_pad_keeps_thin_lines():
    image = np.zeros((400, 800, 3), np.uint8)
    image[:, 401] = 255
    made = fit(image, "canny", (80, 80), OWN, "c.png", "pad")
    assert (made[20:60, 40] == 255).all()
    assert not made[:20].any()


def test_stretch_is_as_large_as_the_image():
    made = fit(stripes(80, 160), "ade20k", (80, 80), OWN, "c.png", "stretch")
    assert np.array_equal(made, stripes(80, 160)[:, 1::2])


@pytest.mark.parametrize("how", ["crop", "pad", "stretch"])
@pytest.mark.parametrize("shape", [(1, 1000), (1000, 1), (3, 5), (64, 64)])
def test_any_shape_fits(how, shape):
    assert fit(np.zeros((*shape, 3), np.uint8), "hough", (128, 72), OWN, "c.png", how).shape == (128, 72, 3)


def test_what_fits_is_not_changed():
    """An image of the same shape gives the same hint in every way, so that --from reproduces it."""
    image = stripes(64, 128)
    for how in (None, "crop", "pad", "stretch"):
        assert np.array_equal(fit(image, "depth", (64, 128), OWN, "c.png", how), image)


def test_without_it_another_shape_is_refused():
    with pytest.raises(InputError, match=r"c\.png: .*160×80 .* 64×64; give --fit crop, pad or stretch"):
        fit(stripes(80, 160), "depth", (64, 64), (80, 160), "c.png")


@pytest.mark.parametrize(
    ("size", "near"),
    [
        ((300, 500), "500x300: both sides must be multiples of 8, and at least 64: give 496x296 or 504x304"),
        ((512, 500), "give 496x512 or 504x512"),
        ((8, 8), "8x8: .* give 64x64$"),
        ((60, 100), "give 96x64 or 104x64"),
    ],
)
def test_sizes_that_are_near(size, near):
    with pytest.raises(UsageError, match=near):
        SampleRequest(("a",), size=size)


@pytest.mark.parametrize(
    ("image", "resolution", "size"),
    [
        ((100, 200), 256, (256, 512)),
        ((1000, 500), 512, (1024, 512)),
        ((300, 400), 384, (384, 512)),
        (None, 320, (320, 320)),
        ((100, 100), 300, (288, 288)),
    ],
)
def test_resolution_is_the_short_side(image, resolution, size):
    assert working_size(image, None, 256, 32, resolution) == size


def test_far_too_large_a_resolution():
    with pytest.raises(InputError, match=r"4096×4096 is far too large .* give a smaller --resolution"):
        working_size(None, None, 256, 32, 4096)


def test_a_size_and_a_resolution_replace_each_other():
    with pytest.raises(UsageError, match="--size and --resolution both"):
        SampleRequest(("a",), size=(64, 64), resolution=64)
    sized = SampleRequest(("a",), size=(64, 64))
    by_resolution = changed(sized, {"resolution": 128})
    assert (by_resolution.size, by_resolution.resolution) == (None, 128)
    assert changed(by_resolution, {"size": (64, 64)}) == sized
