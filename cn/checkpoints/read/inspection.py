"""The report of `cn inspect` on a file or folder of weights, from one pass over its bytes. No torch."""

from collections import Counter
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from cn.archives.archive import Archive, open_archive
from cn.archives.entries import Entry, read_chunks
from cn.archives.finite import is_finite
from cn.checkpoints.checkpoint import Checkpoint
from cn.checkpoints.keymaps.keymap import Shape
from cn.checkpoints.layouts import TITLES, PartName
from cn.checkpoints.read.lora.file import find_in, looks_like_lora, open_lora
from cn.checkpoints.read.lora.report import LoraReport, told
from cn.checkpoints.read.recognize import recognize
from cn.checkpoints.read.sources import find_sources
from cn.checkpoints.shapes import base_shapes, control_shapes
from cn.errors import CnError, WeightsError
from cn.files import combined_sha256, sha256
from cn.model.config import PRESETS, ModelConfig, UNetConfig
from cn.text import first_names

_MAX_NAMES = 5


@dataclass(frozen=True)
class Report:
    """Everything that `cn inspect` reports; None or empty where it does not apply."""

    path: str
    what: str
    """ "a base", "a control", "a base and a control", or why cn cannot use it."""
    usable: bool
    layout: str | None
    format: str
    family: str | None
    prediction: str | None
    """ "eps", "v", or "not stated"."""
    condition_encoder: str | None
    kind: str | None
    """The condition of a control, if the file says it."""
    links: str | None
    parameters: Mapping[str, int]
    """By part; under "all" for an unrecognized file."""
    dtypes: Mapping[str, int]
    """dtype → number of tensors."""
    channels: tuple[int, ...] | None
    context_dim: int | None
    size: int
    """Bytes."""
    sha256: str
    files: int
    metadata: Mapping[str, Any]
    warnings: tuple[str, ...]
    lora: LoraReport | None = None
    """Of a LoRA."""

    @property
    def told(self) -> Mapping[str, Any]:
        """The metadata that a person wants to read."""
        return self.metadata if self.lora is None else told(self.metadata)

    def record(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def inspect(path: Path, hashed: Future[str] | None = None) -> Report:
    """Describe a file or folder; `hashed` is a file's SHA-256, if it is being computed already.

    Raises InputError when it cannot be read, WeightsError when it is missing or refused.
    """
    path = (find_in(path) or path) if path.is_dir() else path
    archive = open_archive(path) if not path.is_dir() else None
    try:
        checkpoint = recognize(path, archive=archive)
    except WeightsError as error:
        if archive is None:
            raise
        if looks_like_lora(archive.entries):
            return _adapter(archive, hashed)
        # An error about a sidecar keeps its path.
        return _unrecognized(archive, error.what if error.path == str(path) else str(error), hashed)
    entries = dict(_entries(checkpoint))
    hashes, broken = _read(checkpoint.files, entries, hashed)
    mismatches = list(_mismatches(checkpoint))
    spec, unet = checkpoint.control, _unet(checkpoint)
    return Report(
        path=str(path),
        what=checkpoint.what,
        usable=not broken and not mismatches and not checkpoint.unknown,
        layout=checkpoint.layout,
        format=checkpoint.format,
        family=_family(checkpoint.model, unet) + (", inpainting" if unet.has_mask else ""),
        prediction=(checkpoint.prediction or "not stated") if checkpoint.has_base else None,
        condition_encoder=spec.condition_encoder if spec is not None and spec.architecture == "controlnet" else None,
        kind=spec.kind if spec is not None else None,
        links=spec.links if spec is not None else None,
        parameters={part: held.parameters for part, held in checkpoint.parts.items()},
        dtypes=_dtypes(entries),
        channels=unet.channels,
        context_dim=unet.context_dim,
        size=sum(file.stat().st_size for file in checkpoint.files),
        sha256=combined_sha256(hashes),
        files=len(hashes),
        metadata=checkpoint.metadata,
        warnings=tuple(chain(mismatches, _warnings(checkpoint), _broken(broken))),
    )


def _adapter(archive: Archive, hashed: Future[str] | None) -> Report:
    """The report on a LoRA."""
    try:
        file = open_lora(archive.path, archive)
    except CnError as error:
        return _unrecognized(archive, error.what, hashed)
    report = _unrecognized(archive, f"a {' and '.join(file.kinds)} for {file.family}", hashed)
    return replace(report, usable=not report.warnings, lora=LoraReport.of(file), context_dim=file.context_width)


def _unrecognized(archive: Archive, why: str, hashed: Future[str] | None) -> Report:
    """The report on a readable file that is neither a base nor a control, or of an unsupported family."""
    hashes, broken = _read((archive.path,), archive.entries, hashed)
    total = sum(entry.elements for entry in archive.entries.values())
    left = (f"also holds {name} ({what})" for name, what in archive.extras.items())
    return Report(
        path=str(archive.path),
        what=why,
        usable=False,
        layout=None,
        format=archive.format,
        family=None,
        prediction=None,
        condition_encoder=None,
        kind=None,
        links=None,
        parameters={"all": total},
        dtypes=_dtypes(archive.entries),
        channels=None,
        context_dim=None,
        size=archive.path.stat().st_size,
        sha256=hashes[0],
        files=1,
        metadata=dict(archive.metadata),
        warnings=(*left, *_broken(broken)),
    )


def _entries(checkpoint: Checkpoint) -> Iterator[tuple[str, Entry]]:
    for part, held in checkpoint.parts.items():
        yield from ((f"{part}: {name}", entry) for name, entry in held.entries.items())


def _unet(checkpoint: Checkpoint) -> UNetConfig:
    if checkpoint.control is not None:
        return checkpoint.control.unet
    assert checkpoint.model is not None
    return checkpoint.model.unet


def _family(model: ModelConfig | None, unet: UNetConfig) -> str:
    name = "Stable Diffusion 2" if unet.linear_projection else "Stable Diffusion 1"
    if unet.channels == PRESETS["sd15"].unet.channels:
        return name
    names = [preset for preset, config in PRESETS.items() if _but_for_latents(config.unet, unet) == unet]
    if model is not None and model.name in PRESETS:
        names = [model.name]
    if names:
        return f"cn's base {names[0]!r}"
    return f"{name} with other channels"


def _but_for_latents(config: UNetConfig, other: UNetConfig) -> UNetConfig:
    """With the other one's latents: releases of one base may differ in their channels."""
    return replace(config, in_channels=other.in_channels, out_channels=other.out_channels)


def _dtypes(entries: Mapping[str, Entry]) -> dict[str, int]:
    return dict(Counter(entry.dtype for entry in entries.values()).most_common())


def _read(
    files: tuple[Path, ...], entries: Mapping[str, Entry], hashed: Future[str] | None
) -> tuple[list[str], list[str]]:
    """The files' hashes and the names of tensors with NaN or infinity, computed on two threads."""
    with ThreadPoolExecutor(1) as pool:
        hashes = pool.submit(lambda: [hashed.result()] if hashed else [sha256(file) for file in files])
        broken = [name for name, entry in entries.items() if not _finite(entry)]
        return hashes.result(), broken


def _finite(entry: Entry) -> bool:
    stored = [entry] if entry.scale is None else [entry, entry.scale]
    return all(is_finite(chunk, part.dtype) for part in stored for chunk in read_chunks(part))


def _mismatches(checkpoint: Checkpoint) -> Iterator[str]:
    """Missing, unexpected and misshapen tensors, part by part."""
    wanted: dict[PartName, Mapping[str, Shape]] = {}
    if checkpoint.model is not None:
        wanted |= base_shapes(checkpoint.model)
    if checkpoint.control is not None:
        wanted["control"] = control_shapes(checkpoint.control)
    for part, shapes in wanted.items():
        try:
            find_sources(checkpoint, part, shapes)
        except WeightsError as error:
            yield error.what


def _broken(names: list[str]) -> Iterator[str]:
    if names:
        yield f"holds numbers that are not finite (NaN or infinity): {first_names(names, _MAX_NAMES)}"


def _warnings(checkpoint: Checkpoint) -> Iterator[str]:
    if checkpoint.format != "safetensors":
        yield "is a pickle, which may run code in other tools: cn convert makes a safetensors file of it"
    if checkpoint.has_base and checkpoint.prediction is None:
        yield "does not say whether it predicts eps or v: it needs --prediction"
    for why, names in checkpoint.dropped.items():
        yield f"{_tensors(len(names))} not used: {why}"
    for name, what in checkpoint.extras.items():
        yield f"also holds {name} ({what})"
    if checkpoint.unknown:
        yield f"unrecognized tensors: {first_names(checkpoint.unknown, _MAX_NAMES)}"
    if any(entry.dtype in ("F16", "BF16") for name, entry in checkpoint.kept.items() if "alphas" in name):
        yield "its noise schedule is stored in half precision; cn recomputes it"
    foreign = checkpoint.layout != "native"
    scaled = sum(entry.scale is not None for part in checkpoint.parts.values() for entry in part.entries.values())
    if foreign and scaled:
        yield f"{scaled} weights have 8 bits and a scale: cn reads their products, in F32"
    mixed = {part: set(_floating(held.entries)) for part, held in checkpoint.parts.items()}
    # cn's own files in 8 bits have 16 where that matters, and what is converted from them has 32 and 16.
    if len(set(chain(*mixed.values()))) > 1 and foreign:
        dtypes = (f"{TITLES[part]} {' and '.join(sorted(kinds))}" for part, kinds in mixed.items())
        yield f"mixed dtypes: {', '.join(dtypes)}"
    if checkpoint.control is not None and _is_untrained(checkpoint):
        yield "its zero convolutions are all zero: it has not been trained"
    if checkpoint.control is not None and checkpoint.control.architecture == "concat":
        yield "is the baseline without a ControlNet (Fig. 20): it works only with the base that was trained with it"
    if checkpoint.control is not None and checkpoint.control.pooled:
        yield "its residuals are averaged over the image (shuffle): it controls content, not layout"


def _tensors(count: int) -> str:
    return "1 tensor is" if count == 1 else f"{count} tensors are"


def _floating(entries: Mapping[str, Entry]) -> Iterator[str]:
    return (entry.dtype for entry in entries.values() if entry.is_floating)


def _is_untrained(checkpoint: Checkpoint) -> bool:
    """Whether the middle block's zero convolution, which all training changes, is still zero."""
    names = ("zero_middle.weight", "channels.weight", "middle_block_out.0.weight", "controlnet_mid_block.weight")
    found = [entry for name in names if (entry := checkpoint.parts["control"].entries.get(name))]
    return bool(found) and not any(any(chunk) for chunk in read_chunks(found[0]))
