"""What a file is that cn does not use: every kind of file that people take for a checkpoint is called what it is."""

import json
import shutil
import struct
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from cn.archives.archive import open_archive
from cn.checkpoints.read.inspection import inspect
from cn.checkpoints.read.load import open_base
from cn.checkpoints.read.recognize import recognize
from cn.errors import InputError, WeightsError
from tests.helpers.cli import cn
from tests.helpers.layouts import convert, native_base, native_control, refusal

TENSORS = {
    "LoRA of kohya": ("lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight", "a LoRA"),
    "LoRA of peft": ("unet.down_blocks.0.attentions.0.to_q.lora_A.weight", "a LoRA"),
    "LoRA of FLUX": ("diffusion_model.double_blocks.0.img_attn.proj.lora_A.weight", "a LoRA"),
    "FLUX": ("double_blocks.0.img_attn.qkv.weight", "a diffusion transformer (SD 3, FLUX or similar)"),
    "FLUX of ComfyUI": ("model.diffusion_model.single_blocks.0.linear1.weight", "a diffusion transformer (SD 3, FLUX"),
    "SD 3": ("model.diffusion_model.joint_blocks.0.x_block.attn.qkv.weight", "a diffusion transformer (SD 3, FLUX"),
    "PixArt": ("transformer_blocks.0.attn1.to_q.weight", "a diffusion transformer (PixArt, Wan"),
    "Wan": ("blocks.0.self_attn.q.weight", "a diffusion transformer (PixArt, Wan"),
    "ControlNet of SD 3": ("controlnet_blocks.0.weight", "a ControlNet of a diffusion transformer"),
    "T2I-Adapter": ("body.0.block1.weight", "a T2I-Adapter"),
    "T2I-Adapter of diffusers": ("adapter.body.0.resnets.0.block1.weight", "a T2I-Adapter"),
    "ESRGAN": ("body.0.rdb1.conv1.weight", "an upscaler (ESRGAN)"),
    "IP-Adapter": ("image_proj.proj.weight", "an IP-Adapter"),
    "embedding of XL": ("clip_g", "a textual inversion embedding"),
    "VAE": ("first_stage_model.encoder.down.0.block.0.conv1.weight", "only a VAE"),
    "VAE of diffusers": ("encoder.down_blocks.0.resnets.0.conv1.weight", "only a VAE"),
    "CLIP's image encoder": ("vision_model.encoder.layers.0.self_attn.k_proj.weight", "an image encoder (CLIP)"),
    "T5": ("encoder.block.0.layer.0.SelfAttention.q.weight", "a T5 text encoder"),
    "CLIP": ("text_model.encoder.layers.0.self_attn.k_proj.weight", "only a text encoder"),
    "LLLite": ("lllite_unet_input_blocks_1_0.down.0.weight", "a ControlNet-LLLite"),
    "anything": ("conv.weight", "unknown to cn (its first tensor is conv.weight)"),
}


@pytest.mark.parametrize("factor", ["hada_w1_a", "lokr_w1"])
def test_an_adapter_of_lycoris_is_no_checkpoint(tmp_path, factor):
    save_file({f"lora_unet_mid_block_attentions_0_proj_in.{factor}": torch.zeros(2)}, tmp_path / "x.safetensors")
    refusal(tmp_path / "x.safetensors", "a LyCORIS adapter (cn sample --lora adds LoHa and LoKr to a base)")


@pytest.mark.parametrize("case", TENSORS)
def test_a_file_is_called_what_it_is(tmp_path, case):
    name, words = TENSORS[case]
    save_file({name: torch.zeros(2)}, tmp_path / "x.safetensors")
    refusal(tmp_path / "x.safetensors", words)
    report = inspect(tmp_path / "x.safetensors")
    assert (report.usable, words in report.what) == (False, True)


PICKLES = {
    "embedding": (
        {"string_to_token": {"*": 265}, "string_to_param": {"*": torch.zeros(2, 768)}, "name": "x"},
        "a textual inversion embedding",
    ),
    "embedding of diffusers": ({"<cat>": torch.zeros(768)}, "a textual inversion embedding"),
    "hypernetwork": (
        {"layer_structure": [1, 2, 1], "step": 9, 768: [{"linear.weight": torch.zeros(2)}]},
        "a hypernetwork",
    ),
    "not an embedding": ({"x": torch.zeros(769)}, "unknown to cn (its first tensor is x)"),
}


@pytest.mark.parametrize("case", PICKLES)
def test_a_pickle_is_called_what_it_is(tmp_path, case):
    content, words = PICKLES[case]
    torch.save(content, tmp_path / "x.pt")
    refusal(tmp_path / "x.pt", words)


