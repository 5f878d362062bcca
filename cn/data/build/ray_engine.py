"""`--engine ray`: the shards of a build on the machines of an existing Ray cluster.

Ray runs `cn.data.build.shard.build_shard`, as every engine does: one task for each shard, or one actor for each GPU,
which keeps its networks. A shard whose machine dies is built again elsewhere; what it had written is the same.
`cn.ray_cluster` says what the nodes must have; SRC and OUT must be visible to all of them, by the same path or URL.
"""

import contextlib
import functools
import pickle
from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any

from cn.data.build.ray_worker import located, on_gpu
from cn.data.build.run import Advance
from cn.data.build.shard import ShardJob, ShardResult
from cn.data.build.status import FAILURES
from cn.errors import UsageError
from cn.ray_cluster import connection, work
from cn.ray_cluster.work import Unit

_AHEAD = 2
"""Tasks that wait for a CPU of the cluster, for each that runs: so none idles, and clusters that can grow do."""


def run_ray(
    job: ShardJob, shards: Sequence[int], workers: int | None, advance: Advance, *, gpu: bool = False
) -> Iterator[ShardResult]:
    """Build shards on a Ray cluster: on its CPUs, `workers` shards at once (None: as many as it has CPUs), or on its
    GPUs if the job's networks compute there, or with `gpu`.

    Raises UsageError where there is no cluster, or none that fits, PartialError where machines die too often, and what
    `build_shard` raises.
    """
    work.refuse_memory(job.places.out, job.root or "")
    job = located(on_gpu(job) if gpu else job)
    by_gpu = any(recipe.detector and recipe.detector.network and recipe.detector.network.device != "cpu"
                 for recipe in job.recipes)  # fmt: skip
    data = pickle.dumps(job)
    units = [Unit(f"shard {shard}", "built", (data, shard)) for shard in shards]
    with connection.connected() as ray:
        run = _by_actors if by_gpu else _by_tasks
        with contextlib.closing(run(ray, units, workers)) as results:  # type: ignore[type-var]
            for result in results:
                assert isinstance(result, ShardResult)
                advance(result.counts.total(), sum(result.counts[status] for status in FAILURES))
                yield result


def _by_tasks(ray: Any, units: Sequence[Unit], workers: int | None) -> Iterator[Any]:
    if not work.count(ray, "CPU"):
        raise UsageError("the Ray cluster has no CPUs for tasks yet: start a worker with `ray start --address=…`")
    # Our errors come back as values; what Ray tries again is what machines and processes do. Nothing is canceled when
    # the build is stopped: the end of our connection ends its tasks, and ray.cancel can crash the process, where a task
    # ends at the same moment ("Tried to complete task that was not pending", Ray 2.60).
    task = ray.remote(_builder()).options(num_cpus=1, max_retries=work.DEATHS, name="cn dataset build")
    waiting, running = deque(units), dict[Any, Unit]()
    while waiting or running:
        while waiting and len(running) < (workers or _AHEAD * max(1, work.count(ray, "CPU"))):
            unit = waiting.popleft()
            running[work.begin(task, unit)] = unit
        (ref, *_), _ = ray.wait(list(running))
        yield work.result(ray, ref, running.pop(ref))


def _by_actors(ray: Any, units: Sequence[Unit], workers: int | None) -> Iterator[Any]:
    """One actor for each GPU."""
    room = functools.partial(work.count, ray, "GPU")
    if not room():
        raise UsageError("the Ray cluster has no GPU; with --device cpu its CPUs compute")
    results = work.by_actors(
        ray,
        _builder(),
        units,
        workers,
        resources={"num_gpus": 1, "num_cpus": 1},
        room=room,
        no_room="the Ray cluster has no GPU any more",
    )
    with contextlib.closing(results):  # type: ignore[type-var]
        for _, result in results:
            yield result


def _builder() -> Any:
    return work.on_node("cn.data.build.ray_worker", "build_here")
