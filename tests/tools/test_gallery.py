"""The tools that make the figures of the docs: what they run, what they keep, and what the pages show of it."""

import json
from pathlib import Path

import numpy as np
import pytest

from cn import images
from cn.conditions import KINDS
from cn.data.scenes import render_examples
from cn.errors import CnError, InputError
from tests.helpers import doc_pages, doc_shell
from tools import figures, report_tables
from tools.gallery import __main__ as gallery
from tools.gallery import documents, kinds, make, page, scenes
from tools.gallery.cli import Tool
from tools.gallery.commands import scene
from tools.gallery.figure import Cell, Command, Figure, Plan, Section, Settings
from tools.gallery.inputs import MAKERS
from tools.gallery.sections import FIGURES, SECTIONS

ALL = {**FIGURES, **documents.FIGURES}
SETTINGS = (Settings(), Settings(seeds=2, steps=3))
each_figure = pytest.mark.parametrize("figure", ALL.values(), ids=ALL)
NUMBER = 5


def rendering(settings: Settings) -> Plan:
    """A plan that needs no network."""
    return Plan((scene("small", NUMBER, "canny"),), (Cell(f"small/source/{NUMBER:06d}.png", "edges"), None), columns=2)


SMALL = Figure("small", "A small figure", "Its text.", rendering)


@each_figure
@pytest.mark.parametrize("settings", SETTINGS, ids=["default", "short"])
def test_the_commands_of_a_figure_exist_and_write_what_it_shows(figure, settings):
    plan = figure.plan(settings)
    made = {name for command in plan.commands for name in command.makes}
    for command in plan.commands:
        if command.words[0] == "cn":
            assert doc_shell.unknown_options(list(command.words)) == []
        else:
            doc_shell.check_other(list(command.words))
            assert command.words[3] in MAKERS
    written_by_runs = ("run/", "eval/")
    shown = {cell.path for cell in plan.cells if cell is not None and not cell.path.startswith(written_by_runs)}
    assert shown <= made
    if settings.seeds is None:
        assert len(plan.cells) % plan.columns == 0, "no row is left open"


def test_every_condition_has_a_figure_of_its_own_and_a_place_side_by_side():
    own = {kind for figure in FIGURES.values() if figure.name.startswith("prompts-") for kind in figure.kinds}
    assert own == {*KINDS}
    plan = FIGURES["conditions-1"].plan(Settings())
    labels = [cell.label for cell in plan.cells if cell is not None and cell.label]
    assert [label for label in labels if label != "no control"] == ["scene", *KINDS]
    assert sum(FIGURES[name].plan(Settings()).samples for name in FIGURES) <= 20 * 60 / 4, "20 minutes at 4 s each"


def test_scenes_are_those_that_are_rendered_for_all_conditions(monkeypatch):
    """Where little of a person shows, `cn dataset synth` takes another scene for poses, with another caption."""
    for subject in (*kinds.SCENES, *documents.SCENE_SUBJECTS):
        number = scenes.find(subject)
        examples = render_examples(("canny", "openpose"), 64, scenes.SEED, number)
        assert {example.prompt for example in examples.values()} == {scenes.own_caption(number)}
    monkeypatch.setattr(scenes, "SEARCHED", 20)
    with pytest.raises(LookupError, match="shows unicorn"):
        scenes.find("unicorn")


def test_automatic_prompts_count_twice():
    commands = FIGURES["prompt-settings"].plan(Settings(seeds=1)).commands
    assert [command.samples for command in commands] == [0, 1, 1, 2, 1]


def test_a_figure_is_made_once_and_again_only_when_weights_or_commands_change(tmp_path, monkeypatch):
    maker = make.Maker(tmp_path / "out", tmp_path / "work", Settings())
    _, digest = maker.plan(SMALL)
    assert not maker.is_made(SMALL, digest)
    path = maker.make(SMALL)
    assert path == tmp_path / "out/small.jpg"
    assert maker.is_made(SMALL, digest)
    record = make.read_records(tmp_path / "out")["small"]
    assert record["commands"] == [list(command.words) for command in rendering(Settings()).commands]
    assert [*record["weights"]] == ["base"]
    monkeypatch.setattr(make, "weights_of", lambda figure, settings: {"base": "another hash"})
    assert not maker.is_made(SMALL, maker.plan(SMALL)[1])
    path.unlink()
    monkeypatch.undo()
    assert not maker.is_made(SMALL, digest), "the image is gone"


