"""A job that is run again where some of its images are: what the weights decide is the same, or it is refused."""

import json
import shutil
from pathlib import Path

import pytest
from safetensors.torch import save_file

from cn.checkpoints.keymaps import ldm
from cn.model.vae import AutoencoderKL
from cn.sample import pipeline as pipelines
from tests.helpers import loras
from tests.helpers.model_helpers import SMALL, fill, tiny_base
from tests.helpers.sampling import CONTROLLED, write_condition

JOBS = {
    "seeds": [*CONTROLLED, "--count", "3"],
    "grid": [*CONTROLLED, "--count", "3", "--grid"],
    "lines": [*CONTROLLED, "--prompts", "lines.txt"],
    "folder": ["--cond", "maps", "--control", "run"],
    "data": ["--data", "set", "--control", "run"],
    "sweep": [*CONTROLLED, "--sweep", "scale=1,2,3"],
    "sweep of a folder": ["--cond", "maps", "--control", "run", "--sweep", "scale=1,2,3"],
}
ADVICE = "give another --out, or --overwrite to replace it"


@pytest.fixture
def run(sample):
    """Runs one of the jobs; gives exit code and errors."""
    Path("lines.txt").write_text("one\ntwo\nthree\n")
    lines = []
    for number in range(3):
        for folder in ("maps", "set/source", "set/target"):
            Path(folder).mkdir(parents=True, exist_ok=True)
            write_condition(Path(folder, f"{number}.png"), seed=number)
        lines.append({"source": f"source/{number}.png", "target": f"target/{number}.png", "prompt": f"house {number}"})
    Path("set/prompt.json").write_text("".join(json.dumps(line) + "\n" for line in lines))

    def job(name, *words):
        prompt = [] if name in ("lines", "data") else ["--prompt", "x"]
        code, _, err = sample(*JOBS[name], "--steps", "1", *prompt, "--out", "out", "-q", *words, quick=False)
        return code, err

    return job


def made():
    return {path: path.read_bytes() for path in sorted(Path("out").rglob("*.png"))}


def interrupt():
    """All but the first image are gone, as if sampling had been stopped."""
    first = next(path for path in made() if "grid" not in path.name and "sweep" not in path.name)
    for path in {*made()} - {first}:
        path.unlink()
    return first


def refused(run, job, words, difference):
    first, before = interrupt(), made()
    code, err = run(job, *words)
    assert (code, err) == (3, f"cn: {first}: was sampled with {difference}; {ADVICE}\n")
    assert made() == before, "nothing is sampled"


@pytest.fixture
def never_loaded(monkeypatch):
    def forbid():
        monkeypatch.setattr(pipelines, "open_sampling_base", lambda *args: pytest.fail("networks are loaded"))

    return forbid


@pytest.mark.parametrize("job", JOBS)
def test_a_job_that_is_run_again_is_completed(run, job):
    assert run(job, "--resolution", "128") == (0, "")
    before = made()
    interrupt()
    assert run(job, "--resolution", "128") == (0, "")
    assert made() == before
    interrupt()
    assert run(job, "--size", "128x128", "--precision", "fp32") == (0, ""), "the same in other words"
    assert made() == before


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize(
    ("first", "second", "difference"),
    [
        (["--resolution", "64"], ["--resolution", "128"], "another size, 64×64 and not 128×128"),
        (["--size", "128x128"], [], "another size, 128×128 and not 64×64"),
        (["--precision", "bf16"], [], "another precision, bf16 and not fp32 (--precision bf16 goes on with it)"),
        (["--precision", "bf16"], ["--precision", "fp32"], "another precision, bf16 and not fp32"),
    ],
)
def test_what_was_chosen_otherwise_is_not_mixed(run, never_loaded, job, first, second, difference):
    assert run(job, *first) == (0, "")
    never_loaded()
    refused(run, job, second, difference)


@pytest.mark.parametrize("job", JOBS)
def test_changed_weights_are_not_mixed(run, never_loaded, sampling_folder, job):
    Path("run").unlink()
    shutil.copytree(sampling_folder / "run", "run")
    assert run(job) == (0, "")
    path = Path("run/control.safetensors")
    data = path.read_bytes()
    path.write_bytes(data[:-4] + bytes(4))
    never_loaded()
    interrupt()
    code, err = run(job)
    assert (code, "was sampled with other weights of run: SHA-256 " in err) == (3, True), err
    assert ADVICE in err
    assert len(made()) == 1


MIDDLE = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0"
"""A layer that bases of any number of blocks have."""


def write_lora(factor):
    state = {part: dict(network.state_dict()) for part, network in tiny_base(SMALL).networks.items()}
    found = {layer: (factor * up, down) for layer, (up, down) in loras.pairs(state, [MIDDLE]).items()}
    loras.write(Path("style.safetensors"), loras.kohya(found))


def write_vae(factor):
    table = ldm.vae(SMALL.vae)
    tensors = fill(AutoencoderKL(SMALL.vae)).state_dict()
    save_file({table.translate(n)[0]: factor * t.detach() for n, t in tensors.items()}, "vae.safetensors")


@pytest.mark.parametrize(
    ("words", "write", "name"),
    [
        (["--lora", "style.safetensors:0.5"], write_lora, "lora style.safetensors"),
        (["--vae", "vae.safetensors"], write_vae, "vae"),
    ],
)
def test_what_is_added_to_a_base_may_change_too(run, words, write, name):
    write(0.9)
    assert run("seeds", *words) == (0, "")
    before = made()
    interrupt()
    assert run("seeds", *words) == (0, "")
    assert made() == before
    write(0.8)
    interrupt()
    code, err = run("seeds", *words)
    assert (code, f"was sampled with other weights of {name}: SHA-256 " in err) == (3, True), err


def test_a_base_that_has_changed(run, tiny_base_file):
    Path("base.safetensors").unlink()
    data = tiny_base_file.read_bytes()
    Path("base.safetensors").write_bytes(data)
    assert run("folder") == (0, "")
    Path("base.safetensors").write_bytes(data[:-4] + bytes(4))
    interrupt()
    code, err = run("folder")
    assert (code, "was sampled with other weights of base: SHA-256 " in err) == (3, True), err


@pytest.mark.parametrize("job", ["folder", "data"])
def test_a_finished_job_of_another_size_is_not_taken_for_done(run, never_loaded, job):
    assert run(job, "--resolution", "64") == (0, "")
    never_loaded()
    assert run(job, "--resolution", "64") == (0, "")
    code, err = run(job, "--resolution", "128")
    assert (code, "another size, 64×64 and not 128×128" in err) == (3, True)


@pytest.mark.parametrize(("job", "path"), [("folder", "maps/0.png"), ("data", "set/source/0.png")])
def test_a_condition_that_has_changed(run, job, path):
    assert run(job) == (0, "")
    write_condition(Path(path), seed=7)
    refused(run, job, [], "another condition image")
    Path(path).write_bytes(b"no image")
    code, err = run(job)
    assert (code, f"not sampled: {path}" in err, len(made())) == (5, True, 3), "it cannot be compared"


def test_a_caption_that_has_changed(run):
    assert run("data") == (0, "")
    text = Path("set/prompt.json").read_text()
    Path("set/prompt.json").write_text(text.replace("house 0", "a barn"))
    refused(run, "data", [], "another prompt, 'house 0' and not 'a barn'")
