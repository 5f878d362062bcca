"""An evaluation that is ready to start: pairs, base, measures, protocol, and the images that are still to be made."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cn.checkpoints.read.load import Control, check_fits, empty_control, open_control
from cn.checkpoints.read.recognize import recognize
from cn.devices import choose_device, sampling_dtype
from cn.errors import InputError, UsageError, WeightsError, about
from cn.eval import clip, detectors, distances
from cn.eval.clip import ClipScorer
from cn.eval.distances import Inception
from cn.eval.kept_images import SAMPLES, KeptImages, folder_name, remove_kept
from cn.eval.options import EvalOptions
from cn.eval.pairs import EvalPairs, of_dataset, scenes
from cn.eval.protocol import Protocol, SamplingProtocol, differences
from cn.eval.report import NONE, RECONSTRUCTION
from cn.eval.request import Candidate, EvalRequest
from cn.eval.scorers import ConditionScorer, Scorer
from cn.files import make_folder, sha256_of_all, write_atomic
from cn.json_text import parse_json
from cn.model.base import Base
from cn.precision import precision_of
from cn.sample.base_files import open_sampling_base
from cn.sample.lora_choice import Lora
from cn.sample.options import VAE_NAME, SampleOptions
from cn.temporaries import sweep
from cn.weights import bundled

PROTOCOL = "protocol.json"


@dataclass(frozen=True)
class Task:
    """The images of one control (None: of no control, or the reconstructions)."""

    name: str
    images: KeptImages
    candidate: Candidate | None = None
    weights: Mapping[str, str] | None = None


@dataclass(frozen=True)
class Job:
    """See the module; nothing is written yet."""

    request: EvalRequest
    device: torch.device
    base: Base
    pairs: EvalPairs
    scorers: tuple[Scorer, ...]
    inception: Inception | None
    protocol: Protocol
    tasks: tuple[Task, ...]
    """The reconstructions, no control, then the controls."""
    not_computed: Mapping[str, str]
    notes: tuple[str, ...]

    @property
    def missing(self) -> int:
        """How many images are still to be made."""
        if self.request.overwrite:
            return sum(task.images.count for task in self.tasks)
        size = self.request.options.batch_size
        return sum(len(batch) for task in self.tasks for batch in task.images.missing(size))

    @property
    def work(self) -> int:
        """Images that are still to be made, and those that are measured: the length of a progress bar."""
        return self.missing + sum(task.images.count for task in self.tasks)

    def base_of(self, candidate: Candidate | None) -> Base:
        """The base that a control is sampled with: its own, if it was trained with one."""
        if candidate is None or candidate.base is None or candidate.base == self.request.base:
            return self.base
        return _open_base(candidate.base, self.request.options, self.device, self.base.dtype)

    def control_of(self, candidate: Candidate) -> Control:
        given = bundled.find(self.request.base, role="base")
        return open_control(candidate.path, self.device, self.base.dtype, base=given)

    def start(self) -> None:
        """Create the folder, with the protocol in it; where an evaluation is overwritten, its images are removed."""
        make_folder(self.request.out)
        if self.request.overwrite:
            remove_kept(self.request.out)
        record = json.dumps(self.protocol.record(), indent=1).encode() + b"\n"
        write_atomic(self.request.out / PROTOCOL, record)


def open_job(request: EvalRequest, device: str = "auto") -> Job:
    """Load the base, look at the pairs, choose the detectors.

    Raises WeightsError for weights that are missing or do not fit, InputError for broken data and for a folder that
    holds an evaluation by another protocol, UsageError for a size that the base cannot have.
    """
    options = request.options
    where = choose_device(device)
    base = _open_base(request.base, options, where, sampling_dtype(options.precision, where))
    size = options.size or base.config.image_size
    if size % base.config.size_multiple:
        raise UsageError(f"--size must be a multiple of {base.config.size_multiple} for this base, not {size}")
    notes = list(_fitting(request, base))
    captions = options.prompts == "captions"
    if request.pairs is None:
        pairs = scenes(request.kind, size, options.count, captions)
    else:
        pairs = of_dataset(str(options.data), request.pairs, request.kind, size, options.count, captions)
    measurements, missing, more = detectors.choose(
        request.kind, pairs.infos, device=device, method=options.method, weights=options.weights
    )
    scorers: list[Scorer] = [ConditionScorer(one) for one in measurements]
    scorer, inception, others = _learned(request, where)
    scorers += [scorer] if scorer is not None else []
    sampling = SamplingProtocol(
        kind=request.kind,
        data_sha256=pairs.sha256,
        count=len(pairs),
        size=size,
        prompts=options.prompts,
        base_sha256=base.sha256,
        steps=options.steps,
        scale=base.config.guidance_scale if options.scale is None else options.scale,
        strength=options.strength,
        precision=precision_of(base.dtype),
        vae_sha256=base.added.get(VAE_NAME, ""),
        lora=tuple(sorted(f"{base.added[one.name]}:{one.weight:g}" for one in map(Lora.parse, options.lora))),
    )
    described: dict[str, dict[str, Any]] = {one.name: one.description() for one in scorers}
    described |= {"FID, KID": inception.description()} if inception is not None else {}
    protocol = Protocol(sampling, described)
    _check_folder(request, protocol)
    for report in request.compared:
        if report.protocol.hash != protocol.hash:
            what = "; ".join(differences(report.protocol, protocol))
            raise InputError(f"another protocol, whose figures cannot be compared ({what})", path=report.home)
    tasks = tuple(_tasks(request, sampling))
    notes += [*more, *pairs.skipped]
    return Job(request, where, base, pairs, tuple(scorers), inception, protocol, tasks, missing | others, tuple(notes))


def _open_base(base: str, options: EvalOptions, device: torch.device, dtype: torch.dtype) -> Base:
    """A base with the VAE and the LoRA files of the evaluation."""
    return open_sampling_base(
        SampleOptions(base=base, lora=options.lora, vae=options.vae), device, dtype, inpainting=False
    )


def _fitting(request: EvalRequest, base: Base) -> Iterator[str]:
    """Check the shapes of all controls before anything is sampled; yields warnings."""
    given = bundled.find(request.base, role="base")
    for candidate in request.candidates:
        spec = recognize(candidate.path, base=given).control
        if spec is None:
            raise WeightsError("is no longer a control", path=candidate.path)
        if candidate.base is not None and candidate.base != request.base:
            yield f"{candidate.name} is sampled with the base that it was trained with, {candidate.base}"
            continue
        check_fits(Control(empty_control(spec, candidate.path), spec.kind), base, candidate.name)
        if spec.base_sha256 not in ("", base.sha256, base.source_sha256):
            yield f"{candidate.name} was trained on another base of the same shapes"


def _learned(request: EvalRequest, device: torch.device) -> tuple[ClipScorer | None, Inception | None, dict[str, str]]:
    """The networks of CLIP score, FID and KID, as far as their weights are given, and what the others need."""
    options, missing = request.options, dict[str, str]()
    scorer = inception = None
    if options.prompts == "none":
        missing["CLIP score"] = "prompts: with --prompts none there is nothing to compare with"
    elif options.clip_weights is None:
        missing["CLIP score"] = clip.HOW
    else:
        scorer = ClipScorer.open(options.clip_weights, options.clip_model, device)
    if options.inception_weights is None:
        missing["FID, KID"] = distances.HOW
    else:
        inception = Inception.open(options.inception_weights, device)
    return scorer, inception, missing


def _check_folder(request: EvalRequest, protocol: Protocol) -> None:
    """InputError where the folder holds something else, or an evaluation whose images are others."""
    out = request.out
    if not out.exists():
        return
    if not out.is_dir():
        raise InputError("is a file, but a folder is needed there", path=out)
    if not (out / PROTOCOL).is_file():
        # What is left of an evaluation that was killed while it began.
        sweep(out)
        if any(out.iterdir()):
            raise InputError("is not empty, and holds no evaluation; choose another --out", path=out)
        return
    if request.overwrite:
        return
    with about(out / PROTOCOL):
        there = Protocol.from_record(parse_json((out / PROTOCOL).read_bytes()))
    if there.sampling != protocol.sampling:
        what = "; ".join(differences(there.sampling, protocol.sampling))
        raise InputError(
            f"holds an evaluation by another protocol ({what}); choose another --out, or --overwrite it", path=out
        )


def _tasks(request: EvalRequest, sampling: SamplingProtocol) -> Iterator[Task]:
    def kept(name: str, record: dict[str, str]) -> KeptImages:
        identity = Protocol(sampling, {"weights": record}).hash
        folder = Path(request.out) / SAMPLES / folder_name(name, identity)
        return KeptImages(folder, identity, sampling.count, sampling.size)

    common = {"base": sampling.base_sha256}
    yield Task(RECONSTRUCTION, kept(RECONSTRUCTION, {**common, "autoencoder": "alone"}), weights=common)
    yield Task(NONE, kept(NONE, common), weights=common)
    for candidate in request.candidates:
        base = common
        if candidate.base is not None and candidate.base != request.base:
            base = {"base": sha256_of_all(recognize(bundled.find(candidate.base, role="base")).files)}
        found = recognize(candidate.path, base=bundled.find(request.base, role="base"))
        weights = {"control": sha256_of_all(found.files), **base}
        yield Task(candidate.name, kept(candidate.name, weights), candidate, weights)


def plan(job: Job) -> dict[str, str | None]:
    """What will be done, as name → value rows."""
    options = job.request.options
    s, total = job.protocol.sampling, sum(task.images.count for task in job.tasks)
    there = total - job.missing
    seen = f"{total} images of {s.size}×{s.size}" + (f", of which {there} are there" if there else "")
    return {
        "controls": "\n".join(candidate.name for candidate in job.request.candidates) or "none: the base alone",
        "base": job.request.base,
        "vae": options.vae,
        "lora": "\n".join(f"{one.path}, weight {one.weight:g}" for one in map(Lora.parse, options.lora)) or None,
        "data": f"{s.count} pairs of {job.pairs.name}, {s.kind}, prompts: {s.prompts}",
        "sampling": f"{s.steps} DDIM steps, guidance {s.scale:g}, strength {s.strength:g}; image i has seed i",
        "images": f"{seen}: the controls, no control, and reconstructions of the true images",
        "measures": ", ".join(job.protocol.measures),
        "not computed": "\n".join(f"{name}: needs {what}" for name, what in job.not_computed.items()) or None,
        "protocol": job.protocol.hash[:16],
        "device": f"{job.device}, {s.precision}",
        "out": str(job.request.out),
    }