def test_a_command_is_left_out_where_its_files_are_there(tmp_path):
    command = Command(("cn", "no-such-command"), ("a.png",))
    with pytest.raises(CnError, match="no-such-command"):
        make.run(command, tmp_path)
    (tmp_path / "a.png").touch()
    make.run(command, tmp_path)


def test_a_long_run_is_continued_until_it_is_done(tmp_path, monkeypatch):
    """Its folder is there long before it ends."""
    ran = []
    monkeypatch.setattr(make.app, "run", lambda words: ran.append(words[0]) or codes.pop(0))
    command = Command(("cn", "begin"), ("run.toml",), again=("cn", "continue"))
    codes = [5, 0]
    with pytest.raises(CnError, match="ended with 5"):
        make.run(command, tmp_path)
    (tmp_path / "run.toml").touch()
    make.run(command, tmp_path)
    make.run(command, tmp_path)
    assert ran == ["begin", "continue"]


def test_a_command_that_writes_less_than_it_should_is_an_error(tmp_path):
    out = ("cn", "dataset", "synth", "small", "--count", "1", "--cond", "canny", "--size", "64", "-q")
    with pytest.raises(InputError, match=r"did not write small/other\.png"):
        make.run(Command(out, ("small/other.png",)), tmp_path)


def test_an_image_is_small_enough_in_the_best_quality_that_is(tmp_path, monkeypatch):
    noise = np.random.default_rng(0).integers(0, 256, (256, 256, 3), np.uint8)
    sizes = {quality: len(images.encode(noise, "JPEG", quality=quality)) for quality in make.QUALITIES}
    monkeypatch.setattr(make, "MAX_BYTES", sizes[75])
    make.write_image(tmp_path / "a.jpg", noise)
    assert (tmp_path / "a.jpg").stat().st_size == sizes[75]
    monkeypatch.setattr(make, "MAX_BYTES", 1000)
    with pytest.raises(InputError, match="even at quality 40"):
        make.write_image(tmp_path / "b.jpg", noise)


def test_what_the_weights_cannot_show_is_left_out_of_a_preview_and_else_an_error(tmp_path, monkeypatch, capsys):
    lacking = Figure("lacking", "", "", rendering, kinds=("hed",))
    monkeypatch.setattr("tools.gallery.cli.missing", lambda figure: [*figure.kinds])
    tool = Tool("tools.test", {"small": SMALL, "lacking": lacking}, tmp_path / "out", tmp_path, lambda: None)
    assert tool.run([]) == 4
    assert "no bundled controls for hed" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert tool.run(["--preview"]) == 0
    assert "lacking: left out" in capsys.readouterr().err
    assert tool.run(["--preview", "--only", "small"]) == 0
    assert "small: there already" in capsys.readouterr().err


def test_a_dry_run_says_how_much_there_is_to_sample(capsys, tmp_path):
    assert gallery.main(["--dry-run", "--only", "captions", "--out", str(tmp_path)]) == 0
    assert capsys.readouterr().err.splitlines() == ["captions: 64 samples", "64 samples to make"]
    assert figures.FIGURES is documents.FIGURES


@pytest.mark.parametrize(
    "words",
    [
        ("cn", "sample", "--cond", "a b/*.png", "--prompt", "a red house, at night", "--count", "2", "--out", "made"),
        ("cn", "sample", *[word for i in range(9) for word in ("--prompt", f"a house of {i} rooms on snow")]),
        ("python", "-m", "tools.gallery.inputs", "captions", "captions.txt", "64"),
    ],
)
def test_a_command_on_the_page_is_the_one_that_was_run(words):
    text = page.shell(words)
    assert max(map(len, text.splitlines())) <= 120
    (stages,) = doc_pages.Block("console", tuple(f"$ {text}".splitlines()), 1).commands()
    assert stages == [[*words]]


def test_the_page_shows_the_figures_that_are_made(tmp_path):
    make.Maker(tmp_path / "out", tmp_path / "work", Settings()).make(SMALL)
    section = Section("Of this test", "Its words.", (SMALL, Figure("other", "Another", "", rendering)))
    text = page.with_figures("before\n<!-- figures -->\nold\n<!-- /figures -->\nafter\n", [section], tmp_path / "out")
    assert text.startswith(
        "before\n<!-- figures -->\n\n## Of this test\n\nIts words.\n\n### A small figure\n\nIts text.\n"
    )
    assert "![A small figure](gallery/small.jpg)" in text
    assert f"$ cn dataset synth small --count 1 --cond canny --seed 11 --start {NUMBER}\n```\n" in text
    assert f"### Another\n\n{page.NOT_MADE}" in text
    assert text.endswith("<!-- /figures -->\nafter\n")


