"""The catalog of published weights: sound data, and finding a file by name wherever it is."""

import hashlib
import json
import re
import subprocess
import sys
import tomllib
from dataclasses import fields, replace
from pathlib import Path

import pytest

from cn import app, conditions, console
from cn.detect import published, registry
from cn.detect.registry import NetworkSpec
from cn.errors import UsageError, WeightsError
from cn.weights import bundled, cache, catalog

REAL = Path(__file__).parent.parent.parent.parent / "shared" / "weights"
pytestmark = pytest.mark.usefixtures("folder")
PUBLISHED_NAMES = ("pytorch_model.bin", "model.safetensors", "open_clip_pytorch_model.bin", "vocab.txt")
"""Names that every repository of a hub uses, so that the catalog gives the file another."""


def put(path: Path, size: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"")
    with open(path, "r+b") as file:
        file.truncate(size)
    return path


@pytest.mark.parametrize("entry", catalog.files(), ids=lambda entry: entry.name)
def test_every_entry_is_sound(entry):
    assert set(published.kinds(entry)) <= {*conditions.KINDS, catalog.CAPTIONS}
    assert entry.origins
    assert entry.license
    for origin in entry.origins:
        # Universities' old servers have no other; what comes from there has a hash, or is not read by us.
        assert origin.startswith(("https://", "http://vcl.ucsd.edu/", "http://posefs1.perception.cs.cmu.edu/"))
        assert origin.rpartition("/")[2] in (entry.file, *entry.aliases, *PUBLISHED_NAMES)
        assert origin.startswith("https://") or entry.md5 or not published.readable(entry)
        if "huggingface.co/lllyasviel" in origin:
            assert re.search(r"/resolve/[0-9a-f]{40}/", origin)
    if entry.sha256 is not None:
        assert re.fullmatch(r"[0-9a-f]{8}|[0-9a-f]{64}", entry.sha256)
    assert entry.size is None or entry.size_about is None
    if "research only" in entry.license:
        assert entry.non_commercial


def test_a_file_whose_publisher_gives_md5_only_is_checked_by_that(tmp_path):
    path = tmp_path / "a.caffemodel"
    path.write_bytes(b"weights")
    right = replace(catalog.find("openpose-body-caffe"), md5=hashlib.md5(b"weights").hexdigest())
    assert catalog.check(right, path) == catalog.Verdict(None, hashlib.sha256(b"weights").hexdigest(), True)
    wrong = catalog.check(replace(right, md5="0" * 32), path)
    assert wrong.problem == f"has the MD5 {hashlib.md5(b'weights').hexdigest()[:12]}…, not 000000000000…"


def test_names_are_unique_and_are_no_conditions():
    names = [name for entry in catalog.files() for name in {entry.name, entry.file, *entry.aliases}]
    assert len(names) == len(set(names))
    with_cn = {weights.name for weights in bundled.files()}
    assert not set(names) & (set(conditions.KINDS) | with_cn)
    for condition in conditions.CONDITIONS:
        assert not set(condition.aliases) & set(names)


def test_facts_of_a_file_are_in_the_catalog_and_facts_of_a_network_in_the_registry():
    read = [name for spec in registry.NETWORKS for name in spec.weights]
    assert len(read) == len(set(read)), "one network reads a file"
    names = {entry.name: entry for entry in catalog.files()}
    assert set(read) < set(names)
    for name, entry in names.items():
        assert bool(entry.conditions) == (name not in read), name
        assert (entry.method is None) == (name in read), name
    assert {field.name for field in fields(catalog.PublishedFile)} & {field.name for field in fields(NetworkSpec)} == {
        "about",  # of a file, and of a method
        "method",  # of files that no network reads
    }


def test_every_kind_but_canny_has_a_file():
    served = {kind for entry in catalog.files() for kind in published.kinds(entry)}
    assert served == set(conditions.KINDS) - {"canny"} | {catalog.CAPTIONS}
    assert [entry.name for entry in published.of_kind("mlsd")] == ["mlsd-large", "mlsd-tiny"]
    assert [entry.name for entry in published.of_kind("hed", "tin")] == ["tin2", "tin1"]
    with pytest.raises(UsageError, match="canny"):
        published.of_kind("canny")
    with pytest.raises(UsageError, match="unknown condition"):
        published.of_kind("nonsense")


