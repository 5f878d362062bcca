"""What people do to their datasets and settings after they made a cache: nothing stale is ever used."""

import os
import shutil

import pytest

from cn import app
from cn.train.cache import shards
from tests.conftest import write_pairs
from tests.helpers.latent_caches import PAPER, change, listing, losses, make, used
from tests.helpers.training import begin, train


@pytest.fixture
def pairs(tmp_path):
    return write_pairs(tmp_path / "pairs", 5)


@pytest.fixture(autouse=True)
def small_shards(monkeypatch, tmp_path):
    """Two images, or two captions, in each file."""
    monkeypatch.setattr(shards, "MAX_ROWS", 2)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "user-cache"))


def test_an_edited_image_makes_the_cache_stale_until_it_is_updated(pairs, tiny_base_file, tmp_path):
    """kohya: the latents of an image that is edited stay those of the old one, as long as its size is the same."""
    job, _ = make(pairs, tiny_base_file)
    change(pairs / "target/3.png")
    taken, words = used(pairs, tiny_base_file, tmp_path / "run")
    assert not taken
    assert f"1 of 5 images changed or were copied since it was made (first: {pairs}/target/3.png); not used" in words
    assert f"update it with: cn dataset cache {pairs} --base {tiny_base_file} --size 64" in words
    _, report = make(pairs, tiny_base_file)
    assert (report.encoded, report.copied) == (1, 1)
    assert used(pairs, tiny_base_file, tmp_path / "run") == (True, "")
    updated = listing(job.plan.folder)
    shutil.rmtree(job.plan.folder)
    make(pairs, tiny_base_file)
    assert listing(job.plan.folder) == updated


def test_a_changed_order_or_more_images_encode_only_what_is_new(pairs, tiny_base_file, tmp_path):
    """kohya: shuffling the set encodes everything again."""
    job, _ = make(pairs, tiny_base_file)
    lines = (pairs / "prompt.json").read_text().splitlines()
    shutil.copy(pairs / "target/0.png", pairs / "target/9.png")
    change(pairs / "target/9.png")
    (pairs / "prompt.json").write_text("\n".join([lines[0].replace("target/0", "target/9"), *reversed(lines)]))
    taken, words = used(pairs, tiny_base_file, tmp_path / "run")
    assert not taken
    assert f"1 of 6 images are not in it (first: {pairs}/target/9.png)" in words
    _, report = make(pairs, tiny_base_file)
    assert (report.encoded, report.copied, report.prompts) == (1, 5, 0)
    assert used(pairs, tiny_base_file, tmp_path / "run") == (True, "")
    assert sum(len(shards.read_entries(path)) for path in job.plan.folder.glob("latents-*")) == 6
    # Images that are gone are no reason to encode.
    (pairs / "prompt.json").write_text("\n".join(lines[:2]))
    assert used(pairs, tiny_base_file, tmp_path / "run") == (True, "")


def test_copied_images_are_compared_by_content(pairs, tiny_base_file, tmp_path, monkeypatch):
    """A copy has other times. A few are compared when a run starts, many by `cn dataset cache`, which encodes none."""
    make(pairs, tiny_base_file)
    for number in (1, 2):
        os.utime(pairs / f"target/{number}.png", ns=(1, 1))
    assert used(pairs, tiny_base_file, tmp_path / "run") == (True, "")
    monkeypatch.setattr("cn.train.cache.find.MAX_HASHED", 1)
    taken, words = used(pairs, tiny_base_file, tmp_path / "run")
    assert not taken
    assert "1 of 5 images changed or were copied" in words
    _, report = make(pairs, tiny_base_file)
    assert (report.encoded, report.copied) == (0, 4)
    assert used(pairs, tiny_base_file, tmp_path / "run") == (True, "")


def test_changed_captions_are_encoded(pairs, tiny_base_file, tmp_path):
    """kohya: a changed caption trains with the embedding of the old one."""
    make(pairs, tiny_base_file)
    text = (pairs / "prompt.json").read_text().replace("image 2", "a red cat").replace("image 3", "a blue dog")
    (pairs / "prompt.json").write_text(text)
    train(begin(tmp_path / "without", tiny_base_file, pairs, steps=5, prompt_drop=0.0, **PAPER, cache=False))
    task = begin(tmp_path / "cached", tiny_base_file, pairs, steps=5, prompt_drop=0.0, **PAPER)
    assert task.cache is not None
    train(task)
    assert losses(tmp_path / "cached") == pytest.approx(losses(tmp_path / "without"), abs=1e-5)
    _, report = make(pairs, tiny_base_file)
    assert (report.encoded, report.prompts) == (0, 2)


def test_another_base_size_or_precision_is_named_and_not_used(pairs, tiny_base_file, tmp_path):
    """kohya: the cache is keyed by neither, and a run at another size, or with another VAE, trains on wrong latents."""
    make(pairs, tiny_base_file)
    taken, words = used(pairs, tiny_base_file, tmp_path / "run", size=128)
    assert not taken
    assert "no cache fits this run" in words
    assert "is of 64×64" in words
    assert f"make one with: cn dataset cache {pairs} --base {tiny_base_file} --size 128" in words
    other = tmp_path / "other.safetensors"
    assert app.run(["convert", str(tiny_base_file), str(other), "--to", "ldm", "-q"]) == 0
    taken, words = used(pairs, other, tmp_path / "run")
    assert not taken
    assert "is of another base" in words
    shutil.rmtree(pairs / "cache")
    make(pairs, tiny_base_file, precision="bf16")
    taken, words = used(pairs, tiny_base_file, tmp_path / "run")
    assert not taken
    assert "is in bf16, and this run computes in fp32" in words
    assert used(pairs, tiny_base_file, tmp_path / "run", precision="bf16") == (True, "")
    make(pairs, tiny_base_file)
    assert begin(tmp_path / "run", tiny_base_file, pairs, precision="bf16").cache.used[0].key.precision == "fp32"
