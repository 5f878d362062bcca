"""What diffusers and transformers call each of our parameters, and loading by these names."""

import re
from collections.abc import Callable

from open_clip.tokenizer import SimpleTokenizer
from torch import nn

RES = {"norm_1": "norm1", "conv_1": "conv1", "time": "time_emb_proj", "norm_2": "norm2", "conv_2": "conv2"}
RES["skip"] = "conv_shortcut"
TRANSFORMER = {
    "blocks.0.norm_": "transformer_blocks.0.norm",
    "blocks.0.self_attention.": "transformer_blocks.0.attn1.to_",
    "blocks.0.cross_attention.": "transformer_blocks.0.attn2.to_",
    "blocks.0.feed_forward.inner": "transformer_blocks.0.ff.net.0.proj",
    "blocks.0.feed_forward.outer": "transformer_blocks.0.ff.net.2",
    "to_out.": "to_out.0.",
}
VAE_ATTENTION = {"norm": "group_norm", "q": "to_q", "k": "to_k", "v": "to_v", "out": "to_out.0"}
TEXT = {"ln_1": "layer_norm1", "ln_2": "layer_norm2", "attn.out_proj": "self_attn.out_proj"}
TEXT |= {"mlp.c_fc": "mlp.fc1", "mlp.c_proj": "mlp.fc2"}


def load(theirs: nn.Module, ours: nn.Module, name: Callable[[str], str]) -> nn.Module:
    """Our weights into their network; every tensor of both must be used."""
    shapes = {k: v.shape for k, v in theirs.state_dict().items()}
    weights = {name(k): v for k, v in ours.state_dict().items()}
    theirs.load_state_dict({k: v.reshape(shapes[k]) for k, v in weights.items()}, strict=True)
    return theirs.eval()


def _res(key: str) -> str:
    part, rest = key.split(".", 1)
    return f"{RES[part]}.{rest}"


def _transformer(key: str) -> str:
    for ours, theirs in TRANSFORMER.items():
        key = key.replace(ours, theirs)
    return key


def _block(side: str, level: int, index: int, rest: str) -> str:
    part, rest = rest.split(".", 1)
    if part == "res":
        return f"{side}.{level}.resnets.{index}.{_res(rest)}"
    if part == "attention":
        return f"{side}.{level}.attentions.{index}.{_transformer(rest)}"
    return f"{side}.{level}.downsamplers.0.conv.{rest}" if part == "conv" else f"{side}.{level}.upsamplers.0.{rest}"


def _encoder(key: str) -> str:
    if key.startswith("time_embedding."):
        return key
    if match := re.fullmatch(r"middle\.res_(\d)\.(.+)", key):
        return f"mid_block.resnets.{int(match[1]) - 1}.{_res(match[2])}"
    if key.startswith("middle."):
        return f"mid_block.attentions.0.{_transformer(key.removeprefix('middle.attention.'))}"
    _, number, rest = key.split(".", 2)
    return f"conv_in.{rest}" if number == "0" else _block("down_blocks", *divmod(int(number) - 1, 3), rest)


def unet(key: str) -> str:
    side, key = key.split(".", 1)
    if side == "encoder":
        return _encoder(key)
    if key.startswith("blocks."):
        _, number, rest = key.split(".", 2)
        return _block("up_blocks", *divmod(int(number), 3), rest)
    return key.replace("norm_out", "conv_norm_out")


def control(key: str) -> str:
    if match := re.fullmatch(r"condition_encoder\.layers\.(\d)\.(.+)", key):
        part = "conv_in" if match[1] == "0" else f"blocks.{int(match[1]) - 1}"
        return f"controlnet_cond_embedding.{part}.{match[2]}"
    if key.startswith("encoder."):
        return _encoder(key.removeprefix("encoder."))
    key = key.replace("condition_encoder.zero", "controlnet_cond_embedding.conv_out")
    return key.replace("zero_convolutions", "controlnet_down_blocks").replace("zero_middle", "controlnet_mid_block")


def vae(key: str) -> str:
    side, rest = key.split(".", 1)
    if side in ("quant", "post_quant"):
        return f"{side}_conv.{rest}"
    rest = rest.replace("norm_out", "conv_norm_out")
    if match := re.fullmatch(r"middle\.res_(\d)\.(.+)", rest):
        return f"{side}.mid_block.resnets.{int(match[1]) - 1}.{_res(match[2])}"
    if match := re.fullmatch(r"middle\.attention\.(\w+)\.(.+)", rest):
        return f"{side}.mid_block.attentions.0.{VAE_ATTENTION[match[1]]}.{match[2]}"
    if not rest.startswith("blocks."):
        return f"{side}.{rest}"
    _, number, rest = rest.split(".", 2)
    down = side == "encoder"
    level, index = divmod(int(number), 3 if down else 4)
    if rest.startswith("conv."):
        return f"{side}.{'down_blocks' if down else 'up_blocks'}.{level}.{'down' if down else 'up'}samplers.0.{rest}"
    return f"{side}.{'down_blocks' if down else 'up_blocks'}.{level}.resnets.{index}.{_res(rest)}"


def load_text(theirs: nn.Module, ours: nn.Module, layers: int) -> nn.Module:
    """The text tower's first `layers` blocks; q, k and v are one matrix in ours, three in theirs."""
    tower = {k.removeprefix("tower."): v for k, v in ours.state_dict().items()}
    weights = {
        "embeddings.token_embedding.weight": tower["token_embedding.weight"],
        "embeddings.position_embedding.weight": tower["positional_embedding"],
    }
    for kind in ("weight", "bias"):
        weights[f"final_layer_norm.{kind}"] = tower[f"ln_final.{kind}"]
        for n in range(layers):
            a, b = f"transformer.resblocks.{n}.", f"encoder.layers.{n}."
            weights |= {f"{b}{v}.{kind}": tower[f"{a}{k}.{kind}"] for k, v in TEXT.items()}
            parts = tower[f"{a}attn.in_proj_{kind}"].chunk(3)
            weights |= {f"{b}self_attn.{c}_proj.{kind}": p for c, p in zip("qkv", parts, strict=True)}
    theirs.load_state_dict(weights, strict=True)
    return theirs.eval()


def clip_vocabulary() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """CLIP's vocabulary and merges, from open_clip's copy of the published file."""
    tokenizer = SimpleTokenizer()
    special = {49406: "<|startoftext|>", 49407: "<|endoftext|>"}
    vocabulary = {special.get(i, token): i for token, i in tokenizer.encoder.items()}
    return vocabulary, sorted(tokenizer.bpe_ranks, key=tokenizer.bpe_ranks.__getitem__)
