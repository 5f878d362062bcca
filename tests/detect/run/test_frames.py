"""Frames of videos, animations and files of several pages: through the command line, and their names."""

import io
import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from cn import images
from cn.conditions import ConditionInfo
from cn.detect.lines.canny import canny, random_thresholds
from cn.detect.run import frames, inputs
from cn.detect.run.frames import choice
from cn.detect.run.inputs import Sources
from cn.errors import InputError, UsageError
from tests.helpers.canny_cases import make, photo, tree
from tests.helpers.cli import cn


def animation(path: Path, count: int = 4) -> Path:
    """Frames photo(0), photo(1), …; lossless but for GIF."""
    path.parent.mkdir(parents=True, exist_ok=True)
    first, *others = (Image.fromarray(photo(number)) for number in range(count))
    words = {"lossless": True} if path.suffix == ".webp" else {}
    first.save(path, save_all=True, append_images=others, **words)
    return path


def clip(path: Path, count: int = 12) -> Path:
    """Frames that get lighter, ten a second, each with an edge in the middle."""
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    for number in range(count):
        frame = np.full((48, 64, 3), number * 5, np.uint8)
        frame[:, 32:] = 255
        writer.write(frame)
    writer.release()
    return path


def names(prefix: str, numbers, width: int) -> list[str]:
    return [f"{prefix}-{number:0{width}}.png" for number in numbers]


@pytest.mark.parametrize("suffix", [".webp", ".apng", ".tif", ".png"])
def test_the_first_frame_is_the_default_and_how_many_there_are_is_said(suffix, tmp_path):
    animation(tmp_path / f"a{suffix}")
    done = cn("detect", "canny", f"a{suffix}", "out.png", "--json", cwd=tmp_path)
    record = json.loads(done.stdout)
    assert (done.returncode, record["frames"]) == (0, 4)
    assert "frame" not in record
    assert done.stderr == (
        f"warning: a{suffix}: only the first of its 4 frames or pages is used; --frames all takes every frame\n"
    )
    assert np.array_equal(images.read(tmp_path / "out.png")[..., 0], canny(photo(0)))
    quiet = cn("detect", "canny", f"a{suffix}", "b.png", "--frames", "first", cwd=tmp_path)
    assert (quiet.returncode, quiet.stderr) == (0, "")


def test_animations_of_a_folder_are_one_warning_and_still_images_none(tmp_path):
    animation(tmp_path / "in/a.webp")
    animation(tmp_path / "in/b.tif", 2)
    animation(tmp_path / "in/one.tif", 1)
    make(tmp_path / "in", "c.jpg", "d.webp", "e.gif")
    done = cn("detect", "canny", "in", "out", "--json", cwd=tmp_path)
    counts = {Path(r["path"]).name: r.get("frames") for r in map(json.loads, done.stdout.splitlines())}
    assert counts == {"a.webp": 4, "b.tif": 2, "one.tif": None, "c.jpg": None, "d.webp": None, "e.gif": None}
    assert done.stderr.splitlines() == [
        "out: 6 written",
        "warning: 2 animations or files of several pages: only the first frame of each is used; "
        "--frames all takes every frame",
    ]
    make(tmp_path / "still", "c.jpg", "d.webp", "e.gif")
    assert cn("detect", "canny", "still", "out2", cwd=tmp_path).stderr == "out2: 3 written\n"


