"""Temporary files: what dead processes left is swept, what live ones write is not."""

import os
import subprocess
import sys

import pytest

from cn import files, temporaries
from tests.helpers.cli import program_environment

DIE = "import os, signal, sys; from pathlib import Path; from cn import files, temporaries as t; "
DIE += "folder = Path(sys.argv[1]); "
KILL = "os.kill(os.getpid(), signal.SIGKILL)"


@pytest.fixture(autouse=True)
def _each_test_sweeps_again(monkeypatch):
    monkeypatch.setattr(temporaries, "_swept", set())


def run_killed(code: str, folder) -> None:
    done = subprocess.run([sys.executable, "-c", DIE + code, str(folder)], env=program_environment())
    assert done.returncode == -9


def test_a_file_of_a_killed_process_is_swept_by_the_next_write(tmp_path):
    run_killed(
        f"kept = files.open_atomic(folder / 'a'); file = kept.__enter__(); file.write(b'half'); {KILL}", tmp_path
    )
    assert len(os.listdir(tmp_path)) == 1
    files.write_atomic(tmp_path / "b", b"whole")
    assert os.listdir(tmp_path) == ["b"]


def test_a_folder_of_a_killed_process_is_swept(tmp_path):
    run_killed(f"kept = t.temporary_folder(folder); (kept.__enter__() / 'part').write_bytes(b'1'); {KILL}", tmp_path)
    assert len(os.listdir(tmp_path)) == 1
    temporaries.sweep(tmp_path)
    assert os.listdir(tmp_path) == []


def test_what_is_being_written_stays(tmp_path):
    script = DIE + "kept = files.open_atomic(folder / 'a'); kept.__enter__(); print(flush=True); input()"
    writer = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=program_environment(),
    )
    assert writer.stdout is not None
    writer.stdout.readline()
    with temporaries.temporary_folder(tmp_path) as folder, files.open_atomic(tmp_path / "b") as file:
        file.write(b"b")
        before = sorted(os.listdir(tmp_path))
        temporaries.sweep(tmp_path)
        assert sorted(os.listdir(tmp_path)) == before
        assert len(before) == 3
        assert folder.is_dir()
    writer.kill()
    writer.wait()
    temporaries.sweep(tmp_path)
    assert os.listdir(tmp_path) == ["b"]


def test_files_of_people_with_similar_names_stay(tmp_path):
    kept = [".cn-cache", ".cn", ".cnrc", ".cn-1234.png", "cn-12.tmp", ".cn-ab12.safetensors"]
    for name in kept:
        (tmp_path / name).write_bytes(b"1")
    (tmp_path / ".cn-1f-0123456789ab.tmp").symlink_to(".cn-cache")
    temporaries.sweep(tmp_path)
    assert sorted(set(os.listdir(tmp_path)) & set(kept)) == sorted(kept)


def test_what_earlier_versions_left_is_swept(tmp_path):
    (tmp_path / "result").write_bytes(b"1")
    os.link(tmp_path / "result", tmp_path / ".cn-0a1b2c3d")
    (tmp_path / ".cn-4711-0123456789ab.tmp").write_bytes(b"1")
    (tmp_path / ".cn-4711-01234567").mkdir()
    (tmp_path / ".cn-metrics").write_bytes(b"1")
    temporaries.sweep(tmp_path)
    assert os.listdir(tmp_path) == ["result"]


def test_a_link_to_the_same_file_is_left_alone(tmp_path):
    (tmp_path / "state").write_bytes(b"1")
    for _ in range(3):
        temporaries.link_or_copy(tmp_path / "state", tmp_path / "result")
    assert sorted(os.listdir(tmp_path)) == ["result", "state"]
    (tmp_path / "newer").write_bytes(b"2")
    temporaries.link_or_copy(tmp_path / "newer", tmp_path / "result")
    assert (tmp_path / "result").read_bytes() == b"2"
    assert os.path.samefile(tmp_path / "newer", tmp_path / "result")


def test_a_copy_where_the_file_system_has_no_hard_links(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError("no links")

    monkeypatch.setattr(os, "link", refuse)
    (tmp_path / "state").write_bytes(b"1")
    temporaries.link_or_copy(tmp_path / "state", tmp_path / "result")
    assert (tmp_path / "result").read_bytes() == b"1"
    assert sorted(os.listdir(tmp_path)) == ["result", "state"]


@pytest.mark.parametrize(("renames", "expected"), [(0, "old"), (1, "old"), (2, "new")])
def test_a_folder_that_is_replaced_is_the_old_or_the_new_one(renames, expected, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "old").write_bytes(b"1")
    count = "left = [" + str(renames) + "]; rename = os.rename\n"
    patch = f"def killing(*paths):\n    if not left[0]: {KILL}\n    left[0] -= 1; rename(*paths)\nos.rename = killing\n"
    write = "kept = t.temporary_folder(folder); new = kept.__enter__(); (new / 'new').write_bytes(b'1')\n"
    run_killed(f"\n{count}{patch}{write}t.replace_folder(new, folder / 'set'); {KILL}", tmp_path)
    temporaries.sweep(tmp_path)
    assert os.listdir(tmp_path) == ["set"]
    assert os.listdir(tmp_path / "set") == [expected]


def test_a_file_system_without_locks_works_and_sweeps_nothing(tmp_path, monkeypatch):
    def refuse(*_: object) -> None:
        raise OSError("no locks")

    monkeypatch.setattr(temporaries.fcntl, "flock", refuse)
    (tmp_path / ".cn-1f-0123456789ab.tmp").write_bytes(b"1")
    files.write_atomic(tmp_path / "a", b"1")
    assert sorted(os.listdir(tmp_path)) == [".cn-1f-0123456789ab.tmp", "a"]
