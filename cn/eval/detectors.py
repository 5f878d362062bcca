"""Which detector finds the conditions of a dataset again: as its maps were made, as far as the weights are here."""

from typing import Any

from cn import options
from cn.conditions import ConditionInfo
from cn.detect import registry
from cn.detect.create import settings_of
from cn.detect.detector import detector_class
from cn.errors import UsageError, WeightsError
from cn.eval.measures import Measurement, image_edges, measurement
from cn.eval.measures.measurement import COMPARISONS
from cn.eval.pairs import stated_settings
from cn.weights import catalog

_NOT_REPEATED = {"random", "seed", "invert", "style", "min_keypoints"}
"""Settings that differ from map to map, or that are about how a map is drawn."""


def choose(
    kind: str,
    infos: list[ConditionInfo | None],
    *,
    device: str,
    method: str | None = None,
    weights: str | None = None,
) -> tuple[list[Measurement], dict[str, str], list[str]]:
    """The measures of a kind, what cannot be measured and why, and what a person should know.

    The condition is detected with the parameters that all maps state; where their method's weights are not here, with
    the first method that is possible. Edge F1 with the true images comes with every kind but canny, whose maps are
    those edges. Raises WeightsError and UsageError only for the `method` and the `weights` that are given.
    """
    found, missing, notes = _of_condition(kind, infos, device, method, weights)
    others = [image_edges(kind)] if found is None or kind != "canny" else []
    return ([found] if found is not None else []) + others, missing, notes


def _of_condition(
    kind: str, infos: list[ConditionInfo | None], device: str, method: str | None, weights: str | None
) -> tuple[Measurement | None, dict[str, str], list[str]]:
    settings = _stated(kind, infos)
    stated_method = settings.pop("method", None)
    if method is not None or weights is not None:
        same = method is not None and method == stated_method
        found = measurement(kind, device=device, method=method, weights=weights, **(settings if same else {}))
        return found, {}, _notes(found, infos)
    try:
        found = measurement(kind, device=device, method=stated_method, **settings)
    except (WeightsError, UsageError):
        try:
            found = measurement(kind, device=device)
        except WeightsError:
            return None, {COMPARISONS[kind].measure.name: _needed(kind)}, []
    return found, {}, _notes(found, infos)


def _needed(kind: str) -> str:
    """The weights with which a kind can be detected: the default file of each method."""
    methods = registry.methods(registry.kind_spec(kind).family or "")
    entries = [catalog.find(method.weights) for method in methods if method.networks]
    names = ", or ".join(f"{entry.file} (cn weights pull {entry.name})" for entry in entries)
    return f"the weights of a detector: {names}; or --weights FILE"


def _stated(kind: str, infos: list[ConditionInfo | None]) -> dict[str, Any]:
    """The settings of the kind's detector with which all maps were made, and the method."""
    names = {name for part in settings_of(detector_class(kind)) for name in options.declared(part)} - _NOT_REPEATED
    family = registry.kind_spec(kind).family
    found = stated_settings(infos, names | {"method", "prepared"})
    if "prepared" in found:
        found["preprocessing"] = found.pop("prepared")
    if family is None or found.get("method") not in {method.name for method in registry.methods(family)}:
        found.pop("method", None)
    return {name: value for name, value in found.items() if name == "method" or value is not None}


def _notes(found: Measurement, infos: list[ConditionInfo | None]) -> list[str]:
    makers = {info.detector for info in infos if info is not None} - {found.info.detector}
    if not makers:
        return []
    made = ", ".join(sorted(makers)[:3])
    return [f"the maps were made by {made}, and the condition is found again by {found.info.detector}"]
