"""cn from Python: what the commands do, as functions for notebooks and programs.

    from cn import api

    edges = api.detect("canny", "photo.jpg")
    base, control = api.load_base(), api.load_control("canny")
    (house,) = api.sample("a yellow house at dusk", cond=edges, base=base, control=control)
    house.save("house.png")
    run = api.train("depth", out="runs/depth", steps=300)
    report = api.evaluate("runs/depth", count=16)

Each function calls the one that the command of the same name calls. Wrong arguments and files raise the errors of
`cn.errors`. Importing this module loads neither torch nor NumPy; the first call does.
"""

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from cn.detect.interface import ConditionMap, ImageLike, StrPath, detect
from cn.errors import UsageError
from cn.eval.interface import evaluate
from cn.options import check_names, several
from cn.sample.loaded import LoadedBase, LoadedControl

if TYPE_CHECKING:
    from cn.model.config import Prediction
    from cn.sample.pipeline import Sample
    from cn.train.run import Result
    from cn.train.trainer import StepResult

__all__ = [
    "ConditionMap",
    "LoadedBase",
    "LoadedControl",
    "detect",
    "evaluate",
    "load_base",
    "load_control",
    "sample",
    "train",
]

LoraLike: TypeAlias = StrPath | Sequence[StrPath] | Mapping[str, float]
"""LoRA files: "FILE" or "FILE:WEIGHT", several of them, or file → weight."""


def load_base(
    base: StrPath = "base",
    *,
    lora: LoraLike | None = None,
    vae: StrPath | None = None,
    device: str = "auto",
    precision: str = "auto",
    prediction: "Prediction | None" = None,
) -> LoadedBase:
    """Load a base to sample with it several times: the bundled one, or Stable Diffusion 1.x or 2.x.

    `base` is a bundled name, a file or a diffusers folder; `prediction` is "eps" or "v" where the file does not say it.
    `lora` is added to its weights: a file, "FILE:WEIGHT", a list of them, or a mapping of files to weights.
    `vae` replaces its VAE: a file, a diffusers folder or another base.
    Raises WeightsError when it is missing or something else, InputError when it is damaged, UsageError for no device.
    """
    from cn.devices import choose_device, sampling_dtype
    from cn.sample.base_files import open_sampling_base
    from cn.sample.lora_choice import lora_words
    from cn.sample.options import SampleOptions

    where = choose_device(device)
    options = SampleOptions(
        base=os.fspath(base), lora=lora_words(lora), vae=None if vae is None else os.fspath(vae), prediction=prediction
    )
    loaded = open_sampling_base(options, where, sampling_dtype(precision, where))
    return LoadedBase(options.base, loaded, options.lora, options.vae)


def load_control(
    control: StrPath, *, base: StrPath | None = None, device: str = "auto", precision: str = "auto"
) -> LoadedControl:
    """Load a ControlNet to sample with it several times: a bundled name, a file, a diffusers folder or a training run.

    `base` is the file of its base, for a control that is stored as differences to one that is neither bundled nor
    beside it. Raises as `load_base` does.
    """
    from cn.checkpoints.read.load import open_control
    from cn.devices import choose_device, sampling_dtype
    from cn.weights import bundled

    where = choose_device(device)
    path = bundled.find(control, role="control")
    given = None if base is None else bundled.find(base, role="base")
    return LoadedControl(os.fspath(control), open_control(path, where, sampling_dtype(precision, where), base=given))


