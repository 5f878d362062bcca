"""`cn sample --serve-stdin`: a worker that keeps the networks in memory, and answers each line with a line.

{"id": 7, "prompt": "a red house", "cond": "edges.png", "seed": 3, "out": "house.png"}
{"id": 7, "images": [{"path": "house.png", "prompt": "a red house", "seed": 3}]}
{"id": 8, "error": "edges.png: no such file", "code": 3}
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from cn.checkpoints.read.load import Control
from cn.errors import CnError, InputError, UsageError, about
from cn.json_text import parse_json
from cn.model.engine import SamplingEngine
from cn.model.graphs import Graphs
from cn.sample.automatic import open_writer
from cn.sample.lines import request_of
from cn.sample.options import AUTO, SpeedOptions
from cn.sample.output_paths import choose_paths
from cn.sample.pipeline import SamplingPipeline, job_size
from cn.sample.request import SampleRequest
from cn.sample.run import Job, sample
from cn.sample.speed import batch_size, choose_ways, free_gpu_bytes

_OWN = ("id", "out", "overwrite")
"""What a line says besides a request."""
_LIKELY_LINES = 10
"""Batches like those of a line that a worker is going to sample, which nobody knows: enough to capture graphs."""


class Worker:
    """Answers requests, one after the other. The base stays in memory, and so does each control that was asked for."""

    def __init__(
        self,
        request: SampleRequest,
        *,
        out: str | None = None,
        device: str = "auto",
        captioner: str | None = None,
        speed: SpeedOptions = AUTO,
        warn: Callable[[str], None] = lambda message: None,
    ):
        """Load the networks of `request`, which has what lines do not say; `out` is where their images go by default.
        `captioner` writes the prompts of lines without one, where `request` has automatic ones.

        Raises what `open_writer` and `SamplingPipeline.open` raise.
        """
        self._writer = open_writer([request], captioner, device)
        self.request, self.out, self.speed, self.warn = request, out, speed, warn
        self._first = SamplingPipeline.open(request, device=device, speed=speed)
        self._controls: dict[str, Control] = {}
        self._keep(self._first)
        self._engine = SamplingEngine(Graphs(warn), warn=warn)

    def answers(self, lines: Iterable[str | bytes]) -> Iterator[dict[str, Any]]:
        """An answer for each line that is not blank, as soon as its images are written; an error ends nothing."""
        for number, line in enumerate(lines, 1):
            if line.strip():
                yield self._answer(line, f"line {number}")

    def _answer(self, line: str | bytes, where: str) -> dict[str, Any]:
        own: dict[str, Any] = {}
        try:
            record = _record(line, where)
            own = {"id": record["id"]} if "id" in record else {}
            return own | {"images": [asdict(written) for written in self._sampled(record, where)]}
        except CnError as error:
            return own | {"error": str(error), "code": int(error.exit_code)}

    def _sampled(self, record: Mapping[str, Any], where: str) -> Iterator[Any]:
        out = record.get("out", self.out)
        if not isinstance(out, str | None) or out == "-":
            raise UsageError(f"{where}: 'out' must be a file or a folder")
        rest = {name: value for name, value in record.items() if name not in _OWN}
        request = request_of(self.request, rest, where)
        overwrite = bool(record.get("overwrite", False))
        paths = choose_paths([request], out, overwrite=overwrite, number=not overwrite)
        pipeline = SamplingPipeline.open(request, base=self._first.base, controls=self._controls)
        self._keep(pipeline)
        job = Job((pipeline,), paths, self.speed, self._writer)
        for warning in job.warnings():
            self.warn(f"{where}: {warning}")
        yield from sample(job, warn=self.warn, engine=self._engine_of(pipeline))

    def _engine_of(self, pipeline: SamplingPipeline) -> SamplingEngine:
        """The way that suits a line does not depend on the lines before it, and so its images do not either."""
        line = job_size([pipeline])
        device = line.base.device
        batch = batch_size(line, self.speed, lambda: free_gpu_bytes(device))
        several = replace(line, images=max(line.images, _LIKELY_LINES * batch))
        ways = choose_ways(several, batch, self.speed, device)
        return self._engine.computing(captured=ways.captured, compiled=ways.compiled)

    def _keep(self, pipeline: SamplingPipeline) -> None:
        names = [condition.control for condition in pipeline.request.conditions]
        self._controls |= dict(zip(names, pipeline.controls, strict=True))


def _record(line: str | bytes, where: str) -> dict[str, Any]:
    try:
        text = line if isinstance(line, str) else line.decode()
    except UnicodeDecodeError:
        raise InputError("is not UTF-8 text", path=where) from None
    if not text.lstrip("\ufeff \t").startswith("{"):
        raise InputError('must be a JSON object, such as {"prompt": "a red house", "out": "house.png"}', path=where)
    with about(where):
        record = parse_json(text)
    assert isinstance(record, dict)
    return record
