"""Make detectors_pose.npz: outputs of the published pose networks and decoders for our weights and maps.

    python -m tests.golden.make_detectors_pose RELEASE LIGHT KEYS         (from the repository's root)

RELEASE  checkout of lllyasviel/ControlNet, commit ed85cd1 (its annotator/openpose; it wants matplotlib and scipy)
LIGHT    checkout of Daniil-Osokin/lightweight-human-pose-estimation.pytorch, commit d23c284
KEYS     folder with lists of the published files' tensors: a line for each, name and shape, separated by a tab

Made with PyTorch 2.14.1, torchvision 0.29.1, OpenCV 5.0.0, NumPy 2.4.6, SciPy 1.17.1, in float32 on a CPU.

Weights, images and maps are functions of names (`fill`, `image`, `prepared`), so that only results are stored.
Decoders get ideal maps for people of the built-in scenes, and noise, in place of a network's. Array
"keys/FILE" is the list of names and shapes as text.
"""

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar
from unittest import mock

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tests.helpers.model_helpers import uniform
from tests.helpers.pose_fields import Maps, maps_of, placed

FILE = Path(__file__).parent / "detectors_pose.npz"

N = TypeVar("N", bound=nn.Module)


def golden(name: str) -> NDArray[Any]:
    """A stored array of this file."""
    with np.load(FILE) as file:
        return np.asarray(file[name])


KEY_LISTS = ("body_pose_model", "hand_pose_model", "lightweight_openpose")

# Name of a case → height and width of its image.
SIZES = {
    "one": (256, 256),
    "ten": (512, 512),
    "tall": (700, 300),
    "wide": (180, 640),
    "border": (320, 400),
    "crowd": (480, 600),
    "small": (61, 47),
    "none": (128, 160),
    "noise a": (300, 300),
    "noise b": (250, 410),
}
HANDS = {"hand a": 184, "hand b": 77, "hand c": 31}


@torch.no_grad()
def fill(network: N) -> N:
    """Values derived from names for every parameter and every running mean and variance; signals stay near 1.

    `model` and other holders of layers in front of a name do not count: files have only the layers' names.
    """
    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point():
            continue
        short = ".".join(name.split(".")[-2:]) if "conv" in name.split(".")[-2] else name
        value = uniform(short, tuple(tensor.shape))
        if tensor.ndim == 4:
            value *= (2 / tensor[0].numel()) ** 0.5
        elif name.endswith("running_var") or (tensor.ndim == 1 and name.endswith("weight")):
            value = 1 + 0.2 * value
        else:
            value *= 0.1
        tensor.copy_(value)
    return network.eval()


def sample_image(name: str, size: tuple[int, int]) -> NDArray[np.uint8]:
    """The image (h, w, 3) of a case: blurred noise of full contrast."""
    smooth = cv2.GaussianBlur(uniform(f"picture of {name}", (*size, 3)).numpy(), (0, 0), 2.0)
    return np.clip(128 + 75 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def tensor(image: NDArray[np.uint8]) -> torch.Tensor:
    """BGR as input of the networks."""
    return torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None].float() / 256 - 0.5


def seen(x: torch.Tensor) -> NDArray[np.uint8]:
    """The input of a network, subsampled, as integers 0..255."""
    return torch.round((x[0, :, ::11, ::11] + 0.5) * 256).clamp(0, 255).to(torch.uint8).numpy()


