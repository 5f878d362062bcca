"""Small valid files of every format that cn reads, which the fuzzer damages. The same on every call."""

import argparse
import functools
import io
import json
import pickle
import re
import struct
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fuzz_images import colors, images, npy, saved, text_chunks
from PIL import Image

from cn.checkpoints.checkpoint import ControlSpec
from cn.checkpoints.read.contents import Contents
from cn.checkpoints.shapes import base_shapes, control_shapes
from cn.checkpoints.write.plan import plan
from cn.checkpoints.write.writer import write_conversion
from cn.conditions import ConditionInfo
from cn.detect.segmentation import palettes
from cn.images.writer import encode
from cn.model.config import ModelConfig, TextConfig, UNetConfig, VAEConfig
from cn.sample import parameters, png_metadata
from cn.sample.request import Condition, SampleRequest
from cn.train.config import TrainConfig

Seed = dict[str, bytes]
"""A file, or a folder: relative path → content."""

_SMALL = ModelConfig(
    name="sd1",
    unet=UNetConfig(channels=(32, 32), strides=(2,), res_blocks=1, attention_levels=(0,), context_dim=64),
    vae=VAEConfig(channels=(32, 32), res_blocks=1),
    text=TextConfig(width=64, heads=1, layers=1, run_layers=1, vocab_size=20),
)


def with_text(key: str, text: str) -> bytes:
    """A PNG with a text chunk."""
    return saved(Image.fromarray(colors(4, 4)), "PNG", pnginfo=text_chunks(**{key: text}))


def condition() -> bytes:
    info = ConditionInfo("canny", "Canny", {"low": 100, "high": 200}, "a" * 64)
    ((key, text),) = info.to_text().items()
    return with_text(key, text)


def samples() -> Mapping[str, bytes]:
    """Images of cn sample with one condition: as PNG and JPEG, and what other programs would keep of it."""
    hint = Condition(image=colors(8, 8), name="edges.png", kind="canny", control="canny")
    request = SampleRequest(prompts=("a house",), conditions=(hint,), size=(64, 64), scale=9.0)
    text = png_metadata.to_text(request, [hint.image], "a house", 7, {"base": "b" * 64})
    own, others = png_metadata.TEXT_KEY, parameters.KEY
    return {
        "own.png": with_text(own, text[own]),
        "others.png": with_text(others, text[others]),
        "own.jpg": encode(colors(4, 4), "JPEG", exif=png_metadata.to_exif(text, "JPEG")),
    }


