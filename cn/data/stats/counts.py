"""What a dataset holds, counted sample by sample, in memory that does not grow with the images but for their names."""

import statistics
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cn.data.formats.entry import Entry, entry
from cn.data.formats.opened import Opened
from cn.data.formats.plan import LeftOutSamples
from cn.data.image_facts import original_size, size_of
from cn.data.sources.sample import UNSTATED, Sample
from cn.errors import InputError
from cn.images.maps import decode_map
from cn.parallel import available_cpus, map_threads

MAX_TOKENS = 75
"""Of CLIP's 77, the start and the end are its own."""
ASPECT_TOLERANCE = 0.02
"""As training has it: a map and an image of shapes that differ by more do not show the same frame."""
Size = tuple[int, int]
"""Width and height."""


@dataclass(frozen=True)
class Facts:
    """One sample."""

    name: str
    size: Size
    original: Size | None
    caption: str | None
    tokens: int
    maps: dict[str, bool]
    """By kind, whether the map is empty: of one color."""
    other_frames: int
    """Maps of another shape than the image."""
    image_bytes: int
    map_bytes: int


@dataclass
class Counts:
    """Counts of a dataset."""

    samples: int = 0
    images: set[str] = field(default_factory=set)
    """Their names."""
    broken: LeftOutSamples = field(default_factory=LeftOutSamples)
    sizes: Counter[Size] = field(default_factory=Counter)
    """Of the images."""
    originals: Counter[Size] = field(default_factory=Counter)
    """Of what the images were made from, where that is known."""
    words: Counter[int] = field(default_factory=Counter)
    """Of captions that are not empty."""
    tokens: Counter[int] = field(default_factory=Counter)
    captions: set[int] = field(default_factory=set)
    """Hashes of those that are different."""
    missing: int = 0
    """Samples without a caption."""
    blank: int = 0
    """Samples with an empty one."""
    maps: Counter[str] = field(default_factory=Counter)
    """By kind."""
    empty: Counter[str] = field(default_factory=Counter)
    """Maps that show nothing, by kind."""
    other_frames: int = 0
    image_bytes: int = 0
    map_bytes: int = 0

    def add(self, facts: Facts) -> None:
        """Count one sample; an image that was counted before counts once."""
        self.samples += 1
        if facts.name not in self.images:
            self.images.add(facts.name)
            self.sizes[facts.size] += 1
            self.image_bytes += facts.image_bytes
            if facts.original is not None:
                self.originals[facts.original] += 1
        self._add_caption(facts)
        for kind, empty in facts.maps.items():
            self.maps[kind] += 1
            self.empty[kind] += empty
        self.other_frames += facts.other_frames
        self.map_bytes += facts.map_bytes

    def _add_caption(self, facts: Facts) -> None:
        if facts.caption is None:
            self.missing += 1
        elif not facts.caption.strip():
            self.blank += 1
        else:
            self.words[len(facts.caption.split())] += 1
            self.tokens[facts.tokens] += 1
            self.captions.add(hash(facts.caption))

    @property
    def too_long(self) -> int:
        """Captions of which the text encoder sees only a part."""
        return sum(count for tokens, count in self.tokens.items() if tokens > MAX_TOKENS)

    @property
    def ratios(self) -> Counter[float]:
        """Width / height of the images."""
        found: Counter[float] = Counter()
        for (width, height), count in self.sizes.items():
            found[round(width / height, 3)] += count
        return found

    def record(self) -> dict[str, Any]:
        """As JSON values."""
        return {
            "samples": self.samples,
            "images": len(self.images),
            "broken": self.broken.reasons,
            "kinds": {kind: {"maps": self.maps[kind], "empty": self.empty[kind]} for kind in sorted(self.maps)},
            "other_frames": self.other_frames,
            "sizes": {f"{w}x{h}": count for (w, h), count in self.sizes.most_common()},
            "original_short_side": spread(short_sides(self.originals)),
            "aspect_ratio": spread(self.ratios),
            "captions": {
                "missing": self.missing,
                "empty": self.blank,
                "different": len(self.captions),
                "words": spread(self.words),
                "tokens": spread(self.tokens),
                "too_long": self.too_long,
            },
            "bytes": {"images": self.image_bytes, "maps": self.map_bytes},
        }


def short_sides(sizes: Counter[Size]) -> Counter[int]:
    """The shorter side of each."""
    found: Counter[int] = Counter()
    for size, count in sizes.items():
        found[min(size)] += count
    return found


def spread(counts: Counter[Any]) -> dict[str, float]:
    """Smallest, median, mean and largest of counted numbers; {} for none."""
    if not counts:
        return {}
    values = sorted(counts)
    total, passed = counts.total(), 0
    middle: list[float] = []
    for value in values:
        # The median of an even number of values lies between the two in the middle.
        places = range(passed, passed + counts[value])
        middle += [value for place in {(total - 1) // 2, total // 2} if place in places]
        passed += counts[value]
    mean = statistics.fmean(values, weights=[counts[value] for value in values])
    return {"min": values[0], "median": statistics.fmean(middle), "mean": round(mean, 3), "max": values[-1]}


def count(opened: Opened, token_count: Callable[[str], int], advance: Callable[[], None] = lambda: None) -> Counts:
    """Look at all samples: of images only their headers are read, maps are decoded."""

    def look(sample: Sample) -> Facts:
        return facts(entry(sample, opened.root), token_count, opened.kind)

    found = Counts()
    for done in map_threads(look, opened.samples(), available_cpus()):
        advance()
        if isinstance(done.error, InputError):
            found.samples += 1
            found.broken.add(done.error, done.item.where or done.item.name)
        elif done.error is not None:
            raise done.error
        else:
            assert done.value is not None
            found.add(done.value)
    return found


def facts(found: Entry, token_count: Callable[[str], int], default: str = UNSTATED) -> Facts:
    """What is counted of one sample; `default` is the kind of maps that do not state theirs.

    Raises InputError for an image or a map that cannot be read.
    """
    data = found.image.read()
    width, height = size_of(data, str(found.image))
    maps, map_bytes, other_frames = {}, 0, 0
    for kind, blob in found.maps.items():
        map_data = blob.read()
        kind = kind or default
        array = decode_map(map_data, str(blob), kind or None)
        maps[kind] = bool((array == array[:1, :1]).all())
        map_height, map_width = array.shape[:2]
        other_frames += abs(map_width * height / (map_height * width) - 1) > ASPECT_TOLERANCE
        map_bytes += len(map_data)
    caption = found.caption
    tokens = token_count(caption) if caption and caption.strip() else 0
    original = original_size(found.extra)
    return Facts(found.image_name, (width, height), original, caption, tokens, maps, other_frames, len(data), map_bytes)
