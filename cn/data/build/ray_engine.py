"""`--engine ray`: the shards of a build on the machines of an existing Ray cluster.

Ray runs `cn.data.build.shard.build_shard`, as every engine does: one task for each shard, or one actor for each GPU,
which keeps its networks. A shard whose machine dies is built again elsewhere; what it had written is the same.

cn must be installed on all nodes, in the same version, as Ray and Python must: Ray could send the code of cn, but not
OpenCV and torch. SRC and OUT must be visible to all of them, by the same path or URL.
"""

import contextlib
import io
import math
import os
import pickle
import signal
import socket
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from cn import __version__, remote
from cn.data.build.ray_worker import located, on_gpu
from cn.data.build.run import Advance
from cn.data.build.shard import ShardJob, ShardResult
from cn.data.build.status import FAILURES
from cn.errors import CnError, PartialError, UsageError

_DEATHS = 3
"""How often the machine or the process that builds a shard may die before the build gives up."""
_AHEAD = 2
"""Tasks that wait for a CPU of the cluster, for each that runs: so none idles, and clusters that can grow do."""
_LOOK_SECONDS = 5.0
"""How often to look whether the cluster has more GPUs, or fewer."""
_ANSWER_SECONDS = 5.0

_NO_CLUSTER = (
    "start one with `ray start --head`, and on each other machine `ray start --address=HOST:6379`; from a machine "
    "outside of it, set RAY_ADDRESS=HOST:6379"
)
_KEPT = "what is done is kept, and the same command continues"


def run_ray(
    job: ShardJob, shards: Sequence[int], workers: int | None, advance: Advance, *, gpu: bool = False
) -> Iterator[ShardResult]:
    """Build shards on a Ray cluster: on its CPUs, `workers` shards at once (None: as many as it has CPUs), or on its
    GPUs if the job's networks compute there, or with `gpu`.

    While it runs, nothing must be written to `sys.stdout`: Ray's messages go there, and are dropped. Raises UsageError
    where there is no cluster, or none that fits, PartialError where machines die too often, and what `build_shard`
    raises.
    """
    if job.places.out.startswith("memory://") or (job.root or "").startswith("memory://"):
        raise UsageError("memory:// is the memory of one process, which other machines do not see")
    job = located(on_gpu(job) if gpu else job)
    by_gpu = any(recipe.detector and recipe.detector.network and recipe.detector.network.device != "cpu"
                 for recipe in job.recipes)  # fmt: skip
    with _connected() as ray:
        run = _by_actors if by_gpu else _by_tasks
        with contextlib.closing(run(ray, pickle.dumps(job), shards, workers)) as results:  # type: ignore[type-var]
            for result in results:
                advance(result.counts.total(), sum(result.counts[status] for status in FAILURES))
                yield result


def _by_tasks(ray: Any, job: bytes, shards: Sequence[int], workers: int | None) -> Iterator[ShardResult]:
    if not _resource(ray, "CPU"):
        raise UsageError("the Ray cluster has no CPUs for tasks yet: start a worker with `ray start --address=…`")
    # Our errors come back as values; what Ray tries again is what machines and processes do. Nothing is canceled when
    # the build is stopped: the end of our connection ends its tasks, and ray.cancel can crash the process, where a task
    # ends at the same moment ("Tried to complete task that was not pending", Ray 2.60).
    task = ray.remote(_builder()).options(num_cpus=1, max_retries=_DEATHS, name="cn dataset build")
    waiting, running = deque(shards), dict[Any, int]()
    while waiting or running:
        while waiting and len(running) < (workers or _AHEAD * max(1, _resource(ray, "CPU"))):
            shard = waiting.popleft()
            running[task.remote(job, shard, __version__)] = shard
        (ref, *_), _ = ray.wait(list(running))
        yield _result(ray, ref, running.pop(ref))


def _by_actors(ray: Any, job: bytes, shards: Sequence[int], workers: int | None) -> Iterator[ShardResult]:
    """One actor for each GPU; where one dies, its shard goes to another, and a new one takes its place."""
    if not _resource(ray, "GPU"):
        raise UsageError("the Ray cluster has no GPU; with --device cpu its CPUs compute")
    # Not restarted by Ray, which would wait for a free GPU with the shard, while other actors have nothing to do.
    actor_class = ray.remote(type("Builder", (), {"build": staticmethod(_builder()), "ready": _ready}))
    actor_class = actor_class.options(num_gpus=1, num_cpus=1, max_restarts=0, max_task_retries=0)
    waiting, running, deaths = deque(shards), dict[Any, tuple[Any, int | None]](), Counter[int | None]()
    try:
        while waiting or any(shard is not None for _, shard in running.values()):
            busy = sum(shard is not None for _, shard in running.values())
            gpus = _resource(ray, "GPU")
            if not gpus and not busy:
                raise PartialError(f"the Ray cluster has no GPU any more; {_KEPT}")
            while len(running) < min(gpus, workers or math.inf, busy + len(waiting)):
                actor = actor_class.remote()
                running[actor.ready.remote()] = actor, None
            for ref in ray.wait(list(running), timeout=_LOOK_SECONDS)[0]:
                actor, shard = running.pop(ref)
                try:
                    if shard is not None:
                        yield _result(ray, ref, shard)
                    else:
                        ray.get(ref)
                except ray.exceptions.RayActorError as error:
                    # Where it is only unavailable, it may be building still, which does no harm.
                    ray.kill(actor)
                    deaths[shard] += 1
                    if deaths[shard] > _DEATHS:
                        raise _gave_up(shard, error) from error
                    if shard is not None:
                        waiting.appendleft(shard)
                    continue
                if waiting:
                    shard = waiting.popleft()
                    running[actor.build.remote(job, shard, __version__)] = actor, shard
                else:
                    ray.kill(actor)
    finally:
        for actor, _ in running.values():
            ray.kill(actor)


