"""Captions, names, files and duplicates."""

import io
import json
import unicodedata
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from cn import images
from cn.data.lint.captions import CaptionTally, caption_faults, clean
from cn.data.lint.lint import Lint, LintSettings, chosen_rules
from cn.data.lint.names import NameIndex, other_case
from cn.data.lint.near import NearIndex
from cn.data.near_duplicates import Fingerprint, fingerprint
from cn.errors import InputError, UsageError
from cn.model.tokens import token_count
from tests.data.lint.photographs import NAMES, photograph


def rules_of(caption: str) -> list[str]:
    return [rule for rule, _ in caption_faults(caption, token_count)]


def test_captions_one_by_one():
    assert rules_of("a cat on a mat") == []
    assert rules_of("") == rules_of(" \n") == ["empty-caption"]
    assert rules_of("a cat ") == rules_of("a\ncat") == rules_of("\ta cat") == ["caption-spaces"]
    assert clean(" a\n cat ") == "a cat"
    assert clean(" a  cat ") == "a  cat", "spaces within a line are a choice"


def test_tokens_are_counted_not_words():
    """75 words of one token each fit; so does what has many characters; 40 long words do not."""
    assert rules_of(" ".join(["cat"] * 75)) == []
    assert rules_of(" ".join(["cat"] * 76)) == ["long-caption"]
    assert rules_of(" ".join(["photograph"] * 75)) == []
    assert rules_of(" ".join(["Rhabarberbarbara"] * 30)) == ["long-caption"]
    assert "76 tokens" in caption_faults(" ".join(["cat"] * 76), token_count)[0][1]


def test_short_captions_need_no_tokenizer():
    def count(caption: str) -> int:
        raise AssertionError(caption)

    assert caption_faults("a" * 75, count) == []


def test_captions_that_are_repeated():
    tally = CaptionTally()
    for number in range(30):
        tally.add("Photo" if number % 7 == 0 else f"caption {number}", f"f:{number + 1}")
    for number in range(3):
        tally.add("three times is no fault", f"f:{40 + number}")
    ((where, also, text),) = tally.repeated()
    assert (where, also) == ("f:1", ("f:8", "f:15", "f:22", "f:29"))
    assert "“Photo” is the caption of 5 of 33 images" in text


@pytest.mark.parametrize(("share", "told"), [(24, True), (10, False)])
def test_a_beginning_that_most_captions_have(share, told):
    tally = CaptionTally()
    for number in range(30):
        tally.add(f"a photo of a thing {number}" if number < share else f"thing {number}, indoors", f"f:{number}")
    text = tally.template()
    assert (text is not None) == told
    assert not told or "80 % of the captions begin with “a photo of a thing”" in text


def test_names_that_are_one_on_other_systems(tmp_path):
    index = NameIndex()
    composed = unicodedata.normalize("NFC", "é.png")
    assert index.clash("a/x.png") is None
    assert index.clash("a/x.png") is None, "the same name again is no clash"
    assert index.clash("a/X.png") == "a/x.png"
    assert index.clash("A/x.png") == "a/x.png"
    assert index.clash(composed) is None
    assert index.clash(unicodedata.normalize("NFD", composed)) == composed
    (tmp_path / "Photo.PNG").touch()
    assert other_case(str(tmp_path / "photo.png")) == "Photo.PNG"
    assert other_case(str(tmp_path / "other.png")) is None


def shot(name: str, size: int = 160) -> np.ndarray:
    image = photograph(name)
    return np.asarray(cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA), np.uint8)


def mark(image: np.ndarray) -> Fingerprint:
    return fingerprint(images.encode(image), image)


def test_the_same_image_resized_compressed_or_brightened_is_near_and_others_are_not():
    index = NearIndex()
    for number, name in enumerate(NAMES):
        assert index.near(mark(shot(name))) is None
        index.add(number, mark(shot(name)))
    for number, name in enumerate(NAMES):
        image = shot(name)
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "JPEG", quality=50)
        changed = [
            shot(name, 97),
            images.decode(buffer.getvalue(), "jpeg"),
            np.clip(image * 1.05, 0, 255).astype(np.uint8),
        ]
        assert [index.near(mark(one)) for one in changed] == [number] * 3
        assert index.same(mark(image)) == number
        assert index.same(mark(changed[0])) is None
        assert index.near(mark(np.ascontiguousarray(image[:, ::-1]))) != number


def test_many_frames_of_one_shot_cost_no_more_than_others():
    """They are near the first, which is the only one that is kept."""
    index, rng = NearIndex(), np.random.default_rng(0)
    image = shot("astronaut").astype(float)
    for number in range(200):
        frame = mark(np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8))
        near = index.near(frame)
        assert near == (None if number == 0 else 0)
        index.add(number, frame, distinct=near is None)
    assert index._numbers == [0]


def dataset(root: Path, count: int, start: int = 0) -> Path:
    """Pairs of photographs and of bright discs as maps of no stated kind."""
    lines = []
    for number in range(start, start + count):
        map = np.zeros((160, 160, 3), np.uint8)
        cv2.circle(map, (80, 80), 20 + number, (255, 0, 0), 3)
        names = {"source": f"source/{number}.png", "target": f"target/{number}.png"}
        for name, pixels in zip(names.values(), (map, shot(NAMES[number])), strict=True):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            images.write(root / name, pixels)
        lines.append(json.dumps({**names, "prompt": f"photograph {number}"}))
    (root / "prompt.json").write_text("\n".join(lines) + "\n")
    return root


