"""The layers of the package: who imports whom, read from the source; and help that loads nothing heavy."""

import ast
import json
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "cn"

SHARED_MODULES = {
    "conditions",
    "errors",
    "files",
    "images",
    "json_text",
    "options",
    "parallel",
    "precision",
    "ray_cluster",
    "remote",
    "startup",
    "storage",
    "temporaries",
    "text",
    "units",
}
MAY_IMPORT = {
    "model": {"model", "errors"},
    "scenes": {"scenes", "errors"},
    "detect": {"detect", "archives", "weights", "devices"} | SHARED_MODULES,
    "weights": {"weights", "archives"} | SHARED_MODULES,
    "archives": {"archives"} | SHARED_MODULES,
    "checkpoints": {"checkpoints", "archives", "model", "weights", "__init__"} | SHARED_MODULES,
    "caption": {"caption", "scenes", "weights", "devices", "archives"} | SHARED_MODULES,
    "data": {"data", "detect", "scenes"} | SHARED_MODULES,
    "eval": {"eval", "sample", "data", "detect", "scenes", "model", "checkpoints", "weights", "devices", "caption"}
    | {"archives", "__init__"}
    | SHARED_MODULES,
    "train": {"train", "eval", "sample", "data", "detect", "scenes", "model", "checkpoints", "weights", "devices"}
    | SHARED_MODULES,
    "sample": {"sample", "caption", "data", "detect", "model", "checkpoints", "weights", "devices"} | SHARED_MODULES,
    "pretrain": {"pretrain", "train", "eval", "data", "detect", "scenes", "model", "checkpoints", "weights", "devices"}
    | {"caption", "archives"}
    | SHARED_MODULES,
    "api": {
        "detect",
        "sample",
        "train",
        "eval",
        "checkpoints",
        "model",
        "weights",
        "devices",
        "errors",
        "images",
        "conditions",
        "options",
    },
    "devices": {"errors", "options", "precision"},
    **dict.fromkeys(SHARED_MODULES, SHARED_MODULES),
    "console": {"errors", "terminal"},
    "terminal": set(),
}


@cache
def modules() -> list[tuple[str, Path, ast.Module]]:
    paths = sorted(PACKAGE.rglob("*.py"))
    return [(path.relative_to(PACKAGE).with_suffix("").parts[0], path, ast.parse(path.read_text())) for path in paths]


@pytest.fixture(scope="module", autouse=True)
def forget() -> Iterator[None]:
    """The parsed package takes a hundred megabytes."""
    yield
    for function in (parts_of_cn, imported, modules):
        function.cache_clear()


@cache
def imported(tree: ast.AST, path: Path) -> list[str]:
    """Full names of everything that is imported anywhere in a module; "cn.x" for `from cn import x`."""
    package = path.relative_to(PACKAGE.parent).parts[:-1]
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*above, *([node.module] if node.module else [])])
            names += [module, *(f"{module}.{alias.name}" for alias in node.names)]
    return names


@cache
def parts_of_cn(tree: ast.AST, path: Path) -> set[str]:
    names = {name.split(".")[1] for name in imported(tree, path) if name.startswith("cn.")}
    return {name for name in names if (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()}


def test_imports_go_one_way():
    wrong = []
    seen = set()
    for part, path, tree in modules():
        seen.add(part)
        if part in MAY_IMPORT and (extra := parts_of_cn(tree, path) - MAY_IMPORT[part]):
            wrong.append(f"{path.relative_to(PACKAGE)} imports {sorted(extra)}")
    assert wrong == []
    assert set(MAY_IMPORT) | {"app", "commands", "__init__", "__main__"} == seen, (
        "every part of the package has its place here"
    )


# Inside a part: a later line may import from those before it, never the other way round.
ORDER_INSIDE = {
    "detect": (
        "registry",
        "settings",
        "published",
        "nets",
        "network",
        "detector",
        "create",
        "lines",
        "surfaces",
        "pose",
        "segmentation",
        "checks",
        "run",
        "interface",
    ),
    "checkpoints": ("layouts", "keymaps", "checkpoint", "shapes", "read", "write", "transfer"),
}


@pytest.mark.parametrize("part", ORDER_INSIDE)
def test_inside_a_part_imports_go_one_way(part):
    order = ORDER_INSIDE[part]
    rank = {name: number for number, name in enumerate(order)}
    for _, path, tree in modules():
        if not path.is_relative_to(PACKAGE / part):
            continue
        own = path.relative_to(PACKAGE / part).with_suffix("").parts[0]
        if own == "__init__":
            continue
        for name in imported(tree, path):
            words = name.split(".")
            if words[:2] == ["cn", part] and len(words) > 2:
                assert rank[words[2]] <= rank[own], f"{path} imports {name}"


def test_no_modules_import_each_other_in_a_circle():
    """Whatever is imported anywhere in a module counts, also inside functions."""
    names = {
        ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts): (tree, path) for _, path, tree in modules()
    }
    graph = {}
    for module, (tree, path) in names.items():
        found = {name for name in imported(tree, path) if name in names}
        graph[module] = found - {module}
    assert sum(map(len, graph.values())) > 300, "the imports are read"
    TopologicalSorter(graph).prepare()


