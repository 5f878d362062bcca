"""Videos as sources: their frames, thinned out, in order."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from cn import images
from cn.data.sources.open import open_source
from cn.data.sources.parts import from_record
from cn.errors import InputError, UsageError


@pytest.fixture
def clip(tmp_path) -> Path:
    """Four seconds of eight frames each, every second brighter by 60."""
    path = tmp_path / "clips/clip.avi"
    path.parent.mkdir()
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 8, (32, 24))
    for frame in range(32):
        writer.write(np.full((24, 32, 3), 10 + 60 * (frame // 8), np.uint8))
    writer.release()
    return path


def levels(part, *numbers: int | None) -> list[tuple[str, int]]:
    return [(s.name, round(float(s.image.array.mean()), -1)) for s in part.samples(*numbers)]


def test_a_frame_a_second(clip):
    source = open_source(str(clip))
    assert (source.layout, source.about, source.count) == ("video", "1 video, a frame a second", None)
    [part] = source.parts
    assert levels(part) == [(f"clip.avi#00000{n + 1}", 10 + 60 * n) for n in range(4)]
    first = next(part.samples())
    assert first.image.suffix == ".png"
    assert (images.read(first.image) == first.image.array).all()


def test_parts_of_parts(clip):
    [part] = open_source(str(clip)).parts
    again = from_record(json.loads(json.dumps(part.record(1, 3))))
    assert levels(again) == levels(part)[1:3]
    assert levels(from_record(again.record(1, None))) == levels(part)[2:3]
    assert levels(part, 3, None) == levels(part)[3:]
    assert levels(part, 4, None) == []


def test_frames_are_chosen(clip):
    assert [name[-2:] for name, _ in levels(open_source(str(clip), frames="3:5").parts[0])] == ["03", "04", "05"]
    assert len(levels(open_source(str(clip), frames="all").parts[0])) == 32
    assert len(levels(open_source(str(clip), fps=2).parts[0])) == 8
    [part] = open_source(str(clip), frames="2:5").parts
    assert levels(from_record(part.record(1, 2))) == levels(part)[1:2]
    with pytest.raises(UsageError, match="--frames 'x'"):
        open_source(str(clip), frames="x")


def test_a_folder_of_images_and_videos(clip):
    images.write(clip.parent / "a.png", np.zeros((8, 8, 3), np.uint8))
    source = open_source(str(clip.parent))
    assert source.layout == "folder"
    assert source.about == "a folder of 1 image, without captions; and 1 video, a frame a second"
    assert [s.name for s in source.samples()][:2] == ["a.png", "clip.avi#000001"]
    assert not source.left_out
    with pytest.raises(UsageError, match="--fps is for videos, and there is none"):
        open_source(str(clip.parent / "a.png"), fps=2)


def test_a_video_that_is_cut_off_gives_its_frames_then_an_error(clip):
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) // 2])
    found = []
    with pytest.raises(InputError, match=r"clip\.avi: .*cut off"):
        found.extend(s.name for s in open_source(str(clip), frames="all").samples())
    assert 0 < len(found) < 32


def test_videos_and_shards_in_a_list(clip, tmp_path):
    from tests.data.sources.test_shards import tar

    shard = tar(tmp_path / "0.tar", {"a.jpg": "x"})
    source = open_source("-", stdin_paths=[str(clip), str(shard), "b.jpg"])
    assert source.about == (
        "a list of 3 paths on standard input: 1 image, without captions; 1 WebDataset shard; 1 video, a frame a second"
    )
    assert [s.name for s in source.samples()][:3] == ["b.jpg", f"{shard}/a", f"{clip}#000001"]
