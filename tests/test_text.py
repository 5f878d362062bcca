"""Names and lists of names in messages."""

from cn.text import first_names, percent, shown


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


def test_shares():
    shown_as = {0.00024: "0.024 %", 0.11: "11 %", 0.997: "100 %", 1.0: "100 %", 1e-7: "less than 0.001 %", 0.0: "0 %"}
    assert [percent(share) for share in shown_as] == list(shown_as.values())
