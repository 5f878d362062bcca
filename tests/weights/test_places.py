"""Weights named by what is no file: folders of a hub's cache, names of repositories, URLs, typos."""

from pathlib import Path

import pytest

from cn.errors import WeightsError
from cn.weights import bundled


@pytest.fixture
def hub(tmp_path) -> Path:
    """A cache with one model in two revisions, of which refs/main names the older."""
    model = tmp_path / "hub/models--owner--name"
    for revision in ("aaa", "bbb"):
        (model / "snapshots" / revision).mkdir(parents=True)
    (model / "refs").mkdir()
    (model / "refs/main").write_text("aaa\n")
    (tmp_path / "hub/datasets--owner--set/snapshots/x").mkdir(parents=True)
    (tmp_path / "hub/.locks").mkdir()
    return tmp_path / "hub"


@pytest.mark.parametrize("place", ["", "models--owner--name", "models--owner--name/snapshots", ".."])
def test_a_cache_is_followed_to_the_current_snapshot(hub, place):
    assert bundled.find(hub / place).resolve() == (hub / "models--owner--name/snapshots/aaa").resolve()


def test_the_folder_that_cn_runs_in(hub, monkeypatch):
    monkeypatch.chdir(hub / "models--owner--name/snapshots")
    assert bundled.find(".").resolve().name == "aaa"
    monkeypatch.chdir("aaa")
    assert bundled.find(".") == Path()


def test_a_snapshot_itself_and_any_other_folder_stay(hub, tmp_path):
    snapshot = hub / "models--owner--name/snapshots/bbb"
    assert bundled.find(snapshot) == snapshot
    for name in ("snapshots", "models--x", "mine/snapshots"):
        (tmp_path / name).mkdir(parents=True)
        assert bundled.find(tmp_path / name) == tmp_path / name


def test_without_refs_the_only_snapshot(hub):
    model = hub / "models--owner--name"
    (model / "refs/main").write_text("ccc")
    with pytest.raises(WeightsError, match=r"holds 2 snapshots and does not say which is current; give one: aaa, bbb"):
        bundled.find(model)
    (model / "snapshots/bbb").rmdir()
    assert bundled.find(model) == model / "snapshots/aaa"
    (model / "snapshots/aaa").rmdir()
    with pytest.raises(WeightsError, match="has no snapshot: its download did not finish"):
        bundled.find(model)


def test_a_ref_that_leads_out_of_the_cache_is_not_followed(hub):
    (hub / "models--owner--name/refs/main").write_text("../../..")
    with pytest.raises(WeightsError, match="holds 2 snapshots"):
        bundled.find(hub)


def test_a_cache_of_several_models_lists_them(hub):
    (hub / "models--other--one/snapshots/x").mkdir(parents=True)
    with pytest.raises(WeightsError, match=r"hub: is a cache of 2 models; give the folder of one: models--o"):
        bundled.find(hub)


def test_a_run_in_a_snapshot_has_its_roles(hub):
    snapshot = hub / "models--owner--name/snapshots/aaa"
    for role in ("base", "control"):
        (snapshot / f"{role}.safetensors").touch()
    assert bundled.find(hub, role="base") == snapshot / "base.safetensors"


MISSING = [
    ("owner/name-1", "owner/name-1: no such file or folder, and cn does not ask model hubs; to use a repository"),
    ("owner/name-1", "hf download owner/name-1 --local-dir name-1, then give name-1"),
    ("owner/model.safetensors", "no such weights file; give the path of a file or folder of weights, or a name"),
    ("here/name", "here/name: no such weights file"),
    ("https://x.org/a.safetensors", "is a URL; download the file and give its path"),
    ("cany", "no weights are called 'cany': did you mean canny? bundled are"),
    ("modle.safetensors", "did you mean model.safetensors? give the path"),
    ("nothing", "no weights are called 'nothing': bundled are"),
    ("", "no weights are called ''"),
    ("a.pkl", "a.pkl: no such weights file; give the path of a file or folder of weights"),
]


@pytest.mark.parametrize(("text", "words"), MISSING)
def test_what_is_missing_says_what_to_do(tmp_path, monkeypatch, text, words):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "none"))
    (tmp_path / "here").mkdir()
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(WeightsError) as caught:
        bundled.find(text)
    assert words in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_repository_in_the_cache_is_found_there(hub, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_HUB_CACHE", str(hub))
    with pytest.raises(WeightsError, match=rf"it is in the cache .*: give {hub}/models--owner--name"):
        bundled.find("owner/name")
