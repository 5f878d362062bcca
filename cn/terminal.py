"""What is drawn on a terminal, with rich: progress bars, plans, images. Imported only when stderr is a terminal."""

import contextlib
import functools
import os
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.control import Control
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.table import Column, Table
from rich.text import Text

_active: list[Progress] = []
"""The bars that are drawn now."""


_image_rows: list[int] = []
"""Of the image right above the bar, if there is one: the next takes its place."""
MAX_IMAGE_ROWS = 16


class Bar:
    """A progress bar; calling it advances it."""

    def __init__(self, progress: Progress, task: TaskID):
        self._progress, self._task = progress, task

    def __call__(self, n: int = 1, **fields: object) -> None:
        shown = {"info": "  ".join(f"{name}={_short(value)}" for name, value in fields.items())} if fields else {}
        self._progress.update(self._task, advance=n, **shown)  # type: ignore[arg-type]


class _RateColumn(ProgressColumn):
    """Units per second, or seconds per unit where that is above one."""

    def __init__(self, unit: str):
        super().__init__(table_column=Column(no_wrap=True))
        self.unit = unit

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        if not speed:
            return Text(f"? {self.unit}/s", style="dim")
        return Text(f"{speed:.2f} {self.unit}/s" if speed >= 1 else f"{1 / speed:.2f} s/{self.unit}", style="dim")


@contextlib.contextmanager
def progress_bar(total: int | None, description: str, unit: str, initial: int) -> Iterator[Bar]:
    """A bar on stderr with rate, time left and further fields. `initial` units were done before it began."""
    amount = [DownloadColumn(), TransferSpeedColumn()] if unit == "B" else [MofNCompleteColumn(), _RateColumn(unit)]
    console = Console(stderr=True, highlight=False)
    progress = Progress(
        TextColumn("{task.description}"),
        # In a narrow terminal the numbers count more than the bar.
        BarColumn(bar_width=min(40, max(4, console.width - 60))),
        *amount,
        TimeRemainingColumn(),
        TextColumn("{task.fields[info]}", markup=False),
        console=console,
        # Results go to stdout and may be in a pipe: rich must not redirect them. `lifted` makes room for lines.
        redirect_stdout=False,
        redirect_stderr=False,
        transient=True,
    )
    bar = Bar(progress, progress.add_task(description, total=total, completed=initial, info=""))
    _active.append(progress)
    try:
        with _drawn(progress):
            try:
                yield bar
            finally:
                progress.live.transient = False
    finally:
        _active.remove(progress)


@contextlib.contextmanager
def _drawn(progress: Progress) -> Iterator[None]:
    """Draws a bar during the block. A terminal that is closed meanwhile is no error: the work goes on, or is saved."""
    with contextlib.suppress(OSError):
        progress.start()
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            progress.stop()


@contextlib.contextmanager
def lifted() -> Iterator[None]:
    """Erases the bar for the length of a `with` block in which lines are written."""
    _image_rows.clear()
    with _without_bar():
        yield


@contextlib.contextmanager
def _without_bar() -> Iterator[None]:
    for progress in _active:
        with contextlib.suppress(OSError):
            progress.stop()
    try:
        yield
    finally:
        for progress in _active:
            with contextlib.suppress(OSError):
                progress.start()


def plan(title: str, rows: Mapping[str, str]) -> None:
    """A title above name-value rows on stderr; long values wrap in their column."""
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(Text(f"  {name}"), Text(value))
    console = Console(stderr=True, highlight=False)
    with contextlib.suppress(OSError):  # As with a bar.
        console.print(Text(title, style="bold"))
        console.print(table)


@functools.cache
def image_renderable() -> Any:
    """The class of textual-image that this terminal shows images with (kitty's protocol, Sixel); None without either.

    The terminal is asked, on the first call: standard input and output have to be one, of a known size.
    """
    if 0 in os.get_terminal_size(sys.__stdout__.fileno() if sys.__stdout__ else 1):
        # Of a program that plays terminal; textual-image would divide by it.
        return None
    try:
        from textual_image.renderable import Image, SixelImage, TGPImage
    except ImportError:
        return None
    return Image if Image in (SixelImage, TGPImage) else None


def show_image(image: Any, renderable: Any, console: Console | None = None) -> None:
    """Draw an image (of Pillow) above the bar, in place of the last one if no lines were written since."""
    console = console or Console(stderr=True, highlight=False)
    # A cell is about twice as high as it is wide.
    rows = min(MAX_IMAGE_ROWS, console.height // 2, int(console.width * image.height / image.width / 2))
    if rows < 1:
        return
    with _without_bar(), contextlib.suppress(OSError):
        if _image_rows:
            console.control(Control.move(0, -_image_rows.pop()))
        console.print(renderable(image, width="auto", height=rows), end="")
        _image_rows[:] = [rows]


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
