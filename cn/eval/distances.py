"""FID and KID: the distance between two sets of images, by features of an Inception v3.

The network is torch-fidelity's, which torchmetrics uses too: the one of the original FID, with its resizing. The
formulas are own code, a dozen lines: torch-fidelity's draw subsets at random and ask for a thousand images.
"""

import io
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from cn.archives.archive import open_archive
from cn.caption.weights import load
from cn.errors import UsageError, WeightsError, about
from cn.eval.bootstrap import Figure
from cn.files import sha256

HOW = (
    "--inception-weights FILE: weights-inception-2015-12-05-6726825d.pth of torch-fidelity's releases "
    "(github.com/toshas/torch-fidelity)"
)
ENOUGH_FOR_FID = 2048
"""With fewer images than features the covariance has no full rank, and the distance is far too large."""

Features = NDArray[np.float64]


class Inception:
    """The 2048 features of the last pooling."""

    def __init__(self, network: Any, weights_sha256: str, device: torch.device):
        self.network, self.weights_sha256, self.device = network.to(device).eval(), weights_sha256, device

    @classmethod
    def open(cls, path: str | os.PathLike[str], device: torch.device) -> "Inception":
        """With the weights of a file. Raises WeightsError where it is missing or holds something else."""
        try:
            from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
        except ImportError:
            raise UsageError(
                "FID and KID need torch-fidelity: pip install 'controlnet-cn[eval]', or leave --inception-weights out"
            ) from None
        if not os.path.isfile(path):
            raise WeightsError("no such file; give it with --inception-weights", path=path)
        file = Path(path)
        with about(file):
            entries = open_archive(file).entries
        # Its constructor loads the weights by itself, by unpickling: it gets none, and `load` reads the file safely.
        network = _without_weights(FeatureExtractorInceptionV3)
        return cls(load(network, entries, file, torch.float32), sha256(file), device)

    def description(self) -> dict[str, Any]:
        return {"detector": "torch-fidelity Inception v3, pool3", "weights_sha256": self.weights_sha256}

    @torch.inference_mode()
    def features(self, images: Iterable[NDArray[np.uint8]]) -> Features:
        """(n, 2048) of images (h, w, 3)."""
        rows = []
        for image in images:
            pixels = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None].to(self.device)
            rows.append(self.network(pixels)[0].double().cpu().numpy())
        return np.concatenate(rows)


def _without_weights(cls: type) -> Any:
    """torch-fidelity's network on the meta device."""

    class Empty(cls):  # type: ignore[misc, valid-type]
        def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
            # `load` has checked that all is there; torch would miss the counters that are taken away below.
            return super().load_state_dict(state_dict, strict=False, assign=assign)

    nothing = io.BytesIO()
    torch.save({}, nothing)
    nothing.seek(0)
    with torch.device("meta"):
        network = Empty("inception-v3-compat", ["2048"], feature_extractor_weights_path=nothing)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            # Counted in training only; older files do not have it.
            module.num_batches_tracked = None
    return network


def fid(a: Features, b: Features) -> float:
    """The Fréchet distance of Gaussians with the means and covariances of two sets of features (n, d) and (m, d).

    |μ₁ - μ₂|² + tr(Σ₁ + Σ₂ - 2 (Σ₁ Σ₂)^½) (Heusel et al. 2017, eq. 6). With Σ = XᵀX, the trace of the root is the sum
    of the singular values of X₁X₂ᵀ, which needs no root of a matrix without full rank.
    """
    x, y = ((f - f.mean(axis=0)) / np.sqrt(len(f) - 1) for f in (a, b))
    root = np.linalg.svd(x @ y.T, compute_uv=False).sum()
    apart = a.mean(axis=0) - b.mean(axis=0)
    return float(apart @ apart + (x**2).sum() + (y**2).sum() - 2 * root)


def kid(a: Features, b: Features) -> Figure:
    """The squared MMD of two sets of as many features (n, d), unbiased, with the kernel (x·y / d + 1)³.

    Bińkowski et al. 2018, eq. 4 (without subsets: all pairs of features count). The interval is ± 1.96 standard errors
    by the jackknife over images; the value can be negative where the sets are alike.
    """
    n, d = a.shape
    k_aa, k_bb, k_ab = ((x @ y.T / d + 1) ** 3 for x, y in ((a, a), (b, b), (a, b)))
    within = k_aa + k_bb
    np.fill_diagonal(within, 0)
    value = _mmd(within.sum(), k_ab.sum(), n)
    if n < 3:
        return Figure(value)
    # Without image i of both sets: its row and column go.
    cross = k_ab.sum() - k_ab.sum(axis=0) - k_ab.sum(axis=1) + np.diagonal(k_ab)
    others = np.asarray(_mmd(within.sum() - 2 * within.sum(axis=1), cross, n - 1))
    error = 1.96 * float(np.sqrt((n - 1) / n * ((others - others.mean()) ** 2).sum()))
    return Figure(value, (value - error, value + error))


def _mmd(within: Any, cross: Any, n: int) -> Any:
    return within / (n * (n - 1)) - 2 * cross / n**2
