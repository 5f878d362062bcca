"""`--engine ray`: images captioned on the machines of an existing Ray cluster.

One actor for each GPU, or for each CPU that has the memory, keeps its network and captions some batches of images at a
time. Captions come back here and are kept here, as those of this machine are. The images of a worker whose machine dies
are captioned elsewhere; their captions are the same. `cn.ray_cluster` says what the nodes must have.
"""

import contextlib
import functools
import math
import os
import pickle
from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from cn import storage
from cn.caption import weights as weight_files
from cn.caption.ray_worker import RayJob
from cn.caption.run import CPU_BATCH, GPU_BATCH, Outcome, Task
from cn.caption.settings import CaptionSettings
from cn.errors import UsageError
from cn.ray_cluster import connection, work
from cn.ray_cluster.work import Unit

_CPU_IMAGES, _GPU_IMAGES = 16, 64
"""Images of a unit of work, at least: half a minute on a CPU, and a second or two on a GPU."""
_MOST_BYTES = 64 << 20
"""Of the images of a unit, where they are sent and not read by the nodes: frames of videos, or cells of tables."""
_MEMORY = 1_200_000_000
"""Bytes that a process needs beside its network: torch, and what is computed with a batch."""


@dataclass(frozen=True, eq=False)
class _Chunk(Unit):
    tasks: tuple[Task, ...] = ()


def caption_by_ray(
    tasks: Iterable[Task],
    *,
    src: str,
    engine: str | None,
    weights: str | None,
    device: str,
    precision: str,
    settings: CaptionSettings,
    workers: int | None,
) -> Generator[Outcome, None, None]:
    """Caption every image on a Ray cluster and yield its outcome; the images of a unit of work come in order.

    They are on GPUs if `device` is not cpu and the cluster has some. `workers` actors at most (None: as many as the
    cluster has room for). Memory does not grow with the number of images. Failures of images are yielded, never raised.
    Raises UsageError where there is no cluster, or none that fits, PartialError where machines die too often, and what
    `open_captioner` and `caption_all` raise.
    """
    work.refuse_memory(src)
    # What is missing here is said before anything begins.
    files = weight_files.find(engine, weights)
    size = sum(4 * math.prod(entry.shape) for entry in files.entries.values())
    with connection.connected() as ray:
        gpu = _on_gpus(ray, device)
        batch = settings.batch_size or (GPU_BATCH if gpu else CPU_BATCH)
        path = None if weights is None else os.path.abspath(weights)
        relative = src == "-" or not (storage.is_url(src) or os.path.isabs(src))
        job = RayJob(
            settings=replace(settings, batch_size=batch),
            engine=engine,
            weights=path if path is not None and os.path.exists(path) else weights,
            device="cuda" if gpu else "cpu",
            precision=precision,
            folder=os.getcwd() if relative else None,
            src=None if src == "-" else src,
        )
        chunks = _chunks(pickle.dumps(job), tasks, batch, _GPU_IMAGES if gpu else _CPU_IMAGES)
        with contextlib.closing(_results(ray, chunks, gpu, size + _MEMORY, workers)) as results:  # type: ignore[type-var]
            for chunk, outcomes in results:
                for task, outcome in zip(chunk.tasks, outcomes, strict=True):
                    yield replace(outcome, task=task)


def _on_gpus(ray: Any, device: str) -> bool:
    has = work.count(ray, "GPU") > 0
    if device not in ("auto", "cpu") and not has:
        raise UsageError("the Ray cluster has no GPU; with --device cpu its CPUs compute")
    return has and device != "cpu"


def _chunks(job: bytes, tasks: Iterable[Task], batch: int, images: int) -> Iterator[_Chunk]:
    """Whole batches, which are those that one process would make."""
    rest = iter(tasks)
    while first := tuple(islice(rest, batch)):
        taken, data = first, [_sent(first)]
        while len(taken) < images and sum(map(len, data)) < _MOST_BYTES and (more := tuple(islice(rest, batch))):
            taken += more
            data.append(_sent(more))
        name = f"{len(taken)} images from {taken[0].name} on"
        yield _Chunk(name, "captioned", (job, data), taken)


def _sent(tasks: Iterable[Task]) -> bytes:
    """What a node needs to know of tasks."""
    return pickle.dumps([Task(task.name, task.image) for task in tasks])


def _results(
    ray: Any, chunks: Iterator[_Chunk], gpu: bool, memory: int, workers: int | None
) -> Iterator[tuple[_Chunk, list[Outcome]]]:
    if gpu:
        resources: dict[str, Any] = {"num_gpus": 1, "num_cpus": 1}
        room, missing = functools.partial(work.count, ray, "GPU"), "GPU"
    else:
        resources = {"num_cpus": 1, "memory": memory}
        room, missing = functools.partial(_cpus, ray, memory), f"CPU with {memory / 1e9:.1f} GB of memory"
        if not room():
            raise UsageError(f"the Ray cluster has no {missing}, which one copy of the network needs")
    actors = work.by_actors(
        ray,
        work.on_node("cn.caption.ray_worker", "caption_here"),
        chunks,
        workers,
        resources=resources,
        room=room,
        no_room=f"the Ray cluster has no {missing} any more",
    )
    with contextlib.closing(actors):  # type: ignore[type-var]
        for chunk, outcomes in actors:
            assert isinstance(chunk, _Chunk)
            yield chunk, outcomes


def _cpus(ray: Any, memory: int) -> int:
    """How many actors with a CPU and so many bytes the nodes have room for."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return sum(int(min(node.get("CPU", 0), node.get("memory", 0) // memory)) for node in nodes)
