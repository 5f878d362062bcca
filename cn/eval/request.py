"""The request of `cn eval`, checked before any network is loaded. No torch."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cn import conditions
from cn.checkpoints.read.recognize import recognize
from cn.data.folder import stated_kind
from cn.data.pairs import Pairs, open_pairs
from cn.errors import UsageError, WeightsError
from cn.eval.options import EvalOptions
from cn.eval.report import Report, read_report
from cn.options import check_device
from cn.sample.weights import check_added, own_base
from cn.weights import bundled

NONE = "none"
"""In place of a control: the base alone."""


@dataclass(frozen=True)
class Candidate:
    """A control that is to be evaluated."""

    name: str
    path: Path
    base: str | None
    """The base that was trained together with it."""


@dataclass(frozen=True)
class EvalRequest:
    """What is to be evaluated, on what, and where the results go."""

    candidates: tuple[Candidate, ...]
    kind: str
    options: EvalOptions
    base: str
    out: Path
    pairs: Pairs | None
    """None for the held-out scenes."""
    compared: tuple[Report, ...] = ()
    """Reports of earlier evaluations, whose controls are shown too."""
    overwrite: bool = False


def check_request(
    controls: Sequence[str],
    options: EvalOptions,
    *,
    out: str | os.PathLike[str] | None = None,
    compare: Sequence[str | os.PathLike[str]] = (),
    overwrite: bool = False,
    device: str = "auto",
) -> EvalRequest:
    """Find the controls, their kind, their base and the dataset.

    Raises UsageError where controls follow different conditions or the kind is not known, WeightsError for weights that
    are missing, InputError for a dataset that cannot be read.
    """
    check_device(device)
    names = [name for name in dict.fromkeys(map(os.fspath, controls)) if name != NONE]
    if not controls:
        raise UsageError("which control? Give bundled names, files or training runs, or none for the base alone")
    candidates, kinds = [], dict[str, str | None]()
    given = bundled.find(options.base or bundled.BASE_NAME, role="base") if names else None
    for name in names:
        path = bundled.find(name, role="control")
        spec = recognize(path, base=given).control
        if spec is None:
            raise WeightsError("a control was expected, but this is another file", path=path)
        kinds[name] = conditions.get(spec.kind).kind if spec.kind else None
        candidates.append(Candidate(name, path, own_base([name])))
    wanted = _wanted_kind(kinds, options.cond)
    pairs = open_pairs(options.data, wanted) if options.data else None
    kind = wanted or (stated_kind(pairs) if pairs is not None else None)
    if kind is None:
        raise UsageError("--cond KIND is needed: neither the controls nor the data state the condition")
    if pairs is not None and (stated := stated_kind(pairs)) not in (None, kind):
        raise UsageError(f"{options.data} holds {stated} maps, but the condition is {kind}")
    base = options.base or _common_base(candidates) or bundled.BASE_NAME
    bundled.find(base, role="base")
    check_added(options.lora, options.vae)
    folder = Path(out) if out is not None else Path("eval") / kind
    return EvalRequest(
        tuple(candidates), kind, options, base, folder, pairs, tuple(map(read_report, compare)), overwrite
    )


def _wanted_kind(kinds: dict[str, str | None], given: str | None) -> str | None:
    """The kind that is given, or else that of the controls. UsageError where they do not agree."""
    wanted = conditions.get(given).kind if given is not None else None
    for name, kind in kinds.items():
        if wanted is not None and kind not in (None, wanted):
            others = "--cond says" if given is not None else "others follow"
            raise UsageError(
                f"{name} follows {kind}, but {others} {wanted}: controls are compared on conditions of one kind"
            )
        wanted = wanted or kind
    return wanted


def _common_base(candidates: Sequence[Candidate]) -> str | None:
    """The base of its own that every control has, where it is one."""
    bases = {candidate.base for candidate in candidates}
    return bases.pop() if len(bases) == 1 else None
