"""Units of work, the function that does them on the nodes, and actors, which keep what they loaded."""

import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cn import __version__, storage
from cn.errors import CnError, InputError, PartialError, UsageError

DEATHS = 3
"""How often the machine or the process that does a unit of work may die before the work is given up."""
_LOOK_SECONDS = 5.0
"""How often to look whether the cluster has more room, or less."""
_KEPT = "what is done is kept, and the same command continues"


@dataclass(frozen=True, eq=False)
class Unit:
    """Work that one worker does at a time; where its machine dies, it is done again elsewhere."""

    name: str
    """For messages: "shard 3"."""
    verb: str
    """What is done with it: "built"."""
    arguments: tuple[Any, ...]
    """Of the function of `on_node`."""


def by_actors(
    ray: Any,
    function: Callable[..., Any],
    units: Iterable[Unit],
    workers: int | None,
    *,
    resources: Mapping[str, Any],
    room: Callable[[], int],
    no_room: str,
) -> Iterator[tuple[Unit, Any]]:
    """Do the units, which are made as late as they are needed, and yield each with its result, as they get done.

    `function` is one of `on_node`. As many actors as there is `room` for, which may change, and `workers` at most, are
    held as long as there is something to do for them, each with its `resources` (options of Ray). Where one dies, its
    unit goes to another, and a new one takes its place. Raises what `result` raises, and PartialError where actors die
    too often, or, with `no_room`, where there is room for none.
    """
    # Not restarted by Ray, which would wait for free resources with the unit, while other actors have nothing to do.
    actor_class = _actor_class(ray, function).options(**resources, max_restarts=0, max_task_retries=0)
    waiting, running = _Waiting(units), dict[Any, tuple[Any, Unit | None]]()
    deaths = Counter[Unit | None]()
    try:
        while waiting.count(1) or any(unit is not None for _, unit in running.values()):
            busy = sum(unit is not None for _, unit in running.values())
            most = min(room(), workers or math.inf)
            if not most and not busy:
                raise PartialError(f"{no_room}; {_KEPT}")
            while len(running) < most and waiting.count(len(running) - busy + 1) > len(running) - busy:
                actor = actor_class.remote()
                running[actor.ready.remote()] = actor, None
            for ref in ray.wait(list(running), timeout=_LOOK_SECONDS)[0]:
                actor, unit = running.pop(ref)
                try:
                    if unit is not None:
                        yield unit, result(ray, ref, unit)
                    else:
                        ray.get(ref)
                except ray.exceptions.RayActorError as error:
                    # Where it is only unavailable, it may be working still, which does no harm.
                    ray.kill(actor)
                    deaths[unit] += 1
                    if deaths[unit] > DEATHS:
                        raise gave_up(unit, error) from error
                    if unit is not None:
                        waiting.put_back(unit)
                    continue
                if waiting.count(1):
                    unit = waiting.take()
                    running[begin(actor.run, unit)] = actor, unit
                else:
                    ray.kill(actor)
    finally:
        for actor, _ in running.values():
            ray.kill(actor)


class _Waiting:
    """Units that wait: first those whose worker died, then those that come, of which as few as possible are made."""

    def __init__(self, units: Iterable[Unit]):
        self._made = deque[Unit]()
        self._rest = iter(units)

    def count(self, most: int) -> int:
        """How many there are, counted up to `most`."""
        while len(self._made) < most and (unit := next(self._rest, None)) is not None:
            self._made.append(unit)
        return min(len(self._made), most)

    def take(self) -> Unit:
        return self._made.popleft()

    def put_back(self, unit: Unit) -> None:
        self._made.appendleft(unit)


def _actor_class(ray: Any, function: Callable[..., Any]) -> Any:
    # Made here, as `on_node` is, so that Ray sends its code; `ready` returns once the actor has started.
    return ray.remote(type("Worker", (), {"run": staticmethod(function), "ready": lambda self: None}))


def on_node(module: str, name: str) -> Callable[..., Any]:
    """What runs on the nodes, called by `begin`: the function `name` of a module of cn. It gets the arguments of a unit
    and the address of its node, and returns errors of ours as values.
    """

    # A function within a function: Ray sends its code, which can say that cn is missing.
    def run(version: str, *arguments: Any) -> Any:
        import importlib

        import ray

        node = ray.util.get_node_ip_address()
        try:
            import cn

            if cn.__version__ != version:
                return f"the Ray node {node} has cn {cn.__version__}, not {version}; install the same version"
            found = getattr(importlib.import_module(module), name)
        except ImportError as error:
            return f"cn cannot be used on the Ray node {node} ({error}); install controlnet-cn {version} there"
        return found(*arguments, node)

    return run


def begin(function: Any, unit: Unit) -> Any:
    """Have Ray call a function of `on_node`; the reference to its result."""
    return function.remote(__version__, *unit.arguments)


def result(ray: Any, ref: Any, unit: Unit) -> Any:
    """The result of a function of `on_node`. Raises what it raised or returned as an error; PartialError where the
    machine or process of a task died; RayActorError where that of an actor did.
    """
    try:
        outcome = ray.get(ref)
    except ray.exceptions.RayActorError:
        raise
    except ray.exceptions.RayTaskError as error:
        # An error of the program; the traceback of the node is in the message of the cause.
        cause = error.cause
        raise RuntimeError(f"{unit.name}: {type(cause).__name__}: {cause}") from error
    except ray.exceptions.RayError as error:
        raise gave_up(unit, error) from error
    if isinstance(outcome, str):
        raise UsageError(outcome)
    if isinstance(outcome, CnError):
        raise outcome
    return outcome


def gave_up(unit: Unit | None, error: Exception) -> PartialError:
    """The error for a unit whose worker died too often; without a unit, for workers that do not even start."""
    first = next(iter(str(error).splitlines()), "")
    what = "workers cannot start" if unit is None else f"{unit.name} could not be {unit.verb}"
    return PartialError(f"{what} on the Ray cluster: {type(error).__name__}: {first}; {_KEPT}")


def count(ray: Any, resource: str) -> int:
    """How many "CPU" or "GPU" the cluster has now, free or not."""
    return int(ray.cluster_resources().get(resource, 0))


def check_visible(paths: Mapping[str, str], node: str) -> None:
    """For the nodes: InputError where one of the paths is not there; its value is what the message calls it."""
    for path, shown in paths.items():
        if not storage.exists(path):
            raise InputError(
                f"the Ray node {node} has no such file or folder; SRC, OUT and weights must have the same path on all "
                "nodes: in a shared folder, or as URLs",
                path=shown,
            )


def refuse_memory(*paths: str) -> None:
    """UsageError for memory://."""
    if any(path.startswith("memory://") for path in paths):
        raise UsageError("memory:// is the memory of one process, which other machines do not see")