def test_all_frames_of_a_folder(tmp_path):
    animation(tmp_path / "in/a.webp")
    animation(tmp_path / "in/sub/b.tif", 2)
    make(tmp_path / "in", "c.jpg")
    done = cn("detect", "canny", "in", "out", "--frames", "all", "--recursive", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert sorted(tree(tmp_path / "out")) == [*names("a", range(1, 5), 4), "c.png", *names("sub/b", (1, 2), 4)]
    records = {record["output"]: record for record in map(json.loads, done.stdout.splitlines())}
    assert (records["out/a-0003.png"]["frame"], records["out/a-0003.png"]["frames"]) == (3, 4)
    assert "frame" not in records["out/c.png"]
    for number in range(4):
        assert np.array_equal(images.read(tmp_path / f"out/a-000{number + 1}.png")[..., 0], canny(photo(number)))
    again = cn("detect", "canny", "in", "out", "--frames", "all", "--recursive", cwd=tmp_path)
    assert again.stderr == "out: 0 written, 7 already there\n"


def test_random_settings_of_frames_depend_on_file_and_number(tmp_path):
    animation(tmp_path / "in/a.webp")
    words = ("--random-thresholds", "--seed", "4", "--frames", "all")
    cn("detect", "canny", "in", "out", *words, cwd=tmp_path)
    info = ConditionInfo.from_text(images.read_info(tmp_path / "out/a-0003.png"))
    assert info is not None
    assert (info.params["low"], info.params["high"]) == random_thresholds(4, "a.webp#0003")


def test_a_video_gives_all_its_frames_and_a_second_run_those_that_are_missing(tmp_path):
    clip(tmp_path / "clip.avi")
    done = cn("detect", "canny", "clip.avi", "out", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "out: 12 written\n")
    before = tree(tmp_path / "out")
    assert sorted(before) == names("clip", range(1, 13), 6)
    assert all(images.read(tmp_path / "out" / name)[:, 31:33].any() for name in before)
    for number in (3, 4, 12):
        (tmp_path / f"out/clip-{number:06}.png").unlink()
    again = cn("detect", "canny", "clip.avi", "out", cwd=tmp_path)
    assert again.stderr == "out: 3 written, 9 already there\n"
    assert tree(tmp_path / "out") == before


def test_only_frames_that_are_not_done_are_decoded_whole_batches_of_them(tmp_path):
    file = frames.FrameFile(str(clip(tmp_path / "clip.avi")), "clip.avi", "out/clip", "clip", choice(None))
    done = {file.job(number).output for number in range(1, 13) if number != 6}
    for size, decoded in ((1, [6]), (4, [5, 6, 7, 8]), (5, [6, 7, 8, 9, 10, 11, 12])):
        batches = list(frames.batches(file, size, lambda job: job.output in done))
        numbered = [[job.frame.number for job in batch if job.frame] for batch in batches]
        assert numbered == [list(range(start, min(start + size, 13))) for start in range(1, 13, size)]
        kept = [job.frame.number for batch in batches for job in batch if job.frame and job.frame.image is not None]
        # The last batch may be shorter than it could be: the end of a video is known only there.
        assert kept == decoded


def test_ranges_and_thinned_videos(tmp_path):
    clip(tmp_path / "clip.avi")
    cn("detect", "canny", "clip.avi", "range", "--frames", "4:6", cwd=tmp_path)
    assert sorted(tree(tmp_path / "range")) == names("clip", (4, 5, 6), 6)
    cn("detect", "canny", "clip.avi", "end", "--frames", "11:", cwd=tmp_path)
    assert sorted(tree(tmp_path / "end")) == names("clip", (11, 12), 6)
    cn("detect", "canny", "clip.avi", "thin", "--fps", "5", cwd=tmp_path)
    assert sorted(tree(tmp_path / "thin")) == names("clip", range(1, 7), 6)
    info = ConditionInfo.from_text(images.read_info(tmp_path / "thin/clip-000002.png"))
    assert info is not None
    assert info.params["fps"] == 5
    other = cn("detect", "canny", "clip.avi", "thin", "--fps", "2.5", cwd=tmp_path)
    assert "3 of those already there were made with other settings" in other.stderr
    beyond = cn("detect", "canny", "clip.avi", "none", "--frames", "20:", cwd=tmp_path)
    assert (beyond.returncode, (tmp_path / "none").exists()) == (3, False)
    assert "clip.avi: has no frame 20, only 12" in beyond.stderr


def test_videos_among_photos(tmp_path):
    clip(tmp_path / "in/sub/clip.avi", 3)
    make(tmp_path / "in", "a.png", "b.png")
    (tmp_path / "in/broken.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(100))
    for workers in ("1", "3"):
        done = cn("detect", "canny", "in", f"out{workers}", "-r", "--workers", workers, cwd=tmp_path)
        assert done.returncode == 5
        assert sorted(tree(tmp_path / "out1")) == ["a.png", "b.png", *names("sub/clip", (1, 2, 3), 6)]
        assert done.stderr.splitlines() == [
            "cn: in/broken.mp4: the video is broken or cut off, or its format or codec is not supported",
            f"out{workers}: 5 written, 1 failed",
            "cn: 1 of 6 images failed; the others are done",
        ]
    assert tree(tmp_path / "out1") == tree(tmp_path / "out3")
    pattern = cn("detect", "canny", "in/**/*.avi", "out4", cwd=tmp_path)
    assert sorted(pattern.stdout.split()) == [f"out4/{name}" for name in names("sub/clip", (1, 2, 3), 6)]
    listed = cn("detect", "canny", "-", "out5", cwd=tmp_path, stdin=b"in/sub/clip.avi\n")
    assert len(listed.stdout.split()) == 3


def test_a_video_that_is_cut_off_gives_what_is_there_and_a_warning(tmp_path):
    data = clip(tmp_path / "clip.avi", 40).read_bytes()
    (tmp_path / "cut.avi").write_bytes(data[: len(data) // 2])
    done = cn("detect", "canny", "cut.avi", "out", "--json", cwd=tmp_path)
    *written, last = map(json.loads, done.stdout.splitlines())
    assert done.returncode == 0
    assert 5 < len(written) < 30
    assert {record["status"] for record in written} == {"written"}
    assert (last["path"], last["status"]) == ("cut.avi", "incomplete")
    warning, summary = done.stderr.splitlines()
    assert warning == f"warning: cut.avi: the video is cut off: only {len(written)} of 40 frames are there"
    assert summary == f"out: {len(written)} written"


def test_a_broken_frame_costs_those_after_it_only(tmp_path):
    data = bytearray(animation(tmp_path / "a.apng", 4).read_bytes())
    chunk = data.index(b"fdAT", data.index(b"fdAT") + 4)
    data[chunk + 20] ^= 0xFF
    (tmp_path / "a.apng").write_bytes(data)
    done = cn("detect", "canny", "a.apng", "out", "--frames", "all", cwd=tmp_path)
    assert (done.returncode, sorted(tree(tmp_path / "out"))) == (5, names("a", (1, 2), 4))
    assert done.stderr.startswith("cn: a.apng: frame 3: the image is broken or cut off")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("clip.avi", "frame.png"), "the frames of clip.avi need a folder"),
        (("clip.avi", "-"), "name a folder for the frames of clip.avi"),
        (("a.webp", "a.png", "--frames", "all"), "the frames of a.webp need a folder"),
        (("a.webp", "out", "--fps", "5"), "--fps is for videos, and there is none"),
        (("clip.avi", "out", "--fps", "0"), "--fps"),
        (("clip.avi", "out", "--fps", "nan"), "--fps"),
        (("clip.avi", "out", "--frames", "5:3"), "--frames"),
        (("clip.avi", "out", "--frames", "0:3"), "--frames"),
        (("clip.avi", "out", "--frames", "last"), "--frames"),
    ],
)
def test_what_cannot_be_is_refused(words, said, tmp_path):
    clip(tmp_path / "clip.avi", 2)
    animation(tmp_path / "a.webp")
    done = cn("detect", "canny", *words, cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert said in done.stderr
    assert not (tmp_path / "out").exists()


def test_frames_are_not_for_files_of_numbers_or_labels(tmp_path):
    done = cn("detect", "openpose", ".", "out", "--from-json", "--frames", "all", cwd=tmp_path)
    assert done.returncode == 2
    assert "--frames and --fps are for photographs and videos" in done.stderr


def sources(*keys: str, **counts: int) -> Sources:
    named = {key.replace("_", "."): count for key, count in counts.items()}
    suffixes = frozenset({".png", ".gif", ".webp", ".mp4"})
    return Sources("in", inputs._sorted(keys, suffixes), False, suffixes, sequences=named)


def test_names_of_frames_never_meet_those_of_others():
    def prefixes(found: Sources) -> list[str]:
        return [file.name for file in frames.files(found, "out", choice("all"))]

    assert prefixes(sources("a.gif", "b.png", a_gif=3)) == ["a"]
    assert prefixes(sources("a.gif", "a.png", a_gif=3)) == ["a.gif"]
    assert prefixes(sources("a.gif", "a-0001.png", a_gif=3)) == ["a.gif"]
    assert prefixes(sources("a.gif", "a-x.png", "a-1/b.png", a_gif=3)) == ["a"]
    assert prefixes(sources("a.gif", "a.webp", a_gif=3, a_webp=2)) == ["a.gif", "a.webp"]
    with pytest.raises(InputError, match="rename it"):
        prefixes(sources("a.gif", "a-0001.png", "a.gif-0001.png", a_gif=3))


def test_links_to_inputs_among_the_results_are_not_written_through(tmp_path):
    clip(tmp_path / "in/clip.avi", 2)
    make(tmp_path / "in", "a.png")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/clip-000001.png").symlink_to("../in/a.png")
    done = cn("detect", "canny", "in", "out", "--overwrite", cwd=tmp_path)
    assert done.returncode == 2
    assert "is a link to one of the input files" in done.stderr


@pytest.mark.parametrize("text", ["", ":0", "-1:", "1:2:3", "a:b", "1.5:2", "²:³"])
def test_nonsense_for_frames(text):
    with pytest.raises(UsageError):
        choice(text)


def test_an_animation_on_standard_input_gives_its_first_frame(tmp_path):
    data = io.BytesIO()
    stills = [Image.new("RGB", (16, 16), color) for color in ("red", "green", "blue")]
    stills[0].save(data, "GIF", save_all=True, append_images=stills[1:])
    done = cn("detect", "canny", "-", "out", "--frames", "all", cwd=tmp_path, stdin=data.getvalue())
    assert done.returncode == 2
    assert "--frames needs the path of a file" in done.stderr
    done = cn("detect", "canny", "-", "out", "--frames", "first", cwd=tmp_path, stdin=data.getvalue())
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("head", [b"\xff\x0a", b"\xff\x4f\xff\x51", b"\x1a\x45\xdf\xa3", b"RIFF\0\0\0\0AVI "])
def test_images_and_videos_on_standard_input_are_no_lists_of_paths(tmp_path, head):
    done = cn("detect", "canny", "-", "a.png", cwd=tmp_path, stdin=head + b"\0\n\0\n" * 20)
    assert done.returncode == 3
    assert done.stderr.startswith("cn: standard input: ")
