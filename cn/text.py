"""Names, lists of names and shares as they appear in messages."""

from collections.abc import Iterable


def shown(text: object, limit: int = 100) -> str:
    """A name from a file, safe for one line on a terminal: shortened, each unprintable character as "?"."""
    word = str(text)[: limit + 1]
    if not word.isprintable():
        word = "".join(c if c.isprintable() else "?" for c in word)
    return word if len(word) <= limit else word[: limit - 1] + "…"


def first_names(names: Iterable[object], count: int = 3) -> str:
    """The first `count` names and how many more there are: "a, b, c and 2 more"."""
    listed = list(names)
    more = f" and {len(listed) - count} more" if len(listed) > count else ""
    return ", ".join(shown(name, 200) for name in listed[:count]) + more


def percent(share: float) -> str:
    """A share 0..1 with two digits: "0.024 %", "11 %", "100 %"."""
    value = 100 * share
    if 0 < value < 0.001:
        return "less than 0.001 %"
    return f"{value:.2g} %" if value < 99.5 else f"{value:.0f} %"
