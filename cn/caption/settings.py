"""The settings of captions, each declared once: the flags of `cn dataset caption` and their checks. No torch.

They are those that people know from the scripts of BLIP and of kohya (beam search or nucleus, beams, top-p, lengths).
"""

from dataclasses import dataclass
from typing import Annotated, Literal

from cn import options
from cn.errors import UsageError
from cn.options import COMPUTE_PANEL, Option

ENGINES = ("blip", "blip-large", "coca", "coca-b-32")
"""The published captioners: names of `--captioner`."""

SCENES = "scenes"
"""The captioner that comes with the bundled base, and reads images of the built-in world only."""

MAX_LENGTH = 75
"""Tokens that CoCa can write: its context of 76 without the start."""

_DECODING, _TEXT = "How words are chosen", "The text"


@dataclass(frozen=True, kw_only=True)
class CaptionSettings:
    """How captions are written. Raises UsageError for values out of range, or that contradict each other."""

    decoding: Annotated[
        Literal["beam", "nucleus"],
        Option("The most probable caption (beam), or a random one of the probable (nucleus).", panel=_DECODING),
    ] = "beam"
    num_beams: Annotated[
        int,
        Option("Captions that beam search follows; 1 takes the best word each time.", panel=_DECODING, min=1, max=32),
    ] = 3
    top_p: Annotated[
        float,
        Option("Nucleus: choose among the words that make up this probability.", panel=_DECODING, above=0, max=1),
    ] = 0.9
    seed: Annotated[int, Option("Nucleus: another seed gives other captions.", panel=_DECODING, min=0)] = 0
    min_length: Annotated[
        int, Option("Tokens (words or pieces of them) at least.", panel=_DECODING, min=0, max=MAX_LENGTH)
    ] = 5
    max_length: Annotated[
        int, Option("Tokens at most; captions are fitted into it, not cut off.", panel=_DECODING, min=1, max=MAX_LENGTH)
    ] = 30
    repetition_penalty: Annotated[
        float,
        Option(
            "Makes words that are there already less probable: 1 not at all, 1.2 clearly.",
            panel=_DECODING,
            min=1,
            max=10,
        ),
    ] = 1.0
    no_repeat_ngram: Annotated[
        int,
        Option("Never the same N tokens in a row twice (3 stops loops; 0: allowed).", panel=_DECODING, min=0, max=20),
    ] = 0
    prefix: Annotated[str, Option("Words before each new caption: a trigger word, a style.", panel=_TEXT)] = ""
    suffix: Annotated[str, Option("Words after each new caption.", panel=_TEXT)] = ""
    batch_size: Annotated[
        int | None,
        Option(
            "Images at a time. Halved for a while where memory is short.",
            panel=COMPUTE_PANEL,
            min=1,
            default="4 on a CPU, 16 on a GPU",
        ),
    ] = None

    def __post_init__(self) -> None:
        options.check(self)
        if self.min_length > self.max_length:
            raise UsageError(f"--min-length {self.min_length} is more than --max-length {self.max_length}")

    def finished(self, caption: str) -> str:
        """A caption with prefix and suffix, in one line."""
        before, after = (" ".join(text.split()) for text in (self.prefix, self.suffix))
        text = f"{before} {caption}".strip()
        return f"{text}{after}" if after.startswith(tuple(",.;:!?")) else f"{text} {after}".strip()
