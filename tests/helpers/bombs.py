"""Small files that claim to be large images."""

import io
import struct
import zlib
from pathlib import Path

from PIL import Image

from tests.helpers.image_files import png

SIDE = 14_000


def saved(format: str, size: int = 64, mode: str = "RGB", **options: object) -> bytearray:
    data = io.BytesIO()
    Image.new(mode, (size, size)).save(data, format, **options)
    return bytearray(data.getvalue())


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _jpeg(**options: object) -> bytes:
    data = saved("JPEG", **options)
    start = max(data.find(b"\xff\xc0"), data.find(b"\xff\xc2"))
    struct.pack_into(">HH", data, start + 5, SIDE, SIDE)
    return bytes(data)


def _gif() -> bytes:
    data = saved("GIF")
    struct.pack_into("<HH", data, 6, SIDE, SIDE)
    struct.pack_into("<HH", data, data.find(b",", 13) + 5, SIDE, SIDE)
    return bytes(data)


def _gif_with_a_large_second_frame() -> bytes:
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "green", "blue")]
    data = io.BytesIO()
    frames[0].save(data, "GIF", save_all=True, append_images=frames[1:], duration=100, disposal=2)
    gif = bytearray(data.getvalue())
    first = gif.find(b",", gif.find(b"!\xf9"))
    second = gif.find(b",", gif.find(b"!\xf9", first))
    struct.pack_into("<HH", gif, second + 5, 65535, 65535)
    return bytes(gif)


def _tiff(mode: str = "RGB", compression: str | None = None) -> bytes:
    data = saved("TIFF", 8, mode, compression=compression)
    start = struct.unpack_from("<I", data, 4)[0]
    for entry in range(start + 2, start + 2 + 12 * struct.unpack_from("<H", data, start)[0], 12):
        if struct.unpack_from("<H", data, entry)[0] in (256, 257, 278):
            struct.pack_into("<HII", data, entry + 2, 4, 1, SIDE)
    return bytes(data)


def _jpeg2000() -> bytes:
    data = saved("JPEG2000")
    struct.pack_into(">II", data, data.find(b"ihdr") + 4, SIDE, SIDE)
    struct.pack_into(">IIIIII", data, data.find(b"\xff\x51") + 6, SIDE, SIDE, 0, 0, SIDE, SIDE)
    return bytes(data)


def _webp() -> bytes:
    data = saved("WEBP")
    struct.pack_into("<HH", data, data.find(b"\x9d\x01\x2a") + 3, SIDE, SIDE)
    return bytes(data)


def _with_size(data: bytearray, offset: int, layout: str) -> bytes:
    struct.pack_into(layout, data, offset, SIDE, SIDE)
    return bytes(data[:200])


def _icon(image: bytes) -> bytes:
    return struct.pack("<HHHBBBBHHII", 0, 1, 1, 0, 0, 0, 0, 1, 32, len(image), 22) + image


def _run_length_bmp() -> bytes:
    head = struct.pack("<IiiHHIIiiII", 40, SIDE, SIDE, 1, 8, 1, 0, 0, 0, 4, 0) + bytes(16)
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 14 + len(head)) + head + b"\0\1"


def bombs() -> dict[str, bytes]:
    """Files of at most a few hundred bytes by name; each claims SIDE × SIDE pixels or as many."""
    little = bytes(1000)
    return {
        "gray16.png": png(SIDE, SIDE, 16, 0, little),
        "rgba16.png": png(SIDE, SIDE, 16, 6, little),
        "bits.png": png(SIDE, SIDE, 1, 0, little),
        "long.png": png(1, 65_000_000, 8, 0, little),
        "wide.png": png(65_000_000, 1, 8, 0, little),
        "a.jpg": _jpeg(),
        "progressive.jpg": _jpeg(progressive=True),
        "a.gif": _gif(),
        "a.bmp": _with_size(saved("BMP"), 18, "<ii"),
        "runs.bmp": _run_length_bmp(),
        "a.tga": _with_size(saved("TGA"), 12, "<HH"),
        "runs.tga": _with_size(saved("TGA", compression="tga_rle"), 12, "<HH"),
        "raw.tif": _tiff(),
        "bits.tif": _tiff("1", "group4"),
        **{f"{name}.tif": _tiff("RGB", name) for name in ("tiff_lzw", "tiff_deflate", "jpeg", "packbits")},
        "a.ppm": b"P6\n14000 14000\n255\n" + bytes(100),
        "words.pgm": b"P2\n14000 14000\n255\n0 0 0",
        "a.jp2": _jpeg2000(),
        "a.webp": _webp(),
        "png.ico": _icon(png(SIDE, SIDE, 8, 6, little)),
        "bare.jxl": b"\xff\x0a" + (0b0 | 0b10 << 1 | (SIDE - 1) << 3 | 1 << 21).to_bytes(8, "little"),
    }


def metadata_bombs() -> dict[str, bytes]:
    """Valid images of 8 × 8 pixels with text and a profile of 100 MB in 100 kB."""
    many = zlib.compress(bytes(100 << 20), 9)
    rows = bytes(9 * 8)
    return {
        "text.png": png(8, 8, 8, 0, rows, chunk(b"zTXt", b"key\0\0" + many) * 5),
        "international.png": png(8, 8, 8, 0, rows, chunk(b"iTXt", b"key\0\1\0\0\0" + many) * 5),
        "profile.png": png(8, 8, 8, 0, rows, chunk(b"iCCP", b"key\0\0" + many)),
    }


def write_bombs(folder: Path) -> None:
    for name, data in bombs().items():
        (folder / name).write_bytes(data)
    samples = saved("TIFF", 8)
    struct.pack_into("<I", samples, samples.index(struct.pack("<HHI", 277, 3, 1)) + 8, 2048)
    (folder / "samples.tif").write_bytes(samples)
    (folder / "frame2.gif").write_bytes(_gif_with_a_large_second_frame())
    for name, data in metadata_bombs().items():
        (folder / name).write_bytes(data)
