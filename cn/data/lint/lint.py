"""`cn dataset lint`: all rules over a dataset, in worker processes, with results in a fixed order."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from cn.data.lint import rules
from cn.data.lint.captions import TokenCounter
from cn.data.lint.contents import Contents, Item, read_contents
from cn.data.lint.depth_checks import Directions
from cn.data.lint.examine import Examined, Examiner
from cn.data.lint.finding import Finding, tidy
from cn.data.lint.fingerprint import Fingerprint
from cn.data.lint.near import NearIndex
from cn.data.prefetch import map_ordered
from cn.errors import UsageError

MAX_MIN_SIDE = 256
"""The short side below which no image is too small for Stable Diffusion's 512 pixels: half of them."""
_CHUNK = 16
"""Images that a worker process is given at a time."""
_INVERTED_SET = 0.75
"""The share of a set's depth maps with near above far from which the set is inverted."""
_REGISTRATION = frozenset({"misregistered", "mirrored", "turned", "exif-rotation"})

Advance = Callable[[int], None]


@dataclass(frozen=True)
class LintSettings:
    """What to check: `rules` are the names of those that are wanted."""

    kind: str | None = None
    """The kind of maps that do not state it; of a dataset of several kinds, the only one to check."""
    rules: frozenset[str] = frozenset(rules.RULES)
    against: Path | None = None
    """Another dataset, of which no image may be in this one."""
    min_side: int | None = None
    """The short side of images; default: half of the set's own, at most 256."""
    workers: int = 1


def chosen_rules(only: tuple[str, ...] = (), ignored: tuple[str, ...] = ()) -> frozenset[str]:
    """The names of the rules to apply. UsageError for a name that is none."""
    for name in (*only, *ignored):
        if name not in rules.RULES:
            raise UsageError(f"there is no rule {name!r}; cn dataset lint --list-rules shows them")
    return frozenset(only or rules.RULES) - frozenset(ignored)


