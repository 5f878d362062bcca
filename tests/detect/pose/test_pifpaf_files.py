"""OpenPifPaf's files, which are pickled networks: read without executing anything, and converted."""

import functools
import json
import os
import sys
import types

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from cn.archives.archive import open_archive
from cn.archives.entries import load_tensor
from cn.archives.write import write_safetensors
from cn.detect.nets.loading import load_net
from cn.detect.nets.pifpaf import ShuffleNetV2K16, ShuffleNetV2K30, _PifPaf, _ShuffleNetV2K
from cn.detect.pose.pifpaf_convert import METADATA, safetensors_of
from cn.errors import InputError, WeightsError
from cn.files import sha256
from cn.weights import catalog
from tests.golden.make_detectors_pifpaf import fill
from tests.helpers.pifpaf_pickles import pretended, whole, write

FORMATS = pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])

PUBLISHED = [catalog.find(name).file for name in ("pifpaf-k16", "pifpaf-k30")]


@functools.cache
def network():
    """A network with deterministic weights (shared between tests: never change it)."""
    return fill(ShuffleNetV2K16()).requires_grad_(False)


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    return write(network(), tmp_path_factory.mktemp("pifpaf") / PUBLISHED[0])


def same(ours, theirs):
    state, expected = ours.state_dict(), theirs.state_dict()
    assert list(state) == list(expected)
    assert all(torch.equal(state[name], expected[name]) for name in expected)


def convert_pifpaf(path, out):
    write_safetensors(out, *safetensors_of(open_archive(path)))


def refused(path, error=WeightsError):
    with pytest.raises(error) as refusal:
        load_net("openpifpaf", path)
    assert "\n" not in str(refusal.value)
    assert str(refusal.value).startswith(str(path))
    return str(refusal.value)


# Published files


@FORMATS
def test_a_published_file_is_opened(tmp_path, zipped):
    opened = load_net("openpifpaf", write(network(), tmp_path / "any name.pkl", zipped=zipped))
    assert type(opened) is ShuffleNetV2K16
    assert not opened.training
    assert not any(p.requires_grad for p in opened.parameters())
    same(opened, network())


def test_names_equal_those_of_the_published_state_dict(published):
    with pretended() as classes:
        expected = whole(network(), classes).state_dict()
    archive = open_archive(published)
    assert set(archive.entries) == set(expected)
    for name, entry in archive.entries.items():
        assert torch.equal(load_tensor(entry), expected[name]), name
    assert archive.extras == {
        "model": "openpifpaf.network.nets.Shell: the weights",
        "epoch": "250",
        "meta": "dict of 1 (args)",
    }


def test_the_larger_network_is_identified_by_its_blocks(tmp_path):
    path = write(ShuffleNetV2K30(), tmp_path / PUBLISHED[1])
    assert type(load_net("openpifpaf", path)) is ShuffleNetV2K30
    assert round(path.stat().st_size / 2**20, 0) == 115


def test_the_file_is_as_large_as_the_published_one(published):
    # Heads of version 3 would make it 39.3.
    assert abs(published.stat().st_size / 2**20 - 38.9) < 0.1


@FORMATS
def test_heads_of_version_3_are_identified_by_their_channels(tmp_path, zipped):
    old = fill(ShuffleNetV2K16(3))
    opened = load_net("openpifpaf", write(old, tmp_path / "v0.12.pkl", "CompositeField3", zipped))
    same(opened, old)
    x = torch.zeros(1, 3, 33, 17)
    with torch.inference_mode():
        assert all(torch.equal(a, b) for a, b in zip(opened(x), old(x), strict=True))


def test_plain_state_dicts_are_accepted(tmp_path):
    state = network().state_dict()
    save_file(state, tmp_path / "a.safetensors")
    torch.save({f"module.{name}": value.half() for name, value in state.items()}, tmp_path / "half.pth")
    same(load_net("openpifpaf", tmp_path / "a.safetensors"), network())
    half = load_net("openpifpaf", tmp_path / "half.pth").state_dict()
    assert half["base_net.conv5.0.weight"].dtype == torch.float32
    assert torch.equal(half["base_net.conv5.0.weight"], state["base_net.conv5.0.weight"].half().float())


# Files that are none


