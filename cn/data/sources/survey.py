"""What the rows of a list hold, counted in little memory."""

from array import array
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from cn.data.blobs import File
from cn.data.sources.listing import Listing
from cn.data.sources.request import counted
from cn.data.sources.sample import Sample


class Names:
    """Names in order, of which only hashes of 64 bits are held: eight bytes each, for millions of them."""

    def __init__(self) -> None:
        self._hashes = array("q")

    def add(self, name: str) -> None:
        """Take a name."""
        self._hashes.append(hash(name))

    def has(self, names: Iterable[str]) -> Iterator[bool]:
        """Whether each of some names is among these."""
        import numpy as np

        asked = np.fromiter(map(hash, names), np.int64)
        yield from np.isin(asked, np.asarray(self._hashes)).tolist()

    def repeated(self) -> dict[int, int]:
        """Of names that were there before, by their place: which time it is, from 2."""
        import numpy as np

        hashes = np.asarray(self._hashes)
        order = np.argsort(hashes, kind="stable")
        again = np.flatnonzero(hashes[order][1:] == hashes[order][:-1]) + 1
        found: dict[int, int] = {}
        for place in again.tolist():
            before = int(order[place - 1])
            found[int(order[place])] = found.get(before, 1) + 1
        return found

    def overlaps(self, other: "Names") -> bool:
        """Whether more than half of these, or of the others, are in both."""
        import numpy as np

        first, second = (np.unique(np.asarray(names._hashes)) for names in (self, other))
        return bool(2 * len(np.intersect1d(first, second, assume_unique=True)) > min(len(first), len(second)))


@dataclass
class Survey:
    """What the rows of a file hold, counted."""

    rows: int = 0
    captions: int = 0
    first_of_several: int = 0
    """Captions that are the first of a list."""
    maps: "Counter[str]" = field(default_factory=Counter)
    problems: int = 0
    urls: int = 0
    repeated: int = 0
    keys: Names = field(default_factory=Names)
    """The images as the rows name them."""
    files: Names = field(default_factory=Names)
    """The paths of all files that are read, those of maps and captions too."""

    def add(self, sample: Sample, several: bool = False) -> None:
        """Count a sample; `several`: whether its caption is the first of several."""
        self.rows += 1
        self.captions += sample.caption is not None or sample.caption_file is not None
        self.first_of_several += several
        self.maps.update(list(sample.maps))
        self.problems += sample.problem is not None
        self.urls += sample.problem is not None and "is a URL" in sample.problem
        blobs = (sample.image, sample.caption_file, *sample.maps.values())
        for blob in blobs:
            if isinstance(blob, File):
                self.files.add(blob.path)

    def used(self, listing: Listing) -> set[str]:
        """The files of a listing that are read."""
        return {
            key for key, used in zip(listing.keys, self.files.has(map(listing.path, listing.keys)), strict=True) if used
        }

    def text(self) -> str:
        """In words, after the number of rows: ", 18 with captions, 20 with depth maps"."""
        words = [f", {self._share(self.captions)} with captions"] if self.captions else [", without captions"]
        for kind, number in sorted(self.maps.items()):
            words.append(f", {self._share(number)} with {kind or 'condition'} maps")
        return "".join(words)

    def _share(self, number: int) -> str:
        return "all" if number == self.rows > 1 else f"{number:,}"

    def warnings(self, file: str) -> list[str]:
        """What a person should know."""
        found = []
        if self.first_of_several:
            found.append(
                f"{file}: {counted(self.first_of_several, 'image')} with several captions; the first of each is used"
            )
        if self.repeated:
            found.append(
                f"{file}: {counted(self.repeated, 'row')} with an image that a row before has; each is a sample"
            )
        return found
