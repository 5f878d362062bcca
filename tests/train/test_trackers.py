"""TensorBoard by default, and W&B when asked for: what they get over several sessions; they end no training."""

import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from cn import images
from cn.errors import UsageError
from cn.train.divergence import DivergedError
from cn.train.evaluation.records import read_evaluations
from cn.train.request import check_request
from cn.train.trackers.tensorboard import EVENTS
from cn.train.trainer import PendingStep
from tests.helpers.evaluations import scripted
from tests.helpers.training import Listener, begin, resume, train


def events(run: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(run / EVENTS), size_guidance={"scalars": 0, "images": 0})
    return accumulator.Reload()


@pytest.mark.usefixtures("quick_previews")
def test_tensorboard_gets_steps_scores_and_previews(tmp_path, tiny_base_file, pair_set, monkeypatch):
    scripted(monkeypatch, {2: 0.25, 4: 0.5})
    run, listener = tmp_path / "run", Listener()
    given = {"steps": 4, "eval_every": 2, "eval_images": 5, "preview_every": 4}
    train(begin(run, tiny_base_file, pair_set, **given), listener)
    found = events(run)
    losses = [(one.step, pytest.approx(one.value)) for one in found.Scalars("train/loss")]
    assert losses == [(result.step, result.loss) for result in listener.results]
    assert [one.step for one in found.Scalars("train/loss_smoothed")] == [1, 2, 3, 4]
    assert [one.value for one in found.Scalars("train/grad_norm")] == pytest.approx(
        [result.grad_norm for result in listener.results]
    )
    assert [one.value for one in found.Scalars("train/learning_rate")] == pytest.approx([1e-3] * 4)
    speeds = zip(found.Scalars("speed/images_per_second"), found.Scalars("speed/seconds_per_step"), strict=True)
    assert all(images.value * seconds.value == pytest.approx(2, rel=1e-4) for images, seconds in speeds)
    name = "evaluation/edge_f1_with_the_image"
    assert [(one.step, one.value) for one in found.Scalars(name)] == [(2, 0.25), (4, 0.5)]
    assert [(one.step, pytest.approx(one.value)) for one in found.Scalars(f"{name}_without_control")] == [(0, 0.2)]
    sheets = found.Images("preview")
    assert [one.step for one in sheets] == [0, 4]
    written = images.read(run / "previews/step-000004.png")
    assert np.array_equal(images.decode(sheets[1].encoded_image_string, "event"), written)
    assert (sheets[1].height, sheets[1].width) == written.shape[:2]


def test_a_resumed_run_has_each_step_once(tmp_path, tiny_base_file, pair_set):
    """Killed after step 5, it goes on from step 3."""

    def kill(result):
        if result.step == 5:
            raise KeyboardInterrupt

    run = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        train(begin(run, tiny_base_file, pair_set, steps=7, save_every=3), Listener(kill))
    assert [one.step for one in events(run).Scalars("train/loss")] == [1, 2, 3, 4, 5]
    train(resume(run))
    assert [one.step for one in events(run).Scalars("train/loss")] == [1, 2, 3, 4, 5, 6, 7]


def test_a_run_that_goes_back_has_each_step_once(tmp_path, tiny_base_file, pair_set, monkeypatch):
    """From step 14 to 12, where it diverges."""
    numbers, spoiled = PendingStep.numbers, [14]

    def diverged_once(self):
        if self.step in spoiled:
            spoiled.clear()
            raise DivergedError("the loss is not a finite number", 12)
        return numbers(self)

    monkeypatch.setattr(PendingStep, "numbers", diverged_once)
    run, listener = tmp_path / "run", Listener()
    given = {"steps": 16, "save_every": 4, "eval_every": 4, "eval_images": 2, "batch_size": 1}
    scripted(monkeypatch, {4: 0.3, 8: 0.5, 12: 0.4, 16: 0.4}, images=2)
    train(begin(run, tiny_base_file, pair_set, **given), listener)
    assert any("the run goes on from the state after step" in warning for warning in listener.warnings)
    found = events(run)
    assert [one.step for one in found.Scalars("train/loss")] == list(range(1, 17))
    assert [one.step for one in found.Scalars("evaluation/edge_f1_with_the_image")] == [4, 8, 12, 16]
    assert [one.step for one in read_evaluations(run)] == [0, 4, 8, 12, 16]


