"""The part of docs/gallery.md that shows the figures: from their titles and from the records beside the images."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from tools.gallery.figure import Figure
from tools.gallery.make import Record, read_records, write_atomic

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs/gallery.md"
_REGION = re.compile(r"(<!-- figures -->\n).*?(<!-- /figures -->)", re.DOTALL)
_LINE = 118
NOT_MADE = "Not made yet: `make gallery` samples it."


def with_figures(page: str, sections: Mapping[str, Sequence[Figure]], folder: Path, link: str = "gallery") -> str:
    """The text of the page with its figures; `folder` has the images and records, `link` is its path from the page."""
    records = read_records(folder)
    parts: list[str] = []
    for title, figures in sections.items():
        parts.append(f"## {title}\n")
        parts += [_figure(figure, records.get(figure.name), link) for figure in figures]
    text = "\n".join(parts)
    return _REGION.sub(lambda found: f"{found[1]}\n{text}\n{found[2]}", page)


def write_page(sections: Mapping[str, Sequence[Figure]], folder: Path) -> None:
    """Write the figures into docs/gallery.md."""
    before = PAGE.read_text(encoding="utf-8")
    after = with_figures(before, sections, folder)
    if after != before:
        write_atomic(PAGE, after.encode())


def _figure(figure: Figure, record: Record | None, link: str) -> str:
    head = f"### {figure.title}\n\n{figure.text}\n"
    if record is None:
        return f"{head}\n{NOT_MADE}\n"
    lines = [head, f"![{figure.title}]({link}/{record['file']})\n"]
    if record["listed"]:
        lines.append(_listed(record["listed"]))
    commands = "\n".join(f"$ {shell(words)}" for words in record["commands"])
    lines.append(f"<!-- example -->\n```console\n{commands}\n```\n")
    return "\n".join(lines)


def _listed(lines: Sequence[str]) -> str:
    if len(lines) == 1:
        return f"{lines[0]}\n"
    items = "\n".join(f"{number}. {line}" for number, line in enumerate(lines, 1))
    return f"<details><summary>The prompts, row by row</summary>\n\n{items}\n\n</details>\n"


def shell(words: Sequence[str]) -> str:
    """A command line as one types it, over several lines where it is long: each begins with an option."""
    lines, line = [], ""
    for part in _options(words):
        if line and len(line) + 1 + len(part) > _LINE - 4:
            lines.append(f"{line} \\")
            line = f"    {part}"
        else:
            line = f"{line} {part}" if line else part
    return "\n".join([*lines, line])


def _options(words: Sequence[str]) -> list[str]:
    """The words, quoted, each option together with its value."""
    parts: list[str] = []
    for word in words:
        text = word if re.fullmatch(r"[\w./:=-]+", word) else f'"{word}"'
        if parts and parts[-1].startswith("--") and " " not in parts[-1] and not word.startswith("--"):
            parts[-1] += f" {text}"
        else:
            parts.append(text)
    return parts
