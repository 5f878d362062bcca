"""What became of each image of a build: `build/status/*.jsonl` in a dataset, read for whoever wants to know."""

from collections.abc import Iterator, Mapping
from typing import Any

from cn import errors, storage
from cn.errors import InputError
from cn.json_text import parse_json

FOLDER = "build/status"


def read_statuses(root: str) -> Iterator[Mapping[str, Any]]:
    """The lines of all status files of a dataset's folder, in order; none where it was not built.

    A line: {"name", "status", "key", "reason", "target", "original_size", "kinds": {KIND: {"status", "file"}}}, without
    what is not there. Raises InputError for a line that is no JSON object.
    """
    folder = storage.join(root, *FOLDER.split("/"))
    for name in storage.files_below(folder):
        if not name.endswith(".jsonl"):
            continue
        path = storage.join(folder, name)
        for number, line in enumerate(storage.read_bytes(path).splitlines(), start=1):
            with errors.about(f"{path}:{number}"):
                record = parse_json(line)
                if not isinstance(record, dict):
                    raise InputError("is not the status of an image")
            yield record
