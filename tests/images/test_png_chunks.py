"""The chunks of a PNG."""

import numpy as np

from cn import images
from cn.images.png_chunks import is_whole
from cn.images.png_text import with_text

PNG = with_text(images.encode(np.arange(48, dtype=np.uint8).reshape(4, 4, 3)), {"a text": "of some length"})


def test_a_png_is_whole_up_to_its_last_chunk():
    assert is_whole(PNG)
    assert is_whole(PNG + b"more"), "what follows is no part of it"
    assert not any(is_whole(PNG[:end]) for end in range(len(PNG)))


def test_a_changed_byte_is_noticed():
    # Not of the signature, which is not looked at.
    for at in range(8, len(PNG)):
        assert not is_whole(PNG[:at] + bytes([PNG[at] ^ 1]) + PNG[at + 1 :]), at
