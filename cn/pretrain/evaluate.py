"""Stage "evaluate": how good the weights are on held-out scenes, with sheets of samples and the report.

What is measured is explained in the modules of `cn.pretrain.evaluation`. While the GPU samples, processes render scenes
and detect lines.
"""

from concurrent.futures import Future
from pathlib import Path

import torch

from cn.checkpoints.read.load import open_base, open_control
from cn.conditions import KINDS
from cn.data.seeds import EVAL_SEED
from cn.eval.bootstrap import mean
from cn.model.generate import Sampling
from cn.pretrain.evaluation import sheets
from cn.pretrain.evaluation.attribution import ATTRIBUTES, VERSIONS, Question, questions, right
from cn.pretrain.evaluation.fidelity import Following, follow, rows_of
from cn.pretrain.evaluation.held_out import HeldOut, Images, render_held_out, render_images
from cn.pretrain.evaluation.realism import features, frechet
from cn.pretrain.evaluation.recall import read, recall, relative
from cn.pretrain.evaluation.report import Clock, Figures, number, with_interval, write_report
from cn.pretrain.evaluation.sampling import Model, Sampler, psnr
from cn.pretrain.evaluation.workers import Workers
from cn.pretrain.judges import DENSE, READER, open_dense, open_reader
from cn.scenes.captions import full_caption

TOGETHER = ("openpose", "depth")
"""The two controls that are also used at once."""
ATTRIBUTION = 128
"""Scenes whose versions are sampled, for each attribute."""
RENDERED = 32
"""Of these, how many are rendered in all versions, to see what the reader itself gets wrong."""
BATCH = {"cuda": 128, "cpu": 2}


def evaluate(
    work: Path, held_out: int, device: torch.device, workers: int, *, steps: int = 20, versions: int = ATTRIBUTION
) -> Figures:
    """Evaluate the base, its controls and both judges in `work` on the first `held_out` scenes (at least 4).

    Writes `report.json` and sheets (JPEG) into `work`, and prints how long each part took. `steps` are those of
    sampling, `versions` the number of scenes whose versions are compared, for each attribute.
    """
    with Workers(workers) as processes:
        figures = Evaluation(work, device, processes, steps).figures(held_out, versions)
    write_report(work, figures, device)
    return figures


