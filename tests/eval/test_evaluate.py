"""Whole evaluations on the tiny base: figures, stopping and going on, several controls, what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from cn import api, images
from cn.checkpoints.write.native import save_base
from cn.data.pairs import open_pairs
from cn.errors import InputError, UsageError, WeightsError
from cn.eval.job import open_job, plan
from cn.eval.kept_images import SAMPLES
from cn.eval.options import EvalOptions
from cn.eval.pairs import of_dataset, stated_settings
from cn.eval.report import Report, read_report
from cn.eval.request import check_request
from cn.eval.run import evaluate
from cn.model.base import Base
from tests.conftest import write_pairs
from tests.helpers.model_helpers import SMALL, fill, tiny_base
from tests.helpers.sampling import write_control

QUICK = {"steps": 2, "count": 5, "batch_size": 2}


@pytest.fixture(scope="module")
def weights(tmp_path_factory, tiny_base_file) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("controls")
    return {
        "base": str(tiny_base_file),
        "canny": str(write_control(folder / "canny.safetensors", tiny_base_file)),
        "depth": str(write_control(folder / "depth.safetensors", tiny_base_file, kind="depth")),
    }


def run(controls, out, owned, data, compare=(), overwrite=False, on_image=None, **given) -> Report:
    options = EvalOptions(**{**QUICK, "base": owned["base"], "data": str(data) if data else None, **given})
    request = check_request(controls, options, out=out, compare=compare, overwrite=overwrite, device="cpu")
    return evaluate(open_job(request, "cpu"), on_image=on_image)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, weights, canny_set) -> tuple[Path, Report]:
    out = tmp_path_factory.mktemp("finished") / "out"
    return out, run([weights["canny"]], out, weights, canny_set)


def files(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_report_has_what_the_images_have(finished, weights, canny_set):
    from cn.eval.measures import measurement

    out, report = finished
    assert report.protocol.sampling.count == 5
    assert list(report.measures) == ["edge F1"]
    (control,) = report.controls
    measure = measurement("canny", device="cpu")
    chosen = [0, 1, 2, 4, 5]  # Of seven, evenly spread.
    maps = [images.read_map(canny_set / f"source/{i}.png", "canny") for i in chosen]
    for subject in (control, report.none, report.reconstruction):
        made = [images.read(out / subject.folder / f"{i:06d}.png") for i in range(5)]
        np.testing.assert_allclose(subject.scores["edge F1"].own, measure.scores(maps, made))
        mismatched = measure.scores([maps[i - 1] for i in range(1, 5)] + [maps[4]], [*made[1:], made[0]])
        np.testing.assert_allclose(subject.scores["edge F1"].mismatched, mismatched)
    assert report.pairs[3]["prompt"] == "squares 4"
    assert report.normalized(report.none, "edge F1").value in (0, pytest.approx(0))
    assert "CLIP score" in report.not_computed
    assert "--inception-weights" in report.not_computed["FID, KID"]


def test_images_are_those_that_sampling_gives(weights, canny_set, tmp_path):
    report = run([weights["canny"]], tmp_path, weights, canny_set, batch_size=1, count=2)
    files = [canny_set / f"source/{i}.png" for i in (0, 3)]
    for subject, chosen in ((report.controls[0], True), (report.none, False)):
        for seed, (pair, file) in enumerate(zip(report.pairs, files, strict=True)):
            given = {"cond": file, "control": weights["canny"]} if chosen else {"size": (64, 64)}
            (made,) = api.sample(pair["prompt"], base=weights["base"], seed=seed, steps=2, device="cpu", **given)
            np.testing.assert_array_equal(images.read(tmp_path / subject.folder / f"{seed:06d}.png"), made.image)


@pytest.mark.parametrize("stop_after", [1, 4])
def test_stopped_and_started_again_it_is_the_same(finished, weights, canny_set, tmp_path, stop_after):
    reference = files(finished[0])
    out, made = tmp_path / "out", list[int]()

    def stop(count: int) -> None:
        assert count <= 2, "nothing is measured before all is sampled"
        made.append(count)
        if len(made) == stop_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run([weights["canny"]], out, weights, canny_set, on_image=stop)
    assert not (out / "report.json").exists()
    kept = sum(made)
    assert len(list((out / SAMPLES).rglob("*.png"))) == kept
    # As if it had been killed in the middle of a batch, and in the middle of writing an image.
    first, *_ = sorted((out / SAMPLES).rglob("000001.png"))
    first.write_bytes(first.read_bytes()[:50])
    again = list[int]()
    run([weights["canny"]], out, weights, canny_set, on_image=again.append)
    assert sum(again[:-3]) == 15 - kept + 2, "the batch of the broken image, and what was missing"
    assert again[-3:] == [5, 5, 5], "all are measured"
    assert files(out) == reference


def test_a_finished_one_makes_nothing_again_and_other_figures_use_its_images(finished, weights, canny_set, tmp_path):
    shutil.copytree(finished[0], tmp_path / "out")
    made = list[int]()
    run([weights["canny"]], tmp_path / "out", weights, canny_set, on_image=made.append)
    assert made == [5, 5, 5], "they are measured"
    assert files(tmp_path / "out") == files(finished[0])
    # Another control, and later another detector: what is there is used.
    made.clear()
    run([weights["canny"], "none"], tmp_path / "out", weights, canny_set, on_image=made.append)
    assert made == [5, 5, 5]


def test_images_of_another_control_of_the_same_name_are_not_taken(finished, weights, canny_set, tmp_path):
    shutil.copytree(finished[0], tmp_path / "out")
    folder = next((tmp_path / "out" / SAMPLES).glob("*canny*"))
    other = images.read(folder / "000000.png")
    images.write(folder / "000001.png", other, {"cn.eval": '{"identity": "other", "image": 1}'})
    made = list[int]()
    report = run([weights["canny"]], tmp_path / "out", weights, canny_set, on_image=made.append)
    assert made == [2, 5, 5, 5]
    assert report.record() == finished[1].record()


def test_the_batch_size_changes_no_figure_beyond_rounding(finished, weights, canny_set, tmp_path):
    report = run([weights["canny"]], tmp_path / "out", weights, canny_set, batch_size=5)
    for a, b in zip(report.subjects, finished[1].subjects, strict=True):
        np.testing.assert_allclose(a.scores["edge F1"].own, b.scores["edge F1"].own, atol=0.02)
    assert report.protocol.hash == finished[1].protocol.hash


def test_another_protocol_does_not_get_into_the_same_folder(finished, weights, canny_set, tmp_path):
    shutil.copytree(finished[0], tmp_path / "out")
    with pytest.raises(InputError, match=r"another protocol \(steps: 2 there, 3 here\).*--overwrite"):
        run([weights["canny"]], tmp_path / "out", weights, canny_set, steps=3)
    (tmp_path / "out" / SAMPLES / "mine").mkdir()
    (tmp_path / "out" / SAMPLES / "mine/000000.png").write_bytes(b"of somebody else")
    (tmp_path / "out" / SAMPLES / "house.png").write_bytes(b"of somebody else")
    report = run([weights["canny"]], tmp_path / "out", weights, canny_set, steps=3, count=2, overwrite=True)
    assert read_report(tmp_path / "out").record() == report.record()
    assert len(list((tmp_path / "out").rglob("*.png"))) == 6 + 2
    (tmp_path / "other").mkdir()
    (tmp_path / "other/notes.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(InputError, match="holds no evaluation"):
            run([weights["canny"]], tmp_path / "other", weights, canny_set, overwrite=overwrite)


def test_controls_are_compared_and_earlier_reports_joined(finished, weights, canny_set, tmp_path, tiny_base_file):
    other = write_control(tmp_path / "weak.safetensors", tiny_base_file)
    _scale(other, 0.0)
    report = run([weights["canny"], str(other)], tmp_path / "out", weights, canny_set)
    first, weak = report.controls
    np.testing.assert_allclose(weak.scores["edge F1"].own, report.none.scores["edge F1"].own)
    assert not report.difference(weak, report.none, "edge F1").differs_from_zero
    found = report.difference(first, weak, "edge F1")
    assert found.value == pytest.approx((first.scores["edge F1"].own - weak.scores["edge F1"].own).mean())
    record = report.record()
    assert len(record["differences"]) == 3
    joined = run([str(other)], tmp_path / "joined", weights, canny_set, compare=[finished[0]])
    assert [one.name for one in joined.controls] == [str(other), weights["canny"]]
    np.testing.assert_array_equal(joined.controls[1].scores["edge F1"].own, first.scores["edge F1"].own)
    page = (tmp_path / "joined/report.html").read_text()
    assert "no longer there" not in page
    same = run([weights["canny"]], tmp_path / "same", weights, canny_set, compare=[finished[0]])
    assert len(same.controls) == 1, "the same weights are shown once"
    with pytest.raises(InputError, match=r"cannot be compared \(scale: 9.0 there, 5.0 here\)"):
        run([str(other)], tmp_path / "third", weights, canny_set, compare=[finished[0] / "report.json"], scale=5.0)


def _scale(path: Path, factor: float) -> None:
    """Multiply the zero convolutions of a control."""
    from safetensors import safe_open
    from safetensors.torch import load_file, save_file

    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    tensors = load_file(path)
    for name in tensors:
        if "zero" in name:
            tensors[name] *= factor
    save_file(tensors, path, metadata)


def test_without_a_learned_detector_the_edges_of_the_image_are_measured(weights, pair_set, tmp_path):
    report = run([weights["depth"]], tmp_path / "out", weights, pair_set)
    assert list(report.measures) == ["edge F1 with the image"]
    assert "dpt_hybrid-midas-501f0c75.pt (cn weights pull dpt-hybrid)" in report.not_computed["depth RMSE"]
    with pytest.raises(WeightsError, match="no such weights file"):
        run([weights["depth"]], tmp_path / "other", weights, pair_set, weights="missing.pt")


def test_with_a_learned_detector_both_are_measured(weights, pair_set, tmp_path, made_up):
    report = run([weights["depth"]], tmp_path / "out", weights, pair_set, weights=str(made_up["midas"]), count=2)
    assert list(report.measures) == ["depth RMSE", "edge F1 with the image"]
    described = report.protocol.measures["depth RMSE"]
    assert described["detector"] == "MiDaS v2.1 small"
    assert len(described["weights_sha256"]) == 64
    for subject in [*report.subjects, report.reconstruction]:
        assert np.isfinite(subject.scores["depth RMSE"].own).all()
    assert any("the maps were made by test" in note for note in report.notes)


def test_prompts_none_and_uncaptioned_images(weights, canny_set, tmp_path):
    report = run([weights["canny"]], tmp_path / "out", weights, canny_set, prompts="none", count=2)
    assert [pair["prompt"] for pair in report.pairs] == ["", ""]
    assert "--prompts none" in report.not_computed["CLIP score"]


def test_a_control_with_a_base_of_its_own_is_sampled_with_it(weights, canny_set, tmp_path, tiny_base_file):
    run_folder = tmp_path / "run"
    write_control(run_folder / "control.safetensors", tiny_base_file)
    other = fill(Base.create(SMALL).unet)
    for parameter in other.decoder.parameters():
        parameter.data *= 1.1
    save_base(run_folder / "base.safetensors", Base(SMALL, other, tiny_base(SMALL).vae, tiny_base(SMALL).text))
    both = run([str(run_folder), weights["canny"]], tmp_path / "out", weights, canny_set, count=2)
    own, common = both.controls
    assert own.weights["base"] != common.weights["base"] == both.protocol.sampling.base_sha256
    assert any("with the base that it was trained with" in note for note in both.notes)
    first, second = (images.read(tmp_path / "out" / one.folder / "000000.png") for one in both.controls)
    assert (first != second).any(), "the same control on two bases"
    alone = run([str(run_folder)], tmp_path / "alone", {"base": None}, canny_set, count=2)
    assert alone.protocol.sampling.base_sha256 == own.weights["base"]


def test_what_is_refused(weights, canny_set, pair_set, tmp_path):
    def check(controls, data=None, **given):
        return check_request(controls, EvalOptions(data=str(data) if data else None, **given), device="cpu")

    with pytest.raises(UsageError, match="which control"):
        check([])
    with pytest.raises(UsageError, match="follows depth, but others follow canny"):
        check([weights["canny"], weights["depth"]])
    with pytest.raises(UsageError, match="follows depth, but --cond says canny"):
        check([weights["depth"]], cond="canny")
    with pytest.raises(UsageError, match="holds depth maps"):
        check([weights["canny"]], pair_set)
    with pytest.raises(UsageError, match="--cond KIND is needed"):
        check(["none"])
    with pytest.raises(UsageError, match="unknown condition"):
        check(["none"], cond="sketch")
    with pytest.raises(WeightsError, match="did you mean canny"):
        check(["cany"])
    with pytest.raises(WeightsError, match="a control was expected"):
        check([weights["base"]])
    with pytest.raises(UsageError, match="--count must be"):
        EvalOptions(count=1)
    with pytest.raises(InputError, match="no such file"):
        check([weights["canny"]], tmp_path / "nothing")
    with pytest.raises(UsageError, match="--size must be a multiple"):
        open_job(check([weights["canny"]], canny_set, base=weights["base"], size=100), "cpu")
    with pytest.raises(WeightsError, match="another base"):
        open_job(check([weights["canny"]], canny_set), "cpu")
    assert check(["none"], pair_set).kind == "depth"


def test_broken_pairs_are_left_out_and_said(weights, tmp_path):
    data = write_pairs(tmp_path / "data", 6, kind="canny")
    (data / "target/2.png").write_bytes(b"broken")
    options = EvalOptions(**{**QUICK, "count": 64, "base": weights["base"], "data": str(data)})
    job = open_job(check_request([weights["canny"]], options, out=tmp_path / "out", device="cpu"), "cpu")
    assert len(job.pairs) == 5
    assert any("2.png" in note for note in job.notes)
    assert plan(job)["images"].startswith("15 images of 64×64")
    for i in range(1, 5):
        (data / f"target/{i}.png").write_bytes(b"broken")
    with pytest.raises(InputError, match="of 6 pairs are broken"):
        open_job(check_request([weights["canny"]], options, out=tmp_path / "out", device="cpu"), "cpu")


def test_the_hash_of_the_data_is_that_of_what_is_seen(canny_set, tmp_path):
    def sha(folder: Path, count: int = 5, captions: bool = True) -> str:
        return of_dataset("set", open_pairs(folder, "canny"), "canny", 64, count, captions).sha256

    copy = tmp_path / "copy"
    shutil.copytree(canny_set, copy)
    assert sha(copy) == sha(canny_set)
    assert sha(copy, count=4) != sha(copy)
    assert sha(copy, captions=False) != sha(copy)
    lines = (copy / "prompt.json").read_text()
    (copy / "prompt.json").write_text(lines.replace("squares 0", "circles 0"))
    assert sha(copy) != sha(canny_set)
    (copy / "prompt.json").write_text(lines)
    images.write(copy / "target/0.png", 255 - images.read(copy / "target/0.png"))
    assert sha(copy) != sha(canny_set)


def test_maps_are_found_again_with_the_parameters_that_all_of_them_state():
    from cn.conditions import ConditionInfo

    def info(**params):
        return ConditionInfo("canny", "canny (OpenCV)", params)

    same = [info(low=50, high=120), info(low=50, high=140)]
    assert stated_settings(same, {"low", "high"}) == {"low": 50}
    assert stated_settings([*same, None], {"low"}) == {}
    from cn.eval.detectors import choose

    (found,), missing, notes = choose("canny", [info(low=50, high=120), info(low=50, high=120)], device="cpu")
    assert (found.info.params["low"], found.info.params["high"]) == (50, 120)
    assert (missing, notes) == ({}, [])
    lsd = ConditionInfo("hough", "LSD (OpenCV)", {"method": "lsd", "length": 0.1})
    (lines, edges), missing, notes = choose("hough", [lsd], device="cpu")
    assert lines.info.params["length"] == 0.1
    assert (edges.name, missing, notes) == ("edge F1 with the image", {}, [])
    mlsd = ConditionInfo("hough", "M-LSD large", {"method": "mlsd", "score": 0.1, "length": 0.1}, "0" * 64)
    (lines, _), missing, notes = choose("hough", [mlsd], device="cpu")
    assert lines.info.detector == "LSD (OpenCV)"
    assert notes == ["the maps were made by M-LSD large, and the condition is found again by LSD (OpenCV)"]


def test_a_damaged_report_is_refused(finished, tmp_path):
    record = json.loads((finished[0] / "report.json").read_text())
    assert read_report(finished[0]).record() == finished[1].record()
    for wrong in ("[]", "{", json.dumps({**record, "controls": [1]}), json.dumps({**record, "protocol": {}})):
        (tmp_path / "report.json").write_text(wrong)
        with pytest.raises(InputError):
            read_report(tmp_path)
    with pytest.raises(InputError, match="cannot be read"):
        read_report(tmp_path / "nothing")