class Running:
    """Runs a command when it is unpickled without restrictions."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@FORMATS
@pytest.mark.parametrize("where", ["beside", "head", "hook", "buffer"])
def test_a_malicious_file_is_refused_and_executes_nothing(tmp_path, where, zipped):
    sentinel = tmp_path / "sentinel"
    evil = Running(f"touch {sentinel}")
    changed = fill(ShuffleNetV2K16())
    more = {}
    if where == "beside":
        more["args"] = evil
    elif where == "head":
        changed.head_nets[0].conv.extra = evil
    elif where == "hook":
        changed.base_net.conv5._forward_pre_hooks[0] = evil
    else:
        changed.base_net.conv5[1]._buffers["running_mean"] = evil
    path = write(changed, tmp_path / "evil.pkl", zipped=zipped, **more)
    assert "asks to run posix.system" in refused(path)
    with pytest.raises(WeightsError):
        convert_pifpaf(path, tmp_path / "out.safetensors")
    assert not sentinel.exists()
    assert not (tmp_path / "out.safetensors").exists()
    # Unpickling the file does run it.
    with pretended():
        torch.load(path, weights_only=False)
    assert sentinel.exists()


@pytest.mark.parametrize("module", ["openpifpaf", "openpifpaf.plugins.evil", "openpifpaf.networks", "openpifpaf.train"])
def test_only_network_classes_of_openpifpaf_are_accepted(tmp_path, monkeypatch, module):
    made = types.ModuleType(module)
    made.Thing = type("Thing", (), {"__module__": module})
    for name in {module.rsplit(".", 1)[0], module.split(".")[0]}:
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module, made)
    torch.save({"model": made.Thing(), "epoch": 1}, tmp_path / "a.pkl")
    with pytest.raises(WeightsError, match=f"asks to run {module}.Thing"):
        open_archive(tmp_path / "a.pkl")


def test_the_error_for_another_file_lists_the_suitable_ones(tmp_path):
    save_file({"conv.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    message = refused(tmp_path / "other.safetensors")
    assert all(name in message for name in PUBLISHED)
    with torch.device("meta"):
        k20 = _PifPaf(_ShuffleNetV2K(32, 512, (5, 10, 5), 2048), 2048, 4)
    small = {name: torch.zeros(()) for name in k20.state_dict()}
    save_file(small, tmp_path / "k20.safetensors")
    assert "these are not the weights of this network" in refused(tmp_path / "k20.safetensors")
    assert "no such file" in refused(tmp_path / "missing.pkl")


def test_networks_for_other_keypoints_are_refused(tmp_path):
    state = network().state_dict()
    for head, rows in ((0, 133 * 20), (1, 152 * 32)):
        state[f"head_nets.{head}.conv.weight"] = torch.zeros(rows, 1392, 1, 1)
        state[f"head_nets.{head}.conv.bias"] = torch.zeros(rows)
    save_file(state, tmp_path / "wholebody.safetensors")
    assert "head_nets.0.conv.weight (2660, 1392, 1, 1) instead of (340, 1392, 1, 1)" in refused(
        tmp_path / "wholebody.safetensors"
    )


def test_a_file_that_is_cut_off_is_damaged(published, tmp_path):
    data = published.read_bytes()
    (tmp_path / "cut.pkl").write_bytes(data[: len(data) // 2])
    assert "cut off" in refused(tmp_path / "cut.pkl", InputError)


# Networks in dictionaries, for the reader of pickles


def small():
    return nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))


@FORMATS
def test_the_only_network_in_a_dictionary_is_used(tmp_path, zipped):
    made = small()
    torch.save({"epoch": 3, "net": made, "lr": 0.1}, tmp_path / "a.pt", _use_new_zipfile_serialization=zipped)
    archive = open_archive(tmp_path / "a.pt")
    assert set(archive.entries) == set(made.state_dict())
    assert archive.extras == {
        "epoch": "3",
        "net": "torch.nn.modules.container.Sequential: the weights",
        "lr": "0.1",
    }


@pytest.mark.parametrize("more", [{"ema": small()}, {"weights": {"a": torch.ones(1)}}, {"a": torch.ones(1)}], ids=list)
def test_a_network_with_other_weights_in_the_file_is_refused(tmp_path, more):
    torch.save({"net": small(), **more}, tmp_path / "a.pt")
    archive = open_archive(tmp_path / "a.pt")
    assert set(archive.entries) == ({"a"} if "ema" not in more else set())
    assert archive.extras["net"] == "torch.nn.modules.container.Sequential"


# Conversion


def test_a_converted_file_holds_the_same_network_and_its_source(published, tmp_path):
    out = tmp_path / "k16.safetensors"
    convert_pifpaf(published, out)
    same(load_net("openpifpaf", out), network())
    expected = network().state_dict()
    loaded = load_file(out)
    assert set(loaded) == set(expected)
    assert all(torch.equal(loaded[name], expected[name]) for name in loaded)
    assert {value.dtype for value in loaded.values()} == {torch.float32, torch.int64}
    with safe_open(out, "pt") as file:
        metadata = file.metadata()
    assert metadata["format"] == "pt"
    assert json.loads(metadata[METADATA]) == {
        "kind": "openpifpaf",
        "network": "ShuffleNetV2K16",
        "source": PUBLISHED[0],
        "source_sha256": sha256(published),
        "license": "AGPL-3.0",
    }
    convert_pifpaf(published, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == out.read_bytes()


def test_a_failed_conversion_leaves_no_file(published, tmp_path):
    save_file({"conv.weight": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="holds no openpifpaf network"):
        convert_pifpaf(tmp_path / "other.safetensors", tmp_path / "out.safetensors")
    state = network().state_dict()
    state["base_net.conv5.0.weight"] = torch.full_like(state["base_net.conv5.0.weight"], np.nan)
    save_file(state, tmp_path / "broken.safetensors")
    with pytest.raises(
        InputError, match=r"damaged weights: base_net\.conv5\.0\.weight holds values that are not finite"
    ):
        convert_pifpaf(tmp_path / "broken.safetensors", tmp_path / "out.safetensors")
    with pytest.raises(InputError, match="cannot be written"):
        convert_pifpaf(published, tmp_path / "missing" / "out.safetensors")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["broken.safetensors", "other.safetensors"]