def _ready(self: object) -> None:
    """Returns once the actor has started."""


def _builder() -> Callable[..., Any]:
    """What runs on the nodes. A function within a function: Ray sends its code, which can say that cn is missing."""

    def build(job: bytes, shard: int, version: str) -> Any:
        import ray

        node = ray.util.get_node_ip_address()
        try:
            import cn
            from cn.data.build.ray_worker import build_here
        except ImportError as error:
            return f"cn cannot be used on the Ray node {node} ({error}); install controlnet-cn {version} there"
        if cn.__version__ != version:
            return f"the Ray node {node} has cn {cn.__version__}, not {version}; install the same version"
        return build_here(job, shard, node)

    return build


def _result(ray: Any, ref: Any, shard: int) -> ShardResult:
    """The result of a task. Raises what it raised; PartialError where its machine or process died."""
    try:
        outcome = ray.get(ref)
    except ray.exceptions.RayActorError:
        raise
    except ray.exceptions.RayTaskError as error:
        # An error of the program; the traceback of the node is in the message of the cause.
        cause = error.cause
        raise RuntimeError(f"shard {shard}: {type(cause).__name__}: {cause}") from error
    except ray.exceptions.RayError as error:
        raise _gave_up(shard, error) from error
    if isinstance(outcome, str):
        raise UsageError(outcome)
    if isinstance(outcome, CnError):
        raise outcome
    assert isinstance(outcome, ShardResult)
    return outcome


def _gave_up(shard: int | None, error: Exception) -> PartialError:
    first = next(iter(str(error).splitlines()), "")
    what = "workers cannot start" if shard is None else f"shard {shard} could not be built"
    return PartialError(f"{what} on the Ray cluster: {type(error).__name__}: {first}; {_KEPT}")


def _resource(ray: Any, name: str) -> int:
    return int(ray.cluster_resources().get(name, 0))


def check() -> None:
    """UsageError where Ray is not installed or nothing answers, before a source is listed for minutes."""
    _ray()
    _check_answer(os.environ.get("RAY_ADDRESS") or "auto")


def _ray() -> Any:
    try:
        import ray
    except ImportError:
        raise UsageError('--engine ray needs Ray: pip install "controlnet-cn[ray]"') from None
    return ray


@contextlib.contextmanager
def _connected() -> Iterator[Any]:
    """Ray, connected to the cluster that is running, with nothing of it on the terminal."""
    # Else Ray warns of a change of its own.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    ray = _ray()
    with contextlib.redirect_stdout(io.StringIO()) as dropped:
        if ray.is_initialized():
            # The connection of the program that calls us.
            yield ray
            return
        _init(ray)
        try:
            yield ray
        finally:
            ray.shutdown()
            dropped.close()


def _init(ray: Any) -> None:
    address = os.environ.get("RAY_ADDRESS") or "auto"
    _check_answer(address)
    # Ray replaces the handler of SIGTERM.
    main = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGTERM)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="CRITICAL")
    except ConnectionError:
        raise UsageError(f"no Ray cluster is running: {_NO_CLUSTER}") from None
    except (RuntimeError, ValueError) as error:
        raise UsageError(f"the Ray cluster cannot be used: {' '.join(str(error).split())}") from error
    finally:
        if main:
            signal.signal(signal.SIGTERM, handler)


def _check_answer(address: str) -> None:
    """UsageError where nothing answers at HOST:PORT: Ray would try for minutes."""
    if address == "auto":
        address = _current_cluster()
    host, sign, port = address.rpartition("://")[2].rpartition(":")
    if not sign or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_SECONDS).close()
    except OSError as error:
        reason = remote.why(error)
        raise UsageError(f"no Ray cluster answers at {address} ({reason}): {_NO_CLUSTER}") from None


def _current_cluster() -> str:
    """What `ray start` wrote on this machine, and a cluster that was killed leaves behind; "" without it."""
    try:
        with open(os.path.join(os.environ.get("RAY_TMPDIR", "/tmp"), "ray", "ray_current_cluster")) as file:
            return file.read().strip()
    except OSError:
        return ""
