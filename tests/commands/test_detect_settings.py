"""Options of `cn detect` and settings of the detectors, declared once; the defaults for `cn sample --detect`."""

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pytest
import typer
from PIL import Image

from cn.commands.detect.shared import Task, shared
from cn.commands.options import Given
from cn.detect import published, registry
from cn.detect.lines import hough as lines
from cn.detect.lines import lineart, scribble
from cn.detect.lines.canny import HIGH, LOW, CannyDetector
from cn.detect.lines.hed import HedDetector
from cn.detect.lines.soft_edge_gradient import gradient_soft_edge
from cn.detect.network import ComputeSettings, open_network
from cn.detect.settings import CannySettings, HoughSettings, NormalSettings
from cn.detect.surfaces import normal
from cn.errors import InputError, UsageError, WeightsError
from cn.options import Option
from cn.sample.request import make_conditions, with_detected
from cn.weights import catalog
from tests.helpers.detect_cases import FAMILIES, house


def test_every_method_names_networks_that_exist_and_published_files():
    for family in FAMILIES:
        ways = registry.methods(family)
        assert ways[0].networks, f"the default of {family} is the network of the paper"
        for method in ways:
            assert set(method.networks) <= set(registry.NETWORKS)
            assert not method.networks or published.readable(catalog.find(method.weights))


@dataclass(frozen=True)
class MoreCanny(CannySettings):
    """What a new option takes: this line."""

    blur: Annotated[float, Option("Blur first.", min=0)] = 1.5


@dataclass(frozen=True)
class BlurredCanny(CannyDetector, MoreCanny):
    pass


def test_a_new_option_is_one_line_for_the_command_and_the_detector(tmp_path):
    seen = []

    def blurred(given):
        """Canny edges."""
        seen.append(BlurredCanny(**given))
        return Task(lambda: seen[-1])

    blurred.__annotations__["given"] = Given[MoreCanny]
    app = typer.Typer(add_completion=False)
    app.command()(shared(blurred))
    command = typer.main.get_command(app)
    helps = {parameter.name: parameter.help for parameter in command.params}
    assert helps["blur"] == "Blur first. Default: 1.5."
    assert helps["low"].endswith("Default: 100.")
    Image.fromarray(house()).save(tmp_path / "a.png")
    command.main(args=[str(tmp_path / "a.png"), str(tmp_path / "b.png"), "--blur", "3", "-q"], standalone_mode=False)
    assert (seen[-1].blur, seen[-1].low) == (3.0, 100.0)
    assert (tmp_path / "b.png").is_file()
    with pytest.raises(UsageError, match="--blur must be"):
        command.main(args=["a", "b", "--blur", "-1"], standalone_mode=False)


def test_settings_are_the_fields_of_the_detectors_and_the_defaults_of_the_functions():
    assert (CannySettings().low, CannySettings().high) == (LOW, HIGH)
    assert HoughSettings().score == lines.SCORE
    assert normal.STRENGTH == 2 * np.pi == NormalSettings().strength


def test_sample_detects_what_needs_no_weights(tmp_path, monkeypatch):
    monkeypatch.setenv("CN_WEIGHTS", str(tmp_path / "none"))
    path = tmp_path / "a.png"
    Image.fromarray(house()).save(path)
    soft = gradient_soft_edge(house())
    expected = {
        "hough": lines.draw_lines(lines.lsd_lines(house()), (96, 130)),
        "hed": soft,
        "scribble": scribble.released_scribble(soft, min(soft.shape) / 512),
        "lineart": lineart.standard_lineart(house()),
    }
    for kind, made in expected.items():
        (condition,) = with_detected(make_conditions([str(path)], control=["any"], detect=kind))
        assert condition.kind == kind
        assert np.array_equal(condition.image, np.repeat(made[..., None], 3, axis=2))
    with pytest.raises(WeightsError, match="cn weights pull dpt-hybrid"):
        with_detected(make_conditions([str(path)], control=["any"], detect="depth"))
    with pytest.raises(UsageError, match="unknown condition"):
        make_conditions([str(path)], control=["any"], detect="coffee")
    Image.new("RGB", (64, 64)).save(path)
    with pytest.raises(InputError, match="nothing was found"):
        with_detected(make_conditions([str(path)], control=["any"], detect="hough"))


def test_sample_detects_by_the_network_whose_weights_are_here(made_up, tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    Image.fromarray(house()).save(path)
    file = catalog.find(registry.default_method("hed").weights).file
    monkeypatch.setenv("CN_WEIGHTS", str(tmp_path))
    monkeypatch.setattr(catalog, "find_local", lambda entry: made_up["hed"] if entry.file == file else None)
    (condition,) = with_detected(make_conditions([str(path)], control=["any"], detect="hed"))
    network = open_network("hed", str(made_up["hed"]), ComputeSettings.from_options())
    assert np.array_equal(condition.image[..., 0], HedDetector(network).maps([house()])[0])


def test_options_without_an_effect_are_named():
    from cn.commands.detect.network_options import HedNetworkOptions

    with pytest.raises(UsageError, match="gradient has no network: leave out --device and --batch-size"):
        HedNetworkOptions("gradient", device="cpu", batch_size=2).check()