def test_a_missing_tensorboard_is_said_once_and_is_no_failure(tmp_path, tiny_base_file, pair_set, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    listener = Listener()
    assert train(begin(tmp_path / "run", tiny_base_file, pair_set, steps=2), listener).step == 2
    assert len([note for note in listener.notes if "controlnet-cn[tensorboard]" in note]) == 1
    assert not (tmp_path / "run" / EVENTS).exists()


class FakeRun:
    """A W&B run, which can lose its connection."""

    def __init__(self) -> None:
        self.logged: list[tuple[int, dict[str, Any]]] = []
        self.finished = 0
        self.broken: Exception | None = None

    def log(self, values: dict[str, Any], step: int) -> None:
        if self.broken is not None:
            raise self.broken
        self.logged.append((step, values))

    def finish(self) -> None:
        self.finished += 1


class Closed(Exception):
    """The background process has gone."""


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A package like wandb, which records how it is called in `calls` and logs into `run`."""
    module: Any = ModuleType("wandb")
    module.__spec__ = SimpleNamespace(name="wandb")
    module.Error = type("Error", (Exception,), {})
    module.Settings, module.Image = SimpleNamespace, lambda path: ("image", Path(path).name)
    module.run, module.calls, module.refuse = FakeRun(), [], None

    def init(**given: Any) -> FakeRun:
        module.calls.append(given)
        if module.refuse is not None:
            raise module.refuse
        return module.run

    module.init = init
    mailbox: Any = ModuleType("wandb.sdk.mailbox")
    mailbox.MailboxClosedError = Closed
    for name, one in (("wandb", module), ("wandb.sdk", ModuleType("wandb.sdk")), ("wandb.sdk.mailbox", mailbox)):
        monkeypatch.setitem(sys.modules, name, one)
    return module


@pytest.mark.usefixtures("quick_previews")
def test_wandb_gets_the_run_and_goes_on_with_it(tmp_path, tiny_base_file, pair_set, wandb, monkeypatch):
    scripted(monkeypatch, {2: 0.5, 4: 0.5})
    run = tmp_path / "mine"
    given = {"steps": 2, "eval_every": 2, "eval_images": 5, "preview_every": 2, "wandb": "controls"}
    train(begin(run, tiny_base_file, pair_set, **given))
    train(resume(run, steps=4))
    first, second = wandb.calls
    assert (first["project"], first["name"], first["dir"], first["resume"]) == ("controls", "mine", str(run), "allow")
    assert first["config"]["lr"] == 1e-3
    assert first["id"] == second["id"] == (run / "wandb-id.txt").read_text()
    steps = [(step, values["train/loss"]) for step, values in wandb.run.logged if "train/loss" in values]
    assert [step for step, _ in steps] == [1, 2, 3, 4]
    assert (2, {"evaluation/edge_f1_with_the_image": 0.5}) in wandb.run.logged
    assert (2, {"preview": ("image", "step-000002.png")}) in wandb.run.logged
    assert wandb.run.finished == 2


@pytest.mark.parametrize("failure", [ConnectionResetError("gone"), Closed("gone"), "Error"])
@pytest.mark.parametrize("when", ["start", "later"])
def test_a_failing_wandb_is_said_once_and_ends_no_training(when, failure, tmp_path, tiny_base_file, pair_set, wandb):
    failure = wandb.Error("gone") if failure == "Error" else failure
    if when == "start":
        wandb.refuse = failure
    else:
        wandb.run.broken = failure
    listener = Listener()
    assert train(begin(tmp_path / "run", tiny_base_file, pair_set, steps=3, wandb="controls"), listener).step == 3
    assert [text for text in listener.warnings if "Weights & Biases is left out from here on: gone" in text] != []
    assert len([text for text in listener.warnings if "Weights & Biases" in text]) == 1
    assert wandb.run.logged == []


def test_wandb_that_is_not_installed_is_said_before_anything_is_loaded(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"--wandb needs the package wandb: pip install 'controlnet-cn\[wandb\]'"):
        check_request({"cond": "depth", "wandb": "controls"})


def test_no_package_is_loaded_that_was_not_asked_for(tmp_path, tiny_base_file, pair_set, monkeypatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert train(begin(tmp_path / "run", tiny_base_file, pair_set, steps=1)).step == 1
