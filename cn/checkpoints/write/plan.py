"""Plan a conversion between layouts: everything to be written, checked and measured before the first byte is.

Tensors are copied from file to file one at a time, byte for byte where both layouts store them alike.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cn import __version__
from cn.archives.entries import Entry, load_tensor
from cn.archives.metadata import encode
from cn.archives.write import HALF_OF, Item, computed, copied, file_size, of_array
from cn.checkpoints.checkpoint import ControlSpec, table_of
from cn.checkpoints.keymaps.keymap import Shape
from cn.checkpoints.layouts import (
    BASE_PARTS,
    DIFFUSERS_FOLDERS,
    LDM_PREFIXES,
    LDM_TEXT_PREFIXES,
    MODELSPEC_PREDICTIONS,
    NETWORK_STEM,
    TEXT_STEM,
    KeyNaming,
    Layout,
    PartName,
)
from cn.checkpoints.read.contents import Contents, Parameter
from cn.checkpoints.read.sources import EMBEDDING, TOKEN_IDS, Source
from cn.checkpoints.write import diffusers_files, original_extras
from cn.checkpoints.write.exportable import check_exportable
from cn.checkpoints.write.headers import base_header, control_header, control_record
from cn.errors import about
from cn.model.config import ModelConfig, TextConfig, UNetConfig

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Output:
    """One file of a conversion: tensors with metadata, or text."""

    name: str
    """Path relative to the folder that is written; "" for a single file."""
    items: Mapping[str, Item] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    text: str | None = None

    @property
    def size(self) -> int:
        """Bytes."""
        return file_size(self.items, self.metadata) if self.text is None else len(self.text.encode())


@dataclass(frozen=True)
class Conversion:
    """All files that will be written, and messages about what changes."""

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
    """Plan the conversion of `contents` to the layout `to`; the new file records `source_sha256`.

    Raises WeightsError, with the reason and what to do, for a model that the layout cannot store.
    """
    with about(contents.path):
        notes = [*contents.notes, *check_exportable(contents.config, contents.control, to)]
    origin = {"made_by": f"cn {__version__}", "source_sha256": source_sha256}
    if to == "diffusers":
        outputs = list(_diffusers(contents, half, origin))
    elif to == "ldm":
        outputs = [_ldm(contents, half, origin)]
    else:
        outputs = list(_native(contents, half, origin))
    return Conversion(tuple(outputs), tuple(notes))


def _native(contents: Contents, half: bool, origin: Mapping[str, Any]) -> Iterator[Output]:
    """One file; for a base with a control a folder of two files."""
    both = contents.config is not None and contents.control is not None
    if contents.config is not None:
        items: dict[str, Item] = {}
        for part in BASE_PARTS:
            items |= _items(contents, part, "native", f"{part}.", half)
        items |= _packed_tokens(contents, half)
        items |= {f"kept.{name}": _kept(entry) for name, entry in contents.kept.items()}
        header = base_header(contents.config, **{**_source_metadata(contents), **origin})
        yield Output("base.safetensors" if both else "", items, header)
    if contents.control is not None:
        items = _items(contents, "control", "native", "", half)
        header = control_header(contents.control, **{**_source_metadata(contents), **origin})
        yield Output("control.safetensors" if both else "", items, header)


def _source_metadata(contents: Contents) -> dict[str, Any]:
    """The metadata of the source, without entries that are rewritten."""
    rewritten = {"role", "config", "control", "exported", "source_sha256", "bits", "differences"}
    rewritten |= set(control_record(ControlSpec(UNetConfig())))
    return {name: value for name, value in contents.metadata.items() if name not in rewritten}


def _packed_tokens(contents: Contents, half: bool) -> dict[str, Item]:
    """The shortened token embedding of one of cn's own bases, unchanged."""
    source = contents.parts["text"][EMBEDDING]
    if not isinstance(source, Source) or source.rows is None or source.token_ids is None:
        return {}
    ids = source.token_ids
    packed = Source((source.rows,), source.rows.shape)
    return {
        f"text.{EMBEDDING}": _pieces(packed, packed.shape, 1, half, contents.path)[0],
        f"text.{TOKEN_IDS}": copied([ids], ids.shape),
    }


def _ldm(contents: Contents, half: bool, origin: Mapping[str, Any]) -> Output:
    """The original single file: a base, a control with its prefix (as ControlNet 1.1), or both (as 1.0)."""
    items: dict[str, Item] = {}
    header: dict[str, Any] = {**_source_metadata(contents), "exported": "ldm", **origin}
    metadata = {"format": "pt"}
    if (config := contents.config) is not None:
        items |= _items(contents, "unet", "ldm", LDM_PREFIXES["unet"], half)
        items |= _items(contents, "vae", "ldm", LDM_PREFIXES["vae"], half)
        items |= _ldm_text(contents, config, half)
        items |= _ldm_rest(contents, config)
        header["config"] = _with_unused_layer(config).to_dict()
        metadata["modelspec.prediction_type"] = MODELSPEC_PREDICTIONS[config.schedule.prediction]
    if contents.control is not None:
        items |= _items(contents, "control", "ldm", LDM_PREFIXES["control"], half)
        header["control"] = control_record(contents.control)
    return Output("", items, metadata | encode(header))


