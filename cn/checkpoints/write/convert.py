"""From any layout to any other: what will be written is known, checked and measured before the first byte is.

Tensors go from file to file one at a time; those that both layouts store alike are copied byte for byte.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from cn import __version__
from cn.archives.entries import Entry
from cn.archives.write import HALF_OF, Item, computed, copied, file_size, of_array
from cn.checkpoints.checkpoint import HEADER, ControlSpec, Dialect, Layout, PartName, table_of
from cn.checkpoints.keymaps.keymap import Shape
from cn.checkpoints.read.contents import Contents, Parameter
from cn.checkpoints.read.sources import EMBEDDING, TOKEN_IDS, Source
from cn.checkpoints.write import diffusers_files, original_extras
from cn.checkpoints.write.exportable import check_expressible
from cn.checkpoints.write.headers import base_header, control_header, control_record
from cn.errors import WeightsError
from cn.model.config import ModelConfig, TextConfig, UNetConfig

if TYPE_CHECKING:
    from torch import Tensor

PREFIXES: Mapping[PartName, str] = {
    "unet": "model.diffusion_model.",
    "vae": "first_stage_model.",
    "control": "control_model.",
}
_FOLDERS: Mapping[PartName, str] = {"unet": "unet", "vae": "vae", "text": "text_encoder", "control": "controlnet"}


@dataclass(frozen=True)
class Output:
    """One file of a conversion: tensors with their metadata, or a text."""

    name: str
    """Relative to the folder that is written; "" for a single file."""
    items: Mapping[str, Item] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    text: str | None = None

    @property
    def size(self) -> int:
        """Bytes."""
        return file_size(self.items, self.metadata) if self.text is None else len(self.text.encode())


@dataclass(frozen=True)
class Conversion:
    """All that will be written, and what a person should know of it."""

    outputs: tuple[Output, ...]
    notes: tuple[str, ...] = ()

    @property
    def is_folder(self) -> bool:
        return self.outputs[0].name != ""

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(output.size for output in self.outputs)


def plan(contents: Contents, to: Layout, *, half: bool = False, source_sha256: str = "") -> Conversion:
    """What `contents` become in the layout `to`; the new file tells the hash of what it was made from.

    Raises WeightsError, with the reason and what to do, for what that layout has no place for.
    """
    try:
        notes = [*contents.notes, *check_expressible(contents.config, contents.control, to)]
    except WeightsError as error:
        raise WeightsError(f"{contents.path}: {error}") from None
    made = {"made_by": f"cn {__version__}", "source_sha256": source_sha256}
    if to == "diffusers":
        outputs = list(_diffusers(contents, half, made))
    elif to == "ldm":
        outputs = [_ldm(contents, half, made)]
    else:
        outputs = list(_native(contents, half, made))
    return Conversion(tuple(outputs), tuple(notes))


def _native(contents: Contents, half: bool, made: Mapping[str, Any]) -> Iterator[Output]:
    """One file; a base with a control becomes a folder of two."""
    both = contents.config is not None and contents.control is not None
    if contents.config is not None:
        items: dict[str, Item] = {}
        for part in ("unet", "vae", "text"):
            items |= _items(contents, part, "native", f"{part}.", half)
        items |= _packed_tokens(contents, half)
        items |= {f"kept.{name}": copied([entry], entry.shape) for name, entry in contents.kept.items()}
        header = base_header(contents.config, **{**_told(contents), **made})
        yield Output("base.safetensors" if both else "", items, header)
    if contents.control is not None:
        items = _items(contents, "control", "native", "", half)
        header = control_header(contents.control, **{**_told(contents), **made})
        yield Output("control.safetensors" if both else "", items, header)


def _told(contents: Contents) -> dict[str, Any]:
    """What the source said of itself besides what is written anew."""
    anew = {"role", "config", "control", "exported", "source_sha256", *control_record(ControlSpec(UNetConfig()))}
    return {name: value for name, value in contents.metadata.items() if name not in anew}


def _packed_tokens(contents: Contents, half: bool) -> dict[str, Item]:
    """The token rows of one of our own bases, as few as they were."""
    source = contents.parts["text"][EMBEDDING]
    if not isinstance(source, Source) or source.rows is None or source.token_ids is None:
        return {}
    ids = source.token_ids
    packed = Source((source.rows,), source.rows.shape)
    return {
        f"text.{EMBEDDING}": _pieces(packed, packed.shape, 1, half, str(contents.path))[0],
        f"text.{TOKEN_IDS}": copied([ids], ids.shape),
    }


def _ldm(contents: Contents, half: bool, made: Mapping[str, Any]) -> Output:
    """The original single file: a base, a control with its prefix (as ControlNet 1.1), or both (as 1.0)."""
    items: dict[str, Item] = {}
    header: dict[str, Any] = {**_told(contents), "exported": "ldm", **made}
    metadata = {"format": "pt"}
    if (config := contents.config) is not None:
        items |= _items(contents, "unet", "ldm", PREFIXES["unet"], half)
        items |= _items(contents, "vae", "ldm", PREFIXES["vae"], half)
        items |= _ldm_text(contents, config, half)
        items |= _ldm_rest(contents, config)
        header["config"] = _with_idle_layer(config).to_dict()
        metadata["modelspec.prediction_type"] = "epsilon" if config.schedule.prediction == "eps" else "v"
    if contents.control is not None:
        items |= _items(contents, "control", "ldm", PREFIXES["control"], half)
        header["control"] = control_record(contents.control)
    return Output("", items, metadata | {HEADER: json.dumps(header, ensure_ascii=False, sort_keys=True)})


def _with_idle_layer(config: ModelConfig) -> ModelConfig:
    """SD 2's original file holds one text layer more than is run."""
    text = config.text
    missing = config.unet.linear_projection and text.layers == text.run_layers
    return replace(config, text=replace(text, layers=text.layers + 1)) if missing else config


