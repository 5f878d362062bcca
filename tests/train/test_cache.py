"""The cache of latents: the losses of encoding on the fly, and nothing stale, whatever people do to their datasets."""

import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from cn import images
from cn.checkpoints.read.load import open_base
from cn.data.pairs import open_pairs
from cn.errors import InputError, UsageError
from cn.train import latent_batches
from cn.train.cache import images as cached_images
from cn.train.cache import shards
from cn.train.cache.job import open_job
from cn.train.run import plan
from tests.conftest import write_pairs
from tests.helpers.latent_caches import PAPER, change, listing, losses, make, used
from tests.helpers.pair_layouts import LAYOUTS
from tests.helpers.training import Listener, begin, resume, same, train, weights


@pytest.fixture(scope="session")
def tiny_base_file(small_sd_file):
    return small_sd_file


@pytest.fixture
def pairs(tmp_path):
    return write_pairs(tmp_path / "pairs", 5)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch, tmp_path):
    """Two images, or two captions, in each file."""
    monkeypatch.setattr(shards, "MAX_ROWS", 2)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))


def test_rows_are_the_distribution_of_the_autoencoder(pairs, tiny_base_file):
    job, report = make(pairs, tiny_base_file)
    assert (report.encoded, report.broken, report.prompts) == (5, [], 6)
    base = open_base(tiny_base_file)
    latents = sorted(job.plan.folder.glob("latents-*"))
    assert [len(load_file(path)["mean"]) for path in latents] == [2, 2, 1]
    for number in range(5):
        row = {name: values[number % 2] for name, values in load_file(latents[number // 2]).items()}
        image = torch.from_numpy(images.read(pairs / f"target/{number}.png")).permute(2, 0, 1)[None] / 127.5 - 1
        mean, logvar = base.vae.quant(base.vae.encoder(image)).detach().chunk(2, dim=1)
        scale = base.config.vae.scale
        torch.testing.assert_close(row["mean"], mean[0] * scale, atol=1e-5, rtol=0)
        torch.testing.assert_close(row["std"], (logvar[0] / 2).exp() * scale, atol=1e-5, rtol=1e-4)
    texts = torch.cat([load_file(path)["text"] for path in sorted(job.plan.folder.glob("text-*"))])
    wanted = torch.cat([base.text.encode([prompt]) for prompt in ["", *(f"image {i}" for i in range(5))]]).detach()
    torch.testing.assert_close(texts, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("in_memory", [True, False])
def test_losses_are_those_of_encoding(in_memory, pairs, tiny_base_file, tmp_path, monkeypatch):
    """With dropped prompts, several epochs in new orders, another batch size than the cache's, and a resumed run."""
    make(pairs, tiny_base_file, batch_size=2)
    if not in_memory:
        monkeypatch.setattr(latent_batches, "CACHE_BYTES", 0)
    given = {**PAPER, "batch_size": 3, "accumulate": 2, "steps": 4, "prompt_drop": 0.4}
    without, cached = tmp_path / "without", tmp_path / "cached"
    train(begin(without, tiny_base_file, pairs, cache=False, **given))
    task = begin(cached, tiny_base_file, pairs, **{**given, "steps": 2})
    assert task.cache is not None
    assert "images are not decoded" in plan(task)["latents"]
    train(task)
    train(resume(cached, steps=4))
    assert len(set(losses(without))) == 4
    assert losses(cached) == pytest.approx(losses(without), abs=1e-5)


def test_neither_images_nor_the_encoder_are_needed(pairs, tiny_base_file, tmp_path):
    make(pairs, tiny_base_file)
    task = begin(tmp_path / "run", tiny_base_file, pairs, steps=3)
    assert all(parameter.is_meta for parameter in task.networks.base.vae.encoder.parameters())
    encoded = []
    task.networks.base.text.register_forward_hook(lambda module, args, output: encoded.append(args))
    shutil.rmtree(pairs / "target")
    train(task, workers=1)
    assert encoded == []
    assert len(losses(tmp_path / "run")) == 3


def test_an_unlocked_base_is_saved_whole(pairs, tiny_base_file, tmp_path):
    make(pairs, tiny_base_file)
    task = begin(tmp_path / "run", tiny_base_file, pairs, steps=1, unlock="decoder")
    assert task.cache is not None
    train(task)
    saved, before = open_base(tmp_path / "run/base.safetensors"), open_base(tiny_base_file)
    assert same(saved.vae.state_dict(), before.vae.state_dict())
    assert resume(tmp_path / "run", steps=2).cache is not None


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_cache_of_every_layout(layout, tiny_base_file, pair_set, tmp_path):
    data = LAYOUTS[layout](pair_set, tmp_path / layout)
    make(data, tiny_base_file)
    task = begin(tmp_path / "run", tiny_base_file, data, steps=2, **PAPER)
    assert task.cache is not None
    assert task.findings.warnings == ()
    train(task)
    train(begin(tmp_path / "plain", tiny_base_file, pair_set, steps=2, **PAPER))
    assert losses(tmp_path / "run") == pytest.approx(losses(tmp_path / "plain"), abs=1e-5)


def test_half_precision_is_half_the_size_and_near(pairs, tiny_base_file):
    full, half = make(pairs, tiny_base_file)[0].plan, make(pairs, tiny_base_file, precision="fp16")[0].plan
    assert half.total == full.total / 2
    one, other = (load_file(sorted(p.folder.glob("latents-*"))[0])["mean"] for p in (full, half))
    assert other.dtype == torch.float16
    torch.testing.assert_close(other.float(), one, atol=1e-2, rtol=1e-3)
    assert full.needed == sum(path.stat().st_size for path in full.folder.glob("*.safetensors")) - sum(
        8 + int.from_bytes(path.read_bytes()[:8], "little") for path in full.folder.glob("*.safetensors")
    )


def test_numbers_that_are_not_finite_are_refused(pairs, tiny_base_file, monkeypatch):
    """kohya: "NaN detected in latents", or black images at the end of a training."""
    job = open_job(open_pairs(pairs), tiny_base_file, size=64, precision="fp16", device="cpu")
    with torch.no_grad():
        job.base.vae.quant.bias[0] = 1e9
    with pytest.raises(
        InputError, match=r"target/0\.png: its numbers are too large for this precision; use --precision"
    ):
        job.run(batch_size=1, workers=0)
    with torch.no_grad():
        job.base.vae.quant.bias[0] = float("nan")
    with pytest.raises(InputError, match=r"target/0\.png: the base gives numbers for it that are not finite \(NaN\)"):
        job.run(batch_size=1, workers=0)
    assert not list(job.plan.folder.glob("*.safetensors"))


def test_broken_images_are_skipped_as_without_a_cache(pairs, tiny_base_file, tmp_path):
    (pairs / "target/2.png").write_bytes(b"not an image")
    _, report = make(pairs, tiny_base_file)
    assert len(report.broken) == 1
    assert f"{pairs}/target/2.png" in report.broken[0]
    found = {}
    for name, cache in (("cached", True), ("without", False)):
        listener = Listener()
        train(begin(tmp_path / name, tiny_base_file, pairs, steps=4, cache=cache, **PAPER), listener)
        found[name] = listener.warnings
    assert losses(tmp_path / "cached") == pytest.approx(losses(tmp_path / "without"), abs=1e-5)
    assert found["cached"] == found["without"]
    # Repaired, it is encoded, and nothing else.
    change(pairs / "target/1.png")
    shutil.copy(pairs / "target/1.png", pairs / "target/2.png")
    assert make(pairs, tiny_base_file)[1].encoded == 2


def test_images_of_another_frame_are_skipped_as_without_a_cache(pairs, tiny_base_file, tmp_path):
    images.write(pairs / "target/2.png", np.zeros((64, 96, 3), np.uint8))
    make(pairs, tiny_base_file)
    skipped = {}
    for name, cache in (("cached", True), ("without", False)):
        train(begin(tmp_path / name, tiny_base_file, pairs, steps=3, cache=cache))
        skipped[name] = (tmp_path / name / "warnings.txt").read_text()
    assert "source is 64×64 and target 96×64: not the same frame" in skipped["cached"]
    assert skipped["cached"] == skipped["without"]


def test_interrupted_anywhere_the_bytes_are_the_same(pairs, tiny_base_file, monkeypatch):
    job, _ = make(pairs, tiny_base_file)
    expected = listing(job.plan.folder)
    written = shards.write
    for last in range(6):
        shutil.rmtree(pairs / "cache")
        count = 0

        def write(*args, last=last):
            nonlocal count
            if count == last:
                raise KeyboardInterrupt
            count += 1
            written(*args)

        monkeypatch.setattr(shards, "write", write)
        with pytest.raises(KeyboardInterrupt):
            make(pairs, tiny_base_file)
        assert len(list(job.plan.folder.glob("*.safetensors"))) == last
        monkeypatch.setattr(shards, "write", written)
        _, report = make(pairs, tiny_base_file)
        assert report.encoded == max(0, 5 - 2 * last)
        assert listing(job.plan.folder) == expected


def test_an_incomplete_or_damaged_cache_is_not_used(pairs, tiny_base_file, tmp_path):
    job, _ = make(pairs, tiny_base_file)
    expected = listing(job.plan.folder)
    first = sorted(job.plan.folder.glob("latents-*"))[0]
    first.write_bytes(first.read_bytes()[:-1])
    taken, words = used(pairs, tiny_base_file, tmp_path / "run")
    assert not taken
    assert "2 of 5 images are not in it" in words
    assert make(pairs, tiny_base_file)[1].encoded == 2
    assert listing(job.plan.folder) == expected


def test_workers_and_threads_change_nothing(pairs, tiny_base_file, monkeypatch):
    job, _ = make(pairs, tiny_base_file)
    expected = listing(job.plan.folder)
    shutil.rmtree(pairs / "cache")
    job = open_job(open_pairs(pairs), tiny_base_file, size=64, precision="fp32", device="cpu")
    monkeypatch.setattr("cn.train.cache.job.IMAGES_PER_PROCESS", 2)
    job.run(batch_size=1, workers=2)
    assert listing(job.plan.folder) == expected


def test_an_image_of_several_pairs_is_encoded_once(pairs, tiny_base_file, tmp_path):
    text = (pairs / "prompt.json").read_text()
    (pairs / "prompt.json").write_text(text.replace("target/3.png", "target/2.png"))
    job, report = make(pairs, tiny_base_file)
    assert (report.encoded, len(job.plan.images)) == (4, 4)
    assert used(pairs, tiny_base_file, tmp_path / "run") == (True, "")


def test_a_full_disk_is_said_before_anything_is_written(pairs, tiny_base_file, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: shutil._ntuple_diskusage(10, 9, 1))
    with pytest.raises(InputError, match=r"1 bytes free, but the cache takes"):
        open_job(open_pairs(pairs), tiny_base_file, size=64, precision="fp32", device="cpu")
    assert not (pairs / "cache").exists()


def test_what_cannot_be_cached_is_refused(pairs, tiny_base_file, monkeypatch):
    with pytest.raises(UsageError, match="--size must be a multiple of 64"):
        make(pairs, tiny_base_file, size=60)
    text = (pairs / "prompt.json").read_text()
    (pairs / "prompt.json").write_text(text.replace("target/1.png", "target/none.png"))
    assert len(make(pairs, tiny_base_file)[0].plan.images) == 4  # a pair with a problem is none
    monkeypatch.setattr(cached_images, "read_bytes", lambda path: b"")
    shutil.rmtree(pairs / "cache")
    with pytest.raises(InputError, match="4 of 4 images cannot be read; the first"):
        make(pairs, tiny_base_file)


def test_only_latents(pairs, tiny_base_file, tmp_path):
    job, report = make(pairs, tiny_base_file, text=False)
    assert report.prompts == 0
    assert not list(job.plan.folder.glob("text-*"))
    train(begin(tmp_path / "without", tiny_base_file, pairs, steps=2, cache=False, **PAPER))
    train(begin(tmp_path / "cached", tiny_base_file, pairs, steps=2, **PAPER))
    assert losses(tmp_path / "cached") == pytest.approx(losses(tmp_path / "without"), abs=1e-5)


def test_the_result_of_a_training_does_not_depend_on_workers(pairs, tiny_base_file, tmp_path):
    make(pairs, tiny_base_file)
    for name, workers in (("inline", 0), ("processes", 2)):
        train(begin(tmp_path / name, tiny_base_file, pairs, steps=2), workers=workers)
    assert same(weights(tmp_path / "inline"), weights(tmp_path / "processes"))
