"""Which names are images, and what is said of the others."""

import subprocess
import sys
from pathlib import Path

import pytest

from cn import images
from cn.images import formats


@pytest.mark.parametrize("name", ["a.png", "A.JPG", "x/y.tif", "b.avif", "clip.mp4", "notes.txt", "a", ".png"])
def test_images_videos_and_other_files_need_no_advice(name):
    assert images.unread(name) is None


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("depth.EXR", "depth --from-depth"),
        ("d.pfm", "depth --from-depth"),
        ("e.npz", "depth --from-depth"),
        ("DSC_0001.NEF", "develop it"),
        ("a.dng", "develop it"),
        ("layers.psd", "export it as PNG"),
        ("logo.svg", "export it as PNG"),
    ],
)
def test_what_looks_like_an_image_is_explained(name, advice):
    assert advice in images.unread(name)


@pytest.mark.parametrize(("name", "extra"), [("IMG.HEIC", "heif"), ("b.jxl", "jxl")])
def test_a_format_of_an_extra_is_an_image_with_it_and_names_it_without(monkeypatch, name, extra):
    everything = formats.SUFFIXES | formats.HEIF_SUFFIXES | formats.JXL_SUFFIXES
    monkeypatch.setattr(formats, "SUFFIXES", everything)
    assert images.unread(name) is None
    monkeypatch.setattr(formats, "SUFFIXES", everything - formats.HEIF_SUFFIXES - formats.JXL_SUFFIXES)
    assert f'pip install "controlnet-cn[{extra}]"' in images.unread(name)


def test_names_are_looked_at_without_numpy_and_pillow():
    script = "import sys; from cn import images; images.unread('a.exr'); images.SUFFIXES; print(*sys.modules)"
    environment = {"PYTHONPATH": str(Path(images.__file__).parents[2]), "PATH": "/usr/bin:/bin"}
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment, timeout=60)
    assert done.returncode == 0, done.stderr
    assert not {"numpy", "PIL", "cv2"} & set(done.stdout.split())


def test_a_name_that_does_not_exist_is_an_attribute_error():
    with pytest.raises(AttributeError, match="nonsense"):
        images.nonsense  # noqa: B018
