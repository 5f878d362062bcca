"""Files appear complete or not at all."""

import hashlib
import os
import stat
import threading

import pytest

from cn import files
from cn.errors import InputError


def test_a_failed_write_leaves_the_old_file_and_no_temporary(tmp_path):
    path = tmp_path / "a.bin"
    files.write_atomic(path, b"old")

    def interrupted() -> None:
        with files.open_atomic(path) as file:
            file.write(b"half of the new")
            file.flush()
            assert path.read_bytes() == b"old"
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_permissions_follow_the_umask_or_the_file_that_was_there(tmp_path):
    previous = os.umask(0o027)
    try:
        files.write_atomic(tmp_path / "new", b"")
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o640
        (tmp_path / "new").chmod(0o664)
        files.write_atomic(tmp_path / "new", b"again")
        assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o664
    finally:
        os.umask(previous)


def test_a_link_is_followed(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to("folder/real")
    files.write_atomic(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "folder" / "real").read_bytes() == b"new"


def test_a_hash_that_a_thread_computes(tmp_path, monkeypatch):
    """It is that of the file as it was then, computed once; a file that changed meanwhile is hashed again."""
    computing, original = [], files._sha256

    def computed(path):
        computing.append(threading.current_thread())
        return original(path)

    monkeypatch.setattr(files, "_sha256", computed)
    path = tmp_path / "weights"
    path.write_bytes(b"first")
    files.begin_sha256(path)
    assert files.sha256(path) == hashlib.sha256(b"first").hexdigest()
    files.begin_sha256(path)
    assert files.sha256(path) == hashlib.sha256(b"first").hexdigest()
    (thread,) = computing
    assert thread is not threading.main_thread()
    path.write_bytes(b"second, longer")
    assert files.sha256(path) == hashlib.sha256(b"second, longer").hexdigest()
    assert str(path) not in files._begun


@pytest.mark.parametrize("error", [InputError("gone"), MemoryError()])
def test_a_hash_that_a_thread_cannot_compute(tmp_path, monkeypatch, error):
    """Whatever it is, it is raised where the hash is asked for; nobody waits for ever."""

    def fail(path):
        raise error

    monkeypatch.setattr(files, "_sha256", fail)
    files.begin_sha256(tmp_path)
    with pytest.raises(type(error)):
        files.sha256(tmp_path)
    assert str(tmp_path) not in files._begun, "the next time it is tried again"


def test_where_no_thread_can_be_started(tmp_path, monkeypatch):
    def fail(self):
        raise RuntimeError("can't start new thread")

    path = tmp_path / "weights"
    path.write_bytes(b"first")
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", fail)
        files.begin_sha256(path)
    assert files.sha256(path) == hashlib.sha256(b"first").hexdigest()
