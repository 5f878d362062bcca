"""Pickled weights: everything torch.save writes is read as torch reads it."""

import io
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from cn.archives import pickles, torch_files
from cn.archives.archive import open_archive
from cn.errors import InputError, WeightsError
from tests.helpers import assembled
from tests.helpers.torch_saved import same, saved

ROOT = Path(__file__).parent.parent.parent
RELEASED = ROOT.parent / "shared" / "weights"


def _can_be_saved(kind: torch.dtype) -> bool:
    """Whether this version of torch can save a dtype that it has: the oldest cannot save all."""
    try:
        torch.save(torch.ones(1).to(kind), io.BytesIO())
    except KeyError:
        return False
    return True


def everything(new: bool = True) -> dict[str, Tensor]:
    """Tensors of every kind that can be in a file of weights; without `new` those that torch can read from old ones."""
    torch.manual_seed(1)
    plain = torch.randn(4, 6, 2)
    kinds = [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64]
    kinds += [torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8, torch.bool]
    if new:
        kinds += [torch.float8_e4m3fn, torch.float8_e5m2]
        kinds += [kind for kind in (torch.uint16, torch.uint32, torch.uint64) if _can_be_saved(kind)]
    tensors = {str(kind): (plain * 9).abs().to(kind) for kind in kinds}
    tied = torch.randn(5, 3)
    return tensors | {
        "transposed": plain.permute(2, 0, 1),
        "every second": torch.arange(20)[::2],
        "a part": torch.arange(20.0).view(4, 5)[1:3, 2:4],
        "the end": torch.arange(20.0)[17:],
        "expanded": torch.tensor([1.5, 2.5]).expand(3, 2),
        "column": torch.randn(7, 1).t(),
        "channels last": torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        "0-d": torch.tensor(7),
        "empty": torch.empty(0),
        "empty rows": torch.empty(3, 0, 2, dtype=torch.float16),
        "tied": tied,
        "tied too": tied,
        "tied, transposed": tied.t(),
        "parameter": nn.Parameter(torch.randn(3)),
        "ünï.cödé 模型": torch.ones(1),
        "n" * 5000: torch.ones(2),
        "": torch.ones(3),
    }


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_everything_is_read_as_torch_reads_it(tmp_path, protocol, new):
    expected = everything(new)
    path = saved(expected, tmp_path / "a.pth", pickle_protocol=protocol, _use_new_zipfile_serialization=new)
    archive = open_archive(path)
    same(archive, expected)
    if protocol == 2:
        # torch.load with weights_only cannot read the later protocols.
        same(archive, torch.load(path, weights_only=True))
    assert archive.format == ("pickle" if new else "legacy pickle")
    assert archive.extras == {}
    assert archive.metadata == {}
    assert archive.path == path
    strided = {name for name, entry in archive.entries.items() if entry.strides is not None}
    assert strided == {"transposed", "every second", "a part", "expanded", "channels last", "tied, transposed"}
    assert archive.entries["tied"].offset == archive.entries["tied too"].offset


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_a_network_s_state_dict_with_its_metadata(tmp_path, new):
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Sequential(nn.Conv2d(2, 3, 1)))
    path = saved(network.state_dict(), tmp_path / "a.pth", _use_new_zipfile_serialization=new)
    same(open_archive(path), network.state_dict())


def test_attributes_of_tensors_are_dropped(tmp_path):
    value, parameter = torch.ones(2), nn.Parameter(torch.ones(3))
    value.note, parameter.note = "mine", ["mine"]
    path = saved({"a": value, "b": parameter}, tmp_path / "a.pth")
    same(open_archive(path), {"a": value, "b": parameter.detach()})


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("depth", [1, 2, 4])
def test_nested_state_dicts_are_followed_and_other_values_described(tmp_path, depth, new):
    weights = {"a": torch.ones(2), "b": torch.zeros(1)}
    value: dict = weights | {"betas": None}
    for level in range(depth):
        value = {"state_dict": value, f"step {level}": 840000 + level, "optimizer_states": [{"x": torch.ones(9)}]}
    archive = open_archive(saved(value, tmp_path / "a.ckpt", _use_new_zipfile_serialization=new))
    same(archive, weights)
    steps = {f"step {level}": str(840000 + level) for level in range(depth)}
    assert archive.extras == {**steps, "optimizer_states": "list of 1", "betas": "None"}


def test_a_state_dict_in_a_state_dict_in_five_is_not_looked_for(tmp_path):
    value: dict = {"a": torch.ones(2)}
    for _ in range(6):
        value = {"state_dict": value}
    archive = open_archive(saved(value, tmp_path / "a.ckpt"))
    assert archive.entries == {}
    assert archive.extras == {"state_dict": "dict of 1 (state_dict)"}


