"""The prompts of `cn sample`: those that are given, one from each line of standard input, or the default one."""

import codecs
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from cn.errors import InputError, UsageError
from cn.model.config import DEFAULT_PROMPT
from cn.model.emphasis import PromptSyntax, looks_weighted, unsupported

PromptMode = Literal["user", "none", "default", "auto"]


@dataclass(frozen=True)
class CaptionedBy:
    """The captioner that was asked for a prompt: its name, or the path of its weights, and their SHA-256."""

    name: str
    sha256: str


def choose_prompts(given: Sequence[str], mode: PromptMode | None = None) -> tuple[str, ...]:
    """The prompts of a mode (§4.1): the user's own, the empty one, or the default one, as without any.

    Mode auto begins with the default one, of whose results it takes captions (`cn.sample.automatic`).
    """
    if mode == "user" and not given:
        raise UsageError("--prompt-mode user needs a --prompt")
    if mode in ("none", "default", "auto") and given:
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


def prompt_warnings(prompts: Iterable[str], syntax: PromptSyntax) -> list[str]:
    """What of these prompts is ignored, or probably not read as it was meant."""
    # Its tables take a tenth of a second.
    from cn.model.tokens import MAX_TOKENS, token_count

    found = []
    for prompt in dict.fromkeys(prompts):
        if syntax == "a1111":
            if names := unsupported(prompt):
                found.append(f"{_short(prompt)!r}: not supported, and read as text: {', '.join(names)}")
            continue
        if (tokens := token_count(prompt)) > MAX_TOKENS:
            found.append(
                f"{_short(prompt)!r} has {tokens} tokens: those beyond {MAX_TOKENS} are ignored "
                "(--prompt-syntax a1111 reads all)"
            )
        if looks_weighted(prompt):
            found.append(f"{_short(prompt)!r} is read as plain text; weights need --prompt-syntax a1111")
    return found


def _short(prompt: str) -> str:
    return prompt if len(prompt) <= 40 else f"{prompt[:39]}…"


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
