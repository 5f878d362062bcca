"""Downloading weights from a server on this machine: complete, interrupted, damaged, redirected, missing, mirrored."""

import fcntl
import socket
import threading

import pytest

from cn.errors import InputError, WeightsError
from cn.weights import catalog
from cn.weights import download as pulling
from tests.weights.serving import CONTENT, HASH, PART, Handler, Sends, entry, missing, names, refused

pytestmark = pytest.mark.usefixtures("folder")


def test_whole_and_then_already_here(server, folder):
    server.routes["/net.pth"] = Sends()
    net = entry(server.url("/net.pth"))
    seen = []
    done = pulling.pull(net, progress=lambda done, total: seen.append((done, total)))
    assert done == pulling.Downloaded(folder / "net.pth", len(CONTENT), HASH, True)
    assert (folder / "net.pth").read_bytes() == CONTENT
    assert names(folder) == ["net.pth"]
    assert seen[0] == (0, len(CONTENT))
    assert seen[-1] == (len(CONTENT), len(CONTENT))
    assert [a for a, _ in seen] == sorted(a for a, _ in seen)
    assert pulling.pull(net, offline=True).fetched == 0
    assert len(server.asked) == 1


def test_a_broken_connection_is_taken_up_again(server, folder):
    server.routes["/net.pth"] = Sends(cuts=[400_000, 300_000])
    assert pulling.pull(entry(server.url("/net.pth"))).fetched == len(CONTENT)
    assert (folder / "net.pth").read_bytes() == CONTENT
    assert [asked for _, asked in server.asked] == [None, "bytes=400000-", "bytes=700000-"]


def test_interrupted_and_resumed_by_the_next_pull(server, folder):
    server.routes["/net.pth"] = Sends(cuts=[400_000, 0, 0, 0])
    net = entry(server.url("/net.pth"))
    with pytest.raises(WeightsError, match=r"net\.pth: .*interrupted.* 0\.4 MB are kept, and the same command resumes"):
        pulling.pull(net)
    assert names(folder) == [PART]
    assert catalog.find_local(net) is None
    seen = []
    done = pulling.pull(net, progress=lambda done, total: seen.append(done))
    assert done.fetched == len(CONTENT) - 400_000
    assert seen[0] == 400_000
    assert (folder / "net.pth").read_bytes() == CONTENT
    assert names(folder) == ["net.pth"]


def test_ctrl_c_keeps_what_has_come(server, folder):
    server.routes["/net.pth"] = Sends()

    def stop(done: int, total: int | None) -> None:
        if done:
            raise KeyboardInterrupt

    net = entry(server.url("/net.pth"))
    with pytest.raises(KeyboardInterrupt):
        pulling.pull(net, progress=stop)
    kept = (folder / PART).stat().st_size
    assert 0 < kept < len(CONTENT)
    assert pulling.pull(net).fetched == len(CONTENT) - kept
    assert (folder / "net.pth").read_bytes() == CONTENT


def test_a_server_that_knows_no_ranges_starts_again(server, folder):
    server.routes["/net.pth"] = Sends(ranges=False)
    folder.mkdir()
    (folder / PART).write_bytes(b"x" * 1000)
    pulling.pull(entry(server.url("/net.pth")))
    assert server.asked[0][1] == "bytes=1000-"
    assert (folder / "net.pth").read_bytes() == CONTENT


@pytest.mark.parametrize("kept", [b"x" * 1000, b"x" * len(CONTENT), b"x" * (len(CONTENT) + 5)])
@pytest.mark.parametrize("size", [len(CONTENT), None])
def test_what_was_kept_of_another_file_is_downloaded_again(server, folder, kept, size):
    server.routes["/net.pth"] = Sends()
    folder.mkdir()
    (folder / PART).write_bytes(kept)
    pulling.pull(entry(server.url("/net.pth"), size=size))
    assert (folder / "net.pth").read_bytes() == CONTENT
    assert names(folder) == ["net.pth"]


