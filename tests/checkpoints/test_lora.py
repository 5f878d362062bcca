"""LoRA files added to the weights of a base: every spelling of names, scales, dtypes, and what is refused."""

import json
from functools import cache

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from cn.checkpoints.read.lora.file import LoraFile, open_lora
from cn.checkpoints.read.lora.merge import merge
from cn.checkpoints.read.lora.names import understand
from cn.checkpoints.read.lora.targets import targets
from cn.checkpoints.shapes import base_shapes
from cn.errors import CnError, InputError, WeightsError
from cn.model.base import Base
from cn.model.config import PRESETS
from tests.helpers import loras
from tests.helpers.layouts import CONFIGS, base, native_base, native_control
from tests.helpers.loras import LAYERS, MORE_LAYERS, OURS, RANK

ALL = LAYERS + MORE_LAYERS


@cache
def state(name: str = "sd1") -> dict[str, dict[str, Tensor]]:
    return {part: dict(network.state_dict()) for part, network in base(name).networks.items()}


def fresh(name: str = "sd1", dtype: torch.dtype = torch.float32) -> Base:
    """A base of its own that a test may change."""
    made = Base.create(CONFIGS[name])
    for part, network in made.networks.items():
        network.load_state_dict(state(name)[part])
        network.to(dtype)
    return made.lock()


def merged(*files: tuple[LoraFile, float], name: str = "sd1", dtype: torch.dtype = torch.float32) -> Base:
    made = fresh(name, dtype)
    merge(made, files)
    return made


def expected(found: loras.Pairs, factor: float, name: str = "sd1") -> dict[str, dict[str, Tensor]]:
    """The base's tensors with the pairs added, by our names counted by hand."""
    made = {part: {n: t.clone() for n, t in tensors.items()} for part, tensors in state(name).items()}
    for layer, (up, down) in found.items():
        change = factor * (up.flatten(1) @ down.flatten(1))
        if layer.endswith("k_proj"):
            width = CONFIGS[name].text.width
            made["text"]["tower.transformer.resblocks.0.attn.in_proj_weight"][width : 2 * width] += change
            continue
        weight = made["unet" if layer.startswith("unet.") else "text"][f"{OURS[layer]}.weight"]
        weight += change.reshape(weight.shape)
    return made


def assert_close(made: Base, wanted: dict[str, dict[str, Tensor]], tolerance: float = 1e-6) -> None:
    for part, network in made.networks.items():
        for name, tensor in network.state_dict().items():
            torch.testing.assert_close(tensor.float(), wanted[part][name], rtol=tolerance, atol=tolerance, msg=name)


SPELLINGS = {
    "kohya": lambda found: loras.kohya(found, alpha=None),
    "kohya, original names": lambda found: loras.kohya(found, alpha=None, original=True),
    "peft": loras.peft,
    "old diffusers": loras.old_diffusers,
    "processors": loras.processors,
}


@pytest.mark.parametrize("name", ["sd1", "sd2"])
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_every_spelling_changes_the_same_weights(tmp_path, spelling, name):
    found = loras.pairs(state(name))
    path = loras.write(tmp_path / "x.safetensors", SPELLINGS[spelling](found))
    assert_close(merged((open_lora(path), 0.5), name=name), expected(found, 0.5, name))


@pytest.mark.parametrize("spelling", ["kohya", "peft", "old diffusers"])
def test_convolutions_and_every_other_kind_of_layer(tmp_path, spelling):
    found = loras.pairs(state(), ALL)
    path = loras.write(tmp_path / "x.safetensors", SPELLINGS[spelling](found))
    assert_close(merged((open_lora(path), 1.0)), expected(found, 1.0))


def test_alpha_divides_by_the_rank(tmp_path):
    found = loras.pairs(state())
    path = loras.write(tmp_path / "x.safetensors", loras.kohya(found, alpha=1.0))
    assert_close(merged((open_lora(path), 1.0)), expected(found, 1 / RANK))


