"""What `cn detect` does when the disk is full, memory is short, or a command cannot be right."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cn import files
from cn.errors import OutputError
from cn.images import writer
from tests.helpers.canny_cases import make, tree
from tests.helpers.cli import cn

ROOT = Path(__file__).parents[2]


def fails_from(monkeypatch, first: str, number: int) -> list[str]:
    """From the file of this name on, writing fails as on a disk with a fault; the paths that were tried."""
    tried: list[str] = []

    def write(path, data, *, durable):
        tried.append(str(path))
        with files.open_atomic(path, durable=durable) as file:
            if Path(path).name >= first:
                raise OSError(number, os.strerror(number))
            file.write(data)

    monkeypatch.setattr(writer, "write_atomic", write)
    return tried


def test_a_full_disk_stops_the_run_and_what_is_left_to_do_is_said(tmp_path, monkeypatch):
    make(tmp_path / "in", *(f"{number:02}.png" for number in range(40)))
    tried = fails_from(monkeypatch, "05.png", errno.ENOSPC)
    done = cn("detect", "canny", "in", "out", "--workers", "1", cwd=tmp_path)
    assert done.returncode == 5
    assert done.stdout.split() == [f"out/{number:02}.png" for number in range(5)]
    assert len(tried) < 15, "only what was being processed already"
    assert done.stderr.splitlines() == [
        "out: 5 written, 1 failed",
        "cn: out/05.png: cannot be written: No space left on device; stopped with 35 of 40 images to do: "
        "when this is solved, the same command continues",
    ]
    assert sorted(tree(tmp_path / "out")) == [f"{number:02}.png" for number in range(5)], "and no temporary"
    monkeypatch.undo()
    assert len(cn("detect", "canny", "in", "out", cwd=tmp_path).stdout.split()) == 35


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_where_nothing_at_all_can_be_written_it_is_one_line_and_exit_code_3(tmp_path, monkeypatch, number):
    make(tmp_path / "in", *(f"{number:02}.png" for number in range(9)))
    fails_from(monkeypatch, "", number)
    done = cn("detect", "canny", "in", "out", "-q", cwd=tmp_path)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (3, "", 1)
    assert "stopped with 9 of 9 images to do" in done.stderr


def test_one_file_that_cannot_be_written_does_not_stop_the_others(tmp_path):
    make(tmp_path / "in", "a.png", "b.png", "c.png")
    (tmp_path / "out/b.png").mkdir(parents=True)
    done = cn("detect", "canny", "in", "out", cwd=tmp_path)
    assert (done.returncode, done.stdout.split()) == (5, ["out/a.png", "out/c.png"])


def test_a_folder_that_cannot_be_created_is_said_once(tmp_path):
    make(tmp_path / "in", *(f"{number}.png" for number in range(9)))
    (tmp_path / "file").touch()
    done = cn("detect", "canny", "in", "file/out", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.count("file") == done.stderr.count("\n") == 2


def test_faults_of_disks_have_their_number(tmp_path):
    def full() -> None:
        with files.open_atomic(tmp_path / "a") as file:
            file.write(b"half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OutputError) as caught:
        full()
    assert (caught.value.number, caught.value.stays) == (errno.ENOSPC, True)
    with pytest.raises(OutputError) as caught:
        files.write_atomic(tmp_path / "missing/a", b"")
    assert (caught.value.number, caught.value.stays) == (errno.ENOENT, False)
    assert list(tmp_path.iterdir()) == []


def program(code: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    variables = {"PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], **environment}
    return subprocess.run(
        [sys.executable, "-c", code], cwd=cwd, env=variables, capture_output=True, text=True, timeout=120
    )


def test_a_library_that_cannot_be_loaded_is_said_once(tmp_path):
    make(tmp_path / "in", "a.png", "b.png", "c.png")
    (tmp_path / "fake").mkdir()
    (tmp_path / "fake/cv2.py").write_text("raise ImportError('libx.so: failed to map segment from shared object')")
    code = "import sys; sys.path.insert(0, 'fake'); from cn import app; sys.exit(app.run(sys.argv[1:]))"
    code = code.replace("sys.argv[1:]", "['detect', 'canny', 'in', 'out']")
    done = program(code, tmp_path)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == (
        "cn: a library cannot be loaded (libx.so: failed to map segment from shared object); "
        "memory is short, or the installation is broken\n"
    )


def test_images_that_need_more_memory_than_there_is(tmp_path, monkeypatch):
    make(tmp_path / "in", *(f"{number}.png" for number in range(9)))
    from cn.detect.lines.canny import CannyDetector

    detect, large = CannyDetector.detect, {"1.png"}

    def short(self, images, keys):
        if large.intersection(keys):
            raise MemoryError
        return detect(self, images, keys)

    monkeypatch.setattr(CannyDetector, "detect", short)
    one = cn("detect", "canny", "in", "out", "--workers", "1", cwd=tmp_path)
    assert one.returncode == 5
    assert "cn: in/1.png: needs more memory than there is" in one.stderr
    assert "out: 8 written, 1 failed" in one.stderr
    large |= {f"{number}.png" for number in range(9)}
    all_of_them = cn("detect", "canny", "in", "out2", "--workers", "1", cwd=tmp_path)
    assert all_of_them.returncode == 3
    assert all_of_them.stderr.count("needs more memory") == 2
    assert "memory is short: 3 images, one after the other" in all_of_them.stderr
    alone = cn("detect", "canny", "in/1.png", "1.png", cwd=tmp_path)
    assert alone.returncode == 3
    assert alone.stderr.startswith("cn: in/1.png: needs more memory than there is; --resolution N")


def test_memory_that_is_too_short_for_checking_a_map(tmp_path, monkeypatch):
    make(tmp_path / "in", "a.png", "b.png")
    from cn.detect.run.batch import Pipeline

    def short(self, detection):
        raise MemoryError

    monkeypatch.setattr(Pipeline, "map_warning", short)
    done = cn("detect", "canny", "in", "out", "--workers", "1", cwd=tmp_path)
    assert done.returncode == 3
    assert done.stderr.count("needs more memory than there is") == 2
    assert os.listdir(tmp_path / "out") == []


USAGE = [
    ("canny", "missing.png", "out"),
    ("canny", "missing/*.png", "out"),
    ("canny", "in", "in"),
    ("canny", "in/a.png", "in/a.png"),
    ("canny", "in", "out.png"),
    ("canny", "in/a.png", "out.xyz"),
    ("canny", "in", "-"),
    ("canny", "in", "out", "--frames", "some"),
    ("canny", "in", "out", "--fps", "2"),
    ("canny", "in/clip.mp4", "out.png"),
    ("canny", "in", "out", "--low", "300"),
    ("canny", "in/a.png", "-", "--json"),
    ("depth", "in/clip.mp4", "out.png", "--method", "midas-small"),
    ("openpose", "empty", "out"),
    ("openpose", "missing.json", "out", "--from-json"),
    ("ade20k", "in", "in", "--from-labels", "challenge"),
    ("coco", "missing", "out", "--from-labels", "stuffthingmaps"),
    ("depth", "missing/*.npy", "out", "--from-depth"),
    ("normal", "empty", "out", "--from-depth", "--focal", "100"),
]


def test_what_can_be_refused_is_refused_before_anything_heavy_is_loaded(tmp_path):
    make(tmp_path / "in", "a.png", "b.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty/notes.txt").touch()
    code = f"""