def test_a_finished_part_only_needs_its_place(server, folder):
    folder.mkdir()
    (folder / PART).write_bytes(CONTENT)
    assert pulling.pull(entry(server.url("/net.pth"))).fetched == 0
    assert server.asked == []
    assert names(folder) == ["net.pth"]


def test_a_corrupted_file_is_never_put_in_place(server, folder):
    server.routes["/net.pth"] = Sends(CONTENT[:-1] + bytes([CONTENT[-1] ^ 1]))
    with pytest.raises(WeightsError, match=r"net\.pth: .*SHA-256.*nothing of it is kept") as caught:
        pulling.pull(entry(server.url("/net.pth")))
    assert "\n" not in str(caught.value)
    assert names(folder) == []


def test_a_damaged_file_in_place_is_downloaded_again(server, folder):
    server.routes["/net.pth"] = Sends()
    folder.mkdir()
    (folder / "net.pth").write_bytes(b"x" * len(CONTENT))
    net = entry(server.url("/net.pth"))
    with pytest.raises(WeightsError, match="damaged"):
        pulling.pull(net, offline=True)
    assert pulling.pull(net).fetched == len(CONTENT)
    assert (folder / "net.pth").read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT + b"x", b"<html>sign in</html>"])
def test_a_wrong_length_is_seen_before_anything_comes(server, folder, content):
    server.routes["/net.pth"] = Sends(content)
    seen = []
    with pytest.raises(WeightsError, match=rf"offers {len(content):,} bytes, not 1,000,003"):
        pulling.pull(entry(server.url("/net.pth")), progress=lambda done, total: seen.append(done))
    assert seen == []
    assert names(folder) == []


def test_too_much_without_a_length_is_cut_off(server, folder):
    server.routes["/net.pth"] = Sends(CONTENT + b"x" * 500_000, length=False)
    with pytest.raises(WeightsError, match="more than the 1,000,003 bytes"):
        pulling.pull(entry(server.url("/net.pth")))
    assert names(folder) == []


def test_no_length_at_all(server, folder):
    server.routes["/net.pth"] = Sends(length=False)
    assert pulling.pull(entry(server.url("/net.pth"), size=None)).fetched == len(CONTENT)


def test_redirects_are_followed_when_resuming_too(server, folder):
    def redirect(request: Handler) -> None:
        request.send_response(302)
        request.send_header("Location", server.url("/there"))
        request.end_headers()

    server.routes["/net.pth"] = redirect
    server.routes["/there"] = Sends(cuts=[10_000])
    pulling.pull(entry(server.url("/net.pth")))
    assert (folder / "net.pth").read_bytes() == CONTENT
    assert server.asked[-1] == ("/there", "bytes=10000-")


@pytest.mark.parametrize(("answer", "code"), [(missing, "404"), (refused, "403")])
def test_a_server_that_has_no_such_file(server, folder, answer, code):
    server.routes["/net.pth"] = answer
    with pytest.raises(WeightsError, match=rf"net\.pth: download failed: .*/net\.pth answers HTTP {code}"):
        pulling.pull(entry(server.url("/net.pth")))
    assert names(folder) == []
    assert len(server.asked) == 1


def test_a_busy_server_is_asked_again(server, folder):
    answers = [lambda request: request.send_error(503), Sends()]
    server.routes["/net.pth"] = lambda request: answers.pop(0)(request)
    assert pulling.pull(entry(server.url("/net.pth"))).fetched == len(CONTENT)


def test_nobody_answers(folder):
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        # Bound, but nobody listens.
        with pytest.raises(WeightsError, match="cannot be reached: Connection refused"):
            pulling.pull(entry(f"http://127.0.0.1:{bound.getsockname()[1]}/net.pth"))
    assert names(folder) == []