@pytest.mark.parametrize("rslora", [False, True])
def test_alpha_of_peft_is_in_the_metadata(tmp_path, rslora):
    found = loras.pairs(state())
    settings = {"unet.r": RANK, "unet.lora_alpha": 3, "unet.use_rslora": rslora}
    settings |= {"unet.alpha_pattern": {"down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q": 5}}
    metadata = {"lora_adapter_metadata": json.dumps(settings)}
    file = open_lora(loras.write(tmp_path / "x.safetensors", loras.peft(found), metadata))
    by_title = {layer.title: layer.alpha for layer in file.layers}
    factor = RANK**0.5 if rslora else 1
    assert by_title["down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"] == pytest.approx(5 * factor)
    assert by_title["mid_block.attentions.0.transformer_blocks.0.attn1.to_out.0"] == pytest.approx(3 * factor)
    assert by_title["encoder.layers.0.self_attn.k_proj"] is None


def test_a_folder_of_peft(tmp_path):
    found = {layer: pair for layer, pair in loras.pairs(state()).items() if layer.startswith("unet.")}
    content = {f"base_model.model.{name.removeprefix('unet.')}": t for name, t in loras.peft(found).items()}
    loras.write(tmp_path / "adapter_model.safetensors", content)
    (tmp_path / "adapter_config.json").write_text(json.dumps({"r": RANK, "lora_alpha": 4}))
    assert_close(merged((open_lora(tmp_path), 1.0)), expected(found, 2.0))


def test_a_folder_of_diffusers(tmp_path):
    found = loras.pairs(state())
    loras.write(tmp_path / "pytorch_lora_weights.safetensors", loras.peft(found))
    assert_close(merged((open_lora(tmp_path), 1.0)), expected(found, 1.0))
    with pytest.raises(WeightsError, match="has no LoRA"):
        open_lora(tmp_path.parent)


def test_several_add_up_in_any_order_and_a_negative_weight_takes_away(tmp_path):
    first, second = loras.pairs(state()), loras.pairs(state(), ALL, "other")
    one = open_lora(loras.write(tmp_path / "a.safetensors", loras.kohya(first, None)))
    other = open_lora(loras.write(tmp_path / "b.safetensors", loras.peft(second)))
    wanted = expected(first, 0.7)
    for part, tensors in expected(second, -0.3).items():
        for name, tensor in tensors.items():
            wanted[part][name] += tensor - state()[part][name]
    assert_close(merged((one, 0.7), (other, -0.3)), wanted)
    assert_close(merged((other, -0.3), (one, 0.7)), wanted)
    assert_close(merged((one, 1.0), (one, -1.0)), state(), 1e-6)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_files_and_bases_of_half_precision(tmp_path, dtype):
    """A half-precision weight is rounded once: it is the rounded sum, bit for bit."""
    found = {layer: (up.to(dtype), down.to(dtype)) for layer, (up, down) in loras.pairs(state()).items()}
    path = loras.write(tmp_path / "x.safetensors", loras.kohya(found, alpha=None))
    exact = {layer: (up.float(), down.float()) for layer, (up, down) in found.items()}
    assert_close(merged((open_lora(path), 0.8)), expected(exact, 0.8))
    half = merged((open_lora(path), 0.8), dtype=dtype)
    name = f"{OURS[next(iter(found))]}.weight"
    up, down = next(iter(exact.values()))
    wanted = (state()["unet"][name].to(dtype).float()).add(up @ down, alpha=0.8).to(dtype)
    assert torch.equal(half.unet.state_dict()[name], wanted)


def test_a_pickle_of_diffusers(tmp_path):
    found = loras.pairs(state())
    torch.save(loras.processors(found), tmp_path / "pytorch_lora_weights.bin")
    assert_close(merged((open_lora(tmp_path / "pytorch_lora_weights.bin"), 1.0)), expected(found, 1.0))


