"""Captioners from files: every layout that people have, what is told from shapes alone, and what is refused."""

import json
import math

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BlipForConditionalGeneration

from cn.caption import create
from cn.caption.settings import CaptionSettings
from cn.errors import CnError, UsageError, WeightsError
from cn.weights import catalog
from tests.helpers.tiny_captioners import COCA, VOCABULARY, blip, blip_folder, coca, coca_folder

IMAGE = np.random.default_rng(4).integers(0, 256, (40, 50, 3), dtype=np.uint8)
SETTINGS = CaptionSettings(max_length=9)


@pytest.fixture(scope="module")
def blip_dir(tmp_path_factory):
    return blip_folder(tmp_path_factory.mktemp("b") / "blip", seed=3)


@pytest.fixture(scope="module")
def coca_dir(tmp_path_factory):
    return coca_folder(tmp_path_factory.mktemp("c") / "coca", seed=5)


@pytest.fixture(autouse=True)
def empty_caches(tmp_path, monkeypatch):
    for name in ("CN_WEIGHTS", "HF_HOME", "TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "caches" / name))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)


def caption(weights, engine=None):
    return create.open_captioner(engine, weights, "cpu", settings=SETTINGS).caption([IMAGE])[0]


def test_loaded_networks_are_those_in_the_files(blip_dir, coca_dir):
    loaded = create.open_captioner(None, blip_dir, "cpu").model
    for name, tensor in blip(3).state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor), name
    pixels = torch.randn(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    words = torch.tensor([[len(VOCABULARY), 5, 6, 7]])
    with torch.inference_mode():
        # The whole forward pass, which also uses what is no weight (numbers of places, masks).
        expected = blip(3)(pixel_values=pixels, input_ids=words).logits
        assert torch.equal(loaded(pixel_values=pixels, input_ids=words).logits, expected)
        network = create.open_captioner(None, coca_dir, "cpu").model
        assert torch.equal(network(pixels, words)["logits"], coca(5)(pixels, words)["logits"])


def test_every_place_of_the_same_weights_gives_the_same_caption(blip_dir, tmp_path):
    expected = caption(blip_dir)
    assert caption(blip_dir / "model.safetensors", "blip") == expected
    # The cache of the Hugging Face hub: the folder of the model, given and found.
    cached = tmp_path / "caches" / "HF_HOME" / "hub" / "models--Salesforce--blip-image-captioning-base"
    (cached / "snapshots").mkdir(parents=True)
    (cached / "snapshots" / "0123abcd").symlink_to(blip_dir)
    assert caption(cached) == expected
    assert caption(None) == expected
    assert caption(None, "blip") == expected
    with pytest.raises(WeightsError, match="cn weights pull blip-large"):
        caption(None, "blip-large")


def original_names(state):
    """As the authors' files name the tensors of the vision transformer, written down from these."""
    found = {}
    for name, tensor in state.items():
        if not name.startswith("vision_model."):
            found[name] = tensor
            continue
        words = name.split(".")
        if words[1] == "embeddings":
            new = {"class_embedding": "cls_token", "position_embedding": "pos_embed"}.get(words[2])
            new = new or f"patch_embed.proj.{words[3]}"
        elif words[1] == "post_layernorm":
            new = f"norm.{words[2]}"
        else:
            rest = ".".join(words[4:])
            for ours, theirs in {
                "layer_norm1": "norm1", "layer_norm2": "norm2", "self_attn.projection": "attn.proj", "self_attn": "attn"
            }.items():  # fmt: skip
                rest = rest.replace(ours, theirs)
            new = f"blocks.{words[3]}.{rest}"
        found[f"visual_encoder.{new}"] = tensor
    return found


def test_the_authors_file_with_its_size_told_by_shapes(blip_dir, tmp_path):
    names = original_names(load_file(blip_dir / "model.safetensors"))
    assert {"visual_encoder.blocks.0.attn.qkv.weight", "visual_encoder.blocks.1.norm2.bias"} <= set(names)
    torch.save({"model": names, "epoch": 3}, tmp_path / "model_base_caption.pth")
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY), encoding="utf-8")
    assert caption(tmp_path / "model_base_caption.pth", "blip") == caption(blip_dir)