def test_a_dictionary_within_itself_ends(tmp_path):
    value: dict = {}
    value["state_dict"] = value
    assert open_archive(saved(value, tmp_path / "a.ckpt")).entries == {}


def test_the_only_dictionary_with_tensors_is_the_weights(tmp_path):
    weights = {"a": torch.ones(2)}
    archive = open_archive(saved({"params_ema": weights, "epoch": 3, "other": {"x": 1}}, tmp_path / "a.pth"))
    same(archive, weights)
    assert archive.extras == {
        "params_ema": "dict of 1 (a): the weights",
        "epoch": "3",
        "other": "dict of 1 (x)",
    }
    both = open_archive(saved({"params": weights, "params_ema": weights}, tmp_path / "b.pth"))
    assert both.entries == {}, "which of the two is not for the reader to say"
    assert set(both.extras) == {"params", "params_ema"}


def a_network() -> nn.Module:
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Sequential(nn.Conv2d(2, 3, 1), nn.Identity()))
    network.register_buffer("kept", torch.ones(2))
    network.register_buffer("not kept", torch.ones(2), persistent=False)
    network[2][1].weight = network[2][0].weight
    return network


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_whole_network_gives_its_state_dict(tmp_path, new):
    network = a_network()
    archive = open_archive(saved(network, tmp_path / "a.pt", _use_new_zipfile_serialization=new))
    state = network.state_dict()
    assert set(archive.entries) == set(state)
    same(archive, {name: state[name] for name in archive.entries})


@pytest.mark.parametrize("value", [torch.ones(2), [torch.ones(2)], 7, None, "text", (1,)], ids=str)
def test_what_has_no_names_is_no_weights(tmp_path, value):
    with pytest.raises(WeightsError, match="weights are tensors by name"):
        open_archive(saved(value, tmp_path / "a.pt"))


@pytest.mark.parametrize("value", [torch.ones(2).to_sparse(), torch.ones(2, dtype=torch.complex128)], ids=["s", "c"])
def test_tensors_of_unknown_kinds_are_refused_by_name(tmp_path, value):
    with pytest.raises(WeightsError, match=r"holds (sparse tensors|complex numbers of 128 bits) \(torch\."):
        open_archive(saved({"a": value}, tmp_path / "a.pt"))


def test_conjugates_are_refused(tmp_path):
    with pytest.raises(InputError, match="conjugated"):
        open_archive(saved({"a": torch.ones(2, dtype=torch.complex64).conj()}, tmp_path / "a.pt"))


@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_torchscript_program_is_no_weights(tmp_path):
    torch.jit.save(torch.jit.script(nn.Linear(2, 2)), tmp_path / "a.pt")
    with pytest.raises(WeightsError, match="is a TorchScript program"):
        open_archive(tmp_path / "a.pt")


@pytest.mark.parametrize("new", [True, False], ids=["zip", "legacy"])
def test_a_pickle_may_not_be_large(tmp_path, monkeypatch, new):
    path = saved({"a": torch.ones(2)}, tmp_path / "a.pt", _use_new_zipfile_serialization=new)
    for module in (pickles, torch_files):
        monkeypatch.setattr(module, "MAX_PICKLE", 120)
    with pytest.raises(InputError, match="larger than that of any weights" if new else "its pickle is cut off"):
        open_archive(path)


def test_strings_of_python_2(tmp_path):
    main = assembled.program(b"}U\1a" + assembled.tensor() + b"sU\3x\xffyK\1s")
    path = tmp_path / "a.pth"
    path.write_bytes(assembled.torch_zip(main))
    archive = open_archive(path)
    same(archive, {"a": torch.tensor([1.0, 2, 3, 4])})
    assert archive.extras == {"x\\xffy": "1"}


def test_a_view_of_an_old_storage(tmp_path):
    view = assembled.tuple_of(assembled.text("1"), assembled.number(1), assembled.number(3))
    of = assembled.storage("0", 4, "FloatStorage", view)
    path = tmp_path / "a.pth"
    path.write_bytes(assembled.legacy(assembled.program(assembled.dict_of(a=assembled.tensor((2,), offset=1, of=of)))))
    same(open_archive(path), {"a": torch.tensor([3.0, 4.0])})
    same(open_archive(path), torch.load(path, weights_only=True))


@pytest.mark.parametrize("name", ["TIN2.pth", "mlsd_tiny_512_fp32.pth"])
def test_released_files_are_read_as_torch_reads_them(name):
    if not (RELEASED / name).is_file():
        pytest.skip(f"{RELEASED / name} is not here")
    expected = torch.load(RELEASED / name, weights_only=True, map_location="cpu")
    same(open_archive(RELEASED / name), expected)
