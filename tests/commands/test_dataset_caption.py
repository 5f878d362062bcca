"""`cn dataset caption` through the command line, with tiny networks of random weights."""

import json
import os
import signal
import tarfile
from pathlib import Path

import fsspec
import numpy as np
import pytest
from PIL import Image

from cn.caption import create
from tests.helpers.cli import cn as run_cn
from tests.helpers.cli import start_cn
from tests.helpers.tiny_captioners import blip_folder, coca_folder


@pytest.fixture(scope="module")
def blip(tmp_path_factory) -> Path:
    return blip_folder(tmp_path_factory.mktemp("weights") / "blip", seed=3)


@pytest.fixture(scope="module")
def coca(tmp_path_factory) -> Path:
    return coca_folder(tmp_path_factory.mktemp("weights") / "coca", seed=5)


def photograph(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (24 + number, 40, 3), dtype=np.uint8)


def folder_of(path: Path, count: int = 5) -> Path:
    """a0.png … and, in a sub-folder, the last one."""
    (path / "more").mkdir(parents=True)
    for number in range(count):
        place = path / "more" if number == count - 1 else path
        Image.fromarray(photograph(number)).save(place / f"a{number}.png")
    return path


def texts(folder: Path, suffix: str = ".txt") -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text(encoding="utf-8") for p in sorted(folder.rglob(f"*{suffix}"))}


def caption(src: str | Path, weights: Path, *words: str | Path):
    return run_cn("dataset", "caption", src, "--weights", weights, "--device", "cpu", "--max-length", "8", *words)


@pytest.mark.parametrize("network", ["blip", "coca"])
def test_a_folder_gets_a_text_beside_each_image(tmp_path, network, request):
    weights = request.getfixturevalue(network)
    done = caption(folder_of(tmp_path / "in"), weights)
    assert (done.returncode, done.stdout.splitlines()) == (
        0,
        [str(tmp_path / "in" / name) for name in ("a0.txt", "a1.txt", "a2.txt", "a3.txt", "more/a4.txt")],
    )
    assert "5 captioned" in done.stderr
    found = texts(tmp_path / "in")
    assert all(text.endswith("\n") and len(text.splitlines()) == 1 and text.strip() for text in found.values())
    settings = create.CaptionSettings(max_length=8)
    again = create.caption_image(photograph(2), weights=weights, device="cpu", settings=settings)
    assert found["a2.txt"] == again + "\n"
    # Once more: there is nothing to do, and no network is needed for that.
    done = caption(tmp_path / "in", tmp_path / "gone")
    assert (done.returncode, done.stdout) == (0, "")
    assert "0 captioned, 5 had a caption" in done.stderr
    assert texts(tmp_path / "in") == found


def test_what_is_there_stays_and_what_is_empty_is_filled(tmp_path, blip):
    folder = folder_of(tmp_path / "in")
    (folder / "a0.txt").write_text("mine")
    (folder / "a1.caption").write_text("mine too\n")
    (folder / "a2.txt").write_text(" \n")
    (folder / "a3.txt").write_bytes(b"\xff\xfea\0")
    done = caption(folder, blip)
    assert done.returncode == 5
    assert "a3.txt: is UTF-16" in done.stderr
    assert "2 captioned, 2 had a caption, 1 failed; 1 caption files were empty" in done.stderr
    assert "1 of 5 images failed; the others are done" in done.stderr
    assert (folder / "a0.txt").read_text() == "mine"
    assert (folder / "a1.caption").read_text() == "mine too\n"
    assert not (folder / "a1.txt").exists()
    assert len((folder / "a2.txt").read_text()) > 3
    assert (folder / "a3.txt").read_bytes() == b"\xff\xfea\0"
    done = caption(folder, blip, "--overwrite")
    assert (folder / "a0.txt").read_text() != "mine"
    assert (folder / "a1.caption").read_text() not in ("mine too\n", "")
    assert not (folder / "a1.txt").exists(), "the file that is read is the one that is written"