def sample(
    prompt: str | Sequence[str] | None = None,
    *,
    cond: "ConditionMap | ImageLike | Sequence[ConditionMap | ImageLike] | None" = None,
    control: "LoadedControl | StrPath | Sequence[LoadedControl | StrPath] | None" = None,
    strength: float | Sequence[float] = 1.0,
    start: float | Sequence[float] = 0.0,
    end: float | Sequence[float] = 1.0,
    image: "ImageLike | None" = None,
    mask: "ImageLike | None" = None,
    inpaint_control: "LoadedControl | StrPath | None" = None,
    base: "LoadedBase | StrPath | None" = None,
    lora: LoraLike | None = None,
    vae: StrPath | None = None,
    device: str = "auto",
    batch_size: int | None = None,
    compile: bool | None = None,
    progress: bool = False,
    **options: Any,
) -> "list[Sample]":
    """Sample images that follow conditions and prompts, as `cn sample` does: equal arguments give equal images.

    `cond` is a map of `detect`, or an image (path, array, Pillow), or a list of them, which add up. `control`,
    `strength`, `start` and `end` (shares of the steps in which the control acts) belong to the conditions in order; one
    value serves all. Without `control` the bundled one of the condition's kind is used; without `prompt`, which may be
    a list, the default prompt; without `base` the bundled one, or the one that was trained together with the control
    (`--large-scale`). Sampling starts from `image`, if given, and redraws it where `mask` is white; `inpaint_control`
    is a ControlNet that sees the image around the mask: for `strength`, `start` and `end` it is one more condition, the
    last. `options` are the fields of `cn.sample.options.SampleOptions`: steps, scale, seed, count, size (height,
    width) … `lora` and `vae` are as in `load_base`. A base that is loaded keeps its own, and its device and precision.
    `batch_size` and `compile` are those of `cn sample` (None: its defaults).

    Returns `count` images for each prompt: `.image` is uint8 (h, w, 3), `.save(path)` writes a PNG, JPEG or WebP that
    `cn sample --from` reproduces. `progress` shows a bar (tqdm's: a widget in notebooks). What `cn sample` warns of is
    a Python warning. Raises UsageError for wrong options, WeightsError for missing or unsuitable weights, InputError
    for images that cannot be read.
    """
    from cn.sample.lora_choice import lora_words
    from cn.sample.options import SampleOptions, SpeedOptions
    from cn.sample.pipeline import SamplingPipeline
    from cn.sample.prompts import choose_prompts
    from cn.sample.request import Inpainting, SampleRequest, from_arguments
    from cn.sample.start_image import stated_start
    from cn.sample.weights import with_own_base

    speed = SpeedOptions(batch_size=batch_size, compile=compile)
    prompts = choose_prompts(several(prompt))
    check_names("sample", SampleOptions, options)
    maps = [(m.map, m.text) if isinstance(m, ConditionMap) else (m, None) for m in several(cond)]
    given, inpainting = stated_start(image, mask), _name(inpaint_control) if inpaint_control is not None else None
    each = {"control": list(map(_name, several(control))), "strength": several(strength)}
    each |= {"start": several(start), "end": several(end)}
    conditions = from_arguments(maps, Inpainting.of(inpainting, given), **each)
    options |= {"lora": lora_words(lora), "vae": None if vae is None else os.fspath(vae)}
    request = SampleRequest(prompts, conditions, given, **options)
    if base is None:
        request = with_own_base(request)
    elif isinstance(base, LoadedBase):
        if request.lora or request.vae:
            raise UsageError("this base is loaded already: give lora= and vae= to load_base")
        request = replace(request, base=base.name, lora=base.lora, vae=base.vae)
    else:
        request = replace(request, base=os.fspath(base))
    loaded = [*several(control), inpaint_control]
    pipeline = SamplingPipeline.open(
        request,
        device=device,
        base=base.base if isinstance(base, LoadedBase) else None,
        controls={one.name: one.control for one in loaded if isinstance(one, LoadedControl)},
    )
    for warning in pipeline.warnings():
        warnings.warn(warning, stacklevel=2)
    with _bar(progress, request.total_steps) as bar:
        return list(pipeline.samples(bar.update, speed=speed, warn=warnings.warn))


def _name(control: "LoadedControl | StrPath") -> str:
    return control.name if isinstance(control, LoadedControl) else os.fspath(control)


def train(
    cond: str | None = None,
    *,
    out: StrPath | None = None,
    resume: StrPath | None = None,
    device: str = "auto",
    workers: int = 0,
    reconnect: bool = False,
    overwrite: bool = False,
    on_step: "Callable[[StepResult], None] | None" = None,
    progress: bool = False,
    **options: Any,
) -> "Result":
    """Train a ControlNet, as `cn train` does: a new run in `out` (default: runs/KIND), or the run `resume` continued.

    `options` are the fields of `cn.train.config.TrainConfig`: data, base, steps, batch_size, lr, size, links ("middle"
    is `--small-scale`), unlock ("all" or "decoder" is `--large-scale`), seed, precision …; what is not given gets the
    default of the command. `workers` processes prepare images ahead; with more than 0, a script must call this below
    `if __name__ == "__main__":`. `on_step` gets step, loss, smoothed loss, gradient norm and seconds of each step;
    `progress` shows a bar as `sample` does.

    Returns the file of the control and the number of its steps. Raises UsageError for wrong options, InputError for bad
    data, WeightsError for missing or unsuitable weights, and StoppedError after an interrupt, with the state saved.
    """
    from cn.train import run
    from cn.train.config import TrainConfig
    from cn.train.listener import SilentListener
    from cn.train.task import prepare

    check_names("train", TrainConfig, options)
    given = dict(options) if cond is None else {"cond": cond, **options}
    out, resume = (None if path is None else Path(path) for path in (out, resume))
    task = prepare(given, out=out, resume=resume, device=device, reconnect=reconnect, overwrite=overwrite)
    with _bar(progress, task.config.steps, task.step) as bar:

        def step(result: "StepResult") -> None:
            bar.update()
            bar.set_postfix(loss=f"{result.smoothed:.4f}")
            if on_step is not None:
                on_step(result)

        return run.train(task, workers=workers, listener=SilentListener(step))


def _bar(shown: bool, total: int, initial: int = 0) -> Any:
    # rich, which draws the command line's progress, has no widget for notebooks.
    from tqdm.auto import tqdm

    return tqdm(total=total, initial=initial, unit="step", disable=not shown)
