"""The plan of a run in words, printed before anything is computed."""

from collections.abc import Callable
from pathlib import Path

from cn import files
from cn.data.examples import Source
from cn.model.base import Base
from cn.model.controlnet import ControlNet
from cn.train.cache.several import Caches
from cn.train.config import TrainConfig
from cn.train.data_plan import data_rows
from cn.train.evaluation.best import BEST
from cn.train.fast.choice import Way, choose_way, way_text
from cn.train.latent_batches import cache_bytes
from cn.train.memory import FP32_BYTES, MemoryEstimate, at_once, encoded_at_once, estimate_memory
from cn.train.networks import TrainingNetworks
from cn.train.optimizer import moment_bytes
from cn.train.options.defaults import PAPER_LR
from cn.train.options.model import Unlock
from cn.train.plan_options import option_rows
from cn.train.run_folder import saved_bytes
from cn.units import bytes_text, count_text

_OF_BASE: dict[Unlock, str] = {"none": "", "decoder": "the base's decoder", "all": "the base's whole U-Net"}


def plan_rows(
    run: Path,
    networks: TrainingNetworks,
    config: TrainConfig,
    source: Source,
    *,
    step: int,
    broken: int = 0,
    cache: Caches | None = None,
    local: bool = True,
) -> dict[str, str | None]:
    """Name → value rows: what is trained and what is locked, data, steps, learning rate, memory, disk.

    Options of which a run has the default have no row, but for those that every reader asks for. Gradients are `local`
    in one process, and where several of one machine have all weights each.
    """
    base = networks.base
    way = choose_way(networks, config, config.steps - step, networks.device, local=local)
    moves = f"{step:,} → {config.steps:,}" if step else f"{config.steps:,}"
    batch = f"{config.batch_size}" + (f" × {config.accumulate} accumulated" if config.accumulate > 1 else "")
    rows = {
        "trained": _trained(networks, config, config.unlocked_at(step)),
        "large-scale": _later(networks, config, step),
        "locked": _locked(base, config),
        "connections": _connections(networks, config),
        "expect": _expectation(base, config),
        "starts from": config.init_from or None,
        **data_rows(config, source, broken, cache),
        "steps": f"{moves} of batch {batch}",
        "learning rate": f"{config.lr:g} ({_lr_reason(base, config)})",
        "prompts": f"{config.prompt_drop:.0%} replaced by the empty string",
        "computing": f"{networks.device}, {config.precision}"
        + (", activations recomputed" if config.checkpoint_activations else "")
        + way_text(way),
        "memory": _memory(networks, source, config, step, cache, way),
        "saves": _saves(networks, config, step),
        "run": str(run),
        "note": _export_note(config),
    }
    return _with_options(rows, option_rows(config))


def state_bytes(networks: TrainingNetworks, config: TrainConfig, unlocked: Unlock) -> int:
    """Size of one saved state: the weights in full precision, AdamW's moments, and with EMA the weights before it."""
    trained = trained_parameters(networks, unlocked)
    own = sum(trained) if config.ema else 0
    return weight_bytes(networks, unlocked) + FP32_BYTES * own + moment_bytes(trained, config)


def weight_bytes(networks: TrainingNetworks, unlocked: Unlock) -> int:
    """Size of the files that a run writes for use: the control, and the base where it is trained too."""
    weights = list(networks.control.parameters())
    if unlocked != "none":
        weights += [p for network in networks.base.networks.values() for p in network.parameters()]
    return FP32_BYTES * sum(p.numel() for p in weights)


def trained_parameters(networks: TrainingNetworks, unlocked: Unlock) -> list[int]:
    """The sizes of what is trained while this part of the base is."""
    unet = networks.base.unet
    part = {"none": [], "decoder": list(unet.decoder.parameters()), "all": list(unet.parameters())}[unlocked]
    control = [p for name, p in networks.trainable.items() if name.startswith("control.")]
    return [p.numel() for p in [*control, *part]]


def check_space(run: Path, networks: TrainingNetworks, config: TrainConfig) -> None:
    """InputError unless one state more than is kept fits on the disk: a new one is complete before one is deleted.

    The states that are there already, which the run replaces, count as free space. The best weights outlive their
    state.
    """
    unlocked = config.unlocked_at(config.steps)
    needed = (config.keep + 1) * state_bytes(networks, config, unlocked) - saved_bytes(run)
    if config.eval_every and not (run / BEST).exists():
        needed += weight_bytes(networks, unlocked)
    if needed > 0:
        files.check_space(run, needed, "saving the run safely")


