"""`make paper`: verdicts and report of made-up records."""

import json
from dataclasses import replace
from zlib import crc32

import numpy as np

from cn.model.config import PRESETS
from cn.train.options.defaults import default_lr
from tools.paper import __main__ as program
from tools.paper import report
from tools.paper.experiments import experiments
from tools.paper.journal import comparable, of_these_options, publish, read_published
from tools.paper.plots import draw
from tools.paper.results import Results
from tools.paper.settings import FULL, QUICK
from tools.paper.spec import Run, key_of
from tools.paper.verdicts import HOLDS, IN_PART, NOT, NOT_RUN, UNCLEAR, decide


def made_up(run, rng, *, gain):
    """A record of a run whose normalized scores are about `gain`."""
    arm, noise = run.arm, lambda: float(rng.normal(0, 0.01))
    steps = np.arange(0, 31) * 20
    rise = 0.5 * gain * np.clip((steps - 200) / 60, 0, 1)

    def subject(score, harm=0.0):
        distance = 1 - 0.5 * score + harm + noise()
        return {"score": score + noise(), "scores": [score], "distance": distance, "content": 0.5, "prompt_wins": 0.2}

    def evaluation(one):
        names = ["0", "50", "100", "300", "600"] if one.states else [""]
        untrained = (0.2, 0.5 * (arm.name == "gaussian"))
        ends = {"no control": subject(0.2), "reconstruction": subject(0.8)}
        return {
            "measure": "edge F1",
            "better": "higher",
            "subjects": ends | {n: subject(*untrained) if n == "0" else subject(0.2 + 0.6 * gain) for n in names},
        }

    made = [
        {"step": int(s), "with_control": bool(s), "mean": 0.2 + r + noise()} for s, r in zip(steps, rise, strict=True)
    ]
    times = {"step_seconds": 1 + 0.1 * ("control" in arm.name) + noise(), "memory": 2**30 * (1 + abs(noise()))}
    training = {
        "steps": 600,
        "loss": [[1, 0.3], [600, 0.2]],
        "evaluations": made,
        "better": "higher",
        "converged_at": 200 if gain else None,
        **times,
    }
    evaluations = {one.name: evaluation(one) for one in arm.evaluations}
    common = {"key": "0", "versions": {"cn": "0"}, "date": "2026-01-01", "seconds": 60.0}
    return {"arm": arm.name, "seed": run.seed, "train": training, "evaluations": evaluations, **common}


def records_of(gains, default=0.5):
    runs = {run.name: run for one in experiments(FULL) for run in one.runs}
    return {
        # Each has its own chance, so that further experiments change none.
        name: made_up(run, np.random.default_rng(crc32(name.encode())), gain=gains.get(run.arm.name, default))
        for name, run in runs.items()
    }


def verdicts(records, name):
    (one,) = [one for one in experiments(FULL) if one.name == name]
    return [claim.verdict for claim in decide(one.asked(Results(records)))]


def test_verdicts_of_whole_experiments():
    gains = {"concat": 0.2, "concat-slow": 0.2, "gaussian": 0.3, "middle": 0.1, "large-all": 0.7, "depth-small": 0.6}
    found = records_of(gains)
    assert verdicts(found, "fig21") == [HOLDS, HOLDS]
    assert verdicts(found, "fig20") == [HOLDS, HOLDS, HOLDS]
    assert verdicts(found, "small") == [NOT, NOT, HOLDS]
    assert verdicts(found, "large") == [IN_PART, IN_PART, HOLDS]
    assert verdicts(found, "fig22")[0] == HOLDS
    assert verdicts(found, "fig28")[0] == HOLDS
    assert verdicts(found, "fig27") == [NOT, UNCLEAR, UNCLEAR]
    assert verdicts(found, "fig14") == [HOLDS, HOLDS]
    assert verdicts(found, "cost") == [HOLDS, HOLDS]
    assert set(verdicts(found, "advice")) == {UNCLEAR}


def test_there_are_no_verdicts_on_runs_that_have_learned_nothing():
    found = records_of({}, default=0.0)
    for one in experiments(FULL):
        if one.name != "cost":
            assert set(verdicts(found, one.name)) <= {UNCLEAR, NOT}, one.name
            assert HOLDS not in verdicts(found, one.name)


