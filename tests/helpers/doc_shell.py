"""Running the commands of the docs: `cn` in this process, other programs as they are, pipes between them."""

import contextlib
import functools
import importlib.util
import io
import itertools
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any, Literal, get_args, get_origin

import typer

from cn import app
from tests.helpers.doc_pages import ROOT, Block, blocks, options

NOT_RUN = {"make", "pip", "python"}
"""Programs that are looked at but not run: see `check_other`."""
CHANGES_THE_SHELL = "--install-completion"


def run_block(block: Block, make_files: Callable[[str], None]) -> Iterator[tuple[list[list[str]], int, str]]:
    """Run the commands of a block; yields each with its exit status and what it wrote to stderr."""
    for name in block.mark("files") or ():
        make_files(name)
    slow = block.mark("slow") is not None
    for stages in block.commands():
        if stages[0][0] in NOT_RUN:
            check_other(stages[0])
        elif CHANGES_THE_SHELL not in stages[0]:
            yield stages, *_pipe([shortened(stage) if slow else stage for stage in stages])


def _pipe(stages: list[list[str]]) -> tuple[int, str]:
    data, errors = b"", ""
    for words in stages:
        code, data, more = _cn(words[1:], data) if words[0] == "cn" else _program(words, data)
        errors += more
        if code:
            return code, errors
    return 0, errors


def _program(words: list[str], stdin: bytes) -> tuple[int, bytes, str]:
    done = subprocess.run(words, input=stdin, capture_output=True, timeout=60)
    return done.returncode, done.stdout, done.stderr.decode()


def _cn(words: list[str], stdin: bytes) -> tuple[int, bytes, str]:
    out, errors = io.TextIOWrapper(io.BytesIO(), "utf-8"), io.StringIO()
    before, sys.stdin = sys.stdin, io.TextIOWrapper(io.BufferedReader(io.BytesIO(stdin)), "utf-8")  # type: ignore[arg-type]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
            code = int(app.run(words, debug=True))
    finally:
        sys.stdin = before
    out.flush()
    return code, out.buffer.getvalue(), errors.getvalue()  # type: ignore[attr-defined]


