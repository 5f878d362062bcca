"""Getting published weights: resumed where it stopped, and checked before anything takes its place.

What has come so far is kept beside the target as `.cn-FILE.part`; the next pull asks for the rest only. The file takes
its name when its length and hash are right, so that whoever reads the folder never meets half a file.
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
except ImportError:  # Windows: two pulls of one file at once are then not told apart
    fcntl = None  # type: ignore[assignment]

TIMEOUT = 30
"""Seconds without a byte after which a connection counts as lost."""

TRIES = 3
"""How often an interrupted transfer goes on by itself without having got a byte further."""

PAUSE = 1.0
"""Seconds before such a try, times their number."""

_BLOCK = 1 << 18


class Progress(Protocol):
    """Told of `done` bytes out of `total` (None: unknown), also of those that an earlier pull had got."""

    def __call__(self, done: int, total: int | None) -> None: ...


@dataclass(frozen=True)
class Downloaded:
    """What `pull` did."""

    path: Path
    fetched: int
    """Bytes that came over the network; 0 when the file was already here."""
    sha256: str
    hash_known: bool
    """False when there was only the length to check."""


class _LostError(Exception):
    """The transfer broke off; what has come is kept."""


class _RefusedError(Exception):
    """This address does not have the file; the message says why."""


def pull(entry: PublishedFile, *, offline: bool = False, progress: Progress = lambda done, total: None) -> Downloaded:
    """Get `entry` into our folder unless it is already here and whole; its origins are tried in order.

    Raises WeightsError, in one line, when the network is forbidden, no address has the file, the transfer broke off
    (what has come is kept) or what came is not the published file; InputError when it cannot be written.
    """
    if (path := catalog.here(entry)) is not None:
        verdict = catalog.check(entry, path)
        if verdict.problem is None:
            return Downloaded(path, 0, verdict.sha256, verdict.hash_known)
    target = cache.folder() / entry.file
    if offline or cache.offline():
        state = "not here" if path is None else f"damaged ({path})"
        raise WeightsError(
            f"{entry.file}: {state}, and --offline or CN_OFFLINE forbids the network; put it into {target.parent}"
        )
    make_folder(target.parent)
    try:
        with _part(target) as part:
            return _from_any(entry, part, target, progress)
    except OSError as error:
        raise InputError(f"cannot be written: {reason(error)}", path=target) from error


def _from_any(entry: PublishedFile, part: BinaryIO, target: Path, progress: Progress) -> Downloaded:
    """From the first address that has the file."""
    refusals = []
    for url in cache.addresses(entry.file, entry.origins):
        try:
            return _from(url, entry, part, target, progress)
        except _RefusedError as error:
            refusals.append(f"{url} {error}")
        except _LostError as error:
            kept = f"; {bytes_text(_length(part))} are kept, and the same command goes on from there"
            refusals.append(f"{url} was interrupted: {error}{kept if entry.sha256 and _length(part) else ''}")
    raise WeightsError(f"cannot be had: {'; '.join(refusals)}", path=entry.file)


def _from(url: str, entry: PublishedFile, part: BinaryIO, target: Path, progress: Progress) -> Downloaded:
    """Transfer, check, and put in place. What was resumed and turns out wrong is got once more from the start."""
    if entry.sha256 is None:
        part.truncate(0)  # Nothing would tell that two halves do not belong together.
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
        raise _RefusedError(f"gave another file: it {verdict.problem}; nothing of it is kept")
    os.fsync(part.fileno())
    if fcntl is None:
        part.close()  # Windows moves no open file; elsewhere the lock has to hold until it is in its place.
    os.replace(part.name, target)
    return Downloaded(target, fetched, verdict.sha256, verdict.hash_known)


def _transfer(url: str, entry: PublishedFile, part: BinaryIO, progress: Progress) -> int:
    """Append what is missing to `part`; a lost connection is taken up again. The bytes that came."""
    fetched = idle = 0
    while True:
        before = _length(part)
        try:
            return fetched + _request(url, entry, part, progress)
        except _LostError:
            came = max(_length(part) - before, 0)
            fetched += came
            idle = 0 if came else idle + 1
            if idle >= TRIES:
                raise
            time.sleep(PAUSE * idle)


def _request(url: str, entry: PublishedFile, part: BinaryIO, progress: Progress) -> int:
    """One request for the rest of the file: bytes that came. _LostError when it ended early."""
    if not url.startswith(("http://", "https://")):
        raise _RefusedError("is no http or https address (see CN_MIRROR and HF_ENDPOINT)")
    start = _length(part)
    headers = {"User-Agent": "cn", "Accept-Encoding": "identity"} | ({"Range": f"bytes={start}-"} if start else {})
    with _opened(url, headers, start) as response:
        if response is None:  # 416: nothing is left to send, or what we have is of another file; the hash decides.
            return 0
        if response.status != http.client.PARTIAL_CONTENT:
            part.truncate(0)
            start = 0
        total = _total(response, start)
        if entry.size is not None and total not in (None, entry.size):
            raise _RefusedError(f"offers {total:,} bytes, not {entry.size:,}")
        total = total or entry.size
        check_space(Path(part.name).parent, (total or 0) - start, entry.file)
        return _copy(response, part, start, total, progress)


@contextlib.contextmanager
def _opened(url: str, headers: dict[str, str], start: int) -> Iterator[http.client.HTTPResponse | None]:
    """The response to a GET, redirects followed; None for status 416."""
    try:
        response = urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            if start and error.code == http.client.REQUESTED_RANGE_NOT_SATISFIABLE:
                yield None
                return
            raise _refusal(error) from None
    except urllib.error.URLError as error:
        why = _words(error.reason) if isinstance(error.reason, OSError) else error.reason
        raise _RefusedError(f"cannot be reached: {why}") from None
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _RefusedError(f"cannot be reached: {_words(error)}") from None
    with response:
        yield response


def _refusal(error: urllib.error.HTTPError) -> Exception:
    # A busy server is worth another try, now and later; one that says no is not.
    if error.code in (429, 500, 502, 503, 504):
        return _LostError(f"HTTP {error.code} {error.reason}")
    return _RefusedError(f"answers HTTP {error.code} {error.reason}")


def _total(response: http.client.HTTPResponse, start: int) -> int | None:
    """The length of the whole file as the server says it; _RefusedError when it sends another part than asked for."""
    if response.status == http.client.PARTIAL_CONTENT:
        match = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", response.headers.get("Content-Range", ""))
        if match is None or int(match[1]) != start:
            raise _RefusedError("sends another part of the file than was asked for")
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
            raise _RefusedError(f"sends more than the {total:,} bytes of the file")
        progress(done, total)
    if total is not None and done < total:
        raise _LostError(f"{bytes_text(done)} of {bytes_text(total)} came")
    return done - start


def _read(read: Callable[[int], bytes]) -> bytes:
    # Only what the network does is a lost transfer; a full disk, met while writing, is not.
    try:
        return read(_BLOCK)
    except (OSError, http.client.HTTPException) as error:
        raise _LostError(_words(error)) from None


def _words(error: Exception) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


def _write(part: BinaryIO, block: bytes) -> None:
    # An unbuffered file may take less than all of it.
    rest = memoryview(block)
    while rest:
        rest = rest[part.write(rest) :]


def _length(part: BinaryIO) -> int:
    return os.fstat(part.fileno()).st_size


@contextlib.contextmanager
def _part(target: Path) -> Iterator[BinaryIO]:
    """The file of what has come so far, for this process alone; it stays, unless it is empty or took its place."""
    path = target.parent / f".cn-{target.name}.part"
    with open(path, "ab", buffering=0) as part:
        if fcntl is not None:
            try:
                fcntl.flock(part, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise WeightsError("another cn is getting this file right now", path=target.name) from None
        # Whoever held the lock before may have put this very file in its place: never write into that one.
        if not path.exists() or not os.path.samestat(os.fstat(part.fileno()), path.stat()):
            raise WeightsError("another cn has just got this file", path=target.name)
        try:
            yield part
        finally:
            if not part.closed and _length(part) == 0:
                path.unlink(missing_ok=True)
