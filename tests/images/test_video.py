"""Frames of videos."""

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from cn.errors import InputError
from cn.images import video
from cn.images.video import open_video


@pytest.fixture
def clip(tmp_path):
    """30 frames at 10 a second whose red grows by 8 from frame to frame."""
    path = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for number in range(30):
        frame = np.zeros((48, 64, 3), np.uint8)
        frame[..., 2] = number * 8
        writer.write(frame)
    writer.release()
    return path


def test_all_frames_in_order_as_rgb(clip):
    opened = open_video(clip)
    assert (opened.count, opened.fps) == (30, 10)
    found = list(opened.frames())
    assert [number for number, _ in found] == list(range(30))
    assert all(image.shape == (48, 64, 3) and image.dtype == np.uint8 for _, image in found)
    assert all(abs(int(image[20, 20, 0]) - 8 * number) <= 4 and image[20, 20, 2] <= 8 for number, image in found)
    assert opened.missing == 0


@pytest.mark.parametrize(
    ("fps", "taken"),
    [
        (10, range(30)),
        (25, range(30)),
        (5, range(0, 30, 2)),
        (4, [0, 3, 5, 8, 10, 13, 15, 18, 20, 23, 25, 28]),
        (0.5, [0, 20]),
    ],
)
def test_frames_are_thinned_out_in_time(clip, fps, taken):
    opened = open_video(clip, fps=fps)
    found = list(opened.frames())
    assert [number for number, _ in found] == list(range(len(taken)))
    assert [round(image[20, 20, 0] / 8) for _, image in found] == list(taken)
    assert abs(opened.count - len(taken)) <= 1


def test_frames_that_are_not_wanted_are_skipped(clip):
    found = dict(open_video(clip).frames(wanted=lambda number: number in (3, 29)))
    assert list(found) == [3, 29]
    assert round(found[29][20, 20, 0] / 8) == 29


def test_a_video_that_is_cut_off_gives_what_is_there(clip):
    data = clip.read_bytes()
    clip.write_bytes(data[: len(data) * 2 // 3])
    opened = open_video(clip)
    found = [number for number, _ in opened.frames()]
    assert 0 < len(found) < 30
    assert opened.missing == 30 - len(found)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "empty"),
        (b"#EXTM3U\nhttp://example.com/a.ts\n", "not a video but text"),
        (bytes(range(256)), "broken or cut off"),
    ],
)
def test_what_is_no_video_is_refused(tmp_path, content, reason):
    path = tmp_path / "a.mp4"
    path.write_bytes(content)
    with pytest.raises(InputError, match=reason) as caught:
        open_video(path)
    assert caught.value.path == str(path)


def test_the_decoder_prints_nothing(tmp_path):
    """In a process of its own, because FFmpeg's level of messages is read once."""
    (tmp_path / "a.mp4").write_bytes(bytes(range(256)))
    script = """if True:
        import contextlib
        from cn.errors import InputError
        from cn.images.video import open_video
        with contextlib.suppress(InputError):
            open_video("a.mp4")
    """
    done = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={"PYTHONPATH": str(Path(video.__file__).parents[2]), "PATH": "/usr/bin:/bin"},
        timeout=60,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_missing_videos_and_folders(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        open_video(tmp_path / "no.mp4")
    with pytest.raises(InputError, match="is a folder"):
        open_video(tmp_path)