def _trained(networks: TrainingNetworks, config: TrainConfig, unlocked: Unlock) -> str:
    total = count_text(sum(trained_parameters(networks, unlocked)))
    if not isinstance(networks.control, ControlNet):
        return f"no ControlNet: the base's whole U-Net, and input channels for the condition: {total} parameters"
    blocks = len(networks.control.encoder.blocks)
    middle = networks.control.links == "middle"
    zeros = "1 zero convolution" if middle else f"{blocks + 1} zero convolutions"
    if config.zero_init == "gaussian":
        zeros += " (which start with Gaussian weights: an ablation)"
    what = (
        f"a copy of the {blocks} encoder blocks and the middle block, the {config.condition_encoder} condition "
        f"encoder, {zeros}"
    )
    return what + (f", and {_OF_BASE[unlocked]}" if unlocked != "none" else "") + f": {total} parameters"


def _later(networks: TrainingNetworks, config: TrainConfig, step: int) -> str | None:
    """What a run does that starts with a locked base and trains it later."""
    if config.unlock == "none" or config.unlocked_at(step) != "none":
        return None
    when = f"after {config.large_scale_after:,} steps {_OF_BASE[config.unlock]} is trained too"
    if config.large_scale_after >= config.steps:
        return f"{when}; this run ends before that"
    return f"{when}: then {count_text(sum(trained_parameters(networks, config.unlock)))} parameters"


def _locked(base: Base, config: TrainConfig) -> str:
    locked = sum(p.numel() for net in base.networks.values() for p in net.parameters() if not p.requires_grad)
    return f"the rest of {config.base} ({base.config.name}): {count_text(locked)} parameters"


def _connections(networks: TrainingNetworks, config: TrainConfig) -> str | None:
    if not isinstance(networks.control, ControlNet):
        return None
    if config.links == "middle":
        return "middle block only (small-scale)"
    return f"all {len(networks.control.zero_convolutions)} skip connections and the middle block"


def _expectation(base: Base, config: TrainConfig) -> str | None:
    if config.links == "middle" and not base.config.middle_controls:
        return (
            "no control before --reconnect in a run of minutes: the decoder of this base takes most of the layout from "
            'its skip connections (docs/train.md, "What the middle block can carry")'
        )
    return None


def _lr_reason(base: Base, config: TrainConfig) -> str:
    if config.lr == base.config.train_lr:
        return (
            "the paper's" if config.lr == PAPER_LR else f"suits the base '{base.config.name}'; the paper: {PAPER_LR:g}"
        )
    return "given"


def _memory(
    networks: TrainingNetworks, source: Source, config: TrainConfig, step: int, cache: Caches | None, way: Way
) -> str:
    """The estimate; two where the base is unlocked on the way."""
    kept = cache_bytes(source, networks.base, config)
    encoded = encoded_at_once(kept, config, cache)
    parts = dict.fromkeys([config.unlocked_at(step), config.unlocked_at(config.steps - 1)])
    estimates = [
        estimate_memory(
            networks.base.config, at_once(config, part), networks.device, encoded=encoded, captured=way.captured
        )
        for part in parts
    ]

    def amounts(size: Callable[[MemoryEstimate], int]) -> str:
        return " → ".join(dict.fromkeys(bytes_text(size(estimate)) for estimate in estimates))

    details = {
        "weights": amounts(lambda estimate: estimate.weights),
        "optimizer": amounts(lambda estimate: estimate.optimizer),
        "activations and gradients": amounts(lambda estimate: estimate.computing),
    }
    details |= {"latents kept": bytes_text(kept)} if kept else {}
    listed = ", ".join(f"{name} {size}" for name, size in details.items())
    when = f" (after {config.large_scale_after:,} steps)" if len(estimates) > 1 else ""
    return f"about {amounts(lambda e: e.total + kept)}{when} in addition to the program itself: {listed}"


def _saves(networks: TrainingNetworks, config: TrainConfig, step: int) -> str:
    preview = f"; a preview image every {config.preview_every:,} steps" if config.preview_every else ""
    unlocked = dict.fromkeys([config.unlocked_at(step), config.unlocked_at(config.steps)])
    sizes = [bytes_text(state_bytes(networks, config, part)) for part in unlocked]
    which = "the latest is" if config.keep == 1 else f"the latest {config.keep:,} are"
    return f"every {config.save_every:,} steps, {' → '.join(sizes)} each; {which} kept, and one proved good{preview}"


def _export_note(config: TrainConfig) -> str | None:
    if config.baseline == "concat":
        return "other tools cannot read this baseline; cn sample can, with the base that this run writes"
    if config.condition_encoder == "released":
        return None
    return "other tools cannot read the paper's condition encoder; for export train with --cond-encoder released"


def _with_options(rows: dict[str, str | None], more: dict[str, tuple[str, str]]) -> dict[str, str | None]:
    """The rows with those of further options, each behind the row that it belongs to."""
    found: dict[str, str | None] = {}
    for name, value in rows.items():
        found[name] = value
        found |= {other: text for other, (after, text) in more.items() if after == name}
    return found
