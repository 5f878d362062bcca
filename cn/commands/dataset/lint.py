"""`cn dataset lint`: what ruins a training, found before it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cn import console
from cn.commands.options import Json, Quiet, Workers
from cn.errors import PartialError, UsageError

if TYPE_CHECKING:
    from cn.data.lint.finding import Finding
    from cn.data.lint.fix import Fixed
    from cn.data.lint.lint import Lint

_RULES_PANEL, _REPAIR_PANEL = "Rules", "Repair"


def lint(
    path: Annotated[
        str | None, typer.Argument(metavar="PATH", help="A dataset in any layout: its folder, its prompt.json, a URL.")
    ] = None,
    cond: Annotated[
        str | None,
        typer.Option(
            "--cond",
            metavar="KIND",
            help="The kind of maps that do not state it; of a dataset of several kinds, the only one to check.",
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option("--against", metavar="OTHER", help="Another dataset (validation): no image may be in both."),
    ] = None,
    min_size: Annotated[
        int | None,
        typer.Option(
            "--min-size",
            metavar="PIXELS",
            min=1,
            help="The short side that images must have. Default: half of the dataset's, at most 256.",
            show_default=False,
        ),
    ] = None,
    rule: Annotated[
        list[str] | None,
        typer.Option(
            "--rule", metavar="NAME", help="Apply only this rule; repeat for more.", rich_help_panel=_RULES_PANEL
        ),
    ] = None,
    ignore: Annotated[
        list[str] | None,
        typer.Option(
            "--ignore", metavar="NAME", help="Leave out this rule; repeat for more.", rich_help_panel=_RULES_PANEL
        ),
    ] = None,
    list_rules: Annotated[
        bool, typer.Option("--list-rules", help="Show the names of all rules.", rich_help_panel=_RULES_PANEL)
    ] = False,
    fix: Annotated[
        bool,
        typer.Option(
            "--fix",
            help="Repair what needs no guess; the originals are kept in PATH/lint/undo.",
            rich_help_panel=_REPAIR_PANEL,
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="With --fix: only say what it would repair.", rich_help_panel=_REPAIR_PANEL),
    ] = False,
    undo: Annotated[
        bool,
        typer.Option(
            "--undo", help="Bring back what the last --fix changed, byte for byte.", rich_help_panel=_REPAIR_PANEL
        ),
    ] = False,
    workers: Workers = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Find what ruins a training: maps that do not fit their images, inverted, cut or of wrong colors, duplicates,
    broken files, poor captions.

    One line for each fault; exit code 5 if there are any, 0 if there are none.
    """
    if list_rules:
        _list_rules(json)
        return
    if path is None:
        raise UsageError("PATH is missing: the dataset to check")
    if dry_run and not fix:
        raise UsageError("--dry-run needs --fix")
    if undo:
        _undo(path, fix, json, quiet)
        return
    from cn.data.lint.lint import Lint, LintSettings, chosen_rules
    from cn.parallel import available_cpus

    settings = LintSettings(
        kind=cond,
        rules=chosen_rules(tuple(rule or ()), tuple(ignore or ())),
        against=against,
        min_side=min_size,
        workers=workers or available_cpus(),
    )
    run = Lint.open(path, settings, _token_count)
    if fix:
        from cn.data.lint.fix import check_fixable

        check_fixable(run.contents)
    fixed = _find(run, fix, dry_run, json, quiet)
    _summarize(run, fixed, dry_run, json, quiet)


def _token_count(caption: str) -> int:
    """Of the text encoder; torch is imported for the first caption that may be too long."""
    from cn.model.tokens import token_count

    return token_count(caption)


def _list_rules(json: bool) -> None:
    from cn.data.lint.rules import RULES

    width = max(map(len, RULES))
    for found in RULES.values():
        record = {"rule": found.name, "about": found.about, "fix": found.repair}
        text = f"{found.name.ljust(width)}  {found.about}" + ("  (--fix)" if found.repair else "")
        console.emit(record if json else text, json)


def _undo(path: str, fix: bool, json: bool, quiet: bool) -> None:
    from cn.data.lint.undo import undo

    if fix:
        raise UsageError("--fix and --undo exclude each other")
    root = Path(path)
    changed = undo(root if root.is_dir() else root.parent)
    for file in changed:
        console.emit({"path": str(file), "undone": True} if json else file, json)
    console.status(f"{len(changed)} files are as they were", quiet=quiet)


def _find(run: "Lint", fix: bool, dry_run: bool, json: bool, quiet: bool) -> "Fixed":
    """Report the faults as they are found; with `fix`, at the end, with what was done about them."""
    from cn.data.lint.fix import Fixed
    from cn.data.lint.fix import fix as repair

    fixed, found = Fixed(), list["Finding"]()
    with console.progress(run.contents.count, "checking", unit="image", quiet=quiet) as advance:
        for finding in run.findings(advance):
            if fix:
                found.append(finding)
            else:
                _report(finding, _advice(run, finding), json)
    if fix:
        fixed = repair(run.contents, found, dry_run=dry_run)
        repaired = set(map(id, fixed.findings))
        for finding in found:
            note = "would be repaired" if dry_run else "repaired"
            _report(finding, note if id(finding) in repaired else None, json)
    for message in (*fixed.failures, *run.notes()):
        console.warn(message)
    return fixed


def _advice(run: "Lint", finding: "Finding") -> str | None:
    from cn.data.lint.repair import repair_of

    return "--fix repairs it" if run.contents.subsets and repair_of(finding) is not None else None


def _report(finding: "Finding", note: str | None, json: bool) -> None:
    """A fault, with what can be done or was done about it."""
    if json:
        console.emit(finding.record() | {"repair": note}, json)
    else:
        console.emit(f"{finding} ({note})" if note else str(finding))


def _summarize(run: "Lint", fixed: "Fixed", dry_run: bool, json: bool, quiet: bool) -> None:
    from cn.data.lint.rules import RULES
    from cn.data.sources.request import counted

    faults = run.counts.total()
    repaired = 0 if dry_run else len(fixed.findings)
    if json:
        summary = {
            "pairs": run.contents.pairs,
            "images": run.images,
            "faults": faults,
            "faulty_pairs": len(run.accused),
            "rules": dict(run.counts),
            "repaired": repaired,
            "undo": None if fixed.undo is None else str(fixed.undo),
        }
        console.emit({"summary": summary}, json)
    rows = {name: f"{count:>7,}  {RULES[name].about}" for name, count in run.counts.most_common()}
    if rows:
        console.plan(f"{counted(faults, 'fault')} by rule", rows, quiet=quiet)
    if dry_run:
        console.status(f"--fix would repair {len(fixed.findings)} of {faults}; nothing was changed", quiet=quiet)
    elif fixed.undo is not None:
        console.status(
            f"{repaired} of {faults} faults are repaired; --undo brings the originals back, from {fixed.undo}",
            quiet=quiet,
        )
    if repaired and faults > repaired:
        raise PartialError(f"{counted(faults - repaired, 'fault')} left", path=run.contents.root)
    if faults > repaired:
        share = f"{len(run.accused):,} of {run.contents.pairs:,} pairs"
        raise PartialError(f"{counted(faults, 'fault')}; {share} have one or more", path=run.contents.root)
    console.status(f"{run.contents.pairs:,} pairs, no fault" + (" left" if repaired else ""), quiet=quiet)
