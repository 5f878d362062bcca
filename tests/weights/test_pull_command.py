"""`cn weights pull`: what is printed, and the exit code when some downloads fail."""

import json

import pytest

from cn import app
from cn.detect import registry
from cn.weights import catalog
from tests.weights.serving import HASH, Sends, entry

pytestmark = pytest.mark.usefixtures("folder")


@pytest.fixture
def table(server, monkeypatch):
    """A catalog of three files of which the server has two."""
    server.routes["/a.pth"] = server.routes["/b.pth"] = Sends()
    files = tuple(entry(server.url(f"/{name}.pth"), name=name) for name in "abc")
    monkeypatch.setattr(catalog, "files", lambda: files)
    hed = registry.default_method("hed").networks[0]
    monkeypatch.setattr(registry, "published_by", lambda name: hed if name in "abc" else None)
    return files


def test_the_command(table, folder, capsys):
    assert app.run(["weights", "pull", "a", "b.pth", "a"]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{folder / 'a.pth'}\n{folder / 'b.pth'}\n"
    assert app.run(["weights", "pull", "a", "--offline", "--json", "-q"]) == 0
    captured = capsys.readouterr()
    record = json.loads(captured.out)
    assert (record["status"], record["fetched"], record["sha256"]) == ("here", 0, HASH)
    assert captured.err == ""
    assert app.run(["weights", "verify", "a", "b"]) == 0


def test_one_of_several_fails(table, folder, capsys):
    assert app.run(["weights", "pull", "--all", "--json"]) == 4
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["status"] for record in records] == ["pulled", "pulled", "failed"]
    assert app.run(["weights", "pull", "--kind", "hed", "-q"]) == 4
    captured = capsys.readouterr()
    assert captured.out == f"{folder / 'a.pth'}\n{folder / 'b.pth'}\n"
    assert captured.err.count("\n") == 2
    assert "1 of 3 downloads failed" in captured.err
    assert app.run(["weights", "pull", "c", "-q"]) == 4
    captured = capsys.readouterr()
    assert (captured.out, captured.err.count("\n")) == ("", 1)
    assert app.run(["weights", "pull", "c", "-q", "--json"]) == 4
    captured = capsys.readouterr()
    assert json.loads(captured.out)["status"] == "failed"
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "code"),
    [([], 2), (["a", "--all"], 2), (["--kind", "hed", "--all"], 2), (["--kind", "canny"], 2), (["nonsense"], 4)],
)
def test_what_cannot_be_asked_for(table, capsys, words, code):
    assert app.run(["weights", "pull", *words]) == code
    assert capsys.readouterr().err.count("\n") == 1
