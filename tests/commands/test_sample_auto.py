"""`cn sample --prompt-mode auto` (§4.1): the result of the default prompt is captioned, and sampled again."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest

from cn import images
from cn.caption.create import open_captioner
from cn.caption.weights import SCENE_READER
from cn.errors import WeightsError
from cn.files import sha256
from cn.model.config import DEFAULT_PROMPT
from cn.sample import automatic, png_metadata
from cn.sample import pipeline as pipelines
from cn.sample.folder import FolderJob
from cn.sample.many import ManyFiles
from cn.sample.request import SampleRequest
from tests.helpers.sampling import CONTROLLED
from tests.helpers.tiny_captioners import coca_folder

ONE_STEP = ["--steps", "1", "--size", "64x64"]


@pytest.fixture(scope="module")
def captioner(tmp_path_factory) -> Path:
    """A CoCa of random weights, whose captions depend on the image."""
    return coca_folder(tmp_path_factory.mktemp("captioner") / "coca")


@pytest.fixture
def run(sample, captioner, tmp_path):
    """`cn sample` in a folder with conditions and the captioner `coca/`; the records that it writes."""
    (tmp_path / "coca").symlink_to(captioner)

    def records(*words):
        code, out, err = sample(*words, "--json", quick=False)
        return code, [json.loads(line) for line in out.splitlines()], err

    return records


def auto(*words):
    return ["--prompt-mode", "auto", "--captioner", "./coca", *ONE_STEP, *words]


def test_the_prompt_is_the_caption_of_the_default_result(run):
    code, (record,), err = run(*auto(*CONTROLLED, "--seed", "3", "--out", "auto.png"))
    assert code == 0, err
    run("--prompt-mode", "default", *ONE_STEP, *CONTROLLED, "--seed", "3", "--out", "default.png")
    (caption,) = open_captioner(None, "coca").caption([images.read("default.png")])
    assert record["prompt"] == caption != DEFAULT_PROMPT
    run("--prompt", caption, *ONE_STEP, *CONTROLLED, "--seed", "3", "--out", "user.png")
    assert (images.read("auto.png") == images.read("user.png")).all()
    assert "prompt   automatic: captions of the results of the default prompt, by ./coca" in err


def test_the_prompt_is_shown_to_people(sample, captioner, tmp_path):
    (tmp_path / "coca").symlink_to(captioner)
    words = auto(*CONTROLLED, "--seed", "3")
    code, out, err = sample(*words, "--out", "auto.png", quick=False)
    assert (code, out) == (0, "auto.png\n")
    prompt = json.loads(sample(*words, "--out", "2.png", "--json", quick=False)[1])["prompt"]
    assert f"auto.png: {prompt}\n" in err
    assert "auto.png" not in sample(*words, "--out", "auto.png", "--overwrite", "--quiet", quick=False)[2]


def test_it_is_repeated_without_a_captioner(run, captioner, monkeypatch):
    run(*auto("--out", "auto.png"))
    recipe = png_metadata.from_file("auto.png")
    stored = json.loads(images.read_info("auto.png")[png_metadata.TEXT_KEY])
    weights = captioner / "open_clip_model.safetensors"
    assert stored["prompt_mode"] == "auto"
    assert stored["captioner"] == {"name": "./coca", "sha256": sha256(weights)}
    assert recipe.request.captioned_by is not None
    Path("coca").unlink()
    assert run("--from", "auto.png", "--out", "again.png")[0] == 0
    assert Path("again.png").read_bytes() == Path("auto.png").read_bytes()
    run("--from", "auto.png", "--prompt", "a house", "--out", "other.png")
    assert "captioner" not in images.read_info("other.png")[png_metadata.TEXT_KEY]


def test_an_image_can_be_captioned_anew(run):
    run("--prompt", "x", *ONE_STEP, "--out", "user.png")
    assert run("--from", "user.png", "--prompt-mode", "auto", "--captioner", "coca", "--out", "a.png")[0] == 4
    assert run("--from", "user.png", "--prompt-mode", "auto", "--captioner", "./coca", "--out", "a.png")[0] == 0
    run(*auto("--out", "b.png"))
    assert Path("a.png").read_bytes() == Path("b.png").read_bytes()


def test_each_image_of_a_count_has_its_own_caption(run):
    _, many, _ = run(*auto("--count", "3", "--seed", "5", "--out", "many", "--grid"))
    assert [record["seed"] for record in many] == [5, 6, 7, None]
    assert len({record["prompt"] for record in many[:3]}) > 1
    _, (alone,), _ = run(*auto("--seed", "6", "--out", "alone.png"))
    assert alone["prompt"] == many[1]["prompt"]
    assert Path("alone.png").read_bytes() == Path(many[1]["path"]).read_bytes()


def test_several_conditions_and_weighted_prompts(run, monkeypatch):
    """A caption is text, in any syntax."""
    monkeypatch.setattr(automatic, "_captions", lambda writer, samples, warn: ["a (red:2) [dog] \\ cat"] * len(samples))
    two = ["--cond", "canny.png", "--cond", "openpose.png", "--control", "run"]
    code, out, err = run(*auto(*two, "--out", "flat.png"))
    assert code == 0, err
    (plain,) = out
    _, (weighted,), _ = run(*auto(*two, "--prompt-syntax", "a1111", "--out", "weighted.png"))
    assert plain["prompt"] == "a (red:2) [dog] \\ cat"
    assert weighted["prompt"] == "a \\(red:2\\) \\[dog\\] \\\\ cat"
    assert (images.read("flat.png") == images.read("weighted.png")).all()


def test_a_folder_of_conditions_and_lines_without_a_prompt(run):
    Path("maps").mkdir()
    for name in ("a", "b"):
        Path(f"maps/{name}.png").write_bytes(Path("canny.png").read_bytes())
    Path("maps/a.txt").write_text("not this")
    code, found, err = run(*auto("--cond", "maps", "--control", "run", "--out", "made"))
    assert code == 0, err
    assert [record["path"] for record in found] == ["made/a.png", "made/b.png"]
    assert found[0]["prompt"] == found[1]["prompt"] not in ("not this", DEFAULT_PROMPT)
    assert run(*auto("--cond", "maps", "--control", "run", "--out", "made"))[:2] == (0, []), "nothing is left"
    Path("lines").write_text('a house\n{"seed": 4}\n')
    _, (given, caption), _ = run(*auto("--prompts", "lines", "--out", "lines-made"))
    assert (given["prompt"], caption["seed"]) == ("a house", 4)
    assert caption["prompt"] not in ("a house", DEFAULT_PROMPT)
    assert "captioner" not in images.read_info(given["path"])[png_metadata.TEXT_KEY]
    Path("lines").write_text("a house\n")
    code, _, err = run(*auto("--prompts", "lines", "--out", "x"))
    assert (code, "all lines of lines have prompts of their own" in err) == (2, True)


def test_a_stopped_job_keeps_its_captions(run):
    words = auto(*CONTROLLED, "--count", "3", "--grid", "--out", "out")
    assert run(*words)[0] == 0
    before = {path: path.read_bytes() for path in Path("out").iterdir()}
    missing = [Path("out/canny-seed1.png"), Path("out/canny-seed0-grid.png")]
    for path in missing:
        path.unlink()
    code, records, err = run(*words)
    assert (code, [record["path"] for record in records]) == (0, [str(path) for path in missing]), err
    assert {path: path.read_bytes() for path in Path("out").iterdir()} == before


@pytest.mark.parametrize("job", [[*CONTROLLED, "--count", "2"], ["--cond", "maps", "--control", "run"]])
def test_captions_are_not_mixed_with_others(run, captioner, job):
    Path("maps").mkdir()
    for name in ("a", "b"):
        Path(f"maps/{name}.png").write_bytes(Path("canny.png").read_bytes())
    words, other = [*job, "--out", "out"], coca_folder(Path("other"), seed=1)
    assert run(*auto(*words))[0] == 0
    first, last = sorted(Path("out").iterdir())
    last.unlink()
    code, _, err = run(*auto(*words), "--captioner", f"./{other}")
    assert (code, f"{first}: was sampled with another captioner, ./coca and not ./other; " in err) == (3, True), err
    assert run(*ONE_STEP, *words, "--prompt", "x", "--overwrite")[0] == 0
    last.unlink()
    code, _, err = run(*auto(*words))
    assert (code, f"{first}: was sampled with another prompt, x and not automatic; " in err) == (3, True), err
    assert not last.exists()


@pytest.mark.parametrize(
    ("job", "more"),
    [([*CONTROLLED, "--count", "2"], ["--count", "3"]), (["--cond", "maps", "--control", "run"], [])],
)
def test_images_of_the_default_prompt_are_no_automatic_ones(run, job, more):
    Path("maps").mkdir()
    Path("maps/a.png").write_bytes(Path("canny.png").read_bytes())
    assert run(*job, *ONE_STEP, "--out", "out")[0] == 0
    before = sorted(Path("out").iterdir())
    code, records, err = run(*auto(*job, *more, "--out", "out"))
    assert (code, records, sorted(Path("out").iterdir())) == (3, [], before)
    assert f"{before[0]}: was sampled with another prompt, '{DEFAULT_PROMPT[:10]}" in err
    assert " and not automatic; " in err


def test_the_progress_counts_both_times(run, monkeypatch):
    from cn import console

    totals, steps = [], []
    original = console.progress

    def progress(total, *words, **more):
        totals.append(total)
        return original(total, *words, **more)

    monkeypatch.setattr(console, "progress", progress)
    sampled = pipelines.batches_of
    monkeypatch.setattr(
        pipelines,
        "batches_of",
        lambda given, on_step, **more: sampled(given, lambda n: (steps.append(n), on_step(n)), **more),
    )
    run(*auto("--count", "2", "--out", "out"))
    assert totals == [4] == [sum(steps)]


def test_without_words_the_default_prompt_stays(run, monkeypatch):
    monkeypatch.setattr("cn.caption.coca.CocaCaptioner.caption", lambda self, given: [""] * len(given))
    code, (record,), err = run(*auto("--out", "a.png"))
    assert (code, record["prompt"]) == (0, DEFAULT_PROMPT)
    assert "warning: an image of seed 0 keeps the default prompt: the network wrote no words" in err
    assert png_metadata.from_file("a.png").request.captioned_by is not None, "it was asked"
    words = [*CONTROLLED, "--count", "2", "--out", "out"]
    assert run(*auto(*words))[0] == 0
    Path("out/canny-seed1.png").unlink()
    code, records, _ = run(*auto(*words))
    assert (code, [record["path"] for record in records]) == (0, ["out/canny-seed1.png"])


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--prompt-mode", "auto", "--captioner", "blip"], 4, "cn weights pull blip"),
        (["--prompt-mode", "auto", "--captioner", "blip"], 4, "or give it with --captioner"),
        (["--prompt-mode", "auto", "--captioner", "nothing.pth"], 4, "nothing.pth: --captioner: there is no such file"),
        (["--prompt-mode", "auto", "--captioner", "canny.png"], 3, "canny.png"),
        (["--prompt-mode", "auto", "--captioner", "other.safetensors"], 4, "holds no captioner that cn knows"),
        (["--prompt-mode", "auto", "--prompt", "x"], 2, "--prompt-mode auto takes no --prompt"),
        (["--captioner", "blip"], 2, "--captioner is for --prompt-mode auto"),
        (["--captioner", "blip", "--from", "canny.png"], 2, "--captioner is for --prompt-mode auto"),
        (["--prompt-mode", "default", "--prompts", "x"], 2, "no --prompt-mode but auto"),
    ],
)
def test_what_is_missing_or_wrong_is_said_before_anything_is_loaded(run, monkeypatch, words, code, message):
    monkeypatch.setattr(pipelines, "open_sampling_base", lambda *given: pytest.fail("the base is loaded"))
    found, records, err = run(*words, "--out", "out")
    assert (found, records) == (code, [])
    assert message in err
    assert len(err.splitlines()) == 1, "one message"


def test_the_bundled_base_has_a_captioner_of_its_own(run, monkeypatch):
    """Its words are those that the base knows; another base needs a captioner of photographs."""
    code, (record,), err = run("--prompt-mode", "auto", "--captioner", "scenes", *ONE_STEP, "--out", "a.png")
    assert (code, "automatic" in err) == (0, True)
    assert record["prompt"].split()[-1] in ("morning", "noon", "dusk", "night")
    stored = json.loads(images.read_info("a.png")[png_metadata.TEXT_KEY])
    assert stored["captioner"] == {"name": "scenes", "sha256": sha256(SCENE_READER)}
    opened = automatic.open_writer([SampleRequest(("x",), auto=True)])
    assert opened is not None
    assert opened.by.name == "scenes"
    with pytest.raises(WeightsError, match="cn weights pull blip"):
        automatic.open_writer([SampleRequest(("x",), auto=True, base="other.ckpt")])


def test_batches_are_captioned_and_written_one_after_the_other(run, monkeypatch):
    """Few images are lost by an interrupt, and one engine serves all."""
    batches, engines = [], []
    captions, sampled = automatic._captions, pipelines.batches_of

    def counted(writer, samples, warn):
        batches.append(len(samples))
        return captions(writer, samples, warn)

    def watched(*given, engine, **more):
        engines.append(engine)
        return sampled(*given, engine=engine, **more)

    monkeypatch.setattr(automatic, "_captions", counted)
    monkeypatch.setattr(pipelines, "batches_of", watched)
    assert run(*auto("--count", "3", "--batch-size", "2", "--out", "out"))[0] == 0
    assert batches == [2, 1]
    assert len(engines) == 4
    assert len(set(map(id, engines))) == 1
    assert engines[0] is not None


def test_a_worker_captions_lines_without_a_prompt(run, sample, monkeypatch):
    lines = b'{"out": "a.png"}\n{"out": "b.png", "prompt": "a house"}\n'
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(lines)))
    code, out, err = sample(*auto("--serve-stdin"), quick=False)
    assert code == 0, err
    prompts = [json.loads(line)["images"][0]["prompt"] for line in out.splitlines()]
    assert prompts[0] not in (DEFAULT_PROMPT, "a house")
    assert prompts[1] == "a house"


def test_many_conditions_have_the_captioner_of_their_controls_base(run, monkeypatch):
    asked = []
    monkeypatch.setattr("cn.sample.folder.with_own_base", lambda request: replace(request, base="theirs"))
    monkeypatch.setattr("cn.sample.folder.open_writer", lambda requests, *given: asked.append(requests[0].base))
    Path("many").mkdir()
    Path("many/0.png").write_text("no image")
    Path("many/1.png").write_bytes(Path("canny.png").read_bytes())
    found = ManyFiles.find("many", Path("out"))
    job = FolderJob(SampleRequest(("x",), auto=True), found, each={"control": ["run"]}, out=Path("out"), own_base=True)
    job._writer(job.left(job.listed()))
    assert asked == ["theirs"]


def test_a_captioner_that_is_missing_ends_a_folder_before_anything_is_sampled(run, monkeypatch):
    monkeypatch.setattr(pipelines, "open_sampling_base", lambda *given: pytest.fail("the base is loaded"))
    Path("many").mkdir()
    Path("many/1.png").write_bytes(Path("canny.png").read_bytes())
    code, records, err = run(*auto("--cond", "many", "--control", "run", "--captioner", "none.pth", "--out", "out"))
    assert (code, records) == (4, [])
    assert "none.pth: --captioner: there is no such file or folder" in err
