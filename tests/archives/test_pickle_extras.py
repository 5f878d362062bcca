"""Pickled weights: everything but tensors is described in a few words and never created."""

import argparse
import datetime
import sys
import types
from collections import Counter, OrderedDict, defaultdict, deque
from pathlib import Path

import numpy as np
import pytest
import torch

from cn.archives.archive import open_archive
from tests.helpers.torch_saved import same, saved


def test_keys_that_are_no_texts_become_texts(tmp_path):
    archive = open_archive(saved({1: torch.ones(1), (2, "x"): "y", None: torch.ones(2)}, tmp_path / "a.pth"))
    assert list(archive.entries) == ["1", "None"]
    assert archive.extras == {"a tuple": "y"}


def test_other_values_are_described_in_a_few_words(tmp_path):
    value = {
        "weight": torch.ones(1),
        "text": "a\nb\x1b[31m" + "x" * 500,
        "float": 0.5,
        "yes": True,
        "long": 1 << 3000,
        "bytes": b"123",
        "set": {1, 2},
        "frozen": frozenset([1]),
        "tuple": (1, 2, 3),
        "many": dict.fromkeys("abcde"),
        "ordered": OrderedDict(a=1),
        "default": defaultdict(list, {"a": [1]}),
        "counter": Counter("aab"),
        "deque": deque([1, 2], maxlen=5),
        "size": torch.Size([3, 4]),
        "dtype": torch.float16,
        "device": torch.device("cpu"),
        "complex": 1 + 2j,
        "a class": dict,
        "range": range(10**12),
        "array": bytearray(3),
    }
    archive = open_archive(saved(value, tmp_path / "a.pth"))
    assert list(archive.entries) == ["weight"]
    assert archive.extras.pop("text") == "a?b?[31m" + "x" * 91 + "…"
    assert archive.extras == {
        "float": "0.5",
        "yes": "True",
        "long": "a long number",
        "bytes": "_codecs.encode",
        "set": "set of 2",
        "frozen": "set of 1",
        "tuple": "tuple of 3",
        "many": "dict of 5 (a, b, c, …)",
        "ordered": "dict of 1 (a)",
        "default": "dict of 1 (a)",
        "counter": "dict of 2 (a, b)",
        "deque": "list of 2",
        "size": "tuple of 2",
        "dtype": "torch.float16",
        "device": "torch.device",
        "complex": "builtins.complex",
        "a class": "builtins.dict",
        "range": "builtins.xrange",
        "array": "builtins.bytearray",
    }


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_what_trainers_leave_behind_is_only_named(tmp_path, monkeypatch, protocol, new):
    """A checkpoint as pytorch_lightning writes it; none of its classes exists when it is read."""
    made = types.ModuleType("pytorch_lightning.callbacks.model_checkpoint")
    for name in ("pytorch_lightning", "pytorch_lightning.callbacks"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, made.__name__, made)
    for name in ("ModelCheckpoint", "Config"):
        setattr(made, name, type(name, (), {"__module__": made.__name__}))
    made.Listed = type("Listed", (list,), {"__module__": made.__name__})
    made.Table = type("Table", (dict,), {"__module__": made.__name__})
    config = made.Config()
    config.inner = {"a": [made.Config()], "path": Path("/data"), "shape": np.zeros((2, 2))}
    weights = {"model.a": torch.randn(2, 3), "model_ema.decay": torch.tensor(0.9)}
    checkpoint = {
        "epoch": 12,
        "global_step": 840000,
        "pytorch-lightning_version": "1.4.2",
        "state_dict": weights,
        "callbacks": {made.ModelCheckpoint: {"best_model_score": np.float32(0.25), "monitor": "loss"}},
        "optimizer_states": [{"state": {0: {"step": 3, "exp_avg": torch.ones(4)}}, "param_groups": [{"lr": 0.1}]}],
        "lr_schedulers": [{"lr": np.float64(0.5)}],
        "hyper_parameters": config,
        "arguments": argparse.Namespace(lr=1e-4, names=["a"]),
        "listed": made.Listed([1, 2]),
        "table": made.Table(a=1),
        "score": np.float64(0.5),
        "curve": np.arange(5.0),
        "kind": np.dtype("float32"),
    }
    path = saved(checkpoint, tmp_path / "a.ckpt", pickle_protocol=protocol, _use_new_zipfile_serialization=new)
    for name in ("pytorch_lightning", "pytorch_lightning.callbacks", made.__name__):
        monkeypatch.delitem(sys.modules, name)
    archive = open_archive(path)
    same(archive, weights)
    left = archive.extras
    assert left["callbacks"] == "dict of 1 (pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint)"
    assert left["hyper_parameters"] == "pytorch_lightning.callbacks.model_checkpoint.Config"
    assert left["listed"] == "pytorch_lightning.callbacks.model_checkpoint.Listed"
    assert left["table"] == "pytorch_lightning.callbacks.model_checkpoint.Table"
    assert left["global_step"] == "840000"
    assert left["arguments"] == "argparse.Namespace"
    assert left["score"].endswith("multiarray.scalar")
    assert left["curve"].endswith("multiarray._reconstruct")
    assert left["kind"] == "numpy.dtype"
    assert set(left) == set(checkpoint) - {"state_dict"}
    assert "pytorch_lightning" not in sys.modules


@pytest.mark.parametrize("protocol", [2, 5])
def test_times_and_random_states_are_only_named(tmp_path, protocol):
    """When a run was, and where its random numbers were: old trainers keep both."""
    now = datetime.datetime(2023, 2, 10, 12, tzinfo=datetime.UTC)
    states = [np.random.RandomState(1), np.random.default_rng(1), np.random.Philox(1)]
    left = {"date": now, "took": datetime.timedelta(hours=3), "random": states, "day": now.date(), "drawn": states[1]}
    path = saved({"state_dict": {"a": torch.ones(2)}, **left}, tmp_path / "a.ckpt", pickle_protocol=protocol)
    archive = open_archive(path)
    same(archive, {"a": torch.ones(2)})
    assert archive.extras["date"] == "datetime.datetime"
    assert archive.extras["took"] == "datetime.timedelta"
    assert archive.extras["drawn"] == "numpy.random._pickle.__generator_ctor"
    assert set(archive.extras) == set(left)
