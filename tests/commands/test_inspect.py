"""`cn inspect`, `cn convert` and `cn transfer`: their output, exit codes and failures."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cn.checkpoints.read.inspection import inspect
from cn.files import sha256
from cn.weights import bundled
from tests.helpers.cli import cn
from tests.helpers.layouts import assert_same, convert, native_base, native_control, tensors


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base and a control in each layout."""
    folder = tmp_path_factory.mktemp("inspect")
    native_base(folder / "sd2.safetensors", "sd2")
    convert(folder / "sd2.safetensors", folder / "sd2-ldm.safetensors", "ldm")
    native_base(folder / "sd1.safetensors", "sd1")
    convert(folder / "sd1.safetensors", folder / "sd1-ldm.safetensors", "ldm")
    convert(folder / "sd1.safetensors", folder / "sd1-folder", "diffusers", half=True)
    native_control(folder / "control.safetensors", "sd1")
    convert(folder / "control.safetensors", folder / "control-ldm.safetensors", "ldm")
    native_control(folder / "paper.safetensors", "sd1", "paper")
    (folder / "web.safetensors").write_text("<!DOCTYPE html><html>Not found</html>")
    return folder


def test_a_base(files):
    report = inspect(files / "sd2.safetensors")
    assert (report.what, report.layout, report.format) == ("a base", "native", "safetensors")
    assert (report.prediction, report.condition_encoder, report.usable) == ("v", None, True)
    assert report.sha256 == sha256(files / "sd2.safetensors")
    assert report.size == (files / "sd2.safetensors").stat().st_size
    assert set(report.parameters) == {"unet", "vae", "text"}
    assert sum(report.parameters.values()) == sum(t.numel() for t in tensors(files / "sd2.safetensors").values())
    assert report.dtypes == {"F32": len(tensors(files / "sd2.safetensors"))}
    assert report.warnings == ()
    assert report.family == "Stable Diffusion 2 with other channels"


def test_the_family_of_bundled_weights():
    for name in ("base", "canny"):
        assert inspect(bundled.FOLDER / f"{name}.safetensors").family == "cn's base 'scenes'"


def test_a_folder(files):
    report = inspect(files / "sd1-folder")
    assert (report.what, report.layout, report.files, report.prediction) == ("a base", "diffusers", 3, "eps")
    assert set(report.dtypes) == {"F16"}
    assert report.size == sum(file.stat().st_size for file in (files / "sd1-folder").rglob("*.safetensors"))


def test_controls(files):
    for name, encoder in (("control", "released"), ("control-ldm", "released"), ("paper", "paper")):
        report = inspect(files / f"{name}.safetensors")
        assert (report.what, report.condition_encoder, report.kind, report.links) == (
            "a control",
            encoder,
            "canny",
            "full",
        )


def test_warnings(files, tmp_path):
    content = tensors(files / "sd1-ldm.safetensors")
    content["model.diffusion_model.out.2.bias"][0] = float("nan")
    content["alphas_cumprod"] = content["alphas_cumprod"].half()
    ids = "cond_stage_model.transformer.text_model.embeddings.position_ids"
    content |= {ids: content[ids].float(), "model_ema.decay": torch.ones(()), "mystery": torch.ones(2)}
    content["first_stage_model.quant_conv.bias"] = content["first_stage_model.quant_conv.bias"].half()
    torch.save({"state_dict": content, "global_step": 12}, tmp_path / "warnings.ckpt")
    report = inspect(tmp_path / "warnings.ckpt")
    assert not report.usable
    text = "\n".join(report.warnings)
    for words in (
        "is a pickle",
        "1 tensor is not used: EMA weights",
        "also holds global_step (12)",
        "unrecognized tensors: mystery",
        "noise schedule is stored in half precision",
        "1 tensor is not used: position ids stored as floating-point numbers",
        "mixed dtypes",
        "not finite (NaN or infinity): unet: out.2.bias",
    ):
        assert words in text, words
    assert len(report.warnings) == 8


def test_an_untrained_control(files, tmp_path):
    content = tensors(files / "control-ldm.safetensors")
    assert inspect(files / "control-ldm.safetensors").warnings == ()
    content["control_model.middle_block_out.0.weight"].zero_()
    save_file(content, tmp_path / "c.safetensors")
    assert inspect(tmp_path / "c.safetensors").warnings == (
        "its zero convolutions are all zero: it has not been trained",
    )