def test_neither_batch_nor_order_nor_neighbors_change_a_caption(tmp_path, blip):
    for name, words in {"one": ["--batch-size", "1"], "five": ["--batch-size", "5", "--workers", "3"]}.items():
        folder = folder_of(tmp_path / name)
        if name == "five":
            (folder / "a1.txt").write_text("kept")
        assert caption(folder, blip, *words, "--decoding", "nucleus").returncode == 0
    one, five = texts(tmp_path / "one"), texts(tmp_path / "five")
    assert five.pop("a1.txt") == "kept"
    one.pop("a1.txt")
    assert one == five
    assert len(set(one.values())) > 1


def test_broken_images_are_named_and_the_others_done(tmp_path, blip):
    folder = folder_of(tmp_path / "in")
    (folder / "a1.png").write_bytes((folder / "a1.png").read_bytes()[:60])
    (folder / "a2.png").write_bytes(b"no image")
    done = caption(folder, blip, "--json")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 5
    assert [record["status"] for record in records] == ["written", "failed", "failed", "written", "written"]
    assert records[1]["path"] == str(folder / "a1.png")
    assert records[0]["caption"] + "\n" == (folder / "a0.txt").read_text()
    assert records[0]["output"] == str(folder / "a0.txt")
    assert "a1.png" in done.stderr
    assert "a2.png" in done.stderr
    assert not (folder / "a1.txt").exists()


def test_all_kinds_of_images_are_captioned(tmp_path, blip):
    (tmp_path / "in").mkdir()
    rgb = Image.fromarray(photograph(0))
    for mode in ("L", "LA", "RGBA", "P", "CMYK", "I;16", "1"):
        image = rgb.convert("L").convert("I").convert("I;16") if mode == "I;16" else rgb.convert(mode)
        image.save(tmp_path / "in" / f"{mode.replace(';', '')}.{'tif' if mode == 'CMYK' else 'png'}")
    done = caption(tmp_path / "in", blip)
    assert done.returncode == 0, done.stderr
    assert len(texts(tmp_path / "in")) == 7


def test_images_of_one_name_get_captions_of_their_own(tmp_path, blip):
    (tmp_path / "in").mkdir()
    Image.fromarray(photograph(0)).save(tmp_path / "in" / "a.png")
    Image.fromarray(photograph(9)).save(tmp_path / "in" / "a.jpg")
    done = caption(tmp_path / "in", blip)
    assert sorted(texts(tmp_path / "in")) == ["a.jpg.txt", "a.png.txt"]
    assert "2 images share their name" in done.stderr
    assert "2 had a caption" in caption(tmp_path / "in", blip).stderr


def test_prefix_suffix_and_extension(tmp_path, blip):
    plain, more = folder_of(tmp_path / "plain"), folder_of(tmp_path / "more")
    caption(plain, blip)
    caption(more, blip, "--prefix", "photo of sks,", "--suffix", ", 35mm", "--extension", ".caption", "-q")
    for name, text in texts(plain).items():
        words = text.removesuffix("\n")
        assert texts(more, ".caption")[name.replace(".txt", ".caption")] == f"photo of sks, {words}, 35mm\n"


def test_images_in_object_storage_get_captions_there(tmp_path, blip):
    memory = fsspec.filesystem("memory")
    folder = folder_of(tmp_path / "in", 2)
    for name in ("a0.png", "more/a1.png"):
        memory.pipe(f"/captions/{name}", (folder / name).read_bytes())
    try:
        done = caption("memory://captions", blip)
        assert (done.returncode, done.stdout.splitlines()) == (
            0,
            ["memory://captions/a0.txt", "memory://captions/more/a1.txt"],
        ), done.stderr
        assert caption(folder, blip).returncode == 0
        for name in ("a0.txt", "more/a1.txt"):
            assert memory.cat(f"/captions/{name}") == (folder / name).read_bytes()
    finally:
        memory.rm("/captions", recursive=True)


PROMPTS = (
    '{"source": "source/0.png", "target": "target/a0.png", "prompt": ""}\r\n'
    '{ "target":"target/a1.png","prompt" : "mine \\u00e9", "source": "source/1.png", "score": 1.50}\n'
    "\n"
    '{"source": "source/2.png", "target": "target\\\\a2.png", "extra": {"prompt": ""}, "n": 1e5}\n'
    '{"source": "source/3.png", "target": "target/a3.png", "prompt": null}'
)


def dataset(path: Path, text: str = PROMPTS) -> Path:
    (path / "target").mkdir(parents=True)
    for number in range(4):
        Image.fromarray(photograph(number)).save(path / "target" / f"a{number}.png")
    (path / "prompt.json").write_bytes(text.encode())
    return path


