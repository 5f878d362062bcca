"""Images that are written in threads: in order, all that can be, and none half-written when the block ends."""

import base64
import threading
from pathlib import Path

import numpy as np
import pytest

from cn import images
from cn.errors import InputError, PartialError
from cn.sample import png_metadata
from cn.sample.saving import Saving


class Image:
    """Waits for `may` before it writes itself."""

    def __init__(self, may=None):
        self.may = may

    def save(self, path):
        if self.may is not None:
            assert self.may.wait(60)
        if Path(path).is_dir():
            raise InputError("is a folder", path=path)
        Path(path).write_text("image")


def test_a_batch_is_written_while_others_are_made(tmp_path):
    paths, may, image = [str(tmp_path / name) for name in "abc"], threading.Event(), Image()
    with Saving(3) as saving:
        slow = Image(may)
        saving.begin([(paths[0], slow), (paths[1], image)])
        assert not (tmp_path / "a").exists()
        may.set()
        assert list(saving.finish()) == [(paths[0], slow), (paths[1], image)], "in order"
        assert list(saving.finish()) == [], "each once"
        saving.begin([(paths[2], image)])
    assert (tmp_path / "c").read_text() == "image", "the block waits for what was begun"


def test_what_can_be_written_is(tmp_path):
    (tmp_path / "b").mkdir()
    image, found = Image(), list[str]()
    with Saving(5) as saving:
        saving.begin([(str(tmp_path / name), image) for name in "abc"])
        with pytest.raises(PartialError, match="is a folder; 2 of 5 images are written"):
            found.extend(path for path, _ in saving.finish())
    assert saving.written == [str(tmp_path / name) for name in "ac"]
    assert found == saving.written, "and is named"
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == ["a", "c"]


def test_nothing_was_written(tmp_path):
    (tmp_path / "a").mkdir()
    with Saving(1) as saving:
        saving.begin([(str(tmp_path / "a"), Image())])
        with pytest.raises(InputError, match=r"is a folder$"):
            list(saving.finish())


def test_images_in_the_metadata_are_encoded_once(monkeypatch):
    encoded, encode = list[np.ndarray](), images.encode
    monkeypatch.setattr(png_metadata.images, "encode", lambda image: encoded.append(image) or encode(image))
    hint, mask = np.zeros((8, 16, 3), np.uint8), np.eye(8, 16, dtype=bool)
    once = png_metadata.Encoder()
    texts = [(once(hint), once(mask)) for _ in range(3)]
    assert len(encoded) == 2
    assert texts[0] == texts[1] == texts[2]
    back = images.decode(base64.b64decode(texts[0][1]), "mask")
    assert (back[..., 0] == 255 * mask).all()