def _with_unused_layer(config: ModelConfig) -> ModelConfig:
    """SD 2's original file has one text layer more than runs."""
    text = config.text
    missing = config.unet.linear_projection and text.layers == text.run_layers
    return replace(config, text=replace(text, layers=text.layers + 1)) if missing else config


def _ldm_text(contents: Contents, config: ModelConfig, half: bool) -> dict[str, Item]:
    if not config.unet.linear_projection:
        return _items(contents, "text", "transformers", _text_prefix("transformers"), half)
    text = config.text
    if _with_unused_layer(config) != config:
        # The numbers of the unused layer do not matter: copy the last one that runs.
        last, extra = f".resblocks.{text.layers - 1}.", f".resblocks.{text.layers}."
        sources = contents.parts["text"]
        more = {name.replace(last, extra): source for name, source in sources.items() if last in name}
        contents = replace(contents, parts={**contents.parts, "text": {**sources, **more}})
    return _items(contents, "text", "open_clip", _text_prefix("open_clip"), half)


def _text_prefix(naming: KeyNaming) -> str:
    return LDM_PREFIXES["text"] + LDM_TEXT_PREFIXES[naming]


def _ldm_rest(contents: Contents, config: ModelConfig) -> dict[str, Item]:
    """Tensors that no network uses and the official code requires; from the source where it has them."""
    made = original_extras.schedule_buffers(config.schedule) | original_extras.unused_text(config)
    items = {name: of_array(array) for name, array in made.items()}
    return items | {name: _kept(entry) for name, entry in contents.kept.items()}


def _kept(entry: Entry) -> Item:
    if not entry.is_computed:
        return copied([entry], entry.shape)
    return computed("F32", entry.shape, partial(load_tensor, entry), entry.path)


def _diffusers(contents: Contents, half: bool, origin: Mapping[str, Any]) -> Iterator[Output]:
    """A pipeline's folder, or a ControlNet's."""
    config, control = contents.config, contents.control
    texts: Mapping[str, str] = {}
    if config is not None:
        texts = diffusers_files.pipeline_files(config, control)
    elif control is not None:
        texts = {"config.json": diffusers_files.to_json(diffusers_files.control_settings(control))}
    for part in contents.parts:
        naming: KeyNaming = "transformers" if part == "text" else "diffusers"
        prefix = "text_model." if part == "text" else ""
        run = _running(contents, config.text) if part == "text" and config is not None else contents
        folder = f"{DIFFUSERS_FOLDERS[part]}/" if config is not None else ""
        stem = TEXT_STEM if part == "text" else NETWORK_STEM
        header = {**_source_metadata(contents), "exported": "diffusers", **origin}
        if part == "control" and control is not None:
            header["control"] = control_record(control)
        items = _items(run, part, naming, prefix, half)
        yield Output(f"{folder}{stem}.safetensors", items, {"format": "pt"} | encode(header))
    yield from (Output(name, text=text) for name, text in texts.items())


def _running(contents: Contents, text: TextConfig) -> Contents:
    """Without the layers of the text encoder that never run, which diffusers does not store."""
    unused = tuple(f"tower.transformer.resblocks.{n}." for n in range(text.run_layers, text.layers))
    sources = {name: source for name, source in contents.parts["text"].items() if not name.startswith(unused)}
    return replace(contents, parts={**contents.parts, "text": sources})


def _items(contents: Contents, part: PartName, naming: KeyNaming, prefix: str, half: bool) -> dict[str, Item]:
    """All tensors of a part by their names in `naming`, with a prefix."""
    table = table_of(part, naming, contents.config, contents.control)
    items: dict[str, Item] = {}
    for ours, source in contents.parts[part].items():
        names = [prefix + name for name in table.translate(ours)]
        shape = _shape(part, naming, ours, source.shape)
        items |= dict(zip(names, _pieces(source, shape, len(names), half, contents.path), strict=True))
    return items


def _shape(part: PartName, naming: KeyNaming, name: str, shape: Shape) -> Shape:
    """In diffusers the VAE's attention has linear layers; in the original layout and here 1×1 convolutions."""
    return shape[:2] if naming == "diffusers" and part == "vae" and ".attention." in name else shape


def _pieces(source: Parameter, shape: Shape, count: int, half: bool, origin: Path) -> list[Item]:
    """A parameter as `count` tensors of equal shape, split along dimension 0."""
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
    """A stored tensor as `count` tensors with equal numbers of rows."""
    shape = (entry.shape[0] // count, *entry.shape[1:])
    size = entry.nbytes // count
    return [replace(entry, shape=shape, offset=entry.offset + k * size) for k in range(count)]


def _read(source: Parameter, shape: Shape, k: int, count: int) -> "Tensor":
    return source.read().chunk(count)[k].reshape(shape)
