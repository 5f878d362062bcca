"""Builds from and into buckets of a local S3 server: the same bytes as on this machine, and what goes wrong there."""

import json

import cv2
import numpy as np
import pytest

from cn import storage
from cn.data.build import claim
from cn.data.build.places import Places
from cn.errors import InputError
from tests.helpers.cli import cn, start_cn
from tests.helpers.s3_server import S3Server, forget_connections
from tests.helpers.waiting import wait_until

pytest.importorskip("s3fs", reason="s3fs is not installed")
pytest.importorskip("moto", reason="moto is not installed")

WORDS = ("--cond", "canny", "--cond", "hed", "--method", "hed=gradient", "--resolution", "64", "--shard-size", "4")
COUNT = 12
LAYOUTS = ("folder", "webdataset")
SRC, OUT = "s3://photos/day", "s3://photos/set"


@pytest.fixture(scope="module")
def running():
    server = S3Server()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    (folder / "b [1]").mkdir()
    for number in range(COUNT):
        name = f"b [1]/{number:02d} é#?" if number % 3 == 0 else f"{number:02d}"
        image = np.full((96, 128, 3), 9 * number, np.uint8)
        cv2.circle(image, (40 + number, 48), 20 + number, (250, 200, 3 * number), -1)
        (folder / f"{name}.png").write_bytes(cv2.imencode(".png", image)[1].tobytes())
        (folder / f"{name}.txt").write_text(f"circle {number}")
    return folder


@pytest.fixture(scope="module")
def expected(photos, tmp_path_factory):
    """What builds on this machine give, by layout."""
    found = {}
    for layout in LAYOUTS:
        out = tmp_path_factory.mktemp(layout) / "set"
        assert cn("dataset", "build", photos, out, *WORDS, "--to", layout).returncode == 0
        found[layout] = contents(str(out))
    return found


@pytest.fixture
def server(running, photos):
    with running.in_use("photos"):
        for name in storage.files_below(photos):
            storage.write(storage.join(SRC, name), (photos / name).read_bytes())
        running.requests.clear()
        yield running


def contents(folder: str) -> dict[str, bytes]:
    """All files but the plan, which names the places of the images, and the records of runs, with their times."""
    names = [name for name in storage.files_below(folder) if not name.startswith(("build/plan", "build/runs/"))]
    return {name: storage.read_bytes(storage.join(folder, name)) for name in names}


def statuses(out: str = OUT) -> dict[str, dict[str, object]]:
    lines = [line for name, data in contents(out).items() if "/status/" in name for line in data.splitlines()]
    return {record["name"]: record for record in map(json.loads, lines)}


def counted(server: S3Server, method: str, word: str) -> int:
    return sum(each == method and word in path for each, path in server.requests)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("places", [(SRC, OUT), (SRC, "set"), ("photos", OUT)])
def test_the_same_bytes_as_here(server, photos, expected, tmp_path, layout, places):
    (tmp_path / "photos").symlink_to(photos)
    source, out = (place if storage.is_url(place) else str(tmp_path / place) for place in places)
    result = cn("dataset", "build", source, f"{out}/", *WORDS, "--to", layout)
    assert result.returncode == 0, result.stderr
    assert result.stdout.rstrip("/\n") == out
    assert contents(out) == expected[layout]


def test_requests(server):
    """One listing, one request for each file that is read or written; none to ask whether something is there."""
    assert cn("dataset", "build", SRC, OUT, *WORDS, "-q").returncode == 0
    assert counted(server, "GET", "prefix=day") == 2
    assert counted(server, "GET", "/photos/day/") == 2 * COUNT
    assert counted(server, "PUT", "/photos/set/target/") == COUNT
    assert counted(server, "PUT", "source/") == 2 * COUNT
    assert counted(server, "HEAD", "") <= 5
    server.requests.clear()
    assert cn("dataset", "build", SRC, OUT, *WORDS, "-q").returncode == 0
    assert counted(server, "GET", "/photos/day/") == 0


