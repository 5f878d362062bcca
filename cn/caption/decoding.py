"""From a network that predicts the next token to captions: beam search, and nucleus (top-p) sampling.

Own code, for both networks: `generate` of open_clip stopped working with newer versions of transformers several times
(and adds up logits that are no probabilities), and `generate` of transformers draws random numbers for a whole batch,
so that a caption would depend on its neighbors. Beam search is that of transformers (length penalty 1,
`early_stopping` False), with one difference: a caption that reaches the greatest length has to end there, and is judged
with the probability of its end, so that whole sentences win against those that are cut off.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from cn.caption.settings import CaptionSettings
from cn.errors import WeightsError


class TextNetwork(Protocol):
    """A network that continues texts about images, several (beams) for each image, and remembers what it was fed."""

    def step(self, tokens: Tensor) -> Tensor:
        """Append one token to each text: int64 (images, beams) → logits of the next, (images, beams, vocabulary)."""
        ...

    def select(self, images: Tensor, beams: Tensor) -> None:
        """Keep the images with these numbers, int64 (n,), ascending, and of each its texts with these, (n, beams)."""
        ...


@dataclass(frozen=True)
class Vocabulary:
    """What decoding has to know of a network's tokens."""

    prompt: tuple[int, ...]
    """What each text begins with: the token of the start, and words after which captions were trained."""
    end: int
    forbidden: tuple[int, ...] = ()
    """Tokens that are no text."""


@dataclass
class _Beams:
    """Of one image: the texts that are followed, best first, and the best that have ended, by their scores."""

    scores: list[float] = field(default_factory=lambda: [0.0])
    texts: list[list[int]] = field(default_factory=lambda: [[]])
    ended: list[tuple[float, list[int]]] = field(default_factory=list)


@torch.inference_mode()
def decode(
    network: TextNetwork, vocabulary: Vocabulary, settings: CaptionSettings, seeds: Sequence[int], device: torch.device
) -> list[list[int]]:
    """The tokens of a caption for each image, without prompt and end; `seeds` are those of the images, for nucleus.

    Raises WeightsError where the network gives no finite numbers (fp16 overflows in some networks).
    """
    for token in vocabulary.prompt[:-1]:
        network.step(torch.full((len(seeds), 1), token, device=device))
    first = torch.full((len(seeds), 1), vocabulary.prompt[-1], device=device)
    if settings.decoding == "nucleus":
        return _sample(network, vocabulary, settings, seeds, first)
    return _search(network, vocabulary, settings, first)


def _search(network: TextNetwork, vocabulary: Vocabulary, settings: CaptionSettings, tokens: Tensor) -> list[list[int]]:
    beams = [_Beams() for _ in range(len(tokens))]
    active = list(range(len(tokens)))
    for length in range(1, settings.max_length + 2):
        logs = _log_probabilities(network.step(tokens))
        _constrain(logs, [beams[i].texts for i in active], vocabulary, settings, length)
        kept, origins = [], []
        for row, (i, found) in enumerate(
            zip(active, _candidates(logs, [beams[i].scores for i in active], settings), strict=True)
        ):
            if chosen := _advance(beams[i], found, vocabulary.end, settings.num_beams, length):
                kept.append(row)
                origins.append(chosen)
        if not kept:
            break
        # The same number of texts for each image: where there are fewer, the last one is followed several times.
        width = max(map(len, origins))
        padded = [chosen + chosen[-1:] * (width - len(chosen)) for chosen in origins]
        network.select(torch.tensor(kept, device=logs.device), torch.tensor(padded, device=logs.device))
        active = [active[row] for row in kept]
        for i in active:
            texts, scores = beams[i].texts, beams[i].scores
            texts += [texts[-1]] * (width - len(texts))
            scores += [-math.inf] * (width - len(scores))
        tokens = torch.tensor([[text[-1] for text in beams[i].texts] for i in active], device=logs.device)
    return [max(one.ended, key=lambda ended: ended[0])[1] for one in beams]


