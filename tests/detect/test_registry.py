"""The registry of networks: complete, and enough to make every detector."""

import pytest

from cn import conditions
from cn.detect import registry
from cn.detect.detector import WithoutNetwork, detector_class
from cn.errors import UsageError, WeightsError
from tests.helpers.detect_cases import FAMILIES


def test_every_condition_has_one_row():
    assert sorted(row.kind for row in registry.KIND_SPECS) == sorted(conditions.KINDS)
    used = {family for row in registry.KIND_SPECS for family in (row.family, row.second_family) if family}
    assert used == set(FAMILIES)
    assert registry.kinds_of("hed") == ("hed", "scribble")
    assert registry.kinds_of("depth") == ("depth", "normal")
    assert registry.kinds_of("hands") == ("openpose",)


@pytest.mark.parametrize("kind", conditions.KINDS)
def test_every_detector_is_of_its_kind(kind):
    assert detector_class(kind).kind == kind
    assert issubclass(detector_class(kind), WithoutNetwork) == (registry.kind_spec(kind).family is None)


@pytest.mark.parametrize("kind", conditions.KINDS)
def test_detectors_without_weights_are_made_without_a_network(kind):
    if registry.without_weights(kind) is not None:
        detector = detector_class(kind).create(None)
        assert detector.network is None
        family = registry.kind_spec(kind).family
        if family is not None:
            assert registry.weight_free_title(family) in detector.info("a").detector


def test_what_works_without_weights():
    found = {kind: registry.without_weights(kind) for kind in conditions.KINDS}
    assert {kind: options for kind, options in found.items() if options is not None} == {
        "canny": "",
        "hough": "--method lsd",
        "hed": "--method gradient",
        "scribble": "--method gradient or --from-drawing",
        "lineart": "--method standard",
    }


def test_the_methods_of_a_family_are_those_of_its_rows_in_their_order():
    named = {family: [method.name for method in registry.methods(family)] for family in FAMILIES}
    assert named["hed"] == ["hed", "tin", "gradient"]
    assert named["openpifpaf"] == ["k16", "k30"]
    for family in FAMILIES:
        assert all(method.about for method in registry.methods(family)), family
        assert registry.default_method(family).networks, f"the default of {family} is a network"


def test_of_two_rows_that_fit_the_more_specific_one_counts():
    k16, k30 = (spec for spec in registry.NETWORKS if spec.family == "openpifpaf")
    assert registry.identify(k30.tensors) is k30
    assert registry.identify(k16.tensors) is k16
    large, tiny = (spec for spec in registry.NETWORKS if spec.method == "mlsd")
    assert registry.identify([*large.tensors, "more"], "hough") is large
    assert registry.identify(tiny.tensors, "hough") is tiny
    assert registry.identify(tiny.tensors, "hed") is None
    for spec in registry.NETWORKS:
        assert registry.identify(spec.tensors) is spec


def test_methods_that_do_not_exist_or_need_no_weights_are_refused():
    with pytest.raises(UsageError, match="--method is hed, tin or gradient, not 'canny'"):
        registry.choose_method("hed", "canny", False)
    with pytest.raises(UsageError, match="--method gradient uses no weights"):
        registry.choose_method("hed", "gradient", True)
    assert registry.choose_method("hed", None, True) is None
    with pytest.raises(WeightsError, match=r"^net\.pth: holds TIN, but --method hed takes HED") as caught:
        registry.check_method(registry.default_method("hed"), "net.pth", registry.spec_of("TIN"))
    assert caught.value.path == "net.pth"


def test_the_tables_of_the_documentation_have_a_row_for_each_condition_and_command():
    from tools.doc_tables import commands_table, conditions_table

    rows = {line.split("|")[1].strip(" `"): line for line in conditions_table().splitlines()[2:]}
    assert list(rows) == [row.kind for row in registry.KIND_SPECS]
    assert "`mlsd-large`<br>`mlsd-tiny`" in rows["hough"]
    assert rows["canny"].endswith("| always |")
    assert rows["scribble"].count("as `hed`") == 3
    commands = [line.split("`")[1].split()[1] for line in commands_table().splitlines()[2:]]
    assert commands[:2] == ["detect", "dataset"]
    assert "\n\n" not in commands_table()
