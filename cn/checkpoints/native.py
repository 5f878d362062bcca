"""Our own files: one safetensors file a base or a control, which says in its header what it is.

The header's `cn` entry is JSON: `role` "base" or "control", the configuration, and what made it. Tensors are named
by the networks' own parameter names. A text tower that has only ever seen some of CLIP's 49,408 tokens is stored
with those rows and one for all others (`text.token_ids`), which saves 9 million numbers in the bundled base.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from cn.errors import InputError, WeightsError
from cn.files import write_atomic
from cn.model.base import Base
from cn.model.config import ModelConfig
from cn.model.controlnet import ControlNet

HEADER = "cn"
EMBEDDING = "text.tower.token_embedding.weight"
TOKEN_IDS = "text.token_ids"


@dataclass(frozen=True)
class Control:
    """A ControlNet in memory with what its file says: the condition's kind, the base it was trained on."""

    model: ControlNet
    kind: str | None
    base_sha256: str = ""
    sha256: str = ""
    meta: Mapping[str, Any] = field(default_factory=dict)


def save_base(path: Path, base: Base, *, half: bool = True, tokens: Sequence[int] | None = None, **meta: Any) -> None:
    """Write a base whole or not at all. `tokens`: ids whose embeddings were trained; the others share one row."""
    tensors = {f"{part}.{k}": v for part, net in base.networks.items() for k, v in net.state_dict().items()}
    if tokens is not None and len(set(tokens)) < base.config.text.vocab_size:
        ids = torch.tensor(sorted(set(tokens)))
        others = torch.ones(base.config.text.vocab_size, dtype=torch.bool)
        others[ids] = False
        shared = int(others.nonzero()[0])
        tensors[EMBEDDING] = tensors[EMBEDDING][torch.cat([ids, torch.tensor([shared])])]
        tensors[TOKEN_IDS] = ids
    _save(path, tensors, {"role": "base", "config": base.config.to_dict(), **meta}, half)


def save_control(
    path: Path, model: ControlNet, *, kind: str | None, base_sha256: str, half: bool = False, **meta: Any
) -> None:
    """Write a control whole or not at all."""
    header = {
        "role": "control",
        "kind": kind,
        "unet": asdict(model.config),
        "condition_encoder": model.condition_encoder_kind,
        "condition_channels": model.condition_channels,
        "links": model.links,
        "base_sha256": base_sha256,
        **meta,
    }
    _save(path, dict(model.state_dict()), header, half)


def load_base(path: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Base:
    """Read a base and lock it. InputError if the file is broken, WeightsError if it is something else."""
    header, tensors = _load(path, "base")
    with _description(path):
        config = ModelConfig.from_dict(header["config"])
    base = replace(Base.create(config, "meta"), sha256=file_sha256(path))
    if TOKEN_IDS in tensors:
        with _description(path):
            rows, ids = tensors[EMBEDDING], tensors.pop(TOKEN_IDS)
            tensors[EMBEDDING] = rows[-1:].repeat(config.text.vocab_size, 1).index_copy_(0, ids, rows[:-1])
    for part, network in base.networks.items():
        prefix = f"{part}."
        own = [k for k in tensors if k.startswith(prefix)]
        _assign(network, {k.removeprefix(prefix): tensors.pop(k) for k in own}, path)
        network.to(device, dtype)
    if tensors:
        raise WeightsError(f"{path}: its tensors do not fit its own description: nothing takes {min(tensors)}")
    return base.lock()


def load_control(path: Path, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32) -> Control:
    """Read a control, in evaluation mode. InputError if the file is broken, WeightsError if it is something else."""
    header, tensors = _load(path, "control")
    with _description(path), torch.device("meta"):
        model = ControlNet(
            ModelConfig.from_dict({"name": "", "unet": header["unet"]}).unet,
            condition_encoder=header["condition_encoder"],
            condition_channels=header["condition_channels"],
            links=header["links"],
        )
    _assign(model, tensors, path)
    model.to(device, dtype).eval()
    return Control(model, header.get("kind"), header.get("base_sha256", ""), file_sha256(path), header)


def check_fits(control: Control, base: Base, name: str) -> None:
    """WeightsError when a control was made for a U-Net of other shapes than the base's."""
    if control.model.config != base.config.unet:
        ours, theirs = base.config.unet.channels, control.model.config.channels
        raise WeightsError(
            f"{name}: this control was made for another base (channels {theirs}, context "
            f"{control.model.config.context_dim}; the base '{base.config.name}' has {ours}, "
            f"{base.config.unet.context_dim}); give the base it was trained on with --base"
        )


def file_sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _save(path: Path, tensors: dict[str, Tensor], header: dict[str, Any], half: bool) -> None:
    def stored(tensor: Tensor) -> Tensor:
        return tensor.detach().to("cpu", torch.float16 if half and tensor.is_floating_point() else None).contiguous()

    text = json.dumps(header, ensure_ascii=False, sort_keys=True)
    write_atomic(path, save({k: stored(v) for k, v in tensors.items()}, metadata={HEADER: text}))


def _load(path: Path, role: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {}).get(HEADER, "{}"))
            header = header if isinstance(header, dict) else {}
            found = f"a {header['role']}" if "role" in header else "not one of cn's own files"
            if found != f"a {role}":
                raise WeightsError(f"{path}: a {role} was expected here, but this is {found}")
            return header, {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
    except FileNotFoundError:
        raise WeightsError(f"{path}: no such file") from None
    except (SafetensorError, OSError, json.JSONDecodeError) as error:
        raise InputError(f"{path}: not a whole safetensors file ({error})") from error


@contextmanager
def _description(path: Path) -> Iterator[None]:
    """WeightsError when a header's configuration lacks something, or has what this version does not know."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise WeightsError(f"{path}: its description is not one that this version of cn reads ({error})") from error


def _assign(network: torch.nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    try:
        network.load_state_dict({k: v.float() for k, v in tensors.items()}, strict=True, assign=True)
    except RuntimeError as error:
        first = str(error).splitlines()[1].strip() if "\n" in str(error) else str(error)
        raise WeightsError(f"{path}: its tensors do not fit its own description: {first}") from error
