"""Weighted prompts: how a text is read."""

import pytest

from cn.model.emphasis import looks_weighted, parse, unsupported

EXAMPLE_END = [(", sun, ", 1.1), ("sky", 1.4641), (".", 1.1)]


def parts(prompt: str) -> list[list[tuple[str, float]]]:
    return [[(part.text, round(part.weight, 6)) for part in section] for section in parse(prompt)]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("normal text", [("normal text", 1)]),
        ("an (important) word", [("an ", 1), ("important", 1.1), (" word", 1)]),
        ("(unbalanced", [("unbalanced", 1.1)]),
        ("(a [b", [("a ", 1.1), ("b", 1)]),
        (r"\(literal\]", [("(literal]", 1)]),
        (r"a\b \\ c", [(r"ab \ c", 1)]),
        ("(unnecessary)(parens)", [("unnecessaryparens", 1.1)]),
        ("[weak]", [("weak", 0.909091)]),
        ("(((deep)))", [("deep", 1.331)]),
        ("((a:2) b:3)", [("a", 6), (" b", 3)]),
        ("(a : .5 )", [("a ", 0.5)]),
        ("(a:-2)", [("a", -2)]),
        ("x) y] z:1.2)", [("x) y] z:1.2)", 1)]),
        ("(a:b)", [("a:b", 1.1)]),
        ("()", []),
        ("", []),
        (
            "a (((house:1.3)) [on] a (hill:0.5), sun, (((sky))).",
            [("a ", 1), ("house", 1.573), (" ", 1.1), ("on", 1), (" a ", 1.1), ("hill", 0.55), *EXAMPLE_END],
        ),
    ],
)
def test_one_section(prompt, expected):
    """The last one is the example in AUTOMATIC1111's source."""
    assert parts(prompt) == [expected]


def test_break_begins_a_section_also_within_brackets():
    assert parts("a BREAK b") == [[("a", 1)], [("b", 1)]]
    assert parts("(a BREAK b:1.5) c") == [[("a", 1.5)], [("b", 1.5), (" c", 1)]]
    assert parts("BREAK") == [[], []]
    assert parts("BREAKFAST, break") == [[("BREAKFAST, break", 1)]]


@pytest.mark.parametrize("number", ["1.2.3", "1e5", "nan", ".", "-", "9" * 400])
def test_what_is_no_number_is_text(number):
    """None of it may become an infinite weight, or an error."""
    assert parts(f"(a:{number})") == [[(f"a:{number}", 1.1)]]


@pytest.mark.parametrize("prompt", ["(" * 3000, "[" * 3000, "(a:" * 3000, ")" * 3000, "\\" * 3001, "(a" * 50_000])
def test_any_text_has_a_reading(prompt):
    assert len(parse(prompt)) == 1


@pytest.mark.parametrize("prompt", ["(red house:1.3)", "a (1girl:1), b", "((night:.5))", "(x: 1.2 )"])
def test_looks_weighted(prompt):
    assert looks_weighted(prompt)


@pytest.mark.parametrize(
    "prompt", ["a house (red)", "(16:9)", "at noon (12:30)", "a: 1.3", "[a:1.3]", "(see page: 300)"]
)
def test_looks_plain(prompt):
    assert not looks_weighted(prompt)


@pytest.mark.parametrize(
    ("prompt", "names"),
    [
        ("[cat:dog:0.4]", ["prompt editing"]),
        ("[snow:10] AND rain", ["prompt editing", "AND"]),
        ("[cat|dog] <lora:style:0.8>", ["alternating words", "<lora:…>"]),
        ("(cat:1.2) [dog] and BREAK", []),
    ],
)
def test_unsupported(prompt, names):
    assert unsupported(prompt) == names
