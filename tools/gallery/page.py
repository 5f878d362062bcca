"""What the pages show of the figures: from their titles and from the records beside the images."""

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from cn.files import write_atomic
from tools.gallery.figure import Figure, Section
from tools.gallery.make import Record, read_records

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs/gallery.md"
_REGION = re.compile(r"(<!-- figures -->\n).*?(<!-- /figures -->)", re.DOTALL)
_PART = re.compile(r"(<!-- (image|commands): ([\w-]+) -->\n)(.*?)(<!-- /\2 -->)", re.DOTALL)
_LINE = 118
NOT_MADE = "Not made yet: `make gallery` samples it."


def with_figures(page: str, sections: Sequence[Section], folder: Path, link: str = "gallery") -> str:
    """The text of the page with its figures; `folder` has the images and records, `link` is its path from the page."""
    records = read_records(folder)
    parts: list[str] = []
    for section in sections:
        parts.append(f"## {section.title}\n")
        parts += [f"{section.text}\n"] if section.text else []
        parts += [_figure(figure, records.get(figure.name), link) for figure in section.figures]
    text = "\n".join(parts)
    return _REGION.sub(lambda found: f"{found[1]}\n{text}\n{found[2]}", page)


def write_gallery(sections: Sequence[Section], folder: Path) -> None:
    """Write the figures into docs/gallery.md."""
    _rewrite(PAGE, lambda text: with_figures(text, sections, folder))


def with_parts(page: str, figures: Mapping[str, Figure], folder: Path) -> str:
    """The text of a page with the images and commands that it names, as the records in `folder` have them.

    What is between `<!-- commands: NAME -->` and `<!-- /commands -->`, or `image` for `commands`, stays where the
    figure has no record.
    """
    records = read_records(folder)

    def part(found: re.Match[str]) -> str:
        opening, what, name, _, closing = found.groups()
        if name not in records:
            return found[0]
        image = f"![{figures[name].title}]({figures[name].file})\n"
        return f"{opening}{image if what == 'image' else console(records[name])}{closing}"

    return _PART.sub(part, page)


def write_parts(figures: Mapping[str, Figure], folder: Path) -> None:
    """Write the images and commands of the figures in `folder`, which is docs/, into its pages."""
    for path in folder.glob("*.md"):
        _rewrite(path, lambda text: with_parts(text, figures, folder))


def _rewrite(path: Path, change: Callable[[str], str]) -> None:
    before = path.read_text(encoding="utf-8")
    after = change(before)
    if after != before:
        write_atomic(path, after.encode())


def console(record: Record) -> str:
    """The commands of a figure as a block of the page."""
    commands = "\n".join(f"$ {shell(words)}" for words in record["commands"])
    return f"<!-- example -->\n```console\n{commands}\n```\n"


def _figure(figure: Figure, record: Record | None, link: str) -> str:
    head = f"### {figure.title}\n" + (f"\n{figure.text}\n" if figure.text else "")
    if record is None:
        return f"{head}\n{NOT_MADE}\n"
    lines = [head, f"![{figure.title}]({link}/{record['file']})\n"]
    if record["listed"]:
        lines.append(_listed(record["listed"]))
    lines.append(console(record))
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
