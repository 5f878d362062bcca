r"""Prompts with weights and breaks, as AUTOMATIC1111's web UI reads them: a text → its parts. No torch.

`(word)` times 1.1, `[word]` divided by 1.1, `(word:1.3)` times 1.3, all nested; `\(`, `\)`, `\[`, `\]` and `\\` are the
characters themselves; `BREAK` begins the next chunk of 75 tokens. Source: `parse_prompt_attention` in
modules/prompt_parser.py of https://github.com/AUTOMATIC1111/stable-diffusion-webui, version 1.10. Two things differ:
`BREAK` within brackets breaks (there it becomes a word of negative weight), and what is no number ("(x:1.2.3)") is text
(there it is an error).
"""

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

PromptSyntax = Literal["plain", "a1111"]

STEP = 1.1
"""The factor of one pair of brackets."""

MAX_DEPTH = 64
"""Brackets that are open at once; more are text. They would multiply what nobody can mean (1.1 to the 64th is 445), and
take time that grows with the square of their number."""

_ITEM = re.compile(
    r"\\(?P<escaped>[()\[\]\\]?)"
    r"|(?P<opening>[(\[])"
    r"|:\s*(?P<weight>[+-]?(?:\d{1,6}(?:\.\d{0,30})?|\.\d{1,30}))\s*\)"
    r"|(?P<closing>[)\]])"
    r"|(?P<text>[^\\()\[\]:]+|:)"
)
_BREAK = re.compile(r"\s*\bBREAK\b\s*")
_WEIGHTED = re.compile(r"\(([^()]*):\s*[+-]?(?:\d(?:\.\d*)?|\.\d+)\s*\)")
_UNSUPPORTED = (
    ("prompt editing", re.compile(r"\[[^\[\]]*:\s*\d*\.?\d+\s*\]")),
    ("alternating words", re.compile(r"\[[^\[\]]*\|[^\[\]]*\]")),
    ("AND", re.compile(r"\bAND\b")),
    ("<lora:…>", re.compile(r"<(?:lora|lyco|hypernet):[^<>]*>")),
)


@dataclass
class Part:
    """A piece of a prompt and its weight (1.0: as it is)."""

    text: str
    weight: float = 1.0


def parse(prompt: str) -> list[list[Part]]:
    """The parts of a prompt, in the sections that `BREAK` separates; at least one section, of any number of parts.

    Brackets that are never closed count to the end of the prompt, closing brackets without an opening one are text.
    Neighbours of the same weight are one part, so that their words are tokenized together.
    """
    found: list[Part] = []
    breaks = [0]
    brackets: dict[str, list[int]] = {"(": [], "[": []}
    for item in _ITEM.finditer(prompt):
        kind, text = item.lastgroup, item[0]
        starts = brackets["[" if text == "]" else "("]
        if kind == "escaped":
            found.append(Part(item["escaped"]))
        elif kind == "opening" and len(brackets[text]) < MAX_DEPTH:
            brackets[text].append(len(found))
        elif kind in ("weight", "closing") and starts:
            factor = float(item["weight"]) if kind == "weight" else STEP if text == ")" else 1 / STEP
            _multiply(found[starts.pop() :], factor)
        else:
            first, *after = _BREAK.split(text)
            found.append(Part(first))
            for piece in after:
                breaks.append(len(found))
                found.append(Part(piece))
    for start in brackets["("]:
        _multiply(found[start:], STEP)
    for start in brackets["["]:
        _multiply(found[start:], 1 / STEP)
    return [_merged(found[start:end]) for start, end in pairwise([*breaks, len(found)])]


def looks_weighted(prompt: str) -> bool:
    """Whether a prompt holds something like `(word:1.3)`; "(12:30)" and "(16:9)" are none."""
    return any(any(map(str.isalpha, words)) for words in _WEIGHTED.findall(prompt))


def unsupported(prompt: str) -> list[str]:
    """What the web UI would understand in this prompt, and `parse` takes as text."""
    return [name for name, pattern in _UNSUPPORTED if pattern.search(prompt)]


def _multiply(parts: list[Part], factor: float) -> None:
    for part in parts:
        part.weight *= factor


def _merged(parts: list[Part]) -> list[Part]:
    merged: list[Part] = []
    for part in parts:
        if merged and merged[-1].weight == part.weight:
            merged[-1].text += part.text
        else:
            merged.append(Part(part.text, part.weight))
    return [part for part in merged if part.text]