def _ldm_text(contents: Contents, config: ModelConfig, half: bool) -> dict[str, Item]:
    if not config.unet.linear_projection:
        return _items(contents, "text", "transformers", "cond_stage_model.transformer.text_model.", half)
    text = config.text
    if _with_idle_layer(config) != config:
        # Whatever numbers the idle layer holds, they are never used: a copy of the last that runs.
        last, extra = f".resblocks.{text.layers - 1}.", f".resblocks.{text.layers}."
        sources = contents.parts["text"]
        more = {name.replace(last, extra): source for name, source in sources.items() if last in name}
        contents = replace(contents, parts={**contents.parts, "text": {**sources, **more}})
    return _items(contents, "text", "open_clip", "cond_stage_model.model.", half)


def _ldm_rest(contents: Contents, config: ModelConfig) -> dict[str, Item]:
    """What no network uses and the official code asks for: as the original file had it, where it did."""
    made = original_extras.schedule_buffers(config.schedule) | original_extras.unused_text(config)
    items = {name: of_array(array) for name, array in made.items()}
    return items | {name: copied([entry], entry.shape) for name, entry in contents.kept.items()}


def _diffusers(contents: Contents, half: bool, made: Mapping[str, Any]) -> Iterator[Output]:
    """A pipeline's folder, or a ControlNet's."""
    config, control = contents.config, contents.control
    metadata = {"format": "pt"}
    texts: Mapping[str, str] = {}
    if config is not None:
        texts = diffusers_files.pipeline_files(config, control)
    elif control is not None:
        texts = {"config.json": diffusers_files.to_json(diffusers_files.control_settings(control))}
    for part in contents.parts:
        dialect: Dialect = "transformers" if part == "text" else "diffusers"
        prefix = "text_model." if part == "text" else ""
        run = _running(contents, config.text) if part == "text" and config is not None else contents
        folder = f"{_FOLDERS[part]}/" if config is not None else ""
        stem = "model" if part == "text" else "diffusion_pytorch_model"
        header = {**_told(contents), "exported": "diffusers", **made}
        if part == "control" and control is not None:
            header["control"] = control_record(control)
        told = metadata | {HEADER: json.dumps(header, ensure_ascii=False, sort_keys=True)}
        yield Output(f"{folder}{stem}.safetensors", _items(run, part, dialect, prefix, half), told)
    yield from (Output(name, text=text) for name, text in texts.items())


def _running(contents: Contents, text: TextConfig) -> Contents:
    """Without the layers of the text encoder that never run, as diffusers keeps it."""
    idle = tuple(f"tower.transformer.resblocks.{n}." for n in range(text.run_layers, text.layers))
    sources = {name: source for name, source in contents.parts["text"].items() if not name.startswith(idle)}
    return replace(contents, parts={**contents.parts, "text": sources})


def _items(contents: Contents, part: PartName, dialect: Dialect, prefix: str, half: bool) -> dict[str, Item]:
    """All tensors of a part by their names in `dialect`, behind a prefix."""
    table = table_of(part, dialect, contents.config, contents.control)
    items: dict[str, Item] = {}
    for ours, source in contents.parts[part].items():
        names = [prefix + name for name in table.translate(ours)]
        shape = _shape(part, dialect, ours, source.shape)
        items |= dict(zip(names, _pieces(source, shape, len(names), half, str(contents.path)), strict=True))
    return items


def _shape(part: PartName, dialect: Dialect, name: str, shape: Shape) -> Shape:
    """diffusers keeps the VAE's attention as linear layers; we and the original keep 1×1 convolutions."""
    return shape[:2] if dialect == "diffusers" and part == "vae" and ".attention." in name else shape


def _pieces(source: Parameter, shape: Shape, count: int, half: bool, origin: str) -> list[Item]:
    """A parameter as the `count` tensors, alike in shape, that a layout keeps it in along dimension 0."""
    piece = (shape[0] // count, *shape[1:]) if count > 1 else shape
    if len(source.stored) == count:
        return [copied([entry], piece, half=half) for entry in source.stored]
    if source.stored and count == 1:
        return [copied(source.stored, piece, half=half)]
    if len(source.stored) == 1:
        return [copied([entry], piece, half=half) for entry in _split(source.stored[0], count)]
    dtype = HALF_OF.get(source.dtype, source.dtype) if half else source.dtype
    return [computed(dtype, piece, partial(_read, source, piece, k, count), origin) for k in range(count)]


def _split(entry: Entry, count: int) -> list[Entry]:
    """The rows of a tensor in a file as `count` tensors of equally many rows."""
    shape = (entry.shape[0] // count, *entry.shape[1:])
    size = entry.nbytes // count
    return [replace(entry, shape=shape, offset=entry.offset + k * size) for k in range(count)]


def _read(source: Parameter, shape: Shape, k: int, count: int) -> "Tensor":
    return source.read().chunk(count)[k].reshape(shape)
