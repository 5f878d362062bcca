"""Options that exclude each other are refused at once, in a sentence, from the command line and from Python."""

import subprocess
import sys

import pytest

from cn import app
from cn.errors import UsageError
from cn.train.config import TrainConfig
from cn.train.options.combinations import EXCLUDED
from tests.helpers.cli import program_environment

WRONG = [
    ("--baseline concat --small-scale", "no ControlNet whose links"),
    ("--baseline concat --init-from canny", "give it with --base instead of --init-from"),
    ("--baseline concat --zero-init gaussian", "takes no --zero-init"),
    ("--baseline concat --cond-encoder released", "takes no --cond-encoder"),
    ("--baseline concat --cond-encoder paper", "takes no --cond-encoder"),
    ("--baseline concat --large-scale", "takes no --large-scale"),
    ("--baseline concat --large-scale-after 5", "takes no --large-scale"),
    ("--baseline concat --reconnect", "--resume RUN"),
    ("--zero-init gaussian --init-from canny", "has its weights already"),
    ("--unlock decoder", "--unlock needs --large-scale"),
    ("--large-scale-after 0 --unlock all", "--unlock needs --large-scale"),
    ("--config x --resume y", "--config is for a new run"),
]


@pytest.mark.parametrize(("words", "message"), WRONG)
def test_refused_in_one_sentence(words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert app.run(["train", "--cond", "depth", *words.split()]) == 2
    shown = " ".join(capsys.readouterr().err.split())
    assert message in shown
    assert shown.count("cn:") <= 1
    assert list(tmp_path.iterdir()) == []


def test_refused_without_loading_torch():
    script = (
        "import sys; from cn import app; code = app.run(['train', '--cond', 'depth', '--baseline', 'concat', "
        "'--small-scale']); print(code, 'torch' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env=program_environment(), timeout=60
    )
    assert done.stdout.split() == ["2", "False"], done.stderr


FIELDS = {"cond": "depth", "base": "b", "base_sha256": "", "size": 64, "steps": 3, "lr": 1e-3}
IN_A_FILE = [
    {"baseline": "concat", "links": "middle"},
    {"baseline": "concat", "init_from": "canny"},
    {"baseline": "concat", "zero_init": "gaussian"},
    {"baseline": "concat", "condition_encoder": "released"},
    {"baseline": "concat", "unlock": "decoder"},
    {"zero_init": "gaussian", "init_from": "canny"},
    {"large_scale_after": 3},
]


@pytest.mark.parametrize("wrong", IN_A_FILE)
def test_a_configuration_cannot_hold_them(wrong):
    with pytest.raises(UsageError):
        TrainConfig(**FIELDS, **wrong)
    alone = {"unlock": "all"} if "large_scale_after" in wrong else {}
    for name, value in wrong.items():
        assert getattr(TrainConfig(**FIELDS, **alone, **{name: value}), name) == value


def test_every_combination_of_the_table_is_among_these():
    given = [{**wrong, "unlock": "none"} if "large_scale_after" in wrong else wrong for wrong in IN_A_FILE]
    for excluded in EXCLUDED:
        assert any(excluded.when(wrong) for wrong in given), excluded.why
        assert not excluded.when({})


def test_large_scale_after_stands_for_the_switch(tmp_path, tiny_base_file, pair_set, capsys):
    words = ["train", "--cond", "depth", "--base", str(tiny_base_file), "--data", str(pair_set), "--dry-run"]
    words += ["--steps", "9", "--out", str(tmp_path / "run"), "--large-scale-after", "4"]
    for more, part in (([], "the base's whole U-Net"), (["--unlock", "decoder"], "the base's decoder")):
        assert app.run([*words, *more, "--device", "cpu"]) == 0
        assert f"after 4 steps {part} is trained too" in " ".join(capsys.readouterr().err.split())