import json, sys
from cn import app
for words in {USAGE!r}:
    if "clip.mp4" in words[1]: open("in/clip.mp4", "wb").write(b"x")
    code = app.run(["detect", *words])
    print(json.dumps([words, int(code), [m for m in ("torch", "cv2", "numpy", "PIL") if m in sys.modules]]))
"""
    done = program(code, tmp_path)
    for line in done.stdout.splitlines():
        words, exit_code, loaded = json.loads(line)
        assert exit_code in (2, 3), words
        assert loaded == [], words
    assert done.stdout.count("\n") == len(USAGE) == done.stderr.count("\n"), done.stderr


def test_what_is_left_out_is_counted_named_and_in_the_last_record(tmp_path):
    make(tmp_path / "in", "a.png", "sub/b.png")
    for name in ("c.exr", "d.pfm", "e.npz", "f.svg", "notes.txt", "more.txt", ".hidden", ".DS_Store", "Thumbs.db"):
        (tmp_path / "in" / name).write_text("x")
    done = cn("detect", "canny", "in", "out", "--json", cwd=tmp_path)
    assert done.returncode == 0
    image, last = map(json.loads, done.stdout.splitlines())
    assert (image["path"], image["status"]) == ("in/a.png", "written")
    assert (last["path"], last["status"], last["folders_not_searched"]) == ("in", "left out", 1)
    assert last["left_out"] == {".txt": 2, ".exr": 1, ".npz": 1, ".pfm": 1, ".svg": 1}
    summary, *warnings = done.stderr.splitlines()
    assert summary == (
        "out: 1 written; 6 files left out: 2 .txt, 1 .exr, 1 .npz, 1 .pfm, 1 .svg; "
        "1 sub-folder not searched (--recursive)"
    )
    assert [line.split(": ")[1] for line in warnings] == ["in/c.exr", "in/d.pfm", "in/e.npz", "in/f.svg"]
    clean = cn("detect", "canny", "in/a.png", "out2", "--json", cwd=tmp_path)
    assert len(clean.stdout.splitlines()) == 1
    quiet = cn("detect", "canny", "in", "out", "-q", cwd=tmp_path)
    assert [line.split(": ")[1] for line in quiet.stderr.splitlines()] == [
        "in/c.exr",
        "in/d.pfm",
        "in/e.npz",
        "in/f.svg",
    ]


def test_labels_and_poses_count_what_they_leave_out_and_name_no_photographs(tmp_path):
    folder = make(tmp_path / "in", "a.jpg", "b.jpg")
    np.save(folder / "labels.npy", np.zeros((8, 8), np.uint8))
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "c.png")
    (folder / "depth.exr").touch()
    done = cn("detect", "ade20k", "in", "out", "--from-labels", "challenge", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "; 3 files left out: 2 .jpg, 1 .exr" in done.stderr
    assert "depth.exr" not in done.stderr
    none = cn("detect", "openpose", "in", "out", "--from-json", cwd=tmp_path)
    assert none.returncode == 3
    assert "5 files of other kinds: 2 .jpg, 1 .exr, 1 .npy, 1 .png" in none.stderr
