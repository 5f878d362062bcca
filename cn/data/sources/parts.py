"""Parts from their JSON records, as the plans of builds store them."""

from collections.abc import Mapping
from typing import Any

from cn.data.sources.listed import ListedPart
from cn.data.sources.parquet import TablePart
from cn.data.sources.sample import Part
from cn.data.sources.shards import ShardPart
from cn.data.sources.videos import VideoPart
from cn.errors import InputError

_TYPES = {part.type: part for part in (ListedPart, ShardPart, TablePart, VideoPart)}


def from_record(record: Mapping[str, Any]) -> Part:
    """The part that `Part.record` described. Raises InputError for a type that is not known."""
    kind = record.get("type")
    if kind not in _TYPES:
        raise InputError(f"unknown part of a source: {kind!r}")
    return _TYPES[kind].from_record(record)
