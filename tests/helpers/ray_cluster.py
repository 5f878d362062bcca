"""A Ray cluster of two nodes on this machine, each with one CPU, of which the second one can be killed."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

import psutil

from tests.helpers.waiting import wait_until

_TASK = "ray::"
"""What the title of a worker process begins with; its task follows."""
_OTHERS = ("DashboardAgent", "RuntimeEnvAgent", "IDLE", "ready", "__init__")
"""What follows where there is none of ours."""
_IDLE_ACTOR = f"{_TASK}Worker"


class TwoNodes:
    """`address` is what RAY_ADDRESS is to be."""

    def __init__(self, cluster: Any, settings: dict[str, Any]):
        self.cluster = cluster
        self.settings = settings
        self.address: str = cluster.address
        self.second: Any = None

    def revive(self) -> None:
        """Start the second node, if it was killed."""
        if self.second is None:
            self.second = self.cluster.add_node(**self.settings)

    def kill_second(self) -> None:
        """Kill -9 of the second node, with all of its processes, while a task runs there, or an actor waits for one."""
        wait_until(lambda: self._killed(_is_ours))

    def kill_second_at_work(self) -> bool:
        """The same, if a task runs there now; whether it did."""
        return self._killed(_is_working)

    def _killed(self, condition: Callable[[psutil.Process], bool]) -> bool:
        if not self._stopped(condition):
            return False
        raylet = self._raylet()
        for process in (raylet, *raylet.children(recursive=True)):
            process.kill()
        self.second = None
        return True

    def _stopped(self, condition: Callable[[psutil.Process], bool]) -> bool:
        """Stop a process of the second node for which the condition holds before and after."""
        for process in self._raylet().children():
            if condition(process):
                process.suspend()
                if condition(process):
                    return True
                process.resume()
        return False

    def _raylet(self) -> psutil.Process:
        return psutil.Process(self.second.all_processes["raylet"][0].process.pid)


def _is_ours(process: psutil.Process) -> bool:
    title = _title(process)
    return title.startswith(_TASK) and not any(name in title for name in _OTHERS)


def _is_working(process: psutil.Process) -> bool:
    return _is_ours(process) and _title(process) != _IDLE_ACTOR


def _title(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline()).strip()
    except psutil.NoSuchProcess:
        return ""


@contextmanager
def two_nodes(gpus: int = 0) -> Iterator[TwoNodes]:
    """`gpus` of each node, which are counted and need not exist."""
    from ray.cluster_utils import Cluster

    settings = {"num_cpus": 1, "num_gpus": gpus, "object_store_memory": 80 << 20, "include_dashboard": False}
    # The death of a node is noticed within seconds.
    health = {"health_check_period_ms": 500, "health_check_failure_threshold": 6}
    # Ray's workers would give way to all other processes, which keep the cores of a machine that tests busy.
    config = {**health, "worker_niceness": 0}
    here = str(Path(__file__).parent.parent.parent)
    with mock.patch.dict(os.environ, {"PYTHONPATH": here, "RAY_USAGE_STATS_ENABLED": "0"}):
        cluster = Cluster(initialize_head=True, head_node_args={**settings, "_system_config": config})
        try:
            yield TwoNodes(cluster, settings)
        finally:
            cluster.shutdown()
