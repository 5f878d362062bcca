"""Errors say what is wrong and which file it is about, each once."""

import pickle
from pathlib import Path

import pytest

from cn.errors import InputError, UsageError, WeightsError, about


def test_an_error_shows_its_path_before_what_is_wrong():
    error = InputError("is cut off", path=Path("a/b.png"))
    assert (str(error), error.what, error.path) == ("a/b.png: is cut off", "is cut off", "a/b.png")
    assert (str(UsageError("give one")), UsageError("give one").path) == ("give one", None)


def test_the_one_who_opens_a_file_fills_in_the_path_once():
    with pytest.raises(WeightsError, match=r"^outer\.bin: has no header$"), about("outer.bin"):
        raise WeightsError("has no header")
    with pytest.raises(InputError, match=r"^inner\.json: is empty$"), about("outer"), about("inner.json"):
        raise InputError("is empty")


def test_other_errors_pass_unchanged():
    with pytest.raises(ValueError, match=r"^x$"), about("a"):
        raise ValueError("x")


def test_errors_cross_processes_whole():
    error = pickle.loads(pickle.dumps(InputError("is cut off", path="a.png")))
    assert (type(error), error.what, error.path, str(error)) == (InputError, "is cut off", "a.png", "a.png: is cut off")
