"""`--kernels`: where they are prepared, and that a state returns to weights of another layout."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from cn.model import kernel_choice
from cn.train.fast import kernels
from cn.train.fast.kernels import prepare_kernels
from cn.train.optimizer_state import load_optimizer_tensors, optimizer_tensors
from tests.helpers.training import begin

FOR_GPU = {"kernels": True, "precision": "bf16"}


@pytest.mark.parametrize(
    ("given", "device", "local", "prepared"),
    [
        (FOR_GPU, "cuda", True, True),
        (FOR_GPU | {"kernels": False}, "cuda", True, False),
        (FOR_GPU | {"precision": "fp32"}, "cuda", True, False),
        (FOR_GPU, "cpu", True, False),
        (FOR_GPU, "cuda", False, False),
    ],
)
def test_where_kernels_are_prepared(
    given, device, local, prepared, tmp_path, tiny_base_file, pair_set, monkeypatch: pytest.MonkeyPatch
):
    asked = []

    def use(networks: tuple[nn.Module, ...], device: torch.device, dtype: torch.dtype) -> None:
        asked.append((networks, device.type, dtype))

    monkeypatch.setattr(kernels, "use_training_kernels", use)
    task = begin(tmp_path / "run", tiny_base_file, pair_set)
    base = SimpleNamespace(unet=task.networks.base.unet)
    networks = SimpleNamespace(device=torch.device(device), base=base, control=task.networks.control)
    warnings = []
    prepare_kernels(networks, replace(task.config, **given), warnings.append, local=local)
    expected = ((task.networks.base.unet, task.networks.control), "cuda", torch.bfloat16)
    assert asked == [expected] * prepared
    assert len(warnings) == (given["kernels"] and not prepared)
    assert all("changes nothing here" in message for message in warnings)


def test_their_want_is_a_warning(tmp_path, tiny_base_file, pair_set, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(kernels, "use_training_kernels", lambda networks, device, dtype: "no C compiler")
    task = begin(tmp_path / "run", tiny_base_file, pair_set)
    networks = SimpleNamespace(device=torch.device("cuda"), base=task.networks.base, control=task.networks.control)
    warnings = []
    prepare_kernels(networks, replace(task.config, **FOR_GPU), warnings.append, local=True)
    assert len(warnings) == 1
    assert "(no C compiler)" in warnings[0]


def test_moments_return_in_the_layout_of_the_weights():
    """Fused optimizers refuse any other one, also of 1×1 convolutions, whose layouts differ in their strides only."""
    saved = []
    for memory_format in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(4, 6, 3), nn.Conv2d(6, 8, 1)).to(memory_format=memory_format)
        networks = SimpleNamespace(trainable=dict(network.named_parameters()))
        optimizer = torch.optim.AdamW(network.parameters(), fused=True)
        if saved:
            load_optimizer_tensors(networks, optimizer, saved[0])
            assert all(
                optimizer.state[p][name].stride() == p.stride()
                for p in network.parameters()
                for name in ("exp_avg", "exp_avg_sq")
            )
        network(torch.ones(1, 4, 8, 8)).square().sum().backward()
        optimizer.step()
        saved.append(optimizer_tensors(networks, optimizer))
    one, two = saved
    assert one.keys() == two.keys()
    assert two["0.weight/step"] == 2
    assert not torch.equal(one["0.weight/exp_avg"], two["0.weight/exp_avg"])


def test_a_run_without_them_uses_none_of_an_earlier_run(monkeypatch):
    monkeypatch.setattr(kernel_choice, "_training", {torch.device("cuda", 0): object()})
    prepare_kernels(SimpleNamespace(), SimpleNamespace(kernels=False), pytest.fail, local=True)  # type: ignore[arg-type]
    assert not kernel_choice._training
