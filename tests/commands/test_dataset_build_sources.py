"""What `cn dataset build` makes of sources as people have them: odd names, odd files, sources that change."""

import json
import os
from pathlib import Path


from cn import app
from tests.helpers.photos import write_photos


def build(src: object, out: Path, *words: object, cond: str = "canny") -> int:
    words = ("dataset", "build", src, out, "--cond", cond, "--resolution", "64", "-q", *words)
    return app.run([str(word) for word in words])


def prompts(out: Path) -> list[str]:
    return sorted(json.loads(line)["prompt"] for line in (out / "prompt.json").read_text().splitlines())


def test_names_that_are_not_utf8_and_their_captions(tmp_path):
    photos = write_photos(tmp_path / "photos", 2)
    name = os.fsdecode(b"caf\xe9")
    sorted(photos.iterdir())[0].rename(photos / f"{name}.jpg")
    (photos / f"{name}.txt").write_text("a coffee")
    assert build(photos, tmp_path / "set") == 0
    assert "a coffee" in prompts(tmp_path / "set")
    assert build(photos, tmp_path / "set") == 0
