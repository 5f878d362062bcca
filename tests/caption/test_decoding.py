"""Beam search and nucleus sampling: against all captions that there are, on a network that is a table."""

import itertools
import math
import random

import pytest
import torch

from cn.caption.decoding import Vocabulary, decode
from cn.caption.settings import CaptionSettings
from cn.errors import UsageError, WeightsError

START, END, NEVER = 5, 4, 3
WORDS = Vocabulary((START,), END, (NEVER, START))


class Table:
    """A network whose next token depends on the image and on the last two tokens; it remembers as real ones do."""

    def __init__(self, seeds, peak=2.0):
        self.logits = torch.stack(
            [torch.randn(6, 6, 6, generator=torch.Generator().manual_seed(seed)) * peak for seed in seeds]
        )
        self.texts = [[[]] for _ in seeds]
        self.steps = 0

    def step(self, tokens):
        self.steps += 1
        rows = []
        for logits, texts, last in zip(self.logits, self.texts, tokens.tolist(), strict=True):
            for text, token in zip(texts, last, strict=True):
                text.append(token)
            rows.append(torch.stack([self.next(logits, text) for text in texts]))
        return torch.stack(rows)

    @staticmethod
    def next(logits, text):
        return logits[text[-2] if len(text) > 1 else START, text[-1]]

    def select(self, images, beams):
        self.texts = [
            [list(self.texts[image][beam]) for beam in chosen]
            for image, chosen in zip(images.tolist(), beams.tolist(), strict=True)
        ]
        self.logits = self.logits[images]


def total(logits, words):
    """The log-probability of a caption, its end included."""
    text, found = [START], 0.0
    for word in [*words, END]:
        found += float(Table.next(logits, text).log_softmax(0)[word])
        text.append(word)
    return found


def best(logits, least, most):
    """The caption of the highest mean log-probability, among all that there are."""
    every = [words for n in range(least, most + 1) for words in itertools.product(range(3), repeat=n)]
    return list(max(every, key=lambda words: total(logits, words) / (len(words) + 1)))


def run(seeds, numbers=None, **settings):
    network = Table(seeds)
    chosen = CaptionSettings(**{"min_length": 0, **settings})
    return decode(network, WORDS, chosen, list(numbers or [0] * len(seeds)), torch.device("cpu")), network


@pytest.mark.parametrize(("least", "most"), [(0, 3), (2, 3), (0, 1), (3, 3)])
def test_with_beams_for_all_the_best_of_all_captions_is_found(least, most):
    # So many beams that nothing is dropped; they end only when nothing better can come.
    seeds = range(12)
    found, _ = run(seeds, min_length=least, max_length=most, num_beams=32)
    expected = [best(logits, least, most) for logits in Table(seeds).logits]
    assert found == expected
    assert len({tuple(words) for words in expected}) > 1
    assert {len(words) for words in expected} <= set(range(least, most + 1))


def test_greedy_takes_the_best_word_each_time():
    found, _ = run(range(8), num_beams=1, max_length=6)
    for words, logits in zip(found, Table(range(8)).logits, strict=True):
        text = [START]
        expected = []
        for _ in range(6):
            logs = Table.next(logits, text).clone()
            logs[[NEVER, START]] = -math.inf
            if (token := int(logs.argmax())) == END:
                break
            expected.append(token)
            text.append(token)
        assert words == expected


@pytest.mark.parametrize("settings", [{"num_beams": 3}, {"num_beams": 1}, {"decoding": "nucleus", "top_p": 0.9}])
def test_an_image_gets_the_same_caption_in_any_batch(settings):
    seeds = list(range(9))
    together, _ = run(seeds, seeds, max_length=8, **settings)
    alone = [run([seed], [seed], max_length=8, **settings)[0][0] for seed in seeds]
    turned, _ = run(seeds[::-1], seeds[::-1], max_length=8, **settings)
    assert together == alone == turned[::-1]
    assert len({len(words) for words in together}) > 1, "they end at different steps"


def test_it_stops_when_all_have_ended():
    network = Table([0])
    network.logits[:, :, :, END] = 30
    assert decode(network, WORDS, CaptionSettings(min_length=0, max_length=60), [0], torch.device("cpu")) == [[]]
    assert network.steps < 4


def test_nucleus_draws_in_proportion_from_the_smallest_set():
    network = Table([1])
    logs = network.logits[0, START, START].clone()
    logs[[NEVER, START]] = -math.inf
    shares = logs.softmax(0)
    ordered = shares.sort(descending=True).values
    top_p = float(ordered[0]) + 1e-3
    allowed = set(shares.topk(2).indices.tolist())
    firsts = [run([1], [n], decoding="nucleus", top_p=top_p, max_length=1)[0][0][:1] or [END] for n in range(4000)]
    drawn = [token for (token,) in firsts]
    assert set(drawn) == allowed
    a, b = sorted(allowed)
    expected = float(shares[a] / (shares[a] + shares[b]))
    # Four standard deviations.
    assert abs(drawn.count(a) / 4000 - expected) < 4 * math.sqrt(expected * (1 - expected) / 4000)


def test_nucleus_is_a_function_of_the_seed():
    source = random.Random(3)
    numbers = [source.getrandbits(60) for _ in range(5)]
    once, _ = run([0] * 5, numbers, decoding="nucleus", top_p=1.0, max_length=10)
    again, _ = run([0] * 5, numbers, decoding="nucleus", top_p=1.0, max_length=10)
    assert once == again
    assert len(set(map(tuple, once))) > 1


def test_no_tokens_in_a_row_twice():
    free, _ = run(range(20), max_length=12, min_length=12, num_beams=2)
    held, _ = run(range(20), max_length=12, min_length=8, num_beams=2, no_repeat_ngram=2)

    def repeats(words):
        pairs = list(itertools.pairwise(words))
        return len(pairs) != len(set(pairs))

    assert any(map(repeats, free))
    assert not any(map(repeats, held))


@pytest.mark.parametrize("decoding", ["beam", "nucleus"])
def test_where_every_word_is_taken_the_caption_ends(decoding):
    found, _ = run(range(4), range(4), min_length=5, no_repeat_ngram=1, decoding=decoding, top_p=1.0)
    assert [sorted(words) for words in found] == [[0, 1, 2]] * 4


def test_the_penalty_makes_captions_less_repetitive():
    free, _ = run(range(20), max_length=10, min_length=10)
    held, _ = run(range(20), max_length=10, min_length=10, repetition_penalty=5.0)
    assert sum(len(set(words)) for words in held) > sum(len(set(words)) for words in free)


def test_numbers_that_are_not_finite_are_refused():
    network = Table([0])
    network.logits[0, START, START, 0] = math.nan
    with pytest.raises(WeightsError, match="precision fp32"):
        decode(network, WORDS, CaptionSettings(), [0], torch.device("cpu"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"min_length": 9, "max_length": 8}, "--min-length 9 is more than --max-length 8"),
        ({"top_p": 0.0}, "--top-p must be above 0"),
        ({"num_beams": 0}, "--num-beams must be between 1 and 32"),
        ({"max_length": 76}, "--max-length must be between 1 and 75"),
    ],
)
def test_settings_out_of_range(values, message):
    with pytest.raises(UsageError, match=message):
        CaptionSettings(**values)