def test_a_prediction_that_is_not_stated(files, tmp_path):
    save_file(tensors(files / "sd2-ldm.safetensors"), tmp_path / "sd2.safetensors")
    report = inspect(tmp_path / "sd2.safetensors")
    assert report.prediction == "not stated"
    assert report.warnings == ("does not say whether it predicts eps or v: it needs --prediction",)


def test_what_is_missing(files, tmp_path):
    content = tensors(files / "sd1-ldm.safetensors")
    del content["first_stage_model.quant_conv.bias"]
    save_file(content, tmp_path / "x.safetensors")
    report = inspect(tmp_path / "x.safetensors")
    assert not report.usable
    assert report.warnings == ("the tensors of its VAE do not match: missing quant_conv.bias",)


def test_something_else(tmp_path):
    save_file({"layer_structure": torch.ones(6)}, tmp_path / "net.safetensors", {"trainer": "x"})
    report = inspect(tmp_path / "net.safetensors")
    assert (report.what, report.usable) == ("holds neither a base nor a control; it is a hypernetwork", False)
    assert (report.parameters, report.metadata) == ({"all": 6}, {"trainer": "x"})


Q = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
LORA = {
    f"{Q}.lora_up.weight": torch.ones(320, 8),
    f"{Q}.lora_down.weight": torch.ones(8, 768),
    f"{Q}.alpha": torch.tensor(4.0, dtype=torch.bfloat16),
}
NOTES = {
    "ss_output_name": "my_style",
    "ss_sd_model_name": "v1-5.safetensors",
    "ss_network_dim": "8",
    "ss_tag_frequency": json.dumps({"10_cat": {"sks cat": 5, "grass": 7}, "b": {"sks cat": 4}}),
}


def test_a_lora(tmp_path):
    save_file(LORA, tmp_path / "lora.safetensors", NOTES)
    report = inspect(tmp_path / "lora.safetensors")
    assert (report.what, report.usable) == ("a LoRA for Stable Diffusion 1", True)
    assert report.lora is not None
    assert (report.lora.ranks, report.lora.alphas, report.lora.layers) == ((8,), (4.0,), {"unet": 1})
    assert report.lora.tags == ("sks cat", "grass")
    assert (report.context_dim, report.metadata["ss_network_dim"]) == (768, "8")
    done = cn("inspect", tmp_path / "lora.safetensors")
    rows = dict(line.strip().split("  ", 1) for line in done.stdout.splitlines()[1:] if not line.startswith("     "))
    shown = {name: value.strip() for name, value in rows.items()}
    assert {name: shown[name] for name in ("what", "rank", "alpha", "layers", "tags", "metadata")} == {
        "what": "a LoRA for Stable Diffusion 1",
        "rank": "8",
        "alpha": "4",
        "layers": "U-Net 1",
        "tags": "sks cat, grass",
        "metadata": "ss_output_name: my_style",
    }
    assert "ss_sd_model_name: v1-5.safetensors" in done.stdout
    assert "ss_tag_frequency" not in done.stdout
    (record,) = (
        json.loads(line) for line in cn("inspect", tmp_path / "lora.safetensors", "--json").stdout.splitlines()
    )
    assert record["lora"]["tags"] == ["sks cat", "grass"]


@pytest.mark.parametrize("broken", ["", "x", "[]", '{"a": 1}', '{"a": {"b": null}}', '{"a": {"b": []}}', "[" * 99999])
def test_notes_on_tags_that_are_damaged(tmp_path, broken):
    save_file(LORA, tmp_path / "lora.safetensors", {"ss_tag_frequency": broken})
    report = inspect(tmp_path / "lora.safetensors")
    assert report.lora is not None
    assert report.lora.tags == ()


def test_a_lora_in_a_folder_and_one_with_numbers_that_are_not_finite(tmp_path):
    save_file({**LORA, f"{Q}.lora_up.weight": torch.full((320, 8), torch.inf)}, tmp_path / "adapter_model.safetensors")
    report = inspect(tmp_path)
    assert (report.what, report.usable) == ("a LoRA for Stable Diffusion 1", False)
    assert report.warnings[0].startswith("holds numbers that are not finite")