def test_only_the_app_imports_commands_and_nothing_imports_the_app():
    for part, path, tree in modules():
        parts = parts_of_cn(tree, path)
        assert "app" not in parts or part == "__main__", path
        if part not in ("app", "commands"):
            assert "commands" not in parts, path
            assert "typer" not in set(imported(tree, path)), path


def test_only_the_edge_prints_or_exits():
    for part, path, tree in modules():
        if part in ("__main__", "app", "commands", "console", "terminal", "pretrain"):
            continue
        calls = [node.func for node in ast.walk(tree) if isinstance(node, ast.Call)]
        names = {call.id for call in calls if isinstance(call, ast.Name)}
        attributes = {ast.unparse(call) for call in calls if isinstance(call, ast.Attribute)}
        assert not names & {"print", "exit", "quit"}, path
        assert "sys.exit" not in attributes, path
        assert "console" not in parts_of_cn(tree, path), path


def test_the_networks_know_no_images_files_or_terminals():
    for part, path, tree in modules():
        if part == "model":
            assert not {name.split(".")[0] for name in imported(tree, path)} & {"cv2", "PIL", "rich", "tqdm"}, path


@pytest.mark.parametrize(
    "name", ["app", "commands", "console", "conditions", "files", "errors", "json_text", "options"]
)
def test_light_modules_import_nothing_heavy_at_their_top(name):
    heavy = {"torch", "cv2", "numpy", "PIL", "rich", "tqdm", "open_clip", "timm", "safetensors"}
    for part, path, tree in modules():
        if part == name:
            for node in tree.body:
                assert not {module.split(".")[0] for module in imported_at_top(node, path)} & heavy, path


def imported_at_top(node: ast.stmt, path: Path) -> list[str]:
    return imported(node, path) if isinstance(node, ast.Import | ast.ImportFrom) else []


def test_no_file_is_longer_than_300_lines():
    assert [path.name for _, path, _ in modules() if len(path.read_text().splitlines()) > 300] == []


def test_no_test_measures_time():
    """A test counts operations or bytes, and waits with `wait_until`; `make bench` measures speed."""
    clocks = {"perf_counter", "process_time", "monotonic", "thread_time", "time"}
    clocks |= {f"{clock}_ns" for clock in clocks}
    wrong = []
    for path in sorted((PACKAGE.parent / "tests").rglob("*.py")):
        text = path.read_text()
        # Parsing the others would take a second.
        suspicious = any(word in text for word in {*clocks, "time.time", "from time"} - {"time"})
        for node in ast.walk(ast.parse(text)) if suspicious else ():
            attribute = isinstance(node, ast.Attribute) and ast.unparse(node.value) == "time" and node.attr in clocks
            name = isinstance(node, ast.ImportFrom) and node.module == "time" and {n.name for n in node.names} & clocks
            if attribute or name:
                wrong.append(f"{path.name}:{node.lineno}")
    assert wrong == []


def test_every_help_is_complete_and_loads_no_torch_no_cv2_and_no_numpy():
    script = textwrap.dedent("""
        import contextlib, io, json, sys
        import typer
        from cn import app
        def walk(command, words):
            yield words, command
            for name, child in getattr(command, "commands", {}).items():
                yield from walk(child, [*words, name])
        report = {}
        for words, command in walk(typer.main.get_command(app.app), []):
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                code = app.run([*words, "--help"])
            missing = [option for p in command.params for option in p.opts[:1] if option.startswith("--")
                       and not getattr(p, "hidden", False) and option not in out.getvalue()]
            undescribed = [p.name for p in command.params if not getattr(p, "help", None)]
            report[" ".join(words)] = [code, missing, undescribed]
        heavy = [name for name in ("torch", "cv2", "numpy", "PIL", "open_clip") if name in sys.modules]
        print(json.dumps([report, heavy]))
    """)
    environment = {"PYTHONPATH": str(PACKAGE.parent), "COLUMNS": "140", "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    report, heavy = json.loads(done.stdout)
    assert heavy == []
    assert {"", "detect canny", "weights list"} <= set(report)
    assert {words: result for words, result in report.items() if result != [0, [], []]} == {}
