"""`cn detect` warns of inputs that cannot be right: once for each kind of warning, with the number of images."""

import json

import numpy as np
import pytest

from cn import images
from tests.helpers.cli import cn


@pytest.fixture
def edges(tmp_path):
    """Photographs of scikit-image, and their edges: in PNGs of cn, and without what those say."""
    data = pytest.importorskip("skimage.data")
    for folder in ("photos", "plain"):
        (tmp_path / folder).mkdir()
    for name in ("astronaut", "coffee"):
        images.write(tmp_path / f"photos/{name}.png", np.asarray(getattr(data, name)())[:300, :300])
    assert cn("detect", "canny", "photos", "edges", cwd=tmp_path).returncode == 0
    for name in ("astronaut", "coffee"):
        images.write(tmp_path / f"plain/{name}.png", images.read(tmp_path / f"edges/{name}.png"))
    return tmp_path


def test_photographs_are_no_reason_to_warn(edges):
    assert "warning" not in cn("detect", "canny", "photos", "again", cwd=edges).stderr


def test_edges_of_edges(edges):
    done = cn("detect", "canny", "edges/coffee.png", "out.png", cwd=edges)
    assert (done.returncode, done.stdout) == (0, "out.png\n")
    assert done.stderr == (
        "warning: edges/coffee.png: is a map of canny already, as its PNG says, but a photograph is expected; give the "
        "map itself to cn sample --cond\n"
    )
    done = cn("detect", "hough", "--method", "lsd", "plain", "out", "-q", cwd=edges)
    assert done.stderr == (
        "warning: looks like a map of edges already, but a photograph is expected; give the map itself to cn sample "
        "--cond (2 images)\n"
    )


def test_the_record_has_the_warning(edges):
    done = cn("detect", "canny", "edges/coffee.png", "out.png", "--json", "--resolution", "64", cwd=edges)
    assert "is a map of canny already" in json.loads(done.stdout)["reason"]


def test_a_drawing_may_be_edges(edges):
    done = cn("detect", "scribble", "--from-drawing", "edges", "out", "-q", cwd=edges)
    assert (done.returncode, done.stderr) == (0, "")


def test_depth_that_is_read_the_wrong_way_round(tmp_path):
    """Disparity taken for distance."""
    disparity = np.zeros((128, 128), np.uint16) + 2_000
    disparity[40:] = np.linspace(3_000, 60_000, 88)[:, None]
    from PIL import Image

    Image.fromarray(disparity).save(tmp_path / "a.png")
    Image.fromarray(62_100 - disparity).save(tmp_path / "distance.png")
    done = cn("detect", "depth", "--from-depth", "distance.png", "right.png", cwd=tmp_path)
    assert "inverted" not in done.stderr
    done = cn("detect", "depth", "--from-depth", "a.png", "wrong.png", cwd=tmp_path)
    assert done.returncode == 0
    assert "if they are disparity or near-white, say so with --depth-is" in done.stderr
    options = ("--from-depth", "--depth-is", "distance", "--overwrite")
    done = cn("detect", "depth", *options, "a.png", "wrong.png", cwd=tmp_path)
    assert "looks inverted" in done.stderr