def found(root: Path, **settings) -> list[tuple[str, str]]:
    """(rule, line) of each finding."""
    run = Lint.open(root, LintSettings(**settings), token_count)
    return [(finding.rule, finding.where.rpartition(":")[2]) for finding in run.findings()]


def test_a_dataset_of_an_unknown_kind_is_checked_as_far_as_that_goes(tmp_path):
    run = Lint.open(dataset(tmp_path, 4), LintSettings())
    assert list(run.findings()) == []
    assert "give --cond KIND" in run.notes()[0]


def test_images_of_the_validation_set_are_found_in_the_training_set(tmp_path):
    train, validation = dataset(tmp_path / "train", 5), dataset(tmp_path / "validation", 3, start=3)
    images.write(validation / "target/4.png", shot("gravel", 90))
    expected = [("leak", "4")]
    if NAMES[4] == "gravel":
        expected.append(("leak", "5"))
    assert found(train, against=str(validation)) == expected
    finding = next(Lint.open(train, LintSettings(against=str(validation))).findings())
    assert f"is the same image as {validation}/target/3.png ({validation}/prompt.json:1)" in finding.text


def test_the_same_pair_and_the_same_image_again(tmp_path):
    root = dataset(tmp_path, 3)
    lines = (root / "prompt.json").read_text().splitlines()
    again = json.loads(lines[1])
    (root / "target/copy.png").write_bytes((root / "target/1.png").read_bytes())
    other_map = {**again, "source": "source/2.png"}
    lines += [lines[0], json.dumps({**again, "target": "target/copy.png"}), json.dumps(other_map)]
    (root / "prompt.json").write_text("\n".join(lines))
    assert found(root) == [("duplicate", "4"), ("duplicate", "5")], "several maps of one image are no fault"


def test_files_that_are_missing_or_spelled_in_another_case(tmp_path):
    root = dataset(tmp_path, 3)
    (root / "target/1.png").rename(root / "target/1.PNG")
    (root / "source/2.png").unlink()
    findings = list(Lint.open(root, LintSettings()).findings())
    assert [(f.rule, f.where.rpartition(":")[2]) for f in findings] == [("missing", "2"), ("missing", "3")]
    assert "there is 1.PNG, in another case" in findings[0].text


def test_windows_separators_are_followed(tmp_path):
    root = dataset(tmp_path, 3)
    text = (root / "prompt.json").read_text().replace("target/", "target\\\\")
    (root / "prompt.json").write_text(text)
    assert found(root) == []


def test_the_limit_of_small_images_is_half_of_the_sets_own_or_given(tmp_path):
    root = dataset(tmp_path, 5)
    for name in ("source/3.png", "target/3.png"):
        images.write(root / name, images.resize(images.read(root / name), (79, 79)))
    assert found(root) == [("too-small", "4")]
    assert found(root, min_side=70) == []
    assert found(root, min_side=300) == [("too-small", str(number)) for number in range(1, 6)]
    (root / "dataset.json").write_text('{"resolution": 128}')
    assert found(root) == []


def test_exif_rotation_of_an_image_whose_map_was_made_without_it(tmp_path):
    root = dataset(tmp_path, 2)
    image = shot(NAMES[1])[:100]
    exif = Image.Exif()
    exif[274] = 6
    Image.fromarray(image).save(root / "target/turned.jpg", exif=exif)
    images.write(root / "source/turned.png", image)
    line = json.dumps({"source": "source/turned.png", "target": "target/turned.jpg", "prompt": "turned"})
    (root / "prompt.json").write_text((root / "prompt.json").read_text() + line)
    assert ("exif-rotation", "3") in found(root, rules=frozenset({"exif-rotation", "frame"}))


@pytest.mark.parametrize("mode", ["CMYK", "I;16", "RGBA"])
def test_formats_that_tools_read_differently(tmp_path, mode):
    root = dataset(tmp_path, 2)
    image = Image.fromarray(shot(NAMES[0]))
    if mode == "I;16":
        image = Image.fromarray(np.asarray(image)[..., 0].astype(np.uint16) * 257)
    elif mode == "RGBA":
        image.putalpha(200)
    else:
        image = image.convert(mode)
    image.save(root / "target/0.tif")
    (root / "prompt.json").write_text((root / "prompt.json").read_text().replace("target/0.png", "target/0.tif"))
    assert found(root) == [("image-format", "1")]


def test_an_opaque_alpha_channel_is_no_fault(tmp_path):
    root = dataset(tmp_path, 2)
    image = Image.fromarray(shot(NAMES[0]))
    image.putalpha(255)
    image.save(root / "target/0.png")
    assert found(root) == []


def test_all_rules_can_be_chosen_or_ignored(tmp_path):
    assert chosen_rules(("blank", "dark")) == {"blank", "dark"}
    assert "blank" not in chosen_rules((), ("blank",))
    with pytest.raises(UsageError, match="no rule 'blnk'"):
        chosen_rules(("blnk",))
    (tmp_path / "prompt.json").write_text("")
    with pytest.raises(InputError, match="no pairs"):
        Lint.open(tmp_path, LintSettings())


def test_workers_do_not_change_what_is_said(tmp_path):
    root = dataset(tmp_path, 14)
    for number in range(14):
        images.write(root / f"source/{number}.png", np.zeros((160, 160, 3), np.uint8))
    lines = (root / "prompt.json").read_text().splitlines()
    (root / "prompt.json").write_text("\n".join(lines + [line.replace("target/", "./target/") for line in lines] * 2))
    one = [str(finding) for finding in Lint.open(root, LintSettings(workers=1)).findings()]
    two = [str(finding) for finding in Lint.open(root, LintSettings(workers=2)).findings()]
    assert one == two
    assert len(one) == 14 + 28
