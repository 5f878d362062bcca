"""A detector from the name of its kind, and its network from a method or a file: for the commands and for Python."""

import os
from pathlib import Path
from typing import Any

from cn import conditions, options
from cn.detect import published, registry
from cn.detect import settings as settings_module
from cn.detect.detector import Detector, detector_class
from cn.detect.network import ComputeSettings, Network, open_network
from cn.errors import UsageError
from cn.weights import catalog


def load_network(
    family: str,
    method: registry.Method | None,
    weights: str | os.PathLike[str] | None = None,
    compute: ComputeSettings | None = None,
) -> Network:
    """The network of a family for a method that has one, or the one that `weights` hold where `method` is None.

    Without `weights` the method's published file is used. Raises WeightsError when weights are missing, damaged or
    another network's.
    """
    path = str(published.locate((method or registry.default_method(family)).weights, weights))
    network = open_network(family, path, compute or ComputeSettings.from_options())
    if weights is None and (entry := catalog.known(os.path.basename(path))) is not None:
        catalog.check_hash(entry, path, network.sha256)
    registry.check_method(method, path, network.spec)
    return network


def create_detector(
    kind: str,
    *,
    method: str | None = None,
    weights: str | os.PathLike[str] | None = None,
    hands: bool | Path = False,
    compute: ComputeSettings | None = None,
    **settings: Any,
) -> Detector:
    """The detector of a kind for photographs, with the default method or the one that is named.

    Where neither `method` nor `weights` is given and the default network's weights are not on this machine, the method
    without weights is used, if the kind has one. `settings` are those of the kind in `cn.detect.settings`; `hands`
    (openpose only) finds hands as well, with the published weights or those of a file.
    Raises UsageError for unknown kinds, methods and settings, WeightsError as `load_network` does.
    """
    kind = conditions.get(kind).kind
    spec = registry.kind_spec(kind)
    if spec.family is None and (method is not None or weights is not None):
        raise UsageError(f"{kind} has no methods and needs no weights")
    if hands and spec.second_family is None:
        raise UsageError(f"{kind} finds no hands")
    network = None if spec.family is None else _network(spec.family, method, weights, compute)
    if hands and spec.second_family is not None:
        file = None if hands is True else hands
        settings["hands"] = load_network(spec.second_family, registry.default_method(spec.second_family), file, compute)
    detector = detector_class(kind)
    declared = {name: field for part in settings_of(detector) for name, field in options.declared(part).items()}
    known = {name: options.checked(declared[name], value) for name, value in settings.items() if name in declared}
    try:
        return detector.create(network, **settings | known)
    except TypeError as error:
        raise UsageError(f"{kind}: {error}") from error


def settings_of(detector: type[Detector]) -> list[type]:
    """The dataclasses of `cn.detect.settings` that a detector inherits."""
    return [part for part in detector.__mro__ if part.__module__ == settings_module.__name__]


def _network(
    family: str,
    name: str | None,
    weights: str | os.PathLike[str] | None,
    compute: ComputeSettings | None,
) -> Network | None:
    """The network; None for a method without weights."""
    method = registry.choose_method(family, name, weights is not None)
    if method is not None and not method.networks:
        return None
    if name is None and weights is None and registry.has_weight_free_method(family):
        default = registry.default_method(family).weights
        if catalog.find_local(catalog.find(default)) is None:
            return None
    return load_network(family, method, weights, compute)