@dataclass
class Lint:
    """A run over one dataset. `findings` does the work; the counts are complete once it ends."""

    contents: Contents
    settings: LintSettings
    counts: Counter[str] = field(default_factory=Counter)
    """Findings by rule."""
    accused: set[str] = field(default_factory=set)
    """The lines that findings are about, without those about a whole set."""
    sides: list[int] = field(default_factory=list)
    """The short sides of the images that could be read."""

    @classmethod
    def open(cls, path: Path, settings: LintSettings, count_tokens: TokenCounter | None = None) -> "Lint":
        """Read the lines of a dataset. Raises InputError where there is none.

        `count_tokens` counts the tokens of a caption; without it their number is not checked.
        """
        wanted = count_tokens if "long-caption" in settings.rules else None
        return cls(read_contents(path, settings.kind, wanted), settings)

    def notes(self) -> list[str]:
        """What a person should know besides the faults, after `findings`."""
        found = []
        for subset in self.contents.subsets:
            if subset.kind is None:
                text = "does not say which kind of maps it has, so that they are checked as any map; give --cond KIND"
                found.append(f"{subset.path}: {text}")
        if self.sides and median(self.sides) < MAX_MIN_SIDE:
            text = f"half of its images have a short side below {round(median(self.sides)) + 1} pixels"
            found.append(f"{self.contents.root}: {text}; Stable Diffusion is trained at 512")
        return found

    def findings(self, advance: Advance = lambda count: None) -> Iterator[Finding]:
        """What is wrong, in an order that does not depend on workers: lines, images and maps, then the set.

        `advance` is called with numbers of images that were examined. Raises PartialError when a worker dies.
        """
        groups = {str(self.contents.root), *(str(subset.path) for subset in self.contents.subsets)}
        for finding in self._all(advance):
            if finding.rule in self.settings.rules:
                self.counts[finding.rule] += 1
                if finding.where not in groups:
                    self.accused.update(finding.lines)
                yield finding

    def _all(self, advance: Advance) -> Iterator[Finding]:
        yield from self.contents.findings
        other = self._other()
        examiner = Examiner(register=bool(self.settings.rules & _REGISTRATION))
        duplicates, small = _Duplicates(self.contents, other), list[tuple[Item, tuple[int, int]]]()
        depths, directions = dict[str, list[tuple[str, str]]](), dict[str, Directions]()
        for item, examined in self._examined(self.contents.items, examiner):
            advance(1)
            yield from examined.findings
            yield from duplicates.check(item, examined)
            for view, grid in examined.depth:
                depths.setdefault(view.subset, []).append((view.where, str(view.source)))
                directions.setdefault(view.subset, Directions()).add(grid)
            if examined.size is not None:
                self.sides.append(min(examined.size))
                if min(examined.size) < max(MAX_MIN_SIDE, self.settings.min_side or 0):
                    small.append((item, examined.size))
        yield from self._too_small(small)
        for folder, maps in depths.items():
            yield from _depth_findings(directions[folder], maps, folder)
        yield from self._caption_findings()

    def _examined(self, items: list[Item], examiner: Examiner) -> Iterator[tuple[Item, Examined]]:
        places = range(0, len(items), _CHUNK)
        chunks = (items[place : place + _CHUNK] for place in places)
        with closing(map_ordered(examiner, chunks, min(self.settings.workers, len(places)))) as results:
            for place, found in zip(places, results, strict=True):
                yield from zip(items[place : place + _CHUNK], found, strict=True)

    def _other(self) -> "_Other | None":
        if self.settings.against is None:
            return None
        contents = read_contents(self.settings.against)
        index = NearIndex()
        for number, (_, examined) in enumerate(self._examined(contents.items, Examiner(images_only=True))):
            if examined.fingerprint is not None:
                index.add(number, examined.fingerprint, distinct=index.near(examined.fingerprint) is None)
        return _Other(contents, index)

    def _too_small(self, small: list[tuple[Item, tuple[int, int]]]) -> Iterator[Finding]:
        limit = self.settings.min_side
        if limit is None and self.sides:
            usual = self.contents.resolution or median(self.sides)
            limit = min(MAX_MIN_SIDE, int(usual) // 2)
        for item, (width, height) in small:
            if limit is not None and min(width, height) < limit:
                text = f"is {width}×{height}, with a short side below {limit} pixels; leave the pair out, or --min-size"
                yield _about_image("too-small", item, text)

    def _caption_findings(self) -> Iterator[Finding]:
        for where, also, text in self.contents.captions.repeated():
            yield Finding("repeated-caption", where, text, also=also)
        template = self.contents.captions.template()
        if template is not None:
            yield Finding("template-caption", str(self.contents.root), template)


@dataclass
class _Other:
    """The dataset of `--against`."""

    contents: Contents
    index: NearIndex


class _Duplicates:
    """Images that come twice, in a dataset or in the other one."""

    def __init__(self, contents: Contents, other: _Other | None):
        self._items, self._other = contents.items, other
        self._indices: defaultdict[str, NearIndex] = defaultdict(NearIndex)
        self._count = 0

    def check(self, item: Item, examined: Examined) -> Iterator[Finding]:
        """The findings about an image; called once for each, in order."""
        number, self._count = self._count, self._count + 1
        mark = examined.fingerprint
        if mark is None:
            return
        if self._other is not None:
            place = self._other.index.same(mark)
            how = "is the same image as" if place is not None else "is nearly the same image as"
            place = place if place is not None else self._other.index.near(mark)
            if place is not None:
                text = f"{how} {_name(self._other.contents.items[place])} of the other dataset; leave it out of one"
                yield _about_image("leak", item, text)
        found = self._twice(number, item, mark)
        if found is not None:
            yield found

    def _twice(self, number: int, item: Item, mark: Fingerprint) -> Finding | None:
        """An image that its kind has already; each kind may have its own copies of the images."""
        for group in dict.fromkeys(view.subset for view in item.views):
            index = self._indices[group]
            same = index.same(mark)
            near = index.near(mark) if same is None else None
            if same is None:
                index.add(number, mark, distinct=near is None)
            for other, rule, how in ((same, "duplicate", "the same"), (near, "near-duplicate", "nearly the same")):
                if other is not None:
                    return _about_image(rule, item, f"is {how} image as {_name(self._items[other])}; keep one of them")
        return None


def _name(item: Item) -> str:
    return f"{tidy(item.target)} ({item.views[0].where})"


def _about_image(rule: str, item: Item, text: str) -> Finding:
    first, *further = [view.where for view in item.views]
    return Finding(rule, first, text, str(item.target), also=tuple(further))


def _depth_findings(directions: Directions, maps: list[tuple[str, str]], where: str) -> Iterator[Finding]:
    share = directions.inverted_share()
    if share is not None and share >= _INVERTED_SET:
        text = (
            f"in {share:.0%} of its depth maps what is above is nearer (whiter) than what is below: they are probably "
            "inverted; near is white: invert them"
        )
        yield Finding("inverted-depth", where, text, kind="depth")
        return
    for place in directions.opposed():
        line, path = maps[place]
        text = (
            "is the opposite of the set's other depth maps: probably inverted; near is white: invert it, or look at it"
        )
        yield Finding("inverted-depth", line, text, path, "depth")
