"""`cn eval` with --lora and --vae, and with the engine of `cn sample`: images, protocol, hash."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from safetensors.torch import save_file

from cn import api, images
from cn.checkpoints.keymaps import ldm
from cn.errors import InputError, WeightsError
from cn.eval import run as evaluations
from cn.eval.job import open_job, plan
from cn.eval.options import EvalOptions
from cn.eval.report import read_report
from cn.eval.request import check_request
from cn.files import sha256
from cn.model.engine import SamplingEngine
from cn.model.graphs import Graphs
from cn.model.vae import AutoencoderKL
from tests.helpers import loras
from tests.helpers.graphs import Capture
from tests.helpers.model_helpers import TINY, fill, tiny_base
from tests.helpers.sampling import write_control


@pytest.fixture(scope="session")
def tiny_base_file(tiny_sd_file):
    """The layers that LoRA files name are those of Stable Diffusion."""
    return tiny_sd_file


@pytest.fixture(scope="module")
def files(tmp_path_factory, tiny_base_file):
    """A base, a control, a LoRA and a VAE."""
    folder = tmp_path_factory.mktemp("files")
    state = {part: dict(network.state_dict()) for part, network in tiny_base().networks.items()}
    found = {layer: (3 * up, 3 * down) for layer, (up, down) in loras.pairs(state, loras.LAYERS).items()}
    loras.write(folder / "style.safetensors", loras.kohya(found))
    table = ldm.vae(TINY.vae)
    tensors = fill(AutoencoderKL(TINY.vae)).state_dict().items()
    save_file({table.translate(name)[0]: 0.9 * tensor for name, tensor in tensors}, folder / "vae.safetensors")
    write_control(folder / "canny.safetensors", tiny_base_file)
    shutil.copy(tiny_base_file, folder / "base.safetensors")
    return folder


def job(files, data, out, **given):
    options = {"steps": 2, "count": 2, "batch_size": 1, "base": str(files / "base.safetensors"), "data": str(data)}
    request = check_request([files / "canny.safetensors"], EvalOptions(**{**options, **given}), out=out, device="cpu")
    return open_job(request, "cpu")


def test_images_are_those_that_sampling_gives(files, canny_set, tmp_path):
    lora, vae = f"{files / 'style.safetensors'}:0.8", str(files / "vae.safetensors")
    ready = job(files, canny_set, tmp_path / "out", lora=(lora,), vae=vae)
    assert plan(ready)["lora"] == f"{files / 'style.safetensors'}, weight 0.8"
    assert plan(ready)["vae"] == vae
    report = evaluations.evaluate(ready)
    base = str(files / "base.safetensors")
    given = {"base": base, "lora": lora, "vae": vae, "seed": 0, "steps": 2, "device": "cpu"}
    prompt = report.pairs[0]["prompt"]
    source = canny_set / "source/0.png"
    (controlled,) = api.sample(prompt, cond=source, control=files / "canny.safetensors", **given)
    (alone,) = api.sample(prompt, size=(64, 64), **given)
    for subject, made in ((report.controls[0], controlled), (report.none, alone)):
        assert np.array_equal(images.read(tmp_path / "out" / subject.folder / "000000.png"), made.image)
    without = evaluations.evaluate(job(files, canny_set, tmp_path / "without"))
    for subject in (without.controls[0], without.none, without.reconstruction):
        other = next(s for s in (*report.controls, report.none, report.reconstruction) if s.name == subject.name)
        pair = [images.read(tmp_path / a / b.folder / "000000.png") for a, b in (("out", other), ("without", subject))]
        assert not np.array_equal(*pair), "the VAE also makes the reconstructions"
    page = (tmp_path / "out/report.html").read_text()
    assert f"VAE: {sha256(vae)[:10]}, LoRA: {sha256(files / 'style.safetensors')[:10]} at 0.8" in page
    assert "LoRA" not in (tmp_path / "without/report.html").read_text()


def test_they_are_part_of_the_protocol(files, canny_set, tmp_path):
    style, vae = str(files / "style.safetensors"), str(files / "vae.safetensors")
    plain = job(files, canny_set, tmp_path / "a").protocol.sampling
    assert "lora" not in plain.record()
    given = [{"lora": (style,)}, {"lora": (f"{style}:0.5",)}, {"vae": vae}, {"lora": (style,), "vae": vae}]
    found = [job(files, canny_set, tmp_path / "a", **one).protocol.sampling for one in given]
    assert len({one.hash for one in (plain, *found)}) == 5
    assert found[0].lora == (f"{sha256(style)}:1",)
    assert {one.base_sha256 for one in found} == {plain.base_sha256}
    shutil.copy(style, tmp_path / "copy.safetensors")
    again = job(files, canny_set, tmp_path / "a", lora=(f"{tmp_path / 'copy.safetensors'}:0.5",)).protocol.sampling
    assert again == found[1], "the file counts, not its name"
    two = [(style, f"{style}:0.5"), (f"{style}:0.5", style)]
    first, second = (job(files, canny_set, tmp_path / "a", lora=one).protocol.sampling for one in two)
    assert first.hash == second.hash
    assert replace(plain, lora=found[0].lora).hash == found[0].hash


def test_reports_are_compared_only_with_the_same(files, canny_set, tmp_path):
    out, style = tmp_path / "out", str(files / "style.safetensors")
    evaluations.evaluate(job(files, canny_set, out, lora=(style,)))
    assert read_report(out).protocol == job(files, canny_set, out, lora=(style,)).protocol
    with pytest.raises(InputError, match=r"another protocol .*lora: "):
        job(files, canny_set, out)


@pytest.mark.parametrize("word", ["lora", "vae"])
def test_missing_files_are_said_before_anything_is_loaded(files, canny_set, tmp_path, monkeypatch, word):
    monkeypatch.setattr("cn.eval.job.open_sampling_base", lambda *args, **more: pytest.fail("the base is loaded"))
    missing = str(tmp_path / "missing.safetensors")
    with pytest.raises(WeightsError, match=r"missing\.safetensors"):
        job(files, canny_set, tmp_path / "out", **{word: (missing,) if word == "lora" else missing})


def test_the_engine_is_chosen_as_for_sampling(files, canny_set, tmp_path, monkeypatch):
    """With graphs, the images are the same; each control has an engine of its own, whose memory goes with it."""
    plain = evaluations.evaluate(job(files, canny_set, tmp_path / "plain"))
    asked, capture = [], Capture()

    def engine(size, batch, options, device, warn):
        asked.append((len(size.controls), size.size, size.images, size.steps, batch, options.compile))
        return SamplingEngine(Graphs(warn, capture, lambda: 1.0))

    monkeypatch.setattr(evaluations, "make_engine", engine)
    graphed = evaluations.evaluate(job(files, canny_set, tmp_path / "graphed", compile=False))
    assert asked == [(0, (64, 64), 2, 2, 1, False), (1, (64, 64), 2, 2, 1, False)]
    assert capture.replayed > 0
    for a, b in zip((plain.none, *plain.controls), (graphed.none, *graphed.controls), strict=True):
        for number in range(2):
            made = [
                images.read(tmp_path / p / s.folder / f"{number:06d}.png") for p, s in (("plain", a), ("graphed", b))
            ]
            assert np.array_equal(*made)
