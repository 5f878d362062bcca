"""Human pose (`openpifpaf`): COCO's 17 key points of everybody in an image, by OpenPifPaf's networks.

The published files are whole networks in pickles. They are read without running anything, and can be converted to
safetensors once and for all; their license (AGPL-3.0) stays with them.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from cn.detect.pose.pifpaf_decoder import Found, decode

if TYPE_CHECKING:
    from torch import nn

    from cn.archives.archive import Archive
    from cn.archives.write import Item


METADATA = "cn.detector"
"""Under this name a converted file says, in JSON, what it is and what it was made from."""

MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's images, RGB of 0..1."""

LONGEST = 2048
"""Images with a longer side are looked at at this size: larger ones take gigabytes, and people in them are many times
as large as those that the networks were trained with."""

PADDING = (124, 116, 104)
"""The color around images: that mean in 0..255."""


def safetensors_of(archive: "Archive") -> "tuple[dict[str, Item], dict[str, str]]":
    """The tensors of a published file, unchanged and with the same names, and the metadata of a safetensors file.

    The metadata holds the network, the license, and the name and hash of the published file. Raises what `open_net`
    raises.
    """
    from cn import files
    from cn.archives.metadata import encode
    from cn.archives.write import copied
    from cn.detect import registry
    from cn.detect.nets.loading import open_net
    from cn.weights import catalog

    spec = registry.spec_of(type(open_net("openpifpaf", archive)).__name__)
    made_from = {
        "kind": "openpifpaf",
        "network": spec.name,
        "source": archive.path.name,
        "source_sha256": files.sha256(archive.path),
        "license": catalog.find(spec.weights[0]).license,
    }
    items = {name: copied([entry], entry.shape) for name, entry in archive.entries.items()}
    return items, {"format": "pt"} | encode(made_from, METADATA)


@dataclass(frozen=True)
class Placement:
    """Where an image lies in what the network sees."""

    left: int
    top: int
    """Pixels of padding."""
    scale_x: float
    scale_y: float
    """How many times larger the image is there."""

    def back(self, people: NDArray[np.float64]) -> NDArray[np.float64]:
        """Key points (n, 17, 3) in the network's pixels as key points in the image's; missing ones stay (0, 0, 0)."""
        moved = (people[..., :2] - (self.left, self.top)) / (self.scale_x, self.scale_y)
        return np.concatenate([np.where(people[..., 2:] > 0, moved, 0.0), people[..., 2:]], axis=-1)


def prepare(images: NDArray[np.uint8], long_edge: int | None = None) -> tuple[NDArray[np.float32], Placement]:
    """Images (n, h, w, 3) RGB of one size as the network takes them, (n, h', w', 3), and where they lie in there.

    With `long_edge` they are resized first, bilinearly, so that their longer side has so many pixels (the networks
    were trained with 513); without it, that is done where there are more than `LONGEST`. Then they are padded on all
    four sides until both sides are multiples of 16 and one more.
    """
    import cv2

    from cn.detect.nets.pifpaf import MULTIPLE

    height, width = images.shape[1:3]
    if long_edge is None and max(height, width) > LONGEST:
        long_edge = LONGEST
    if long_edge is not None and (height, width) != (new := _resized(height, width, long_edge)):
        pictures = [cv2.resize(image, new[::-1], interpolation=cv2.INTER_LINEAR) for image in images]
        images = np.stack(pictures).astype(np.uint8)
    new_height, new_width = images.shape[1:3]
    right, below = -(new_width - 1) % MULTIPLE, -(new_height - 1) % MULTIPLE
    left, top = right // 2, below // 2
    padded = np.empty((len(images), new_height + below, new_width + right, 3), np.float32)
    padded[:] = PADDING
    padded[:, top : top + new_height, left : left + new_width] = images
    padded /= 255
    padded -= np.array(MEAN, np.float32)
    padded /= np.array(DEVIATION, np.float32)
    # As OpenPifPaf has it: the middles of the corner pixels stay where they are.
    placement = Placement(left, top, _scale(new_width, width), _scale(new_height, height))
    return padded, placement


def _resized(height: int, width: int, long_edge: int) -> tuple[int, int]:
    factor = long_edge / max(height, width)
    if height > width:
        return long_edge, max(1, int(width * factor))
    return max(1, int(height * factor)), long_edge


def _scale(new: int, old: int) -> float:
    return (new - 1) / (old - 1) if new > 1 and old > 1 else 1.0


def pifpaf_people(network: "nn.Module", images: NDArray[np.uint8], long_edge: int | None = None) -> list[Found]:
    """The people in each of the images (n, h, w, 3) RGB of one size, by OpenPifPaf.

    Key points are in pixels of the images, the middle of the first pixel being (0, 0); those that the network
    supposes outside of the image are given too. `long_edge`: see `prepare`.
    """
    import torch

    from cn.detect.nets.arrays import to_array, to_tensor
    from cn.detect.nets.pifpaf import STRIDE

    planes, placement = prepare(images, long_edge)
    with torch.inference_mode():
        cifs, cafs = (to_array(field, network) for field in network(to_tensor(planes, network)))
    people = [decode(cif, caf, STRIDE) for cif, caf in zip(cifs, cafs, strict=True)]
    return [Found(placement.back(found.people), found.scores) for found in people]
