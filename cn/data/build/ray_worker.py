"""What the nodes of a Ray cluster do: `build_shard`, after a look whether they see what they need."""

import dataclasses
import functools
import os
import pickle
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from cn import storage
from cn.data.build.recipes import Recipe
from cn.data.build.shard import ShardJob, ShardResult, build_shard
from cn.detect.detector import Detector
from cn.detect.network import GPU_BATCH, ComputeSettings, Network
from cn.detect.run.workers import GPU_THREADS
from cn.errors import CnError
from cn.ray_cluster import work


def build_here(data: bytes, shard: int, node: str) -> ShardResult | CnError:
    """Build a shard of a pickled ShardJob; an error of ours as a value, so that it arrives as it is."""
    import cv2

    # Each task has one CPU.
    cv2.setNumThreads(1)
    try:
        job = _job(data)
        _check_visible(job, node)
        return build_shard(job, shard)
    except CnError as error:
        return error


@functools.lru_cache(maxsize=1)
def _job(data: bytes) -> ShardJob:
    """The job with the number of threads that suits this process, which is prepared for its networks."""
    job: ShardJob = pickle.loads(data)
    threads = job.transfers
    for network in _networks(job.recipes):
        if network.device != "cpu":
            # For what it does to this process: the precision of sums on a GPU.
            ComputeSettings.from_options("cuda", network.precision)
            threads = max(threads, GPU_THREADS)
    return replace(job, threads=threads)


def _check_visible(job: ShardJob, node: str) -> None:
    folders = [recipe.folder for recipe in job.recipes]
    networks = [network.path for network in _networks(job.recipes)]
    paths = {path: path for path in (job.root, *folders, *networks) if path is not None}
    work.check_visible({job.places.plan(): job.places.out, **paths}, node)


def _networks(recipes: tuple[Recipe, ...]) -> Iterator[Network]:
    for recipe in recipes:
        yield from _networks_of(recipe.detector).values()


def _networks_of(detector: Detector | None) -> dict[str, Network]:
    """The networks of a detector, by the names of its fields: it may have a second one, for hands."""
    if detector is None:
        return {}
    values: Any = {field.name: getattr(detector, field.name) for field in dataclasses.fields(detector)}  # type: ignore[arg-type]
    return {name: value for name, value in values.items() if isinstance(value, Network)}


def located(job: ShardJob) -> ShardJob:
    """A job whose paths do not depend on the folder in which a process runs."""
    recipes = tuple(
        recipe if recipe.folder is None else replace(recipe, folder=_absolute(recipe.folder)) for recipe in job.recipes
    )
    root = None if job.root is None else _absolute(job.root)
    return replace(job, places=replace(job.places, out=_absolute(job.places.out)), root=root, recipes=recipes)


def _absolute(path: str) -> str:
    return path if storage.is_url(path) else os.path.abspath(path)


def on_gpu(job: ShardJob) -> ShardJob:
    """A job that was made on a machine without a GPU, with its networks on one."""
    return replace(job, recipes=tuple(_recipe_on_gpu(job, recipe) for recipe in job.recipes))


def _recipe_on_gpu(job: ShardJob, recipe: Recipe) -> Recipe:
    networks = {
        name: replace(
            network,
            compute=replace(network.compute, device="cuda", batch_size=job.settings.batch_size or GPU_BATCH),
        )
        for name, network in _networks_of(recipe.detector).items()
    }
    if not networks:
        return recipe
    detector: Any = recipe.detector
    return replace(recipe, detector=replace(detector, **networks))