@pytest.mark.slow
def test_worker_processes(server, expected):
    process = start_cn("dataset", "build", SRC, OUT, *WORDS, "--workers", "3")
    _, errors = process.communicate()
    assert process.returncode == 0, errors.decode()
    assert contents(OUT) == expected["folder"]


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_killed_build_continues(server, expected, layout):
    words = ("dataset", "build", SRC, OUT, *WORDS, "--to", layout)
    process = start_cn(*words, "--workers", "1")
    wait_until(lambda: storage.exists(f"{OUT}/build/status") or process.poll() is not None)
    process.kill()
    process.communicate()
    done = len(statuses())
    assert done > 0
    server.requests.clear()
    result = cn(*words)
    assert result.returncode == 0, result.stderr
    assert counted(server, "GET", "/photos/day/") == 2 * (COUNT - done)
    assert contents(OUT) == expected[layout]


def test_a_service_that_takes_nothing_stops_the_build(server, expected):
    server.fails = lambda method, path: method == "PUT" and "/target/" in path and counted(server, "PUT", "status") > 0
    result = cn("dataset", "build", SRC, OUT, *WORDS)
    assert result.returncode == 3
    assert result.stderr.splitlines()[-1].startswith(f"cn: {OUT}/target/")
    assert "cannot be written" in result.stderr.splitlines()[-1]
    assert len(statuses()) == 4
    server.fails = lambda method, path: False
    assert cn("dataset", "build", SRC, OUT, *WORDS).returncode == 0
    assert contents(OUT) == expected["folder"]


def test_what_cannot_be_read_is_tried_again(server, photos, expected):
    server.fails = lambda method, path: method == "GET" and path == "/photos/day/04.png"
    assert cn("dataset", "build", SRC, OUT, *WORDS, "--shard", "0/1").returncode == 5
    assert statuses()["04.png"]["status"] == "unreadable"
    server.fails = lambda method, path: False
    # And an object that vanishes after it was listed.
    storage.remove(f"{SRC}/05.png")
    result = cn("dataset", "build", SRC, OUT, *WORDS)
    assert result.returncode == 5
    assert "05.png: no such file" in result.stderr
    assert statuses()["04.png"]["status"] == "ok"
    storage.write(f"{SRC}/05.png", (photos / "05.png").read_bytes())
    assert cn("dataset", "build", SRC, OUT, *WORDS).returncode == 0
    assert contents(OUT) == expected["folder"]


def test_missing_buckets_and_wrong_credentials(server, photos):
    def message(source, out):
        result = cn("dataset", "build", source, out, *WORDS, "-q")
        assert result.returncode == 3
        assert result.stdout == ""
        (line,) = result.stderr.splitlines()
        return line

    assert message("s3://nobody/day", OUT) == "cn: s3://nobody/day: there is no such bucket"
    assert message("s3://photos/none", OUT) == "cn: s3://photos/none: there is no such file or folder"
    assert message(photos, "s3://nobody/set") == "cn: s3://nobody/set: there is no such bucket"
    refused = "cannot be read: Forbidden (are these the right credentials?)"
    with server.checking_credentials():
        assert message(SRC, "set") == f"cn: {SRC}: {refused}"
        assert message(photos, OUT) == f"cn: {OUT}: {refused}"


def test_a_place_that_holds_other_objects(server, photos):
    result = cn("dataset", "build", photos, SRC, *WORDS)
    assert result.returncode == 3
    assert result.stderr.startswith(f"cn: {SRC}: holds other objects already")


def test_overwrite(server, expected):
    assert cn("dataset", "build", SRC, OUT, "--cond", "canny", "--resolution", "128", "--min-side", "1").returncode == 0
    storage.write(f"{OUT}/notes.txt", b"mine")
    assert cn("dataset", "build", SRC, OUT, *WORDS).returncode == 3
    assert cn("dataset", "build", SRC, OUT, *WORDS, "--overwrite").returncode == 0
    assert contents(OUT) == {**expected["folder"], "notes.txt": b"mine"}


