"""docs/paper.md, rendered from the records alone."""

import math
from collections.abc import Iterator, Mapping, Sequence
from textwrap import fill

from tools.paper.experiment import Experiment
from tools.paper.journal import Record
from tools.paper.results import Results
from tools.paper.spec import Arm
from tools.paper.statistics import estimate
from tools.paper.verdicts import NOT_RUN, Claim, Statement, decide

INTRODUCTION = """\
# The paper, checked

Each claim of the paper that can be tested on the bundled base, what was run for it, and what came out. Everything is
trained by `cn train` and evaluated by `cn eval`; this page is rendered from the raw numbers.

<!-- example -->
```console
$ make paper                              # all of it; run it again to go on
$ make paper JOBS=12 MINUTES=25           # twelve runs at a time, on all GPUs that there are; stop after 25 minutes
$ make paper ONLY="fig21 fig20"           # some experiments
```

What was done is left out: the records of runs in `build/paper/records` say with which options, data and weights. They
are small, and may be collected from several machines: copy them into that folder of one. First come three seeds of each
experiment, so that a part of the runs makes a report, too.

A small latent diffusion model of scenes is not Stable Diffusion: "does not hold here" says no more than that. The
paper shows most of its claims by images; the bounds that they are tested against here are ours, and are stated.
"""

METHOD = """\
## How to read the figures

- **Score**: how well the condition is found again in sampled images (edge F1 for Canny, see [eval.md](eval.md)),
  normalized: 0 as without control, 1 as the reconstruction of the true image by the autoencoder.
- **Distance**: how far images are from true ones of other scenes: KID on features of the network that reads the
  built-in scenes, the mean of those of what is in an image and those of how it is drawn (its first layer). 0: they
  cannot be told from true ones.
- **Content**: the share of the words of that network's caption of the true image that are in its caption of the sample.
- **Excess**: how much farther from true images than those without control, in units of what untrained Gaussian weights
  in place of zeros do to images: 0 is as good as the base, 1 as bad as with these.
- **Arm**: one setting, which is trained with several seeds; its options are below each section.
- **Converged**: the optimizer step from which on images follow the condition, of each run (see [train.md](train.md)).
- **Measured** is, of two arms, the difference of the first and the second, or their ratio where the statement says
  "over".
- **Intervals** are 95 % over training runs with different seeds (Student's t). Differences are paired where runs share
  at least three seeds.
- **Verdicts**: a statement holds, or does not, where a two-sided t-test rejects its bound at 5 %, with Holm's
  correction over all statements of the experiment; else it is "not clear". Nothing is decided from runs whose score is
  not above that of no control by more than its interval, and by 0.05 at least. A claim holds in part if some of its
  statements do. "(ours)" marks what the paper does not say.
"""

PENDING = """\
**No results are here yet.** This page says what `make paper` runs; the verdicts come with its results.
"""


def render(
    experiments: Sequence[Experiment], records: Mapping[str, Record], images: Mapping[str, Sequence[str]]
) -> str:
    """The page. `images`: name of an experiment → files of its plots and sheets, in the folder of the page."""
    results = Results(records)
    decided = {one.name: decide(one.asked(results)) for one in experiments}
    parts = [INTRODUCTION]
    if not records:
        parts.append(PENDING)
    elif pending := _pending(experiments, results):
        parts.append(pending)
    parts += ["## Claims\n", _overview(experiments, decided, results), METHOD]
    for experiment in experiments:
        parts.append(_section(experiment, decided[experiment.name], results, images.get(experiment.name, ())))
    if records:
        parts.append(_made_with(records))
    return "\n".join(parts)


def _pending(experiments: Sequence[Experiment], results: Results) -> str:
    """What is still to be run; "" where all is done."""
    runs = {run.name: run for one in experiments for run in one.runs}
    done = sum(name in results.records for name in runs)
    if done == len(runs):
        return ""
    return f"**A part of the results is here**: {len(runs) - done} of {len(runs)} runs are pending.\n"


def _done(experiment: Experiment, results: Results) -> str:
    """ "12 of 18": runs of an experiment that are done."""
    runs = {run.name for run in experiment.runs}
    return f"{len(runs & results.records.keys())} of {len(runs)}"


def _overview(experiments: Sequence[Experiment], decided: Mapping[str, Sequence[Claim]], results: Results) -> str:
    lines = ["| Where | Claim | Runs | Verdict |", "|---|---|---|---|"]
    for experiment in experiments:
        for claim in decided[experiment.name]:
            place = f"[{experiment.place}](#{_anchor(_heading(experiment))})"
            lines.append(f"| {place} | {claim.text} | {_done(experiment, results)} | **{claim.summary}** |")
    return "\n".join(lines) + "\n"


