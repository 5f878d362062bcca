"""`cn weights show`: what weights know and how good they are."""

import datetime
import json
import shutil
from pathlib import Path

import pytest

from cn.checkpoints.read.load import open_base
from cn.checkpoints.write.native import save_base, save_control
from cn.errors import InputError
from cn.model.controlnet import ControlNet
from cn.scenes import kinds, vocabulary
from cn.weights import bundled, headlines, releases
from cn.weights.releases import Release
from tests.helpers.cli import cn
from tests.helpers.layouts import base

REPORT = {
    "date": "2026-11-30",
    "evaluated_on": "a GPU",
    "stages": {
        "denoiser": [
            {"steps": 4000, "minutes": 7.5, "hardware": "NVIDIA H200"},
            {"steps": 100, "minutes": 0.5, "hardware": "NVIDIA H200"},
        ],
        "control-canny": {"steps": 300, "minutes": 1},
    },
    "judges": {"reader": {"sha256": "ab"}},
    "figures": {
        "scenes": 512,
        "psnr_db": {"value": 33.126, "interval": [33.0, 33.2]},
        "attribution": {
            "color": {"right": {"value": 0.8125, "interval": None}, "chance": 0.25},
            "light": {"right": {"value": 0.99, "interval": None}, "chance": 0.25},
        },
        "recall": {"objects": {"value": 0.71, "renderings": 0.97}, "colors": 0.6, "images": 512},
        "frechet_distance": {"samples": 12.31, "renderings": 0.5, "images": 512},
        "controls": {"canny": {"score": 0.876, "interval": [0.8, 0.9], "score_prompt_alone": 0.05, "images": 512}},
    },
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Bundled weights of another kind: a base and a control in 8 bits, with a report."""
    save_base(tmp_path / "base.safetensors", base("sd1"), bits=8, license="CC0-1.0")
    stored = open_base(tmp_path / "base.safetensors")
    model = ControlNet.from_unet(stored.unet)
    save_control(tmp_path / "canny.safetensors", model, kind="canny", bits=8, base=stored, license="CC0-1.0")
    (tmp_path / "report.json").write_text(json.dumps(REPORT))
    monkeypatch.setattr(bundled, "FOLDER", tmp_path)
    monkeypatch.setattr(bundled.find, "__defaults__", (tmp_path,))
    return tmp_path


def shown(*words: str) -> dict[str, str]:
    """The rows by their names, wrapped lines joined; "" is the title."""
    done = cn("weights", "show", *words)
    assert (done.returncode, done.stderr) == (0, "")
    title, *lines = done.stdout.splitlines()
    assert all(len(line) <= 120 for line in lines)
    assert len(lines) < 40
    rows, label = {"": title}, ""
    for line in lines:
        start = line[2:].split("  ")[0]
        label, text = (label, f"{rows[label]} {line.strip()}") if not start else (start, line[2 + len(start) :].strip())
        rows[label] = text
    return rows


def test_a_base(folder: Path) -> None:
    rows = shown("base")
    assert rows[""] == str(folder / "base.safetensors")
    assert rows["what"] == "a base, for images of 512×512 pixels"
    assert rows["size"].endswith("MB, in 8 bits")
    assert (rows["license"], rows["sha-256"]) == ("CC0-1.0", bundled.describe(folder / "base.safetensors").sha256)
    assert rows["people"] == ", ".join(vocabulary.WHO)
    assert rows["things"] == ", ".join(kinds.KINDS)
    assert {"colors", "poses", "grounds", "light"} <= set(rows)
    assert rows["denoiser"] == "4,100 steps, 8.0 minutes on NVIDIA H200"
    assert rows["reconstruction"] == "PSNR 33.13 dB"
    assert rows["as prompted"] == "color 0.812, light 0.99 (share of samples)"
    assert rows["recall"] == "objects 0.71, colors 0.6"
    assert rows["distance"] == "samples 12.3, renderings 0.5"
    assert (rows["measured on"], rows["made on"]) == ("512 held-out scenes", "2026-11-30")


def test_a_control(folder: Path) -> None:
    rows = shown("canny")
    assert rows["what"] == "a control for canny"
    assert rows["base"] == "the bundled base, whose file is needed to read it"
    assert rows["use"] == "cn sample --cond MAP.png --control canny --prompt TEXT"
    assert rows["trained"] == "300 steps, 1.0 minutes"
    assert rows["fidelity"].startswith("0.876 (0: as samples of other scenes")
    assert rows["fidelity"].endswith("; by the prompt alone 0.05")
    assert {"things", "denoiser", "recall"}.isdisjoint(rows)


def test_json_has_all(folder: Path) -> None:
    record = json.loads(cn("weights", "show", "base", "--json").stdout)
    assert record["figures"] == REPORT["figures"]
    assert record["words"]["people"] == list(vocabulary.WHO)
    assert record["trained"] == {"denoiser": REPORT["stages"]["denoiser"]}
    assert record["judges"] == REPORT["judges"]
    assert record["measured"] == {"date": "2026-11-30", "evaluated_on": "a GPU"}
    assert record["metadata"]["bits"] == 8
    record = json.loads(cn("weights", "show", "canny", "--json").stdout)
    assert (record["kind"], record["words"]) == ("canny", {})
    assert record["trained"] == {"control-canny": REPORT["stages"]["control-canny"]}


def test_other_files(folder: Path, tmp_path: Path) -> None:
    """Files elsewhere have no words and figures of the bundled ones; published ones are described, too."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "canny.safetensors").write_bytes((folder / "canny.safetensors").read_bytes())
    rows = shown(str(elsewhere / "canny.safetensors"))
    assert rows["use"] == f"cn sample --cond MAP.png --control {elsewhere / 'canny.safetensors'} --prompt TEXT"
    assert {"fidelity", "trained"}.isdisjoint(rows)
    rows = shown("mlsd-large")
    assert (rows["conditions"], rows["license"]) == ("hough", "Apache-2.0")
    assert json.loads(cn("weights", "show", "mlsd-large", "--json").stdout)["file"] == "mlsd_large_512_fp32.pth"
    done = cn("weights", "show", "nothing")
    assert (done.returncode, "no weights are called 'nothing'" in done.stderr) == (4, True)


def test_a_control_of_another_base(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its base is named where a release had it, and has to be given."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    control = Path(shutil.move(folder / "canny.safetensors", elsewhere / "mine.safetensors"))
    old = str(bundled.describe(control).base_sha256)
    save_base(folder / "base.safetensors", base("sd1"), bits=8, license="another file")
    rows = shown(str(control))
    assert rows["use"] == f"cn sample --cond MAP.png --control {control} --base FILE --prompt TEXT"
    assert rows["base"] == f"SHA-256 {old[:12]}…, whose file is needed to read it"
    past = Release(datetime.date(2025, 1, 2), "0.0.9", {"base": old})
    monkeypatch.setattr(releases, "releases", lambda: (past,))
    of = "of the bundled weights of 2025-01-02 (cn 0.0.9)"
    assert shown(str(control))["base"] == f"SHA-256 {old[:12]}…, {of}, whose file is needed to read it"
    done = cn("weights", "verify", control)
    assert (done.returncode, "stores the differences to its base" in done.stderr) == (4, True)


def test_a_report_of_the_first_form() -> None:
    report = {"figures": {"psnr_db": 31.07, "canny": {"control_score": 0.577, "f1_samples": 0.568}}}
    (line,) = headlines.of_base(report)
    assert line == headlines.Headline("reconstruction", "PSNR 31.07 dB")
    (line,) = headlines.of_control(report, "canny")
    assert line.text.startswith("0.577 (0:")
    assert headlines.of_control(report, "depth") == []


@pytest.mark.parametrize(
    "report",
    [
        {},
        {"figures": None},
        {"figures": {"psnr_db": "x", "controls": [1], "attribution": {"color": None}, "scenes": "many"}},
        {"stages": [1], "figures": {"fid": True, "recall": {}}},
    ],
    ids=str,
)
def test_what_is_not_there_is_not_shown(report: dict[str, object]) -> None:
    assert headlines.of_base(report) == headlines.of_control(report, "canny") == []


def test_a_damaged_report(folder: Path) -> None:
    for text in ("[]", "{"):
        (folder / "report.json").write_text(text)
        with pytest.raises(InputError, match=r"report\.json"):
            headlines.read_report(folder)
    (folder / "report.json").unlink()
    assert headlines.read_report(folder) == {}
