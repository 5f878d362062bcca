"""CLIP's text tower: transformers stores queries, keys and values separately, open_clip (like cn) in one matrix.

Source: CLIPTextModel of transformers 5.23 without its prefix `text_model.`; TextTransformer of open_clip 3.3.
"""

from cn.checkpoints.keymaps.keymap import Rules, Table

TRANSFORMERS: Rules = {
    "tower.token_embedding": "embeddings.token_embedding",
    "tower.positional_embedding": "embeddings.position_embedding.weight",
    "tower.transformer.resblocks.{n}.ln_{i}": "encoder.layers.{n}.layer_norm{i}",
    "tower.transformer.resblocks.{n}.attn.in_proj_{weight_or_bias}": (
        "encoder.layers.{n}.self_attn.q_proj.{weight_or_bias}",
        "encoder.layers.{n}.self_attn.k_proj.{weight_or_bias}",
        "encoder.layers.{n}.self_attn.v_proj.{weight_or_bias}",
    ),
    "tower.transformer.resblocks.{n}.attn.out_proj": "encoder.layers.{n}.self_attn.out_proj",
    "tower.transformer.resblocks.{n}.mlp.c_fc": "encoder.layers.{n}.mlp.fc1",
    "tower.transformer.resblocks.{n}.mlp.c_proj": "encoder.layers.{n}.mlp.fc2",
    "tower.ln_final": "final_layer_norm",
}
OPEN_CLIP: Rules = {"tower.{rest}": "{rest}"}


def transformers() -> Table:
    return Table(TRANSFORMERS)


def open_clip() -> Table:
    return Table(OPEN_CLIP)
