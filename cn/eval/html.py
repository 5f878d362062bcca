"""`report.html`: the report as one page that works anywhere: no scripts, no other files, images inside.

Own code, and plain: a page of tables and images needs no template engine.
"""

import base64
import json
import math
import os
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cn import images
from cn.errors import InputError
from cn.eval.bootstrap import Figure
from cn.eval.chart import chart
from cn.eval.pairs import EvalPairs
from cn.eval.protocol import SamplingProtocol
from cn.eval.report import PAGE, Report, Subject
from cn.files import write_atomic
from cn.text import shown

SHOWN = 8
"""Rows of the worst, of the best, and of the others."""
SIDE = 224
"""Pixels of the embedded images at most."""
PROMPT = 300
"""Characters of a prompt at most."""

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8882; }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1200px; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; margin-bottom: 0; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
p, li { max-width: 75ch; }
table { border-collapse: collapse; margin: .8rem 0; }
th, td { text-align: left; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
small { color: #888; } .wide { overflow-x: auto; }
.images td { border: 0; padding: .2rem; width: 11rem; } .images img { width: 11rem; height: auto; display: block; }
.images th { font-weight: 600; padding: .2rem; } tr { break-inside: avoid; }
td.prompt { max-width: 14rem; font-size: .85rem; }
pre { background: var(--soft); padding: .8rem; overflow-x: auto; font-size: .8rem; }
svg text { fill: currentColor; font: 13px system-ui, sans-serif; }
"""


def write_page(report: Report, pairs: EvalPairs, out: Path) -> Path:
    """Write OUT/report.html."""
    path = out / PAGE
    write_atomic(path, page(report, pairs, out).encode("utf-8", "backslashreplace"))
    return path


def page(report: Report, pairs: EvalPairs, out: Path) -> str:
    """The whole page; `out` is the folder of the images."""
    s = report.protocol.sampling
    title = f"Controls for {s.kind}: {', '.join(subject.name for subject in report.controls) or 'none'}"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f"<p>{s.count} pairs of {escape(pairs.name)}, {s.size}×{s.size} pixels, {s.steps} DDIM steps, guidance "
        f"{s.scale:g}, strength {s.strength:g}, prompts: {s.prompts}{_added(s)}.<br>"
        f"<small>protocol {report.protocol.hash}</small></p>",
        *_figures(report),
        *_differences(report),
        *_distances(report),
        *_left_out(report),
        *_images(report, pairs, out),
        *_details(report),
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    return f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>\n<body>\n' + "\n".join(
        [*parts, "</body></html>\n"]
    )


def _added(sampling: SamplingProtocol) -> str:
    """What is added to the base, by hashes and weights."""
    loras = [f"{sha256[:10]} at {weight}" for sha256, _, weight in (text.partition(":") for text in sampling.lora)]
    vae = [f"VAE: {sampling.vae_sha256[:10]}"] if sampling.vae_sha256 else []
    return escape("".join(f", {text}" for text in [*vae, *([f"LoRA: {', '.join(loras)}"] if loras else [])]))


def number(value: float) -> str:
    """Three significant digits, which is what intervals of some dozen images justify."""
    if not math.isfinite(value):
        return "–"
    return f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def with_interval(figure: Figure) -> str:
    """ "0.631 [0.602, 0.660]"."""
    text = number(figure.value)
    if figure.interval is not None and figure.interval[0] < figure.interval[1]:
        text += f" <small>[{number(figure.interval[0])}, {number(figure.interval[1])}]</small>"
    return text


def _table(heading: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int = 1) -> str:
    def cells(row: Sequence[str], tag: str) -> str:
        kinds = ["" if k < text_columns else ' class="n"' for k in range(len(row))]
        return "".join(f"<{tag}{kind}>{cell}</{tag}>" for kind, cell in zip(kinds, row, strict=True))

    body = "\n".join(f"<tr>{cells(row, 'td')}</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{cells(heading, "th")}</tr>\n{body}</table></div>'


def _figures(report: Report) -> Iterator[str]:
    yield "<h2>Figures</h2>"
    yield (
        "<p>Means over the images with 95 % intervals. <b>Normalized</b>: 0 is no control, 1 the reconstruction of the "
        "true image by the autoencoder. <b>Control score</b>: 0 is the agreement with the conditions of other images, "
        "1 again the reconstruction.</p>"
    )
    for name, measure in report.measures.items():
        unit = f" in {measure.unit}" if measure.unit else ""
        yield f"<h3>{escape(name)}{escape(unit)} <small>{measure.better} is better</small></h3>"
        yield f"<p>{escape(measure.about.capitalize())}.</p>"
        if (defined := report.defined(name)) < report.protocol.sampling.count:
            yield f"<p>Defined for {defined} of {report.protocol.sampling.count} images.</p>"
        subjects = [report.reconstruction, *report.subjects]
        yield chart([(one.name, one.mean(name)) for one in subjects])
        rows = [
            (
                escape(one.name),
                with_interval(one.mean(name)),
                with_interval(one.mismatched(name)),
                with_interval(report.normalized(one, name)),
                with_interval(report.control_score(one, name)),
            )
            for one in subjects
        ]
        yield _table(("", "mean", "mismatched", "normalized", "control score"), rows)


def _differences(report: Report) -> Iterator[str]:
    subjects = report.subjects
    if len(subjects) < 2:
        return
    yield "<h2>Differences</h2>"
    yield (
        "<p>Of the same images. A difference is beyond chance, at 95 %, where its interval does not contain zero; of "
        "many comparisons, one in twenty is so by chance.</p>"
    )
    rows = []
    for name in report.measures:
        for k, a in enumerate(subjects):
            for b in subjects[k + 1 :]:
                found = report.difference(a, b, name)
                verdict = "beyond the interval" if found.differs_from_zero else "not told apart"
                rows.append((escape(name), f"{escape(a.name)} − {escape(b.name)}", with_interval(found), verdict))
    yield _table(("figure", "difference", "mean", ""), rows, text_columns=2)


def _distances(report: Report) -> Iterator[str]:
    subjects = [one for one in [report.reconstruction, *report.subjects] if one.distances]
    if not subjects:
        return
    names = list(subjects[0].distances)
    yield "<h2>Distance from the true images</h2>"
    yield (
        f"<p>Lower is better. FID of {report.protocol.sampling.count} images is biased upwards, far so below some "
        "thousands: compare it only with others of this report. KID is unbiased.</p>"
    )
    rows = [
        (escape(one.name), *(with_interval(one.distances[name]) for name in names if name in one.distances))
        for one in subjects
    ]
    yield _table(("", *names), rows)


def _left_out(report: Report) -> Iterator[str]:
    if report.not_computed:
        yield "<h2>Not computed</h2><ul>"
        for name, needs in report.not_computed.items():
            yield f"<li><b>{escape(name)}</b>: needs {escape(needs)}</li>"
        yield "</ul>"
    if report.notes:
        yield "<h2>Notes</h2><ul>" + "".join(f"<li>{escape(note)}</li>" for note in report.notes) + "</ul>"


def ranked(report: Report) -> list[tuple[str, list[int]]]:
    """The rows of images that are shown, by heading: the worst and the best of the first control, and others."""
    count = report.protocol.sampling.count
    first = report.subjects[0]
    name = next(iter(report.measures))
    scores = first.scores[name].own
    order = [int(k) for k in np.argsort(scores, kind="stable") if math.isfinite(scores[k])]
    if report.measures[name].better == "lower":
        order.reverse()
    if count <= 2 * SHOWN or len(order) < 2 * SHOWN:
        return [("All images" if count <= 2 * SHOWN else "The first images", list(range(min(count, 2 * SHOWN))))]
    shown = {*order[:SHOWN], *order[-SHOWN:]}
    rest = [k for k in range(count) if k not in shown]
    spread = [rest[k * len(rest) // min(SHOWN, len(rest))] for k in range(min(SHOWN, len(rest)))]
    by = f"by {name} of {first.name}"
    groups = [(f"Worst {by}", order[:SHOWN]), (f"Best {by}", order[: -SHOWN - 1 : -1]), ("Others", spread)]
    return [(title, places) for title, places in groups if places]


def _images(report: Report, pairs: EvalPairs, out: Path) -> Iterator[str]:
    yield "<h2>Images</h2>"
    name = next(iter(report.measures))
    subjects = [report.reconstruction, *report.subjects]
    heading = "".join(f"<th>{escape(t)}</th>" for t in ["condition", "original", *(s.name for s in subjects), ""])
    for title, places in ranked(report):
        yield f'<h3>{escape(title)}</h3><div class="wide"><table class="images"><tr>{heading}</tr>'
        for place in places:
            example = pairs[place]
            cells = [_image(example.condition, "condition"), _image(example.target, "original")]
            cells += [_sample(one, place, name, out) for one in subjects]
            prompt = escape(shown(example.prompt, PROMPT)) or "(no prompt)"
            row = "".join(f"<td>{cell}</td>" for cell in cells)
            yield f'<tr>{row}<td class="prompt">{prompt}<br><small>{escape(pairs.where(place))}</small></td></tr>'
        yield "</table></div>"


def _sample(subject: Subject, place: int, name: str, out: Path) -> str:
    path = os.path.join(out, subject.folder, f"{place:06d}.png")
    score = f"<small>{number(float(subject.scores[name].own[place]))}</small>"
    try:
        return _image(images.read(path), subject.name) + score
    except InputError:
        # Of an earlier report whose images were removed.
        return f"<small>no longer there</small> {score}"


def _image(image: NDArray[np.uint8], alternative: str) -> str:
    small = image if max(image.shape[:2]) <= SIDE else images.resize(image, (SIDE, SIDE), "smooth")
    data = base64.b64encode(images.encode(small, "JPEG", quality=85)).decode()
    return f'<img alt="{escape(alternative)}" src="data:image/jpeg;base64,{data}">'


def _details(report: Report) -> Iterator[str]:
    yield "<h2>Protocol</h2><p>Figures are comparable where the hash of all this is the same.</p>"
    yield f"<pre>{escape(json.dumps(report.protocol.record(), indent=2, ensure_ascii=False))}</pre>"
    rows = [(escape(one.name), f"<code>{escape(one.weights.get('control', ''))}</code>") for one in report.controls]
    if rows:
        yield _table(("control", "SHA-256"), rows, text_columns=2)
    yield "<p><small>" + escape(", ".join(f"{k} {v}" for k, v in report.versions.items())) + "</small></p>"
