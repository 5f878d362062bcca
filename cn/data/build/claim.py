"""Planning in object storage, which has no locks: of processes that plan at the same time, all get the plan of one.

The lists of images are uploaded only by the process that has claimed to do so, by an object that one of several can
create, and by those whose lists are the same. Others wait for its plan.
"""

import contextlib
import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator

from cn import storage
from cn.data.build.places import WORK, Places
from cn.errors import InputError, MissingError
from cn.json_text import parse_json
from cn.parallel import map_threads

_SECONDS = 120.0
"""How long to wait for another process to upload its lists, which takes seconds: it has listed the source before."""
_PAUSE = 0.5


@contextlib.contextmanager
def lists_uploaded(places: Places, first: int, lists: Iterable[bytes]) -> Iterator[int | None]:
    """Upload the lists of shards from number `first` on; the block gets how many there are, and stores the plan.

    None where another process has stored a plan. Raises InputError where another one has begun to and does not finish.
    """
    with tempfile.TemporaryDirectory(prefix="cn-") as folder:
        digest, paths = hashlib.sha256(), []
        for number, data in enumerate(lists):
            digest.update(data)
            paths.append(os.path.join(folder, str(number)))
            with open(paths[-1], "wb") as file:
                file.write(data)
        claim = places.path(f"{WORK}/plan/claim-{first:05d}.json")
        record = json.dumps({"lists": digest.hexdigest()}).encode()
        mine = storage.create_object(claim, record)
        if not mine and not _is_same(claim, record):
            _wait(places, first, claim)
            yield None
            return
        try:
            if not _is_planned(places, first):
                _upload(places, first, paths)
            # Looked at again: one with the same lists may have been faster, and has begun to build.
            yield None if _is_planned(places, first) else len(paths)
        except BaseException:
            if mine:
                # Unless this process is killed, the next one may plan, also if the source has changed.
                with contextlib.suppress(InputError):
                    storage.remove(claim)
            raise
        storage.remove(claim)


def _is_same(claim: str, record: bytes) -> bool:
    try:
        return storage.read_bytes(claim) == record
    except MissingError:
        # Its process has just finished.
        return False


def _is_planned(places: Places, first: int) -> bool:
    """Whether there is a plan with more than `first` shards."""
    try:
        return int(parse_json(storage.read_bytes(places.plan()))["shards"]) > first
    except MissingError:
        return False


def _upload(places: Places, first: int, paths: list[str]) -> None:
    def upload(number: int) -> None:
        with open(paths[number], "rb") as file:
            storage.write(places.plan(first + number), file.read())

    for done in map_threads(upload, range(len(paths)), storage.REQUESTS):
        if done.error is not None:
            raise done.error


def _wait(places: Places, first: int, claim: str) -> None:
    """Return when another process has stored a plan with more than `first` shards."""
    end = time.monotonic() + _SECONDS
    while time.monotonic() < end:
        if _is_planned(places, first):
            return
        time.sleep(_PAUSE)
    raise InputError(
        "another process began to divide this source into shards when it held other images, and has not finished; if "
        "it is not running any more, remove this object and build again",
        path=claim,
    )