def labels() -> Mapping[str, bytes]:
    """Label maps, by a name that ends with their suffix: numbers, colors, and ADE20K's full release."""
    ids = np.arange(108, dtype=np.uint8).reshape(9, 12)
    full = np.stack([ids // 20 * 10, ids, ids % 3], axis=-1)
    return {
        "ids.png": saved(Image.fromarray(ids), "PNG"),
        "ids.tif": saved(Image.fromarray(ids), "TIFF", compression="tiff_lzw"),
        "ids.npy": npy(ids.astype(np.int64)),
        "gray as colors.png": saved(Image.fromarray(np.stack([ids] * 3, axis=-1)), "PNG"),
        "palette.png": saved(Image.fromarray(palettes.paint(ids, palettes.ADE20K)).quantize(99), "PNG"),
        "colors.png": saved(Image.fromarray(palettes.paint(ids, palettes.ADE20K)), "PNG"),
        "full.png": saved(Image.fromarray(full), "PNG"),
    }


def poses() -> Mapping[str, bytes]:
    body = [value for k in range(18) for value in (10 * k + 5, 7 * k + 3, 1)]
    hand = [value for k in range(21) for value in (100 + k, 90 + k, 0.9)]
    person = {"pose_keypoints_2d": body, "hand_left_keypoints_2d": hand, "face_keypoints_2d": [1, 2, 1] * 70}
    image = {"people": [person, {"pose_keypoints_2d": [0.5, 0.4, 1] * 25}], "canvas_width": 320, "canvas_height": 240}
    points = [[value, value + 1] for value in range(18)]
    coco = [value for k in range(17) for value in (10 * k, 9 * k, 2)]
    records = {
        "openpose": image,
        "list": [image, {"people": []}],
        "record": {"output": "a.png", "found": image},
        "editor": {"width": 320, "height": 240, "keypoints": points},
        "coco": {
            "images": [{"id": 1, "file_name": "a.jpg", "width": 320, "height": 240}],
            "annotations": [{"image_id": 1, "category_id": 1, "keypoints": coco, "num_keypoints": 17, "score": 0.5}],
            "categories": [{"id": 1, "name": "person", "keypoints": ["nose"]}],
        },
        "alphapose": [{"image_id": "a.jpg", "category_id": 1, "keypoints": coco, "score": 2.9, "box": [1, 2, 3, 4]}],
        "mmpose": {
            "meta_info": {},
            "instance_info": [{"instances": [{"keypoints": points[:17], "keypoint_scores": [1] * 17}]}],
        },
    }
    lines = "\n".join(json.dumps(records[name]) for name in ("openpose", "record"))
    return {name: json.dumps(record).encode() for name, record in records.items()} | {"lines": lines.encode()}


def yolo() -> Mapping[str, bytes]:
    """Lines of YOLO's labels: with flags, without, and of a box only."""
    box, points = "0 0.5 0.5 0.2 0.4", [(0.1 + k / 50, 0.2 + k / 40) for k in range(17)]
    flags = " ".join(f"{x:.3f} {y:.3f} {k % 3}" for k, (x, y) in enumerate(points))
    plain = " ".join(f"{x:.3f} {y:.3f}" for x, y in points)
    return {"flags": f"{box} {flags}\n".encode() * 2, "plain": f"{box} {plain} 0.9 3\n{box}\n".encode()}


def panoptic() -> Seed:
    """A label map of COCO with its annotations."""
    segments = [{"id": 1 + 2 * 256, "category_id": 1, "area": 9, "bbox": [0, 0, 1, 1]}, {"id": 7, "category_id": 200}]
    colors = np.array([[[1, 2, 0], [7, 0, 0], [0, 0, 0]]], np.uint8)
    record = {"annotations": [{"file_name": "map.png", "image_id": 1, "segments_info": segments}]}
    return {"map.png": saved(Image.fromarray(colors), "PNG"), "panoptic.json": json.dumps(record).encode()}


def dataset() -> Seed:
    """Two pairs."""
    png = images()["png"]["RGB"]
    pairs = [{"source": f"source/{k}.png", "target": f"target/{k}.png", "prompt": "a house"} for k in (0, 1)]
    files = {path: png for pair in pairs for path in (pair["source"], pair["target"])}
    return {"prompt.json": "".join(json.dumps(pair) + "\n" for pair in pairs).encode(), **files}


def run() -> Seed:
    """A training run, without its weights."""
    config = TrainConfig(cond="canny", size=64, base="base", base_sha256="a" * 64, steps=5, lr=1e-3)
    with tempfile.TemporaryDirectory() as folder:
        config.save(Path(folder))
        text = Path(folder, "config.toml").read_bytes()
    state = {"step": 5, "loss": 0.5, "scaler": {"scale": 1024.0}, "skipped": 0}
    lines = b"".join(json.dumps({"step": k, "loss": 0.5}).encode() + b"\n" for k in range(1, 6))
    return {
        "config.toml": text,
        "state/step-00000005/numbers.json": json.dumps(state).encode(),
        "metrics.jsonl": lines,
        "control.safetensors": checkpoint("native", "control")["input.safetensors"],
    }


class _Zeros:
    """A parameter of zeros, of `cn.checkpoints.read.contents.Parameter`."""

    dtype, stored = "F16", ()

    def __init__(self, shape: tuple[int, ...]):
        self.shape = shape

    def read(self) -> torch.Tensor:
        return torch.zeros(self.shape, dtype=torch.float16)


@functools.cache
def checkpoint(layout: Any, role: str) -> Seed:
    """A small base, control or both ("all") in a layout."""
    spec = ControlSpec(_SMALL.unet)
    shapes = base_shapes(_SMALL) if role != "control" else {}
    shapes |= {"control": control_shapes(spec)} if role != "base" else {}
    parts = {part: {name: _Zeros(shape) for name, shape in named.items()} for part, named in shapes.items()}
    config, control = (_SMALL if role != "control" else None), (spec if role != "base" else None)
    conversion = plan(Contents(Path("seed"), layout, parts, config, control, {}), layout)
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder, "made" if conversion.is_folder else "input.safetensors")
        write_conversion(conversion, place)
        root = place if conversion.is_folder else place.parent
        files = {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*")) if path.is_file()}
        return {name: path.read_bytes() for name, path in files.items() if not name.startswith("tokenizer/")}


def torch_files() -> Mapping[str, bytes]:
    """Files of torch.save, zip and legacy, and plain pickles."""
    weights = torch.arange(6.0).reshape(3, 2)
    value = {"state_dict": {"a": weights, "b": weights.t()}, "step": 7, "x": argparse.Namespace(y=1)}
    found = {}
    for name, protocol, new in (("zip", 2, True), ("zip 4", 4, True), ("legacy", 2, False)):
        file = io.BytesIO()
        torch.save(value, file, pickle_protocol=protocol, _use_new_zipfile_serialization=new)
        # The old format names storages by their addresses in memory.
        address = re.compile(rb"X.\0\0\0\d{6,}", re.DOTALL)
        found[name] = address.sub(b"X\1\0\0\x000", file.getvalue()) if name == "legacy" else file.getvalue()
    return found | {"text": pickle.dumps({"a": 1}, 0), "pickle": pickle.dumps({"a": [1.5, "b", (None, True)]}, 2)}


def safetensors() -> Mapping[str, bytes]:
    """Files of a few tensors."""
    found = {}
    for dtype, size in (("F32", 4), ("BF16", 2), ("F8_E4M3", 1), ("I64", 8)):
        header = {
            "__metadata__": {"format": "pt"},
            "a": {"dtype": dtype, "shape": [2, 3], "data_offsets": [0, 6 * size]},
            "b.weight": {"dtype": dtype, "shape": [], "data_offsets": [6 * size, 7 * size]},
        }
        head = json.dumps(header).encode()
        found[dtype] = struct.pack("<Q", len(head)) + head + bytes(7 * size)
    return found


def settings_yaml() -> bytes:
    """The settings that lie beside an original single file."""
    return (
        b"model:\n  params:\n    parameterization: v\n    scale_factor: 0.18215\n    unet_config:\n      params:\n"
        b"        num_heads: 8\n        num_head_channels: -1\n        context_dim: 32\n    linear_start: 0.00085\n"
    )
