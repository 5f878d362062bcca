"""`--preview-every`: estimates are shown while sampling, and the image stays the same, byte for byte."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cn import images
from cn.errors import InputError
from cn.model.engine import SamplingEngine
from cn.model.generate import Request, Sampling, launch
from cn.model.graphs import Graphs
from cn.model.watch import LatentColors, Watch
from cn.sample import previews, run
from cn.sample.options import SpeedOptions
from tests.helpers.cli import cn
from tests.helpers.graphs import Capture
from tests.helpers.model_helpers import SHORT, tiny_base
from tests.helpers.sampling import write_condition, write_control


def sampled(base, watch, sampler="ddim", engine=None):
    settings = Sampling(64, 64, 4, sampler=sampler, eta=1.0 if sampler == "ddim" else 0.0)
    requests = [Request("a house", 3), Request("a tree", 4)]
    return list(launch(base, requests, settings, engine=engine or SamplingEngine(), watch=watch))


@pytest.fixture(scope="module")
def base():
    return tiny_base(SHORT)


@pytest.mark.parametrize("sampler", ["ddim", "euler", "euler-a", "dpm++2m"])
@pytest.mark.parametrize("graphed", [False, True])
def test_watching_changes_nothing(base, sampler, graphed):
    def engine():
        return SamplingEngine(Graphs(lambda message: None, Capture(), lambda: 1.0)) if graphed else None

    seen = []

    def spoil(latents):
        seen.append(latents.clone())
        latents.zero_()

    plain = sampled(base, None, sampler, engine())
    watched = sampled(base, Watch(2, spoil), sampler, engine())
    assert [a.tobytes() for a in plain] == [b.tobytes() for b in watched]
    assert [tuple(z.shape) for z in seen] == [(2, 4, 8, 8)] * 2, "of 4 steps, after the second and the last"


def test_the_last_estimate_is_the_image(base):
    """The last step of Euler's method ends at a clean image: what is estimated there is what is decoded."""
    seen = []
    made = sampled(base, Watch(4, seen.append), "euler")
    from cn.model.decoding import decode, to_pixels

    with torch.inference_mode():
        assert np.array_equal(to_pixels(decode(base.vae, seen[0])).numpy(), np.stack(made))


class LinearVAE(torch.nn.Module):
    """Decodes a cell into 8×8 pixels of one color, a linear function of its latents."""

    def __init__(self):
        super().__init__()
        self.config = SHORT.vae
        self.matrix = torch.nn.Parameter(
            torch.tensor([[0.1, -0.05, 0.02, 0.0], [0.0, 0.1, 0.1, 0.0], [0, 0, 0.0, 0.1]])
        )

    def decode(self, latents):
        colors = torch.einsum("rc,bchw->brhw", self.matrix, latents) + 0.2
        return colors.repeat_interleave(8, 2).repeat_interleave(8, 3)


def test_colors_are_those_of_a_linear_decoder():
    colors = LatentColors.fit(LinearVAE())
    assert torch.allclose(colors.weights[:4].T, LinearVAE().matrix.detach(), atol=1e-5)
    assert torch.allclose(colors.weights[4], torch.full((3,), 0.2), atol=1e-5)
    flat = torch.tensor([1.0, 2.0, -1.0, 0.5]).reshape(1, 4, 1, 1).expand(1, 4, 6, 8)
    expected = ((LinearVAE().decode(flat)[0, :, 0, 0] / 2 + 0.5) * 255).round().tolist()
    made = colors(flat.half())
    assert (made.shape, made.dtype) == ((1, 48, 64, 3), torch.uint8)
    assert np.abs(made.numpy().astype(int) - np.array(expected)).max() <= 1
    assert colors(torch.full((1, 4, 2, 2), torch.nan)).max() == 0, "what is not finite is black"


def test_the_fit_is_always_the_same_and_leaves_random_numbers_alone(base):
    before = torch.get_rng_state()
    first, second = LatentColors.fit(base.vae), LatentColors.fit(base.vae)
    assert torch.equal(first.weights, second.weights)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.fixture
