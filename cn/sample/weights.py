"""The weights that a request names: which base belongs to its controls, and whether all files are there. No torch."""

import os
from collections.abc import Iterable
from dataclasses import replace

from cn.errors import UsageError
from cn.sample.request import SampleRequest
from cn.weights import bundled


def check_files(request: SampleRequest) -> None:
    """WeightsError, or InputError, unless the base and the controls are there; reads nothing of them."""
    for condition in request.conditions:
        bundled.find(condition.control, role="control")
    bundled.find(request.base, role="base")


def own_base(controls: Iterable[str]) -> str | None:
    """The `base.safetensors` beside these controls, if one was trained together with its base (`--large-scale`).

    The folder of a run, one of its states and a checkpoint that was converted whole have both files. UsageError where
    controls have different bases.
    """
    found: dict[tuple[int, int], tuple[str, str]] = {}
    for control in controls:
        path = bundled.find(control, role="control")
        base = path.parent / "base.safetensors"
        if path.name == "control.safetensors" and base.is_file():
            status = os.stat(base)
            # The files of a run are hard links to those of its newest state.
            found.setdefault((status.st_dev, status.st_ino), (control, os.fspath(base)))
    if len(found) > 1:
        (first, of_first), (second, of_second), *_ = found.values()
        raise UsageError(
            f"the controls {first} and {second} were trained with bases of their own, {of_first} and {of_second}; "
            "choose one with --base"
        )
    return next((base for _, base in found.values()), None)


def with_own_base(request: SampleRequest) -> SampleRequest:
    """A request for which no base was given, with the one of its controls (`own_base`), if they have one."""
    base = own_base(dict.fromkeys(condition.control for condition in request.conditions))
    return request if base is None else replace(request, base=base)
