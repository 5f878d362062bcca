"""`cn eval` through the command line: what it writes, its exit codes, interrupts."""

import json
import re
import signal
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.helpers.cli import cn, start_cn
from tests.helpers.kills import kill_everywhere
from tests.helpers.sampling import write_control
from tests.helpers.waiting import wait_until

QUICK = ("--count", "4", "--steps", "2", "--device", "cpu", "--batch-size", "2")


@pytest.fixture(scope="module")
def weights(tmp_path_factory, tiny_base_file) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("controls")
    control = write_control(folder / "run/control.safetensors", tiny_base_file, kind="depth")
    return {"base": tiny_base_file, "run": control.parent}


class Page(HTMLParser):
    """The tags of a page, which must close what they open, and all that it would load."""

    VOID = frozenset({"meta", "img", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.sources += [value for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_paths_on_stdout_and_the_rest_on_stderr(weights, pair_set, tmp_path):
    words = ("eval", weights["run"], "none", "--data", pair_set, "--base", weights["base"], *QUICK)
    done = cn(*words, "--out", "out", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "out/report.json\nout/report.html\n"
    for said in (
        "Evaluating controls for depth",
        "4 pairs of",
        "12 images of 64×64",
        "edge F1 with the image",
        "depth RMSE: needs",
        "cn weights pull dpt-hybrid",
        "normalized",
    ):
        assert said in done.stderr
    assert done.stderr.count("\x1b") == 0
    again = cn(*words, "--out", "out", "--json", "--quiet", cwd=tmp_path)
    records = [json.loads(line) for line in again.stdout.splitlines()]
    assert [record["control"] for record in records] == ["reconstruction", str(weights["run"]), "no control"]
    assert {record["protocol"] for record in records} == {
        json.loads((tmp_path / "out/report.json").read_text())["protocol_sha256"]
    }
    figure = records[1]["figures"]["edge F1 with the image"]
    assert figure["interval"][0] <= figure["value"] <= figure["interval"][1]
    assert again.stderr == ""


def test_the_page_is_whole_and_needs_nothing_else(weights, pair_set, tmp_path):
    # A prompt may hold anything.
    lines = (pair_set / "prompt.json").read_text().replace("image 0", "<script>alert(1)</script> & co")
    (tmp_path / "prompt.json").write_text(lines)
    for name in ("source", "target"):
        (tmp_path / name).symlink_to(pair_set / name)
    words = ("eval", weights["run"], "--data", tmp_path, "--base", weights["base"], *QUICK)
    assert cn(*words, "--out", tmp_path / "out").returncode == 0
    text = (tmp_path / "out/report.html").read_text()
    page = Page()
    page.feed(text)
    assert page.open == []
    assert "script" not in page.tags
    assert "&lt;script&gt;alert(1)&lt;/script&gt; &amp; co" in text
    assert page.sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in page.sources)
    # For each of four pairs: condition, original, reconstruction, the control, no control.
    assert page.tags.count("img") == 20
    report = json.loads((tmp_path / "out/report.json").read_text())
    assert report["protocol_sha256"] in text
    assert "cn weights pull dpt-hybrid" in text


def test_interrupted_it_says_so_and_goes_on_where_it_was(weights, pair_set, tmp_path):
    words = ("eval", weights["run"], "--data", pair_set, "--base", weights["base"], "--out", "out", "--device", "cpu")
    words = (*words, "--count", "4", "--steps", "10", "--batch-size", "1")
    process = start_cn(*words, cwd=tmp_path)
    wait_until(lambda: len(list(tmp_path.rglob("*.png"))) >= 5 or process.poll() is not None)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate()
    assert process.returncode == 130, errors
    assert b"interrupted; what was finished is kept" in errors
    kept = {path: path.read_bytes() for path in tmp_path.rglob("*.png")}
    assert 5 <= len(kept) < 12
    assert not (tmp_path / "out/report.json").exists()
    done = cn(*words, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"12 images of 64×64, of which \d+ are there", done.stderr)
    assert all(path.read_bytes() == data for path, data in kept.items())
    assert (tmp_path / "out/report.json").exists()


def test_killed_anywhere_it_goes_on_to_the_same_files(weights, pair_set, tmp_path):
    words = ["eval", weights["run"], "--data", pair_set, "--base", weights["base"], "--out", tmp_path / "out/e", "-q"]
    words = [*map(str, words), "--count", "3", "--steps", "1", "--batch-size", "2", "--device", "cpu"]
    (tmp_path / "out").mkdir()
    left = kill_everywhere(tmp_path / "out", words, words, every=3)
    assert len(left) >= 5
    assert all(one["after"] == left[-1]["after"] for one in left), "nothing is missing, and nothing else is left"
    assert "e/report.html" in left[-1]["after"]


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ([], 2, "Missing argument"),
        (["canny", "--count", "1"], 2, "--count must be between 2"),
        (["canny", "depth"], 2, "depth follows depth, but others follow canny"),
        (["none"], 2, "--cond KIND is needed"),
        (["canny", "--cond", "edges"], 2, "unknown condition"),
        (["canny", "--device", "tpu"], 2, "--device must be"),
        (["canny", "--data", "nothing"], 3, "no such file"),
        (["canny", "--compare", "nothing.json"], 3, "cannot be read"),
        (["cannny"], 4, "did you mean canny"),
        (["canny", "--base", "missing.safetensors"], 4, "no such weights file"),
    ],
)
def test_exit_codes(words, code, said, tmp_path):
    done = cn("eval", *words, cwd=tmp_path)
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert done.stdout == ""
    assert list(tmp_path.iterdir()) == []


def test_missing_weights_of_figures_are_said_before_anything_is_sampled(weights, pair_set, tmp_path):
    words = ("eval", weights["run"], "--data", pair_set, "--base", weights["base"], *QUICK, "--out", tmp_path / "out")
    for option in ("--clip-weights", "--inception-weights", "--weights"):
        done = cn(*words, option, "missing.pt")
        assert done.returncode == 4, done.stderr
        assert "missing.pt" in done.stderr
    done = cn(*words, "--clip-weights", weights["base"], "--clip-model", "nothing")
    assert (done.returncode, "no CLIP" in done.stderr) == (2, True)
    assert not (tmp_path / "out").exists()


def test_the_bundled_canny_control_follows_held_out_edges(tmp_path):
    """Six scenes at half the size, in eight steps: enough to tell it from no control."""
    words = ("eval", "canny", "--count", "6", "--size", "128", "--steps", "8", "--device", "cpu")
    done = cn(*words, "--out", tmp_path / "out", "--json", "--quiet")
    assert done.returncode == 0, done.stderr
    one, canny, zero = (json.loads(line)["figures"]["edge F1"] for line in done.stdout.splitlines())
    assert zero["value"] < canny["value"] < one["value"]
    assert 0.2 < canny["normalized"] < 1
    report = json.loads((tmp_path / "out/report.json").read_text())
    (difference,) = report["differences"]
    assert (difference["of"], difference["minus"]) == ("canny", "no control")
    assert difference["beyond_interval"]
    assert difference["value"] > 0
    figures = report["controls"][0]["figures"]["edge F1"]
    assert figures["control_score"]["value"] > 0.2
    assert report["no_control"]["figures"]["edge F1"]["mismatched"]["value"] < figures["value"]
