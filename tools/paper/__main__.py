"""The experiments of the paper on the bundled base. Runs that are done are left out, so the same command goes on."""

# argparse, because Typer's features are not needed for a developer's tool.
import argparse
import os
import sys
import time
from pathlib import Path

from cn.files import make_folder, write_atomic
from cn.weights import bundled
from tools.paper import estimate, report
from tools.paper.experiment import Experiment
from tools.paper.experiments import experiments
from tools.paper.journal import Journal, comparable, of_these_options, publish, read_published
from tools.paper.settings import FULL, QUICK, Settings
from tools.paper.spec import Run
from tools.paper.statistics import MIN_SEEDS
from tools.paper.workplace import Workplace

READERS = 3
DOCS = Path(__file__).parents[2] / "docs"
PAGE, RESULTS, PREFIX = "paper.md", "paper-results.jsonl", "paper"


def parse(words: list[str]) -> argparse.Namespace:
    """The command line; exits with status 2 for an unknown experiment."""
    parser = argparse.ArgumentParser(prog="python -m tools.paper", description=__doc__)
    names = [one.name for one in experiments(FULL)]
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[], help=", ".join(names))
    parser.add_argument("--quick", action="store_true", help="tiny runs that prove that all of it works")
    parser.add_argument("--work", type=Path, help="folder for data, runs and records (default: build/paper)")
    parser.add_argument("--jobs", type=int, default=1, help="runs at a time; 0: in this process (default: 1)")
    parser.add_argument("--minutes", type=float, default=0, help="stop after this time; 0: never")
    parser.add_argument("--base", default=bundled.BASE_NAME, help="a base of yours (default: the bundled one)")
    parser.add_argument("--device", default="auto", help="as for cn (default: auto)")
    parser.add_argument("--dry-run", action="store_true", help="list what would be run, and stop")
    parser.add_argument("--report", action="store_true", help="write the report of what is there, and stop")
    parser.add_argument("--out", type=Path, help="folder of the report (default: docs; with --quick that of --work)")
    args = parser.parse_args(words)
    if unknown := set(args.only) - set(names):
        parser.error(f"{', '.join(sorted(unknown))}: the experiments are {', '.join(names)}")
    return args


def main(words: list[str] | None = None) -> int:
    """Run, and write the report. Returns 1 where a run failed."""
    args = parse(sys.argv[1:] if words is None else words)
    settings = QUICK if args.quick else FULL
    work: Path = args.work or Path("build") / ("paper-quick" if args.quick else "paper")
    out: Path = args.out or (work if args.quick else DOCS)
    if args.report:
        write_report(settings, work, out)
        return 0
    deadline = time.time() + 60 * args.minutes if args.minutes else float("inf")
    place = Workplace(make_folder(work).resolve(), settings, args.base, args.device, deadline, _workers(args.jobs))
    chosen = [one for one in experiments(settings) if not args.only or one.name in args.only]
    if args.dry_run:
        _show_plan(chosen, place)
        return 0
    failed = run(chosen, place, args.jobs)
    write_report(settings, work, out)
    return int(failed)


def run(chosen: list[Experiment], place: Workplace, jobs: int) -> bool:
    """Carry out all runs that are still to be done; whether one failed. What is done is said on stderr."""
    from tools.paper import schedule

    todo = schedule.to_do(_runs(chosen), place, gpu=_has_gpu(place.device))
    failed, start, done = False, time.monotonic(), 0
    print(f"{len(todo)} runs to do", file=sys.stderr, flush=True)
    for one, problem in schedule.do(todo, place, jobs):
        done += not problem
        failed |= bool(problem) and place.seconds_left > 0
        minutes = (time.monotonic() - start) / 60
        print(f"[{done}/{len(todo)}, {minutes:.1f} min] {one.name}: {problem or 'done'}", file=sys.stderr, flush=True)
    return failed


def write_report(settings: Settings, work: Path, out: Path) -> None:
    """Write the page, its plots and sheets, and the raw numbers, from the records of the work folder.

    Where there are none, from the raw numbers that are there already: the page is the same again.
    """
    from tools.paper.plots import draw
    from tools.paper.results import Results

    found, journal = experiments(settings), Journal(work / "records")
    there = journal.all()
    records = comparable(of_these_options(there, _runs(found)))
    if len(records) < len(there):
        print(f"{len(there) - len(records)} records of another base, or other options, are left out", file=sys.stderr)
    make_folder(out)
    if records:
        publish(out / RESULTS, records.values())
        for one in found:
            if (png := draw(one, Results(records))) is not None:
                write_atomic(out / f"{PREFIX}-{one.name}.png", png)
            for sheet in one.sheets:
                if (file := journal.folder / f"{sheet}.jpg").exists():
                    write_atomic(out / f"{PREFIX}-{sheet}.jpg", file.read_bytes())
    page = render_page(settings, out)
    write_atomic(out / PAGE, page.encode())
    print(out / PAGE)


def render_page(settings: Settings, folder: Path) -> str:
    """The page of a folder with raw numbers, plots and sheets."""
    found, records = experiments(settings), read_published(folder / RESULTS)
    images = {
        one.name: [
            file
            for file in (f"{PREFIX}-{one.name}.png", *(f"{PREFIX}-{sheet}.jpg" for sheet in one.sheets))
            if records and (folder / file).exists()
        ]
        for one in found
    }
    return report.render(found, records, images)


def _runs(chosen: list[Experiment]) -> list[Run]:
    """The runs of some experiments, each once, in their order."""
    return list({run.name: run for one in chosen for run in one.runs}.values())


def _show_plan(chosen: list[Experiment], place: Workplace) -> None:
    """Experiments and their runs that are still to be done."""
    from tools.paper import schedule

    print(f"{'':8} {'':22} runs  minutes   of them seeds 0 to {MIN_SEEDS - 1}")
    seen, todo = set[str](), schedule.to_do(_runs(chosen), place, gpu=True)
    for one in chosen:
        own = {run.name for run in one.runs} - seen
        seen |= own
        print(f"{one.name:8} {one.place:22} {_amounts([run for run in todo if run.name in own], place)}")
    print(f"{'all':8} {'':22} {_amounts(todo, place)}")


def _amounts(runs: list[Run], place: Workplace) -> str:
    """How many runs, and about how many minutes on an H200 one after the other; the same of the first seeds."""
    found = []
    for part in (runs, [run for run in runs if run.seed < MIN_SEEDS]):
        minutes = sum(estimate.seconds(run, place.settings) for run in part) / 60
        found.append(f"{len(part):4} {minutes:8.1f}")
    return "   ".join(found)


def _has_gpu(device: str) -> bool:
    from cn.devices import choose_device

    return choose_device(device).type == "cuda"


def _workers(jobs: int) -> int:
    """Processes that read images, of each training on more of them than stay in memory.

    One decodes 800 maps a second, and a GPU takes 2,000; few such trainings run at a time.
    """
    cpus = os.cpu_count() or 1
    return 0 if jobs == 0 else min(cpus, max(READERS, cpus // jobs))


if __name__ == "__main__":
    sys.exit(main())
