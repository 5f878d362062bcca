"""`--sweep OPTION=VALUES`: what is written, and which values that is."""

import pytest

from cn.errors import UsageError
from cn.sample.axis import NAMES, Axis, weighted
from cn.sample.options import ConditionOptions, SampleOptions


def values(text):
    return [value.value for value in Axis.parse(text).values]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("strength=0.5,1,1.5", [0.5, 1.0, 1.5]),
        ("--strength= 0.5 , 1", [0.5, 1.0]),
        ("control_end=0.5..1:0.25", [0.5, 0.75, 1.0]),
        ("strength=0.1..0.3:0.1", [0.1, 0.2, 0.3]),
        ("strength=1..0:0.4", [1.0, 0.6, 0.2]),
        ("scale=-1..1", [-1.0, 0.0, 1.0]),
        ("seed=0..3", [0, 1, 2, 3]),
        ("seed=7,0..1", [7, 0, 1]),
        ("steps=20..20", [20]),
        ("sampler=ddim,dpm++2m", ["ddim", "dpm++2m"]),
        ("size=64x128,64", [(128, 64), (64, 64)]),
        ('prompt="a cat, sitting",a "quoted" dog,0..3', ["a cat, sitting", 'a "quoted" dog', "0..3"]),
        ('prompt="say ""hi"""', ['say "hi"']),
        ("prompt=,a house", ["", "a house"]),
        ("guess=on,FALSE", [True, False]),
        ("denoise=,0.5", [None, 0.5]),
        ("vae=,other.safetensors", [None, "other.safetensors"]),
        ("lora=,a.safetensors:0.5", [[], ["a.safetensors:0.5"]]),
        ("lora-weight=0..1:0.5", [0.0, 0.5, 1.0]),
    ],
)
def test_values_as_they_are_written(text, expected):
    assert values(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("strength", "must be OPTION=VALUE,VALUE…, such as strength=0.5,1,1.5, not 'strength'"),
        ("strength=", "must be OPTION=VALUE"),
        ("stren=1", "--sweep: unknown option 'stren'; 'strength' may be meant"),
        ("count=1,2", "give --count beside --sweep"),
        ("strength=1,x", "--sweep strength=x: --strength must be a number; a range is FROM..TO or FROM..TO:STEP"),
        ("strength=1,", "--sweep strength=: --strength must be a number"),
        ("strength=nan", "--sweep strength=nan: --strength must be a finite number"),
        ("seed=0.5", "--sweep seed=0.5: --seed must be a whole number or random"),
        ("steps=1,0", "--sweep steps=0: --steps must be between 1 and 1000, not 0"),
        ("sampler=ddim,dimd", "--sweep sampler=dimd: --sampler must be ddim"),
        ("size=64,x", "--sweep size=x: --size must be WIDTHxHEIGHT"),
        ("guess=maybe", "--sweep guess=maybe: --guess must be true or false"),
        ("lora-weight=inf", "--sweep lora-weight=inf: a weight must be a finite number"),
        ("strength=1,1.0", "--sweep strength: '1.0' is given twice"),
        ("seed=0..9:0", "the step of a range is not 0"),
        ("seed=0..1000000000000", "has 1000000000001 values"),
        ('prompt="a cat', "is not closed"),
        ("image=a.png", "--sweep image is not possible: each --image is a run of its own"),
        ("mask=a.png", "--sweep mask is not possible"),
        ("cond=a.png,-", "must name files, not '-'"),
    ],
)
def test_what_is_refused_names_itself(text, message):
    with pytest.raises(UsageError) as caught:
        Axis.parse(text)
    assert message in str(caught.value)


def test_a_drawn_seed_is_called_by_its_number():
    axis = Axis.parse("seed=random,-1")
    assert [value.text for value in axis.values] == [str(value.value) for value in axis.values]
    assert len({value.name for value in axis.values}) == 2


def test_names_of_files_are_short_and_all_different():
    texts = ["a house", "a-house", "A House", "x/y: z*", "w" * 300, "w" * 299]
    axis = Axis.parse("prompt=" + ",".join(texts))
    names = [value.name for value in axis.values]
    assert len({name.lower() for name in names}) == len(names)
    assert all(len(name) < 64 and "/" not in name and "*" not in name for name in names)
    assert [v.name for v in Axis.parse("base=a/x.safetensors,b/y.ckpt").values] == ["base=x", "base=y"]
    same = [v.name for v in Axis.parse("base=a/x.safetensors,b/x.safetensors").values]
    assert len({*same}) == 2


def test_labels_leave_folders_out_where_names_differ():
    assert Axis.parse("base=m/x.ckpt,m/y.ckpt").labels() == ["base: x.ckpt", "base: y.ckpt"]
    assert Axis.parse("base=a/x.ckpt,b/x.ckpt").labels() == ["base: a/x.ckpt", "base: b/x.ckpt"]
    assert Axis.parse("negative=,blurry").labels() == ["negative: (none)", "negative: blurry"]


def test_all_options_but_the_count_can_be_swept():
    fields = {*SampleOptions.__dataclass_fields__, *ConditionOptions.__dataclass_fields__} - {"count", "start", "end"}
    own = {"prompt", "cond", "control-start", "control-end", "lora-weight"}
    assert {*NAMES} == own | {name.replace("_", "-") for name in fields}


def test_one_weight_for_all_lora_files():
    assert weighted(["a.safetensors:0.5", "b.safetensors"], 0.25) == ("a.safetensors:0.25", "b.safetensors:0.25")