def test_the_vocabulary_of_a_tokenizer_file_or_of_the_catalog(blip_dir, tmp_path, monkeypatch):
    for name in ("config.json", "model.safetensors"):
        (tmp_path / name).write_bytes((blip_dir / name).read_bytes())
    with pytest.raises(WeightsError, match="cn weights pull bert-vocab"):
        caption(tmp_path)
    (tmp_path / "words.txt").write_text("\n".join(VOCABULARY) + "\n", encoding="utf-8")
    with monkeypatch.context() as patch:
        patch.setattr(catalog, "locate", {"bert-vocab": tmp_path / "words.txt"}.__getitem__)
        assert caption(tmp_path) == caption(blip_dir)
    words = {word: number for number, word in enumerate(VOCABULARY)}
    (tmp_path / "tokenizer.json").write_text(json.dumps({"model": {"vocab": words}}))
    assert caption(tmp_path) == caption(blip_dir)


def test_a_coca_of_training_and_one_without_its_description(coca_dir, tmp_path):
    state = load_file(coca_dir / "open_clip_model.safetensors")
    torch.save({"state_dict": {f"module.{name}": t for name, t in state.items()}, "epoch": 1}, tmp_path / "epoch_1.pt")
    with pytest.raises(WeightsError, match=r"CoCa of unknown size: put its open_clip_config\.json beside it"):
        caption(tmp_path / "epoch_1.pt")
    (tmp_path / "open_clip_config.json").write_text(json.dumps({"model_cfg": COCA}))
    assert caption(tmp_path) == caption(coca_dir)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("text.ln_final.weight"), "missing text.ln_final.weight"),
        (
            lambda state: state.update({"logit_scale": torch.zeros(3)}),
            r"wrong shape: logit_scale \(3,\) instead of \(\)",
        ),
        (lambda state: state["text.cls_emb"].fill_(math.nan), "text.cls_emb hold values that are not finite"),
    ],
)
def test_weights_that_do_not_fit(coca_dir, tmp_path, change, message):
    state = load_file(coca_dir / "open_clip_model.safetensors")
    change(state)
    save_file(state, tmp_path / "model.safetensors")
    (tmp_path / "open_clip_config.json").write_bytes((coca_dir / "open_clip_config.json").read_bytes())
    with pytest.raises(CnError, match=f"model.safetensors: .*{message}"):
        caption(tmp_path)


def test_what_is_no_captioner(tmp_path):
    save_file({"weight": torch.zeros(3), "bias": torch.zeros(3)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match=r"other.safetensors: holds no captioner that cn knows \(BLIP or CoCa\)"):
        caption(tmp_path / "other.safetensors")
    (tmp_path / "folder").mkdir()
    with pytest.raises(WeightsError, match="holds no weights"):
        caption(tmp_path / "folder")
    with pytest.raises(UsageError, match="--captioner must be blip, blip-large, coca, coca-b-32, not 'git'"):
        create.open_captioner("git", None, "cpu")


def test_a_description_that_is_none_of_a_coca(coca_dir, tmp_path):
    (tmp_path / "open_clip_model.safetensors").symlink_to(coca_dir / "open_clip_model.safetensors")
    for text, message in (('{"model_cfg": {"embed_dim": 3}}', "describes no CoCa"), ("[1]", "is no JSON object")):
        (tmp_path / "open_clip_config.json").write_text(text)
        with pytest.raises(CnError, match=message):
            caption(tmp_path)


def test_the_caption_of_one_image_and_its_network_loaded_once(blip_dir, monkeypatch):
    opened = []
    real = create.open_captioner
    monkeypatch.setattr(create, "open_captioner", lambda *words: opened.append(words) or real(*words))
    settings = CaptionSettings(max_length=9, prefix="a photo:", suffix=", film")
    text = create.caption_image(IMAGE, weights=blip_dir, device="cpu", settings=settings)
    assert len(opened) == 1
    assert text == f"a photo: {real(None, blip_dir, 'cpu', settings=SETTINGS).caption([IMAGE])[0]}, film"
    assert create.caption_image(IMAGE, weights=str(blip_dir), device="cpu", settings=settings) == text
    assert len(opened) == 1


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_lower_precision_computes(blip_dir, coca_dir, precision):
    for folder in (blip_dir, coca_dir):
        network = create.open_captioner(None, folder, "cpu", precision, SETTINGS)
        assert network.caption([IMAGE, IMAGE[::-1]])[0]
        assert {p.dtype for p in network.model.parameters()} == {
            {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        }


def test_transformers_reads_the_tiny_folder_as_we_do(blip_dir):
    theirs = BlipForConditionalGeneration.from_pretrained(blip_dir)
    ours = create.open_captioner(None, blip_dir, "cpu").model
    for name, tensor in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], tensor), name