def test_the_catalog_is_read_once_and_has_no_unused_prefix():
    assert catalog.files() is catalog.files()
    text = Path(catalog.__file__).with_name("catalog.toml").read_text()
    for prefix, url in tomllib.loads(text)["origins"].items():
        assert text.count(f"{{{prefix}}}") > 1, prefix
        assert text.count(url) == 1, url
    assert all("{" not in origin for entry in catalog.files() for origin in entry.origins)


@pytest.mark.parametrize("name", ["dpt-hybrid", "DPT-Hybrid", "dpt_hybrid_384.pt", "dpt_hybrid-midas-501f0c75"])
def test_names_by_which_a_file_is_found(name):
    assert catalog.find(name).file == "dpt_hybrid-midas-501f0c75.pt"


def test_an_unknown_name_is_told_the_nearest():
    with pytest.raises(WeightsError, match=r"'mlsd-larg': did you mean mlsd-large") as caught:
        catalog.find("mlsd-larg")
    assert "cn weights list" in str(caught.value)


def test_a_missing_file_says_how_to_get_it_and_what_needs_none(folder):
    with pytest.raises(WeightsError) as caught:
        published.locate("mlsd-large")
    message = str(caught.value)
    for part in ("mlsd_large_512_fp32.pth", "6.3 MB", "cn weights pull mlsd-large", str(folder), "--method lsd"):
        assert part in message
    assert "\n" not in message
    with pytest.raises(WeightsError) as caught:
        published.locate("dpt-hybrid")
    assert "without any weights" not in str(caught.value)
    assert not folder.exists(), "looking makes no folder"


def test_a_given_file_wins(folder, tmp_path):
    put(folder / "TIN2.pth", 987_380)
    mine = put(tmp_path / "mine.pth", 3)
    assert catalog.locate("tin2", mine) == mine
    assert catalog.locate("tin2", str(mine)) == mine
    with pytest.raises(WeightsError, match=r"gone\.pth: no such weights file; give the path of TIN2\.pth"):
        catalog.locate("tin2", tmp_path / "gone.pth")


def test_a_file_of_the_wrong_length_is_not_used(folder):
    put(folder / "TIN2.pth", 987_379)
    assert catalog.find_local(catalog.find("tin2")) is None
    with pytest.raises(WeightsError, match=r"TIN2\.pth: is damaged .* cn weights pull tin2"):
        catalog.locate("tin2")
    put(folder / "TIN2.pth", 987_380)
    assert catalog.locate("tin2") == folder / "TIN2.pth"


def test_other_programs_caches_are_searched(tmp_path, monkeypatch):
    entry = catalog.find("controlnet-hed")
    revision = re.search(r"[0-9a-f]{40}", entry.origins[0])[0]
    inside = Path("models--lllyasviel--Annotators/snapshots") / revision / entry.file
    default = put(tmp_path / "caches/huggingface/hub" / inside, entry.size)
    assert catalog.locate(entry.name) == default
    monkeypatch.setenv("HF_HOME", str(tmp_path / "home"))
    assert catalog.find_local(entry) is None
    assert catalog.locate(entry.name, default) == default
    moved = put(tmp_path / "home/hub" / inside, entry.size)
    assert catalog.locate(entry.name) == moved
    keypoints = put(tmp_path / "caches/torch/hub/checkpoints/keypointrcnn_resnet50_fpn_coco-fc266e95.pth", 9)
    assert catalog.locate("keypointrcnn") == keypoints


def test_the_folder(tmp_path, monkeypatch):
    assert cache.folder() == tmp_path / "weights"
    monkeypatch.delenv("CN_WEIGHTS")
    assert cache.folder() == tmp_path / "caches/cn/weights"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.folder() == tmp_path / ".cache/cn/weights"


@pytest.mark.parametrize(("value", "offline"), [("1", True), ("yes", True), ("0", False), ("", False), ("no", False)])
def test_what_counts_as_offline(monkeypatch, value, offline):
    monkeypatch.setenv("CN_OFFLINE", value)
    assert cache.offline() is offline


def test_mirrors(monkeypatch):
    origins = ("https://huggingface.co/a/b/resolve/main/f.pth", "https://example.org/f.pth")
    assert cache.addresses("f.pth", origins) == list(origins)
    monkeypatch.setenv("HF_ENDPOINT", "https://hub.example/")
    assert cache.addresses("f.pth", origins) == ["https://hub.example/a/b/resolve/main/f.pth", origins[1]]
    monkeypatch.setenv("CN_MIRROR", "http://mirror.example/weights/")
    assert cache.addresses("f.pth", origins) == ["http://mirror.example/weights/f.pth"]


def test_the_hash_decides(tmp_path):
    path = tmp_path / "f.pth"
    path.write_bytes(b"content")
    found = hashlib.sha256(b"content").hexdigest()
    entry = replace(catalog.find("tin2"), size=None, sha256=found)
    assert catalog.check(entry, path) == catalog.Verdict(None, found, True)
    assert catalog.check(replace(entry, sha256=found[:8]), path).problem is None
    assert "SHA-256" in catalog.check(replace(entry, sha256="0" * 8), path).problem
    assert catalog.check(replace(entry, size=8), path).problem == "has 7 bytes, not 8"
    assert catalog.check(replace(entry, sha256=None), path) == catalog.Verdict(None, found, False)


def test_the_list_shows_what_is_here(folder, capsys):
    put(folder / "TIN2.pth", 987_380)
    assert app.run(["weights", "list"]) == 0
    lines = {line.split()[0]: line for line in capsys.readouterr().out.splitlines()}
    assert set(lines) == {weights.name for weights in bundled.files()} | {e.name for e in catalog.files()}
    assert "  here  " in lines["tin2"]
    assert "  here  " not in lines["tin1"]
    assert "non-commercial" in lines["openpose-body"]
    assert app.run(["weights", "list", "--json"]) == 0
    records = {r["name"]: r for r in map(json.loads, capsys.readouterr().out.splitlines())}
    assert records["tin2"]["path"] == str(folder / "TIN2.pth")
    assert records["tin1"]["path"] is None
    assert records["midas-small"]["sha256"] is None
    assert records["midas-small"]["sha256_begins"] == "70d6b9c8"
    assert records["openpose-body"]["non_commercial"] is True


def test_on_a_terminal_the_list_is_a_table_with_a_heading(monkeypatch, capsys):
    monkeypatch.setattr(console, "is_terminal", lambda stream: True)
    monkeypatch.setenv("COLUMNS", "200")
    assert app.run(["weights", "list"]) == 0
    heading, *rows = capsys.readouterr().out.splitlines()
    assert heading.split() == ["NAME", "ROLE", "CONDITION", "PARAMETERS", "SIZE", "SHA-256", "HERE", "LICENSE"]
    assert {row.split()[0] for row in rows} >= {entry.name for entry in catalog.files()}


def test_path_and_verify(folder, capsys):
    assert app.run(["weights", "path", "tin2"]) == 4
    assert "cn weights pull tin2" in capsys.readouterr().err
    assert app.run(["weights", "verify", "tin2"]) == 4
    capsys.readouterr()
    fake = put(folder / "TIN2.pth", 987_380)
    assert app.run(["weights", "path", "tin2"]) == 0
    assert capsys.readouterr().out == f"{fake}\n"
    assert app.run(["weights", "path", "canny"]) == 0
    assert capsys.readouterr().out == f"{bundled.FOLDER / 'canny.safetensors'}\n"
    assert app.run(["weights", "verify", "tin2"]) == 4
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert "SHA-256" in captured.err
    assert app.run(["weights", "verify", "--json"]) == 4
    records = {r["name"]: r for r in map(json.loads, capsys.readouterr().out.splitlines())}
    assert records["tin2"]["status"] == "wrong"
    assert records["base"]["status"] == "intact"
    fake.unlink()
    assert app.run(["weights", "verify"]) == 0


@pytest.mark.parametrize(("name", "file"), [("tin2", "TIN2.pth"), ("mlsd-tiny", "mlsd_tiny_512_fp32.pth")])
def test_the_real_files_are_those_of_the_table(name, file):
    if not (REAL / file).is_file():
        pytest.skip(f"{file} is not at hand")
    assert catalog.check(catalog.find(name), REAL / file) == catalog.Verdict(None, catalog.find(name).sha256, True)


def test_nothing_heavy_is_imported():
    script = (
        "import sys; from cn.weights import catalog, download; sys.exit(bool({'torch', 'numpy'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, timeout=60).returncode == 0