def test_a_lora_of_another_family(tmp_path):
    save_file({"lora_te2_a.lora_up.weight": torch.ones(2, 3)}, tmp_path / "lora.safetensors")
    report = inspect(tmp_path / "lora.safetensors")
    assert (report.usable, report.lora) == (False, None)
    assert report.what == "is a LoRA for Stable Diffusion XL; cn supports Stable Diffusion 1 and 2"


def test_the_command(files):
    done = cn("inspect", files / "sd1-ldm.safetensors", files / "paper.safetensors")
    assert (done.returncode, done.stderr) == (0, "")
    first, second = done.stdout.split("\n\n")
    assert first.splitlines()[0] == str(files / "sd1-ldm.safetensors")
    for words in ("a base", "original single file (LDM)", "eps", "U-Net", sha256(files / "sd1-ldm.safetensors")):
        assert words in first, words
    assert "the paper's, four layers (only cn can run it)" in second
    done = cn("inspect", files / "control.safetensors", "canny", "--json")
    records = [json.loads(line) for line in done.stdout.splitlines()]
    assert [record["kind"] for record in records] == ["canny", "canny"]
    assert [record["condition_encoder"] for record in records] == ["released", "paper"]


def test_several_files_some_of_them_unreadable(files):
    done = cn("inspect", files / "web.safetensors", files / "control.safetensors", files / "none.safetensors")
    assert done.returncode == 5
    assert "a control" in done.stdout
    assert ["web page" in done.stderr, "none.safetensors" in done.stderr, "2 of 3" in done.stderr] == [True] * 3


def test_nothing_in_a_file_moves_the_cursor(tmp_path):
    save_file({"\x1b[2Jx": torch.ones(1)}, tmp_path / "x.safetensors", {"note\x1b]0;": "\x1b[31m\u202e red"})
    done = cn("inspect", tmp_path / "x.safetensors")
    assert done.returncode == 0
    assert "\\x1b[31m\\u202e red" in done.stdout
    assert all(line.isprintable() for line in done.stdout.splitlines())
    save_file({"x": torch.ones(1)}, tmp_path / "x.safetensors", {"cn": '{"k": "\\ud800"}'})
    done = cn("inspect", tmp_path / "x.safetensors")
    assert (done.returncode, done.stdout) == (3, "")
    assert "its header is damaged" in done.stderr


