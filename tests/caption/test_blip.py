"""BLIP: our decoding against `generate` of transformers, its preprocessing against that of its processor."""

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import BlipImageProcessor
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

from cn.caption.blip import BlipCaptioner, BlipTexts, preprocess
from cn.caption.captioner import Compute
from cn.caption.decoding import Vocabulary, decode
from cn.caption.settings import CaptionSettings
from cn.errors import WeightsError
from tests.helpers.tiny_captioners import VOCABULARY, blip

CPU = Compute(torch.device("cpu"), torch.float32)
START, SEP = len(VOCABULARY), VOCABULARY.index("[SEP]")


def pictures(count, seed=0):
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def photographs():
    random = np.random.default_rng(0)
    sizes = [(40, 60), (200, 31), (32, 32), (7, 500), (1, 1)]
    return [random.integers(0, 256, (*size, 3), dtype=np.uint8) for size in sizes]


def smooth():
    """Without noise, which bicubic filters exaggerate."""
    small = np.random.default_rng(1).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return [np.asarray(Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)) for size in ((90, 60), (31, 200))]


def ours(model, images, **settings):
    chosen = CaptionSettings(**settings)
    with torch.inference_mode():
        texts = BlipTexts(model, model.vision_model(pixel_values=images).last_hidden_state)
        return decode(texts, Vocabulary((START,), SEP), chosen, [0] * len(images), torch.device("cpu"))


def theirs(model, images, beams, least):
    """The captions of transformers; those that were cut off at the end are None."""
    found = []
    for image in images:
        out = model.generate(image[None], num_beams=beams, do_sample=False, min_new_tokens=least, max_new_tokens=40)[0]
        words = out.tolist()[1:]
        found.append(words[: words.index(SEP)] if SEP in words else None)
    return found


@pytest.mark.parametrize(("beams", "least"), [(1, 0), (2, 3), (3, 0), (3, 5), (5, 1)])
def test_captions_are_those_of_transformers(beams, least):
    compared = []
    for seed in range(6):
        model = blip(seed)
        # Softer, and with places that matter, so that captions end, and end at different lengths.
        model.text_decoder.bert.embeddings.position_embeddings.weight.data *= 4
        model.text_decoder.cls.predictions.transform.LayerNorm.weight.data *= 0.1
        model.text_decoder.cls.predictions.decoder.bias.data[SEP] += 0.5
        images = pictures(2, seed=seed)
        found = ours(model, images, num_beams=beams, min_length=least, max_length=39)
        expected = theirs(model, images, beams, least)
        compared += [(a, b) for a, b in zip(found, expected, strict=True) if b is not None]
    assert [a for a, _ in compared] == [b for _, b in compared]
    assert len(compared) >= 4
    assert len({tuple(b) for _, b in compared}) > 2


def test_one_token_at_a_time_gives_what_whole_texts_give():
    model = blip(7)
    images = pictures(2)
    texts = [[START, 5, 6, 7, 8, 9], [START, 12, 11, 10, 9, 3]]
    with torch.inference_mode():
        expected = model(pixel_values=images, input_ids=torch.tensor(texts)).logits
        network = BlipTexts(model, model.vision_model(pixel_values=images).last_hidden_state)
        found = torch.cat([network.step(torch.tensor([[a], [b]])) for a, b in zip(*texts, strict=True)], 1)
    assert torch.allclose(found, expected, atol=1e-3, rtol=1e-4)
    assert (expected[0] - expected[1]).abs().max() > 1


def test_preprocessing_is_that_of_the_processor():
    processor = BlipImageProcessorPil(size={"height": 32, "width": 32})
    for image in photographs()[:-1]:
        expected = processor(images=image, return_tensors="pt")["pixel_values"][0]
        assert torch.allclose(preprocess(image, 32), expected, atol=1e-5)


def test_preprocessing_is_that_of_the_fast_processor_but_for_rounding():
    processor = BlipImageProcessor(size={"height": 32, "width": 32})
    for image in smooth():
        expected = processor(images=image, return_tensors="pt")["pixel_values"][0]
        # One gray level of 255, over the smallest deviation.
        assert (preprocess(image, 32) - expected).abs().max() <= 1.01 / 255 / 0.2613


@pytest.fixture(scope="module")
def captioner():
    return BlipCaptioner(blip(3), VOCABULARY, CaptionSettings(max_length=10), CPU)


def test_captions_begin_after_the_prompt(captioner):
    assert captioner.vocabulary.prompt == (START, *(VOCABULARY.index(word) for word in ("a", "picture", "of")))
    images = photographs()
    pixels = torch.stack([preprocess(image, 32) for image in images])
    with torch.inference_mode():
        places = captioner.model.vision_model(pixel_values=pixels).last_hidden_state
        tokens = decode(
            BlipTexts(captioner.model, places), captioner.vocabulary, captioner.settings, [0] * 5, places.device
        )
    assert captioner.caption(images) == [captioner.text(words) for words in tokens]
    assert all(5 <= len(words) <= 10 for words in tokens)


def test_a_caption_does_not_depend_on_the_batch(captioner):
    images = photographs()
    texts = captioner.caption(images)
    assert texts == [captioner.caption([image])[0] for image in images]
    assert texts == captioner.caption(images[::-1])[::-1]
    assert len(set(texts)) > 1


def test_tokens_that_are_no_words_are_never_written():
    model = blip(3)
    model.text_decoder.cls.predictions.decoder.bias.data[[0, 1, 2, 4, START, START + 1]] = 1000
    words = {word.removeprefix("##") for word in VOCABULARY[5:]}
    for decoding in ("beam", "nucleus"):
        settings = CaptionSettings(max_length=10, decoding=decoding)
        for text in BlipCaptioner(model, VOCABULARY, settings, CPU).caption(photographs()):
            assert "[" not in text
            assert text[0] in {word[0] for word in words}


def test_pieces_of_words_are_joined(captioner):
    tokens = [VOCABULARY.index(word) for word in ("the", "cat", "'", "s", "dog", "##s", ",", "run", "##ning", ".")]
    assert captioner.text(tokens) == "the cat's dogs, running"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cat", "dog"], "vocab.txt: is not the vocabulary of BERT: it has no a picture of"),
        ([*VOCABULARY, "x", "y", "z"], "vocab.txt: has 24 words, but the network 23"),
    ],
)
def test_another_vocabulary_is_refused(words, message):
    with pytest.raises(WeightsError, match=message):
        BlipCaptioner(blip(), words, CaptionSettings(), CPU)
