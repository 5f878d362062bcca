"""Feed damaged files to every reader of cn: what is not read must be refused in one line, in bounded time and memory.

Every input is decided by the seed, its reader and its number, so that any of them can be made again. Anything but a
result or one of cn's own errors with a printable line is a fault: an exception, a crash, a hang, too much memory.
"""

# Why not atheris or hypothesis: atheris steers one target by coverage, in builds of its own, and gives no fixed set of
# inputs; hypothesis draws values, not damaged files. A table of all readers over the same million inputs needs neither.

import argparse
import re
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import fuzz_inputs
import fuzz_workers
from fuzz_inputs import Bounds
from fuzz_readers import Reader, readers
from fuzz_workers import Tally

_SHOWN = 3
"""Of faults that look alike, so many are printed and kept."""


def table(tallies: Mapping[str, Tally]) -> str:
    """A Markdown table, as `docs/reliability.md` has it."""
    total = Tally()
    for tally in tallies.values():
        total.add(tally)
    rows: list[tuple[str, ...]] = [("reader", "inputs", "accepted", "refused", "faults", "slowest (ms)", "peak (MB)")]
    for name, tally in {**tallies, "all": total}.items():
        counts = (tally.inputs, tally.accepted, tally.refused, tally.faults)
        rows.append((name, *(f"{count:,}" for count in counts), f"{tally.slowest:.0f}", f"{tally.peak:.0f}"))
    widths = [max(len(row[k]) for row in rows) for k in range(len(rows[0]))]
    rows.insert(1, ("-" * widths[0], *(f"{'-' * (width - 1)}:" for width in widths[1:])))
    cells = ([cell.rjust(width) for cell, width in zip(row, widths, strict=True)] for row in rows)
    return "\n".join(f"| {first.strip().ljust(widths[0])} | {' | '.join(rest)} |" for first, *rest in cells)


def run(chosen: list[Reader], inputs: int, seed: int, jobs: int, bounds: Bounds, keep: Path | None) -> dict[str, Tally]:
    """Feed `inputs` inputs, divided equally among the readers."""
    rows = {reader.name: reader for reader in chosen}
    tallies = {name: Tally() for name in rows}
    alike: Counter[tuple[str, str]] = Counter()
    for name, tally, found in fuzz_workers.results(chosen, inputs, seed, jobs, bounds):
        tallies[name].add(tally)
        for fault in found:
            # Names and numbers in a message come from the input.
            kind = name, re.sub(r"\d+", "", fault.what)[:60]
            alike[kind] += 1
            if alike[kind] > _SHOWN:
                continue
            print(fault.line(seed), flush=True)
            if keep is not None:
                print(f"  {fuzz_inputs.kept(keep, rows[name], seed, fault.number)}", flush=True)
    for (name, what), count in alike.items():
        if count > _SHOWN:
            print(f"{count - _SHOWN} more faults of {name}: {what} …")
    return tallies


def replay(path: Path, everything: list[Reader], bounds: Bounds) -> int:
    """Read a kept input once more; the status of the process. The folder's name begins with the reader's."""
    reader = max(
        (row for row in everything if path.name.startswith(row.name)), key=lambda row: len(row.name), default=None
    )
    if reader is None or not path.is_dir():
        raise SystemExit(f"{path}: is not a folder that --keep wrote: its name begins with the reader's")
    fuzz_workers.limit_memory(bounds)
    what, detail = fuzz_inputs.verdict(reader, path, bounds)
    print(f"{what}: {detail}" if detail else what)
    return int(what == "fault")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=10_000, help="how many inputs in all (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="another seed gives other inputs (default: %(default)s)")
    parser.add_argument("--only", action="append", metavar="READER", help="feed this reader only (repeatable)")
    parser.add_argument("--jobs", type=int, default=2, help="processes (default: %(default)s)")
    parser.add_argument("--seconds", type=float, default=30, help="CPU time for an input (default: %(default)s)")
    parser.add_argument(
        "--memory", type=int, default=1500, metavar="MB", help="memory for an input (default: %(default)s)"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="write every input that is a fault into this folder"
    )
    parser.add_argument("--replay", type=Path, metavar="PATH", help="read an input that --keep wrote once more")
    parser.add_argument("--list", action="store_true", help="list the readers")
    options = parser.parse_args()
    everything = readers()
    bounds = Bounds(options.seconds, options.memory << 20)
    if options.replay is not None:
        return replay(options.replay, everything, bounds)
    chosen = [reader for reader in everything if not options.only or reader.name in options.only]
    if unknown := set(options.only or ()) - {reader.name for reader in everything}:
        parser.error(f"no reader is called {', '.join(sorted(unknown))}: see --list")
    if options.list:
        print("\n".join(f"{reader.name}  {len(reader.seeds)} seeds" for reader in chosen))
        return 0
    if options.inputs < 1 or options.jobs < 1:
        parser.error("--inputs and --jobs are at least 1")
    if refused := list(fuzz_inputs.refused_seeds(chosen, bounds)):
        print("\n".join(refused))
        return 1
    tallies = run(chosen, options.inputs, options.seed, options.jobs, bounds, options.keep)
    print(table(tallies))
    return int(any(tally.faults for tally in tallies.values()))


if __name__ == "__main__":
    sys.exit(main())
