"""A server of weights, and an empty folder for them."""

import threading
from collections.abc import Iterator

import pytest

from cn.weights import download as pulling
from tests.weights.serving import Server

VARIABLES = ("CN_MIRROR", "HF_ENDPOINT", "CN_OFFLINE", "HF_HUB_OFFLINE", "HF_HUB_CACHE", "HF_HOME", "TORCH_HOME")


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in (*VARIABLES, "http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setenv("CN_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setattr(pulling, "PAUSE", 0.0)
    return tmp_path / "weights"