def test_a_server_that_falls_silent(server, folder, monkeypatch):
    monkeypatch.setattr(pulling, "TIMEOUT", 0.2)
    wake = threading.Event()

    def silent(request: Handler) -> None:
        wake.wait(10)

    server.routes["/net.pth"] = silent
    with pytest.raises(WeightsError, match="cannot be reached: timed out"):
        pulling.pull(entry(server.url("/net.pth")))
    wake.set()


def test_the_next_origin_is_tried_and_goes_on_from_the_first(server, folder):
    server.routes["/a/net.pth"] = Sends(cuts=[250_000, 0, 0, 0])
    server.routes["/c/net.pth"] = Sends()
    done = pulling.pull(entry(*(server.url(f"/{origin}/net.pth") for origin in "abc")))
    assert done.fetched == len(CONTENT) - 250_000
    assert server.asked[-2:] == [("/b/net.pth", "bytes=250000-"), ("/c/net.pth", "bytes=250000-")]
    assert (folder / "net.pth").read_bytes() == CONTENT


def test_an_unpublished_hash_is_reported_and_nothing_is_resumed(server, folder):
    server.routes["/net.pth"] = Sends()
    folder.mkdir()
    (folder / PART).write_bytes(CONTENT[:1000])
    done = pulling.pull(entry(server.url("/net.pth"), size=None, sha256=None))
    assert done == pulling.Downloaded(folder / "net.pth", len(CONTENT), HASH, False)
    assert server.asked == [("/net.pth", None)]


def test_the_beginning_of_a_hash_is_checked(server, folder):
    server.routes["/net.pth"] = Sends()
    url = server.url("/net.pth")
    with pytest.raises(WeightsError, match="SHA-256"):
        pulling.pull(entry(url, size=None, sha256="00000000"))
    assert pulling.pull(entry(url, size=None, sha256=HASH[:8])).hash_known


@pytest.mark.parametrize("how", ["option", "CN_OFFLINE", "HF_HUB_OFFLINE"])
def test_offline_never_asks(server, folder, monkeypatch, how):
    server.routes["/net.pth"] = Sends()
    if how != "option":
        monkeypatch.setenv(how, "1")
    with pytest.raises(WeightsError, match=rf"net\.pth: not here, and .*put it into {folder}"):
        pulling.pull(entry(server.url("/net.pth")), offline=how == "option")
    assert server.asked == []
    assert not folder.exists()


def test_a_mirror_is_the_only_one_asked(server, folder, monkeypatch):
    server.routes["/mirror/net.pth"] = Sends()
    monkeypatch.setenv("CN_MIRROR", server.url("/mirror"))
    pulling.pull(entry(server.url("/net.pth")))
    assert server.asked == [("/mirror/net.pth", None)]
    monkeypatch.setenv("CN_MIRROR", f"file://{folder}")
    with pytest.raises(WeightsError, match="not an http or https URL"):
        pulling.pull(entry(server.url("/other.pth"), name="other"))


def test_a_mirror_of_hugging_face(server, folder, monkeypatch):
    server.routes["/a/b/resolve/main/net.pth"] = Sends()
    monkeypatch.setenv("HF_ENDPOINT", server.url(""))
    pulling.pull(entry("https://huggingface.co/a/b/resolve/main/net.pth"))
    assert (folder / "net.pth").read_bytes() == CONTENT


def test_two_at_once_do_not_write_one_file(server, folder):
    server.routes["/net.pth"] = Sends()
    folder.mkdir()
    with open(folder / PART, "wb") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(WeightsError, match="another cn is downloading this file"):
            pulling.pull(entry(server.url("/net.pth")))
    assert server.asked == []


def test_without_file_locks(server, folder, monkeypatch):
    monkeypatch.setattr(pulling, "fcntl", None)
    server.routes["/net.pth"] = Sends(cuts=[1000])
    pulling.pull(entry(server.url("/net.pth")))
    assert names(folder) == ["net.pth"]


def test_a_folder_that_cannot_be_made(server, folder):
    folder.write_text("a file")
    with pytest.raises(InputError, match="is a file, but a folder is needed"):
        pulling.pull(entry(server.url("/net.pth")))
