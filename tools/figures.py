"""The other images of README.md and docs/ that the bundled base makes, and the tables: `python -m tools.figures`."""

import sys
from collections.abc import Sequence

from tools import doc_tables
from tools.gallery import page
from tools.gallery.cli import Tool
from tools.gallery.documents import FIGURES

OUT = page.ROOT / "docs"


def write_pages() -> None:
    """Write the images and commands of the figures, and all tables, into the pages."""
    page.write_parts(FIGURES, OUT)
    doc_tables.main()


def main(words: Sequence[str] | None = None) -> int:
    """Make the images that are not there or not of the weights that are here; the tables are written anew."""
    return Tool("tools.figures", FIGURES, OUT, page.ROOT / "build/figures", write_pages).run(words)


if __name__ == "__main__":
    sys.exit(main())
