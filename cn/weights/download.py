"""Download of published weights: resumed after an interruption, and checked before the file gets its name.

A partial download is kept next to the target as `.cn-FILE.part`; the next pull requests only the rest. The file gets
its name when its length and hash are correct, so that nobody ever reads a partial file.

Own code for Hugging Face too: `hf_hub_download` of huggingface_hub 2.4 (measured) starts from zero in a new process,
does not check the SHA-256 of what it downloaded, and refuses mirrors that serve plain files.
"""

import contextlib
import http.client
import os
import re
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

from cn.errors import InputError, WeightsError
from cn.files import check_space, make_folder, reason
from cn.units import bytes_text
from cn.weights import cache, catalog
from cn.weights.catalog import PublishedFile

try:
    import fcntl
except ImportError:  # Windows: two downloads of one file at the same time are then not prevented
    fcntl = None  # type: ignore[assignment]

TIMEOUT = 30
"""Seconds without a byte after which a connection is considered lost."""

MAX_RETRIES = 3
"""How often an interrupted transfer is retried without having received any more bytes."""

PAUSE = 1.0
"""Seconds before a retry, times the number of retries."""

_CHUNK = 1 << 18


class Progress(Protocol):
    """Called with `done` bytes out of `total` (None: unknown), including those of an earlier, interrupted pull."""

    def __call__(self, done: int, total: int | None) -> None: ...


@dataclass(frozen=True)
class Downloaded:
    """The result of `pull`."""

    path: Path
    fetched: int
    """Bytes received over the network; 0 when the file was already here."""
    sha256: str
    hash_known: bool
    """False when only the length could be checked."""


class _InterruptedError(Exception):
    """The transfer was interrupted; the partial file is kept."""


class _UnavailableError(Exception):
    """The file is not available at this URL; the message says why."""


def pull(entry: PublishedFile, *, offline: bool = False, progress: Progress = lambda done, total: None) -> Downloaded:
    """Download `entry` into our folder unless it is already here and intact; its origins are tried in order.

    Raises WeightsError, in one line, when the network is forbidden, no URL has the file, the transfer was interrupted
    (the partial file is kept), or the content is not the published file; InputError when it cannot be written.
    """
    if (path := catalog.find_local(entry)) is not None:
        verdict = catalog.check(entry, path)
        if verdict.problem is None:
            return Downloaded(path, 0, verdict.sha256, verdict.hash_known)
    target = cache.folder() / entry.file
    if offline or cache.offline():
        state = "not here" if path is None else f"damaged ({path})"
        what = f"{state}, and --offline or CN_OFFLINE forbids the network; put it into {target.parent}"
        raise WeightsError(what, path=entry.file)
    make_folder(target.parent)
    try:
        with _part(target) as part:
            return _from_any(entry, part, target, progress)
    except OSError as error:
        raise InputError(f"cannot be written: {reason(error)}", path=target) from error


def _from_any(entry: PublishedFile, part: BinaryIO, target: Path, progress: Progress) -> Downloaded:
    """From the first URL that has the file."""
    refusals = []
    for url in cache.addresses(entry.file, entry.origins):
        try:
            return _from(url, entry, part, target, progress)
        except _UnavailableError as error:
            refusals.append(f"{url} {error}")
        except _InterruptedError as error:
            kept = f"; {bytes_text(_length(part))} are kept, and the same command resumes there"
            refusals.append(f"{url} was interrupted: {error}{kept if entry.sha256 and _length(part) else ''}")
    raise WeightsError(f"download failed: {'; '.join(refusals)}", path=entry.file)


def _from(url: str, entry: PublishedFile, part: BinaryIO, target: Path, progress: Progress) -> Downloaded:
    """Transfer, check, and rename. A resumed file that fails the check is downloaded once more from the start."""
    if entry.sha256 is None:
        part.truncate(0)  # Without a hash, two halves of different files would not be noticed.
    kept = _length(part)
    if entry.size is not None and kept > entry.size:
        part.truncate(0)
        kept = 0
    fetched = 0
    if entry.size is None or kept < entry.size:
        fetched = _transfer(url, entry, part, progress)
    verdict = catalog.check(entry, Path(part.name))
    if verdict.problem and kept:
        part.truncate(0)
        fetched += _transfer(url, entry, part, progress)
        verdict = catalog.check(entry, Path(part.name))
    if verdict.problem:
        part.truncate(0)
        raise _UnavailableError(f"returned another file: it {verdict.problem}; nothing of it is kept")
    os.fsync(part.fileno())
    if fcntl is None:
        part.close()  # Windows cannot rename open files; elsewhere the lock must be held until after the rename.
    os.replace(part.name, target)
    return Downloaded(target, fetched, verdict.sha256, verdict.hash_known)


