"""Files on this machine and in object storage by the same functions, against a local S3 server."""

import os

import pytest

from cn import remote, storage
from cn.data.blobs import TarMember
from cn.errors import InputError, MissingError, OutputError, UnreadableError, UsageError
from tests.helpers.s3_server import S3Server, forget_connections

pytest.importorskip("s3fs", reason="s3fs is not installed")
pytest.importorskip("moto", reason="moto is not installed")

ODD = "a b%20é#?[1]*.txt"
"""A name that programs take for a URL with a query, or for a pattern."""


@pytest.fixture(scope="module")
def running():
    server = S3Server()
    yield server
    server.stop()


@pytest.fixture
def server(running):
    with running.in_use("photos"):
        yield running


@pytest.fixture(params=["local", "s3"])
def base(request, tmp_path):
    """A folder on this machine, and one in a bucket."""
    if request.param == "local":
        return str(tmp_path / "set")
    request.getfixturevalue("server")
    return "s3://photos/set"


def test_what_is_written_is_read(base):
    for name, data in (("a.bin", b"0123456789"), ("d/e/" + ODD, b"odd"), ("empty", b"")):
        storage.write(storage.join(base, name), data)
    path = storage.join(base, "a.bin")
    assert storage.read_bytes(path) == b"0123456789"
    assert storage.read_range(path, 3, 4) == b"3456"
    assert storage.read_range(path, 8, 4) == b"89"
    assert storage.read_bytes(storage.join(base, "d", "e", ODD)) == b"odd"
    assert storage.read_bytes(storage.join(base, "empty")) == b""
    with storage.open_read(path) as file:
        file.seek(2)
        assert file.read(3) == b"234"
        file.seek(0)
        assert file.readline(4) == b"0123"
        assert file.read() == b"456789"
    storage.write(path, b"new")
    assert storage.read_bytes(path) == b"new"


def test_names_below_a_folder(base):
    for name in ("b.txt", "a/c.txt", "a/" + ODD, "ab.txt"):
        storage.write(storage.join(base, name), b"1")
    assert storage.files_below(base) == sorted(["b.txt", "a/c.txt", "a/" + ODD, "ab.txt"])
    # The beginning of a name is no folder.
    assert storage.files_below(storage.join(base, "a")) == sorted(["c.txt", ODD])
    assert storage.files_below(storage.join(base, "none")) == []


def test_what_is_there(base):
    storage.write(storage.join(base, "a/b.txt"), b"1")
    there = {name: storage.exists(storage.join(base, name)) for name in ("a", "a/b.txt", "a/b", "b.txt")}
    assert there == {"a": True, "a/b.txt": True, "a/b": False, "b.txt": False}
    folders = {name: storage.is_folder(storage.join(base, name)) for name in ("a", "a/b.txt", "none")}
    assert folders == {"a": True, "a/b.txt": False, "none": False}


def test_removing(base):
    for name in ("a.txt", ODD):
        path = storage.join(base, name)
        storage.write(path, b"1")
        storage.remove(path)
        assert not storage.exists(path)
        storage.remove(path)


def test_a_missing_file(base):
    path = storage.join(base, "none.jpg")
    for read in (storage.read_bytes, lambda path: storage.read_range(path, 0, 1)):
        with pytest.raises(MissingError, match=r"none\.jpg: no such file"):
            read(path)
    with pytest.raises(MissingError, match=r"none\.jpg: no such file"), storage.open_read(path):
        pass


@pytest.mark.parametrize("size", [1000, 40 << 20])
def test_a_file_appears_whole_or_not_at_all(base, size):
    path = storage.join(base, "0.tar")

    def begin(error):
        with storage.open_write(path) as file:
            file.write(b"x" * size)
            raise error

    def interrupted(error):
        with pytest.raises(type(error)):
            begin(error)

    for error in (KeyboardInterrupt(), InputError("broken")):
        interrupted(error)
        assert not storage.exists(path)
    with storage.open_write(path) as file:
        file.write(b"x" * size)
    interrupted(KeyboardInterrupt())
    assert storage.read_bytes(path) == b"x" * size


