"""The weights that a stage trains: in fp32, with their optimizers and their moving average."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from cn.pretrain import replicas
from cn.pretrain.muon import Muon

EMBEDDINGS = ("embedding", "conv_in", "conv_out")
"""Parts of the names of matrices that take single inputs to features, or features to outputs: AdamW moves these."""
WEIGHT_DECAY = 0.01


@dataclass(frozen=True)
class StageConfig:
    """The settings that all stages share. `ema_decay` is the decay of the exponential moving average of the weights.

    With `muon` hidden matrices are moved by `cn.pretrain.muon`, all other weights by AdamW. `batch_size` is that of one
    process.
    """

    batch_size: int = 256
    learning_rate: float = 1e-3
    warmup: int = 400
    decay_from: float = 0.5
    ema_decay: float = 0.999
    seed: int = 0
    muon: bool = False


class MasterWeights:
    """The trained parameters of a module in fp32, their EMA, and the optimizers.

    On a GPU, or where `half` says so, the module itself computes in bf16 (twice as fast as autocast, which keeps every
    normalization in fp32); on a CPU it computes in fp32, and master weights and module parameters are the same tensors.
    """

    def __init__(self, module: nn.Module, settings: StageConfig, *, half: bool | None = None):
        self.module = module
        named = [(name, p) for name, p in module.named_parameters() if p.requires_grad]
        self.parameters = [p for _, p in named]
        self.device = self.parameters[0].device
        self.master = list(self.parameters)
        replicas.same_start([p.detach() for p in self.parameters])
        if self.device.type == "cuda" if half is None else half:
            self.master = [nn.Parameter(p.detach().float().clone()) for p in self.parameters]
            module.to(torch.bfloat16)
        self.flat = torch.zeros(sum(p.numel() for p in self.master), device=self.device)
        self.gradients = _views(self.flat, self.master)
        self.ema_decay = settings.ema_decay
        self.ema = [p.detach().clone() for p in self.master]
        self.optimizers = self._optimizers([name for name, _ in named], settings)

    def _optimizers(self, names: Sequence[str], settings: StageConfig) -> list[torch.optim.Optimizer]:
        hidden = [
            settings.muon and p.ndim > 1 and not any(part in name for part in EMBEDDINGS)
            for name, p in zip(names, self.master, strict=True)
        ]
        matrices = [p for p, is_hidden in zip(self.master, hidden, strict=True) if is_hidden]
        others = [p for p, is_hidden in zip(self.master, hidden, strict=True) if not is_hidden]
        fused, rate = self.device.type == "cuda", settings.learning_rate
        adam = torch.optim.AdamW(others, lr=rate, weight_decay=WEIGHT_DECAY, fused=fused)
        return [adam, Muon(matrices, rate, weight_decay=WEIGHT_DECAY)] if matrices else [adam]

    @torch.no_grad()
    def update(self, learning_rate: float, step: int) -> None:
        """One step from the module's gradients, which are cleared, and averaged over processes; then the EMA's."""
        self._take_gradients()
        replicas.average(self.flat)
        nn.utils.clip_grad_norm_(self.master, 1.0)
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = learning_rate
            optimizer.step()
        self._publish(self.master)
        # The decay starts low, so that the EMA soon forgets the initial weights.
        weight = 1 - min(self.ema_decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(self.ema, [p.detach() for p in self.master], weight)

    def _take_gradients(self) -> None:
        """In fp32, all at once: they are hundreds. What no loss depends on has none."""
        taken = [(p.grad, own) for p, own in zip(self.parameters, self.gradients, strict=True) if p.grad is not None]
        torch._foreach_copy_([own for _, own in taken], [gradient for gradient, _ in taken])
        used = [p.grad is not None for p in self.parameters]
        for p in self.parameters:
            p.grad = None
        for master, own, is_used in zip(self.master, self.gradients, used, strict=True):
            master.grad = own if is_used else None

    @torch.no_grad()
    def finish(self) -> None:
        """Leave the EMA in the module, in fp32, and in torch's default layout."""
        self.module.float().to(memory_format=torch.contiguous_format)
        self._publish(self.ema)
        for p in self.parameters:
            p.grad = None

    def _publish(self, tensors: Sequence[Tensor]) -> None:
        if tensors[0] is not self.parameters[0]:
            torch._foreach_copy_([p.detach() for p in self.parameters], [t.detach() for t in tensors])

    def is_finite(self) -> bool:
        """Whether no weight is infinite or not a number."""
        return bool(torch.stack([p.detach().sum().isfinite() for p in self.master]).all())

    def state(self) -> dict[str, Any]:
        """Everything that a later session needs, for `restore`."""
        cuda = self.device.type == "cuda"
        return {
            "master": [p.detach() for p in self.master],
            "ema": self.ema,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "random": torch.cuda.get_rng_state(self.device) if cuda else torch.get_rng_state(),
        }

    @torch.no_grad()
    def restore(self, state: dict[str, Any]) -> None:
        """Continue from the `state` of an earlier session, on whichever device that was."""
        for p, saved in zip(self.master, state["master"], strict=True):
            p.copy_(saved)
        self._publish(self.master)
        self.ema = [torch.empty_like(p.detach()).copy_(t) for p, t in zip(self.master, state["ema"], strict=True)]
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        # The optimizers take moments in the layout of the weights, which may not be that of an earlier session.
        for optimizer in self.optimizers:
            for weight, moments in optimizer.state.items():
                for name in moments.keys() & {"exp_avg", "exp_avg_sq", "momentum"}:
                    moments[name] = torch.empty_like(weight.detach()).copy_(moments[name])
        _restore_random(state["random"].cpu(), self.device)


def _restore_random(state: Tensor, device: torch.device) -> None:
    """Of the same kind of device, in the first process: the others go on with numbers of their own."""
    kind = torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()
    if replicas.is_first() and len(state) == len(kind):
        if device.type == "cuda":
            torch.cuda.set_rng_state(state, device)
        else:
            torch.set_rng_state(state)


def _views(flat: Tensor, like: Sequence[Tensor]) -> list[Tensor]:
    """Parts of a vector in the shapes and layouts of dense tensors."""
    views, start = [], 0
    for tensor in like:
        views.append(flat[start : start + tensor.numel()].as_strided(tensor.shape, tensor.stride(), start))
        start += tensor.numel()
    return views
