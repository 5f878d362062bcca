"""The prompts of `cn sample`: those that are given, one from each line of standard input, or the default one."""

import codecs
import sys
from collections.abc import Sequence
from typing import Literal

from cn.errors import InputError, UsageError
from cn.model.config import DEFAULT_PROMPT

PromptMode = Literal["user", "none", "default"]


def choose_prompts(given: Sequence[str], mode: PromptMode | None = None) -> tuple[str, ...]:
    """The prompts of a mode (§4.1): the user's own, the empty one, or the default one, as without any."""
    if mode == "user" and not given:
        raise UsageError("--prompt-mode user needs a --prompt")
    if mode in ("none", "default") and given:
        raise UsageError(f"--prompt-mode {mode} takes no --prompt")
    if given:
        return tuple(given)
    return ("",) if mode == "none" else (DEFAULT_PROMPT,)


def from_command_line(given: Sequence[str], mode: PromptMode | None = None) -> tuple[str, ...]:
    """`choose_prompts`, where "-" stands for the lines of standard input."""
    chosen = choose_prompts(given, mode)
    if chosen.count("-") > 1:
        raise UsageError("standard input is read once: give --prompt - only once")
    return tuple(one for prompt in chosen for one in (_read_lines() if prompt == "-" else [prompt]))


def _read_lines() -> list[str]:
    """The lines of standard input that are not blank, without white space around them."""
    if sys.stdin.isatty():
        raise UsageError("--prompt - reads prompts from standard input, but nothing is piped in")
    try:
        text = sys.stdin.buffer.read().removeprefix(codecs.BOM_UTF8).decode()
    except UnicodeDecodeError:
        raise InputError("the prompts are not UTF-8 text", path="standard input") from None
    # Not splitlines: U+2028 and others may stand within a prompt.
    lines = [line.strip() for line in text.replace("\r", "\n").split("\n")]
    if not any(lines):
        raise InputError("holds no prompts; give one on each line", path="standard input")
    return [line for line in lines if line]
