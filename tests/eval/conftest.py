"""A dataset and a base for evaluations."""

import json
from pathlib import Path

import numpy as np
import pytest

from cn import images
from cn.detect.create import create_detector


@pytest.fixture(scope="session")
def tiny_base_file(small_sd_file):
    return small_sd_file


@pytest.fixture(scope="session")
def canny_set(tmp_path_factory) -> Path:
    """Seven pairs whose maps state that they are canny's, by its default thresholds."""
    folder = tmp_path_factory.mktemp("canny")
    rng = np.random.default_rng(0)
    for name in ("source", "target"):
        (folder / name).mkdir()
    detector, lines = create_detector("canny"), []
    for i in range(7):
        target = rng.integers(0, 256, (4, 4, 3)).astype(np.uint8).repeat(16, 0).repeat(16, 1)
        images.write(folder / f"target/{i}.png", target)
        found = detector.detect([target], [str(i)])[0].map
        images.write(folder / f"source/{i}.png", found, detector.info(str(i)).to_text())
        lines.append(json.dumps({"source": f"source/{i}.png", "target": f"target/{i}.png", "prompt": f"squares {i}"}))
    (folder / "prompt.json").write_text("\n".join(lines))
    return folder
