"""Segmentation: how images are brought to the networks, what becomes of the logits, and files of ids."""

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from cn.detect.nets.deeplab import DeepLabV2MSC
from cn.detect.nets.upernet import UniFormerUPerNet
from cn.detect.segmentation import networks
from cn.detect.segmentation.networks import ade20k_ids, ade20k_size, argmax_resized, coco_ids, coco_size
from cn.detect.segmentation.palettes import NONE, ids_of_coco_labels
from cn.errors import InputError
from tests.helpers.depth_cases import sample_image
from tests.helpers.segmentation_cases import LONG, SHORT, SIZES, colored_image, filled, golden


class Stub(nn.Module):
    """Stands for both networks: what it finds is in `logits`, or depends on the image alone; it keeps its input."""

    mean = (120.0, 110.0, 100.0)
    std = (60.0, 50.0, 40.0)

    def __init__(self, logits: Tensor | None = None) -> None:
        super().__init__()
        self.unused = nn.Parameter(torch.zeros(1))
        self.logits = logits

    def forward(self, x: Tensor, multi_scale: bool = False) -> Tensor:
        self.seen, self.multi_scale = x, multi_scale
        small = F.avg_pool2d(x, 4, ceil_mode=True)
        return torch.cat([small, -small], dim=1) if self.logits is None else self.logits


@pytest.fixture
def small_scale(monkeypatch):
    """The sizes at which the golden arrays were made."""
    monkeypatch.setattr(networks, "ADE20K_SHORT", SHORT)
    monkeypatch.setattr(networks, "ADE20K_LONG", 10_000)
    monkeypatch.setattr(networks, "COCO_LONG", LONG)