def expected_prompts(weights: Path) -> list[str]:
    settings = create.CaptionSettings(max_length=8)
    return [
        json.dumps(
            create.caption_image(photograph(n), weights=weights, device="cpu", settings=settings), ensure_ascii=False
        )
        for n in range(4)
    ]


def filled(words: list[str]) -> bytes:
    return (
        '{"source": "source/0.png", "target": "target/a0.png", "prompt": ' + words[0] + "}\r\n"
        '{ "target":"target/a1.png","prompt" : "mine \\u00e9", "source": "source/1.png", "score": 1.50}\n'
        "\n"
        '{"source": "source/2.png", "target": "target\\\\a2.png", "extra": {"prompt": ""}, "n": 1e5, "prompt": '
        + words[2]
        + '}\n{"source": "source/3.png", "target": "target/a3.png", "prompt": '
        + words[3]
        + "}"
    ).encode()


def test_empty_prompts_are_filled_and_every_other_byte_stays(tmp_path, blip):
    data = dataset(tmp_path / "set")
    done = caption(data, blip)
    assert (done.returncode, done.stdout) == (0, f"{data / 'prompt.json'}\n"), done.stderr
    assert "3 captioned, 1 had a caption" in done.stderr
    assert (data / "prompt.json").read_bytes() == filled(expected_prompts(blip))
    assert sorted(p.name for p in data.iterdir()) == ["prompt.json", "target"]
    done = caption(data, tmp_path / "gone")
    assert "0 captioned, 4 had a caption" in done.stderr


def test_an_array_is_filled_in_place_too(tmp_path, blip):
    array = '[\n {"target": "target/a0.png", "prompt": ""},\n {"target": "target/a1.png", "prompt": "x"}\n]\n'
    data = dataset(tmp_path / "set", array)
    assert caption(data, blip).returncode == 0
    new = array.replace('"prompt": ""', f'"prompt": {expected_prompts(blip)[0]}')
    assert (data / "prompt.json").read_text(encoding="utf-8") == new


def test_overwriting_prompts_keeps_the_old_file(tmp_path, blip):
    data = dataset(tmp_path / "set")
    assert caption(data, blip, "--overwrite").returncode == 0
    assert (data / "prompt.json.bak").read_bytes() == PROMPTS.encode()
    mine = filled(expected_prompts(blip)).replace(b'"mine \\u00e9"', expected_prompts(blip)[1].encode())
    assert (data / "prompt.json").read_bytes() == mine


def test_broken_lines_and_missing_images_stay_and_are_named(tmp_path, blip):
    text = PROMPTS.replace("a3.png", "gone.png") + '\n{"target": "target/a1.png", "prompt": 5}\n{"target": \n'
    data = dataset(tmp_path / "set", text)
    done = caption(data, blip)
    assert done.returncode == 5
    assert "gone.png: no such file" in done.stderr
    assert 'prompt.json:6: "prompt" is not a string' in done.stderr
    assert "prompt.json:7: invalid JSON" in done.stderr
    lines = (data / "prompt.json").read_bytes().splitlines(keepends=True)
    assert lines[4:] == text.encode().splitlines(keepends=True)[4:]
    assert lines[0] == filled(expected_prompts(blip)).splitlines(keepends=True)[0]


def test_kinds_that_share_images_get_the_same_captions(tmp_path, blip):
    data = dataset(tmp_path / "set")
    (data / "prompt.json").unlink()
    for kind in ("canny", "depth"):
        (data / kind).mkdir()
        line = {"source": "source/0.png", "target": "../target/a0.png", "prompt": ""}
        (data / kind / "prompt.json").write_text(json.dumps(line) + "\n")
    done = caption(data, blip)
    assert done.stdout.splitlines() == [str(data / kind / "prompt.json") for kind in ("canny", "depth")]
    assert "1 captioned" in done.stderr
    assert (data / "canny" / "prompt.json").read_bytes() == (data / "depth" / "prompt.json").read_bytes()
    assert json.loads(expected_prompts(blip)[0]) in (data / "canny" / "prompt.json").read_text(encoding="utf-8")


