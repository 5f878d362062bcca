"""The inputs that the commands of the docs need: small photos, labels, poses, depth and checkpoints, in one folder."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file

from cn import app, images
from cn.checkpoints.write.native import save_base, save_control
from cn.model.controlnet import ControlNet
from tests.helpers.doc_pages import ROOT
from tests.helpers.model_helpers import TINY, fill, tiny_base

SIDE = 96
TEXT_LAYERS = (
    "text_encoder.text_model.encoder.layers.0.self_attn.out_proj",
    "text_encoder.text_model.encoder.layers.1.mlp.fc2",
)
NARROW = replace(TINY, unet=replace(TINY.unet, heads=8))
"""A model with the layout of Stable Diffusion 1.5, which has 8 heads, and a hundredth of its parameters."""


def prepare(name: str) -> None:
    """Make the inputs of this name (`<!-- files: NAME -->`) in the current folder, unless they are there."""
    MAKERS[name]()


def _house() -> None:
    """The image of the quick start, which stands in docs/, as in a checkout."""
    Path("docs").mkdir(exist_ok=True)
    shutil.copy(ROOT / "docs/house.png", "docs/house.png")


def _photos() -> None:
    """Three photographs of scikit-image, reduced: `photos/`, and one as `photo.png`."""
    from skimage import data

    Path("photos").mkdir(exist_ok=True)
    for name in ("astronaut", "coffee", "rocket"):
        photo = np.asarray(getattr(data, name)())
        images.write(Path("photos") / f"{name}.png", images.resize(photo[:400, :400], (SIDE, SIDE), "smooth"))
    images.write("photo.png", images.read("photos/astronaut.png"))


def _mask() -> None:
    """`mask.png`: a white circle on black, of the size of `photo.png`."""
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    images.write("mask.png", ((rows**2 + columns**2 < (SIDE // 3) ** 2) * 255).astype(np.uint8))


def _captions() -> None:
    """Captions beside the photographs: `photos/NAME.txt`."""
    _photos()
    for path in Path("photos").glob("*.png"):
        path.with_suffix(".txt").write_text(f"a photograph of the {path.stem}\n")


def _clip() -> None:
    """A video of 20 frames, `clip.mp4`, and an animation of 4, `animation.gif`."""
    import cv2
    from PIL import Image

    frames = [np.roll(images.read("photo.png"), 4 * number, 1) for number in range(20)]
    writer = cv2.VideoWriter("clip.mp4", cv2.VideoWriter.fourcc(*"mp4v"), 10, (SIDE, SIDE))
    for frame in frames:
        writer.write(np.ascontiguousarray(frame[..., ::-1]))
    writer.release()
    first, *others = (Image.fromarray(frame) for frame in frames[:4])
    first.save("animation.gif", save_all=True, append_images=others)


def _drawing() -> None:
    """A black stroke on white: `drawing.png`."""
    sheet = np.full((SIDE, SIDE, 3), 255, np.uint8)
    sheet[20:26, 10:80] = 0
    images.write("drawing.png", sheet)


def _depth() -> None:
    """Depth in millimeters, 16 bits, as a depth camera saves it: `kinect.png`; passes of a renderer: `mist.png` and
    `normals-gl.png`; and DIODE's arrays in `diode/`.
    """
    from PIL import Image

    ramp = np.linspace(4000, 800, SIDE * SIDE).reshape(SIDE, SIDE)
    Image.fromarray(ramp.astype(np.uint16)).save("kinect.png")
    Image.fromarray((ramp / 4000 * 255).astype(np.uint8)).save("mist.png")
    Image.new("RGB", (SIDE, SIDE), (128, 204, 230)).save("normals-gl.png")
    folder = Path("diode/scene")
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "a_depth.npy", ramp[..., None] / 1000)
    np.save(folder / "a_depth_mask.npy", np.ones((SIDE, SIDE)))
    np.save(folder / "a_normal.npy", np.broadcast_to(np.array([0.0, 0.6, 0.8]), (SIDE, SIDE, 3)))


def _labels() -> None:
    """Label maps as ADE20K's challenge and COCO-Stuff publish them: `annotations/` and `stuffthingmaps/`."""
    rows = np.repeat(np.arange(SIDE, dtype=np.uint8)[:, None], SIDE, 1)
    # Of the first labels of COCO-Stuff, only 11 is not used.
    for folder, labels in (("annotations", rows + 1), ("stuffthingmaps", rows % 11)):
        Path(folder).mkdir(exist_ok=True)
        images.write(Path(folder) / "a.png", labels)


