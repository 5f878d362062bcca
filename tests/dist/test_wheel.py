"""The distribution: the wheel that is built from the sdist holds all of `cn`, and works outside the checkout."""

import email
import json
import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cn import __version__

ROOT = Path(__file__).parent.parent.parent
BUILT_FROM = ("cn", "pyproject.toml", "MANIFEST.in", "README.md", "LICENSE", "CHANGELOG.md", "Makefile")


def build(kind: str, source: Path, out: Path) -> Path:
    """Build the "sdist" or "wheel" of a source folder with the setuptools installed here: no index is needed."""
    script = f"import sys, setuptools.build_meta as backend; backend.build_{kind}(sys.argv[1])"
    out.mkdir()
    subprocess.run([sys.executable, "-c", script, out], cwd=source, check=True, stdout=subprocess.DEVNULL)
    (built,) = out.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the unpacked sdist; the checkout is copied first, so that nothing is written into it."""
    folder = tmp_path_factory.mktemp("dist")
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / "source" / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(ROOT / name, folder / "source" / name)
    with tarfile.open(build("sdist", folder / "source", folder / "sdist")) as sdist:
        sdist.extractall(folder / "unpacked", filter="data")
    (unpacked,) = (folder / "unpacked").iterdir()
    return build("wheel", unpacked, folder / "wheel")


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel in it, and an empty folder to work in."""

    environment: Path
    folder: Path

    def run(self, program: str, *words: str | Path) -> str:
        """What a program of the environment prints; it must succeed and may not see the checkout."""
        command = [str(self.environment / "bin" / program), *map(str, words)]
        variables = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        done = subprocess.run(command, cwd=self.folder, env=variables, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The wheel in an empty environment, which borrows its dependencies from the running one: torch is 5 GB."""
    environment = tmp_path_factory.mktemp("environment")
    venv.create(environment, symlinks=True)
    site_packages = next(environment.glob("lib/python*/site-packages"))
    borrowed = [path for path in sys.path if Path(path).name == "site-packages"]
    # Folders that a .pth file adds come after the environment's own, and their own .pth files (an editable install of
    # the checkout) are not read.
    (site_packages / "dependencies.pth").write_text("\n".join(borrowed))
    pip = [sys.executable, "-m", "pip", "--python", environment / "bin" / "python"]
    # --ignore-installed: a `controlnet-cn` of the running environment does not count as installed.
    options = ["--quiet", "--no-deps", "--no-index", "--ignore-installed"]
    subprocess.run([*pip, "install", *options, wheel], check=True)
    return Installed(environment, tmp_path_factory.mktemp("elsewhere"))


def test_the_wheel_holds_every_file_of_the_package(wheel):
    sources = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "cn").rglob("*")
        if path.is_file() and path.parent.name != "__pycache__"
    }
    with zipfile.ZipFile(wheel) as files:
        packed = {name for name in files.namelist() if ".dist-info/" not in name}
    assert packed == sources
    assert {"cn/weights/base.safetensors", "cn/weights/LICENSE", "cn/py.typed"} <= packed


def test_the_wheel_states_its_name_version_and_licenses(wheel):
    with zipfile.ZipFile(wheel) as files:
        metadata = email.message_from_bytes(files.read(f"controlnet_cn-{__version__}.dist-info/METADATA"))
    assert (metadata["Name"], metadata["Version"]) == ("controlnet-cn", __version__)
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata.get_all("License-File") == ["LICENSE", "cn/weights/LICENSE"]


def test_the_installed_package_is_the_one_from_the_wheel(installed):
    place = installed.run("python", "-c", "import cn; print(cn.__file__)").strip()
    assert Path(place).is_relative_to(installed.environment)
    assert installed.run("cn", "--version") == f"cn {__version__}\n"
    assert installed.run("python", "-m", "cn", "--version") == f"cn {__version__}\n"


def test_the_bundled_weights_are_listed(installed):
    lines = map(json.loads, installed.run("cn", "weights", "list", "--json").splitlines())
    paths = {line["name"]: Path(line["path"]) for line in lines if line.get("path")}
    bundled = {path.stem for path in (ROOT / "cn" / "weights").glob("*.safetensors")}
    assert {"base", "canny"} <= bundled <= set(paths)
    assert all(path.is_relative_to(installed.environment) for name, path in paths.items() if name in bundled)


def test_an_image_is_sampled(installed):
    installed.run("cn", "dataset", "synth", "pairs", "--count", 1, "--cond", "canny")
    (condition,) = (installed.folder / "pairs" / "source").iterdir()
    words = ("sample", "--cond", condition, "--prompt", "a red house on sand", "--steps", 2, "--out", "house.png")
    assert installed.run("cn", *words) == "house.png\n"
    with Image.open(installed.folder / "house.png") as image:
        assert (image.size, image.mode) == ((256, 256), "RGB")
        assert len(np.unique(np.asarray(image))) > 50, "an image, not one color"
