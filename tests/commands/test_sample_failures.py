"""How `cn sample` fails, is stopped, and works in a pipe."""

import contextlib
import errno
import io
import os
import signal
import time
from concurrent.futures import Future
from pathlib import Path

import pytest
import torch

from cn import app, images
from cn.errors import UsageError
from cn.sample import pipeline as core
from cn.sample.png_metadata import TEXT_KEY
from cn.sample.run import Job
from tests.helpers.cli import cn_process, start_cn
from tests.helpers.sampling import CONTROLLED, QUICK

FAILURES = [
    (["--cond", "missing.png"], 3, "missing.png: no such file"),
    (["--cond", "text.png", "--control", "run"], 3, "text.png: not an image but text"),
    (["--cond", "cut.png", "--control", "run"], 3, "cut.png: the image is broken or cut off"),
    (["--cond", "empty", "--control", "run"], 2, "--cond empty are several conditions: --out must be a folder"),
    (["--cond", "plain.png"], 2, "--control"),
    (["--cond", "canny.png", "--control", "nowhere"], 4, "nowhere"),
    (["--cond", "canny.png", "--control", "no/where.safetensors"], 4, "no/where.safetensors: no such weights file"),
    (["--cond", "canny.png", "--control", "empty"], 4, "empty: is an empty folder"),
    (["--cond", "canny.png", "--control", "cut.safetensors"], 3, "cut.safetensors: cut off"),
    (["--cond", "canny.png", "--control", "text.png"], 3, "text.png: is not a file of weights"),
    (["--cond", "canny.png", "--control", "base.safetensors"], 4, "a control was expected, but this is a base"),
    (["--cond", "canny.png", "--control", "other.safetensors"], 4, "other.safetensors: this control was made for an"),
    (["--base", "other.safetensors"], 4, "a base was expected, but this is a control"),
    (["--base", "run"], 4, "run: this folder has no base.safetensors"),
    ([*CONTROLLED, "--size", "128x64"], 3, "canny.png: a condition of 64×64 pixels does not fit"),
    (["--cond", "wide.png", "--control", "run"], 3, "too large"),
    (["--size", "100"], 2, "--size 100x100"),
    (["--steps", "1001"], 2, "--steps must be between 1 and 1000"),
    (["--steps", "many"], 2, "--steps"),
    (["--count", "0"], 2, "--count"),
    (["--seed", str(2**64)], 2, "--seed"),
    (["--eta", "2"], 2, "--eta"),
    (["--strength", "2"], 2, "--cond"),
    (["--guess"], 2, "--guess"),
    (["--prompt-mode", "none"], 2, "takes no --prompt"),
    (["--prompt-mode", "automatic"], 2, "not one of 'user', 'none', 'default', 'auto'"),
    (["--device", "abacus"], 2, "--device"),
    (["--precision", "fp8"], 2, "--precision"),
    (["--out", "text.png"], 3, "text.png: exists already"),
    (["--out", "out/x.gif"], 3, "out/x.gif: cannot write .gif images; use .png, .jpg or .webp\n"),
    (["--out", "out/results.v2"], 3, "if it is to be a folder, write out/results.v2/\n"),
    (["--out", "out/results.v2", "--count", "2"], 3, "if it is to be a folder, write out/results.v2/\n"),
    (["--cond", "-", "--prompt", "-"], 2, "standard input is read once"),
    (["--from", "-", "--prompt", "-"], 2, "standard input is read once"),
    (["--invert"], 2, "--invert need a --cond"),
    (["--out", "text.png/x.png"], 3, "text.png: is a file, but a folder is needed"),
    (["surplus"], 2, "surplus"),
]


