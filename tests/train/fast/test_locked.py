"""Locked networks in half precision: what is cast, what is not, what is saved, what it changes."""

from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from cn.checkpoints.read.load import open_base
from cn.checkpoints.write.native import save_base
from cn.model.base import Base
from cn.train import preview
from cn.train.fast.locked import hold_locked, original_tensors, release
from cn.train.latent_batches import micro_batches
from cn.train.preview import Preview
from cn.train.stop import StopRequest
from cn.train.task import Task
from cn.train.trainer import batch_loss
from tests.helpers.model_helpers import tiny_base
from tests.helpers.training import begin, resume, same, train, weights

BF16, FP32 = torch.bfloat16, torch.float32


@pytest.fixture(scope="session")
def tiny_base_file(small_sd_file):
    return small_sd_file


def dtypes(base: Base) -> dict[str, set[torch.dtype]]:
    parts = {
        "encoder": base.unet.encoder,
        "decoder": base.unet.decoder,
        "vae": base.vae.encoder,
        "vae decoder": base.vae.decoder,
        "text": base.text,
    }
    return {name: {p.dtype for p in part.parameters()} for name, part in parts.items()}


@pytest.mark.parametrize(
    ("given", "trained"),
    [
        ({}, set()),
        ({"unlock": "decoder", "links": "full"}, {"decoder"}),
        ({"unlock": "all", "links": "full"}, {"encoder", "decoder"}),
    ],
)
def test_what_is_locked_is_held_in_the_precision_and_what_is_trained_is_not(
    tmp_path, tiny_base_file, pair_set, given, trained
):
    networks = begin(tmp_path / "run", tiny_base_file, pair_set, precision="bf16", **given).networks
    expected = {name: {FP32} if name in trained else {BF16} for name in dtypes(networks.base)}
    assert dtypes(networks.base) == expected
    assert {p.dtype for p in networks.trainable.values()} == {FP32}
    plain = begin(tmp_path / "run", tiny_base_file, pair_set, precision="fp32", **given).networks
    assert set().union(*dtypes(plain.base).values()) == {FP32}


def gradient_of(task: Task) -> tuple[float, torch.Tensor]:
    """Loss and gradient of the first batch, with zero convolutions that are not zero."""
    networks = task.networks
    for zero in (*networks.control.zero_convolutions, networks.control.zero_middle):
        torch.nn.init.constant_(zero.weight, 1e-3)
    batch = next(micro_batches(task.source, networks.base, task.config, 0, workers=0, skip=pytest.fail))
    loss = batch_loss(networks, task.config, batch, 0, 0)
    loss.backward()
    return loss.item(), torch.cat([p.grad.flatten() for p in networks.trainable.values()])


def test_losses_and_gradients_are_those_of_autocast_within_its_rounding(tmp_path, tiny_base_file, pair_set):
    """Both round to bf16: held networks are no further from fp32 than autocast of fp32 weights is."""

    def of(precision: str, *, held: bool = True) -> tuple[float, torch.Tensor]:
        given = {"links": "full", "precision": precision}
        task = begin(tmp_path / "run", tiny_base_file, pair_set, **given)
        if not held:
            fp32 = begin(tmp_path / "run", tiny_base_file, pair_set, **{**given, "precision": "fp32"})
            task = replace(task, networks=replace(fp32.networks, precision=precision))
        return gradient_of(task)

    (exact, gradient), (cast, of_cast), (held, of_held) = of("fp32"), of("bf16", held=False), of("bf16")
    assert held != cast
    # CPUs with bf16 instructions round at other places than those without.
    assert held == pytest.approx(exact, rel=4e-3)
    assert cast == pytest.approx(exact, rel=4e-3)
    from_cast, from_held = (float((g - gradient).norm() / gradient.norm()) for g in (of_cast, of_held))
    assert 0 < from_held < 1.2 * from_cast < 0.3


def test_a_saved_base_has_the_weights_that_it_had_before_it_was_cast(tmp_path, tiny_base_file, pair_set):
    """Large-scale training saves the base: what is locked as it was, bit for bit, although bf16 has lost digits."""
    base = open_base(tiny_base_file)
    with torch.no_grad():
        for network in base.networks.values():
            for parameter in network.parameters():
                parameter.mul_(1 + 1e-3 * torch.rand_like(parameter))
    save_base(tmp_path / "base.safetensors", base, half=False)
    given = {"unlock": "decoder", "links": "full", "precision": "bf16", "steps": 1, "save_every": 1}
    task = begin(tmp_path / "run", tmp_path / "base.safetensors", pair_set, **given)
    rounded = task.networks.base.unet.encoder.state_dict()
    train(task)
    before, after = weights(tmp_path, "base"), weights(tmp_path / "run", "base")
    locked = [name for name in before if not name.startswith("unet.decoder.")]
    assert same({k: before[k] for k in locked}, {k: after[k] for k in locked})
    assert not same({k: before[f"unet.encoder.{k}"] for k in rounded}, {k: v.float() for k, v in rounded.items()})
    moved = [name for name in before if not torch.equal(before[name], after[name])]
    assert moved
    assert all(name.startswith("unet.decoder.") for name in moved)


