"""CoCa: our decoding with its memory against open_clip's own forward pass on whole texts, without any memory."""

import math

import numpy as np
import pytest
import torch

from cn.caption.captioner import Compute
from cn.caption.coca import END, START, CocaCaptioner, CocaTexts
from cn.caption.decoding import Vocabulary, decode
from cn.caption.settings import CaptionSettings
from tests.helpers.tiny_captioners import coca

CPU = Compute(torch.device("cpu"), torch.float32)
WORDS = 7
"""Vocabulary of the smallest one: 0 pads, 5 starts, 6 ends."""
SMALL = Vocabulary((5,), 6, (0, 5))


def pictures(count, seed=0):
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def next_logs(model, image, text):
    """Log-probabilities of the next token, from the whole text."""
    with torch.inference_mode():
        out = model(image[None], torch.tensor([text]), output_labels=False)
    return out["logits"][0, -1].float().log_softmax(-1)


def slow_search(model, image, beams, least, most):
    """Beam search as it is written in textbooks, computing everything anew for each text."""
    running, ended = [(0.0, [])], []
    for length in range(1, most + 2):
        every = []
        for score, text in running:
            logs = next_logs(model, image, [5, *text]).tolist()
            for token in range(WORDS):
                if token in (0, 5) or (token == 6 and length <= least) or (token != 6 and length > most):
                    continue
                every.append((score + logs[token], text, token))
        every.sort(key=lambda one: -one[0])
        every = every[: 2 * beams]
        for score, text, token in every[:beams]:
            if token == 6:
                ended.append((score / length, text))
        ended = sorted(ended, key=lambda one: -one[0])[:beams]
        running = [(score, [*text, token]) for score, text, token in every if token != 6][:beams]
        if not running or (len(ended) == beams and ended[-1][0] >= running[0][0] / length):
            break
    return ended[0][1]


def test_one_token_at_a_time_gives_what_whole_texts_give():
    model = coca(1, vocab_size=50)
    images = pictures(2)
    texts = [[49, 3, 7, 22, 7, 9, 31, 48], [49, 8, 8, 1, 40, 2, 5, 6]]
    with torch.inference_mode():
        expected = model(images, torch.tensor(texts), output_labels=False)["logits"]
        network = CocaTexts(model, model(images)["image_embs"])
        found = torch.cat([network.step(torch.tensor([[a], [b]])) for a, b in zip(*texts, strict=True)], 1)
    assert torch.allclose(found, expected, atol=2e-4, rtol=1e-4)
    assert expected.std() > 1, "the numbers are not all the same"
    assert (expected[0] - expected[1]).abs().max() > 1


def test_selected_texts_go_on_as_if_they_were_alone():
    model = coca(2, vocab_size=50)
    images = pictures(3)
    with torch.inference_mode():
        network = CocaTexts(model, model(images)["image_embs"])
        network.step(torch.full((3, 1), 49))
        network.select(torch.tensor([0, 2]), torch.tensor([[0, 0], [0, 0]]))
        network.step(torch.tensor([[3, 4], [5, 6]]))
        network.select(torch.tensor([0, 1]), torch.tensor([[0, 1, 1], [1, 1, 0]]))
        found = network.step(torch.tensor([[10, 11, 12], [7, 8, 9]]))
    whole = [
        [(0, [49, 3, 10]), (0, [49, 4, 11]), (0, [49, 4, 12])],
        [(2, [49, 6, 7]), (2, [49, 6, 8]), (2, [49, 5, 9])],
    ]
    for row, texts in enumerate(whole):
        for beam, (image, text) in enumerate(texts):
            expected = next_logs(model, images[image], text)
            assert torch.allclose(found[row, beam].log_softmax(-1), expected, atol=2e-4)


@pytest.mark.parametrize(("beams", "least", "most"), [(1, 0, 6), (2, 2, 6), (3, 0, 5), (4, 1, 9)])
def test_beam_search_is_the_slow_one(beams, least, most):
    # A softer decoder, so that captions have different lengths.
    model = coca(3, vocab_size=WORDS)
    model.text_decoder.text_projection.data *= 0.3
    images = pictures(10, seed=beams)
    settings = CaptionSettings(num_beams=beams, min_length=least, max_length=most)
    with torch.inference_mode():
        found = decode(CocaTexts(model, model(images)["image_embs"]), SMALL, settings, [0] * 10, torch.device("cpu"))
    assert found == [slow_search(model, image, beams, least, most) for image in images]
    assert len({tuple(text) for text in found}) > 1


def test_with_beams_for_all_it_is_the_best_of_all_captions():
    model = coca(4, vocab_size=WORDS)
    model.text_decoder.text_projection.data *= 0.3
    images = pictures(6)
    every = [[]]
    for text in every:
        if len(text) < 2:
            every += [[*text, token] for token in range(1, 5)]

    def mean(image, text):
        logs = [next_logs(model, image, [5, *text[:i]])[token] for i, token in enumerate([*text, 6])]
        return math.fsum(map(float, logs)) / (len(text) + 1)

    settings = CaptionSettings(num_beams=32, min_length=0, max_length=2)
    with torch.inference_mode():
        found = decode(CocaTexts(model, model(images)["image_embs"]), SMALL, settings, [0] * 6, torch.device("cpu"))
    assert found == [max(every, key=lambda text: mean(image, text)) for image in images]


@pytest.fixture(scope="module")
def captioner():
    return CocaCaptioner(coca(5), CaptionSettings(max_length=12), CPU)


def photographs():
    random = np.random.default_rng(0)
    sizes = [(40, 60), (200, 31), (32, 32), (7, 500)]
    return [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def test_captions_are_one_line_without_tokens_of_the_network(captioner):
    texts = captioner.caption(photographs())
    assert len(set(texts)) > 1
    for text in texts:
        assert text == " ".join(text.split())
        assert text
        assert "<" not in text.replace("<3", "")
        assert "_of_text>" not in text


def test_a_caption_does_not_depend_on_the_batch(captioner):
    images = photographs()
    assert captioner.caption(images) == [captioner.caption([image])[0] for image in images]
    assert captioner.caption(images[::-1]) == captioner.caption(images)[::-1]


def test_nucleus_depends_on_image_and_seed_only():
    model = coca(5)
    images = photographs()

    def texts(seed, images):
        settings = CaptionSettings(decoding="nucleus", top_p=1.0, seed=seed, max_length=12)
        return CocaCaptioner(model, settings, CPU).caption(images)

    assert texts(1, images) == texts(1, images[::-1])[::-1] == [texts(1, [image])[0] for image in images]
    assert texts(1, images) != texts(2, images)


def test_preprocessing_is_that_of_open_clip(captioner):
    import open_clip
    from PIL import Image

    image = photographs()[0]
    expected = open_clip.transform.image_transform_v2(open_clip.transform.PreprocessCfg(size=32), is_train=False)
    assert torch.equal(captioner.preprocess(Image.fromarray(image)), expected(Image.fromarray(image)))


def test_the_tokens_are_those_of_open_clip():
    import open_clip

    tokens = open_clip.get_tokenizer("coca_ViT-L-14")(["a cat"])[0].tolist()
    assert tokens[0] == START
    assert tokens.index(END) == 3
    assert open_clip.decode(torch.tensor(tokens[1:3])).strip() == "a cat"