def test_a_list_for_sources_that_stay_as_they_are(tmp_path, blip):
    folder = folder_of(tmp_path / "in")
    (folder / "a3.txt").write_text("mine")
    before = sorted(folder.rglob("*"))
    done = caption(folder, blip, "--list", tmp_path / "out.jsonl")
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'out.jsonl'}\n"), done.stderr
    assert sorted(folder.rglob("*")) == before
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [record["file_name"] for record in records] == ["a0.png", "a1.png", "a2.png", "a3.png", "more/a4.png"]
    assert records[3]["text"] == "mine"
    assert [record["text"] for record in records[:3]] == [json.loads(words) for words in expected_prompts(blip)[:3]]
    assert sorted(os.listdir(tmp_path)) == ["in", "out.jsonl"]
    # One image more: the others are not captioned again.
    Image.fromarray(photograph(7)).save(folder / "a7.png")
    done = caption(folder, blip, "--list", tmp_path / "out.jsonl")
    assert "1 captioned, 5 had a caption" in done.stderr
    assert len((tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()) == 6


@pytest.mark.parametrize("mode", ["sidecars", "prompts", "list"])
def test_killed_and_run_again_the_captions_are_the_same(tmp_path, blip, mode):
    count = 12
    lines = "".join(f'{{"target": "a{n}.png", "prompt": ""}}\n' for n in range(count))
    folders = [tmp_path / "killed", tmp_path / "whole"]
    for folder in folders:
        folder.mkdir()
        for number in range(count):
            Image.fromarray(photograph(number)).save(folder / f"a{number}.png")
        if mode == "prompts":
            (folder / "prompt.json").write_text(lines)
    words = ["--device", "cpu", "--max-length", "8", "--batch-size", "1", "--json"]

    def command(folder):
        more = ["--list", str(folder) + ".jsonl"] if mode == "list" else []
        return ["dataset", "caption", str(folder), "--weights", str(blip), *words, *more]

    process = start_cn(*command(folders[0]))
    for _ in range(3):
        assert process.stdout is not None
        assert process.stdout.readline()
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    done = [run_cn(*command(folder)) for folder in folders]
    assert [each.returncode for each in done] == [0, 0]
    written = [each.stdout.count('"written"') for each in done]
    assert written[1] == count
    assert written[0] <= count - 3

    def result(folder):
        found = {p.name: p.read_bytes() for p in folder.iterdir()}
        return found | ({"list": Path(str(folder) + ".jsonl").read_bytes()} if mode == "list" else {})

    assert result(folders[0]) == result(folders[1])


def test_two_runs_at_once_on_one_prompt_file(tmp_path, blip):
    from cn.caption.journal import journal

    data = dataset(tmp_path / "set")
    with journal(data / ".cn-captions.jsonl", "other"):
        done = caption(data, blip)
    assert done.returncode == 2
    assert "another cn is writing these captions" in done.stderr


def test_an_unfinished_run_with_other_settings_is_not_continued(tmp_path, blip):
    data = dataset(tmp_path / "set")
    (data / ".cn-captions.jsonl").write_text(
        '{"settings": "other"}\n{"file_name": "target/a0.png", "text": "of another network"}\n'
    )
    done = caption(data, blip)
    assert "3 captioned, 1 had a caption" in done.stderr
    assert (data / "prompt.json").read_bytes() == filled(expected_prompts(blip))


def test_loops_are_said(tmp_path, monkeypatch, blip):
    from cn.caption.blip import BlipCaptioner

    monkeypatch.setattr(BlipCaptioner, "caption", lambda self, images: ["a cat a cat a cat on a mat"] * len(images))
    done = caption(folder_of(tmp_path / "in"), blip)
    assert "5 of 5 captions repeat the same words" in done.stderr
    assert "--no-repeat-ngram 3" in done.stderr


def test_memory_that_is_short_halves_the_batch(tmp_path, monkeypatch, blip):
    from cn.caption.blip import BlipCaptioner

    sizes = []

    def small(self, images):
        sizes.append(len(images))
        if len(images) > 1:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        if images[0].shape[0] == 24 + 2:
            raise MemoryError
        return ["a cat"]

    monkeypatch.setattr(BlipCaptioner, "caption", small)
    done = caption(folder_of(tmp_path / "in"), blip, "--batch-size", "4")
    assert done.returncode == 5
    assert sizes == [4, 2, 1, 1, 2, 1, 1, 1]
    assert "a2.png: needs more memory than there is" in done.stderr
    assert len(texts(tmp_path / "in")) == 4


@pytest.fixture
def nothing_here(tmp_path, monkeypatch):
    for name in ("CN_WEIGHTS", "HF_HOME", "TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "empty"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ([], ("model_base_caption_capfilt_large.pth", "cn weights pull blip", "cn weights pull bert-vocab")),
        (["--captioner", "coca"], ("coca-vit-l-14-mscoco.bin", "2.55 GB", "cn weights pull coca")),
        (["--captioner", "coca-b-32"], ("cn weights pull coca-b-32",)),
        (["--captioner", "blip-large"], ("model_large_caption.pth", "cn weights pull blip-large")),
        (["--weights", "gone.safetensors"], ("gone.safetensors: no such weights file",)),
        (["--weights", "laion/CoCa"], ("hf download laion/CoCa --local-dir CoCa",)),
    ],
)
def test_missing_weights(tmp_path, nothing_here, words, parts):
    done = run_cn("dataset", "caption", folder_of(tmp_path / "in"), *words, cwd=tmp_path)
    assert done.returncode == 4, done.stderr
    for part in parts:
        assert part in done.stderr
    assert "Traceback" not in done.stderr
    assert texts(tmp_path / "in") == {}


