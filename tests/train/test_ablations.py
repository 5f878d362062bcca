"""The ablations of Fig. 20: the baseline without a ControlNet, and zero convolutions that do not start at zero."""

import pytest
import torch
from safetensors import safe_open

from cn import app, images
from cn.checkpoints.read.inspection import inspect
from cn.checkpoints.read.load import open_base, open_control
from cn.errors import UsageError, WeightsError
from cn.model.concat import ConcatBaseline
from cn.train.latent_batches import micro_batches
from cn.train.memory import estimate_memory
from cn.train.run import plan
from cn.train.run_folder import find_state
from cn.train.trainer import batch_loss
from tests.helpers.model_helpers import TINY
from tests.helpers.training import begin, resume, same, train, weights


@pytest.fixture(scope="session")
def tiny_base_file(tiny_sd_file):
    return tiny_sd_file


def first_loss(task) -> float:
    batch = next(micro_batches(task.source, task.networks.base, task.config, 0, workers=0, skip=pytest.fail))
    with torch.no_grad():
        return batch_loss(task.networks, task.config, batch, 0, 0).item()


def prediction_changes(control, base) -> bool:
    """Whether a control changes what the base predicts."""
    generator = torch.Generator().manual_seed(0)
    z, hint = torch.randn(1, 4, 8, 8, generator=generator), torch.rand(1, 3, 64, 64, generator=generator)
    t, text = torch.tensor([500]), base.text.encode(["a house"])
    with torch.no_grad():
        return not torch.equal(base.unet(z, t, text, control(z, t, text, hint)), base.unet(z, t, text))


def test_the_baseline_trains_the_whole_unet_and_the_new_channels(tmp_path, tiny_base_file, pair_set):
    run = tmp_path / "run"
    task = begin(run, tiny_base_file, pair_set, steps=3, baseline="concat")
    assert isinstance(task.networks.control, ConcatBaseline)
    assert not prediction_changes(task.networks.control, task.networks.base)
    train(task)
    original, base = open_base(tiny_base_file), open_base(run / "base.safetensors")
    assert all(not p.equal(base.unet.get_parameter(n)) for n, p in original.unet.named_parameters() if p.any())
    assert same(original.text.state_dict(), base.text.state_dict())
    control = open_control(run / "control.safetensors")
    assert control.kind == "depth"
    assert isinstance(control.model, ConcatBaseline)
    assert control.model.channels.weight.any()
    assert prediction_changes(control.model, base)
    with safe_open(run / "base.safetensors", "pt") as file:
        assert '"baseline":"concat"' in file.metadata()["cn"].replace(" ", "")


def test_the_baseline_resumes_bit_for_bit(tmp_path, tiny_base_file, pair_set):
    run, uninterrupted = tmp_path / "run", tmp_path / "uninterrupted"
    train(begin(run, tiny_base_file, pair_set, steps=2, baseline="concat"))
    train(resume(run, steps=3))
    train(begin(uninterrupted, tiny_base_file, pair_set, steps=3, baseline="concat"))
    for name in ("control", "base"):
        assert same(weights(run, name), weights(uninterrupted, name))
    assert same(*(weights(find_state(folder).folder, "optimizer") for folder in (run, uninterrupted)))


def test_the_baseline_is_sampled_planned_inspected_and_kept_apart(tmp_path, tiny_base_file, pair_set, capsys):
    run = tmp_path / "run"
    task = begin(run, tiny_base_file, pair_set, steps=1, baseline="concat", preview_every=1)
    rows = plan(task)
    assert rows["trained"].startswith("no ControlNet: the base's whole U-Net")
    assert rows["connections"] is None
    unet = sum(p.numel() for p in task.networks.base.unet.parameters())
    assert estimate_memory(TINY, task.config).optimizer == 8 * (unet + 9 * 3 * TINY.unet.channels[0])
    train(task)
    assert (run / "previews/step-000001.png").exists()

    words = ["sample", "--control", str(run), "--cond", str(pair_set / "source/0.png"), "-p", "a house", "--steps", "2"]
    for strength in ("1", "0"):
        out = str(tmp_path / f"{strength}.png")
        assert app.run([*words, "--strength", strength, "--out", out, "--device", "cpu", "-q"]) == 0
    assert (images.read(tmp_path / "1.png") != images.read(tmp_path / "0.png")).any()

    report = inspect(run / "control.safetensors")
    assert report.usable
    assert report.condition_encoder is None
    assert any("works only with the base" in warning for warning in report.warnings)
    capsys.readouterr()
    assert app.run(["convert", str(run / "control.safetensors"), str(tmp_path / "x"), "--to", "diffusers"]) == 4
    assert "is no ControlNet but the baseline" in " ".join(capsys.readouterr().err.split())
    with pytest.raises(UsageError, match="trains the whole U-Net from the start"):
        resume(run, steps=2, unlock="all")
    with pytest.raises(WeightsError, match="nothing can start from it"):
        begin(tmp_path / "other", tiny_base_file, pair_set, init_from=str(run / "control.safetensors"))


def test_gaussian_zero_convolutions_change_the_output_before_any_step(tmp_path, tiny_base_file, pair_set):
    def start(**given):
        return begin(tmp_path / "run", tiny_base_file, pair_set, steps=1, **given)

    zero, gaussian = start(), start(zero_init="gaussian")
    assert not prediction_changes(zero.networks.control, zero.networks.base)
    assert prediction_changes(gaussian.networks.control, gaussian.networks.base)
    assert first_loss(gaussian) > 1.05 * first_loss(zero)
    a, b = zero.networks.control.state_dict(), gaussian.networks.control.state_dict()
    changed = {name for name in a if not a[name].equal(b[name])}
    layers = ["condition_encoder.zero", "zero_middle", *(f"zero_convolutions.{i}" for i in range(12))]
    assert changed == {f"{layer}.weight" for layer in layers}
    assert same(start(zero_init="gaussian").networks.control.state_dict(), b)
    assert not same(start(zero_init="gaussian", seed=1).networks.control.state_dict(), b)


def test_gaussian_weights_keep_the_size_of_what_goes_through(tmp_path, tiny_base_file, pair_set):
    control = begin(tmp_path / "run", tiny_base_file, pair_set, zero_init="gaussian").networks.control
    x = torch.randn(8, 64, 16, 16, generator=torch.Generator().manual_seed(0))
    assert control.zero_middle(x).std().item() == pytest.approx(1.0, rel=0.15)
    weight = torch.cat([zero.weight.detach().flatten() * zero.in_channels**0.5 for zero in control.zero_convolutions])
    assert weight.std().item() == pytest.approx(1.0, rel=0.05)
    assert (weight**4).mean().item() == pytest.approx(3.0, rel=0.1)  # A uniform distribution would have 1.8.


def test_links_that_small_scale_leaves_out_stay_zero_with_gaussian_weights(tmp_path, tiny_base_file, pair_set):
    task = begin(tmp_path / "run", tiny_base_file, pair_set, zero_init="gaussian", links="middle", steps=1)
    control = task.networks.control
    assert control.zero_middle.weight.any()
    assert not any(p.any() for p in control.zero_convolutions.parameters())
    assert "Gaussian weights" in plan(task)["trained"]
