"""Controls transferred to another base: the formula, what stays, and a U-Net that was trained too."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from cn.checkpoints.read.contents import Contents
from cn.checkpoints.read.recognize import recognize
from cn.checkpoints.transfer import Transfer, transfer
from cn.checkpoints.write.plan import plan
from cn.checkpoints.write.writer import write_conversion
from cn.errors import UsageError, WeightsError
from cn.files import sha256_of_all
from tests.helpers.layouts import convert, native_base, native_control, tensors
from tests.helpers.model_helpers import uniform


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two bases of the same shapes, a control, and a base of other shapes."""
    folder = tmp_path_factory.mktemp("bases")
    first = convert(native_base(folder / "native.safetensors", "sd1"), folder / "a.safetensors", "ldm")
    other = {name: t + 0.1 * uniform(f"other {name}", tuple(t.shape)) for name, t in tensors(first).items()}
    save_file(other | {n: t for n, t in tensors(first).items() if not t.is_floating_point()}, folder / "b.safetensors")
    native_control(folder / "control.safetensors", "sd1")
    native_base(folder / "sd2.safetensors", "sd2")
    return folder


def contents(path: Path) -> Contents:
    return Contents.of(recognize(path))


def moved(files: Path, control: Path, target: Path) -> tuple[Path, Transfer]:
    result = transfer(contents(control), contents(files / "a.safetensors"), contents(files / "b.safetensors"))
    write_conversion(plan(result.contents, "native"), target)
    return target, result


def test_the_difference_of_the_bases_is_added_to_what_was_copied(files, tmp_path):
    target, result = moved(files, files / "control.safetensors", tmp_path / "c.safetensors")
    assert (result.distance, result.base_trained) == (None, False)
    first, second = (contents(files / f"{name}.safetensors").parts["unet"] for name in "ab")
    before, after = tensors(files / "control.safetensors"), tensors(target)
    assert set(before) == set(after)
    for name, tensor in before.items():
        if name.startswith("encoder."):
            assert torch.equal(after[name], tensor + (second[name].read() - first[name].read())), name
            assert not torch.equal(after[name], tensor), name
        else:
            assert torch.equal(after[name], tensor), name
    assert recognize(target).control.base_sha256 == sha256_of_all([files / "b.safetensors"])


def test_transferring_back_gives_the_control(files, tmp_path):
    target, _ = moved(files, files / "control.safetensors", tmp_path / "c.safetensors")
    back = transfer(contents(target), contents(files / "b.safetensors"), contents(files / "a.safetensors"))
    for name, tensor in tensors(files / "control.safetensors").items():
        torch.testing.assert_close(back.contents.parts["control"][name].read(), tensor, atol=1e-6, rtol=1e-5)


def whole(files: Path, path: Path, shift: float) -> Path:
    """An official file of the first release: base and control, the decoder moved by `shift`."""
    control = convert(files / "control.safetensors", path.with_name("official.safetensors"), "ldm")
    base = {
        name: t + shift * uniform(f"trained {name}", tuple(t.shape)) if ".output_blocks." in name else t
        for name, t in tensors(files / "a.safetensors").items()
    }
    save_file(base | tensors(control), path)
    return path


@pytest.mark.parametrize("half", [False, True])
def test_the_base_in_an_official_file_is_left_out_where_it_is_the_same(files, tmp_path, half):
    """Except for rounding, where the file holds half precision."""
    official = whole(files, tmp_path / "whole.safetensors", 0.0)
    if half:
        official = convert(official, tmp_path / "half.safetensors", "ldm", half=True)
    target, result = moved(files, official, tmp_path / "c.safetensors")
    assert not result.base_trained
    assert (result.distance > 0) == half
    assert recognize(target).what == "a control"


@pytest.mark.parametrize(("shift", "along", "name"), [(2e-5, True, "folder"), (1e-8, False, "c.safetensors")])
def test_gentle_training_counts_in_full_precision(files, tmp_path, shift, along, name):
    _, result = moved(files, whole(files, tmp_path / "whole.safetensors", shift), tmp_path / name)
    assert result.base_trained is along


def test_a_trained_decoder_is_reported_and_kept(files, tmp_path):
    official = whole(files, tmp_path / "whole.safetensors", 0.05)
    target, result = moved(files, official, tmp_path / "folder")
    assert result.base_trained
    assert 0.05 < result.distance < 2
    a, b, own, after = (
        contents(path).parts["unet"]
        for path in (files / "a.safetensors", files / "b.safetensors", official, target / "base.safetensors")
    )
    for name, source in after.items():
        assert torch.equal(source.read(), own[name].read() + (b[name].read() - a[name].read())), name
    written, base = contents(target / "base.safetensors"), contents(files / "b.safetensors")
    for part in ("vae", "text"):
        for name, source in written.parts[part].items():
            assert torch.equal(source.read(), base.parts[part][name].read()), name


def test_two_times_the_same_base_is_refused(files, tmp_path):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes((files / "a.safetensors").read_bytes())
    with pytest.raises(UsageError, match=r"a\.safetensors and .*copy\.safetensors hold the same base"):
        transfer(contents(files / "control.safetensors"), contents(files / "a.safetensors"), contents(copy))


def test_mismatched_files_are_refused(files, tmp_path):
    a, b, sd2 = (contents(files / f"{name}.safetensors") for name in ("a", "b", "sd2"))
    with pytest.raises(WeightsError, match=r"sd2\.safetensors: its U-Net differs in shape"):
        transfer(contents(files / "control.safetensors"), a, sd2)
    with pytest.raises(WeightsError, match="a control was expected"):
        transfer(b, a, b)
    with pytest.raises(WeightsError, match=r"does not match the U-Net of .*sd2\.safetensors"):
        transfer(contents(files / "control.safetensors"), sd2, sd2)
    with pytest.raises(WeightsError, match=r"control\.safetensors: a base was expected"):
        transfer(contents(files / "control.safetensors"), contents(files / "control.safetensors"), b)
