"""What is known of one published file of weights."""

from dataclasses import dataclass

from cn.units import bytes_text

NON_COMMERCIAL = "non-commercial"
UNSTATED = "not stated"

CAPTIONS = "captions"
"""In place of a condition: files that write prompts for pictures."""

ANNOTATORS = "https://huggingface.co/lllyasviel/Annotators/resolve/982e7edaec38759d914a963c48c4726685de7d96/"
CONTROLNET = (
    "https://huggingface.co/lllyasviel/ControlNet/resolve/e78a8c4a5052a238198043ee5c0cb44e22abb9f7/annotator/ckpts/"
)


@dataclass(frozen=True)
class Published:
    """One published file of weights."""

    name: str
    """What a person types: lower case, unique, no condition's name."""
    file: str
    kinds: tuple[str, ...]
    """The conditions that it serves, its own first; or `CAPTIONS`."""
    method: str
    about: str
    license: str
    origins: tuple[str, ...]
    """URLs, tried in order."""
    size: int | None = None
    """Bytes, exactly; None when only about known or unknown."""
    size_about: int | None = None
    """Bytes, roughly, where `size` is None."""
    sha256: str | None = None
    """Hexadecimal: all 64 digits, or the known beginning; None where nobody published it."""
    md5: str | None = None
    """Hexadecimal, of files whose publisher gives nothing better."""
    aliases: tuple[str, ...] = ()
    """Other names under which the same file is published."""
    readable: bool = False
    """Whether this version of cn has the network; the others are listed for what they are."""

    @property
    def non_commercial(self) -> bool:
        return NON_COMMERCIAL in self.license

    @property
    def size_text(self) -> str:
        """ "6.3 MB", "about 58.9 MB", or "" when unknown."""
        if self.size is not None:
            return bytes_text(self.size)
        return f"about {bytes_text(self.size_about)}" if self.size_about else ""
