"""Large-scale training that begins during a run (§3.4): exact, resumable, and the base is written from then on."""

import re

import pytest

from cn.checkpoints.read.load import open_base
from cn.errors import UsageError
from cn.train.config import TrainConfig
from cn.train.divergence import trained_norm
from cn.train.run import plan, warnings
from cn.train.run_folder import find_state
from tests.conftest import write_pairs
from tests.helpers import latent_caches
from tests.helpers.training import Listener, begin, resume, same, train, weights


def moments(run):
    return weights(find_state(run).folder, "optimizer")


def same_runs(one, other) -> bool:
    """Whether two runs ended with the same weights and the same state of the optimizer, bit for bit."""
    return all(same(weights(one, name), weights(other, name)) for name in ("control", "base")) and same(
        moments(one), moments(other)
    )


def test_the_base_is_locked_before_and_trained_after(tmp_path, tiny_base_file, pair_set):
    run, written = tmp_path / "run", list[bool]()
    listener = Listener(lambda result: written.append((run / "base.safetensors").exists()))
    train(begin(run, tiny_base_file, pair_set, steps=4, save_every=1, large_scale_after=2), listener)
    # A result comes before its state is saved: at step 3, the state of step 2 is the newest.
    assert written == [False, False, True, True]
    assert TrainConfig.load(run).unlock == "all"
    assert any("the base is trained too" in note for note in listener.notes)
    base, original = open_base(run / "base.safetensors"), open_base(tiny_base_file)
    assert not same(base.unet.state_dict(), original.unet.state_dict())
    assert same(base.vae.state_dict(), original.vae.state_dict())
    locked = tmp_path / "locked"
    train(begin(locked, tiny_base_file, pair_set, steps=2))
    early = tmp_path / "early"
    train(begin(early, tiny_base_file, pair_set, steps=2, large_scale_after=3))
    assert same(weights(locked), weights(early))
    assert not (early / "base.safetensors").exists()


def test_moments_of_the_base_are_fresh_where_it_is_unlocked(tmp_path, tiny_base_file, pair_set):
    run = tmp_path / "run"
    train(begin(run, tiny_base_file, pair_set, steps=3, large_scale_after=2, unlock="decoder"))
    steps = {name: float(value) for name, value in moments(run).items() if name.endswith("/step")}
    assert {value for name, value in steps.items() if name.startswith("control.")} == {3.0}
    assert {value for name, value in steps.items() if name.startswith("unet.")} == {1.0}
    assert all(name.startswith(("control.", "unet.decoder.")) for name in steps)


@pytest.mark.parametrize("stops", [(1,), (2,), (3,), (1, 2, 3)])
def test_resumed_before_at_and_after_the_boundary_bit_for_bit(tmp_path, tiny_base_file, pair_set, stops, uninterrupted):
    run = tmp_path / "run"
    train(begin(run, tiny_base_file, pair_set, steps=stops[0], large_scale_after=2))
    for steps in (*stops[1:], 4):
        train(resume(run, steps=steps))
    assert same_runs(run, uninterrupted)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory, tiny_base_file, pair_set):
    """Four steps, the base unlocked after two of them."""
    run = tmp_path_factory.mktemp("runs") / "uninterrupted"
    train(begin(run, tiny_base_file, pair_set, steps=4, large_scale_after=2))
    return run


@pytest.mark.parametrize(
    "given",
    [
        {"precision": "bf16"},
        {"precision": "bf16", "unlock": "decoder", "ema": 0.5},
        {"accumulate": 2, "max_grad_norm": 0.5, "checkpoint_activations": True},
    ],
    ids=["held in half precision", "averaged", "accumulated, clipped and recomputed"],
)
def test_with_other_options_a_resumed_run_is_the_same_bit_for_bit(tmp_path, tiny_base_file, pair_set, given):
    once, resumed = tmp_path / "once", tmp_path / "resumed"
    train(begin(once, tiny_base_file, pair_set, steps=4, large_scale_after=2, **given))
    train(begin(resumed, tiny_base_file, pair_set, steps=1, large_scale_after=2, **given))
    for steps in (2, 3, 4):
        train(resume(resumed, steps=steps))
    assert same_runs(once, resumed)