def shortened(words: list[str]) -> list[str]:
    """A slow command with fewer steps and images: what it does is the same.

    `cn sample` takes 1 step (4 with --image) and at most 2 images of 128×128 pixels; `cn train` one step for 300 (1
    without --steps), images of 64×64 pixels one at a time, at most 2 scenes and no previews; `cn eval` one step for 2
    pairs of 64×64 pixels; `cn dataset synth` at most 4 pairs; `cn dataset build` images of 64×64 pixels.
    """
    if words[:2] == ["cn", "sample"] and "--from" not in words:
        # A share of one step would be none.
        steps = 4 if "--image" in words else 1
        words = _with(words, "--steps", lambda n: steps, steps)
        words = _with(words, "--count", lambda n: min(n, 2))
        words = words if {"--size", "--resolution"} & {*words} else [*words, "--size", "128x128"]
    elif words[:2] == ["cn", "eval"]:
        words = _with(words, "--steps", lambda n: 1, 1)
        words = _with(words, "--count", lambda n: 2, 2)
        words = _with(words, "--size", lambda n: 64, 64)
    elif words[:3] == ["cn", "dataset", "synth"]:
        words = _with(words, "--count", lambda n: min(n, 4))
    elif words[:3] == ["cn", "dataset", "build"]:
        words = _with(words, "--resolution", lambda n: 64, 64)
    elif words[:2] == ["cn", "train"]:
        words = _with(words, "--steps", lambda n: n // 300, 1)
        words = _with(words, "--preview-every", lambda n: 0, 0)
        if "--resume" not in words:
            words = _with(words, "--size", lambda n: 64, 64)
            words = _with(words, "--batch-size", lambda n: 1, 1)
            if "--data" not in words:
                words = _with(words, "--scenes", lambda n: min(n, 2), 2)
    return words


def _with(words: list[str], option: str, change: Callable[[int], int], default: int | None = None) -> list[str]:
    """The words with another value of an option; with the default where it is not given."""
    if option in words:
        value = words.index(option) + 1
        return [*words[:value], str(change(int(words[value]))), *words[value + 1 :]]
    return words if default is None else [*words, option, str(default)]


def check_other(words: list[str]) -> None:
    """Programs that a test should not run: what they are told to do must exist."""
    if words[0] == "make":
        targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert [word for word in words[1:] if "=" not in word and word not in targets] == [], words
    elif words[:2] == ["python", "-m"]:
        found = importlib.util.find_spec(words[2])
        assert found is not None, words
        if words[2] == "cn.pretrain":
            assert options(" ".join(words)) <= pretrain_options(), words
    elif words[:2] == ["pip", "install"]:
        assert words[2] == "." or words[2].startswith((".[", "dist/")), "nothing else is published under our name"


def pretrain_options() -> set[str]:
    return options((ROOT / "cn/pretrain/__main__.py").read_text().replace('"', " "))


@functools.cache
def tree() -> Any:
    """The commands as Typer has them."""
    return typer.main.get_command(app.app)


def options_of(command: Any) -> set[str]:
    """The options of a command, and of all that are below it."""
    own = {name for p in command.params for name in (*p.opts, *p.secondary_opts) if name.startswith("-")}
    below = (options_of(child) for child in getattr(command, "commands", {}).values())
    return own.union(["--help", "--debug"], *below)


def unknown_options(words: list[str]) -> list[str]:
    """What a `cn …` command line has and `cn` does not: options, values of options with choices, sub-commands."""
    command, rest = tree(), words[1:]
    while hasattr(command, "commands") and rest and rest[0] in command.commands:
        command, rest = command.commands[rest[0]], rest[1:]
    wrong = [word.partition("=")[0] for word in rest if word.startswith("--")]
    wrong = [word for word in wrong if word not in options_of(command)]
    is_name = bool(rest) and re.fullmatch(r"[a-z0-9-]+", rest[0]) is not None and not rest[0].startswith("-")
    if hasattr(command, "commands") and is_name:
        wrong.append(rest[0])
    return wrong + unknown_choices(command, rest)


def unknown_choices(command: Any, words: list[str]) -> list[str]:
    """Each "--option value" whose value is a choice of the option in no command at or below this one."""
    parts = [part for word in words for part in (word.split("=", 1) if word.startswith("--") else [word])]
    wrong = []
    for option, value in itertools.pairwise(parts):
        # Words in capitals stand for any value.
        if option.startswith("--") and not value.isupper():
            choices = choices_of(command, option)
            if choices and None not in choices and value not in choices:
                wrong.append(f"{option} {value}")
    return wrong


def choices_of(command: Any, option: str) -> set[str | None]:
    """The values that an option takes in a command and all that are below it; None in it if it takes any value."""
    found: set[str | None] = set()
    for parameter in command.params:
        if option in parameter.opts:
            # In Typer 0.26 a parameter has a type with choices; newer releases keep its annotation.
            descriptor = getattr(parameter, "type_descriptor", None)
            choices = literals(descriptor.annotation) if descriptor else getattr(parameter.type, "choices", None)
            found.update(choices or [None])
    return found.union(*(choices_of(child, option) for child in getattr(command, "commands", {}).values()))


def literals(kind: Any) -> tuple[Any, ...]:
    """The values of a Literal type, also inside `list[…]` and `… | None`; () for any other type."""
    if get_origin(kind) is Literal:
        return get_args(kind)
    return tuple(value for inner in get_args(kind) for value in literals(inner))


def cn_commands(page: Any) -> Iterator[list[str]]:
    """Every `cn …` in the blocks of a page, those that are not run included."""
    for block in blocks(page):
        if block.language == "console":
            for stages in block.commands():
                yield from (stage for stage in stages if stage[0] == "cn")
