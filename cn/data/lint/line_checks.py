"""What is wrong with the lines of a dataset: captions, names, the same pair twice."""

from collections.abc import Iterator

from cn.data.lint.captions import CaptionTally, TokenCounter, caption_faults
from cn.data.lint.finding import Finding, tidy
from cn.data.lint.names import NameIndex


class LineChecks:
    """Told of each line, it keeps what is wrong, and what is needed to compare lines."""

    def __init__(self, count_tokens: TokenCounter | None):
        self._count_tokens = count_tokens
        self._names, self._captioned = set[int](), set[int]()
        self._index = NameIndex()
        self._found: dict[object, Finding] = {}
        self._images = self._bare = 0
        self.captions = CaptionTally()

    def findings(self, root: str) -> Iterator[Finding]:
        """What is wrong, in the order of the lines; a missing caption of all of them is one fault."""
        all_bare = self._bare == self._images > 1
        for finding in self._found.values():
            if not (all_bare and finding.rule == "empty-caption"):
                yield finding
        if all_bare:
            text = f"none of its {self._images:,} images has a caption; write them, or let cn dataset caption do it"
            yield Finding("empty-caption", root, text)

    def add(self, finding: Finding) -> None:
        """Keep what another check found about a line."""
        self._found[finding.rule, finding.where] = finding

    def name(self, path: str, where: str) -> None:
        """The name of a file, as a line gives it."""
        path = tidy(path)
        key = hash(path)
        if key in self._names:
            return
        self._names.add(key)
        if (other := self._index.clash(path)) is not None:
            text = f"differs from {other} in case or Unicode form only, so that Windows and macOS have one file of both"
            self.add(Finding("case-clash", where, f"{text}; rename one of them", path))

    def caption(self, caption: str, where: str, image: str, *, number: int, name: str) -> None:
        """The caption of image `number`, whose file is `image`.

        The kinds of a dataset may share the images, or have copies: images of the same `name` are counted once.
        """
        if (key := hash(name)) not in self._captioned:
            self._captioned.add(key)
            self.captions.add(caption, where)
        self._images = max(self._images, number + 1)
        for rule, text in caption_faults(caption, self._count_tokens):
            # An image of several kinds has its caption in several lines: one fault.
            known = self._found.get((number, rule))
            self._bare += known is None and rule == "empty-caption"
            also = () if known is None else (*known.also, where)
            first = where if known is None else known.where
            self._found[number, rule] = Finding(rule, first, text, image, also=also)