def test_lycoris_kinds_and_differences(tmp_path):
    prefix = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
    norm = "lora_unet_down_blocks_0_resnets_0_norm1"
    width = CONFIGS["sd1"].unet.channels[-1]
    content = {
        f"{prefix}.hada_w1_a": torch.ones(width, 1),
        f"{prefix}.hada_w1_b": torch.full((1, width), 2.0),
        f"{prefix}.hada_w2_a": torch.full((width, 1), 3.0),
        f"{prefix}.hada_w2_b": torch.ones(1, width),
        f"{norm}.w_norm": torch.full((32,), 0.5),
        f"{norm}.b_norm": torch.full((32,), 0.25),
        "lora_te_text_model_encoder_layers_0_self_attn_v_proj.diff_b": torch.ones(64),
    }
    file = open_lora(loras.write(tmp_path / "x.safetensors", content))
    assert set(file.kinds) == {"LoHa", "full difference"}
    made = merged((file, 0.5))
    before, after = state()["unet"], made.unet.state_dict()
    name = "encoder.middle.attention.blocks.0.self_attention.q.weight"
    torch.testing.assert_close(after[name], before[name] + 3.0)
    torch.testing.assert_close(
        after["encoder.blocks.1.res.norm_1.weight"], before["encoder.blocks.1.res.norm_1.weight"] + 0.25
    )
    torch.testing.assert_close(
        after["encoder.blocks.1.res.norm_1.bias"], before["encoder.blocks.1.res.norm_1.bias"] + 0.125
    )
    bias = "tower.transformer.resblocks.0.attn.in_proj_bias"
    change = made.text.state_dict()[bias] - state()["text"][bias]
    torch.testing.assert_close(change, torch.cat([torch.zeros(128), torch.full((64,), 0.5)]))


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_layer_of_a_published_base_has_its_own_names(preset):
    """Two layers never share a name, and every weight but the embeddings' position has one."""
    found = targets(PRESETS[preset])
    shapes = base_shapes(PRESETS[preset])
    weights = {(part, name) for part in ("unet", "text") for name in shapes[part] if name.endswith("weight")}
    assert {(target.part, target.parameter) for target in found.values()} == weights
    unet = [name for part, name in found if part == "unet"]
    shared = sum(name.startswith(("conv_", "time_emb", "mid_block", "middle_block")) for name in unet)
    assert shared
    assert len(unet) == 2 * sum(part == "unet" for part, _ in weights)


Q = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q"
PAIR = {f"{Q}.lora_up.weight": torch.ones(32, 2), f"{Q}.lora_down.weight": torch.ones(2, 32)}
K = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"


def crossing(width: int) -> dict[str, Tensor]:
    return {f"{K}.lora_up.weight": torch.ones(32, 2), f"{K}.lora_down.weight": torch.ones(2, width)}