def test_a_resumed_run_in_bf16_has_the_same_bits(tmp_path, tiny_base_file, pair_set):
    given = {"unlock": "decoder", "links": "full", "precision": "bf16"}
    train(begin(tmp_path / "whole", tiny_base_file, pair_set, steps=2, **given))
    train(begin(tmp_path / "parts", tiny_base_file, pair_set, steps=1, **given))
    train(resume(tmp_path / "parts", steps=2))
    for name in ("control", "base"):
        assert same(weights(tmp_path / "whole", name), weights(tmp_path / "parts", name))


def test_released_networks_are_what_they_were():
    base = deepcopy(tiny_base())
    before = {name: tensor.clone() for name, tensor in base.unet.state_dict().items()}
    z, t, text = torch.randn(2, 4, 8, 8), torch.tensor([3, 900]), torch.randn(2, 77, 64)
    exact = base.unet(z, t, text)
    hold_locked(base, "bf16", keep_original=True)
    hold_locked(base, "bf16", keep_original=True)
    assert base.unet(z, t, text).dtype == BF16
    assert same(original_tensors(base.unet), before)
    base.unet.decoder.requires_grad_(True)
    hold_locked(base, "bf16")
    assert dtypes(base)["encoder"] == {BF16}
    assert dtypes(base)["decoder"] == {FP32}
    hold_locked(base, "fp32")
    assert same(base.unet.state_dict(), before)
    assert torch.equal(base.unet(z, t, text), exact)


def test_weights_that_were_not_kept_are_not_made_up():
    base = deepcopy(tiny_base())
    hold_locked(base, "bf16")
    with pytest.raises(ValueError, match="not kept"):
        release(base.unet.decoder)
    with pytest.raises(ValueError, match=r"encoder: its weights were rounded to torch.bfloat16"):
        original_tensors(base.unet)


def test_autoencoder_and_text_return_fp32(tiny_base_file):
    base = open_base(tiny_base_file).lock()
    images = torch.rand(1, 3, 64, 64) * 2 - 1
    exact, text = base.vae.encode(images), base.text.encode(["a house", ""])
    hold_locked(base, "bf16")
    rounded = base.vae.encode(images)
    assert rounded.mean.dtype == base.text.encode([""]).dtype == FP32
    assert torch.allclose(rounded.mean, exact.mean, atol=0.03 * float(exact.mean.abs().max()))
    assert torch.allclose(base.text.encode(["a house", ""]), text, atol=0.03 * float(text.abs().max()))
    assert base.vae.decode(exact.mean).dtype == FP32


def test_previews_sample_with_held_networks(tmp_path, tiny_base_file, pair_set, monkeypatch):
    monkeypatch.setattr(preview, "COUNT", 1)
    task = begin(tmp_path / "run", tiny_base_file, pair_set, precision="bf16")
    sheet = Preview.of(task.source, task.config)
    half = sheet.sample(task.networks, task.config, StopRequest())
    exact_task = begin(tmp_path / "run", tiny_base_file, pair_set, precision="fp32")
    exact = sheet.sample(exact_task.networks, exact_task.config, StopRequest())
    differences = [np.abs(a.astype(int) - b.astype(int)).mean() for a, b in zip(half, exact, strict=True)]
    assert all(0 < difference < 6 for difference in differences)


def test_norms_of_the_trained_copy_take_and_return_half_precision(tmp_path, tiny_base_file, pair_set):
    """Their weights, and the gradients of these, stay in fp32; outside of autocast they are what they were."""
    task = begin(tmp_path / "run", tiny_base_file, pair_set, precision="bf16")
    norms = [m for m in task.networks.control.modules() if isinstance(m, nn.GroupNorm | nn.LayerNorm)]
    assert {type(norm) for norm in norms} == {nn.GroupNorm, nn.LayerNorm}
    for norm in (norms[0], next(m for m in norms if isinstance(m, nn.LayerNorm))):
        cells = (4, 4) if isinstance(norm, nn.GroupNorm) else ()
        x = torch.randn(2, norm.weight.numel(), *cells, requires_grad=True)
        exact = type(norm).forward(norm, x)
        assert torch.equal(norm(x), exact)
        with task.networks.autocast():
            half = norm(x)
        assert half.dtype == BF16
        assert torch.allclose(half.float(), exact, atol=0.05)
        half.float().square().sum().backward()
        assert norm.weight.grad.dtype == FP32
        assert norm.weight.grad.any()