def _section(experiment: Experiment, claims: Sequence[Claim], results: Results, images: Sequence[str]) -> str:
    lines = [
        f"## {_heading(experiment)}\n",
        fill(experiment.what, 120),
        "",
        f"Runs that are done: {_done(experiment, results)}.",
        "",
    ]
    lines += list(_claims(claims))
    lines += [f"![{experiment.title}: {file.partition('.')[0]}]({file})\n" for file in images]
    lines += _tables(experiment, results)
    lines += ["Trained with:", "", "```text", *_options(experiment), "```", ""]
    return "\n".join(lines)


def _claims(claims: Sequence[Claim]) -> Iterator[str]:
    for claim in claims:
        yield f"**{claim.text}** *{claim.summary}*"
        if claim.verdict == NOT_RUN:
            yield from ("", *(f"- {statement.text}" for statement in claim.statements), "")
            continue
        yield from ("", "| Statement | Measured | Needed | Runs | p (Holm) | Verdict |", "|---|---|---|---|---|---|")
        yield from (_statement(statement) for statement in claim.statements)
        yield ""


def _statement(one: Statement) -> str:
    p = "–" if math.isnan(one.adjusted_p) else "< 0.001" if one.adjusted_p < 0.001 else f"{one.adjusted_p:.3f}"
    verdict = f"{one.verdict}: {one.reason}" if one.reason else one.verdict
    cells = (one.text, one.quantity.text(one.digits), one.needed, str(one.quantity.count), p, verdict)
    return f"| {' | '.join(cells)} |"


def _tables(experiment: Experiment, results: Results) -> Iterator[str]:
    """A row for each arm and evaluation that has been run, and one for each arm whose cost was measured."""
    rows = [row for arm in experiment.arms for row in _rows(arm, results, experiment.evaluations)]
    yield from _with_head(rows, "Arm", "Evaluation", "Runs", "Score", "Distance", "Content", "Prompt wins", "Converged")
    yield from _with_head(list(_costs(experiment, results)), "Arm", "Seconds of a step", "GiB", "Runs")


def _with_head(rows: Sequence[str], *names: str) -> Sequence[str]:
    return [f"| {' | '.join(names)} |", "|---" * len(names) + "|", *rows, ""] if rows else []


def _rows(arm: Arm, results: Results, names: Sequence[str]) -> Iterator[str]:
    """Of the evaluations of these names; of all where none is given."""
    records = results.of(arm)
    shown = [one for one in arm.evaluations if not names or one.name in names] if records else []
    converged = _converged(records)
    for evaluation in shown:
        name = evaluation.name
        zero = "final" if evaluation.sampled else ""
        gains = results.last_gains(arm) if evaluation.states else results.gains(arm, name, zero=zero)
        far, content, wins = (results.numbers(arm, field, name) for field in ("distance", "content", "prompt_wins"))
        columns = [estimate(gains).text(), estimate(far).text(4), estimate(content).text(), estimate(wins).text()]
        columns.append(converged)
        # Once, because it is of the training.
        converged = ""
        label = "final" if evaluation.states else name
        yield f"| {arm.name} | {label} | {len(records)} | {' | '.join(columns)} |"


def _converged(records: Mapping[int, Record]) -> str:
    steps = [record["train"]["converged_at"] for record in records.values()]
    return ", ".join("–" if step is None else str(step) for step in steps)


def _costs(experiment: Experiment, results: Results) -> Iterator[str]:
    for arm in experiment.arms:
        if arm.alone and (records := results.of(arm)):
            time = estimate(results.training(arm, "step_seconds")).text(4)
            memory = {seed: number / 2**30 for seed, number in results.training(arm, "memory").items()}
            yield f"| {arm.name} | {time} | {estimate(memory).text(2)} | {len(records)} |"


def _options(experiment: Experiment) -> Iterator[str]:
    for arm in experiment.arms:
        phases = "  then  ".join(" ".join(words) for words in arm.phases)
        base = f" --base {arm.base}" if arm.base else ""
        yield f"{arm.name}: --cond {arm.kind} --data {arm.data}{base} {phases}; seeds 0 to {arm.seeds - 1}"


def _made_with(records: Mapping[str, Record]) -> str:
    """Versions, devices and time."""
    seen = sorted({", ".join(f"{k} {v}" for k, v in record["versions"].items()) for record in records.values()})
    dates = sorted({record["date"] for record in records.values()})
    hours = sum(record["seconds"] for record in records.values()) / 3600
    return "\n".join(
        [
            "## Made with\n",
            f"{len(records)} runs, {hours:.1f} hours in all, {dates[0]} to {dates[-1]}; their options, seeds, hashes,",
            "and the scores of each image are in [paper-results.jsonl](paper-results.jsonl).",
            "",
            *(f"- {line}" for line in seen),
            "",
        ]
    )


def _heading(experiment: Experiment) -> str:
    return f"{experiment.title} ({experiment.place})"


def _anchor(heading: str) -> str:
    """The anchor that a heading gets on GitHub."""
    kept = "".join(c for c in heading.lower() if c.isalnum() or c in " -_")
    return kept.replace(" ", "-")
