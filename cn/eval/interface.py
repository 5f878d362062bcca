"""`cn.api.evaluate`. Importing this module loads neither torch nor NumPy."""

import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from cn.options import check_names, several

if TYPE_CHECKING:
    from cn.eval.report import Report

StrPath: TypeAlias = str | os.PathLike[str]


def evaluate(
    control: StrPath | Sequence[StrPath],
    *,
    out: StrPath | None = None,
    compare: StrPath | Sequence[StrPath] = (),
    overwrite: bool = False,
    device: str = "auto",
    progress: bool = False,
    **options: Any,
) -> "Report":
    """Evaluate one or several controls, as `cn eval` does: the images and both reports are written to `out`.

    `control` is a bundled name, a file, a diffusers folder or a training run, or "none" for the base alone. `options`
    are the fields of `cn.eval.options.EvalOptions`: data (default: held-out scenes), cond, count, prompts, base, lora,
    vae, size, steps, scale, strength, method, weights, clip_weights, inception_weights, precision, batch_size, compile;
    `lora` may also be one file, or a mapping of files to weights. `compare` names earlier reports of the same protocol.
    `progress` shows a bar as `sample` does. What `cn eval` warns of is a Python warning.

    The report has the figures: `report.controls`, `report.none` and `report.reconstruction` with their scores for each
    image, `report.normalized(subject, figure)`, `report.difference(a, b, figure)`, and `report.record()` as plain
    values. Raises as the command does: UsageError, InputError and WeightsError.
    """
    from tqdm.auto import tqdm

    from cn.eval import run
    from cn.eval.job import open_job
    from cn.eval.options import EvalOptions
    from cn.eval.request import check_request
    from cn.sample.lora_choice import lora_words

    check_names("evaluate", EvalOptions, options)
    vae = options.get("vae")
    options |= {"lora": lora_words(options.get("lora")), "vae": None if vae is None else os.fspath(vae)}
    settings = EvalOptions(**options)
    request = check_request(
        several(control), settings, out=out, compare=several(compare), overwrite=overwrite, device=device
    )
    job = open_job(request, device)
    for note in job.notes:
        warnings.warn(note, stacklevel=2)
    with tqdm(total=job.work, unit="image", disable=not progress) as bar:
        return run.evaluate(job, on_image=bar.update, warn=warnings.warn)
