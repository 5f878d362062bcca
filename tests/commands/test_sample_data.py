"""`cn sample --data SET`: an image for each pair of a dataset, in every layout; what is done is skipped."""

import json
import shutil
from pathlib import Path

import pytest

from cn import images
from cn.model.config import DEFAULT_PROMPT
from cn.sample import pipeline as pipelines
from tests.helpers.cli import cn
from tests.helpers.pair_layouts import LAYOUTS
from tests.helpers.sampling import write_condition


@pytest.fixture
def dataset(sampling_folder, tmp_path, monkeypatch) -> Path:
    """Three pairs with maps of Canny edges, one of them without a caption."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))
    lines = []
    for number in range(3):
        for name in ("source", "target"):
            (tmp_path / "set" / name).mkdir(parents=True, exist_ok=True)
            write_condition(
                tmp_path / f"set/{name}/{number:03}.png", "canny" if name == "source" else None, seed=number
            )
        prompt = "" if number == 2 else f"house {number}"
        lines.append({"source": f"source/{number:03}.png", "target": f"target/{number:03}.png", "prompt": prompt})
    (tmp_path / "set/prompt.json").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return tmp_path / "set"


@pytest.fixture
def run(dataset, sampling_folder, tiny_base_file):
    def sample(*words, data: str | Path = "set", control: str | Path | None = None):
        control = sampling_folder / "run" if control is None else control
        given = ["--data", data, "--base", tiny_base_file, *(["--control", control] if control else [])]
        done = cn("sample", *given, "--steps", "1", "--size", "64x64", "--quiet", "--json", *words)
        return done.returncode, [json.loads(line) for line in done.stdout.splitlines()], done.stderr

    return sample


def test_an_image_for_each_pair_with_its_caption(run, sampling_folder, tiny_base_file):
    code, found, err = run("--out", "made")
    assert code == 0, err
    assert [one["path"] for one in found] == ["made/000.png", "made/001.png", "made/002.png"]
    assert [one["prompt"] for one in found] == ["house 0", "house 1", DEFAULT_PROMPT]
    alone = ["--cond", "set/source/001.png", "--prompt", "house 1", "--base", tiny_base_file, "--size", "64x64"]
    alone += ["--control", sampling_folder / "run", "--steps", "1", "--out", "alone.png", "--quiet"]
    assert cn("sample", *alone).returncode == 0
    assert (images.read("alone.png") == images.read("made/001.png")).all()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout(run, dataset, layout, tmp_path):
    run("--out", "made")
    path = LAYOUTS[layout](dataset, tmp_path / layout)
    code, found, err = run("--out", "other", data=path)
    assert code == 0, err
    assert [one["prompt"] for one in found] == ["house 0", "house 1", DEFAULT_PROMPT]
    for number, one in enumerate(found):
        assert (images.read(one["path"]) == images.read(f"made/{number:03}.png")).all()


def test_it_goes_on_where_it_was(run, dataset, monkeypatch):
    assert len(run("--out", "made", "--limit", "2")[1]) == 2
    first = Path("made/000.png").read_bytes()
    Path("made/001.png").unlink()
    assert [one["path"] for one in run("--out", "made")[1]] == ["made/001.png", "made/002.png"]
    assert Path("made/000.png").read_bytes() == first
    monkeypatch.setattr(pipelines, "open_sampling_base", lambda *given: pytest.fail("nothing is left"))
    assert run("--out", "made")[:2] == (0, [])


def test_prompts_of_the_command_replace_captions(run):
    _, found, _ = run("--out", "made", "--prompt", "a", "--prompt", "b", "--count", "2", "--limit", "1")
    assert [one["path"] for one in found] == [f"made/000-prompt{k}-seed{i}.png" for k in (1, 2) for i in (0, 1)]
    _, (none,), _ = run("--out", "none", "--prompt-mode", "none", "--limit", "1")
    assert none["prompt"] == ""


def test_broken_pairs_are_named_and_the_rest_is_sampled(run, dataset):
    (dataset / "source/001.png").write_bytes(b"no image")
    code, found, err = run("--out", "made")
    assert (code, [one["path"] for one in found]) == (5, ["made/000.png", "made/002.png"])
    assert "not sampled: set/source/001.png" in err
    (dataset / "source/001.png").unlink()
    code, found, err = run("--out", "made")
    assert (code, found) == (5, [])
    assert "prompt.json:2" in err
    assert "1 of 3 conditions were not sampled" in err


def test_pairs_of_the_same_name_are_numbered(run, dataset):
    (dataset / "prompt.json").write_text(
        "".join(
            json.dumps({"source": f"source/{k:03}.png", "target": "target/000.png", "prompt": f"{k}"}) + "\n"
            for k in range(3)
        )
    )
    paths = [one["path"] for one in run("--out", "made")[1]]
    assert paths == ["made/000.png", "made/000-2.png", "made/000-3.png"]


def test_the_kind_is_that_of_the_dataset(run, dataset):
    """A map that does not state its kind is of the dataset's, whose bundled control does not fit this base."""
    for number in range(3):
        write_condition(dataset / f"source/{number:03}.png", None, seed=number)
    assert "does not state its kind" in run("--out", "made", control="")[2]
    (dataset / "dataset.json").write_text('{"kinds": ["canny"]}')
    code, _, err = run("--out", "made", control="")
    assert (code, "does not state its kind" in err) == (3, False)
    assert "canny" in err


def test_several_kinds_are_chosen_by_the_control(run, dataset):
    for kind in ("canny", "depth"):
        shutil.copytree(dataset, dataset.parent / "both" / kind)
    code, _, err = run(data="both", control="")
    assert (code, "choose one with --control: canny, depth" in err) == (2, True)
    code, found, err = run("--out", "made", "--limit", "1", data="both")
    assert (code, len(found)) == (0, 1), err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["--cond", "set/source/000.png"], 2, "--data takes no --cond"),
        (["--detect", "canny"], 2, "--data takes no --detect"),
        (["--recursive"], 2, "--data takes no --recursive"),
        (["--prompts", "x"], 2, "--data takes no --prompts"),
        (["--image", "x.png"], 2, "--data takes no --image"),
        (["--serve-stdin"], 2, "--data takes no --serve-stdin"),
        (["--out", "one.png"], 2, "--out must be a folder"),
        (["--out", "-"], 2, "--out must be a folder"),
        (["--out", "set/target"], 2, "holds images of the dataset"),
        (["--out", "set/source", "--overwrite"], 2, "holds images of the dataset"),
        (["--limit", "0"], 2, "limit"),
        (["--data", ""], 2, "--data is empty"),
        (["--strength", "1", "--strength", "2"], 2, "--strength is given 2 times for 1 --cond"),
        (["--data", "nothing"], 3, "nothing"),
    ],
)
def test_what_does_not_go_with_it(run, words, code, message):
    found, out, err = run(*words)
    assert (found, out) == (code, [])
    assert message in err
    assert not Path("samples").exists()


def test_what_is_missing_for_all_is_said_once(run, sampling_folder):
    code, _, err = run("--base", "nothing.ckpt", "--out", "made")
    assert (code, err.count("nothing.ckpt")) == (4, 1)
    code, _, err = run("--out", "made", control="nothing.pth")
    assert (code, err.count("nothing.pth")) == (4, 1)
