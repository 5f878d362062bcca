"""FID, KID and their network, against the formulas and against torch-fidelity and SciPy."""

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cn.errors import InputError, WeightsError
from cn.eval import distances
from cn.eval.distances import Inception, fid, kid

CPU = torch.device("cpu")


def features(count: int, width: int, seed: int, shift: float = 0.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(count, width)) @ np.diag(np.linspace(0.5, 1.5, width)) + shift


def test_fid_is_the_formula():
    from scipy.linalg import sqrtm
    from torch_fidelity.metric_fid import fid_statistics_to_metric

    a, b = features(200, 12, 0), features(150, 12, 1, shift=0.3)
    (m1, s1), (m2, s2) = ((f.mean(axis=0), np.cov(f, rowvar=False)) for f in (a, b))
    expected = ((m1 - m2) ** 2).sum() + np.trace(s1 + s2 - 2 * sqrtm(s1 @ s2).real)
    assert fid(a, b) == pytest.approx(expected, rel=1e-9)
    theirs = fid_statistics_to_metric({"mu": m1, "sigma": s1}, {"mu": m2, "sigma": s2}, False)
    assert fid(a, b) == pytest.approx(theirs["frechet_inception_distance"], rel=1e-6)
    assert fid(a, a) == pytest.approx(0, abs=1e-9)
    assert fid(a, a + 2) == pytest.approx(4 * 12), "a shift of all features"
    # Fewer images than features: no full rank.
    assert fid(a[:5], a[:5]) == pytest.approx(0, abs=1e-9)


def test_kid_is_the_unbiased_formula():
    from torch_fidelity.metric_kid import kernel_mmd

    a, b = features(20, 6, 0), features(20, 6, 1, shift=0.4)

    def kernel(x, y):
        return (x @ y / 6 + 1) ** 3

    pairs = [(i, j) for i in range(20) for j in range(20)]
    within = sum(kernel(a[i], a[j]) + kernel(b[i], b[j]) for i, j in pairs if i != j) / (20 * 19)
    across = sum(kernel(a[i], b[j]) for i, j in pairs) / 400
    assert kid(a, b).value == pytest.approx(within - 2 * across, rel=1e-9)
    assert kid(a, b).value == pytest.approx(kernel_mmd(a, b), rel=1e-9)


def test_kid_of_alike_sets_is_zero_on_average_and_its_interval_holds_it():
    found = [kid(features(25, 6, 2 * seed), features(25, 6, 2 * seed + 1)) for seed in range(300)]
    values = np.array([one.value for one in found])
    assert abs(values.mean()) < 3 * values.std() / 300**0.5
    held = np.mean([one.interval[0] <= 0 <= one.interval[1] for one in found])
    assert 0.9 <= held <= 1
    apart = kid(features(25, 6, 0), features(25, 6, 1, shift=1.0))
    assert apart.differs_from_zero


def test_the_jackknife_leaves_out_one_image_at_a_time():
    a, b = features(9, 4, 0), features(9, 4, 1, shift=0.5)
    others = np.array([kid(np.delete(a, i, 0), np.delete(b, i, 0)).value for i in range(9)])
    error = 1.96 * np.sqrt(8 / 9 * ((others - others.mean()) ** 2).sum())
    found = kid(a, b)
    assert found.interval == pytest.approx((found.value - error, found.value + error), rel=1e-9)


@pytest.mark.slow
def test_the_network_is_that_of_torch_fidelity(tmp_path):
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    torch.manual_seed(0)
    network = distances._without_weights(FeatureExtractorInceptionV3).to_empty(device="cpu")
    for name, tensor in network.state_dict().items():
        spread = 0.1 if tensor.ndim == 1 else (2 / tensor[0].numel()) ** 0.5
        tensor.copy_(torch.randn(tensor.shape) * spread + (1.0 if "bn.weight" in name or "var" in name else 0.0))
        if "var" in name:
            tensor.abs_()
    state = {name: tensor.half().float() for name, tensor in network.state_dict().items()}
    torch.save(state, tmp_path / "inception.pth")
    image = np.random.default_rng(0).integers(0, 256, (2, 40, 56, 3)).astype(np.uint8)
    ours = Inception.open(tmp_path / "inception.pth", CPU)
    theirs = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], tmp_path / "inception.pth")
    with torch.inference_mode():
        expected = theirs(torch.from_numpy(image).permute(0, 3, 1, 2))[0].numpy()
    found = ours.features(image)
    assert found.shape == (2, 2048)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())
    assert len(ours.description()["weights_sha256"]) == 64


def test_other_files_are_refused(tmp_path):
    with pytest.raises(WeightsError, match="--inception-weights"):
        Inception.open(tmp_path / "missing.pth", CPU)
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="not the weights of this network"):
        Inception.open(tmp_path / "other.safetensors", CPU)
    (tmp_path / "text.pth").write_text("nothing")
    with pytest.raises(InputError):
        Inception.open(tmp_path / "text.pth", CPU)