REFUSALS = {
    "empty": ({}, WeightsError, "is empty: it holds no tensors"),
    "SDXL": (
        {"lora_te2_text_model_encoder_layers_0_mlp_fc1.lora_up.weight": torch.ones(2, 2)},
        WeightsError,
        "is a LoRA for Stable Diffusion XL; cn supports Stable Diffusion 1 and 2",
    ),
    "SDXL, U-Net only": (
        {"lora_unet_input_blocks_7_1_transformer_blocks_9_attn1_to_q.lora_up.weight": torch.ones(2, 2)},
        WeightsError,
        "Stable Diffusion XL",
    ),
    "SDXL by its text": (crossing(2048), WeightsError, "is for Stable Diffusion XL: it takes text of width 2048"),
    "SD 2 on SD 1": (crossing(1024), WeightsError, "is for Stable Diffusion 2: it takes text of width 1024"),
    "FLUX": (
        {"lora_unet_double_blocks_0_img_attn_qkv.lora_up.weight": torch.ones(2, 2)},
        WeightsError,
        "is a LoRA for FLUX",
    ),
    "FLUX of diffusers": (
        {"transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight": torch.ones(2, 2)},
        WeightsError,
        "is a LoRA for FLUX",
    ),
    "SD 3": (
        {"transformer.transformer_blocks.0.attn.to_q.lora_A.weight": torch.ones(2, 2)},
        WeightsError,
        "a diffusion transformer (SD 3, FLUX or similar)",
    ),
    "Wan": (
        {"diffusion_model.blocks.0.self_attn.q.lora_A.weight": torch.ones(2, 2)},
        WeightsError,
        "a diffusion transformer (Wan",
    ),
    "DoRA": (PAIR | {f"{Q}.dora_scale": torch.ones(32, 1)}, WeightsError, "is a DoRA"),
    "DoRA of PEFT": (
        {"unet.a.to_q.lora_magnitude_vector": torch.ones(3), "unet.a.to_q.lora_A.weight": torch.ones(2, 2)},
        WeightsError,
        "is a DoRA",
    ),
    "OFT": ({f"{Q}.oft_blocks": torch.ones(2, 2, 2)}, WeightsError, "is an OFT adapter"),
    "GLoRA": ({f"{Q}.{n}.weight": torch.ones(2, 2) for n in ("a1", "a2", "b1", "b2")}, WeightsError, "a GLoRA"),
    "half a layer": (
        {f"{Q}.lora_up.weight": torch.ones(32, 2)},
        WeightsError,
        "incomplete layer: down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q has no down",
    ),
    "layers of another U-Net": (
        PAIR
        | {f"{Q.replace('down_blocks_0', f'down_blocks_{n}')}.diff": torch.ones(2, 2) for n in (5, 6, 7, 8)},
        WeightsError,
        "4 of its 5 layers are not in the base: down_blocks_5_attentions_0",
    ),
    "other tensors": (PAIR | {"something": torch.ones(2)}, WeightsError, "holds tensors that no LoRA has: something"),
    "another shape": (
        {f"{Q}.lora_up.weight": torch.ones(16, 2), f"{Q}.lora_down.weight": torch.ones(2, 32)},
        WeightsError,
        "attn1_to_q: it is for a weight of 16×32, but the base's is 32×32",
    ),
    "one layer twice": (
        PAIR | {"unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q.lora_A.weight": torch.ones(2, 32)},
        WeightsError,
        "changes one layer twice",
    ),
    "not finite": (
        {f"{Q}.lora_up.weight": torch.full((32, 2), torch.nan), f"{Q}.lora_down.weight": torch.ones(2, 32)},
        InputError,
        "holds numbers that are not finite",
    ),
    "alpha of NaN": (PAIR | {f"{Q}.alpha": torch.tensor(torch.nan)}, InputError, "alpha of down_blocks_0"),
    "whole numbers": (
        {f"{Q}.lora_up.weight": torch.ones(32, 2, dtype=torch.int32), f"{Q}.lora_down.weight": torch.ones(2, 32)},
        WeightsError,
        "its up is I32",
    ),
    "a bias that is not there": (PAIR | {f"{Q}.diff_b": torch.ones(32)}, WeightsError, "not for a bias of the base"),
    "a textual inversion": ({"emb_params": torch.ones(2, 768)}, WeightsError, "but this is a textual inversion"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSALS)
def test_what_is_refused(tmp_path, case):
    content, kind, words = REFUSALS[case]
    path = loras.write(tmp_path / "x.safetensors", content)
    with pytest.raises(CnError) as caught:
        merged((open_lora(path), 1.0))
    assert type(caught.value) is kind
    assert str(caught.value).startswith(str(path))
    assert words in str(caught.value)
    assert len(str(caught.value)) < 400


def test_checkpoints_given_as_lora(tmp_path):
    native_control(tmp_path / "control.safetensors", "sd1")
    native_base(tmp_path / "base.safetensors", "sd1")
    for name in ("control", "base"):
        with pytest.raises(WeightsError, match=f"a LoRA was expected, but this is a {name}"):
            open_lora(tmp_path / f"{name}.safetensors")
    save_file({"lora_controlnet": torch.ones(1), "input_hint_block.0.up": torch.ones(1)}, tmp_path / "c.safetensors")
    with pytest.raises(WeightsError, match="but this is a ControlLoRA"):
        open_lora(tmp_path / "c.safetensors")


def test_damaged_settings_of_peft(tmp_path):
    found = loras.peft(loras.pairs(state()))
    for value in ("[1]", "{", '{"unet.lora_alpha": "x"}', '{"unet.lora_alpha": 1, "unet.alpha_pattern": 3}'):
        path = loras.write(tmp_path / "x.safetensors", found, {"lora_adapter_metadata": value})
        with pytest.raises(InputError):
            open_lora(path)
    path = loras.write(tmp_path / "x.safetensors", found, {"lora_adapter_metadata": '{"unet.use_dora": true}'})
    with pytest.raises(WeightsError, match="is a DoRA"):
        open_lora(path)


@pytest.mark.parametrize("name", ["", "x", ".alpha", "lora_unet_.", "model.diffusion_model.input_blocks.0.0.weight"])
def test_names_of_other_tensors_are_not_understood(name):
    assert understand(name) is None