def test_a_finished_run_continues_with_its_base(tmp_path, tiny_base_file, pair_set, uninterrupted):
    """`--resume RUN --large-scale` from step 2 on is the same as `--large-scale-after 2` from the start."""
    run = tmp_path / "run"
    train(begin(run, tiny_base_file, pair_set, steps=2))
    assert not (run / "base.safetensors").exists()
    task = resume(run, steps=4, unlock="all")
    assert task.config.large_scale_after == 2
    train(task)
    assert same_runs(run, uninterrupted)
    assert TrainConfig.load(run).large_scale_after == 2
    assert resume(run, unlock="all").config == TrainConfig.load(run)
    with pytest.raises(UsageError, match="--unlock cannot change in a resumed run"):
        resume(run, unlock="decoder")
    with pytest.raises(UsageError, match="--large-scale-after cannot change"):
        resume(run, large_scale_after=9)


def test_the_step_may_be_chosen_until_it_is_reached(tmp_path, tiny_base_file, pair_set):
    run = tmp_path / "run"
    train(begin(run, tiny_base_file, pair_set, steps=2, large_scale_after=5))
    assert resume(run, steps=9, large_scale_after=3).config.large_scale_after == 3
    assert (
        resume(run, steps=9, unlock="decoder").config
        == resume(run, steps=9, unlock="decoder", large_scale_after=2).config
    )
    later = tmp_path / "later"
    train(begin(later, tiny_base_file, pair_set, steps=1, large_scale_after=5, unlock="decoder"))
    assert resume(later, steps=9, large_scale_after=3).config.unlock == "decoder"
    with pytest.raises(UsageError, match="--large-scale-after 1 is over: the run has 2 steps"):
        resume(run, steps=9, large_scale_after=1)


def test_small_scale_reconnected_and_then_with_the_base(tmp_path, tiny_base_file, pair_set):
    """All regimes of §3.4 in one folder."""
    run = tmp_path / "run"
    train(begin(run, tiny_base_file, pair_set, steps=1, links="middle"))
    train(resume(run, steps=2, reconnect=True))
    train(resume(run, steps=4, unlock="decoder", large_scale_after=3))
    config = TrainConfig.load(run)
    assert (config.links, config.unlock, config.large_scale_after) == ("full", "decoder", 3)
    steps = {name: float(value) for name, value in moments(run).items() if name.endswith("/step")}
    assert (steps["control.zero_middle.weight/step"], steps["control.zero_convolutions.0.weight/step"]) == (4, 3)
    assert steps["unet.decoder.conv_out.weight/step"] == 1


def test_growth_is_measured_from_where_the_base_was_unlocked(tmp_path, tiny_base_file, pair_set):
    run = tmp_path / "run"
    task = begin(run, tiny_base_file, pair_set, steps=2, large_scale_after=1, save_every=1)
    control_alone = trained_norm(task.networks)
    train(task)
    assert find_state(run).start_norm == pytest.approx(trained_norm(task.networks), rel=0.05)
    assert find_state(run).start_norm > control_alone * 1.2


def test_a_cache_does_not_keep_the_encoder_from_the_saved_base(tmp_path, tiny_base_file, pair_set):
    data = write_pairs(tmp_path / "pairs", 4)
    latent_caches.make(data, tiny_base_file)
    run = tmp_path / "run"
    task = begin(run, tiny_base_file, data, steps=2, large_scale_after=1)
    assert task.cache is not None
    train(task)
    original = open_base(tiny_base_file)
    assert same(open_base(run / "base.safetensors").vae.state_dict(), original.vae.state_dict())
    locked = tmp_path / "locked"
    train(begin(locked, tiny_base_file, data, steps=1))
    train(resume(locked, steps=2, unlock="all"))
    assert same_runs(locked, run)


def test_the_plan_says_both_phases(tmp_path, tiny_base_file, pair_set):
    rows = plan(begin(tmp_path / "run", tiny_base_file, pair_set, steps=9, large_scale_after=5, unlock="decoder"))
    assert "base" not in rows["trained"]
    assert rows["large-scale"].startswith("after 5 steps the base's decoder is trained too: then ")
    assert re.match(r"about ([\d.]+) MB → ([\d.]+) MB \(after 5 steps\) in addition", rows["memory"])
    assert " → " in rows["saves"]
    task = begin(tmp_path / "run", tiny_base_file, pair_set, steps=5, large_scale_after=7)
    assert "--large-scale-after 7 is not reached" in warnings(task)[0]
    short = plan(task)
    assert "this run ends before that" in short["large-scale"]
    assert "→" not in short["memory"] + short["saves"]
    at_once = plan(begin(tmp_path / "run", tiny_base_file, pair_set, steps=5, unlock="decoder"))
    assert at_once.get("large-scale") is None
    assert "the base's decoder" in at_once["trained"]
