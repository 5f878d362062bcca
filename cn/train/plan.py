"""The plan of a run in words, printed before anything is computed."""

from pathlib import Path

from cn import files
from cn.data.examples import Source
from cn.model.base import Base
from cn.train.cache.several import Caches
from cn.train.config import TrainConfig
from cn.train.data_plan import data_rows
from cn.train.fast.choice import way_text
from cn.train.latent_batches import cache_bytes
from cn.train.memory import FP32_BYTES, encoded_at_once, estimate_memory
from cn.train.networks import TrainingNetworks
from cn.train.optimizer import moment_bytes
from cn.train.options.defaults import PAPER_LR
from cn.train.run_folder import saved_bytes
from cn.units import bytes_text, count_text


def plan_rows(
    run: Path,
    networks: TrainingNetworks,
    config: TrainConfig,
    source: Source,
    *,
    step: int,
    broken: int = 0,
    cache: Caches | None = None,
) -> dict[str, str | None]:
    """Name → value rows: what is trained and what is locked, data, steps, learning rate, memory, disk."""
    base = networks.base
    trained = sum(p.numel() for p in networks.trainable.values())
    moves = f"{step:,} → {config.steps:,}" if step else f"{config.steps:,}"
    batch = f"{config.batch_size}" + (f" × {config.accumulate} accumulated" if config.accumulate > 1 else "")
    return {
        "trained": f"{_trained(networks, config)}: {count_text(trained)} parameters",
        "locked": _locked(base, config),
        "connections": _connections(networks, config),
        "starts from": config.init_from or None,
        **data_rows(config, source, broken, cache),
        "steps": f"{moves} of batch {batch}",
        "learning rate": f"{config.lr:g} ({_lr_reason(base, config)}), AdamW",
        "prompts": f"{config.prompt_drop:.0%} replaced by the empty string",
        "computing": f"{networks.device}, {config.precision}"
        + (", activations recomputed" if config.checkpoint_activations else "")
        + way_text(networks, config, config.steps - step),
        "memory": _memory(networks, source, config, cache),
        "saves": _saves(networks, config),
        "run": str(run),
        "note": _export_note(config),
    }


def state_bytes(networks: TrainingNetworks, config: TrainConfig) -> int:
    """Size of one saved state: the weights in full precision, AdamW's moments, and with EMA the weights before it."""
    weights = list(networks.control.parameters())
    if config.unlock != "none":
        weights += [p for network in networks.base.networks.values() for p in network.parameters()]
    trained = [p.numel() for p in networks.trainable.values()]
    own = sum(trained) if config.ema else 0
    return FP32_BYTES * (sum(p.numel() for p in weights) + own) + moment_bytes(trained, config)


def check_space(run: Path, networks: TrainingNetworks, config: TrainConfig) -> None:
    """InputError unless one state more than is kept fits on the disk: a new one is complete before one is deleted.

    The states that are there already, which the run replaces, count as free space.
    """
    needed = (config.keep + 1) * state_bytes(networks, config) - saved_bytes(run)
    if needed > 0:
        files.check_space(run, needed, "saving the run safely")


def _trained(networks: TrainingNetworks, config: TrainConfig) -> str:
    encoder = networks.control.encoder
    zeros = (
        "1 zero convolution" if networks.control.links == "middle" else f"{len(encoder.blocks) + 1} zero convolutions"
    )
    what = (
        f"a copy of the {len(encoder.blocks)} encoder blocks and the middle block, "
        f"the {config.condition_encoder} condition encoder, {zeros}"
    )
    base = {"none": "", "decoder": ", and the base's decoder", "all": ", and the base's whole U-Net"}
    return what + base[config.unlock]


def _locked(base: Base, config: TrainConfig) -> str:
    locked = sum(p.numel() for net in base.networks.values() for p in net.parameters() if not p.requires_grad)
    return f"the rest of {config.base} ({base.config.name}): {count_text(locked)} parameters"


def _connections(networks: TrainingNetworks, config: TrainConfig) -> str:
    if config.links == "middle":
        return "middle block only (small-scale)"
    return f"all {len(networks.control.zero_convolutions)} skip connections and the middle block"


def _lr_reason(base: Base, config: TrainConfig) -> str:
    if config.lr == base.config.train_lr:
        return (
            "the paper's" if config.lr == PAPER_LR else f"suits the base '{base.config.name}'; the paper: {PAPER_LR:g}"
        )
    return "given"


def _memory(networks: TrainingNetworks, source: Source, config: TrainConfig, cache: Caches | None) -> str:
    kept = cache_bytes(source, networks.base, config)
    encoded = encoded_at_once(kept, config, cache)
    estimate = estimate_memory(networks.base.config, config, networks.device, encoded=encoded)
    amounts = {
        "weights": estimate.weights,
        "optimizer": estimate.optimizer,
        "activations and gradients": estimate.computing,
        "latents kept": kept,
    }
    details = ", ".join(f"{name} {bytes_text(size)}" for name, size in amounts.items() if size)
    return f"about {bytes_text(estimate.total + kept)} in addition to the program itself: {details}"


def _saves(networks: TrainingNetworks, config: TrainConfig) -> str:
    preview = f"; a preview image every {config.preview_every:,} steps" if config.preview_every else ""
    size = bytes_text(state_bytes(networks, config))
    which = "the latest is" if config.keep == 1 else f"the latest {config.keep:,} are"
    return f"every {config.save_every:,} steps, {size} each; {which} kept, and one that is proved good{preview}"


def _export_note(config: TrainConfig) -> str | None:
    if config.condition_encoder == "released":
        return None
    return "other tools cannot read the paper's condition encoder; for export train with --cond-encoder released"
