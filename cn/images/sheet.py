"""Contact sheets: images in rows and columns with labels, on one white (or dark) page."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Color = tuple[int, int, int]

# Paper, ink, and the cells without an image.
_LIGHT: tuple[Color, Color, Color] = ((255, 255, 255), (28, 28, 30), (236, 236, 236))
_DARK: tuple[Color, Color, Color] = ((24, 24, 26), (240, 240, 240), (48, 48, 52))


@dataclass(frozen=True)
class _Style:
    """Colors, and lengths in pixels that follow from the side of a cell."""

    cell: int
    paper: Color
    ink: Color
    empty: Color

    @property
    def gap(self) -> int:
        return max(6, self.cell // 24)

    @property
    def margin(self) -> int:
        return 2 * self.gap

    def font(self, scale: float = 1.0) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
        return ImageFont.load_default(max(10, round(min(self.cell, 512) / 15 * scale)))


@dataclass(frozen=True)
class _Text:
    """Lines that fit a given width, and the height they take."""

    lines: tuple[str, ...]
    font: ImageFont.FreeTypeFont | ImageFont.ImageFont
    line_height: int

    @property
    def height(self) -> int:
        return self.line_height * len(self.lines)

    @property
    def width(self) -> int:
        return max((round(self.font.getlength(line)) for line in self.lines), default=0)

    def draw(self, canvas: ImageDraw.ImageDraw, x: float, y: float, ink: Color, anchor: str = "ma") -> None:
        for number, line in enumerate(self.lines):
            canvas.text((x, y + number * self.line_height), line, font=self.font, fill=ink, anchor=anchor)


def grid(
    images: Sequence[NDArray[np.uint8] | None],
    labels: Sequence[str] | None = None,
    *,
    columns: int | None = None,
    row_titles: Sequence[str] | None = None,
    column_titles: Sequence[str] | None = None,
    title: str | None = None,
    cell: int | None = None,
    dark: bool = False,
) -> NDArray[np.uint8]:
    """A labeled sheet of images, uint8 (h, w, 3) RGB.

    `images` are uint8 (h, w), (h, w, 1) or (h, w, 3), any sizes, laid out row by row; None leaves a cell empty.
    `labels` are written under the images. `columns` defaults to the number of column titles, else to a
    near-square sheet. `row_titles` are written at the left, `column_titles` at the top. `cell` is the side of the
    square that every image is fitted into (never cropped or distorted), by default the largest side of all images. Long
    text is wrapped, and cut with "…" after a few lines. Dark text on white, or with `dark` light text on black.
    """
    if not images:
        raise ValueError("a sheet needs at least one image")
    columns = columns or (len(column_titles) if column_titles else _near_square(len(images)))
    cell = cell or max((max(image.shape[:2]) for image in images if image is not None), default=256)
    style = _Style(cell, *(_DARK if dark else _LIGHT))
    fitted = [None if image is None else _fitted(image, cell) for image in images]
    width, heights = _cell_sizes(fitted, columns, cell)
    return _Page(
        style=style,
        columns=columns,
        width=width,
        heights=heights,
        fitted=fitted,
        heading=_wrap(title, style, columns * (width + style.gap) * 2, 2, 1.5) if title else None,
        tops=[_wrap(text, style, width, 3) for text in (column_titles or ())[:columns]],
        sides=[_wrap(text, style, max(90, cell // 2), 8) for text in (row_titles or ())[: len(heights)]],
        under=[_wrap(text, style, width, 4, 0.85) for text in (labels or ())[: len(images)]],
    ).drawn()


@dataclass(frozen=True)
class _Page:
    """A sheet with all its parts at their final size, ready to be laid out."""

    style: _Style
    columns: int
    width: int
    heights: list[int]
    fitted: list[Image.Image | None]
    heading: _Text | None
    tops: list[_Text]
    sides: list[_Text]
    under: list[_Text]

    def drawn(self) -> NDArray[np.uint8]:
        """The sheet, uint8 (h, w, 3)."""
        style, gap, margin = self.style, self.style.gap, self.style.margin
        side_width = max((text.width for text in self.sides), default=0)
        left = margin + (side_width + gap if self.sides else 0)
        top = margin + (self.heading.height + gap if self.heading else 0)
        first = top + (max(text.height for text in self.tops) + gap if self.tops else 0)
        bands = self._bands()
        right = max(
            left + self.columns * (self.width + gap) - gap, margin + (self.heading.width if self.heading else 0)
        )
        page = Image.new("RGB", (right + margin, first + sum(bands) + gap * (len(bands) - 1) + margin), style.paper)
        canvas = ImageDraw.Draw(page)
        if self.heading:
            self.heading.draw(canvas, margin, margin, style.ink, "la")
        for column, text in enumerate(self.tops):
            text.draw(canvas, left + column * (self.width + gap) + self.width / 2, top, style.ink)
        for row in range(len(bands)):
            y = first + sum(bands[:row]) + gap * row
            if row < len(self.sides):
                middle = y + (self.heights[row] - self.sides[row].height) / 2
                self.sides[row].draw(canvas, margin + side_width, middle, style.ink, "ra")
            for number in range(row * self.columns, min((row + 1) * self.columns, len(self.fitted))):
                self._draw_cell(page, canvas, number, left + number % self.columns * (self.width + gap), y)
        return np.array(page)

    def _bands(self) -> list[int]:
        """The height of each row, its labels included."""
        bands = []
        for row, height in enumerate(self.heights):
            labels = self.under[row * self.columns : (row + 1) * self.columns]
            label = max((text.height for text in labels), default=0)
            bands.append(height + (label + self.style.gap // 2 if label else 0))
        return bands

    def _draw_cell(self, page: Image.Image, canvas: ImageDraw.ImageDraw, number: int, x: int, y: int) -> None:
        image, height = self.fitted[number], self.heights[number // self.columns]
        if image is None:
            canvas.rectangle((x, y, x + self.width - 1, y + height - 1), fill=self.style.empty)
        else:
            page.paste(image, (x + (self.width - image.width) // 2, y + (height - image.height) // 2))
        if number < len(self.under):
            self.under[number].draw(canvas, x + self.width / 2, y + height + self.style.gap // 2, self.style.ink)


def _near_square(count: int) -> int:
    """The number of columns of a nearly square sheet without a nearly empty last row."""
    return min(range(1, count + 1), key=lambda c: (abs(c - (-(-count // c))) + 2 * (-count % c) / c, -c))


def _fitted(image: NDArray[np.uint8], cell: int) -> Image.Image:
    """The image with its longer side at `cell`; small images are enlarged by nearest neighbor to stay sharp."""
    array = image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image
    result = Image.fromarray(np.ascontiguousarray(array)).convert("RGB")
    factor = cell / max(result.size)
    if factor == 1:
        return result
    size = (max(1, round(result.width * factor)), max(1, round(result.height * factor)))
    return result.resize(size, Image.Resampling.NEAREST if factor >= 2 else Image.Resampling.LANCZOS)


def _cell_sizes(fitted: Sequence[Image.Image | None], columns: int, cell: int) -> tuple[int, list[int]]:
    """The common width of all columns and the height of each row, as small as the images allow."""
    rows = [fitted[start : start + columns] for start in range(0, len(fitted), columns)]
    width = max((image.width for image in fitted if image), default=cell)
    return width, [max((image.height for image in row if image), default=cell) for row in rows]


def _wrap(text: str, style: _Style, width: int, max_lines: int, scale: float = 1.0) -> _Text:
    """`text` in at most `max_lines` lines of at most `width` pixels; line breaks in it are kept."""
    font = style.font(scale)
    box = font.getbbox("Ågjy")
    lines: list[str] = []
    for paragraph in text.splitlines() or [""]:
        line = ""
        for word in (part for long in paragraph.split() for part in _parts(long, font, width)):
            longer = f"{line} {word}".strip()
            if line and font.getlength(longer) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    if len(lines) > max_lines:
        lines = [*lines[: max_lines - 1], f"{lines[max_lines - 1]} …"]
    cut = tuple(_cut(line, font, width) for line in lines)
    return _Text(cut, font, round((box[3] - box[1]) * 1.3))


def _parts(word: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> list[str]:
    """The word, in parts that fit: the end of a file's name often says more than its beginning."""
    parts = [""]
    for character in word:
        if parts[-1] and font.getlength(parts[-1] + character) > width:
            parts.append("")
        parts[-1] += character
    return parts


def _cut(line: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    if font.getlength(line) <= width:
        return line
    line = line.removesuffix("…").rstrip()
    while line and font.getlength(f"{line}…") > width:
        line = line[:-1].rstrip()
    return f"{line}…"
