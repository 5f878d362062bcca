"""What tells the images that were given apart, whatever they are called. No torch."""

import hashlib

import numpy as np
from numpy.typing import NDArray


def identity(*arrays: NDArray[np.uint8] | NDArray[np.bool_] | None, made: str = "") -> str:
    """SHA-256 of the pixels and shapes of images; `made` says what is to be made of them, such as a kind of map."""
    digest = hashlib.sha256(made.encode())
    for array in arrays:
        digest.update(f"|{None if array is None else array.shape}".encode())
        if array is not None:
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()
