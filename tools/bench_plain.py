"""What people write today: one picture after the other, by Pillow and OpenCV or the network as published.

    python tools/bench_plain.py KIND SRC DST [WEIGHTS]

Prints a line when a picture is done, so that `bench_detect.py` can tell the rate from the start-up.
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
    """The map of one picture, computed with torch's own number of threads."""
    if kind == "canny":
        return lambda picture: np.asarray(cv2.Canny(picture, 100, 200), np.uint8)
    from cn.detect import depth, keypoints, lineart, lines, pifpaf, segmentation, skeleton, soft_edge
    from cn.detect.coco_skeleton import draw
    from cn.detect.palettes import ADE20K, COCO_STUFF, paint

    openers: dict[str, Callable[[str], Any]] = {
        "hough": lines.open_mlsd,
        "hed": soft_edge.open_soft_edge,
        "depth": depth.open_depth,
        "lineart": lineart.open_anime2sketch,
        "openpose": keypoints.open_openpose,
        "openpifpaf": pifpaf.open_pifpaf,
        "ade20k": segmentation.open_uniformer,
        "coco": segmentation.open_deeplab,
    }
    network = openers[kind](weights)
    if kind == "hough":
        return lambda picture: lines.draw_lines(lines.mlsd_lines(network, picture[None])[0], picture.shape[:2])
    if kind == "hed":
        return lambda picture: soft_edge.soft_edges(network, picture[None])[0]
    if kind == "lineart":
        return lambda picture: lineart.sketches(network, picture[None])[0]
    if kind == "openpose":
        return lambda picture: skeleton.draw(
            keypoints.find_people(network, picture[None])[0].keypoints, *picture.shape[:2]
        )
    if kind == "openpifpaf":
        return lambda picture: draw(pifpaf.pifpaf_people(network, picture[None])[0].people, *picture.shape[:2])
    if kind == "ade20k":
        return lambda picture: paint(segmentation.ade20k_ids(network, [picture])[0], ADE20K)
    if kind == "coco":
        return lambda picture: paint(segmentation.coco_ids(network, [picture])[0], COCO_STUFF)
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
