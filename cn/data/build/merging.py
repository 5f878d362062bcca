"""`cn dataset merge`: the parts of a build, or several datasets of the same settings, put together in one folder."""

import functools
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from cn import storage
from cn.data.build import plan
from cn.data.build.places import Places
from cn.data.build.plan import Plan
from cn.data.build.run import check_out
from cn.data.build.status import ImageStatus, KindResult, from_text, to_text
from cn.errors import InputError
from cn.files import make_folder
from cn.parallel import map_threads
from cn.temporaries import link_or_copy

_MOST_NAMED = 10


def merged(parts: Sequence[str], out: str) -> tuple[Places, Plan]:
    """`out` with all shards of `parts`, ready to be finished.

    A shard that several of them have, because they are parts of one build, is taken once. Files are linked where that
    is possible. Raises InputError where shards are missing, for other settings, and for what is no build.
    """
    if parts:
        _check(parts, out)
    for part in parts:
        _add(part, out)
    places, planned = _loaded(out)
    there = places.map(storage.exists, [places.status(shard) for shard in range(planned.shards)])
    missing = [shard for shard, exists in enumerate(there) if not exists]
    if missing:
        named = ", ".join(map(str, missing[:_MOST_NAMED])) + (" …" if len(missing) > _MOST_NAMED else "")
        raise InputError(
            f"{len(missing)} of {planned.shards} shards are not built yet ({named}); run the parts that are missing "
            "(cn dataset build --shard I/N), or build without --shard",
            path=out,
        )
    return places, planned


def _loaded(folder: str) -> tuple[Places, Plan]:
    places = Places(folder, ())
    planned = plan.load(places)
    if planned is None:
        raise InputError("is no dataset that cn dataset build made: it has no build/plan.json", path=folder)
    return replace(places, kinds=tuple(planned.settings["kinds"])), planned


def _check(parts: Sequence[str], out: str) -> None:
    """InputError for what cannot be one dataset, before anything is written."""
    known = plan.load(Places(out, ()))
    first = out
    for part in parts:
        planned = _loaded(part)[1]
        if known is None:
            known, first = planned, part
        elif _deciding(known) != _deciding(planned):
            raise InputError(f"was built with other settings than {first}; they cannot be one dataset", path=part)
    check_out(Places(out, ()))


def _add(part: str, out: str) -> None:
    """Take over the shards of a part."""
    from_places, from_plan = _loaded(part)
    to_places = Places(out, from_places.kinds)
    to_plan = plan.load(to_places) or replace(from_plan, shards=0, images=0)
    known = {identity: shard for shard, identity in enumerate(_identities(to_places, to_plan))}
    for shard, identity in enumerate(_identities(from_places, from_plan)):
        if identity not in known:
            known[identity] = to_plan.shards
            storage.write(to_places.plan(to_plan.shards), storage.read_bytes(from_places.plan(shard)))
            to_plan = replace(to_plan, shards=to_plan.shards + 1)
        to_shard = known[identity]
        if storage.exists(from_places.status(shard)) and not storage.exists(to_places.status(to_shard)):
            _take_over(from_places, shard, to_places, to_shard)
    images = None if None in (to_plan.images, from_plan.images) else _images(to_places, to_plan)
    replace(to_plan, images=images).write(to_places)


def _deciding(planned: Plan) -> dict[str, object]:
    return {name: value for name, value in planned.settings.items() if name != "shard_size"}


def _identities(places: Places, planned: Plan) -> Iterator[str]:
    """A word for each shard, equal for the same images of the same source."""
    for data in places.map(storage.read_bytes, [places.plan(shard) for shard in range(planned.shards)]):
        yield hashlib.sha256(data).hexdigest()


def _images(places: Places, planned: Plan) -> int:
    parts = places.map(functools.partial(plan.read_shard, places), range(planned.shards))
    return sum(part.count or 0 for part in parts)


def _take_over(from_places: Places, shard: int, to_places: Places, to_shard: int) -> None:
    """Copy a shard's files; its statuses last, as a build does."""
    path = from_places.status(shard)
    statuses = list(from_text(storage.read_bytes(path), path))
    if storage.exists(from_places.tar(shard)):
        _copy(from_places.tar(shard), to_places.tar(to_shard))
        statuses = [_renamed(status, f"{shard:05d}.tar/", f"{to_shard:05d}.tar/") for status in statuses]
    else:
        names = dict.fromkeys(name for status in statuses for name in _files(status))
        threads = storage.REQUESTS if storage.is_url(from_places.out) or storage.is_url(to_places.out) else 1
        for done in map_threads(lambda name: _copy(from_places.path(name), to_places.path(name)), names, threads):
            if done.error is not None:
                raise done.error
    storage.write(to_places.status(to_shard), to_text(statuses), durable=True)


def _files(status: ImageStatus) -> Iterator[str]:
    """The files of an image, relative to the dataset."""
    if status.target is not None:
        yield status.target
    yield from (result.file for result in status.kinds.values() if result.file is not None)


def _renamed(status: ImageStatus, old: str, new: str) -> ImageStatus:
    def renamed(name: str | None) -> str | None:
        return name if name is None else new + name.removeprefix(old)

    kinds: dict[str, KindResult] = {k: replace(result, file=renamed(result.file)) for k, result in status.kinds.items()}
    return replace(status, target=renamed(status.target), kinds=kinds)


def _copy(source: str, target: str) -> None:
    """One file to its new place, unless it is there: files of the same name have the same content."""
    if storage.is_url(source) or storage.is_url(target):
        # Asking whether it is there would cost as much.
        storage.copy(source, target)
        return
    if os.path.exists(target):
        return
    make_folder(os.path.dirname(target))
    link_or_copy(Path(source), Path(target))
