"""What a file is that cannot be read as an image, by its first bytes: for a message that says what to do."""

import io

from cn.images import formats, tiff_pages
from cn.images.png_chunks import SIGNATURE

TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_BROKEN = "the image is broken or cut off"
_VIDEO = "is a video, not an image"
_KNOWN: tuple[tuple[bytes, str | None], ...] = (
    (SIGNATURE, _BROKEN),
    (b"\xff\xd8\xff", _BROKEN),
    (b"GIF8", _BROKEN),
    (b"version https://git-lfs", "not an image but a Git LFS pointer; run `git lfs pull`"),
    (b"\x76\x2f\x31\x01", formats.NUMBERS_ADVICE),
    (b"\x93NUMPY", formats.NUMBERS_ADVICE),
    (b"#?RADIANCE", formats.unread("a.hdr")),
    (b"8BPS", formats.unread("a.psd")),
    (b"gimp xcf", formats.unread("a.xcf")),
    (b"%PDF", formats.unread("a.pdf")),
    (b"%!PS", formats.unread("a.eps")),
    (b"\xc5\xd0\xd3\xc6", formats.unread("a.eps")),
    (b"FUJIFILMCCD-RAW", formats.RAW_ADVICE),
    (b"IIU\0", formats.RAW_ADVICE),
    (b"IIRO", formats.RAW_ADVICE),
    (b"\x1a\x45\xdf\xa3", _VIDEO),
)
"""First bytes, and what is said of a file that begins with them."""

_KINDS = {1: "integers", 2: "signed integers", 3: "floats", 5: "complex integers", 6: "complex numbers"}
"""The values of the field SampleFormat (TIFF 6.0, section 19, and its supplements)."""
_FIELDS = {tiff_pages.BITS, tiff_pages.SAMPLES, tiff_pages.SAMPLE_FORMAT, tiff_pages.COMPRESSION, tiff_pages.SUB_IFDS}
_FIELDS |= {tiff_pages.DNG_VERSION, tiff_pages.PHOTOMETRIC, tiff_pages.WIDTH, tiff_pages.PLANES}
_SENSOR = (32803, 34892)
"""The values of PhotometricInterpretation in raw files: a color filter array, linear raw (DNG 1.7)."""
_READ_COMPRESSIONS = frozenset({1, 2, 3, 4, 5, 6, 7, 8, 32773, 32946, 34925, 50000})


def why(data: bytes) -> str:
    """What is wrong with a file that Pillow does not identify, or cannot read."""
    for start, message in _KNOWN:
        if data.startswith(start) and message is not None:
            return message
    if data.startswith(TIFF):
        return _tiff(data)
    if data.startswith((b"Pf", b"PF")) and data[2:3].isspace():
        return formats.NUMBERS_ADVICE
    if data.startswith(b"PK\3\4") and b".npy" in data[:512]:
        return formats.NUMBERS_ADVICE
    if data.startswith(b"RIFF"):
        return _VIDEO if data[8:12] == b"AVI " else _BROKEN
    if data[4:8] == b"ftyp":
        return _media(data[8:12])
    return _text(data[:512]) or "not an image, or an unsupported format"


def misread_tiff(data: bytes) -> str | None:
    """What is wrong with a TIFF that Pillow would read as something else, or None.

    Of a camera's raw file it reads the preview, and of 16-bit colors in separate planes it mixes the bytes.
    """
    pages = list(tiff_pages.directories(io.BytesIO(data), _FIELDS | {tiff_pages.SUBFILE}))
    sensor = any(page.get(tiff_pages.PHOTOMETRIC) in _SENSOR or tiff_pages.DNG_VERSION in page.fields for page in pages)
    only_previews = bool(pages) and all(page.get(tiff_pages.SUBFILE) & 1 for page in pages)
    if data[8:10] == b"CR" or sensor or (only_previews and any(tiff_pages.SUB_IFDS in page.fields for page in pages)):
        return formats.RAW_ADVICE
    if any(page.get(tiff_pages.PLANES) == 2 and page.get(tiff_pages.BITS) == 16 for page in pages):
        return "is a TIFF of 16-bit colors in separate planes, which are not read; save it with interleaved channels"
    return None


def _tiff(data: bytes) -> str:
    """A TIFF: what its samples are."""
    page = tiff_pages.first_page(data, _FIELDS)
    bits = page.fields.get(tiff_pages.BITS, (1,))
    if tiff_pages.WIDTH not in page.fields or not bits:
        return _BROKEN
    compression = page.get(tiff_pages.COMPRESSION, 1)
    if compression not in _READ_COMPRESSIONS:
        return f"is a TIFF with compression {compression}, which is not read; save it with LZW or Deflate"
    form = page.get(tiff_pages.SAMPLE_FORMAT, 1)
    channels = page.get(tiff_pages.SAMPLES, 1)
    samples = f"{bits[0]}-bit {_KINDS.get(form, 'samples of an unknown type')}"
    what = f"is a TIFF of {samples}" if channels == 1 else f"is a TIFF of {channels} channels of {samples}"
    if channels == 1 and form in (1, 2, 3) and bits[0] in (16, 32, 64):
        return f"{what}, which are numbers, not an image; `cn detect depth --from-depth` reads it"
    return f"{what}, which are not read; save it with 8 or 16 bits per channel, gray or RGB"


def _media(brand: bytes) -> str:
    """A file of ISO's media format (ISO 14496-12), by its major brand."""
    if brand == b"crx ":
        return formats.RAW_ADVICE
    if brand in (b"avif", b"avis"):
        return "is an AVIF that is broken or cut off, or this Pillow was built without AVIF; pip install -U pillow"
    return _BROKEN if brand in (b"heic", b"heix", b"mif1", b"msf1", b"heim", b"heis") else _VIDEO


def _text(head: bytes) -> str | None:
    """Text, if it is: one replacement character is allowed, because the last character may have been cut in two."""
    text = head.decode("utf-8", "replace")
    if text.count("\ufffd") > 1 or not all(character.isprintable() or character.isspace() for character in text):
        return None
    start = text.lstrip().lower()
    if "<svg" in start:
        return formats.unread("a.svg")
    if start.startswith(("<!doctype html", "<html")):
        return "not an image but a web page; download the image itself"
    return "not an image but text"
