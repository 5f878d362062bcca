"""The fuzzer: three thousand damaged files of every reader, and that it finds what it looks for."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parent.parent


def run(*words: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, env=environment)


def in_a_program(script: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A program that finds the fuzzer's modules in its first argument."""
    return run("-c", textwrap.dedent(script), str(ROOT / "tools"), *words)


def test_three_thousand_damaged_files():
    done = run(str(ROOT / "tools/fuzz.py"), "--inputs", "3000", "--seed", "1", "--seconds", "60")
    assert done.returncode == 0, done.stdout
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in done.stdout.splitlines()]
    counts = {
        name: (int(inputs.replace(",", "")), int(accepted.replace(",", "")))
        for name, inputs, accepted, *_ in rows[2:-1]
    }
    assert rows[-1][:2] == ["all", "3,000"]
    assert sum(inputs for inputs, _ in counts.values()) == 3_000
    # That readers accept what is not damaged is checked by the tool itself, before it begins.
    assert all(accepted < inputs for inputs, accepted in counts.values()), counts


FAULTY = """
import os, pathlib, sys
sys.path.insert(0, sys.argv.pop(1))
import fuzz, fuzz_inputs, fuzz_readers
from cn.errors import CnError, InputError
def fail(error):
    raise error
READS = {
    "raises": lambda folder: {}["x"],
    "hangs": lambda folder: [None for _ in iter(int, 1)],
    "grows": lambda folder: bytearray(8 << 30),
    "dies": lambda folder: os.kill(os.getpid(), 11),
    "two lines": lambda folder: fail(InputError("one\\ntwo")),
    "long": lambda folder: fail(InputError("x" * 5000)),
    "internal": lambda folder: fail(CnError("broken")),
    "refuses": lambda folder: fail(InputError("is broken", path=folder)),
}
def reader(name):
    def read(folder):
        if (folder / "input.txt").read_bytes() != b"seed":
            READS[name](folder)
    return fuzz_readers.Reader(name, ({"input.txt": b"seed"},), read)
readers = list(map(reader, READS))
fuzz.readers = lambda: readers
kept = pathlib.Path(sys.argv[-1])
print(fuzz.main())
for path in sorted(kept.glob("* 1 *")):
    if path.name.split()[0] not in ("dies", "hangs"):
        print(path.name, fuzz.replay(path, readers, fuzz_inputs.Bounds(10, 1 << 30)))
"""
FOUND = {
    "raises": "KeyError: \"'x'\" at the fuzzer",
    "hangs": "takes more than 0.2 s of CPU time",
    "grows": "MemoryError",
    "dies": "ended the process by signal 11",
    "two lines": "is not one printable line: 'one\\ntwo'",
    "long": "the message (5000 characters) is not one printable line",
    "internal": "CnError has exit code 1: broken",
}


def test_what_counts_as_a_fault(tmp_path):
    """Readers that fail in every way: all are found, kept, and found again in what was kept."""
    words = ["--inputs", "40", "--jobs", "2", "--seconds", "0.2", "--keep", str(tmp_path)]
    done = in_a_program(FAULTY, *words)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    for name, words in FOUND.items():
        mine = [line for line in lines if line.startswith(f"FAULT {name} --seed 1 input ")]
        assert 1 <= len(mine) <= 3, (name, done.stdout)
        assert all(words in line for line in mine), mine
        kept = [path for path in tmp_path.iterdir() if path.name.startswith(f"{name} 1 ")]
        assert len(kept) == len(mine)
        assert all((path / "input.txt").is_file() for path in kept)
        if name not in ("dies", "hangs"):
            assert {f"{path.name} 1" for path in kept} <= set(lines)
    (row,) = (line for line in lines if line.startswith("| refuses"))
    inputs, accepted, refused, faults = (int(cell) for cell in row.split("|")[2:6])
    assert (inputs, faults) == (5, 0)
    assert accepted + refused == 5
    assert "1" in lines, "the status when there are faults"


def test_the_same_seed_gives_the_same_files(tmp_path):
    script = """
        import pathlib, sys
        sys.path.insert(0, sys.argv[1])
        import fuzz_inputs, fuzz_readers
        for reader in fuzz_readers.readers():
            for number in range(4):
                folder = pathlib.Path(sys.argv[2], reader.name, str(number))
                folder.mkdir(parents=True)
                fuzz_inputs.write_input(reader, 1, number, folder)
    """
    listed = []
    for name in ("first", "second"):
        assert in_a_program(script, str(tmp_path / name)).stderr == ""
        files = [path for path in (tmp_path / name).rglob("*") if path.is_file()]
        listed.append({path.relative_to(tmp_path / name): path.read_bytes() for path in files})
    assert listed[0] == listed[1]
    assert len(listed[0]) > 80


def test_wrong_options():
    words = [["--only", "nothing"], ["--inputs", "0"], ["--replay", "nothing"]]
    script = f"""
        import sys
        sys.path.insert(0, sys.argv[1])
        import fuzz
        for words in {words}:
            sys.argv[1:] = words
            try:
                fuzz.main()
            except SystemExit as stop:
                print(stop.code, file=sys.stderr)
    """
    done = in_a_program(script)
    for message in (
        "no reader is called nothing: see --list",
        "are at least 1",
        "nothing: is not a folder that --keep",
    ):
        assert message in done.stderr