def _transfer(url: str, entry: PublishedFile, part: BinaryIO, progress: Progress) -> int:
    """Append the rest of the file to `part`, resuming after lost connections. Returns the bytes received."""
    fetched = idle = 0
    while True:
        before = _length(part)
        try:
            return fetched + _request(url, entry, part, progress)
        except _InterruptedError:
            received = max(_length(part) - before, 0)
            fetched += received
            idle = 0 if received else idle + 1
            if idle >= MAX_RETRIES:
                raise
            time.sleep(PAUSE * idle)


def _request(url: str, entry: PublishedFile, part: BinaryIO, progress: Progress) -> int:
    """One request for the rest of the file; returns the bytes received. _InterruptedError when it ended early."""
    if not url.startswith(("http://", "https://")):
        raise _UnavailableError("is not an http or https URL (see CN_MIRROR and HF_ENDPOINT)")
    start = _length(part)
    headers = {"User-Agent": "cn", "Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with _opened(url, headers, start) as response:
        if response is None:  # 416: the file is complete, or the part is of another file; the hash decides.
            return 0
        if response.status != http.client.PARTIAL_CONTENT:
            part.truncate(0)
            start = 0
        total = _total(response, start)
        if entry.size is not None and total not in (None, entry.size):
            raise _UnavailableError(f"offers {total:,} bytes, not {entry.size:,}")
        total = total or entry.size
        check_space(Path(part.name).parent, (total or 0) - start, entry.file)
        return _copy(response, part, start, total, progress)


@contextlib.contextmanager
def _opened(url: str, headers: dict[str, str], start: int) -> Iterator[http.client.HTTPResponse | None]:
    """The response to a GET, following redirects; None for status 416."""
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            if start and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                yield None
                return
            raise _refusal(error) from None
    except urllib.error.URLError as error:
        why = _reason(error.reason) if isinstance(error.reason, OSError) else error.reason
        raise _UnavailableError(f"cannot be reached: {why}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _UnavailableError(f"cannot be reached: {_reason(error)}") from None
    with response:
        yield response


def _refusal(error: urllib.error.HTTPError) -> Exception:
    # A busy server is worth a retry; one that refuses is not.
    if error.code in (429, 500, 502, 503, 504):
        return _InterruptedError(f"HTTP {error.code} {error.reason}")
    return _UnavailableError(f"answers HTTP {error.code} {error.reason}")


def _total(response: http.client.HTTPResponse, start: int) -> int | None:
    """The length of the whole file according to the server; _UnavailableError for another part than requested."""
    if response.status == http.client.PARTIAL_CONTENT:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != start:
            raise _UnavailableError("sends another part of the file than requested")
        return None if match[2] == "*" else int(match[2])
    length = response.headers.get("Content-Length", "")
    return int(length) if length.isdecimal() else None


def _copy(response: BinaryIO, part: BinaryIO, start: int, total: int | None, progress: Progress) -> int:
    done = start
    progress(done, total)
    while block := _read(response.read):
        _write(part, block)
        done += len(block)
        if total is not None and done > total:
            part.truncate(0)
            raise _UnavailableError(f"sends more than the {total:,} bytes of the file")
        progress(done, total)
    if total is not None and done < total:
        raise _InterruptedError(f"received {bytes_text(done)} of {bytes_text(total)}")
    return done - start


def _read(read: Callable[[int], bytes]) -> bytes:
    # Only network errors count as an interrupted transfer, not a full disk.
    try:
        return read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _InterruptedError(_reason(error)) from None


def _reason(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


def _write(part: BinaryIO, block: bytes) -> None:
    # An unbuffered file may write less than the whole block.
    rest = memoryview(block)
    while rest:
        rest = rest[part.write(rest) :]


def _length(part: BinaryIO) -> int:
    return os.fstat(part.fileno()).st_size


@contextlib.contextmanager
def _part(target: Path) -> Iterator[BinaryIO]:
    """The partial file, locked for this process. It is kept, unless it is empty or was renamed."""
    path = target.parent / f".cn-{target.name}.part"
    with open(path, "ab", buffering=0) as part:
        if fcntl is not None:
            try:
                fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise WeightsError("another cn is downloading this file right now", path=target.name) from None
        # The process that held the lock before may have renamed this very file: never write into that one.
        if not path.exists() or not os.path.samestat(os.fstat(part.fileno()), path.stat()):
            raise WeightsError("another cn has just downloaded this file", path=target.name)
        try:
            yield part
        finally:
            if not part.closed and _length(part) == 0:
                path.unlink(missing_ok=True)
