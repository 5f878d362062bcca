"""The files of a captioner: published ones, a file or folder that was given, or the cache of the Hugging Face hub."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cn.archives.archive import open_archive
from cn.archives.entries import Entry, load_tensor
from cn.caption.settings import ENGINES
from cn.errors import InputError, UsageError, WeightsError, about
from cn.json_text import decode_text, parse_json
from cn.text import first_names
from cn.weights import cache, catalog, places

if TYPE_CHECKING:
    import torch

SCENE_READER = Path(__file__).with_name("scene_reader.safetensors")
"""The bundled weights of the captioner `SCENES`."""

VOCABULARY = "bert-vocab"
"""BLIP's vocabulary in the catalog; single files of weights come without."""

_FILES = (
    *("open_clip_model.safetensors", "open_clip_pytorch_model.safetensors", "open_clip_pytorch_model.bin"),
    *("model.safetensors", "pytorch_model.bin"),
)
"""What the file of weights is called in folders of open_clip and of transformers."""
_SUFFIXES = (".safetensors", ".bin", ".pth", ".pt")


@dataclass(frozen=True)
class Files:
    """Weights, and what lies beside them."""

    path: Path
    entries: Mapping[str, Entry]
    """The tensors by name, without the "module." that some programs of training put before it."""
    layout: str
    """ "coca", "blip" (of transformers) or "blip-original" (of the authors)."""

    def neighbor(self, name: str) -> Path | None:
        """A file of the same folder, if it is there."""
        path = self.path.parent / name
        return path if path.is_file() else None

    def json(self, name: str) -> dict[str, Any] | None:
        """The contents of a JSON file of the same folder, if it is there. Raises InputError where it is damaged."""
        if (path := self.neighbor(name)) is None:
            return None
        with about(path):
            value = parse_json(path.read_bytes())
            if not isinstance(value, dict):
                raise InputError("is no JSON object")
        return value


def find(engine: str | None, weights: str | os.PathLike[str] | None, *, flag: str = "--weights") -> Files:
    """The weights of a captioner by its name, or those that were given (with `flag`), which then say which one it is.

    Raises WeightsError, with what to do, where they are missing or are something else. Never touches the network.
    """
    if engine is not None and engine not in ENGINES:
        raise UsageError(f"--captioner must be {', '.join(ENGINES)}, not {engine!r}")
    files = _identified(_given(weights) if weights is not None else _published(engine or ENGINES[0], flag))
    if engine is not None and not files.layout.startswith(engine.partition("-")[0]):
        raise WeightsError(
            f"holds {files.layout.partition('-')[0]}, not {engine}: leave --captioner out", path=files.path
        )
    return files


def _published(engine: str, flag: str) -> Path:
    names = [name for name in (engine, f"{engine}-hf") if catalog.known(name) is not None]
    for entry in map(catalog.find, names):
        if (found := catalog.find_local(entry) or _cached(entry)) is not None:
            return found
    needs = f" (and its vocabulary: cn weights pull {VOCABULARY})" if engine.startswith("blip") else ""
    return catalog.locate(engine, otherwise=needs, flag=flag)


def _cached(entry: catalog.PublishedFile) -> Path | None:
    """Where the cache of the Hugging Face hub has any revision of a file's repository."""
    for origin in entry.origins:
        if match := re.match(r"https://huggingface\.co/([^/]+)/([^/]+)/resolve/", origin):
            folder = cache.hugging_face() / f"models--{match[1]}--{match[2]}"
            if (folder / "snapshots").is_dir():
                return _in_folder(places.snapshot(folder), optional=True)
    return None


def _given(weights: str | os.PathLike[str]) -> Path:
    path = Path(weights)
    if path.is_dir():
        found = _in_folder(places.snapshot(path), optional=False)
        assert found is not None
        return found
    if not path.exists() and (entry := catalog.known(os.fspath(weights))) is not None:
        return catalog.find_local(entry) or catalog.locate(entry.name)
    if not path.exists():
        raise places.missing(os.fspath(weights), [])
    return path


def _in_folder(folder: Path, *, optional: bool) -> Path | None:
    for name in _FILES:
        if (folder / name).is_file():
            return folder / name
    others = sorted(path for path in folder.iterdir() if path.suffix in _SUFFIXES and path.is_file())
    if len(others) == 1:
        return others[0]
    if optional:
        return None
    if others:
        raise WeightsError(f"holds several files of weights; give one: {first_names(others)}", path=folder)
    raise WeightsError("holds no weights: give a folder with model.safetensors, or the file itself", path=folder)


def _identified(path: Path) -> Files:
    names = {name.removeprefix("module."): entry for name, entry in open_archive(path).entries.items()}
    if "text_decoder.cross_attn.0.attn.in_proj_weight" in names:
        return Files(path, names, "coca")
    if "text_decoder.bert.encoder.layer.0.crossattention.self.key.weight" in names:
        if "vision_model.embeddings.class_embedding" in names:
            return Files(path, names, "blip")
        if "visual_encoder.cls_token" in names:
            return Files(path, names, "blip-original")
    hint = "; BLIP-2 and CLIP without a decoder are not supported" if len(names) > 1 else ""
    raise WeightsError(f"holds no captioner that cn knows (BLIP or CoCa){hint}", path=path)


def vocabulary(files: Files) -> list[str]:
    """The words of BERT: beside the weights (vocab.txt, tokenizer.json), else from the catalog.

    Raises WeightsError where they are in neither place.
    """
    if (path := files.neighbor("vocab.txt")) is None:
        tokenizer = files.json("tokenizer.json")
        if tokenizer is not None:
            table = (tokenizer.get("model") or {}).get("vocab")
            if isinstance(table, dict) and sorted(table.values()) == list(range(len(table))):
                return sorted(table, key=table.__getitem__)
        path = catalog.locate(VOCABULARY)
    with about(path):
        return decode_text(path.read_bytes()).rstrip("\n").split("\n")


def load(module: Any, entries: Mapping[str, Entry], path: Path, dtype: "torch.dtype") -> Any:
    """A network that was made on torch's meta device, with its weights, each of which is read once, as `dtype`.

    Every parameter needs one of the same shape. Raises WeightsError where they do not fit.
    """
    import torch

    wanted = module.state_dict()
    if missing := [name for name in wanted if name not in entries]:
        raise WeightsError(f"these are not the weights of this network: missing {first_names(missing)}", path=path)
    shapes = [(name, entries[name].shape, tuple(tensor.shape)) for name, tensor in wanted.items()]
    if wrong := [f"{name} {theirs} instead of {ours}" for name, theirs, ours in shapes if tuple(theirs) != ours]:
        raise WeightsError(f"these are not the weights of this network: wrong shape: {first_names(wrong)}", path=path)
    state = {name: load_tensor(entries[name]).to(dtype, copy=True).contiguous() for name in wanted}
    if bad := [name for name, tensor in state.items() if not bool(torch.isfinite(tensor).all())]:
        raise InputError(f"damaged weights: {first_names(bad)} hold values that are not finite", path=path)
    module.load_state_dict(state, strict=True, assign=True)
    return module