def _candidates(
    logs: Tensor, scores: list[list[float]], settings: CaptionSettings
) -> list[list[tuple[float, int, int]]]:
    """For each image, the best continuations: total log-probability, number of the text, next token."""
    totals = logs + torch.tensor(scores, device=logs.device)[..., None]
    count, vocabulary = min(2 * settings.num_beams, totals[0].numel()), totals.shape[-1]
    values, places = totals.flatten(1).topk(count)
    return [
        [
            (value, place // vocabulary, place % vocabulary)
            for value, place in zip(*pair, strict=True)
            if value > -math.inf
        ]
        for pair in zip(values.tolist(), places.tolist(), strict=True)
    ]


def _advance(beams: _Beams, found: list[tuple[float, int, int]], end: int, count: int, length: int) -> list[int]:
    """Take the best continuations; the numbers of the texts that they continue, or none where the image is done."""
    running = []
    for rank, (score, text, token) in enumerate(found):
        if token != end:
            running.append((score, text, token))
        elif rank < count:
            beams.ended.append((score / length, beams.texts[text]))
    beams.ended = sorted(beams.ended, key=lambda ended: -ended[0])[:count]
    running = running[:count]
    if not running or (len(beams.ended) == count and beams.ended[-1][0] >= running[0][0] / length):
        return []
    beams.scores = [score for score, _, _ in running]
    beams.texts = [[*beams.texts[text], token] for _, text, token in running]
    return [text for _, text, _ in running]


def _sample(
    network: TextNetwork, vocabulary: Vocabulary, settings: CaptionSettings, seeds: Sequence[int], tokens: Tensor
) -> list[list[int]]:
    draws = [random.Random(seed) for seed in seeds]
    texts: list[list[int]] = [[] for _ in seeds]
    active = list(range(len(seeds)))
    for length in range(1, settings.max_length + 2):
        logs = _log_probabilities(network.step(tokens))
        _constrain(logs, [[texts[i]] for i in active], vocabulary, settings, length)
        kept = []
        for row, i in enumerate(active):
            token = _draw(logs[row, 0], settings.top_p, draws[i].random())
            if token != vocabulary.end:
                texts[i].append(token)
                kept.append(row)
        if not kept:
            break
        network.select(
            torch.tensor(kept, device=logs.device), torch.zeros(len(kept), 1, dtype=torch.long, device=logs.device)
        )
        active = [active[row] for row in kept]
        tokens = torch.tensor([[texts[i][-1]] for i in active], device=logs.device)
    return texts


def _draw(logs: Tensor, top_p: float, number: float) -> int:
    """A token of the smallest set of the most probable ones that have `top_p` together; `number` is uniform in 0..1."""
    ordered, tokens = logs.double().softmax(0).sort(descending=True, stable=True)
    # That much lies before each token: the first is always in the set.
    before = ordered.cumsum(0) - ordered
    within = int((before < top_p).sum().clamp(min=1))
    sums = ordered[:within].cumsum(0)
    place = int((sums <= number * sums[-1]).sum().clamp(max=within - 1))
    return int(tokens[place])


def _log_probabilities(logits: Tensor) -> Tensor:
    """float32 log-probabilities, a new tensor."""
    logs = logits.float().log_softmax(-1)
    if not bool(torch.isfinite(logs).all()):
        raise WeightsError(
            "the network gives numbers that are not finite; --precision fp32 or bf16 helps if it was fp16"
        )
    return logs


def _constrain(
    logs: Tensor, texts: list[list[list[int]]], vocabulary: Vocabulary, settings: CaptionSettings, length: int
) -> None:
    """Change the log-probabilities of token number `length` in place, so that no unwanted token is chosen."""
    for row, beams in enumerate(texts):
        for beam, text in enumerate(beams):
            if settings.repetition_penalty != 1 and text:
                logs[row, beam, sorted(set(text))] *= settings.repetition_penalty
            if banned := _repeating(text, settings.no_repeat_ngram):
                logs[row, beam, banned] = -math.inf
    logs[..., list(vocabulary.forbidden)] = -math.inf
    if length <= settings.min_length:
        logs[..., vocabulary.end] = -math.inf
    if settings.no_repeat_ngram:
        # Where every other token would repeat something, only the end is left.
        logs[torch.isneginf(logs).all(-1), vocabulary.end] = 0.0
    if length > settings.max_length:
        logs[..., : vocabulary.end] = -math.inf
        logs[..., vocabulary.end + 1 :] = -math.inf


def _repeating(text: list[int], size: int) -> list[int]:
    """The tokens after which the last `size` tokens would be there for the second time."""
    if size == 0 or len(text) < size:
        return []
    last = text[len(text) - size + 1 :]
    return [text[i + size - 1] for i in range(len(text) - size + 1) if text[i : i + size - 1] == last]
