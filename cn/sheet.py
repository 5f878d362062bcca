"""Contact sheets: pictures in rows and columns with labels, on one white (or dark) page."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Colour = tuple[int, int, int]


@dataclass(frozen=True)
class _Style:
    """Colours, and lengths in pixels that follow from the side of a cell."""

    cell: int
    paper: Colour
    ink: Colour
    faint: Colour

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

    def draw(self, canvas: ImageDraw.ImageDraw, x: float, y: float, ink: Colour, anchor: str = "ma") -> None:
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
    """A labelled sheet of pictures, uint8 (h, w, 3) RGB.

    `images` are uint8 (h, w), (h, w, 1) or (h, w, 3), any sizes, laid out row by row; None leaves a place empty.
    `labels` stand under the pictures, one each. `columns` defaults to the number of column titles, else to a
    near-square sheet. `row_titles` stand at the left, `column_titles` on top. `cell` is the side of the square that
    every picture is fitted into (never cut, never distorted); by default the largest side there is. Long text is
    wrapped, and cut with "…" after a few lines. Dark ink on white paper, or with `dark` the other way round.
    """
    if not images:
        raise ValueError("a sheet needs at least one image")
    columns = columns or (len(column_titles) if column_titles else _near_square(len(images)))
    rows = -(-len(images) // columns)
    cell = cell or max((max(image.shape[:2]) for image in images if image is not None), default=256)
    paper, ink, faint = (
        ((24, 24, 26), (240, 240, 240), (48, 48, 52)) if dark else ((255,) * 3, (28, 28, 30), (236,) * 3)
    )
    style = _Style(cell, paper, ink, faint)
    pictures = [None if image is None else _fitted(image, cell) for image in images]
    width, heights = _cell_sizes(pictures, rows, columns, cell)

    heading = _wrap(title, style, columns * (width + style.gap) * 2, 2, 1.5) if title else None
    tops = [_wrap(text, style, width, 3) for text in (column_titles or ())[:columns]]
    sides = [_wrap(text, style, max(90, cell // 2), 8) for text in (row_titles or ())[:rows]]
    under = [_wrap(text, style, width, 4, 0.85) for text in (labels or ())[: len(images)]]

    side_width = max((_width(text) for text in sides), default=0)
    left = style.margin + (side_width + style.gap if sides else 0)
    top = style.margin + (heading.height + style.gap if heading else 0)
    first_row = top + (max(text.height for text in tops) + style.gap if tops else 0)
    label_heights = [
        max((text.height for text in under[r * columns : (r + 1) * columns]), default=0) for r in range(rows)
    ]
    bands = [h + (label + style.gap // 2 if label else 0) for h, label in zip(heights, label_heights, strict=True)]
    page_width = max(
        left + columns * (width + style.gap) - style.gap, style.margin + (_width(heading) if heading else 0)
    )
    page = Image.new(
        "RGB", (page_width + style.margin, first_row + sum(bands) + style.gap * (rows - 1) + style.margin), paper
    )
    canvas = ImageDraw.Draw(page)

    if heading:
        heading.draw(canvas, style.margin, style.margin, ink, "la")
    for column, text in enumerate(tops):
        text.draw(canvas, left + column * (width + style.gap) + width / 2, top, ink)
    for number, picture in enumerate(pictures):
        row, column = divmod(number, columns)
        x, y = left + column * (width + style.gap), first_row + sum(bands[:row]) + style.gap * row
        if picture is None:
            canvas.rectangle((x, y, x + width - 1, y + heights[row] - 1), fill=faint)
        else:
            page.paste(picture, (x + (width - picture.width) // 2, y + (heights[row] - picture.height) // 2))
        if number < len(under):
            under[number].draw(canvas, x + width / 2, y + heights[row] + style.gap // 2, ink)
        if column == 0 and row < len(sides):
            middle = y + (heights[row] - sides[row].height) / 2
            sides[row].draw(canvas, style.margin + side_width, middle, ink, "ra")
    return np.array(page)


def _near_square(count: int) -> int:
    """The number of columns of a sheet that is about as wide as high, without a nearly empty last row."""
    return min(range(1, count + 1), key=lambda c: (abs(c - (-(-count // c))) + 2 * (-count % c) / c, -c))


def _fitted(image: NDArray[np.uint8], cell: int) -> Image.Image:
    """The picture with its longer side at `cell`; small ones grow by whole pixels so that they stay crisp."""
    picture = Image.fromarray(np.ascontiguousarray(image[..., 0] if image.ndim == 3 and image.shape[2] == 1 else image))
    picture = picture.convert("RGB")
    factor = cell / max(picture.size)
    if factor == 1:
        return picture
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return picture.resize(size, Image.Resampling.NEAREST if factor >= 2 else Image.Resampling.LANCZOS)


def _cell_sizes(pictures: Sequence[Image.Image | None], rows: int, columns: int, cell: int) -> tuple[int, list[int]]:
    """The common width of all columns, and the height of each row: no more than the pictures need."""
    width = max((picture.width for picture in pictures if picture), default=cell)
    heights = []
    for row in range(rows):
        present = [picture.height for picture in pictures[row * columns : (row + 1) * columns] if picture]
        heights.append(max(present, default=cell))
    return width, heights


def _wrap(text: str, style: _Style, width: int, most: int, scale: float = 1.0) -> _Text:
    """`text` in at most `most` lines of at most `width` pixels; line breaks in it are kept."""
    font = style.font(scale)
    box = font.getbbox("Ågjy")
    lines: list[str] = []
    for paragraph in text.splitlines() or [""]:
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and font.getlength(longer) > width:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    if len(lines) > most:
        lines = [*lines[: most - 1], f"{lines[most - 1]} …"]
    fitted = tuple(_cut(line, font, width) for line in lines)
    return _Text(fitted, font, round((box[3] - box[1]) * 1.3))


def _cut(line: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    if font.getlength(line) <= width:
        return line
    line = line.removesuffix("…").rstrip()
    while line and font.getlength(f"{line}…") > width:
        line = line[:-1].rstrip()
    return f"{line}…"


def _width(text: _Text) -> int:
    return max((round(text.font.getlength(line)) for line in text.lines), default=0)