def test_parts_of_pages_follow_their_records(tmp_path):
    make.Maker(tmp_path, tmp_path / "work", Settings()).make(SMALL)
    text = "<!-- image: small -->\n<!-- /image -->\n<!-- commands: small -->\n<!-- /commands -->\n"
    text += "<!-- commands: other -->\nstays\n<!-- /commands -->\n"
    found = page.with_parts(text, {"small": SMALL}, tmp_path)
    assert found.startswith(
        "<!-- image: small -->\n![A small figure](small.jpg)\n<!-- /image -->\n<!-- commands: small"
    )
    assert "$ cn dataset synth small" in found
    assert found.endswith("<!-- commands: other -->\nstays\n<!-- /commands -->\n")


def test_the_gallery_shows_its_records():
    """`make gallery` writes the page; by hand its figures are not changed."""
    assert page.with_figures(page.PAGE.read_text(), SECTIONS, gallery.OUT) == page.PAGE.read_text()
    for path in (page.ROOT / "docs").glob("*.md"):
        assert page.with_parts(path.read_text(), documents.FIGURES, path.parent) == path.read_text(), path.name


@each_figure
def test_the_image_of_a_figure_is_there_and_small(figure):
    folder = gallery.OUT if figure.name in FIGURES else figures.OUT
    if figure.name not in make.read_records(folder):
        pytest.skip(f"{figure.file} is not made yet: make gallery, make figures")
    path = folder / figure.file
    assert 0 < path.stat().st_size <= make.MAX_BYTES
    assert images.read(path).shape[2] == 3


def test_tables_of_the_report(tmp_path):
    figure = {"value": 0.9, "interval": [0.8, 1.0]}
    control = {"score": 0.91, "interval": [0.9, 0.92], "score_prompt_alone": 0.1, "measure": "edge F1", "unit": ""}
    control |= {"samples": 0.8, "mismatched": 0.2, "reconstructions": 0.86, "prompt_alone": 0.3, "images": 512}
    report = {
        "stages": {"denoiser": [{"steps": 10, "batch_size": 8, "images": 4000, "minutes": 1.5, "hardware": "a GPU"}]},
        "figures": {
            "psnr_db": {"value": 34.5, "interval": None},
            "attribution": {"color": {"right": figure, "chance": 0.25, "renderings": 0.99}},
            "recall": {"things": figure | {"renderings": 0.95, "relative": 0.947}},
            "frechet_distance": {"samples": 3.2, "reconstructions": 1.1, "renderings": None, "images": 512},
            "controls": {"canny": control},
            "several_people": {},
            "two_controls": {"openpose is followed": {"with both": 0.9, "with openpose": 0.8}, "images": 9},
        },
    }
    path = tmp_path / "report.json"
    path.write_text(json.dumps(report))
    found = report_tables.read_report(path)
    assert report_tables.training(found)[1] == [("denoiser", "10", "8", "80", "4,000", "1.5", "a GPU")]
    assert report_tables.prompts(found)[1] == [
        ("attribution: color", "0.900 [0.800, 1.000]", "0.990", "0.25"),
        ("recall: things", "0.900 [0.800, 1.000]", "0.950", ""),
    ]
    assert [row[1] for row in report_tables.images(found)[1]] == ["34.500", "3.200", "1.100"]
    row = ("`canny`", "edge F1", "0.300", "0.800", "0.860", "**0.910 [0.900, 0.920]**", "512")
    assert report_tables.controls(found)[1] == [row]
    heading = ("Control score", "with both", "with openpose")
    assert report_tables.two_controls(found) == (heading, [("openpose is followed", "0.900", "0.800")])
    recipes = Path(tmp_path / "recipes.json")
    facts = {"measure": "edge F1", "score": 0.6, "score_without_control": 0.28, "converged_at": None}
    recipes.write_text(json.dumps({"default-run": {"facts": facts}}))
    assert report_tables.runs(recipes)[1] == [("`cn train --cond canny`", "edge F1", "0.280", "0.600", "not yet")]
