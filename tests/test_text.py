"""Names and lists of names in messages."""

from cn.text import first_names, shown


def test_names_are_shown_on_one_line():
    assert shown("a\nb\x1b\u202e\ud800") == "a?b???"
    assert shown("é模") == "é模"
    assert shown("x" * 100) == "x" * 100
    assert shown("x" * 101) == "x" * 99 + "…"


def test_only_the_first_names_are_listed():
    assert first_names(["a"]) == "a"
    assert first_names(iter("abc")) == "a, b, c"
    assert first_names("abcde") == "a, b, c and 2 more"
    assert first_names(["a\n", "b"], 1) == "a? and 1 more"
