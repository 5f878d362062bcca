"""Reading README.md and docs/*.md: the blocks of commands, their markers, the tables, links and option names.

A fenced block of `console` holds commands behind "$ ", each with its continuation lines; a block of `python` is code.
An HTML comment on the line above a block marks it (several marks are separated by ";"):

- `<!-- files: photos poses -->`: inputs that are prepared before the block runs (`doc_files`);
- `<!-- slow -->`: run with fewer steps and images (`doc_shell.shortened`);
- `<!-- needs weights: NAME … -->`: not run, since it needs weights that are not in the repository;
- `<!-- example -->`: not run, since it shows how code or output looks.
"""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))

_FENCE = re.compile(r"^```(\w*)\s*$")
_COMMENT = re.compile(r"^<!--\s*(.*?)\s*-->\s*$")
_TABLE = re.compile(r"<!-- table: (\w+) -->\n(.*?)\n<!-- /table -->", re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*")
_CODE = re.compile(r"`([^`]+)`")
_HEADING = re.compile(r"^#+\s+(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    language: str
    lines: tuple[str, ...]
    line: int
    """The number of its first line in the page."""
    marks: tuple[str, ...] = ()

    def mark(self, name: str) -> list[str] | None:
        """The words of the mark of this name; None where the block does not have it."""
        for mark in self.marks:
            head, _, words = mark.partition(":")
            if head.strip() == name:
                return words.split()
        return None

    def commands(self) -> Iterator[list[list[str]]]:
        """Each command of a console block: the words of each of its stages between pipes."""
        lines = iter(self.lines)
        for line in lines:
            if not line.startswith("$ "):
                continue
            text = line[2:]
            while text.rstrip().endswith(("\\", "|")):
                text = text.rstrip().rstrip("\\") + " " + next(lines)
            if stages := split(text):
                yield stages


def split(text: str) -> list[list[str]]:
    """A command line as a shell reads it: words, pipes and comments; no redirection, no variables."""
    lexer = shlex.shlex(text, posix=True, punctuation_chars="|")
    lexer.whitespace_split = True
    stages: list[list[str]] = [[]]
    for word in lexer:
        if word == "|":
            stages.append([])
        else:
            stages[-1].append(word)
    return [stage for stage in stages if stage]


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in order."""
    found = []
    lines = page.read_text(encoding="utf-8").splitlines()
    number = 0
    while number < len(lines):
        if opening := _FENCE.match(lines[number]):
            end = lines.index("```", number + 1)
            comment = _COMMENT.match(lines[number - 1]) if number else None
            marks = tuple(mark.strip() for mark in comment.group(1).split(";")) if comment else ()
            found.append(Block(opening.group(1), tuple(lines[number + 1 : end]), number + 2, marks))
            number = end
        number += 1
    return found


def prose(page: Path) -> str:
    """A page without its fenced blocks and comments."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


def options(text: str) -> set[str]:
    return set(_OPTION.findall(text))


def inline_commands(page: Path) -> Iterator[list[str]]:
    """The words of each `cn …` that stands in the text."""
    for code in _CODE.findall(prose(page)):
        if code.startswith("cn "):
            yield split(code)[0]


def inline_options(page: Path) -> Iterator[list[str]]:
    """The words of each `--option value` that stands in the text by itself."""
    for code in _CODE.findall(prose(page)):
        if code.startswith("--"):
            yield split(code)[0]


def links(page: Path) -> list[str]:
    """The targets of all links and images but those into the web."""
    return [link for link in _LINK.findall(prose(page)) if "://" not in link]


def anchors(page: Path) -> set[str]:
    """The names by which the headings of a page are linked, as GitHub makes them."""
    titles = (re.sub(r"[^\w\- ]", "", title.lower()) for title in _HEADING.findall(prose(page)))
    return {title.strip().replace(" ", "-") for title in titles}


def tables(page: Path) -> dict[str, str]:
    """What stands between `<!-- table: NAME -->` and `<!-- /table -->`."""
    return {name: table.strip() for name, table in _TABLE.findall(page.read_text(encoding="utf-8"))}
