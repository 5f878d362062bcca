"""Fixtures of the tests of training."""

from functools import partial

import pytest

from cn.model.generate import Sampling
from cn.train import preview


@pytest.fixture
def quick_previews(monkeypatch: pytest.MonkeyPatch) -> None:
    """Previews of 2 steps instead of 20, where it does not matter how their images look."""
    monkeypatch.setattr(preview, "Sampling", partial(Sampling, steps=2))