def test_copies(base, tmp_path):
    storage.write(storage.join(base, "a"), b"1" * 1000)
    storage.copy(storage.join(base, "a"), storage.join(base, "d", "b"))
    storage.copy(storage.join(base, "a"), tmp_path / "elsewhere")
    storage.copy(tmp_path / "elsewhere", storage.join(base, "c"))
    for name in ("a", "d/b", "c"):
        assert storage.read_bytes(storage.join(base, name)) == b"1" * 1000


def test_many_objects_are_removed_at_once(server):
    urls = [f"s3://photos/set/{number}.jpg" for number in range(20)] + [f"s3://photos/set/{ODD}"]
    for url in urls:
        storage.write(url, b"1")
    storage.write("s3://photos/set/a b%20é#.txt", b"not to be removed")
    server.requests.clear()
    storage.remove_objects([*urls, "s3://photos/none"])
    assert len(server.requests) == 2
    assert storage.files_below("s3://photos/set") == ["a b%20é#.txt"]


def test_one_of_several_creates_an_object(server):
    url = "s3://photos/claim"
    assert storage.create_object(url, b"first")
    assert not storage.create_object(url, b"second")
    assert storage.read_bytes(url) == b"first"
    # Both look at the same moment: the service decides.
    storage.remove(url)
    server.before = lambda method, path: method == "PUT" and put_first()

    def put_first():
        server.before = lambda method, path: None
        storage.remote.system_of(url)[0].pipe_file("photos/claim", b"faster")

    assert not storage.create_object(url, b"slower")
    assert storage.read_bytes(url) == b"faster"


def test_a_large_object_is_uploaded_in_parts_and_nothing_is_left(server):
    system = remote.system_of("s3://photos")[0]
    with storage.open_write("s3://photos/0.tar") as file:
        file.write(b"x" * (40 << 20))
    parts = [path for method, path in server.requests if method == "PUT" and "partNumber" in path]
    assert len(parts) == 3
    # The third part fails: what was uploaded is given back, and there is no object.
    server.fails = lambda method, path: method == "PUT" and "partNumber=3" in path
    written = pytest.raises(OutputError, match=r"^s3://photos/1\.tar: cannot be written")
    with written, storage.open_write("s3://photos/1.tar") as file:
        file.write(b"x" * (40 << 20))
    server.fails = lambda method, path: False
    assert not storage.exists("s3://photos/1.tar")
    assert not system.call_s3("list_multipart_uploads", Bucket="photos").get("Uploads")


def test_one_request_reads_a_file(server):
    storage.write("s3://photos/a.tar", b"0123456789")
    server.requests.clear()
    assert storage.read_bytes("s3://photos/a.tar") == b"0123456789"
    assert TarMember("s3://photos/a.tar", "x.jpg", 2, 3).read() == b"234"
    assert server.requests == [("GET", "/photos/a.tar")] * 2
    with pytest.raises(InputError, match=r"a\.tar/x\.jpg: is cut off"):
        TarMember("s3://photos/a.tar", "x.jpg", 8, 3).read()


def test_what_others_write_is_seen(server):
    storage.write("s3://photos/set/a", b"1")
    assert storage.files_below("s3://photos/set") == ["a"]
    system = type(remote.system_of("s3://photos")[0])(skip_instance_cache=True)
    system.pipe_file("photos/set/b", b"1")
    system.rm_file("photos/set/a")
    assert storage.exists("s3://photos/set/b")
    assert not storage.exists("s3://photos/set/a")
    assert storage.files_below("s3://photos/set") == ["b"]


def test_a_marker_of_a_folder_is_no_file(server):
    system = remote.system_of("s3://photos")[0]
    for name in ("set/", "set/sub/", "set/a.jpg"):
        system.pipe_file(f"photos/{name}", b"")
    assert storage.files_below("s3://photos/set") == ["a.jpg"]


