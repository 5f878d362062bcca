"""Training runs that are killed again and again until they are finished, each process being a fork of this one.

This process has imported everything and started no thread, so that a kill costs a fraction of a second. What a fork
does is a whole run as `cn train` makes it, with real files.
"""

import hashlib
import json
import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch

from cn.errors import InputError
from cn.model.generate import Sampling
from cn.model.tokens import token_count
from cn.train import preview, run, trainer
from cn.train import task as tasks
from cn.train.fast.update import Numbers
from cn.train.run_folder import find_state
from cn.train.trackers.tensorboard import EVENTS

CPU = torch.device("cpu")
FILE_CALLS = ("replace", "rename", "link", "fsync", "unlink", "mkdir", "rmdir", "open", "chmod")
"""What changes a folder."""


@dataclass(frozen=True)
class Recipe:
    """A run to be killed. With `bad_step`, its loss after this step is not finite, except after a roll-back."""

    name: str
    given: Mapping[str, Any] = field(default_factory=dict)
    bad_step: int | None = None
    workers: int = 0


def recipes(base: Path, data: Path) -> list[Recipe]:
    """Runs that save, preview, accumulate, go back and shuffle differently; a step takes milliseconds."""
    common = {"cond": "depth", "base": str(base), "data": (str(data),), "batch_size": 1, "lr": 1e-3, "size": 64}
    return [
        Recipe("previews", {**common, "steps": 4, "save_every": 2, "preview_every": 3}),
        Recipe("roll-back", {**common, "steps": 5, "save_every": 2, "preview_every": 0}, bad_step=4),
        Recipe("accumulation", {**common, "steps": 3, "save_every": 1, "keep": 2, "accumulate": 2, "preview_every": 0}),
        Recipe("several states", {**common, "steps": 16, "save_every": 1, "keep": 3, "preview_every": 5}),
        Recipe("late roll-back", {**common, "steps": 26, "save_every": 12, "preview_every": 0}, bad_step=25),
        Recipe(
            "evaluations",
            {**common, "steps": 5, "save_every": 3, "preview_every": 0, "eval_every": 2, "eval_images": 5},
        ),
        Recipe("average", {**common, "steps": 9, "save_every": 3, "preview_every": 5, "ema": 0.9, "flip": True}),
        Recipe("unlocked", {**common, "steps": 4, "save_every": 2, "preview_every": 0, "unlock": "decoder"}),
    ]


def go_on(folder: Path, recipe: Recipe) -> None:
    """Start a run, or continue it if it has a state; to its end."""
    try:
        find_state(folder)
    except InputError:
        task = tasks.begin(folder, dict(recipe.given), CPU, overwrite=True)
    else:
        task = tasks.reopen(folder, {}, CPU)
    run.train(task, workers=recipe.workers)


def contents(folder: Path) -> dict[str, str]:
    """All files below a run's folder, by a hash of what they hold; of the metrics without the seconds of each step.

    TensorBoard's events carry times, and each session has a file of its own.
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        if EVENTS in path.relative_to(folder).parts:
            continue
        data = path.read_bytes() if path.is_file() else b""
        if path.name == "metrics.jsonl":
            lines = [{**json.loads(line), "seconds": 0} for line in data.splitlines()]
            data = json.dumps(lines).encode()
        found[path.relative_to(folder).as_posix()] = hashlib.sha256(data).hexdigest()
    return found


Counter = Callable[[Callable[[], None]], object]
"""Calls a function at each moment of the process that it is in."""


class Server:
    """Forks processes that train."""

    def __init__(self, recipe: Recipe):
        self.recipe = recipe
        preview.COUNT = 1
        preview.Sampling = partial(Sampling, steps=2)  # type: ignore[misc, assignment]
        torch.set_num_threads(1)
        token_count("The vocabulary is read once, and not in each fork.")

    def fork(self, folder: Path, prepare: Callable[[], object] = lambda: None) -> int:
        """Start a process that trains, after `prepare`; its number."""
        child = os.fork()
        if child:
            return child
        code = 70
        try:
            if self.recipe.bad_step is not None:
                _spoil(self.recipe.bad_step)
            prepare()
            go_on(folder, self.recipe)
            code = 0
        finally:
            sys.setprofile(None)
            if code:
                sys.excepthook(*sys.exc_info())
            sys.stderr.flush()
            os._exit(code)

    def count(self, folder: Path, counters: Sequence[Counter]) -> list[int]:
        """How many moments a whole run has, as each of the counters sees them."""
        file = folder.with_name(f"{folder.name}-moments.json")
        seen = [0] * len(counters)

        def start(number: int) -> None:
            def tick() -> None:
                seen[number] += 1

            counters[number](tick)

        def prepare() -> None:
            for number in range(len(counters)):
                start(number)
            end = os._exit

            def report(code: int) -> None:
                file.write_text(json.dumps(seen))
                end(code)

            os._exit = report  # type: ignore[assignment]

        assert wait_for(self.fork(folder, prepare)) == 0
        return json.loads(file.read_text())


def wait_for(child: int) -> int:
    """The exit code of a process, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def at_calls(tick: Callable[[], None]) -> None:
    """A moment is a call of any function, in Python or in C, by the main thread."""
    sys.setprofile(lambda frame, event, argument: tick() if event in ("call", "c_call") else None)