def people(name: str) -> NDArray[np.float64]:
    """The people (n, 18, 3) in the image of a case."""
    height, width = SIZES[name]
    if name == "ten":
        rows = [placed(n, 8 + n % 5 * 100, 12 + n // 5 * 250, 90 + 12 * n) for n in range(10)]
    elif name == "crowd":
        rows = [placed(n, 20 + 35 * n, 30 + n * 37 % 170, 160 + n * 53 % 120) for n in range(14)]
    elif name == "border":
        rows = [placed(2, -60, 20, 250), placed(5, 250, 150, 240), placed(7, 130, -80, 200)]
    elif name.startswith(("none", "noise")):
        rows = []
    else:
        rows = [placed(3, width * 0.1, height * 0.1, 0.8 * min(height, width))]
    found = np.stack(rows) if rows else np.zeros((0, 18, 3))
    inside = (found[..., :2] >= 0).all(axis=-1) & (found[..., 0] < width) & (found[..., 1] < height)
    return found * inside[..., None]


def prepared(name: str, cells: tuple[int, int], cell: float) -> Maps:
    """The maps of a case: of its people with some noise, or of noise only."""
    heat, affinities = maps_of(people(name), cells, cell)
    noise = [uniform(f"{name} {n}", (n, *cells)).numpy() for n in (19, 38)]
    smooth = [np.stack([cv2.GaussianBlur(m, (0, 0), 1.0) for m in maps]) for maps in noise]
    strength, flow = (0.9, 1.6) if name.startswith("noise") else (0.03, 0.1)
    return (heat + strength * smooth[0]).astype(np.float32), (affinities + flow * smooth[1]).astype(np.float32)


def prepared_hand(name: str, scale: float, cells: int) -> NDArray[np.float32]:
    """Confidence maps (22, cells, cells) of a hand: a high and a wide peak for each point, some too low, and noise."""
    heat = 0.02 * uniform(f"{name} {scale}", (22, cells, cells)).numpy()
    rows, columns = np.mgrid[:cells, :cells] / cells
    for number in range(22):
        draws = (uniform(f"{name} {number}", (5,)).numpy() / 12**0.5 + 0.5).tolist()
        for x, y, height, spread in ((draws[0], draws[1], draws[4], 0.05), (draws[2], draws[3], 0.5, 0.08)):
            heat[number] += height * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * spread**2))
        if number % 7 == 3:
            heat[number] = -0.01
    return heat.astype(np.float32)


class Given:
    """In place of a network: returns prepared maps and keeps its inputs."""

    def __init__(self, maps: Callable[[torch.Tensor], Any]):
        self.maps = maps
        self.seen: list[torch.Tensor] = []

    def __call__(self, x: torch.Tensor) -> Any:
        self.seen.append(x.clone())
        return self.maps(x)


def modules_at(folder: str, *names: str, stubs: tuple[str, ...] = ()) -> list[ModuleType]:
    """Modules of a checkout, with stubs for their imports that are not needed here."""
    import scipy.ndimage

    filters = ModuleType("scipy.ndimage.filters")
    filters.gaussian_filter = scipy.ndimage.gaussian_filter  # type: ignore[attr-defined]
    empty = {name: mock.MagicMock() for name in stubs} | {"scipy.ndimage.filters": filters}
    with mock.patch.dict(sys.modules, empty), mock.patch.object(sys, "path", [folder, *sys.path]):
        return [importlib.import_module(name) for name in names]


def release_arrays(folder: str) -> dict[str, NDArray]:
    path = f"{folder}/annotator/openpose"
    package = ModuleType("openpose")
    package.__path__ = [path]  # type: ignore[attr-defined]
    with mock.patch.dict(sys.modules, {"openpose": package}):
        names = [f"openpose.{name}" for name in ("model", "util", "body", "hand")]
        model, util, body, hand = modules_at(folder, *names, stubs=("config", "matplotlib.pyplot"))
    arrays: dict[str, NDArray] = {}
    small = tensor(sample_image("nets", (64, 80)))
    affinities, heat = fill(model.bodypose_model())(small)
    arrays |= {"nets/body/heat": heat[0].numpy(), "nets/body/affinities": affinities[0].numpy()}
    arrays["nets/hand"] = fill(model.handpose_model())(small)[0].numpy()
    for name, size in SIZES.items():
        arrays |= body_arrays(name, size, body, util)
    for name, side in HANDS.items():
        found = object.__new__(hand.Hand)
        found.model = Given(lambda x, n=name, s=side: hand_maps(n, x, s))
        arrays[f"hands/{name}"] = found(sample_image(name, (side, side))[..., ::-1].copy())
    arrays |= drawn_hands(util)
    return arrays


