"""Key maps: the templates cover the published models at full size, in both directions, and every mismatch is named."""

import pytest

from cn.checkpoints.checkpoint import ControlSpec, table_of
from cn.checkpoints.keymaps.keymap import Mismatch, Table, match
from cn.checkpoints.layouts import LDM_PREFIXES, PartName
from cn.checkpoints.read.infer import condition_channels, text_config, unet_config, vae_config
from cn.checkpoints.read.load import empty_base, empty_control, shapes_of
from cn.model.config import PRESETS
from tests.golden.keys import keys

NOT_OURS = ("position_ids", "text_projection", "logit_scale")
"""Endings of published tensors that our networks do not use; those of the noise schedule have no prefix."""


def published(group: str, prefix: str) -> dict[str, tuple[int, ...]]:
    """The published names with a prefix, without unused tensors."""
    found = {name.removeprefix(prefix): shape for name, shape in keys(group).items() if name.startswith(prefix)}
    return {name: shape for name, shape in found.items() if not name.endswith(NOT_OURS)}


CASES: list[tuple[str, PartName, str, str, str]] = [
    (preset, part, naming, group.format(version), prefix)
    for preset, version in (("sd15", "sd15"), ("sd21", "sd21"))
    for part, naming, group, prefix in (
        ("unet", "ldm", "ldm/{}", LDM_PREFIXES["unet"]),
        ("vae", "ldm", "ldm/{}", LDM_PREFIXES["vae"]),
        ("control", "ldm", "control/{}", LDM_PREFIXES["control"]),
        ("unet", "diffusers", "diffusers/{}/unet", ""),
        ("vae", "diffusers", "diffusers/{}/vae", ""),
        ("control", "diffusers", "diffusers/{}/controlnet", ""),
        ("text", "transformers", "diffusers/{}/text_encoder", "text_model."),
    )
] + [
    ("sd15", "text", "transformers", "ldm/sd15", "cond_stage_model.transformer.text_model."),
    ("sd21", "text", "open_clip", "ldm/sd21", "cond_stage_model.model."),
]


@pytest.mark.parametrize(("preset", "part", "naming", "group", "prefix"), CASES, ids=lambda value: str(value))
def test_full_size_models_map_onto_the_published_names(preset, part, naming, group, prefix):
    """Every published tensor is used, every parameter filled, all shapes agree; configurations come from shapes."""
    given = published(group, prefix)
    config = PRESETS[preset]
    if part == "control":
        unet = unet_config(given, naming)
        assert (unet, condition_channels(given, naming)) == (config.unet, 3)
        spec = ControlSpec(unet)
        wanted = shapes_of(empty_control(spec, group))
        table = table_of(part, naming, None, spec)
    else:
        infer = {"unet": unet_config, "vae": vae_config, "text": text_config}[part]
        inferred = infer(given, naming)
        if part != "text":
            assert inferred == getattr(config, part)
        elif naming == "open_clip":
            assert inferred == config.text
        wanted = dict(shapes_of(empty_base(config).networks[part]))
        if part == "text" and preset == "sd21" and naming == "transformers":
            # A diffusers folder holds the 23 layers that run.
            wanted = {name: shape for name, shape in wanted.items() if ".resblocks.23." not in name}
        table = table_of(part, naming, config, None)
    names = table.names(wanted)
    assert not match(names, wanted, given)
    inverse = {theirs: ours for ours, pieces in names.items() for theirs in pieces}
    assert set(inverse) == set(given), "the inverse is defined for every published name and no other"
    assert len(given) > 150


def test_counts_are_the_published_ones():
    counts = [len(published(group, prefix)) for _, _, _, group, prefix in CASES[:3]]
    assert counts == [686, 248, 340]


def table() -> Table:
    rules = {
        "a.{n}.{inner}": "x.{level}.{inner}",
        "whole.in_{weight_or_bias}": ("q.{weight_or_bias}", "k.{weight_or_bias}"),
        "last": "z",
    }
    return Table(rules, {"inner": {"norm_{i}": "n{i}", "out": "o.0"}}, {"a": lambda n: {"level": n - 1}})


def test_translating_one_name():
    assert table().translate("a.3.norm_2.weight") == ("x.2.n2.weight",)
    assert table().translate("a.1.out.bias") == ("x.0.o.0.bias",)
    assert table().translate("whole.in_bias") == ("q.bias", "k.bias")
    for name in ("a.3.other.weight", "a.x.out.bias", "b", "last.gain", "whole.in_gain"):
        with pytest.raises(KeyError):
            table().translate(name)


def test_one_name_for_two_parameters_is_an_error():
    twice = Table({"{name}": "same"})
    with pytest.raises(ValueError, match="one name to two"):
        twice.names(["a.weight", "b.weight"])


def test_a_mismatch_names_the_first_tensors():
    wanted = {"last.weight": (3, 4), "whole.in_weight": (6, 4), "a.1.out.bias": (5,)}
    names = table().names(wanted)
    fitting = {"z.weight": (3, 4), "q.weight": (3, 4), "k.weight": (3, 4), "x.0.o.0.bias": (5,)}
    assert not match(names, wanted, fitting)
    assert not match(names, wanted, fitting | {"z.weight": (3, 4, 1, 1)}), "a 1×1 convolution is a linear layer"
    lacking = {name: shape for name, shape in fitting.items() if name != "k.weight"}
    assert match(names, wanted, lacking) == Mismatch(["k.weight"], [], [])
    assert str(match(names, wanted, fitting | {"other": (1,)})) == "unexpected other"
    misshapen = match(names, wanted, fitting | {"z.weight": (4, 3), "k.weight": (4, 4), "x.0.o.0.bias": ()})
    assert misshapen.shapes == [
        "z.weight is 4×3, should be 3×4",
        "q.weight is 3×4 + 4×4, should be 6×4",
        "x.0.o.0.bias is a scalar, should be 5",
    ]
    many = Mismatch([f"m{i}" for i in range(9)], ["u"], [])
    assert str(many) == "missing m0, m1, m2 and 6 more; unexpected u"
