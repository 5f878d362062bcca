"""Decoders in C print about broken files, although they report them too: an error shall be one line."""

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

_NOISE = (b"TIFF", b"EXR_ERR", b"libpng", b"<python_buffer>")


@contextlib.contextmanager
def quiet_decoders() -> Iterator[None]:
    """What decoders of TIFF and OpenEXR print is dropped. What other threads print meanwhile comes out afterwards."""
    sys.stderr.flush()
    with tempfile.TemporaryFile() as caught:
        stderr = os.dup(2)
        try:
            os.dup2(caught.fileno(), 2)
            with contextlib.redirect_stdout(_Filter(sys.stdout)):
                yield
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
            caught.seek(0)
            for line in caught:
                if not any(noise in line for noise in _NOISE):
                    os.write(2, line)


class _Filter:
    """Standard output without the warnings of OpenEXR's Python package, which prints them in pieces."""

    def __init__(self, stream: Any):
        self._stream = stream
        self._dropping: int | None = None
        """The thread whose line is being dropped."""

    def write(self, text: str) -> int:
        thread = threading.get_ident()
        if text.startswith("Warning: Exception raised reading pixel data"):
            self._dropping = thread
        if self._dropping != thread:
            return int(self._stream.write(text))
        if text.endswith("\n"):
            self._dropping = None
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