OTHERS = {
    "ONNX": (b"\x08\x07\x12\x07pytorch\x1a\x052.1.0:\x90\x01", "is an ONNX model, which is not supported"),
    "TensorRT": (b"ptrt" + bytes(60), "is a TensorRT engine"),
    "TensorRT 10": (b"ftrt" + bytes(60), "is a TensorRT engine"),
    "GGUF": (b"GGUF\3\0\0\0" + bytes(60), "is a GGUF file"),
    "TensorFlow Lite": (b"\x20\0\0\0TFL3" + bytes(60), "is a TensorFlow Lite model"),
    "Flax": (b"\x82\xa6params\x81\xa4conv", "is a msgpack file (Flax)"),
    "Keras": (b"\x89HDF\r\n\x1a\n" + bytes(60), "is an HDF5 file (Keras)"),
    "JSON": (json.dumps({"_class_name": "StableDiffusionPipeline"}).encode(), "is JSON, not weights; give the folder"),
}


@pytest.mark.parametrize("case", OTHERS)
def test_a_file_of_another_format(tmp_path, case):
    data, words = OTHERS[case]
    (tmp_path / "x.bin").write_bytes(data)
    with pytest.raises(InputError) as caught:
        open_archive(tmp_path / "x.bin")
    assert words in str(caught.value)


def test_weights_are_not_taken_for_other_formats(tmp_path):
    (tmp_path / "x.bin").write_bytes(struct.pack("<Q", 2) + b"{}")
    assert open_archive(tmp_path / "x.bin").entries == {}
    (tmp_path / "x.bin").write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(InputError, match=r"is a pickle, but not written by torch\.save"):
        open_archive(tmp_path / "x.bin")


# Shards.

INDEX = "diffusion_pytorch_model.safetensors.index.json"


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pipeline whose U-Net is in two files."""
    folder = tmp_path_factory.mktemp("shards")
    native_base(folder / "sd1.safetensors", "sd1")
    pipeline = convert(folder / "sd1.safetensors", folder / "pipeline", "diffusers")
    whole = pipeline / "unet/diffusion_pytorch_model.safetensors"
    content = load_file(whole)
    whole.unlink()
    places = {name: f"diffusion_pytorch_model-0000{1 + k % 2}-of-00002.safetensors" for k, name in enumerate(content)}
    for place in set(places.values()):
        save_file({name: content[name] for name in places if places[name] == place}, whole.with_name(place))
    (whole.parent / f"{whole.name}.index.json").write_text(json.dumps({"weight_map": places}))
    return pipeline


def test_a_shard_is_called_that(sharded):
    path = sharded / "unet/diffusion_pytorch_model-00002-of-00002.safetensors"
    words = f"is shard 2 of 2 of {INDEX}, a part of a network; give the folder {sharded}"
    assert refusal(path, words).endswith(words)
    assert inspect(path).what == words
    open_base(sharded)


def test_a_shard_without_a_pipeline(tmp_path, sharded):
    shutil.copytree(sharded / "unet", tmp_path / "mine")
    path = tmp_path / "mine/diffusion_pytorch_model-00001-of-00002.safetensors"
    refusal(path, f"is shard 1 of 2 of {INDEX}, a part of a network; give the folder {tmp_path / 'mine'}")
    (path.parent / INDEX).unlink()
    refusal(path, "is by its name shard 1 of 2, without an index of them; get the whole folder and give that")


@pytest.mark.parametrize(
    "index", ["{", "[]", '{"weight_map": {"a": 1}}', '{"weight_map": {"a": "control.safetensors"}}', "{}"]
)
def test_an_index_that_does_not_list_several_files_says_nothing(tmp_path, index):
    path = native_control(tmp_path / "control.safetensors", "sd1")
    (tmp_path / "other.safetensors.index.json").write_text(index)
    assert recognize(path).has_control


# Folders.


def test_a_folder_of_loose_files_lists_them(tmp_path):
    for name in ("control_v11p_sd15_canny.pth", "b.safetensors", "README.md"):
        (tmp_path / name).touch()
    refusal(tmp_path, "holds b.safetensors, control_v11p_sd15_canny.pth: give the path of a file", WeightsError)


def test_the_network_of_a_detector(tmp_path):
    from cn.detect.nets.hed import ControlNetHED

    torch.save(ControlNetHED().state_dict(), tmp_path / "ControlNetHED.pth")
    done = cn("inspect", tmp_path / "ControlNetHED.pth")
    assert done.returncode == 0
    assert "a network of a detector: cn detect hed or scribble with --weights uses it" in done.stdout
