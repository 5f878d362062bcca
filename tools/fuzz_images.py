"""Small valid image files of every format, and files with one number per pixel."""

import contextlib
import functools
import importlib
import io
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, PngImagePlugin

from cn.images.formats import MEASURED_SUFFIXES


def colors(height: int = 9, width: int = 12) -> np.ndarray:
    return (np.arange(height * width * 3, dtype=np.uint32) * 37 % 256).astype(np.uint8).reshape(height, width, 3)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def text_chunks(**chunks: str) -> PngImagePlugin.PngInfo:
    info = PngImagePlugin.PngInfo()
    for name, value in chunks.items():
        info.add_text(name, value)
    info.add_itxt("note", "é", zip=True)
    info.add_text("long", "a" * 300, zip=True)
    return info


@functools.cache
def images() -> Mapping[str, Mapping[str, bytes]]:
    """Format → files."""
    rgb = Image.fromarray(colors())
    alpha, palette, gray = rgb.convert("RGBA"), rgb.quantize(7), rgb.convert("L")
    alpha.putalpha(gray)
    deep = Image.fromarray(np.arange(108, dtype=np.uint16).reshape(9, 12) * 600)
    real = Image.fromarray(np.linspace(0, 9, 108, dtype=np.float32).reshape(9, 12))
    exif = Image.Exif()
    exif[0x0112], exif[0x010E] = 6, "a photograph"
    more = {"save_all": True, "append_images": [rgb.rotate(90), rgb.rotate(180)]}
    ways = {"RGB": rgb, "RGBA": alpha, "P": palette, "L": gray, "1": gray.convert("1"), "LA": alpha.convert("LA")}
    found: dict[str, dict[str, bytes]] = {
        "png": {mode: saved(image, "PNG", pnginfo=text_chunks(a="b"), exif=exif) for mode, image in ways.items()}
        | {"16 bits": saved(deep, "PNG"), "animated": saved(rgb, "PNG", **more)},
        "jpeg": {mode: saved(rgb.convert(mode), "JPEG", exif=exif) for mode in ("RGB", "L", "CMYK")}
        | {"progressive": saved(rgb, "JPEG", progressive=True, icc_profile=bytes(200))}
        | {"several": saved(rgb, "MPO", save_all=True, append_images=[rgb])},
        "tiff": {
            f"{mode} {way}": saved(image, "TIFF", compression=way)
            for mode, image in ways.items()
            for way in (None, "tiff_lzw", "tiff_adobe_deflate", "packbits")
        }
        | {"jpeg": saved(rgb, "TIFF", compression="jpeg"), "fax": saved(ways["1"], "TIFF", compression="group4")}
        | {"16 bits": saved(deep, "TIFF"), "float": saved(real, "TIFF"), "pages": saved(rgb, "TIFF", **more)},
        "webp": {"lossy": saved(alpha, "WEBP", exif=exif), "lossless": saved(alpha, "WEBP", lossless=True)}
        | {"animated": saved(rgb, "WEBP", **more)},
        "gif": {"still": saved(palette, "GIF"), "animated": saved(rgb, "GIF", **more)},
        "bmp": {mode: saved(ways[mode], "BMP") for mode in ("RGB", "RGBA", "P", "1")},
        "jpeg 2000": {
            "RGB": saved(rgb, "JPEG2000"),
            "RGBA": saved(alpha, "JPEG2000"),
            "16 bits": saved(deep, "JPEG2000"),
        },
        "ppm": {"P6": saved(rgb, "PPM"), "P5": saved(gray, "PPM"), "P4": saved(ways["1"], "PPM")}
        | {"P3": b"P3\n# text\n2 1\n255\n1 2 3 4 5 6\n", "P2": b"P2 2 1 65535 1 70\n"},
        "tga": {"plain": saved(rgb, "TGA"), "packed": saved(alpha, "TGA", compression="tga_rle")},
        "ico": {"sizes": saved(alpha.resize((32, 32)), "ICO", sizes=[(16, 16), (32, 32)])},
    }
    for name, kind, plugin in (("avif", "AVIF", ""), ("heic", "HEIF", "pillow_heif"), ("jpeg xl", "JXL", "pillow_jxl")):
        with contextlib.suppress(ImportError, KeyError, OSError):
            if plugin == "pillow_heif":
                importlib.import_module(plugin).register_heif_opener()
            elif plugin:
                importlib.import_module(plugin)
            found[name] = {"RGB": saved(rgb.resize((32, 24)), kind), "RGBA": saved(alpha.resize((32, 24)), kind)}
    return found


@functools.cache
def videos() -> Mapping[str, bytes]:
    """Videos of three frames, by a name that ends with their suffix; those whose codec this OpenCV has."""
    found = {}
    for name, codec in (("a.mp4", "mp4v"), ("b.avi", "MJPG"), ("c.mkv", "VP80")):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, name)
            writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 5.0, (32, 32))
            for number in range(3):
                writer.write(np.full((32, 32, 3), 60 * number, np.uint8))
            writer.release()
            if path.is_file() and path.stat().st_size:
                found[name] = path.read_bytes()
    return found


def _pfm() -> bytes:
    return b"Pf\n6 6\n-1.0\n" + np.linspace(0, 9, 36, dtype="<f4").tobytes()


def npy(array: np.ndarray, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def _npz(save: Any, **arrays: np.ndarray) -> bytes:
    file = io.BytesIO()
    save(file, **arrays)
    return file.getvalue()


@functools.cache
def numbers() -> Mapping[str, bytes]:
    """Files with one number per pixel, by a name that ends with their suffix."""
    depth = np.linspace(0, 9, 108, dtype=np.float32).reshape(9, 12)
    found = {
        "float.npy": npy(depth),
        "order.npy": npy(np.asfortranarray(depth.astype(np.float64))),
        "half.npy": npy(depth.astype(np.float16)[..., None]),
        "whole.npy": npy((depth * 9).astype(">u2")),
        "stored.npz": _npz(np.savez, depth=depth),
        "packed.npz": _npz(np.savez_compressed, depth=depth, valid=depth > 1),
        "gray.pfm": _pfm(),
        **{
            f"{name}.tif": data
            for name, data in images()["tiff"].items()
            if name.split()[0] in ("L", "16", "float", "P")
        },
        "deep.png": images()["png"]["16 bits"],
        "gray.png": images()["png"]["L"],
    }
    with contextlib.suppress(ImportError, AttributeError):
        found |= _exr(depth)
    return {name: data for name, data in found.items() if f".{name.rpartition('.')[2]}" in MEASURED_SUFFIXES}


def _exr(depth: np.ndarray) -> Mapping[str, bytes]:
    library = importlib.import_module("OpenEXR")
    found = {}
    for name, array, method in (
        ("none", depth, library.NO_COMPRESSION),
        ("zip", depth, library.ZIP_COMPRESSION),
        ("piz", depth.astype(np.float16), library.PIZ_COMPRESSION),
    ):
        with tempfile.NamedTemporaryFile(suffix=".exr") as file:
            header = {"compression": method, "type": library.scanlineimage}
            library.File(header, {"Z": array, "A": array}).write(file.name)
            found[f"{name}.exr"] = Path(file.name).read_bytes()
    return found
