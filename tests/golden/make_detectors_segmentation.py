"""Make `detectors_segmentation.npz`: outputs of other implementations for our weights.

    python -m tests.golden.make_detectors_segmentation RELEASE DEEPLAB CHALLENGE    (from the repository's root)

RELEASE is a checkout of lllyasviel/ControlNet (commit ed85cd1), whose annotator/uniformer holds the mmseg that made the
released segmentation maps; DEEPLAB one of kazuto1011/deeplab-pytorch (commit 4219467); CHALLENGE one
of CSAILVision/sceneparsing (its folder convertFromADE). Needs addict, yapf and prettytable on top of this environment.
All numbers are float32 from a CPU.

    uniformer.keys, deeplab.keys     name and shape of every tensor, one a line
        of mmseg's EncoderDecoder by exp/upernet_global_small/config.py, and of DeepLabV2_ResNet101_MSC(182)
    uniformer.eps, deeplab.eps       name and epsilon of every norm, one a line, of the same networks
    uniformer.logits                 logits of `network_input`, thinned, by backbone and decode_head of the first
    deeplab.single, deeplab.multi    the same by the second, its base alone and all of it
    uniformer.sizes, deeplab.sizes   (height, width) of the networks' input for each of `SIZES`
        by mmcv's rescale_size, and by cv2.resize as in demo.py
    uniformer.ids, uniformer.swapped class ids of `colored_image`, with a short side of 64 instead of 512
        by inference_segmentor of annotator/uniformer, given BGR as it was made for, and RGB as the annotator gives it
    deeplab.input                    the network's input for `colored_image`, with a long side of 96 instead of 513
    deeplab.labels                   the labels at that size
        by preprocessing and inference of demo.py
    ade20k.names, ade20k.palette     CLASSES of mmseg's ADE20KDataset, and get_palette("ade") as the annotator paints
    ade20k.objects                   (class from 1, index of the object in the full release): mapFromADE.txt

Every tensor of both sides must be used, or loading fails. The tests need none of this.
"""

import ast
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from tests.helpers import segmentation_cases as cases


def mmseg(checkout):
    """The release's mmseg, and its network; matplotlib, which it imports for plots, is not needed."""
    sys.path.insert(0, str(checkout))
    plots = ModuleType("matplotlib.pyplot")
    sys.modules |= {"matplotlib": ModuleType("matplotlib"), "matplotlib.pyplot": plots}
    sys.modules["matplotlib"].pyplot = plots
    from annotator.uniformer import mmcv
    from annotator.uniformer.mmseg import apis
    from annotator.uniformer.mmseg.core.evaluation import get_palette
    from annotator.uniformer.mmseg.datasets import ADE20KDataset

    config = Path(checkout) / "annotator/uniformer/exp/upernet_global_small/config.py"
    model = apis.init_segmentor(str(config), device="cpu")
    resize = model.cfg.data.test.pipeline[1]
    resize.img_scale = (10_000, cases.SHORT)
    return SimpleNamespace(
        model=model,
        infer=apis.inference_segmentor,
        sizes=[mmcv.image.rescale_size((w, h), (2048, 512))[::-1] for h, w in cases.SIZES],
        names=ADE20KDataset.CLASSES,
        palette=get_palette("ade"),
    )


def deeplab(checkout):
    """The network of deeplab-pytorch, and the two functions of its demo that matter."""
    sys.path.insert(0, str(checkout))
    from libs.models import DeepLabV2_ResNet101_MSC

    source = ast.parse((Path(checkout) / "demo.py").read_text())
    wanted = [node for node in source.body if getattr(node, "name", "") in ("preprocessing", "inference")]
    demo = {"cv2": cv2, "np": np, "torch": torch, "F": F}
    exec(compile(ast.Module(wanted, []), "demo.py", "exec"), demo)
    return SimpleNamespace(model=DeepLabV2_ResNet101_MSC(182), **{node.name: demo[node.name] for node in wanted})


def settings(size):
    """As in configs/cocostuff164k.yaml, with another size."""
    mean = SimpleNamespace(B=104.008, G=116.669, R=122.675)
    return SimpleNamespace(IMAGE=SimpleNamespace(MEAN=mean, SIZE=SimpleNamespace(TEST=size)))


def keys(theirs):
    return np.array("\n".join(f"{name}\t{tuple(tensor.shape)}" for name, tensor in theirs.state_dict().items()))


def epsilons(theirs):
    norms = [(name, module.eps) for name, module in theirs.named_modules() if hasattr(module, "eps")]
    return np.array("\n".join(f"{name}\t{eps}" for name, eps in norms))


def deeplab_size(height, width):
    scale = 513 / max(height, width)
    return cv2.resize(np.zeros((height, width), np.uint8), None, fx=scale, fy=scale).shape


@torch.no_grad()
def main(release, deeplab_checkout, challenge):
    arrays = {}
    theirs, ours = mmseg(release), cases.filled("uniformer")
    theirs.model.load_state_dict(ours.state_dict(), strict=True)
    arrays["uniformer.keys"], arrays["uniformer.eps"] = keys(theirs.model), epsilons(theirs.model)
    logits = theirs.model.decode_head(theirs.model.backbone(cases.network_input()))
    arrays["uniformer.logits"] = logits[cases.THINNED].numpy()
    arrays["uniformer.sizes"] = np.array(theirs.sizes, np.int32)
    image = cases.colored_image()
    for name, given in (("ids", image[..., ::-1]), ("swapped", image)):
        arrays[f"uniformer.{name}"] = theirs.infer(theirs.model, np.ascontiguousarray(given))[0].astype(np.uint8)
    arrays["ade20k.names"] = np.array("\n".join(theirs.names))
    arrays["ade20k.palette"] = np.array(theirs.palette, np.uint8)
    arrays["ade20k.objects"] = np.loadtxt(Path(challenge) / "convertFromADE/mapFromADE.txt", dtype=np.int32)

    theirs, ours = deeplab(deeplab_checkout), cases.filled("deeplab")
    theirs.model.load_state_dict(ours.state_dict(), strict=True)
    theirs.model.eval()
    arrays["deeplab.keys"], arrays["deeplab.eps"] = keys(theirs.model), epsilons(theirs.model)
    arrays["deeplab.single"] = theirs.model.base(cases.network_input())[cases.THINNED].numpy()
    arrays["deeplab.multi"] = theirs.model(cases.network_input())[cases.THINNED].numpy()
    arrays["deeplab.sizes"] = np.array([deeplab_size(*size) for size in cases.SIZES], np.int32)
    tensor, _ = theirs.preprocessing(image[..., ::-1], "cpu", settings(cases.LONG))
    arrays["deeplab.input"] = tensor[0, :, ::4, ::4].numpy()
    arrays["deeplab.labels"] = theirs.inference(theirs.model, tensor).astype(np.uint8)
    np.savez_compressed(cases.FILE, **arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
