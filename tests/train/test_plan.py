"""The plan of a run: only what differs from the defaults, and what to expect."""

from dataclasses import fields, replace

import pytest

from cn.model.config import PRESETS, ModelConfig
from cn.train.config import TrainConfig
from cn.train.plan import plan_rows
from cn.train.plan_options import ROWS, option_rows
from cn.train.run import plan
from tests.helpers.training import begin

CONFIG = TrainConfig(cond="canny", base="b", base_sha256="", size=64, steps=3, lr=1e-3)

GIVEN = {
    "random_thresholds": (False, "100 and 200"),
    "global_batch": (64, "64 images per step"),
    "max_hours": (1.5, "after 1.5 hours"),
    "schedule": ("cosine", "towards zero until the last step (cosine)"),
    "warmup": (2, "in 2 steps"),
    "optimizer": ("adamw8bit", "8 bits"),
    "betas": ((0.8, 0.95), "0.8, 0.95"),
    "adam_eps": (1e-6, "1e-06"),
    "weight_decay": (0.1, "0.1"),
    "max_grad_norm": (1.0, "norm above 1"),
    "min_snr": (5.0, "γ = 5"),
    "noise_offset": (0.05, "0.05"),
    "ema": (0.999, "decay 0.999"),
    "kernels": (True, "half precision"),
    "deterministic": (True, "same bits"),
    "shard_base": (True, "distributed"),
    "preview_cond": (("a.png", "b.png"), "your 2 conditions"),
    "wandb": ("mine", "project mine"),
}


@pytest.mark.parametrize("name", GIVEN)
def test_an_option_has_a_row_only_where_it_is_not_the_default(name):
    value, words = GIVEN[name]
    row, _, _ = ROWS[name]
    assert row not in option_rows(CONFIG)
    _, text = option_rows(replace(CONFIG, **{name: value}))[row]
    assert words in text


def test_every_row_is_tested_and_belongs_behind_one_that_exists(tmp_path, tiny_base_file, pair_set):
    assert GIVEN.keys() == ROWS.keys()
    assert ROWS.keys() <= {field.name for field in fields(TrainConfig)}
    rows = plan(begin(tmp_path / "run", tiny_base_file, pair_set))
    assert {after for _, after, _ in ROWS.values()} <= rows.keys()


def test_rows_stand_behind_what_they_belong_to(tmp_path, tiny_base_file, pair_set):
    given = {"warmup": 5, "max_grad_norm": 1.0, "deterministic": True}
    names = list(plan(begin(tmp_path / "run", tiny_base_file, pair_set, steps=9, **given)))
    assert names[names.index("computing") + 1] == "deterministic"
    assert names[names.index("learning rate") + 1 :][:2] == ["warm-up", "clipping"]


def test_thresholds_are_no_matter_of_other_data():
    assert option_rows(replace(CONFIG, random_thresholds=False, data=("x",))) == {}
    assert option_rows(replace(CONFIG, random_thresholds=False, cond="depth")) == {}
    (words,) = option_rows(replace(CONFIG, random_thresholds=False, cond="scribble")).values()
    assert words == ("data", "lines are drawn the same way for all scenes")


def test_a_small_scale_run_on_a_base_whose_middle_controls_nothing_says_so(tmp_path, tiny_base_file, pair_set):
    task = begin(tmp_path / "run", tiny_base_file, pair_set, links="middle", steps=5)
    assert plan(task)["expect"] is None
    base = replace(task.networks.base, config=replace(task.networks.base.config, middle_controls=False))
    networks = replace(task.networks, base=base)
    rows = plan_rows(task.run, networks, task.config, task.source, step=0)
    assert rows["expect"].startswith("no control before --reconnect")
    full = begin(tmp_path / "run", tiny_base_file, pair_set, steps=5)
    rows = plan_rows(full.run, replace(full.networks, base=base), full.config, full.source, step=0)
    assert rows["expect"] is None


def test_which_bases_have_a_middle_that_controls():
    assert [name for name, config in PRESETS.items() if not config.middle_controls] == ["scenes"]
    for name, config in PRESETS.items():
        assert ModelConfig.from_dict(config.to_dict()) == config
        header = {k: v for k, v in config.to_dict().items() if k != "middle_controls"}
        assert ModelConfig.from_dict(header).middle_controls == (name != "scenes"), "as written by version 0.1"
