"""Hostile and damaged weights files: each is refused in one line, in bounded steps and memory, and runs nothing."""

import argparse
import io
import json
import os
import pickle
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cn.archives.archive import Archive, open_archive
from cn.archives.entries import load_tensor
from cn.archives.pickles import MAX_STEPS
from cn.errors import CnError
from tests.helpers.assembled import dict_of, program, tensor, torch_zip
from tests.helpers.hostile import hostile_files
from tests.helpers.hostile_pickles import executing
from tests.helpers.waiting import wait_until

ROOT = Path(__file__).parent.parent


def in_a_program(script: str, *arguments: str) -> str:
    """What a Python program of its own prints."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *arguments],
        capture_output=True,
        text=True,
        env=environment,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


HOSTILE = list(hostile_files(Path("sentinel")))
HOSTILE_NAMES = [case.name for case in HOSTILE]


@pytest.fixture(scope="module")
def hostile_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


@pytest.fixture(scope="module")
def hostile_results(hostile_folder: Path) -> dict[str, dict]:
    """What a program without torch finds in each hostile file: error, message, function calls, peak memory."""
    for i, case in enumerate(hostile_files(hostile_folder / "sentinel")):
        (hostile_folder / f"{i}.ckpt").write_bytes(case.data)
    script = """
        import cProfile, json, re, sys
        from pathlib import Path
        from cn.archives.archive import open_archive
        from cn.errors import CnError
        for i in range(int(sys.argv[2])):
            Path("/proc/self/clear_refs").write_text("5")  # resets the peak
            profile = cProfile.Profile(builtins=False, subcalls=False)
            try:
                profile.runcall(open_archive, f"{sys.argv[1]}/{i}.ckpt")
                found = ["", ""]
            except CnError as error:
                found = [type(error).__name__, str(error)]
            calls = sum(function.callcount for function in profile.getstats())
            peak = int(re.search(r"VmHWM:\\s*(\\d+)", Path("/proc/self/status").read_text())[1]) / 1024
            print(json.dumps([*found, calls, peak, "torch" in sys.modules or "numpy" in sys.modules]))
    """
    lines = in_a_program(script, str(hostile_folder), str(len(HOSTILE_NAMES))).splitlines()
    keys = ("error", "message", "calls", "peak", "heavy")
    return {
        name: dict(zip(keys, json.loads(line), strict=True)) for name, line in zip(HOSTILE_NAMES, lines, strict=True)
    }


@pytest.mark.parametrize("case", HOSTILE, ids=HOSTILE_NAMES)
def test_a_hostile_file_is_refused(case, hostile_results, hostile_folder):
    result = hostile_results[case.name]
    assert result["error"] == case.error
    assert case.words in result["message"]
    assert result["message"].startswith(f"{hostile_folder / str(HOSTILE_NAMES.index(case.name))}.ckpt: ")
    assert result["message"].isprintable(), "one line without control characters"
    assert len(result["message"]) < 300 + len(str(hostile_folder))
    assert result["calls"] < 3 * MAX_STEPS, "a few for each instruction of the longest program that is read"
    assert result["peak"] < 200, "MB"
    assert not result["heavy"], "neither torch nor NumPy is loaded for this"
    assert not (hostile_folder / "sentinel").exists()


def test_the_names_of_hostile_files_are_unique():
    assert [name for name, times in Counter(HOSTILE_NAMES).items() if times > 1] == []


def test_the_hostile_pickles_would_run(tmp_path):
    """Python's own unpickler makes the file appear: otherwise the tests above would prove nothing."""
    script = """
        import contextlib, pickle, sys
        from pathlib import Path
        from tests.helpers.hostile_pickles import executing
        for i, name in enumerate(executing(Path("x"))):
            with contextlib.suppress(Exception):
                pickle.loads(executing(Path(sys.argv[1]) / str(i))[name])
    """
    in_a_program(script, str(tmp_path))
    names = list(executing(Path("x")))
    wait_until(lambda: len(list(tmp_path.iterdir())) == len(names))


# Random damage.


def small_files() -> list[bytes]:
    files = []
    value = {"state_dict": {"a": torch.ones(3, 2), "b": torch.arange(4).t()}, "step": 7, "x": argparse.Namespace(y=1)}
    for protocol, new in ((2, True), (4, True), (2, False)):
        buffer = io.BytesIO()
        torch.save(value, buffer, pickle_protocol=protocol, _use_new_zipfile_serialization=new)
        files.append(buffer.getvalue())
    return [
        *files,
        pickle.dumps({"a": 1}, 0),
        torch_zip(program(dict_of(a=tensor()))),
    ]


SMALL = small_files()


@st.composite
def damaged(draw: st.DrawFn, files: list[bytes]) -> bytes:
    """A small valid file, with bytes changed, put in or cut off."""
    data = bytearray(draw(st.sampled_from(files)))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(data)))
        how = draw(st.sampled_from(["change", "change", "insert", "delete", "cut"]))
        if how == "insert":
            data[at:at] = draw(st.binary(min_size=1, max_size=9))
        elif how == "delete":
            del data[at : at + draw(st.integers(1, 9))]
        elif how == "cut":
            del data[at:]
        else:
            data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
    return bytes(data)


def opened(path: Path) -> Archive | None:
    """The archive with all its tensors read; None where the file is refused in one line."""
    archive, message = None, f"{path}: "
    try:
        archive = open_archive(path)
    except CnError as error:
        message = str(error)
    assert message.isprintable()
    assert message.startswith(f"{path}: ")
    if archive is None:
        return None
    for entry in archive.entries.values():
        assert load_tensor(entry).shape == entry.shape
    return archive


@pytest.mark.filterwarnings("ignore:invalid escape:DeprecationWarning")
@settings(max_examples=1500, deadline=None)
@given(damaged(SMALL))
def test_a_damaged_file_gives_an_archive_or_one_line(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.ckpt"
    path.write_bytes(data)
    opened(path)


@pytest.mark.filterwarnings("ignore:invalid escape:DeprecationWarning")
@settings(max_examples=1500, deadline=None)
@given(st.lists(st.sampled_from([bytes([n]) for n in range(256)] + [b"K\1", tensor(), b"h\0"]), max_size=40))
def test_random_instructions_give_an_archive_or_one_line(tmp_path_factory, codes):
    path = tmp_path_factory.getbasetemp() / "random.ckpt"
    path.write_bytes(torch_zip(program(b"}q\0" + b"".join(codes), 4)))
    opened(path)