def test_weights_without_their_vocabulary(tmp_path, nothing_here, blip):
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "model.safetensors").write_bytes((blip / "model.safetensors").read_bytes())
    (tmp_path / "bare" / "config.json").write_bytes((blip / "config.json").read_bytes())
    done = caption(folder_of(tmp_path / "in"), tmp_path / "bare")
    assert done.returncode == 4
    assert "bert-base-uncased-vocab.txt" in done.stderr
    assert "cn weights pull bert-vocab" in done.stderr


def test_a_network_that_is_another_than_said(tmp_path, coca, blip):
    folder = folder_of(tmp_path / "in")
    done = caption(folder, coca, "--captioner", "blip")
    assert (done.returncode, "holds coca, not blip" in done.stderr) == (4, True)
    done = caption(folder, blip, "--captioner", "coca")
    assert (done.returncode, "holds blip, not coca" in done.stderr) == (4, True)


def test_a_source_that_has_no_place_for_captions(tmp_path, blip):
    done = caption(tmp_path / "gone", blip)
    assert done.returncode == 3
    (tmp_path / "none").mkdir()
    assert caption(tmp_path / "none", blip).returncode == 3
    with tarfile.open(tmp_path / "00000.tar", "w") as tar:
        for name in folder_of(tmp_path / "in", 3).glob("*.png"):
            tar.add(name, name.name)
        (tmp_path / "a1.txt").write_text("mine")
        tar.add(tmp_path / "a1.txt", "a1.txt")
    before = (tmp_path / "00000.tar").read_bytes()
    done = caption(tmp_path / "00000.tar", blip)
    assert done.returncode == 2
    assert "captions cannot be written into this layout (webdataset); --list FILE makes a list" in done.stderr
    done = caption(tmp_path / "00000.tar", blip, "--list", tmp_path / "out.jsonl")
    assert done.returncode == 0, done.stderr
    records = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    found = {record["file_name"].rpartition("/")[2]: record["text"] for record in records}
    assert found == {"a0": json.loads(expected_prompts(blip)[0]), "a1": "mine"}
    assert (tmp_path / "00000.tar").read_bytes() == before


def test_paths_from_a_pipe(tmp_path, blip):
    folder = folder_of(tmp_path / "in")
    paths = "".join(f"{folder / name}\n" for name in ("a2.png", "more/a4.png", "gone.png"))
    words = ("--weights", blip, "--device", "cpu", "--max-length", "8")
    done = run_cn("dataset", "caption", "-", *words, stdin=paths.encode())
    assert done.returncode == 5, done.stderr
    assert "gone.png: no such file" in done.stderr
    assert sorted(texts(folder)) == ["a2.txt", "more/a4.txt"]
    done = run_cn("dataset", "caption", "-", *words, stdin=(folder / "a0.png").read_bytes())
    assert done.returncode == 2
    assert "pipe in paths" in done.stderr
