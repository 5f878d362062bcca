"""The weights that a request names: which base belongs to its controls, and whether all files are there. No torch."""

import os
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from cn.errors import CnError, UsageError, WeightsError
from cn.files import begin_sha256, sha256
from cn.sample.lora_choice import Lora
from cn.sample.options import BASE_KEY, VAE_NAME
from cn.sample.request import SampleRequest
from cn.text import shown
from cn.weights import bundled, releases
from cn.weights.bundled import BASE_NAME


@dataclass(frozen=True)
class UsedFile:
    """A file or folder of weights, as a request names it."""

    role: Literal["base", "vae", "lora", "control"]
    name: str
    key: str
    """What the metadata of an image call its hash."""
    factor: float = 1.0
    """The weight of a LoRA."""


def used_files(request: SampleRequest) -> list[UsedFile]:
    """The base, the VAE if one is given, each LoRA, and the control of each condition."""
    loras = map(Lora.parse, request.lora)
    return [
        UsedFile("base", request.base, BASE_KEY),
        *([] if request.vae is None else [UsedFile("vae", request.vae, VAE_NAME)]),
        *(UsedFile("lora", lora.path, lora.name, lora.weight) for lora in loras),
        *(UsedFile("control", c.control, c.control) for c in request.conditions),
    ]


def check_files(request: SampleRequest) -> None:
    """WeightsError, or InputError, unless the base, the controls, VAE and LoRA are there; reads nothing of them."""
    for condition in request.conditions:
        bundled.find(condition.control, role="control")
    bundled.find(request.base, role="base")
    check_added(request.lora, request.vae)


def begin_hashes(requests: Iterable[SampleRequest]) -> None:
    """Let threads compute the hashes that images state, while the networks are loaded."""
    found = {bundled.find(request.base, role="base") for request in requests}
    found |= {bundled.find(c.control, role="control") for request in requests for c in request.conditions}
    for path in found:
        if path.is_file():
            begin_sha256(path)


def check_added(lora: Iterable[str], vae: str | None) -> None:
    """`check_files` for what is added to a base."""
    for text in lora:
        Lora.parse(text).find()
    if vae is not None:
        bundled.find(vae, role="base")


def own_base(controls: Iterable[str]) -> str | None:
    """The `base.safetensors` beside these controls, if one was trained together with its base (`--large-scale`).

    The folder of a run, one of its states and a checkpoint that was converted whole have both files. A control that is
    stored as differences to the base beside it samples with that, too. UsageError where controls have different bases.
    """
    found: dict[tuple[int, int], tuple[str, str]] = {}
    for control in controls:
        path = bundled.find(control, role="control")
        base = path.parent / "base.safetensors"
        if base.is_file() and (path.name == "control.safetensors" or _differs_from(path, base)):
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


def _differs_from(control: Path, base: Path) -> bool:
    """Whether a control is stored as differences to this base, and that is another than the bundled one."""
    try:
        header = bundled.describe(control).metadata if control.is_file() else {}
    except CnError:  # It is refused when its tensors are read, and the error says more there.
        return False
    wanted = header.get("base_sha256") if header.get("differences") else None
    own = bundled.FOLDER / f"{BASE_NAME}.safetensors"
    return wanted is not None and sha256(base) == wanted and not (own.is_file() and sha256(own) == wanted)


def with_own_base(request: SampleRequest) -> SampleRequest:
    """A request for which no base was given, with the one of its controls (`own_base`), if they have one."""
    base = own_base(dict.fromkeys(condition.control for condition in request.conditions))
    return request if base is None else replace(request, base=base)


def with_found_files(request: SampleRequest, hashes: Mapping[str, str], image: str) -> SampleRequest:
    """The request of an image with its LoRA files and VAE found again: where they were, beside the image, or here.

    Elsewhere than where it was, a file must have the name and the SHA-256 (`hashes`) that it had. Raises WeightsError
    for one that is not found, with its hash.
    """
    loras = []
    for lora in map(Lora.parse, request.lora):
        what = f"this LoRA of the image (weight {lora.weight:g})"
        path = _found(lora.path, hashes.get(lora.name, ""), image, what, "--lora")
        loras.append(str(replace(lora, path=path)))
    vae = request.vae
    if vae is not None and vae != BASE_NAME:
        vae = _found(vae, hashes.get(VAE_NAME, ""), image, "the VAE of this image", "--vae")
    return replace(request, lora=tuple(loras), vae=vae)


def check_release(request: SampleRequest, hashes: Mapping[str, str], image: str, chosen: Container[str]) -> None:
    """WeightsError where an image was sampled with bundled weights of a past release, which are no longer there.

    `request` is that of the image, `hashes` what it states; files of the roles in `chosen` ("base", "control") were
    given anew. The error names the release, and what to do for the same image or for one with the present weights.
    """
    gone: dict[UsedFile, tuple[releases.Release, str]] = {}
    for used in used_files(request):
        known = releases.find(hashes.get(used.key, ""))
        if known is not None and used.role not in chosen and not _is_there(used, hashes[used.key]):
            gone[used] = known
    if not gone:
        return
    release = next(iter(gone.values()))[0]
    files = list(dict.fromkeys(f"{name}.safetensors" for _, name in gone.values()))
    flags = list(dict.fromkeys(f"--{used.role}" for used in gone))
    today = " ".join(f"--{used.role} {name}" for used, (_, name) in gone.items())
    raise WeightsError(
        f"was sampled with {' and '.join(files)} of the bundled weights of {release.date}, which are no longer "
        f"included: cn {release.included} came with them; for the same image, give their paths with "
        f"{' and '.join(flags)}, for one with the present weights {today}",
        path=image,
    )


def _is_there(used: UsedFile, wanted: str) -> bool:
    """Whether the file of a request's name exists and has the hash."""
    try:
        path = bundled.find(used.name, role="control" if used.role == "control" else "base")
    except CnError:
        return False
    if not path.is_file():
        return False
    begin_sha256(path)  # The networks of this file are hashed again when they are loaded.
    return sha256(path) == wanted


def _found(path: str, wanted: str, image: str, what: str, flag: str) -> str:
    if os.path.exists(path):
        return path
    name = os.path.basename(path)
    for candidate in (os.path.join(os.path.dirname(image), name), name):
        if os.path.isfile(candidate) and sha256(candidate) == wanted:
            return candidate
    stated = f"its SHA-256 is {shown(wanted)}" if wanted else "its hash is not stated"
    raise WeightsError(f"{what} is no longer there ({stated}); give {flag} with its path now", path=path)
