"""Contact sheets: every image whole, every label readable."""

import numpy as np
import pytest

from cn import images

RED, GREEN, BLUE = (250, 10, 20), (10, 250, 20), (20, 10, 250)


def test_a_sheet_holds_every_image_untouched():
    colors = [RED, GREEN, BLUE]
    page = images.grid([np.full((64, 64, 3), color, np.uint8) for color in colors], columns=3)
    for color in colors:
        places = np.argwhere((page == color).all(axis=2))
        assert len(places) == 64 * 64
        assert (np.ptp(places, axis=0) == 63).all()
    assert page[0, 0].tolist() == [255] * 3
    assert images.grid([None], dark=True)[0, 0].max() < 40


def test_titles_and_labels_take_room_and_long_ones_are_wrapped_and_cut():
    cell = np.full((96, 96, 3), RED, np.uint8)
    bare = images.grid([cell] * 4, columns=2)
    labeled = images.grid([cell] * 4, ["a word", "two words", "", "a sentence " * 60], columns=2)
    titled = images.grid(
        [cell] * 4, columns=2, row_titles=["one", "two"], column_titles=["a", "b"], title="All of them"
    )
    assert labeled.shape[1] == bare.shape[1]
    assert bare.shape[0] < labeled.shape[0] < bare.shape[0] + 200
    assert titled.shape[0] > bare.shape[0]
    assert titled.shape[1] > bare.shape[1]


def test_images_of_different_shapes_are_fitted_never_distorted():
    wide, high, gray = (
        np.full((20, 40, 3), RED, np.uint8),
        np.full((40, 20, 3), GREEN, np.uint8),
        np.full((10, 10), 9, np.uint8),
    )
    page = images.grid([wide, high, gray], columns=3, cell=80)
    for color, height, width in ((RED, 40, 80), (GREEN, 80, 40), ((9, 9, 9), 80, 80)):
        places = np.argwhere((page == color).all(axis=2))
        assert (np.ptp(places, axis=0) + 1).tolist() == [height, width]


@pytest.mark.parametrize(("count", "columns"), [(1, 1), (2, 2), (4, 2), (6, 3), (9, 3), (12, 4)])
def test_a_sheet_is_about_square(count, columns):
    page = images.grid([np.zeros((50, 50, 3), np.uint8)] * count)
    assert page.shape[1] == images.grid([np.zeros((50, 50, 3), np.uint8)] * count, columns=columns).shape[1]