def test_inspecting_loads_no_torch(files):
    """Importing torch would take a second; a file is described from its bytes."""
    script = "import sys; from cn import app; app.run(sys.argv[1:]); print([m for m in sys.modules if m == 'torch'])"
    words = ["inspect", str(files / "sd1-ldm.safetensors"), str(files / "sd1-folder"), "--json"]
    done = subprocess.run([sys.executable, "-c", script, *words], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


FAILURES = [
    (["inspect", "none.safetensors"], 4, "no such weights file"),
    (["inspect", "web.safetensors"], 3, "web page"),
    (["inspect"], 2, "Missing argument"),
    (["convert", "control.safetensors"], 2, "Missing argument"),
    (
        ["convert", "control.safetensors", "x.safetensors", "--to", "onnx"],
        2,
        "'onnx' is not one of 'native'",
    ),
    (["convert", "control.safetensors", "x.safetensors", "--only", "vae"], 2, "'vae' is not one of 'base', 'control'"),
    (["convert", "control.safetensors", "x.safetensors", "--only", "base"], 2, "but this is a control"),
    (["convert", "control.safetensors", "x.safetensors", "--prediction", "x0"], 2, "'x0' is not one of 'eps', 'v'"),
    (["convert", "control.safetensors", ""], 2, "the destination is empty"),
    (["convert", "control.safetensors", "x" * 300 + ".safetensors"], 3, "File name too long"),
    (["inspect", "x" * 300], 3, "File name too long"),
    (["inspect", "/dev/null"], 3, "neither a file nor a folder"),
    (["convert", "control.safetensors", "x.pth"], 2, "name it x.safetensors"),
    (["convert", "control.safetensors", "paper.safetensors"], 3, "already exists"),
    (["convert", "control.safetensors", "nowhere/x/y.safetensors", "--ema"], 4, "has no EMA weights"),
    (["convert", "control.safetensors", "nowhere/x/y.safetensors", "--variant", "fp16"], 2, "this is a file"),
    (["convert", "paper.safetensors", "x.safetensors", "--to", "ldm"], 4, "the paper's condition encoder"),
    (["convert", "web.safetensors", "x.safetensors"], 3, "web page"),
    (["transfer", "x.safetensors", "--control", "control.safetensors"], 2, "Missing option '--from-base'"),
    (["convert", "transfer", "x.safetensors", "--control", "c"], 2, "cn convert transfer is now cn transfer OUT"),
    (["weights", "convert", "a.pkl", "x.safetensors", "--overwrite"], 2, "cn weights convert is now cn convert"),
    (["sample", "--base", "sd2-bare.safetensors", "--prompt", "x"], 4, "give --prediction"),
    (["sample", "--base", "control.safetensors"], 4, "a base was expected, but this is a control"),
    (["train", "--cond", "depth", "--base", "sd2-bare.safetensors", "--dry-run"], 4, "give --prediction"),
]


@pytest.mark.parametrize(("words", "code", "message"), FAILURES, ids=[" ".join(words)[:80] for words, *_ in FAILURES])
def test_failures_are_one_line_and_leave_nothing(files, tmp_path, words, code, message):
    for name in ("control.safetensors", "paper.safetensors", "web.safetensors"):
        shutil.copy(files / name, tmp_path / name)
    save_file(tensors(files / "sd2-ldm.safetensors"), tmp_path / "sd2-bare.safetensors")
    before = sorted(tmp_path.iterdir())
    done = cn(*words, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert [path for path in sorted(tmp_path.iterdir()) if path.name != "samples"] == before


class Evil:
    """An object whose plain pickle runs a shell command when it is loaded."""

    def __init__(self, command: str):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


def test_a_file_that_tries_to_run_something(tmp_path):
    sentinel = tmp_path / "sentinel"
    torch.save({"state_dict": {"a": torch.ones(1)}, "note": Evil(f"touch {sentinel}")}, tmp_path / "evil.ckpt")
    for words in (
        ["inspect", "evil.ckpt"],
        ["convert", "evil.ckpt", "x.safetensors"],
        ["sample", "--base", "evil.ckpt"],
    ):
        done = cn(*words, cwd=tmp_path)
        assert done.returncode == 4, done.stderr
        assert "system" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    assert not sentinel.exists()
    torch.load(tmp_path / "evil.ckpt", weights_only=False)
    assert sentinel.exists(), "torch.load would have run it"


def test_converting(files, tmp_path):
    target = tmp_path / "new/x.safetensors"
    words = ["convert", files / "sd1-folder", target, "--to", "ldm"]
    done = cn(*words, "--dry-run")
    assert (done.returncode, done.stdout) == (0, "")
    assert "a base, " in done.stderr
    assert list(tmp_path.iterdir()) == []
    done = cn(*words)
    assert (done.returncode, done.stdout) == (0, f"{target}\n")
    done = cn("convert", target, tmp_path / "back", "--to", "diffusers", "--json", "--quiet")
    record = json.loads(done.stdout)
    assert (record["path"], record["layout"], done.stderr) == (str(tmp_path / "back"), "diffusers", "")
    assert_same(tensors(files / "sd1-folder"), tensors(tmp_path / "back"))
    assert cn(*words).returncode == 3
    before = target.read_bytes()
    assert cn(*words, "--overwrite", "--quiet").returncode == 0
    assert target.read_bytes() == before, "the same bytes every time"


def test_transferring_a_control(files, tmp_path):
    bases = ["--from-base", files / "sd1-ldm.safetensors", "--to-base", files / "sd1-folder"]
    done = cn("transfer", tmp_path / "c.safetensors", "--control", files / "control-ldm.safetensors", *bases)
    assert (done.returncode, done.stdout) == (0, f"{tmp_path / 'c.safetensors'}\n"), done.stderr
    report = inspect(tmp_path / "c.safetensors")
    assert (report.what, report.metadata["base_sha256"]) == ("a control", inspect(files / "sd1-folder").sha256)


def test_a_file_or_folder_called_transfer_is_converted(files, tmp_path):
    """Also by the old form of `cn transfer`, which had options that tell them apart."""
    shutil.copytree(files / "sd1-folder", tmp_path / "transfer")
    done = cn("convert", "transfer", "x.safetensors", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "x.safetensors\n"), done.stderr
