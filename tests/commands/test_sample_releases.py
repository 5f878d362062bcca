"""`cn sample --from` with an image of weights that came with an earlier version."""

import datetime
import json
from pathlib import Path

import pytest

from cn import images
from cn.images import png_text
from cn.sample.png_metadata import TEXT_KEY
from cn.weights import releases
from cn.weights.releases import Release
from tests.helpers.sampling import CONTROLLED

OLD = {"base": "ab" * 32, "canny": "cd" * 32, "depth": "ef" * 32}


@pytest.fixture
def earlier(monkeypatch: pytest.MonkeyPatch) -> None:
    past = (Release(datetime.date(2025, 1, 2), "0.0.9", OLD),)
    monkeypatch.setattr(releases, "releases", lambda: past)


def aged(name: str, **changed: str) -> str:
    """The image with other hashes in its metadata."""
    with open(name, "rb") as file:
        text = png_text.read_text(file)
    record = json.loads(text[TEXT_KEY])
    record["sha256"] |= changed
    images.write("old.png", images.read(name), {TEXT_KEY: json.dumps(record)})
    return "old.png"


def test_the_release_is_named(sample, earlier):
    assert sample(*CONTROLLED, "--out", "out/a.png")[0] == 0
    old = aged("out/a.png", base=OLD["base"], run=OLD["canny"])
    code, _, err = sample("--from", old, "--out", "out/b.png", base=None, quick=False)
    assert code == 4
    assert (
        "old.png: was sampled with base.safetensors and canny.safetensors of the bundled weights of 2025-01-02, which "
        "are no longer included: cn 0.0.9 came with them; for the same image, give their paths with --base and "
        "--control, for one with the present weights --base base --control canny"
    ) in " ".join(err.split())
    assert not Path("out/b.png").exists()


def test_other_weights_can_be_given(sample, earlier):
    """Only for what is missing: one that is given is taken, with the usual warning."""
    assert sample(*CONTROLLED, "--out", "out/a.png")[0] == 0
    old = aged("out/a.png", run=OLD["canny"])
    code, _, err = sample("--from", old, "--out", "out/b.png", base="base.safetensors", quick=False)
    assert (code, "give their paths with --control, for one" in err) == (4, True)
    code, _, err = sample("--from", old, "--control", "run", "--out", "out/b.png", base=None, quick=False)
    assert (code, "was sampled with other weights: the image will differ" in err) == (0, True)


def test_weights_of_a_release_that_are_still_there_are_used(sample, monkeypatch, tiny_base_file):
    assert sample("--out", "out/a.png")[0] == 0
    with open("out/a.png", "rb") as file:
        stated = json.loads(png_text.read_text(file)[TEXT_KEY])["sha256"]
    monkeypatch.setattr(releases, "releases", lambda: (Release(datetime.date(2025, 1, 2), "0.0.9", stated),))
    code, _, err = sample("--from", "out/a.png", "--out", "out/b.png", base=None, quick=False)
    assert (code, "warning" in err) == (0, False)
    assert Path("out/a.png").read_bytes() == Path("out/b.png").read_bytes()


def test_the_weights_of_the_first_version_are_known():
    hashes = [sha256 for release in releases.releases() for sha256 in release.files.values()]
    assert len(hashes) == len(set(hashes)) >= 4
    assert all(len(sha256) == 64 and set(sha256) <= set("0123456789abcdef") for sha256 in hashes)
    found = releases.find("e5eb2ed7fcd8833055b840b03511c9224a705ce226077a8707c0d4cb482ba14f")
    assert found is not None
    release, name = found
    assert (release.date, release.included, name) == (datetime.date(2026, 11, 23), "0.1.0", "canny")
    assert releases.find("00" * 32) is None