class Evaluation:
    """The weights of a work folder and the parts of their evaluation."""

    def __init__(self, work: Path, device: torch.device, workers: Workers, steps: int):
        self.work, self.workers, self.batch = work, workers, BATCH[device.type]
        base = open_base(work / "base.safetensors", device)
        self.size = base.config.image_size
        settings = Sampling(self.size, self.size, steps=steps, scale=base.config.guidance_scale)
        self.sampler = Sampler(base, settings, self.batch)
        self.reader, self.probe = open_reader(work / READER, device), open_dense(work / DENSE, device)
        paths = {kind: work / f"{kind}.safetensors" for kind in KINDS}
        self.controls: dict[str, Model] = {
            kind: open_control(path, device).model for kind, path in paths.items() if path.exists()
        }

    def figures(self, count: int, versions: int) -> Figures:
        """All figures of the report; the sheets are written meanwhile."""
        clock, settings = Clock(), self.sampler.settings
        held_out = render_held_out(self.workers, EVAL_SEED, count, self.size, tuple(self.controls))
        clock.lap("render")
        asked = {name: some for name in ATTRIBUTES if (some := questions(name, EVAL_SEED, versions))}
        rendered = {name: self._render(some) for name, some in asked.items()}
        others = {"reconstructions": self.sampler.reconstruct(held_out.rgb)}
        others["prompt_alone"] = alone = self.sampler.sample(held_out.captions)
        sheets.write_uncurated(self.work, alone)
        clock.lap("samples without controls")
        following = {}
        for kind in self.controls:
            following[kind] = self._follow(kind, held_out, others)
            clock.lap(f"samples with {kind}")
        together = self._together(held_out, others)
        clock.lap("samples with two controls")
        attribution = {}
        for name in asked:
            attribution[name] = self._attribution(name, asked[name], rendered[name])
            clock.lap(f"versions of {name}")
        found: Figures = {
            "scenes": count,
            "sampling": {"steps": settings.steps, "guidance_scale": settings.scale, "sampler": settings.sampler},
            "psnr_db": with_interval(mean(psnr(held_out.rgb, others["reconstructions"]))),
            "attribution": attribution,
            "recall": self._recall(held_out, alone),
            "frechet_distance": self._frechet(held_out, alone, others["reconstructions"]),
            "two_controls": together,
        }
        clock.lap("recall and distances")
        followed = {kind: one.result() for kind, one in following.items()}
        clock.lap("lines")
        found["controls"] = {kind: one.figures() for kind, one in followed.items()}
        several = {kind: held_out.people[rows_of(kind, held_out)] > 1 for kind in followed}
        found["several_people"] = {
            kind: one.only(several[kind]).figures() for kind, one in followed.items() if several[kind].sum() > 1
        }
        return found | {"seconds": clock.seconds}

    def _follow(self, kind: str, held_out: HeldOut, others: dict[str, Images]) -> Following:
        """Samples with one control."""
        rows = rows_of(kind, held_out)
        prompts = [held_out.captions[row] for row in rows]
        samples = self.sampler.sample(prompts, [(self.controls[kind], held_out.maps[kind][rows])], rows.tolist())
        sheets.write_control(self.work, kind, held_out, rows.tolist(), samples)
        return follow(self.workers, self.probe, kind, held_out, rows, samples, others, self.batch)

    def _together(self, held_out: HeldOut, others: dict[str, Images]) -> Figures:
        """Samples with two controls at once, and with each of them alone, of the same scenes: how each is followed."""
        if not set(TOGETHER) <= set(self.controls):
            return {}
        rows = rows_of(TOGETHER[0], held_out)
        prompts = [held_out.captions[row] for row in rows]
        inputs = [(self.controls[kind], held_out.maps[kind][rows]) for kind in TOGETHER]
        samples = {"both": self.sampler.sample(prompts, inputs, rows.tolist())}
        for kind, own in zip(TOGETHER, inputs, strict=True):
            samples[kind] = self.sampler.sample(prompts, [own], rows.tolist())
        found: Figures = {}
        for kind in TOGETHER:
            for name, images in samples.items():
                one = follow(self.workers, self.probe, kind, held_out, rows, images, others, self.batch)
                found.setdefault(f"{kind} is followed", {})[f"with {name}"] = one.result().figures()["score"]
        return found | {"images": len(rows)}

    def _render(self, asked: list[Question]) -> "list[Future[Images]]":
        """The renderings of some of the questions, version by version, to come."""
        some = asked[:RENDERED]
        jobs = [([question.scenes[version] for question in some], self.size) for version in range(VERSIONS)]
        return self.workers.start(render_images, jobs)

    def _attribution(self, name: str, asked: list[Question], rendered: "list[Future[Images]]") -> Figures:
        samples = [
            self.sampler.sample([full_caption(question.scenes[version]) for question in asked])
            for version in range(VERSIONS)
        ]
        sheets.write_versions(self.work, name, [question.words for question in asked], samples)
        truth = [future.result() for future in rendered]
        return {
            "right": with_interval(mean(right(self.reader, name, asked, samples, self.batch))),
            "chance": 1 / VERSIONS,
            "renderings": number(right(self.reader, name, asked[: len(truth[0])], truth, self.batch).mean()),
            "scenes": len(asked),
            "samples": len(asked) * VERSIONS,
        }

    def _recall(self, held_out: HeldOut, alone: Images) -> Figures:
        found = [recall(held_out.scenes, read(self.reader, images, self.batch)) for images in (alone, held_out.rgb)]
        return relative(*found)

    def _frechet(self, held_out: HeldOut, alone: Images, reconstructions: Images) -> Figures:
        return frechet(
            *(features(self.reader, images, self.batch) for images in (held_out.rgb, alone, reconstructions))
        )
