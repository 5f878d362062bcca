"""An option is declared once, as a field; flags, defaults in the help, checks and TOML come from there."""

import math
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import pytest
import typer

from cn import options
from cn.commands.options import Given, with_options
from cn.errors import InputError, UsageError
from cn.options import Option, Switch


@dataclass(frozen=True)
class Settings:
    """One of everything."""

    steps: Annotated[int, Option("Optimizer steps.", min=0, default="what suits the base")]
    lr: Annotated[float, Option("Learning rate.", panel="Training", above=0)] = 1e-5
    share: Annotated[float, Option("Share of the prompts.", min=0, max=1)] = 0.5
    encoder: Annotated[Literal["paper", "released"], Option("Encoder.", flags=("--cond-encoder", "-e"))] = "paper"
    fixed: Annotated[bool, Option("Thresholds.", flags=("--fixed/--random",))] = True
    size: Annotated[tuple[int, int] | None, Option("Pixels.", parse=lambda text: (int(text), int(text)))] = None
    links: Annotated[Literal["full", "middle"], Switch("--small-scale", "middle", "Connect the middle only.")] = "full"
    unlock: Annotated[
        Literal["none", "decoder", "all"],
        Option("What is unlocked.", choices=("all", "decoder"), default="all"),
        Switch("--large-scale", "all", "Train the base too."),
    ] = "none"
    sha256: str = ""

    def __post_init__(self) -> None:
        options.check(self)


@dataclass(frozen=True)
class OneMore(Settings):
    """What a new option takes: this line."""

    warmup: Annotated[int, Option("Steps of warm-up.", panel="Training", min=0)] = 7


def command(*words: str, cls: Any = Settings) -> dict[str, Any]:
    """What a command gets from these words."""
    got: dict[str, Any] = {}

    def run(given: Any, *, verbose: bool = False) -> None:
        got.update(given)

    run.__annotations__["given"] = Given[cls]
    app = typer.Typer(add_completion=False)
    app.command()(with_options(run))
    typer.main.get_command(app).main(args=list(words), standalone_mode=False)
    return got


@dataclass(frozen=True)
class Repeatable(Settings):
    """An option that may be given several times."""

    kinds: Annotated[tuple[str, ...], Option("Kinds.", flags=("--cond",))] = ("canny",)


def test_an_option_of_many_values_is_repeated():
    assert command("--cond", "depth", "--cond", "hed", cls=Repeatable) == {"kinds": ("depth", "hed")}
    assert command(cls=Repeatable) == {}
    assert Repeatable(1).kinds == ("canny",)
    with pytest.raises(UsageError, match="--cond must be several values, not 'depth'"):
        Repeatable(1, kinds="depth")


def test_only_what_was_given_is_passed_on():
    assert command() == {}
    assert command("--steps", "3", "--lr", "1e-3", "-e", "released", "--random", "--size", "64") == {
        "steps": 3,
        "lr": 1e-3,
        "encoder": "released",
        "fixed": False,
        "size": (64, 64),
    }


def test_switches_set_constants_and_an_option_refines_its_switch():
    assert command("--small-scale", "--large-scale") == {"links": "middle", "unlock": "all"}
    assert command("--large-scale", "--unlock", "decoder") == {"unlock": "decoder"}
    with pytest.raises(UsageError, match="--unlock needs --large-scale"):
        command("--unlock", "decoder")


def test_an_option_may_stand_for_a_switch():
    @dataclass(frozen=True)
    class Later:
        unlock: Annotated[
            Literal["none", "all"],
            Option("What.", choices=("all",)),
            Switch("--large-scale", "all", "Train the base.", implied_by="after"),
        ] = "none"
        after: Annotated[int, Option("When.", min=0)] = 0

    assert command("--after", "3", "--unlock", "all", cls=Later) == {"after": 3, "unlock": "all"}
    assert command("--after", "3", cls=Later) == {"after": 3}
    with pytest.raises(UsageError, match="--unlock needs --large-scale"):
        command("--unlock", "all", cls=Later)


