"""Make detectors_edges.npz: outputs of the published line and edge annotators for our weights and images.

    python -m tests.golden.make_detectors_edges AUX FIRST TIN KEYS WEIGHTS        (from the repository's root)

AUX      folder with controlnet_aux 0.0.10 (pip install --no-deps --target AUX controlnet_aux==0.0.10; its imports
         must be installed too: timm, huggingface_hub, scikit-image, einops, torchvision)
FIRST    annotator/hed/__init__.py of lllyasviel/ControlNet's first commit, e38d22a
TIN      model.py of jannctu/TIN, commit bb1a49a
KEYS     folder with lists of the published files' tensors: a line for each, name and shape, separated by a tab
WEIGHTS  folder with mlsd_tiny_512_fp32.pth of lhwcv/mlsd_pytorch and TIN2.pth of jannctu/TIN

Made with PyTorch 2.15.0, OpenCV 5.0.0, NumPy 2.4.6 and scikit-image 0.26.0, in float32 on a CPU.

Weights and images are functions of names (`fill`, `image`), so that only results are stored, subsampled where they are
large; the photographs are scikit-image's. Array "keys/FILE" is the list of names and shapes as text: of the files
themselves where KEYS has them, else of the published class.
"""

import ast
import sys
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tests.helpers.model_helpers import uniform

FILE = Path(__file__).parent / "detectors_edges.npz"
REAL_WEIGHTS = Path(__file__).parents[2].parent / "shared" / "weights"
"""Where tests look for the published files."""

N = TypeVar("N", bound=nn.Module)

KEY_LISTS = ("ControlNetHED", "TIN2", "mlsd_large_512_fp32", "mlsd_tiny_512_fp32", "netG_Anime2Sketch")

LAST = ("score", "block16.conv3", "block23.conv3")
"""Prefixes of the names of the last layers of TIN and of M-LSD."""

# Name of a case → height and width of its image.
SIZES = {
    "hed": (64, 128),
    "bsds500": (64, 80),
    "tin1": (33, 48),
    "tin2": (33, 48),
    "mlsd_large": (128, 128),
    "mlsd_tiny": (64, 96),
    "sketch": (256, 320),
}


@torch.no_grad()
def fill(network: N) -> N:
    """Values derived from names for every parameter and every running mean and variance; signals stay near 1.

    First layers that see colors of 0..255, and `LAST` ones, get small weights: else sigmoids gave only 0 and 1.
    """
    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point():
            continue
        value = uniform(name.replace("module", "net"), tuple(tensor.shape))
        if name == "norm":
            value = 120 + 10 * value
        elif tensor.ndim == 4:
            smaller = 64 if tensor.shape[1:3] == (3, 3) else 10 if name.startswith(LAST) else 1
            value *= (2 / tensor[0].numel()) ** 0.5 / smaller
        elif name.endswith("running_var") or (tensor.ndim == 1 and name.endswith("weight")):
            value = 1 + 0.2 * value
        else:
            value *= 0.1
        tensor.copy_(value)
    return network.eval()


def sample_image(name: str) -> NDArray[np.uint8]:
    """The image (h, w, 3) of a case: blurred noise of full contrast."""
    noise = uniform(f"picture of {name}", (*SIZES[name], 3)).numpy()
    smooth = cv2.GaussianBlur(noise, (0, 0), 3.0)
    return np.clip(128 + 75 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def photograph(name: str) -> NDArray[np.uint8]:
    """A photograph of scikit-image, resized to multiples of 64, which the annotators require."""
    from skimage import data

    image = np.asarray(getattr(data, name)())
    height, width = (side // 64 * 64 for side in image.shape[:2])
    return cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA)


def tensor(image: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None].float()


def shapes(network: nn.Module) -> str:
    return "\n".join(f"{name}\t{tuple(value.shape)}" for name, value in network.state_dict().items())


def class_in(path: str, name: str) -> Any:
    """A class of a module whose import has side effects."""
    tree = ast.parse(Path(path).read_text())
    kept = [n for n in tree.body if isinstance(n, ast.Import | ast.ClassDef)]
    scope: dict[str, Any] = {}
    exec(compile(ast.Module(kept, []), path, "exec"), scope)
    return scope[name]


def bsds500(path: str) -> nn.Module:
    """The first release's network; its constructor requires weights."""
    with mock.patch.object(torch, "load", return_value={}), mock.patch.object(nn.Module, "load_state_dict"):
        return fill(class_in(path, "Network")())


def hed_arrays(first: str) -> dict[str, NDArray]:
    from controlnet_aux.hed import ControlNetHED_Apache2, HEDdetector

    image, network = sample_image("hed"), fill(ControlNetHED_Apache2())
    arrays = {f"hed/{i}": side[0, 0].numpy() for i, side in enumerate(network(tensor(image)))}
    settings = {"detect_resolution": 64, "image_resolution": 64, "output_type": "np"}
    arrays["hed/map"] = HEDdetector(network)(image, **settings)[..., 0]
    old = bsds500(first)
    arrays["bsds500"] = old(tensor(sample_image("bsds500")[..., ::-1]) / 255.0)[0, 0].numpy()
    arrays["keys/network-bsds500"] = np.array(shapes(old).replace("net", "module"))
    return arrays


def tin_map(network: nn.Module, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """As in test.py of jannctu/TIN."""
    bgr = image[..., ::-1].astype(np.float32)
    total = np.zeros(image.shape[:2])
    for scale in (0.5, 1.0, 1.5):
        scaled = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
        edge = network(torch.from_numpy(scaled.transpose(2, 0, 1)[None].copy()))[-1].squeeze().numpy()
        total += cv2.resize(edge, image.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    return (total / 3 * 255).astype(np.uint8)


def tin_arrays(path: str, weights: Path) -> dict[str, NDArray]:
    make = class_in(path, "TIN")
    arrays: dict[str, NDArray] = {}
    for stages in (1, 2):
        name = f"tin{stages}"
        network = fill(make(False, stages))
        arrays[name] = network(tensor(sample_image(name)[..., ::-1]))[-1][0, 0].numpy()
        arrays[f"{name}/map"] = tin_map(network, sample_image(name))
    arrays["keys/TIN1"] = np.array(shapes(make(False, 1)))
    network = make(False, 2).eval()
    network.load_state_dict(torch.load(weights / "TIN2.pth", map_location="cpu"))
    for name in ("astronaut", "coffee"):
        arrays[f"real/tin2/{name}"] = tin_map(network, photograph(name))[::6, ::6]
    return arrays


def mlsd_arrays(weights: Path) -> dict[str, NDArray]:
    from controlnet_aux.mlsd.models.mbv2_mlsd_large import MobileV2_MLSD_Large
    from controlnet_aux.mlsd.models.mbv2_mlsd_tiny import MobileV2_MLSD_Tiny
    from controlnet_aux.mlsd.utils import pred_lines

    arrays: dict[str, NDArray] = {}
    for name, make in (("mlsd_large", MobileV2_MLSD_Large), ("mlsd_tiny", MobileV2_MLSD_Tiny)):
        image, network = sample_image(name), fill(make())
        planes = np.concatenate([image, np.ones((*image.shape[:2], 1))], axis=2).astype(np.float32)
        output = network(torch.from_numpy(planes / np.float32(127.5) - 1).permute(2, 0, 1)[None])[0]
        arrays[name] = output.numpy()[:, ::4, ::4]
        arrays[f"{name}/lines"] = pred_lines(image, network, list(image.shape[:2]), 0.5, 0.2)
    network = MobileV2_MLSD_Tiny().eval()
    network.load_state_dict(torch.load(weights / "mlsd_tiny_512_fp32.pth", map_location="cpu"), strict=True)
    for name in ("astronaut", "coffee", "rocket"):
        image = photograph(name)
        arrays[f"real/mlsd_tiny/{name}"] = pred_lines(image, network, list(image.shape[:2]), 0.1, 0.1)
    return arrays


def drawing_arrays() -> dict[str, NDArray]:
    from controlnet_aux.lineart_anime import LineartAnimeDetector, UnetGenerator
    from controlnet_aux.lineart_standard import LineartStandardDetector

    network = fill(UnetGenerator(3, 1, 8, 64, norm_layer=nn.InstanceNorm2d, use_dropout=False))
    image = sample_image("sketch")
    whole = tensor(image)[..., :256] / 127.5 - 1.0
    made = LineartAnimeDetector(network)(image, detect_resolution=256, image_resolution=256, output_type="np")
    photo = photograph("astronaut")[64:192, 128:320]
    return {
        "sketch": network(whole)[0, 0].numpy()[::4, ::4],
        "sketch/map": made[..., 0][::3, ::3],
        "lineart": LineartStandardDetector()(photo, detect_resolution=128, output_type="np")[..., 0],
    }


def scribble_arrays(soft: NDArray[np.uint8]) -> dict[str, NDArray]:
    """The steps of gradio_fake_scribble2image.py, with the annotator's own `nms`."""
    from controlnet_aux.util import nms

    thin = nms(soft, 127, 3.0)
    thick = cv2.GaussianBlur(thin, (0, 0), 3.0)
    thick[thick > 4] = 255
    thick[thick < 255] = 0
    assert 0 < thick.mean() < 200, "a map with strokes and without"
    return {"scribble/soft": soft, "scribble/nms": np.packbits(thin > 0), "scribble": np.packbits(thick > 0)}


def main(aux: str, first: str, tin: str, keys: str, weights: str) -> None:
    sys.path.insert(0, aux)
    arrays: dict[str, NDArray] = {}
    for name in KEY_LISTS:
        lines = (Path(keys) / f"{name}.txt").read_text().splitlines()
        arrays[f"keys/{name}"] = np.array("\n".join(line for line in lines if not line.startswith("#")))
    with torch.inference_mode():
        arrays |= hed_arrays(first) | tin_arrays(tin, Path(weights)) | mlsd_arrays(Path(weights)) | drawing_arrays()
    from skimage import data

    edges = cv2.Laplacian(cv2.GaussianBlur(np.asarray(data.camera())[64:256, 128:384], (0, 0), 4.0), cv2.CV_32F)
    arrays |= scribble_arrays(np.clip(np.abs(edges) * 90, 0, 255).astype(np.uint8))
    np.savez_compressed(FILE, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
