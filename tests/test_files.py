"""Files appear complete or not at all."""

import hashlib
import os
import stat

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


def test_a_hash_that_a_thread_computes(tmp_path):
    """It is that of the file as it was then; a file that changed meanwhile is hashed again."""
    path = tmp_path / "weights"
    path.write_bytes(b"first")
    files.begin_sha256(path)
    assert files.sha256(path) == hashlib.sha256(b"first").hexdigest()
    files.begin_sha256(path)
    path.write_bytes(b"second, longer")
    assert files.sha256(path) == hashlib.sha256(b"second, longer").hexdigest()
    files.begin_sha256(tmp_path / "missing")
    with pytest.raises(InputError):
        files.sha256(tmp_path / "missing")