def at_files(tick: Callable[[], None]) -> None:
    """A moment is a call that changes a file or folder."""

    def patched(call: Callable[..., Any]) -> Callable[..., Any]:
        def function(*arguments: Any, **named: Any) -> Any:
            tick()
            return call(*arguments, **named)

        return function

    for name in FILE_CALLS:
        setattr(os, name, patched(getattr(os, name)))


def dying(counter: Callable[[Callable[[], None]], object], number: int) -> Callable[[], object]:
    """In a process that trains: SIGKILL at the moment `number`."""
    left = [number]

    def tick() -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)

    return lambda: counter(tick)


def _spoil(bad_step: int) -> None:
    """The loss after step `bad_step` is not finite, at the full learning rate."""
    take_step = trainer.Trainer.take_step

    def spoiled(self: trainer.Trainer, *arguments: Any) -> trainer.PendingStep:
        pending = take_step(self, *arguments)
        if pending.step != bad_step or self.lr_factor < 1:
            return pending
        return replace(pending, values=Numbers.of(torch.tensor(float("nan")), torch.tensor(1.0)))

    trainer.Trainer.take_step = spoiled  # type: ignore[method-assign]


def killed_runs(
    folder: Path, recipe: Recipe, draw: random.Random, kills: int, seconds: float = 0.0
) -> Iterator[dict[str, Any]]:
    """Runs that are killed at random moments until they are finished, at least `kills` times in all.

    Each process is killed at a call of a function, or at a change of a file, or, where `seconds` says how long a run
    takes, after a time. Yields for each finished run where it was killed, and the names of the files that are not as in
    a run without interruption.
    """
    server, counters = Server(recipe), (at_calls, at_files)
    shutil.rmtree(folder, ignore_errors=True)
    moments = server.count(folder, counters)
    expected, total = contents(folder), 0
    while total < kills:
        shutil.rmtree(folder)
        places = []
        while True:
            which = draw.randrange(3 if seconds else 2)
            if which < 2:
                number = draw.randrange(1, moments[which] + 1)
                child, place = (
                    server.fork(folder, dying(counters[which], number)),
                    f"{counters[which].__name__} {number}",
                )
            else:
                moment = draw.uniform(0, seconds)
                child, place = server.fork(folder), f"after {moment:.3f} s"
                time.sleep(moment)
                os.kill(child, signal.SIGKILL)
            if (code := wait_for(child)) == 0:
                break
            assert code == -signal.SIGKILL, f"exit code {code} after {places}"
            places.append(place)
        total += len(places)
        found = contents(folder)
        different = [n for n in sorted({*found, *expected}) if found.get(n) != expected.get(n)]
        yield {"recipe": recipe.name, "kills": places, "different": different}


def killed_until_finished(folder: Path, base: Path, data: Path, kills: int, seed: int) -> list[dict[str, Any]]:
    """`killed_runs` of the first three recipes, with so many kills in all; it changes the process that it runs in."""
    draw = random.Random(seed)
    chosen = recipes(base, data)[:3]
    return [done for recipe in chosen for done in killed_runs(folder, recipe, draw, -(-kills // len(chosen)))]
