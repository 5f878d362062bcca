"""`cn dataset lint --fix`: repairs what can be repaired without a guess, and keeps the originals."""

import io
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from cn import errors
from cn.data.lint.captions import clean
from cn.data.lint.contents import Contents
from cn.data.lint.finding import Finding
from cn.data.lint.repair import repair_of, repaired
from cn.data.lint.undo import UndoLog, exclusive
from cn.errors import InputError, UsageError
from cn.json_text import parse_json


@dataclass
class LineChanges:
    """What happens to the lines of a dataset, by "FILE:LINE"."""

    dropped: set[str] = field(default_factory=set)
    stripped: set[str] = field(default_factory=set)
    sources: dict[str, str] = field(default_factory=dict)
    """The new name of the line's map, in the same folder."""

    def __contains__(self, where: object) -> bool:
        return where in self.dropped or where in self.stripped or where in self.sources


@dataclass
class Fixed:
    """What was repaired, or would be, and what could not be."""

    findings: list[Finding] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)
    undo: Path | None = None
    """Where the originals are; None where nothing was changed."""


def fix(contents: Contents, findings: Sequence[Finding], *, dry_run: bool = False) -> Fixed:
    """Repair the faults that need no guess, in a dataset on this machine.

    Maps are replaced one by one, each at once, and new ones get new names; then the lines are, all of a file at once:
    killed at any moment, the dataset is a whole one. Raises InputError or OutputError where it cannot be written.
    """
    result, lines, log = Fixed(), LineChanges(), UndoLog(Path(contents.root))
    check_fixable(contents)
    if dry_run:
        result.findings = [finding for finding in findings if repair_of(finding) is not None]
        return result
    _check_lines_left(contents, findings)
    with exclusive(Path(contents.root)):
        done: dict[str, bool] = {}
        for finding in findings:
            if _fix(finding, contents, lines, log, result, done):
                result.findings.append(finding)
        for subset in contents.subsets:
            _rewrite(subset.file, lines, log)
    result.undo = log.folder
    return result


def check_fixable(contents: Contents) -> None:
    """UsageError for a dataset whose layout `fix` does not write."""
    if not contents.subsets:
        raise UsageError(f"{contents.root}: --fix repairs datasets with prompt.json; make one with cn dataset unpack")


def _check_lines_left(contents: Contents, findings: Sequence[Finding]) -> None:
    """InputError where no right line of a kind would be left."""
    dropped = {where for finding in findings if repair_of(finding) == "drop" for where in finding.lines}
    for subset in contents.subsets:
        lines = {view.where for item in contents.items for view in item.views if view.subset == str(subset.file)}
        if lines <= dropped:
            raise InputError("every line would be left out: nothing is changed; see what is wrong", path=subset.file)


def _fix(
    finding: Finding, contents: Contents, lines: LineChanges, log: UndoLog, result: Fixed, done: dict[str, bool]
) -> bool:
    repair = repair_of(finding)
    if repair == "drop":
        lines.dropped.update(finding.lines)
    elif repair == "strip":
        lines.stripped.update(finding.lines)
    elif repair is not None:
        if finding.path not in done:
            done[finding.path] = _fix_map(finding, contents, lines, log, result)
        return done[finding.path]
    return repair is not None


def _fix_map(finding: Finding, contents: Contents, lines: LineChanges, log: UndoLog, result: Fixed) -> bool:
    path, kind, repair = Path(finding.path), finding.kind, repair_of(finding)
    assert kind is not None
    assert repair is not None
    try:
        with errors.about(path):
            inside = Path(os.path.realpath(path)).is_relative_to(os.path.realpath(contents.root))
            if not inside or path.is_symlink():
                raise InputError("is not stored in the dataset, so that it is left as it is")
            data = repaired(path, kind, repair)
            target = path if path.suffix.lower() == ".png" else _new_name(path, data)
    except InputError as error:
        result.failures.append(str(error))
        return False
    if target != path:
        lines.sources.update(dict.fromkeys(_lines_with(contents, path), target.name))
    if target == path or not target.exists():
        log.write(_below(Path(contents.root), target), data)
    return True


def _below(root: Path, path: Path) -> Path:
    """The path as one below the root, without "..": maps of several kinds may be given relative to their folders."""
    return root / os.path.relpath(os.path.realpath(path), os.path.realpath(root))


def _new_name(path: Path, data: bytes) -> Path:
    """The name of a map that becomes a PNG: one that is free, or holds just these bytes since a run was killed."""
    for candidate in (path.with_suffix(".png"), path.with_name(f"{path.name}.png")):
        if not candidate.exists() or candidate.read_bytes() == data:
            return candidate
    raise InputError(f"cannot become a PNG: {path.name}.png is there already")


def _lines_with(contents: Contents, path: Path) -> Iterator[str]:
    for item in contents.items:
        for view in item.views:
            if view.source == path:
                yield view.where


def _rewrite(file: Path, lines: LineChanges, log: UndoLog) -> None:
    """Write a `prompt.json` anew, with the bytes of all lines that do not change."""
    data = file.read_bytes()
    changed, kept = False, []
    for where, raw in _records(data, file):
        if where in lines:
            changed = True
            if where in lines.dropped:
                continue
            raw = _edited(raw, where, lines)
        kept.append(raw)
    if changed:
        log.write(file, b"".join(kept))


def _records(data: bytes, file: Path) -> Iterator[tuple[str, bytes]]:
    """The place and the bytes of each record, as `cn.data.records` numbers them; of an array, as lines."""
    if data.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"["):
        for number, record in enumerate(parse_json(data), start=1):
            yield f"{file}, item {number}", json.dumps(record, ensure_ascii=False).encode() + b"\n"
        return
    for number, line in enumerate(io.BytesIO(data), start=1):
        yield f"{file}:{number}", line


def _edited(raw: bytes, where: str, lines: LineChanges) -> bytes:
    record = parse_json(raw)
    if where in lines.stripped:
        record["prompt"] = clean(record["prompt"])
    if where in lines.sources:
        old = PurePosixPath(record["source"].replace("\\", "/"))
        record["source"] = str(old.with_name(lines.sources[where]))
    return json.dumps(record, ensure_ascii=False).encode() + b"\n"
