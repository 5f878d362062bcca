"""The text encoder: token ids, padding and the tower against plain formulas and transformers' numbers."""

import json
from dataclasses import replace

import pytest
import torch

from cn.model.config import PRESETS
from cn.model.text import TextEncoder, tokenize
from cn.model.tokens import token_count
from tests.golden import cases
from tests.helpers import plain
from tests.helpers.model_helpers import GOLDEN, TEXTS, fill, golden, parameters, relative

START, END = 49406, 49407
SD1, SD2 = PRESETS["sd15"].text, PRESETS["sd21"].text


@pytest.fixture(scope="module", params=["sd1", "sd2"])
def encoder(request: pytest.FixtureRequest) -> TextEncoder:
    return fill(TextEncoder(TEXTS[request.param])).requires_grad_(False)


def test_published_sizes() -> None:
    """CLIP ViT-L/14's text model has exactly 123,060,480 parameters; ViT-H/14's all of its 24 layers."""
    with torch.device("meta"):
        assert parameters(TextEncoder(SD1)) == 123_060_480
        large = TextEncoder(SD2)
    block = 12 * 1024**2 + 13 * 1024
    assert parameters(large) == (49408 + 77) * 1024 + 24 * block + 2 * 1024
    assert SD2.run_layers == 23


def test_token_ids_agree_with_transformers() -> None:
    """CLIPTokenizer gives these ids: case, punctuation, accents, other scripts, emoji, 75, 76 and 120 tokens."""
    expected = json.loads((GOLDEN / "tokens.json").read_text(encoding="utf-8"))
    assert list(expected) == cases.PROMPTS
    for prompt, ids in expected.items():
        assert tokenize([prompt], SD1)[0, : len(ids)].tolist() == ids


def test_always_77_tokens() -> None:
    """Start, at most 75, end; the rest of a longer prompt is cut off."""
    tokens = tokenize(["", "a cat", "very " * 75, "very " * 76, "very " * 500], SD1)
    assert tokens.shape == (5, 77)
    assert tokens.dtype == torch.int64
    assert (tokens[:, 0] == START).all()
    assert torch.equal(tokens[2], tokens[3])
    assert torch.equal(tokens[2], tokens[4])
    assert tokens[2, -1] == END
    assert (tokens[2, 1:-1] == 1070).all()


@pytest.mark.parametrize(("config", "pad"), [(SD1, END), (SD2, 0)])
def test_padding(config, pad: int) -> None:
    """SD 1 repeats the end token, SD 2 pads with 0."""
    assert tokenize(["", "a cat"], config).tolist() == [
        [START, END, *[pad] * 75],
        [START, 320, 2368, END, *[pad] * 73],
    ]


def test_exclamation_mark_is_a_character() -> None:
    """ "!" (token 0 alone, 256 at a word's end) is not taken for SD 2's padding."""
    assert tokenize(["day!!"], SD2)[0, :4].tolist() == [START, 575, 748, END]
    assert tokenize(["!"], SD2)[0, :4].tolist() == [START, 256, END, 0]


def test_end_token_cannot_be_written() -> None:
    """The words "<|endoftext|>" in a prompt are plain text: what follows is still read."""
    tokens = tokenize(["a <|endoftext|> cat"], SD1)[0].tolist()
    assert tokens.index(END) > tokens.index(2368)


def test_token_count() -> None:
    """Counted without start and end, beyond 75 too."""
    assert [token_count(p) for p in ("", "a cat", "very " * 90)] == [0, 2, 90]


def test_tower_in_plain_formulas(encoder: TextEncoder) -> None:
    """Causal attention, quick or exact GELU, `run_layers` blocks, final LayerNorm; padding is attended to."""
    config = encoder.config
    tokens = tokenize(["a cat on a mat", ""], config)
    ours = encoder(tokens)
    assert ours.shape == (2, 77, config.width)
    w = plain.weights(encoder)
    exact = fill(TextEncoder(config)).requires_grad_(False).double()
    assert relative(exact(tokens), plain.text_tower(w, config, tokens)) < 1e-10
    assert relative(ours, exact(tokens)) < 4e-6
    assert relative(ours, plain.text_tower(w, replace(config, quick_gelu=not config.quick_gelu), tokens)) > 1e-3
    assert relative(ours, plain.text_tower(w, replace(config, run_layers=1), tokens)) > 1e-2


@pytest.mark.parametrize("layout", ["sd1", "sd2"])
def test_golden(layout: str) -> None:
    """transformers' CLIPTextModel gives these states on the same weights and ids."""
    net = fill(TextEncoder(TEXTS[layout]))
    ours = cases.thin_text(net(cases.tokens(layout)))
    assert relative(ours, golden("networks")[f"{layout}.text"]) < 4e-6


def test_no_token_sees_a_later_one(encoder: TextEncoder) -> None:
    """Changing token 5 leaves states 0 to 4 as they are, and changes all from 5 on."""
    tokens = tokenize(["a red house by the sea"], encoder.config)
    changed = tokens.clone()
    changed[0, 5] = 1000
    difference = (encoder(tokens) - encoder(changed))[0].abs().amax(dim=-1)
    assert difference[:5].max() < 1e-5
    assert difference[5:].min() > 1e-4


def test_layers_beyond_the_run_are_not_used() -> None:
    """SD 2: the last layer is in the file but takes no part."""
    net = fill(TextEncoder(TEXTS["sd2"])).requires_grad_(False)
    tokens = tokenize(["a cat"], net.config)
    before = net(tokens)
    for p in net.tower.transformer.resblocks[-1].parameters():
        p.fill_(float("nan"))
    assert torch.equal(net(tokens), before)


def test_encode(encoder: TextEncoder) -> None:
    """Prompts in, states out: the same as of their tokens, one prompt at a time or together."""
    prompts = ["a cat", "a dancer in a red coat on snow at dusk"]
    together = encoder.encode(prompts)
    assert torch.equal(together, encoder(tokenize(prompts, encoder.config)))
    assert relative(encoder.encode(prompts[1:]), together[1:]) < 1e-6


def test_made_on_the_meta_device() -> None:
    """A tower made without memory and filled by assignment works: nothing but parameters is kept in it."""
    real = fill(TextEncoder(TEXTS["sd1"])).requires_grad_(False)
    with torch.device("meta"):
        net = TextEncoder(TEXTS["sd1"])
    net.load_state_dict(real.state_dict(), assign=True)
    net.to("cpu", torch.float32)  # refused if anything without values were left
    assert torch.equal(net.eval().encode(["a cat"]), real.encode(["a cat"]))


def test_every_parameter_takes_part() -> None:
    """Each parameter gets a gradient."""
    net = fill(TextEncoder(TEXTS["sd1"]))
    net.encode(["a cat"]).square().sum().backward()
    assert [k for k, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []
