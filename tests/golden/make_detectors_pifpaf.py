"""Make detectors_pifpaf.npz: outputs of OpenPifPaf for our weights, images and fields.

    python -m tests.golden.make_detectors_pifpaf SOURCE        (from the repository's root)

SOURCE   folder src of openpifpaf 0.13.11 (pip download openpifpaf==0.13.11 --no-deps --no-binary :all:), with its C++
         extension built in place (python setup.py build_ext --inplace; with a newer PyTorch after writing c++20 for
         c++17 in setup.py); its imports must be installed too: torchvision, python-json-logger, but not matplotlib,
         whose newer versions it does not know

Made with PyTorch 2.14.1, torchvision 0.29.1, OpenCV 5.0.0 and NumPy 2.4.6, in float32 on a CPU.

Weights and images are functions of names (`fill`, `image`), fields those of people (`pifpaf_fields`), so that
only results are stored, subsampled where they are large, and the people. Array "keys/NETWORK" is the list of names and
shapes of the published class as text.
"""

import sys
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tests.helpers.model_helpers import uniform
from tests.helpers.pifpaf_fields import bodies, crowd, fields, placed, scene_people, scenes_with

FILE = Path(__file__).parent / "detectors_pifpaf.npz"

N = TypeVar("N", bound=nn.Module)

NETWORKS = {"k16": ("shufflenetv2k16", 4), "k16-v3": ("shufflenetv2k16", 3), "k30": ("shufflenetv2k30", 4)}
"""Name of a case → the published name of its base network, version of its heads."""

SIZE = (65, 97)
IMAGE_SIZE = (75, 122)
LONG_EDGES = {"as it is": None, "smaller": 97, "larger": 161}
"""Long sides that the image is resized to."""

# Name of a case → height and width of the image, noise of its fields.
DECODED = {
    "ten": ((513, 513), 0.06),
    "blurred": ((513, 513), 0.3),
    "overlapping": ((257, 401), 0.1),
    "cropped": ((257, 257), 0.05),
    "scene": ((513, 513), 0.05),
    "none": ((129, 97), 0.3),
}


@torch.no_grad()
def fill(network: N) -> N:
    """Values derived from names for every parameter and every running mean and variance; signals stay near 1."""
    for name, tensor in network.state_dict().items():
        if not tensor.is_floating_point():
            continue
        value = uniform(name, tuple(tensor.shape))
        if tensor.ndim == 4:
            value *= (1.4 / tensor[0].numel()) ** 0.5 * (4 if name.startswith("head_nets") else 1)
        elif name.endswith("running_var") or (tensor.ndim == 1 and name.endswith("weight")):
            value = 1 + 0.2 * value
        else:
            value *= 0.1
        tensor.copy_(value)
    return network.eval()


def planes() -> torch.Tensor:
    """Input of the networks: (1, 3, 65, 97), smooth."""
    noise = uniform("planes of pifpaf", (*SIZE, 3)).numpy()
    smooth = cv2.GaussianBlur(noise, (0, 0), 2.0)
    return torch.from_numpy(smooth / smooth.std()).permute(2, 0, 1)[None].contiguous()


def sample_image() -> NDArray[np.uint8]:
    smooth = cv2.GaussianBlur(uniform("picture of pifpaf", (*IMAGE_SIZE, 3)).numpy(), (0, 0), 3.0)
    return np.clip(128 + 75 * smooth / smooth.std(), 0, 255).astype(np.uint8)


def points() -> NDArray[np.float64]:
    """(1, 17, 3) in pixels of the networks' input, all detected."""
    values = uniform("points of pifpaf", (17, 3)).double().numpy()
    return np.column_stack([60 + 30 * values[:, :2], 0.5 + 0.2 * values[:, 2]])[None]


def people(name: str) -> NDArray[np.float64]:
    """The people (n, 17, 3) of a case of `DECODED`."""
    if name in ("ten", "blurred"):
        return crowd()
    if name == "overlapping":
        return np.array([placed(body, 40 + 45 * i, 20 + 9 * i, 200) for i, body in enumerate(bodies(5))])
    if name == "cropped":
        return np.array([placed(body, -30 + 130 * i, 60 - 150 * i, 290) for i, body in enumerate(bodies(2))])
    if name == "scene":
        return scene_people(scenes_with(1, people=2)[0])
    return np.zeros((0, 17, 3))


def thin(field: NDArray[np.float32]) -> NDArray[np.float32]:
    return field[..., ::2, ::3]


def metas() -> list[Any]:
    """OpenPifPaf's descriptions of the two heads of its networks for COCO."""
    from openpifpaf.plugins.coco.cocokp import CocoKp

    CocoKp.upsample_stride = 2
    both = CocoKp().head_metas[:2]
    for index, meta in enumerate(both):
        meta.head_index, meta.base_stride = index, 16
    return both


def network(base_name: str, version: int) -> nn.Module:
    from openpifpaf.network import heads, nets
    from openpifpaf.network.factory import BASE_FACTORIES

    base = BASE_FACTORIES[base_name]()
    make = heads.CompositeField4 if version == 4 else heads.CompositeField3
    made = nets.Shell(base, [make(meta, base.out_features) for meta in metas()])
    nets.model_defaults(made)
    return fill(made)


def network_arrays() -> dict[str, NDArray]:
    arrays: dict[str, NDArray] = {}
    for name, (base, version) in NETWORKS.items():
        made = network(base, version)
        lines = [f"{key}\t{tuple(value.shape)}" for key, value in made.state_dict().items()]
        arrays[f"keys/{name}"] = np.array("\n".join(lines))
        for field, output in zip(("cif", "caf"), made(planes()), strict=True):
            arrays[f"{name}/{field}"] = thin(output[0].numpy())
    return arrays


def prepared_arrays() -> dict[str, NDArray]:
    import PIL.Image
    from openpifpaf import annotation, transforms

    arrays: dict[str, NDArray] = {}
    for name, long_edge in LONG_EDGES.items():
        rescale = transforms.RescaleAbsolute(long_edge, fast=True) if long_edge else None
        steps = [transforms.NormalizeAnnotations(), rescale, transforms.CenterPadTight(16), transforms.EVAL_TRANSFORM]
        seen, _, meta = transforms.Compose(steps)(PIL.Image.fromarray(sample_image()), [], None)
        arrays[f"prepared/{name}"] = seen.numpy()[:, ::5, ::7]
        arrays[f"prepared/{name}/shape"] = np.array(seen.shape)
        cif, caf = metas()
        body = annotation.Annotation(cif.keypoints, caf.skeleton).set(points()[0].astype(np.float32))
        arrays[f"prepared/{name}/points"] = body.inverse_transform(meta).data
    return arrays


def decoded_arrays() -> dict[str, NDArray]:
    from openpifpaf.decoder import CifCaf

    cif_meta, caf_meta = metas()
    decoder = CifCaf([cif_meta], [caf_meta])
    arrays: dict[str, NDArray] = {}
    for name, (size, noise) in DECODED.items():
        known = people(name).astype(np.float32)
        given = fields(known.astype(np.float64), *size, noise=noise)
        found = sorted(decoder([torch.from_numpy(field) for field in given]), key=lambda one: -one.score)
        arrays[f"decoded/{name}/known"] = known
        arrays[f"decoded/{name}"] = np.array([one.data for one in found]).reshape(-1, 17, 3)
        arrays[f"decoded/{name}/scores"] = np.array([one.score for one in found])
    return arrays


def main(source: str) -> None:
    sys.path.insert(0, source)
    with torch.inference_mode():
        arrays = network_arrays() | prepared_arrays() | decoded_arrays()
    np.savez_compressed(FILE, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