def body_arrays(name: str, size: tuple[int, int], body: ModuleType, util: ModuleType) -> dict[str, NDArray]:
    def maps(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        cells = (x.shape[2] // 8, x.shape[3] // 8)
        made = prepared(name, cells, 8 * size[0] / 184)
        return tuple(torch.from_numpy(m)[None] for m in made[::-1])

    found = object.__new__(body.Body)
    found.model = Given(maps)
    image = sample_image(name, size)[..., ::-1].copy()
    candidate, subset = found(image)
    joints = np.zeros((len(subset), 18, 3))
    for person, row in zip(joints, subset, strict=True):
        for joint in np.flatnonzero(row[:18] >= 0):
            person[joint] = candidate[int(row[joint]), :3]
    squares = util.handDetect(candidate, subset, image) if len(subset) else []
    return {
        f"body/{name}/seen": seen(found.model.seen[0]),
        f"body/{name}/people": joints.astype(np.float32),
        f"body/{name}/scores": subset[:, 18],
        f"body/{name}/hands": np.array(squares, np.int64).reshape(-1, 4),
    }


def hand_maps(name: str, x: torch.Tensor, side: int) -> torch.Tensor:
    scale = x.shape[2] / 368
    return torch.from_numpy(prepared_hand(name, scale, x.shape[2] // 8))[None]


def drawn_hands(util: ModuleType) -> dict[str, NDArray]:
    """The published drawing of two hands with missing points, without its dots at (0, 0)."""
    hands = hands_to_draw()
    with mock.patch.object(util.cv2, "circle", side_effect=_circle_where_seen(cv2.circle)):
        peaks = [hand[:, :2].astype(np.int64) * (hand[:, 2:] > 0) for hand in hands]
        canvas = util.draw_handpose(np.zeros((128, 160, 3), np.uint8), peaks)
    return {"drawn": np.packbits(canvas.any(axis=2)), "drawn/colours": np.unique(canvas.reshape(-1, 3), axis=0)}


def _circle_where_seen(circle: Callable[..., Any]) -> Callable[..., Any]:
    return lambda canvas, place, *rest, **more: (
        circle(canvas, [int(n) for n in place], *rest, **more) if any(place) else canvas
    )


def hands_to_draw() -> NDArray[np.float64]:
    """Two hands (2, 21, 3) with every fifth point missing."""
    places = (uniform("hands to draw", (2, 21, 2)).numpy() / 12**0.5 + 0.5) * (150, 118) + 4
    return np.concatenate([places, (np.arange(42) % 5 != 2).reshape(2, 21, 1)], axis=2)


def light_arrays(folder: str) -> dict[str, NDArray]:
    nets, keypoints, demo = modules_at(
        folder,
        "models.with_mobilenet",
        "modules.keypoints",
        "demo",
        stubs=("pycocotools", "pycocotools.coco", "pycocotools.cocoeval", "datasets", "datasets.coco"),
    )
    arrays: dict[str, NDArray] = {}
    *_, heat, affinities = fill(nets.PoseEstimationWithMobileNet())(tensor(sample_image("nets", (64, 80))))
    arrays |= {"nets/light/heat": heat[0].numpy(), "nets/light/affinities": affinities[0].numpy()}
    for name, size in SIZES.items():

        def maps(x: torch.Tensor, name: str = name, size: tuple[int, int] = size) -> list[torch.Tensor]:
            made = prepared(name, (x.shape[2] // 8, x.shape[3] // 8), 8 * size[0] / 256)
            return [torch.from_numpy(m)[None] for m in made]

        network = Given(maps)
        image = sample_image(name, size)[..., ::-1].copy()
        heat, affinities, scale, pad = demo.infer_fast(network, image, 256, 8, 4, cpu=True)
        found: list[Any] = []
        count = 0
        for joint in range(18):
            count += keypoints.extract_keypoints(heat[:, :, joint], found, count)
        entries, every = keypoints.group_keypoints(found, affinities)
        joints = np.zeros((len(entries), 18, 3))
        for person, row in zip(joints, entries, strict=True):
            for joint in np.flatnonzero(row[:18] >= 0):
                x, y, score = every[int(row[joint]), :3]
                person[joint] = (x * 2 - pad[1]) / scale, (y * 2 - pad[0]) / scale, score
        arrays[f"light/{name}/seen"] = seen(network.seen[0])
        arrays[f"light/{name}/people"] = joints.astype(np.float32)
        arrays[f"light/{name}/scores"] = np.array([row[18] for row in entries])
    return arrays


def main(release: str, light: str, keys: str) -> None:
    arrays: dict[str, NDArray] = {}
    for name in KEY_LISTS:
        lines = (Path(keys) / f"{name}.txt").read_text().splitlines()
        arrays[f"keys/{name}"] = np.array("\n".join(line for line in lines if not line.startswith("#")))
    with torch.inference_mode():
        arrays |= release_arrays(release) | light_arrays(light)
    np.savez_compressed(FILE, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
