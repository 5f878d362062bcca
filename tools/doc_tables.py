"""The tables of the documentation, from the registry, the catalog, the command line and the report of the weights.

    python -m tools.doc_tables

writes them into README.md and docs/, between `<!-- table: NAME -->` and `<!-- /table -->`; `TABLES` has the names.
"""

import re
import runpy
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import typer

from cn import app, conditions
from cn.detect import registry
from cn.weights import catalog
from tools import report_tables

ROOT = Path(__file__).parent.parent
_MARKED = re.compile(r"(<!-- table: (\w+) -->)\n.*?(<!-- /table -->)", re.DOTALL)


def conditions_table() -> str:
    """One row for each condition: what it shows, its networks, their weights and licenses, and how to do without."""
    return _table(
        ("Condition", "Map", "Network", "Weights", "License", "Without weights"),
        (_condition_row(row) for row in registry.KIND_SPECS),
    )


def _condition_row(row: registry.KindSpec) -> tuple[str, ...]:
    condition = conditions.get(row.kind)
    free = registry.without_weights(row.kind)
    # Drawings, labels and measurements need no network anywhere.
    without = "always" if free == "" else _code(free or row.file_options or "")
    first = registry.kinds_of(row.family)[0] if row.family else row.kind
    if first != row.kind:
        return f"`{row.kind}`", condition.convention, f"as `{first}`", f"as `{first}`", f"as `{first}`", without
    families = [family for family in (row.family, row.second_family) if family]
    networks = [spec for spec in registry.NETWORKS if spec.family in families]
    # A row of cells for each network: its weights may differ in license.
    licenses = [" or ".join(dict.fromkeys(catalog.find(name).license for name in spec.weights)) for spec in networks]
    same = len(set(licenses)) == 1
    return (
        f"`{row.kind}`",
        condition.convention,
        _lines(spec.title for spec in networks) or "none",
        _lines(", ".join(f"`{name}`" for name in spec.weights) for spec in networks) or "none",
        licenses[0] if same else _lines(licenses),
        without,
    )


def commands_table() -> str:
    """One row for each command of `cn`, and the words that may follow it."""
    group = typer.main.get_command(app.app)
    names = group.list_commands(None)  # type: ignore[attr-defined, arg-type]
    return _table(("Command", "Does"), (_command_row(name, group.get_command(None, name)) for name in names))  # type: ignore[attr-defined]


def _command_row(name: str, command: object) -> tuple[str, ...]:
    children = [child for child, one in getattr(command, "commands", {}).items() if not one.hidden]
    words = " " + "\\|".join(children) if children else ""
    text = str(getattr(command, "help", "") or "")
    # The first sentence, without the markup of the terminal.
    sentence = re.sub(r"\[/?b\]", "", text.strip().split("\n\n")[0])
    return f"`cn {name}{words}`", " ".join(sentence.split())


def imports_table() -> str:
    """One row for each package and shared module: what it may import, by the rules that the tests check."""
    rules = runpy.run_path(str(ROOT / "tests/test_layers.py"))
    allowed, shared, floors = rules["MAY_IMPORT"], rules["SHARED_MODULES"], rules["ORDER_INSIDE"]
    rows = [(f"`{name}`", _imports(allowed[name] - {name}, shared)) for name in allowed if name not in shared]
    rows.append((f"shared: {_names(sorted(shared))}", "each other"))
    rows += [(f"inside `{name}`", f"those to the left: {_names(order)}") for name, order in floors.items()]
    return _table(("Package or module", "May import"), rows)


def _imports(names: set[str], shared: set[str]) -> str:
    """The names, with one word for all shared modules; `__init__` is the package itself, which has the version."""
    all_shared = shared <= names
    own = sorted((names - shared if all_shared else names) - {"__init__"})
    cells = [*([_names(own)] if own else []), *(["shared"] if all_shared else [])]
    cells += ["`cn` (its version)"] if "__init__" in names else []
    return ", ".join(cells) or "nothing"


def _names(names: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [heading, ["---"] * len(heading), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _lines(cells: Iterable[str]) -> str:
    return "<br>".join(cells)


def _code(options: str) -> str:
    """ "--a or --b" → "`--a` or `--b`"."""
    return re.sub(r"--[a-z-]+( [a-z]+(?=$| or|,))?", lambda found: f"`{found[0]}`", options)


TABLES: dict[str, Callable[[], str]] = {
    "conditions": conditions_table,
    "commands": commands_table,
    "imports": imports_table,
    "base_files": lambda: _table(*report_tables.files()),
    "base_training": lambda: _table(*report_tables.training(report_tables.read_report())),
    "base_prompts": lambda: _table(*report_tables.prompts(report_tables.read_report())),
    "base_images": lambda: _table(*report_tables.images(report_tables.read_report())),
    "base_controls": lambda: _table(*report_tables.controls(report_tables.read_report())),
    "base_two_controls": lambda: _table(*report_tables.two_controls(report_tables.read_report())),
    "training_runs": lambda: _table(*report_tables.runs()),
}


def main() -> None:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        before = page.read_text(encoding="utf-8")
        after = _MARKED.sub(lambda found: f"{found[1]}\n{TABLES[found[2]]()}{found[3]}", before)
        if after != before:
            page.write_text(after, encoding="utf-8")
            print(page.relative_to(ROOT))


if __name__ == "__main__":
    main()
