"""One run from beginning to end: training, evaluations, record."""

import gc
import shutil
import time
from datetime import UTC, datetime
from typing import Any

import torch

from cn.errors import CnError
from cn.files import make_folder
from cn.images import grid, write
from tools.paper import training
from tools.paper.journal import Journal, versions
from tools.paper.measuring import Meter
from tools.paper.spec import Run, key_of
from tools.paper.workplace import CommandError, OutOfTimeError, Workplace

CELL, STATES = 128, 7
"""Pixels of an image in a sheet of the report, and the most states that it shows."""


def carry_out(run: Run, place: Workplace, meter: Meter | None = None) -> None:
    """Train and evaluate a run and write its record; what an earlier session did of it is not done again.

    Raises OutOfTimeError when the session is over before, and CommandError where cn fails.
    """
    meter = meter or Meter(place)
    journal, described = Journal(place.folder / "records"), run.identity(place.common)
    key, start = key_of(described), time.monotonic()
    folder = make_folder(place.folder / "runs" / f"{run.name}-{key[:8]}")
    cuda = torch.cuda.is_available()
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    training.train(run, place, folder)
    record: dict[str, Any] = {"arm": run.arm.name, "seed": run.seed, "key": key, "options": described}
    record["train"] = training.facts(folder)
    if run.arm.alone:
        record["train"]["memory"] = torch.cuda.max_memory_reserved() if cuda else None
    shown, results = {}, {}
    for measured in run.arm.evaluations:
        results[measured.name], shown[measured.name] = meter.measure(run, folder, measured)
    record["evaluations"] = results
    record |= {"seconds": round(time.monotonic() - start, 1), "date": datetime.now(UTC).date().isoformat()}
    record["versions"] = versions(place.device)
    if run.seed == 0:
        for measured in run.arm.evaluations:
            columns = shown[measured.name]
            if measured.states:
                columns = around(columns, record["train"]["converged_at"])
            write_sheet(place, f"{run.arm.name}-{measured.file_name}", columns)
    journal.write(run.name, record)
    training.remove_states(folder)
    if run.arm.base or run.arm.alone:
        # Gigabytes that nobody asks for again.
        shutil.rmtree(folder)
    gc.collect()
    if cuda:
        torch.cuda.empty_cache()


def around(columns: dict[str, list[Any]], step: int | None) -> dict[str, list[Any]]:
    """The columns of the `STATES` saved states around a step (or of the last ones), and all that are of no state."""
    steps = sorted(int(label) for label in columns if label.isdigit())
    center = next((k for k, one in enumerate(steps) if step is not None and one >= step), len(steps))
    first = max(0, min(center - STATES // 2, len(steps) - STATES))
    left_out = {str(one) for one in (*steps[:first], *steps[first + STATES :])}
    return {label: column for label, column in columns.items() if label not in left_out}


def write_sheet(place: Workplace, name: str, columns: dict[str, list[Any]]) -> None:
    """The same pairs in each column, a pair a row."""
    titles = [label or "control" for label in columns]
    titles = [f"step {title}" if title.isdigit() else title for title in titles]
    rows = [column[k] for k in range(len(next(iter(columns.values())))) for column in columns.values()]
    sheet = grid(rows, column_titles=titles, cell=CELL)
    write(make_folder(place.folder / "records") / f"{name}.jpg", sheet)


_METERS: dict[Workplace, Meter] = {}


def in_process(run: Run, place: Workplace) -> str:
    """`carry_out` in a process of several runs; "" where it is done, else why not."""
    meter = _METERS.setdefault(place, Meter(place))
    try:
        carry_out(run, place, meter)
    except OutOfTimeError:
        return "the session was over before it was done; the next one goes on with it"
    except (CommandError, CnError) as error:
        return str(error)
    return ""