def test_a_missing_bucket(server):
    for call in (storage.exists, storage.is_folder, storage.files_below, storage.read_bytes):
        with pytest.raises(UnreadableError, match=r"^s3://nobody(/x)?: there is no such bucket"):
            call("s3://nobody/x")
    with pytest.raises(UnreadableError, match="there is no such bucket"):
        storage.exists("s3://nobody")
    with pytest.raises(OutputError, match="there is no such bucket"):
        storage.write("s3://nobody/x", b"")


def test_wrong_credentials_are_said_at_once(server):
    storage.write("s3://photos/a", b"1")
    server.requests.clear()
    with server.checking_credentials():
        for call in (storage.exists, storage.is_folder, storage.files_below, storage.read_bytes):
            with pytest.raises(UnreadableError, match=r"cannot be read: .* \(are these the right credentials\?\)"):
                call("s3://photos/a")
        with pytest.raises(OutputError, match="are these the right credentials"):
            storage.write("s3://photos/a", b"2")
    assert len(server.requests) <= 6


def test_no_credentials(server, monkeypatch, tmp_path):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    forget_connections()
    with pytest.raises(UnreadableError, match=r"Unable to locate credentials \(give them by aws configure"):
        storage.read_bytes("s3://photos/a")


def test_a_service_that_fails_is_asked_a_few_times(server):
    storage.write("s3://photos/a", b"1")
    server.requests.clear()
    server.fails = lambda method, path: True
    with pytest.raises(UnreadableError, match=r"^s3://photos/a: cannot be read: "):
        storage.read_bytes("s3://photos/a")
    assert len(server.requests) == 3
    failed = []
    server.fails = lambda method, path: not failed and (failed.append(path) or True)
    assert storage.read_bytes("s3://photos/a") == b"1"


def test_nothing_answers(server, monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    forget_connections()
    with pytest.raises(UnreadableError, match=r"127\.0\.0\.1:1.* \(is AWS_ENDPOINT_URL right\?\)"):
        storage.files_below("s3://photos/a")


def test_each_process_has_its_own_connections(server):
    """Connections and threads do not survive a fork: a child that used its parent's would hang."""
    storage.write("s3://photos/a", b"1")
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        os.write(theirs, storage.read_bytes("s3://photos/a"))
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    assert os.read(ours, 10) == b"1"
    os.close(ours)
    os.close(theirs)


def test_packages_are_named(monkeypatch):
    with pytest.raises(UsageError, match="xx:// is no kind of storage that fsspec knows"):
        storage.read_bytes("xx://a/b")
    import fsspec

    def missing(protocol, **options):
        raise ImportError(f"no {protocol}")

    monkeypatch.setattr(fsspec, "filesystem", missing)
    for url, command in (
        ("gs://a/b", "pip install gcsfs"),
        ("hf://a/b", "pip install huggingface_hub"),
        ("s3://a/b", 'pip install "controlnet-cn[remote]"'),
    ):
        remote._file_system.cache_clear()
        with pytest.raises(UsageError, match="cannot be used yet") as caught:
            storage.read_bytes(url)
        assert command in str(caught.value)
    remote._file_system.cache_clear()


def test_what_people_type():
    assert storage.from_user("file:///data/my%20photos") == "/data/my photos"
    assert storage.from_user("s3://photos/set/") == "s3://photos/set"
    assert storage.from_user("photos/") == "photos/"
    assert storage.from_user("-") == "-"


def test_memory():
    storage.write("memory://set/a/b.txt", b"1\n2")
    with storage.open_read("memory://set/a/b.txt") as file:
        assert file.readline(9) == b"1\n"
    assert storage.files_below("memory://set") == ["a/b.txt"]
    assert storage.is_folder("memory://set/a")
    assert not storage.create_object("memory://set/a/b.txt", b"2")
    storage.remove("memory://set/a/b.txt")
    assert not storage.exists("memory://set/a/b.txt")
