"""What is bundled, read from the files' headers; weights by name or path."""

import hashlib
import json
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from cn import app
from cn.errors import InputError, WeightsError
from cn.weights import bundled


@pytest.fixture
def folder(tmp_path):
    """A base and two controls as the package bundles them."""
    tensors = {"a": np.zeros((3, 4), np.float16), "b.c": np.zeros(5, np.float32), "scalar": np.array(1.0, np.float32)}
    base = {"role": "base", "license": "MIT"}
    save_file(tensors, tmp_path / "base.safetensors", metadata={"cn": json.dumps(base)})
    for kind in ("openpose", "canny"):
        control = {"role": "control", "kind": kind, "base_sha256": "ab" * 32, "license": "MIT"}
        save_file({"w": np.ones(7, np.float32)}, tmp_path / f"{kind}.safetensors", metadata={"cn": json.dumps(control)})
    return tmp_path


def test_the_list(folder):
    base, canny, openpose = bundled.files(folder)
    assert [weights.name for weights in (base, canny, openpose)] == ["base", "canny", "openpose"]
    assert (base.role, base.kind, base.base_sha256, base.parameters, base.license) == ("base", None, None, 18, "MIT")
    assert (canny.role, canny.kind, canny.base_sha256, canny.parameters) == ("control", "canny", "ab" * 32, 7)
    content = (folder / "canny.safetensors").read_bytes()
    assert canny.size == len(content)
    assert canny.sha256 == hashlib.sha256(content).hexdigest()


def test_the_command(folder, monkeypatch, capsys):
    listed = bundled.files(folder)
    monkeypatch.setattr(bundled, "files", lambda: listed)
    assert app.run(["weights", "list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[:3]] == ["base", "canny", "openpose"], "before the published ones"
    assert lines[1].split()[1:3] == ["control", "canny"]
    assert app.run(["weights", "list", "--json"]) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert records[2]["kind"] == "openpose"
    assert records[2]["sha256"] == listed[2].sha256
    assert Path(records[0]["path"]).is_file()


def test_listing_needs_no_torch():
    script = "import sys; from cn import app; app.run(['weights', 'list']); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60).returncode == 0


@pytest.mark.parametrize(
    ("name", "file"), [("base", "base"), ("canny", "canny"), ("pose", "openpose"), ("openpose", "openpose")]
)
def test_names(folder, name, file):
    assert bundled.find(name, folder) == folder / f"{file}.safetensors"


def test_paths(folder, tmp_path, monkeypatch):
    path = folder / "canny.safetensors"
    assert bundled.find(path, folder) == path
    monkeypatch.chdir(folder)
    (folder / "canny").write_text("")
    assert bundled.find("canny", folder) == path
    assert bundled.find("./canny", folder) == Path("./canny")


@pytest.mark.parametrize("name", ["depth", "sketchy", "runs/one/control.safetensors", "control.safetensors"])
def test_what_is_not_there_says_what_is(folder, name):
    with pytest.raises(WeightsError) as caught:
        bundled.find(name, folder)
    assert name in str(caught.value)
    assert "base, canny, openpose" in str(caught.value)


def test_folders(tmp_path):
    """A folder of ours means the file of the requested role; any other folder is left to its reader."""
    for role in ("base", "control"):
        (tmp_path / f"{role}.safetensors").write_text("")
        assert bundled.find(tmp_path, role=role) == tmp_path / f"{role}.safetensors"
        if role == "base":
            assert bundled.find(tmp_path) == tmp_path / "base.safetensors"
            with pytest.raises(WeightsError, match=r"this folder has no control\.safetensors"):
                bundled.find(tmp_path, role="control")
    assert bundled.find(tmp_path) == tmp_path, "both"
    (tmp_path / "diffusers").mkdir()
    for role in ("base", "control", "unknown"):
        assert bundled.find(tmp_path / "diffusers", role=role) == tmp_path / "diffusers"


def test_broken_and_foreign_files(folder, tmp_path):
    whole = (folder / "base.safetensors").read_bytes()
    huge = struct.pack("<Q", 1 << 60) + whole[8:]
    for content in (b"", b"words", whole[:-1], whole[:40], whole + b"x", huge, struct.pack("<Q", 2) + b"[]"):
        path = tmp_path / "other" / "a.safetensors"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        with pytest.raises(InputError, match=r"a\.safetensors"):
            bundled.describe(path)
    foreign = tmp_path / "foreign.safetensors"
    save_file({"w": np.ones((2, 3), np.float32)}, foreign)
    described = bundled.describe(foreign)
    assert (described.role, described.kind, described.parameters) == ("unknown", None, 6)


def test_a_header_is_read_again_only_where_the_file_has_changed(folder, monkeypatch):
    """A job of many conditions asks for that of its control with each of them."""
    read, path = [], folder / "canny.safetensors"
    original = bundled.open_archive
    monkeypatch.setattr(bundled, "open_archive", lambda path: read.append(path) or original(path))
    assert bundled.describe(path).parameters == bundled.describe(path).parameters == 7
    assert read == [path]
    save_file({"w": np.ones(9, np.float32)}, path)
    assert bundled.describe(path).parameters == 9
