"""What is imported is declared: a fresh environment has every package that the code, the tests and the tools use."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
WITH_TORCH = {"triton"}
"""Comes with PyTorch where that has GPU kernels to compile, and is imported only there."""
OURS = {"cn", "tests", "tools", *(path.stem for path in (ROOT / "tools").glob("*.py"))}


def normalized(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def declared(*extras: str) -> set[str]:
    """The distributions of the core and of these extras, with those that an extra refers to."""
    found, waiting = set[str](), [*PROJECT["dependencies"], *(one for extra in extras for one in EXTRAS[extra])]
    while waiting:
        name, inner = re.fullmatch(r"([\w.-]+)(?:\[([\w,]+)\])?.*", waiting.pop()).groups()
        if name == PROJECT["name"]:
            waiting += [one for extra in inner.split(",") for one in EXTRAS[extra]]
        else:
            found.add(normalized(name))
    return found


def imported(folder: str) -> dict[str, Path]:
    """The top-level names that the modules of a folder import from outside, each with one of the files."""
    found = {}
    for path in sorted((ROOT / folder).rglob("*.py")):
        if path.match("golden/make_*.py"):
            # Run by hand beside the reference code, which brings its own requirements.
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                names = [node.module] if isinstance(node, ast.ImportFrom) and node.module and not node.level else []
            found |= {name.partition(".")[0]: path for name in names}
    return {name: path for name, path in found.items() if name not in sys.stdlib_module_names and name not in OURS}


@pytest.mark.parametrize(
    ("folder", "extras"), [("cn", tuple(EXTRAS)), ("tests", ("test",)), ("tools", ("test", "demo", "dev"))]
)
def test_every_import_is_of_a_declared_package(folder, extras):
    providers, allowed = packages_distributions(), declared(*extras) | WITH_TORCH
    names = imported(folder)
    assert names
    for name, path in names.items():
        # A package that is not installed here, such as an extra, has the name of its module.
        found = {normalized(one) for one in providers.get(name, [name])}
        assert found & allowed, f"{path.relative_to(ROOT)} imports {name} ({', '.join(found)}), which is not declared"
