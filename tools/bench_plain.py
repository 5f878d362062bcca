"""What people write today: one image after the other, by Pillow and OpenCV or the network as published.

    python tools/bench_plain.py KIND SRC DST [WEIGHTS]

Prints a line when an image is done, so that `bench_detect.py` can tell the rate from the start-up.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Picture = NDArray[np.uint8]


def plain(kind: str, weights: str) -> Callable[[Picture], Picture]:
    """The map of one image, computed with torch's own number of threads."""
    if kind == "canny":
        return lambda picture: np.asarray(cv2.Canny(picture, 100, 200), np.uint8)
    from cn.detect.lines import hed, hough, lineart
    from cn.detect.nets.loading import open_net
    from cn.detect.pose import openpose, pifpaf, skeleton
    from cn.detect.pose.coco_skeleton import draw
    from cn.detect.segmentation import networks
    from cn.detect.segmentation.palettes import ADE20K, COCO_STUFF, paint
    from cn.detect.surfaces import depth

    network: Any = open_net(kind, weights)
    if kind == "hough":
        return lambda picture: hough.draw_lines(hough.mlsd_lines(network, picture[None])[0], picture.shape[:2])
    if kind == "hed":
        return lambda picture: hed.soft_edges(network, picture[None])[0]
    if kind == "lineart":
        return lambda picture: lineart.sketches(network, picture[None])[0]
    if kind == "openpose":
        return lambda picture: skeleton.draw(
            openpose.find_people(network, picture[None])[0].keypoints, *picture.shape[:2]
        )
    if kind == "openpifpaf":
        return lambda picture: draw(pifpaf.pifpaf_people(network, picture[None])[0].people, *picture.shape[:2])
    if kind == "ade20k":
        return lambda picture: paint(networks.ade20k_ids(network, [picture])[0], ADE20K)
    if kind == "coco":
        return lambda picture: paint(networks.coco_ids(network, [picture])[0], COCO_STUFF)
    return lambda picture: depth.depth_map(depth.inverse_depth(network, [picture])[0], picture.shape[:2])


def main() -> None:
    kind, source, target, *weights = sys.argv[1:]
    detect = plain(kind, *weights or [""])
    Path(target).mkdir(parents=True, exist_ok=True)
    for path in sorted(Path(source).iterdir()):
        picture = np.asarray(Image.open(path).convert("RGB"))
        Image.fromarray(detect(picture)).save(Path(target, f"{path.stem}.png"))
        print(path, flush=True)


if __name__ == "__main__":
    main()