def test_the_report_is_rendered_from_the_raw_numbers(tmp_path):
    records = records_of({"gaussian": 0.2})
    publish(tmp_path / program.RESULTS, records.values())
    assert read_published(tmp_path / program.RESULTS) == json.loads(json.dumps(records))
    page = program.render_page(FULL, tmp_path)
    assert "No results are here yet" not in page
    assert f"**{NOT_RUN}**" not in page
    found = experiments(FULL)
    for one in found:
        assert f"## {one.title} ({one.place})" in page
        assert f"](#{report._anchor(f'{one.title} ({one.place})')})" in page
    assert page.count("**holds**") > 5
    assert draw(found[0], Results(records)).startswith(b"\x89PNG")
    assert draw(found[0], Results({})) is None
    changed = {**records, "gaussian-0": {**records["gaussian-0"], "seconds": 3600.0 * 100}}
    publish(tmp_path / program.RESULTS, changed.values())
    assert program.render_page(FULL, tmp_path) != page


def test_the_page_in_the_docs_is_that_of_its_raw_numbers():
    assert (program.DOCS / program.PAGE).read_text(encoding="utf-8") == program.render_page(FULL, program.DOCS)


def test_a_report_of_a_part_says_what_is_pending():
    found = experiments(FULL)
    records = {name: record for name, record in records_of({}).items() if record["arm"] in ("default", "batch-32")}
    page = report.render(found, records, {})
    runs = {run.name for one in found for run in one.runs}
    assert f"{len(runs) - len(records)} of {len(runs)} runs are pending" in page
    (line,) = [line for line in page.splitlines() if line.startswith("| [Fig. 21") and "suddenly" in line]
    assert line.endswith("| 12 of 18 | **holds in part: 2 of 3 statements, 1 not run** |")
    assert "Gaussian weights (Fig. 20), the unit, are not there" in page
    (line,) = [line for line in page.splitlines() if line.startswith("| [Fig. 28") and "mistaken" in line]
    assert line.endswith("| 0 of 6 | **not run** |")


def test_options_of_sampling_are_plotted_and_listed_where_they_are_asked():
    records = records_of({})
    (fig28,) = [one for one in experiments(FULL) if one.name == "fig28"]
    assert draw(fig28, Results(records)).startswith(b"\x89PNG")
    page = report.render([fig28], records, {})
    assert "| used | strength 0.25, guidance 15 |" in page
    assert "| used | end 0.5 |" not in page


def test_the_middle_only_is_compared_at_equal_time():
    (small,) = [one for one in experiments(FULL) if one.name == "small"]
    records = records_of({})
    for name, record in records.items():
        if name.startswith("middle-"):
            # It has caught up by two thirds of its steps.
            record["train"]["evaluations"] = [
                {"step": step, "with_control": bool(step), "mean": 0.2 + 0.6 * (step >= 380)}
                for step in range(0, 601, 20)
            ]
        if name.startswith("cost-bundled-middle"):
            record["train"]["step_seconds"] /= 2
    verdict = small.asked(Results(records))[1].statements[0]
    assert verdict.is_true
    without = {name: record for name, record in records.items() if not name.startswith("cost-")}
    assert small.asked(Results(without))[1].statements[0].missing == "the time of a step was not measured"


def test_learning_rates_are_other_ones_than_the_default():
    default = default_lr(PRESETS["scenes"])
    assert all(float(rate) != default for settings in (FULL, QUICK) for rate in settings.rates)


def test_records_of_other_options_are_left_out():
    (run, other) = [run for one in experiments(FULL) for run in one.runs if run.name in ("gaussian-0", "concat-0")]
    common = {"base_sha256": "1"}
    there = {one.name: {"key": key_of(one.identity(common)), "options": {"common": common}} for one in (run, other)}
    assert list(of_these_options(there, [run, other])) == [run.name, other.name]
    there[other.name]["options"] = {"common": {"base_sha256": "2"}}
    assert list(of_these_options(there, [run, other])) == [run.name]
    changed = Run(replace(run.arm, phases=((*run.arm.phases[0], "--ema", "0.9"),)), 0)
    assert of_these_options(there, [changed]) == {}


def test_records_of_different_bases_are_not_mixed():
    records = {name: {"options": {"common": {"base": base}}} for name, base in (("a", 1), ("b", 2), ("c", 2))}
    assert list(comparable(records)) == ["b", "c"]
    assert comparable({}) == {}