@pytest.mark.slow
def test_parts_at_once(server, expected):
    """Two processes plan and build at the same time; object storage has no locks."""
    parts = [start_cn("dataset", "build", SRC, OUT, *WORDS, "--shard", f"{number}/2") for number in range(2)]
    for part in parts:
        _, errors = part.communicate()
        assert part.returncode == 0, errors.decode()
    assert cn("dataset", "merge", OUT).returncode == 0
    assert contents(OUT) == expected["folder"]


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("out", [OUT, "set"])
def test_merging_datasets(server, tmp_path, photos, layout, out):
    """One in a bucket and one on this machine, put together in either place."""
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
    for number, path in enumerate(sorted(photos.rglob("*.png"))):
        folder = tmp_path / ("first" if number < COUNT // 2 else "second")
        (folder / f"{number}.png").write_bytes(path.read_bytes())
    words = (*WORDS, "--to", layout)
    here = [str(tmp_path / f"{name}-set") for name in ("first", "second")]
    for name, part in zip(("first", "second"), here, strict=True):
        assert cn("dataset", "build", tmp_path / name, part, *words).returncode == 0
    assert cn("dataset", "build", tmp_path / "first", "s3://photos/first-set", *words).returncode == 0
    assert cn("dataset", "merge", *here, tmp_path / "local").returncode == 0
    out = out if storage.is_url(out) else str(tmp_path / out)
    result = cn("dataset", "merge", "s3://photos/first-set", here[1], out)
    assert result.returncode == 0, result.stderr
    assert contents(out) == contents(str(tmp_path / "local"))


def plan_with(places: Places, lists: list[bytes], shards: int | None = None) -> int | None:
    """What a process does that plans a source with these lists."""
    with claim.lists_uploaded(places, 0, iter(lists)) as count:
        if count is not None:
            storage.write(places.plan(), json.dumps({"shards": shards or count}).encode())
    return count


def stored(places: Places) -> list[bytes]:
    names = [name for name in storage.files_below(places.out) if name.endswith(".gz")]
    return [storage.read_bytes(f"{places.out}/{name}") for name in names]


def test_of_two_plans_one_wins(server, monkeypatch):
    places = Places(OUT, ("canny",))

    # Another process stores its plan while this one uploads its claim.
    def faster(method, path):
        if method == "PUT" and "claim" in path:
            server.before = lambda method, path: None
            assert plan_with(places, [b"1", b"2"]) == 2

    server.before = faster
    assert plan_with(places, [b"1", b"other", b"3"]) is None
    assert stored(places) == [b"1", b"2"]
    # One that comes later gets the plan, too, and nobody's claim stays.
    assert plan_with(places, [b"other"]) is None
    assert [name for name in storage.files_below(OUT) if "claim" in name] == []


def test_a_killed_planner_does_not_block_its_successor(server, monkeypatch):
    places = Places(OUT, ("canny",))
    monkeypatch.setattr(claim, "_upload", lambda *_: exit_at_once())
    monkeypatch.setattr(claim.storage, "remove", lambda path: None)

    def exit_at_once():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plan_with(places, [b"1", b"2"])
    monkeypatch.undo()
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    forget_connections()
    # From another state of the source, it would mix its lists with those of a process that may be running still.
    monkeypatch.setattr(claim, "_SECONDS", 0)
    with pytest.raises(InputError, match="remove this object and build again") as caught:
        plan_with(places, [b"other"])
    assert caught.value.path == f"{OUT}/build/plan/claim-00000.json"
    assert plan_with(places, [b"1", b"2"]) == 2
    assert stored(places) == [b"1", b"2"]
    assert not storage.exists(caught.value.path)
