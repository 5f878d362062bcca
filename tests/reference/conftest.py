"""The reference models of the session: in memory as diffusers has them, and on disk in every form."""

import gc
import shutil
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, cast

import pytest

from tests.reference import ldm_layout as ldm


class Shelf:
    """Makes each model once for each module of tests, and writes each form of it once.

    Shared by all tests: never change what it gives.
    """

    def __init__(self, pipelines: Any, folder: Path):
        self.pipelines = pipelines
        self.root = folder
        # A cache of its own for each shelf.
        for name in ("base", "control", "base_folder", "control_folder", "base_file", "control_file"):
            setattr(self, name, cache(getattr(self, name)))

    def let_go(self) -> None:
        """Forget the models in memory; the files stay."""
        for models in (self.base, self.control):
            cast(Any, models).cache_clear()

    def base(self, layout: str, weights: str = "plain") -> Any:
        """A StableDiffusionPipeline."""
        return self.pipelines.base(layout, weights)

    def control(self, layout: str, weights: str = "plain", salt: str = "one") -> Any:
        """A ControlNetModel."""
        return self.pipelines.control(layout, weights, salt)

    def base_folder(self, layout: str, weights: str = "plain") -> Path:
        folder = self.root / f"{layout}-{weights}"
        self.base(layout, weights).save_pretrained(folder)
        return folder

    def control_folder(self, layout: str, weights: str = "plain", salt: str = "one") -> Path:
        folder = self.root / f"{layout}-{weights}-control-{salt}"
        self.control(layout, weights, salt).save_pretrained(folder)
        return folder

    def base_state(self, layout: str, weights: str = "plain") -> dict[str, Any]:
        """The tensors of an original file."""
        base = self.base(layout, weights)
        return ldm.base_state(base.unet.state_dict(), base.vae.state_dict(), base.text_encoder.state_dict())

    def control_state(self, layout: str, weights: str = "plain", salt: str = "one") -> dict[str, Any]:
        return ldm.unet_state(self.control(layout, weights, salt).state_dict(), ldm.CONTROL)

    def base_file(self, layout: str, weights: str = "plain") -> Path:
        return ldm.write(self.root / f"{layout}-{weights}.safetensors", self.base_state(layout, weights))

    def control_file(self, layout: str, weights: str = "plain", salt: str = "one") -> Path:
        path = self.root / f"control_{layout}-{weights}-{salt}.safetensors"
        return ldm.write(path, self.control_state(layout, weights, salt))


@pytest.fixture(scope="session")
def session_shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shelf]:
    """Skips, visibly, where diffusers and transformers are not installed."""
    pytest.importorskip("diffusers")
    pytest.importorskip("transformers")
    from tests.reference import pipelines

    folder = tmp_path_factory.mktemp("reference")
    yield Shelf(pipelines, folder)
    shutil.rmtree(folder)  # half a gigabyte, which pytest would keep for three sessions


@pytest.fixture(scope="module")
def shelf(session_shelf: Shelf, request: pytest.FixtureRequest) -> Iterator[Shelf]:
    """The session's, without the models of the modules before; the module's own caches are emptied after it, too.

    All of them together would hold gigabytes to the end of the session.
    """
    yield session_shelf
    session_shelf.let_go()
    for value in vars(request.module).values():
        if hasattr(value, "cache_clear") and value.__module__ == request.module.__name__:
            value.cache_clear()
    gc.collect()  # pipelines refer to themselves


@pytest.fixture
def scratch(tmp_path: Path) -> Iterator[Path]:
    """An empty folder that goes away with the test: a base in it is 70 MB."""
    yield tmp_path
    shutil.rmtree(tmp_path)
