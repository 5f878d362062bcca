"""The header and the token rows of cn's own checkpoint files, and copies with changes."""

import json
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file, save_file

from cn.archives.metadata import METADATA_KEY
from cn.checkpoints.read import sources
from tests.helpers.model_helpers import TINY

EMBEDDING, TOKEN_IDS = f"text.{sources.EMBEDDING}", f"text.{sources.TOKEN_IDS}"
VOCABULARY = TINY.text.vocab_size


def header(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="pt") as file:
        return json.loads(file.metadata()[METADATA_KEY])


def rewritten(source: Path, path: Path, change) -> Path:
    """A copy of a file of cn's own after `change(header, tensors)`."""
    tensors, text = load_file(source), header(source)
    change(text, tensors)
    save_file(tensors, path, {METADATA_KEY: json.dumps(text)})
    return path