def test_repeated_options_are_lists():
    @dataclass(frozen=True)
    class Each:
        strength: Annotated[float, Option("Strength.", min=0)] = 1.0

    assert command("--strength", "1", "--strength", "2", cls=list[Each]) == {"strength": [1.0, 2.0]}
    assert command(cls=list[Each]) == {}
    with pytest.raises(UsageError, match="--strength must be at least 0, not -1"):
        command("--strength", "1", "--strength", "-1", cls=list[Each])


def test_a_command_can_take_the_dataclass_itself():
    got = []

    def run(settings: Settings) -> None:
        got.append(settings)

    app = typer.Typer(add_completion=False)
    app.command()(with_options(run))
    typer.main.get_command(app).main(args=["--steps", "3"], standalone_mode=False)
    assert got == [Settings(3)]
    with pytest.raises(Exception, match="steps"):
        typer.main.get_command(app).main(args=[], standalone_mode=False)


def test_help_names_defaults_and_ranges(capsys):
    command("--help", cls=OneMore)
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    for text in (
        "Learning rate. Default: 1e-05.",
        "Optimizer steps. Default: what suits the base.",
        "0..1 Share of the prompts. Default: 0.5.",
        "paper|released",
        "all|decoder",
        "Default: --fixed.",
        "--warmup",
        "Default: 7.",
    ):
        assert text in shown
    assert "sha256" not in shown


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"steps": -1}, "--steps must be at least 0, not -1"),
        ({"steps": 1.5}, "--steps must be a whole number, not 1.5"),
        ({"steps": True}, "--steps must be a whole number, not True"),
        ({"lr": 0}, "--lr must be above 0, not 0"),
        ({"lr": math.inf}, "--lr must be a finite number, not inf"),
        ({"lr": "1"}, "--lr must be a number, not '1'"),
        ({"share": 1.5}, "--share must be between 0 and 1, not 1.5"),
        ({"share": math.nan}, "--share must be a finite number, not nan"),
        ({"encoder": "big"}, "--cond-encoder must be paper or released, not 'big'"),
        ({"unlock": "some"}, "--unlock must be none, decoder or all, not 'some'"),
        ({"links": "some"}, "--small-scale must be full or middle, not 'some'"),
        ({"fixed": 1}, "--fixed must be true or false, not 1"),
        ({"size": (64,)}, r"--size must be 2 values, not \(64,\)"),
        ({"size": (64, "64")}, "--size must be 2 values"),
        ({"sha256": 3}, "sha256 must be a string, not 3"),
    ],
)
def test_values_are_checked_wherever_they_come_from(values, message):
    with pytest.raises(UsageError, match=f"^{message}"):
        Settings(**{"steps": 1, **values})


def test_the_command_line_checks_before_anything_is_made():
    for words in (["--steps", "-1"], ["--share", "2"], ["--lr", "nan"]):
        with pytest.raises(UsageError, match=f"{words[0]} must be"):
            command(*words)
    for words in (["--cond-encoder", "big"], ["--large-scale", "--unlock", "none"], ["--steps", "x"]):
        with pytest.raises(typer.BadParameter, match=r"not one of|valid integer"):
            command(*words)


def test_toml_there_and_back():
    settings = Settings(2**63, encoder="released", size=(64, 32), sha256='a "quoted" \\ näme\x7f\n', fixed=False)
    assert options.from_toml(Settings, options.to_toml(settings)) == settings
    assert "size" not in options.to_toml(Settings(1))
    for text, message in (
        ("steps = ", "cannot be read"),
        ("steps = 1\ncolor = 1", "unknown option 'color'"),
        ("lr = 1.0", "the option 'steps' is missing"),
        ("steps = -1", "--steps must be at least 0"),
    ):
        with pytest.raises(InputError, match=message):
            options.from_toml(Settings, text)


def test_a_new_option_is_one_line():
    """`OneMore.warmup` is on the command line, in the help (above), in the checks and in the file."""
    assert command("--warmup", "3", cls=OneMore) == {"warmup": 3}
    assert "warmup = 3" in options.to_toml(OneMore(1, warmup=3))
    assert options.from_toml(OneMore, "steps = 1\nwarmup = 3") == OneMore(1, warmup=3)
    with pytest.raises(UsageError, match="--warmup must be at least 0, not -1"):
        OneMore(1, warmup=-1)