def soft_logits(classes: int, height: int, width: int, coarseness: int = 4) -> Tensor:
    """(classes, height, width): hills of some cells' width, of different height from class to class."""
    generator = torch.Generator().manual_seed(classes * height + width)
    coarse = torch.randn(1, classes, height // coarseness + 1, width // coarseness + 1, generator=generator)
    hills = F.interpolate(coarse, (height, width), mode="bicubic", align_corners=False)[0]
    return 3 * hills + 2 * torch.randn(classes, 1, 1, generator=generator)


def enlarged(logits: Tensor, *sizes: tuple[int, int]) -> np.ndarray:
    """All classes at once, (C, h, w)."""
    x = logits[None]
    for size in sizes:
        x = F.interpolate(x, size, mode="bilinear", align_corners=False)
    return x[0].numpy()


def singly(logits: Tensor, *sizes: tuple[int, int]) -> np.ndarray:
    """The same one class after the other, which may change the last bit."""
    return np.concatenate([enlarged(plane[None], *sizes) for plane in logits])


@pytest.mark.parametrize(
    ("kind", "size", "least"), [("uniformer", ade20k_size, 32), ("deeplab", coco_size, 16)], ids=["ade20k", "coco"]
)
def test_the_sizes_are_the_published_ones_but_for_slivers(kind, size, least):
    theirs = [tuple(max(least, side) for side in pair) for pair in golden(f"{kind}.sizes").tolist()]
    assert [size(*pair) for pair in SIZES] == theirs
    assert sum(min(pair) < least for pair in golden(f"{kind}.sizes").tolist()) == 1


@settings(max_examples=300, deadline=None)
@given(st.integers(1, 60_000), st.integers(1, 60_000))
def test_no_image_is_too_long_or_too_small(height, width):
    for size, least, longest in ((ade20k_size, 32, 2048), (coco_size, 16, 513)):
        sides = size(height, width)
        assert least <= min(sides) <= max(sides) <= longest
        assert sides[0] == sides[1] or (sides[0] < sides[1]) == (height < width)
    assert min(ade20k_size(height, width)) <= 512


@pytest.mark.parametrize("swapped", [False, True])
def test_the_classes_are_those_of_the_released_annotator(small_scale, swapped):
    (found,) = ade20k_ids(filled("uniformer"), [colored_image()], swapped_channels=swapped)
    reference = golden("uniformer.swapped" if swapped else "uniformer.ids")
    assert found.dtype == np.uint8
    assert found.shape == (100, 150) == reference.shape
    assert (found == reference).mean() > 0.999
    assert len(np.unique(reference)) > 10
    assert (golden("uniformer.swapped") != golden("uniformer.ids")).mean() > 0.3


def test_the_classes_are_those_of_deeplab_pytorch(small_scale):
    image, reference = colored_image(), golden("deeplab.labels")
    stub = Stub()
    stub.mean = DeepLabV2MSC.mean
    coco_ids(stub, [image])
    assert np.abs(stub.seen[0, :, ::4, ::4].numpy() - golden("deeplab.input")).max() <= 1e-4
    # Their demo ends at the network's size: the image is given at that.
    resized = cv2.resize(image, reference.shape[::-1], interpolation=cv2.INTER_LINEAR)
    (found,) = coco_ids(filled("deeplab"), [resized], multi_scale=True)
    assert (found == ids_of_coco_labels()[reference]).mean() > 0.999
    assert len(np.unique(reference)) > 10


def test_uniformer_gets_rgb_by_its_mean_and_std_unless_swapped():
    red = np.zeros((64, 64, 3), np.uint8)
    red[..., 0] = 180
    stub = Stub()
    ade20k_ids(stub, [red])
    assert stub.seen.shape == (1, 3, 512, 512)
    assert torch.allclose(stub.seen[0].mean(dim=(1, 2)), torch.tensor([1.0, -2.2, -2.5]), atol=1e-4)
    ade20k_ids(stub, [red], swapped_channels=True)
    assert torch.allclose(stub.seen[0].mean(dim=(1, 2)), torch.tensor([-2.0, -2.2, 2.0]), atol=1e-4)
    assert UniFormerUPerNet.mean == (123.675, 116.28, 103.53)
    assert UniFormerUPerNet.std == (58.395, 57.12, 57.375)


def test_deeplab_gets_bgr_less_its_mean_and_the_scales_that_are_asked_for():
    red = np.zeros((64, 32, 3), np.uint8)
    red[..., 0] = 180
    stub = Stub()
    coco_ids(stub, [red])
    assert stub.seen.shape == (1, 3, 513, 256)
    assert torch.allclose(stub.seen[0].mean(dim=(1, 2)), torch.tensor([-120.0, -110.0, 80.0]), atol=1e-4)
    assert not stub.multi_scale
    coco_ids(stub, [red], multi_scale=True)
    assert stub.multi_scale
    assert DeepLabV2MSC.mean == (104.008, 116.669, 122.675)


@pytest.mark.parametrize(
    ("shape", "sizes"),
    [
        ((150, 32, 40), [(128, 160), (300, 411)]),
        ((182, 33, 44), [(257, 343), (100, 61)]),
        ((20, 17, 23), [(70, 91)]),
        ((7, 9, 8), [(9, 8), (40, 31)]),
        ((5, 1, 1), [(4, 4), (1, 1)]),
    ],
)
@pytest.mark.parametrize("coarseness", [1, 4, 9])
def test_class_by_class_gives_exactly_what_all_at_once_gives(shape, sizes, coarseness):
    logits = soft_logits(*shape, coarseness)
    found = argmax_resized(logits, *sizes)
    assert found.dtype == np.uint8
    assert np.array_equal(found, singly(logits, *sizes).argmax(axis=0))
    together = enlarged(logits, *sizes)
    taken = np.take_along_axis(together, found[None].astype(np.intp), axis=0)[0]
    assert (taken >= together.max(axis=0) - 1e-5).all()
    assert (found == together.argmax(axis=0)).mean() > 0.9999
    assert len(np.unique(found)) > 1 or shape[1] == 1


def test_of_equal_logits_the_first_class_counts():
    logits = soft_logits(6, 12, 12).repeat(3, 1, 1)
    found = argmax_resized(logits, (48, 48))
    assert np.array_equal(found, singly(logits, (48, 48)).argmax(axis=0))
    assert found.max() < 6
    assert not argmax_resized(torch.zeros(4, 3, 3), (9, 9)).any()


def test_a_class_that_is_the_largest_only_between_cells_is_found():
    logits = torch.tensor([[10.0, 0.0], [0.0, 10.0], [7.0, 7.0]])[:, None]
    assert argmax_resized(logits, (1, 10)).tolist() == [[0, 0, 0, 0, 2, 2, 1, 1, 1, 1]]
    # The last class is above each of the others at some place, but nowhere in the cells that one interpolation reaches.
    logits = torch.tensor([[11.0, 11.0, -1000.0], [1.0, 1.0, 1.0], [-1000.0, 1.0, 1.0], [10.0, 0.0, 0.0]])[:, :, None]
    assert enlarged(logits, (4, 1), (1, 1))[:, 0, 0].argmax() == 3
    assert argmax_resized(logits, (4, 1), (1, 1)).tolist() == [[3]]


def test_one_class_at_a_time_is_enlarged_and_hopeless_ones_never(monkeypatch):
    logits = soft_logits(150, 24, 30)
    hopeless = slice(100, 150)
    logits[hopeless] -= 100
    sizes, enlarge = [], F.interpolate

    def counted(x, size, **options):
        sizes.append(x.shape[1])
        return enlarge(x, size, **options)

    monkeypatch.setattr(F, "interpolate", counted)
    found = argmax_resized(logits, (96, 120), (200, 250))
    assert set(sizes) == {1}
    assert len(sizes) <= 2 * 100
    monkeypatch.undo()
    assert np.array_equal(found, singly(logits, (96, 120), (200, 250)).argmax(axis=0))


@pytest.mark.parametrize("detect", [ade20k_ids, coco_ids])
def test_each_image_gets_ids_of_its_own_size_in_order(detect):
    images = [sample_image(*size) for size in ((1, 1), (7, 5), (1, 300), (97, 131))]
    found = detect(Stub(), images)
    assert [ids.shape for ids in found] == [image.shape[:2] for image in images]
    assert all(ids.dtype == np.uint8 for ids in found)
    assert np.array_equal(found[3], detect(Stub(), [images[3]])[0])
    assert detect(Stub(), []) == []


@pytest.mark.parametrize("detect", [ade20k_ids, coco_ids])
def test_images_of_one_size_there_go_through_the_network_together(detect):
    images = [
        sample_image(64, 96),
        sample_image(50, 90),
        np.flip(sample_image(64, 96), 0),
        sample_image(32, 48),
        sample_image(90, 50),
    ]
    alone = [detect(Stub(), [image])[0] for image in images]
    for batch, last in ((1, 1), (2, 1), (5, 3)):
        recorder = Stub()
        together = detect(recorder, images[:1] + images[2:4], batch=batch)
        assert recorder.seen.shape[0] == last
        assert len(together) == 3
        together = detect(recorder, images, batch=batch)
        assert all(np.array_equal(a, b) for a, b in zip(alone, together, strict=True))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_narrow_number_format_changes_few_pixels_or_is_refused(dtype):
    images = [sample_image(64, 96)]
    (narrow,) = ade20k_ids(Stub().to(dtype), images)
    assert (narrow == ade20k_ids(Stub(), images)[0]).mean() > 0.95
    with pytest.raises(InputError, match="--precision"):
        ade20k_ids(Stub(torch.full((1, 150, 8, 8), torch.inf)).to(dtype), images)


def test_labels_that_coco_stuff_never_uses_are_no_class():
    logits = torch.zeros(1, 182, 8, 8)
    logits[0, 11, :, :4] = 1
    logits[0, 181, :, 4:] = 1
    (found,) = coco_ids(Stub(logits), [np.zeros((64, 64, 3), np.uint8)])
    assert (found[:, :28] == NONE).all()
    assert (found[:, 36:] == 170).all()


def test_labels_of_coco_stuff_become_ids_in_their_order():
    to_id = ids_of_coco_labels()
    unused = [11, 25, 28, 29, 44, 65, 67, 68, 70, 82, 90]
    assert np.flatnonzero(to_id[:182] == NONE).tolist() == unused
    assert to_id[[label for label in range(182) if label not in unused]].tolist() == list(range(171))
    assert (to_id[182:] == NONE).all()
