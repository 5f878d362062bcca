"""`cn dataset lint`: all rules over a dataset, in worker processes, with results in a fixed order."""

import os
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from statistics import median

from cn.data.lint import rules
from cn.data.lint.captions import TokenCounter
from cn.data.lint.contents import Contents, Item, read_contents, stated_resolution
from cn.data.lint.depth_checks import Directions
from cn.data.lint.examine import Examined, Examiner
from cn.data.lint.finding import Finding, tidy
from cn.data.lint.near import NearIndex
from cn.data.near_duplicates import Fingerprint
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
    against: str | None = None
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
    images: int = 0
    """The number of images that were examined."""
    _unstated: bool = False
    """Whether a map is of a kind that is not known."""

    @classmethod
    def open(
        cls, path: str | os.PathLike[str], settings: LintSettings, count_tokens: TokenCounter | None = None
    ) -> "Lint":
        """Read the lines of a dataset. Raises InputError where there is none.

        `count_tokens` counts the tokens of a caption; without it their number is not checked.
        """
        wanted = count_tokens if "long-caption" in settings.rules else None
        return cls(read_contents(path, settings.kind, wanted), settings)

    def notes(self) -> list[str]:
        """What a person should know besides the faults, after `findings`."""
        found = []
        unstated = [str(subset.file) for subset in self.contents.subsets if subset.kind is None]
        if self.contents.source is not None and self._unstated:
            unstated.append(self.contents.root)
        for name in unstated:
            text = "does not say which kind of maps it has, so that they are checked as any map; give --cond KIND"
            found.append(f"{name}: {text}")
        source = self.contents.source
        if source is not None:
            found += source.warnings
            if left := source.left_out.text():
                found.append(f"{self.contents.root}: {left}")
            if self.contents.without_map and len(self.contents.without_map) == self.images:
                found.append(f"{self.contents.root}: {source.about}, without condition maps: only images are checked")
        if self.sides and median(self.sides) < MAX_MIN_SIDE:
            text = f"half of its images have a short side below {round(median(self.sides)) + 1} pixels"
            found.append(f"{self.contents.root}: {text}; Stable Diffusion is trained at 512")
        return found

    def findings(self, advance: Advance = lambda count: None) -> Iterator[Finding]:
        """What is wrong, in an order that does not depend on workers: lines, images and maps, then the set.

        `advance` is called with numbers of images that were examined. Raises PartialError when a worker dies.
        """
        for finding in self._all(advance):
            if finding.rule in self.settings.rules:
                self.counts[finding.rule] += 1
                if finding.where not in self.contents.groups:
                    self.accused.update(finding.lines)
                yield finding

    def _all(self, advance: Advance) -> Iterator[Finding]:
        contents = self.contents
        if contents.source is None:
            yield from contents.checks.findings(contents.root)
        examiner = Examiner(register=bool(self.settings.rules & _REGISTRATION))
        duplicates, small = _Duplicates(self._other()), list[tuple[_Named, tuple[int, int]]]()
        depths, directions = dict[str, list[tuple[str, str]]](), dict[str, Directions]()
        for item, examined in self._examined(contents, examiner):
            advance(1)
            self.images += 1
            self._unstated |= any(view.kind is None for view in item.views)
            named = _Named.of(item)
            yield from examined.findings
            yield from duplicates.check(named, item.groups, examined.fingerprint)
            for view, grid in examined.depth:
                depths.setdefault(view.subset, []).append((view.where, str(view.source)))
                directions.setdefault(view.subset, Directions()).add(grid)
            if examined.size is not None:
                self.sides.append(min(examined.size))
                if min(examined.size) < max(MAX_MIN_SIDE, self.settings.min_side or 0):
                    small.append((named, examined.size))
        if contents.source is not None:
            yield from contents.checks.findings(contents.root)
            yield from self._without_map()
        yield from self._too_small(small)
        for folder, maps in depths.items():
            yield from _depth_findings(directions[folder], maps, folder or contents.root)
        yield from self._caption_findings()

    def _examined(self, contents: Contents, examiner: Examiner) -> Iterator[tuple[Item, Examined]]:
        """Images in order, with what was found; only those that workers have are in memory."""
        waiting = deque[list[Item]]()

        def chunks() -> Iterator[list[Item]]:
            items = contents.stream()
            while chunk := list(islice(items, _CHUNK)):
                waiting.append(chunk)
                yield chunk

        workers = self.settings.workers
        if contents.count is not None:
            workers = min(workers, -(-contents.count // _CHUNK))
        with closing(map_ordered(examiner, chunks(), workers)) as results:
            for found in results:
                yield from zip(waiting.popleft(), found, strict=True)

    def _other(self) -> "_Other | None":
        if self.settings.against is None:
            return None
        index, names = NearIndex(), list[_Named]()
        for item, examined in self._examined(read_contents(self.settings.against), Examiner(images_only=True)):
            names.append(_Named.of(item))
            if (mark := examined.fingerprint) is not None:
                index.add(len(names) - 1, mark, distinct=index.near(mark) is None)
        return _Other(names, index)

    def _without_map(self) -> Iterator[Finding]:
        bare = self.contents.without_map
        if len(bare) < self.images:
            for where in bare:
                yield Finding("missing", where, "has no condition map, which others have; make one, or leave it out")

    def _too_small(self, small: "list[tuple[_Named, tuple[int, int]]]") -> Iterator[Finding]:
        limit = self.settings.min_side
        if limit is None and self.sides:
            usual = stated_resolution(self.contents.root) or median(self.sides)
            limit = min(MAX_MIN_SIDE, int(usual) // 2)
        for named, (width, height) in small:
            if limit is not None and min(width, height) < limit:
                text = f"is {width}×{height}, with a short side below {limit} pixels; leave the pair out, or --min-size"
                yield named.finding("too-small", text)

    def _caption_findings(self) -> Iterator[Finding]:
        for where, also, text in self.contents.checks.captions.repeated():
            yield Finding("repeated-caption", where, text, also=also)
        template = self.contents.checks.captions.template()
        if template is not None:
            yield Finding("template-caption", self.contents.root, template)


@dataclass(frozen=True)
class _Named:
    """The name of an image, and the lines that name it: what is kept of it to the end."""

    path: str
    lines: tuple[str, ...]

    @classmethod
    def of(cls, item: Item) -> "_Named":
        return cls(str(item.target), tuple(item.lines))

    def finding(self, rule: str, text: str) -> Finding:
        return Finding(rule, self.lines[0], text, self.path, also=self.lines[1:])

    def __str__(self) -> str:
        return tidy(self.path) if self.lines[0] == self.path else f"{tidy(self.path)} ({self.lines[0]})"


@dataclass
class _Other:
    """The images of the dataset of `--against`."""

    names: list[_Named]
    index: NearIndex


class _Duplicates:
    """Images that come twice, in a dataset or in the other one."""

    def __init__(self, other: _Other | None):
        self._other = other
        self._names: list[_Named] = []
        self._indices: defaultdict[str, NearIndex] = defaultdict(NearIndex)

    def check(self, named: _Named, groups: list[str], mark: Fingerprint | None) -> Iterator[Finding]:
        """The findings about an image of these subsets; called once for each, in order."""
        self._names.append(named)
        if mark is None:
            return
        if self._other is not None:
            same = self._other.index.same(mark)
            place = same if same is not None else self._other.index.near(mark)
            if place is not None:
                how = "is the same image as" if same is not None else "is nearly the same image as"
                text = f"{how} {self._other.names[place]} of the other dataset; leave it out of one"
                yield named.finding("leak", text)
        found = self._twice(named, groups, mark)
        if found is not None:
            yield found

    def _twice(self, named: _Named, groups: list[str], mark: Fingerprint) -> Finding | None:
        """An image that its kind has already; each kind may have its own copies of the images."""
        for group in groups:
            index = self._indices[group]
            same = index.same(mark)
            near = index.near(mark) if same is None else None
            if same is None:
                index.add(len(self._names) - 1, mark, distinct=near is None)
            for other, rule, how in ((same, "duplicate", "the same"), (near, "near-duplicate", "nearly the same")):
                if other is not None:
                    return named.finding(rule, f"is {how} image as {self._names[other]}; keep one of them")
        return None


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
