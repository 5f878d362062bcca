"""Where published weights are on this machine, and the environment variables about downloading them.

| variable | meaning |
|---|---|
| `CN_WEIGHTS` | the folder of published weights; default `cn/weights` in `XDG_CACHE_HOME` (`~/.cache`) |
| `CN_MIRROR` | download everything from here: `CN_MIRROR/FILE` |
| `HF_ENDPOINT` | a mirror of huggingface.co, for the files there |
| `CN_OFFLINE`, `HF_HUB_OFFLINE` | 1: never touch the network |
| `HF_HUB_CACHE`, `HF_HOME`, `TORCH_HOME` | caches of other programs; files are found there, but never written |

Proxies (`https_proxy`, `no_proxy`) are respected.
"""

import os
from pathlib import Path

from cn.files import user_cache

_HUGGING_FACE = "https://huggingface.co"
_FALSE = {"", "0", "false", "no", "off"}


def folder() -> Path:
    """The folder of published weights; it may not exist yet."""
    return _path("CN_WEIGHTS") or user_cache() / "weights"


def hugging_face() -> Path:
    """The cache of the Hugging Face hub."""
    home = _path("HF_HOME") or user_cache().parent / "huggingface"
    return _path("HF_HUB_CACHE") or home / "hub"


def torch_hub() -> Path:
    """The cache of torch.hub and torchvision."""
    return (_path("TORCH_HOME") or user_cache().parent / "torch") / "hub" / "checkpoints"


def offline() -> bool:
    """Whether the environment forbids the network."""
    return any(os.environ.get(name, "").strip().lower() not in _FALSE for name in ("CN_OFFLINE", "HF_HUB_OFFLINE"))


def addresses(file: str, origins: tuple[str, ...]) -> list[str]:
    """The URLs to try for `file`, in order: only the mirror's, if there is one, else its `origins`."""
    if mirror := os.environ.get("CN_MIRROR", "").strip():
        return [f"{mirror.rstrip('/')}/{file}"]
    endpoint = os.environ.get("HF_ENDPOINT", "").strip().rstrip("/") or _HUGGING_FACE
    return [endpoint + url.removeprefix(_HUGGING_FACE) if url.startswith(_HUGGING_FACE) else url for url in origins]


def _path(variable: str) -> Path | None:
    text = os.environ.get(variable, "").strip()
    return Path(text).expanduser() if text else None