def _poses() -> None:
    """A person, as an editor of a web UI saves one: `edited.json`."""
    rng = np.random.default_rng(0)
    points = np.column_stack([rng.uniform(20, 76, (18, 2)), np.ones(18)])
    person = {"pose_keypoints_2d": points.ravel().tolist()}
    Path("edited.json").write_text(json.dumps({"canvas_width": SIDE, "canvas_height": SIDE, "people": [person]}))


def _edges() -> None:
    """A Canny map of a built-in scene: `edges.png`."""
    _run("detect", "canny", str(ROOT / "docs/house.png"), "edges.png", "--overwrite")


def _scene() -> None:
    """The depth map of a built-in scene: `depth.png`."""
    _run("dataset", "synth", "scene", "--cond", "depth", "--count", "1", "--seed", "2", "--start", "90")
    shutil.copy("scene/source/000090.png", "depth.png")


def _target() -> None:
    """Two images without captions: `mydata/target/`."""
    _photos()
    shutil.copytree("photos", "mydata/target", dirs_exist_ok=True)


def _checkpoints() -> None:
    """Narrow models with the layouts of Stable Diffusion 1.5 and its ControlNets, under the published names."""
    if Path("v1-5-pruned.safetensors").exists():
        return
    save_base(Path("narrow.safetensors"), tiny_base(NARROW), half=False)
    _run("convert", "narrow.safetensors", "v1-5-pruned.safetensors", "--to", "ldm")
    mine = {name: tensor * 1.01 for name, tensor in load_file("v1-5-pruned.safetensors").items()}
    save_file(mine, "my-model.safetensors")
    _run("convert", "narrow.safetensors", "stable-diffusion-v1-5", "--to", "diffusers")
    control = fill(ControlNet(NARROW.unet, condition_encoder="released"))
    save_control(Path("narrow-control.safetensors"), control, kind="canny", base_sha256="")
    _run("convert", "narrow-control.safetensors", "control.safetensors", "--to", "ldm")
    torch.save(load_file("control.safetensors"), "control_v11p_sd15_canny.pth")


def _run(*words: str) -> None:
    assert app.run([*words, "-q"]) == 0, words


def _adapters() -> None:
    """Two LoRA files for the bundled base, and its VAE alone with the names of the original layout."""
    from cn.checkpoints.keymaps import ldm
    from cn.checkpoints.read.load import open_base
    from cn.weights import bundled
    from tests.helpers import loras

    base = open_base(bundled.find("base"))
    state = {part: dict(network.state_dict()) for part, network in base.networks.items()}
    for name in ("style", "detail"):
        loras.write(Path(f"{name}.safetensors"), loras.kohya(loras.pairs(state, TEXT_LAYERS, name)))
    table = ldm.vae(base.config.vae)
    save_file({table.translate(name)[0]: tensor for name, tensor in state["vae"].items()}, "vae.safetensors")


MAKERS: dict[str, Callable[[], None]] = {
    "house": _house,
    "photos": _photos,
    "mask": _mask,
    "captions": _captions,
    "clip": _clip,
    "drawing": _drawing,
    "depth": _depth,
    "labels": _labels,
    "poses": _poses,
    "edges": _edges,
    "scene": _scene,
    "target": _target,
    "checkpoints": _checkpoints,
    "adapters": _adapters,
}