def command(tiny_base_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def sample(*words):
        done = cn("sample", "--base", tiny_base_file, "--size", "64x64", "--steps", "4", "--quiet", *words)
        return done.returncode, done.stderr

    return sample


@pytest.fixture
def written(monkeypatch):
    """The previews that are written, as (path, the files there are then)."""
    found = []
    original = images.write

    def write(path, *rest, **more):
        original(path, *rest, **more)
        if str(path).endswith(previews.SUFFIX):
            found.append((str(path), sorted(p.name for p in Path(path).parent.iterdir())))

    monkeypatch.setattr(previews.images, "write", write)
    return found


def test_files_beside_the_images_which_go_once_these_are_there(command, written):
    words = ["--count", "2", "--out", "out"]
    assert command(*words)[0] == 0
    plain = [Path(f"out/base-seed{s}.png").read_bytes() for s in (0, 1)]
    for size in ("1", "2"):
        written.clear()
        code, err = command(*words, "--overwrite", "--preview-every", "2", "--batch-size", size)
        assert (code, err) == (0, "")
        names = [f"out/base-seed{s}.preview.jpg" for s in (0, 1)]
        assert [path for path, _ in written] == ([names[0]] * 2 + [names[1]] * 2 if size == "1" else names * 2)
        assert sorted(p.name for p in Path("out").iterdir()) == ["base-seed0.png", "base-seed1.png"]
        if size == "1":
            assert [Path(f"out/base-seed{s}.png").read_bytes() for s in (0, 1)] == plain


def test_previews_of_folders_and_sweeps(command, written, tiny_base_file, tmp_path):
    write_control(tmp_path / "run/control.safetensors", tiny_base_file, SHORT)
    (tmp_path / "maps").mkdir()
    write_condition(tmp_path / "maps/a.png")
    controlled = ["--cond", "maps", "--control", "run", "--preview-every", "4"]
    assert command(*controlled, "--out", "made") == (0, "")
    assert [path for path, _ in written] == ["made/a.preview.jpg"]
    assert command("--sweep", "scale=1,9", "--preview-every", "4", "--out", "grid")[0] == 0
    assert [path for path, _ in written[1:]] == ["grid/scale=1.preview.jpg", "grid/scale=9.preview.jpg"]
    assert not [*Path().rglob("*.preview.jpg")]


def test_after_a_failure_no_preview_is_left(command, written, monkeypatch):
    from cn.sample.pipeline import Sample

    def full(self, path):
        raise InputError("the disk is full", path=path)

    monkeypatch.setattr(Sample, "save", full)
    assert command("--preview-every", "1", "--out", "out")[0] == 3
    assert len(written) == 4
    assert [*Path("out").iterdir()] == []


def test_an_image_is_sampled_though_its_previews_cannot_be_written(command, monkeypatch):
    monkeypatch.setattr("cn.sample.previews.preview_path", lambda path: Path("missing/folder/a.preview.txt"))
    code, err = command("--preview-every", "1", "--out", "out")
    assert code == 0
    assert err.count("no more previews: missing/folder/a.preview.txt") == 1
    assert Path("out/base-seed0.png").is_file()


def test_a_file_that_is_there_is_no_preview(command, tmp_path):
    """It stays as it is."""
    theirs = tmp_path / "out/base-seed0.preview.jpg"
    theirs.parent.mkdir()
    theirs.write_bytes(b"theirs")
    code, err = command("--preview-every", "1", "--out", "out")
    assert (code, theirs.read_bytes()) == (0, b"theirs")
    assert err.count("no previews: out/base-seed0.preview.jpg is there already") == 1
    assert Path("out/base-seed0.png").is_file()


def test_what_a_person_is_shown(tiny_base_file, tmp_path, monkeypatch):
    from cn.sample.request import SampleRequest

    monkeypatch.chdir(tmp_path)
    shown = []
    request = SampleRequest(("a house",), size=(64, 64), steps=4, count=2, base=str(tiny_base_file))
    job = run.prepare([request], out="out", speed=SpeedOptions(preview_every=2, batch_size=2))
    assert len(list(run.sample(job, show=shown.append))) == 2
    assert [(one.shape, one.dtype) for one in shown] == [((64, 64, 3), np.uint8)] * 2, "the first of each batch"


def test_not_for_standard_output(command):
    code, err = command("--preview-every", "2", "--out", "-")
    assert (code, "beside the output" in err) == (2, True)
    assert command("--preview-every", "0")[0] == 2