@pytest.mark.parametrize(("words", "code", "message"), FAILURES, ids=[" ".join(words) for words, _, _ in FAILURES])
def test_failures_are_one_line_and_leave_nothing(sample, words, code, message):
    found, out, err = sample(*words, "--quiet", *([] if "--out" in words else ["--out", "out/x.png"]))
    assert (found, out) == (code, "")
    assert err.startswith("cn: ")
    assert err.count("\n") == 1
    assert message in err
    assert "internal error" not in err
    assert list(Path("out").rglob("*")) == []


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["canny.png"], 3, "canny.png: is a condition map (canny), not a sampled image; use it with --cond"),
        (["plain.png"], 3, "plain.png: has no sampling metadata"),
        (["text.png"], 3, "not an image but text"),
        (["missing.png"], 3, "no such file"),
        (["canny.png", "--steps", "0"], 2, "--steps must be between 1 and 1000"),
    ],
)
def test_from_an_image_that_cannot_be_reproduced(sample, words, code, message):
    found, out, err = sample("--from", *words, base=None, quick=False)
    assert (found, out, err.count("\n")) == (code, "", 1)
    assert message in err


def test_too_little_memory_is_no_internal_error(sample, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 1")
        yield

    monkeypatch.setattr(core, "sample_batches", fail)
    code, _, err = sample("--quiet", "--out", "out/x.png")
    assert code == 3
    assert err == "cn: cpu has too little memory for images of 64×64; give a smaller --size\n"


def test_an_image_that_cannot_be_written_leaves_the_earlier_ones(sample, monkeypatch):
    """The folder disappears after the first of three images, as with a disk that is taken out."""
    original = core.sample_batches

    def generate(*args, **kwargs):
        for number, image in enumerate(original(*args, **kwargs)):
            if number == 1:
                Path("out").rename("kept")
            yield image

    monkeypatch.setattr(core, "sample_batches", generate)
    code, out, err = sample("--count", "3", "--out", "out", "--quiet")
    assert (code, out) == (3, "out/base-seed0.png\n")
    assert err == (
        "cn: out/base-seed1.png: cannot be written: No such file or directory; the images written before are no longer "
        "there\n"
    )
    assert [p.name for p in Path("kept").iterdir()] == ["base-seed0.png"]
    assert images.is_complete_png("kept/base-seed0.png")


@pytest.mark.parametrize(("batch_size", "kept"), [(1, ["base-seed0.png"]), (3, ["base-seed0.png", "base-seed2.png"])])
def test_a_full_disk_keeps_the_other_images(sample, monkeypatch, batch_size, kept):
    """The earlier ones, and of a batch those that could still be written."""
    original = os.replace

    def replace(source, target):
        if str(target).endswith("seed1.png"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(source, target)

    monkeypatch.setattr(os, "replace", replace)
    code, out, err = sample("--count", "3", "--out", "out", "--quiet", "--batch-size", str(batch_size))
    assert (code, out.split()) == (5, [f"out/{name}" for name in kept])
    left = f"{len(kept)} of 3 images are written"
    assert err == f"cn: out/base-seed1.png: cannot be written: No space left on device; {left}\n"
    assert sorted(p.name for p in Path("out").iterdir()) == kept, "and no temporary file"


@pytest.fixture(params=[False, True], ids=["", "ahead"])
def ahead(request, monkeypatch):
    """As on a CPU, and as on a GPU, which has the next batch while files are written."""
    monkeypatch.setattr(Job, "samples_ahead", request.param)
    return request.param


def test_a_batch_ahead_changes_no_byte(sample, monkeypatch):
    made = dict[bool, list[tuple[str, bytes]]]()
    for ahead in (False, True):
        monkeypatch.setattr(Job, "samples_ahead", ahead)
        code, out, _ = sample("--count", "5", "--batch-size", "2", "--out", f"out-{ahead}", "--quiet")
        assert code == 0
        made[ahead] = [(Path(line).name, Path(line).read_bytes()) for line in out.split()]
    assert len(made[False]) == 5
    assert made[True] == made[False], "the same files, named in the same order"


@pytest.mark.parametrize(("seed", "kept"), [(1, [0]), (3, [0, 1, 2]), (4, [0, 1, 2, 3])])
def test_a_full_disk_with_a_batch_ahead(sample, monkeypatch, ahead, seed, kept):
    original = os.replace

    def replace(source, target):
        if str(target).endswith(f"seed{seed}.png"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(source, target)

    monkeypatch.setattr(os, "replace", replace)
    code, out, err = sample("--count", "5", "--batch-size", "2", "--out", "out", "--quiet")
    assert (code, out.split()) == (5, [f"out/base-seed{n}.png" for n in kept])
    assert f"{len(kept)} of 5 images are written" in err


@pytest.mark.parametrize("while_writing", [False, True])
def test_an_interrupt_names_all_that_is_written(sample, monkeypatch, ahead, while_writing):
    """While the third batch is sampled, or while the files of the second are waited for."""
    original, waited, result = core.sample_batches, list[object](), Future.exception

    def generate(*args, **kwargs):
        for number, image in enumerate(original(*args, **kwargs)):
            if number == 2 and not while_writing:
                raise KeyboardInterrupt
            yield image

    def exception(future, timeout=None):
        waited.append(future)
        if len(waited) == 3 and while_writing:
            raise KeyboardInterrupt
        return result(future, timeout)

    monkeypatch.setattr(core, "sample_batches", generate)
    monkeypatch.setattr(Future, "exception", exception)
    code, out, err = sample("--count", "6", "--batch-size", "2", "--out", "out", "--quiet")
    assert code == 130
    assert "what was finished is kept" in err
    assert out.split() == [f"out/base-seed{n}.png" for n in range(4)]
    assert sorted(path.name for path in Path("out").iterdir()) == [Path(line).name for line in out.split()]


def test_pipes(sampling_folder, tiny_base_file, tmp_path):
    """Condition in, image out."""
    words = ["sample", "--base", tiny_base_file, *QUICK, "--control", sampling_folder / "run", "--quiet"]
    done = cn_process(
        *words, "--cond", "-", "--out", "-", stdin=(sampling_folder / "canny.png").read_bytes(), cwd=tmp_path
    )
    assert (done.returncode, done.stderr) == (0, b"")
    image = images.decode(done.stdout, "stdout")
    assert image.shape == (64, 64, 3)
    assert list(tmp_path.iterdir()) == []


def test_reproducing_an_image_from_standard_input(sample, monkeypatch):
    assert sample(*CONTROLLED, "--out", "out/a.png")[0] == 0
    made = Path("out/a.png").read_bytes()
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(made)))
    assert sample("--from", "-", "--out", "out/b.png", base=None, quick=False)[0] == 0
    assert Path("out/b.png").read_bytes() == made


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("out", ["-", "out/x.png"])
def test_a_full_standard_output_is_one_line(sample, monkeypatch, capsys, out):
    full = open("/dev/full", "w")  # noqa: SIM115
    with monkeypatch.context() as patch:
        patch.setattr("sys.stdout", full)
        code = app.run(["sample", "--base", "base.safetensors", *QUICK, "--quiet", "--out", out])
    with contextlib.suppress(OSError):
        full.close()
    assert code == 3
    assert capsys.readouterr().err == "cn: standard output: cannot be written: No space left on device\n"
    assert out == "-" or images.is_complete_png(out)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_stop_keeps_the_finished_images(tiny_base_file, tmp_path, number, code):
    words = ["sample", "--base", tiny_base_file, "--steps", "20", "--count", "2000", "--quiet", "--out", "out"]
    process = start_cn(*words, cwd=tmp_path)
    assert process.stdout is not None
    first = process.stdout.readline().decode().strip()
    time.sleep(0.3)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert err.decode().count("\n") == 1
    assert "what was finished is kept" in err.decode()
    names = {first, *out.decode().split()}
    assert {f"out/{p.name}" for p in (tmp_path / "out").iterdir()} >= names
    assert len(names) < 2000
    for path in (tmp_path / "out").iterdir():
        assert TEXT_KEY in images.read_info(path)
        assert images.read(path).shape == (64, 64, 3)


def test_an_absent_device(sample, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert sample("--device", "cuda", "-q") == (2, "", "cn: --device cuda: this machine has no cuda device\n")


def test_records_and_an_image_on_standard_output(tmp_path):
    """Both would be mixed there: a script must not lose one of them unawares."""
    done = cn_process("sample", "--prompt", "x", "--json", "--out", "-", cwd=tmp_path)
    assert done.returncode == UsageError.exit_code
    assert not done.stdout
    assert b"--json and --out -" in done.stderr
