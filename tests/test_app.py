"""The frame of the command line: exit codes, messages, signals and shell completion."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import pytest

from cn import __version__, app
from cn.errors import CnError, ExitCode, InputError, PartialError, ReportedError, Terminated, UsageError, WeightsError
from tests.helpers.cli import cn, program_environment


@pytest.fixture
def failing(monkeypatch):
    """Makes `cn weights list` raise what it is given."""

    def install(error: BaseException) -> None:
        def fail(*_: object, **__: object) -> None:
            raise error

        monkeypatch.setattr("cn.weights.bundled.files", fail)

    return install


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (UsageError("these two do not go together"), 2),
        (InputError("a.png: broken"), 3),
        (WeightsError("b.safetensors: missing"), 4),
        (PartialError("1 of 2 failed"), 5),
        (KeyboardInterrupt(), 130),
        (Terminated(), 143),
    ],
)
def test_every_expected_failure_is_one_line_and_its_exit_code(failing, capsys, error, code):
    failing(error)
    assert app.run(["weights", "list"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("cn: ")
    assert str(error) in captured.err
    assert "Traceback" not in captured.err


def test_a_wrong_choice_is_one_line_without_the_name_of_a_library(capsys):
    assert app.run(["detect", "palette", "ade20"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("cn: Invalid value for 'KIND': 'ade20' is not one of")
    assert error.count("\n") == 1


@pytest.mark.parametrize(("received", "code"), [(set(), 130), ({signal.SIGTERM}, 143)])
def test_signals_before_a_command_runs_are_distinguished(monkeypatch, capsys, received, code):
    """Typer gives a bare 130 for either."""
    monkeypatch.setattr(app, "_received", received)
    monkeypatch.setattr(app, "_command", lambda: SimpleNamespace(main=lambda **_: 130))
    assert app.run(["weights", "list"]) == code
    assert capsys.readouterr().err == ("cn: interrupted\n" if code == 130 else "cn: terminated\n")


def test_an_internal_error_is_one_line_with_exit_code_1_and_debug_shows_the_traceback(failing, capsys):
    failing(ZeroDivisionError("oh no"))
    assert app.run(["weights", "list"]) == 1
    short = capsys.readouterr().err
    assert short.count("\n") == 1
    assert "oh no" in short
    assert "internal error" in short
    assert "--debug" in short
    assert app.run(["weights", "list"], debug=True) == 1
    assert "Traceback" in capsys.readouterr().err


def test_debug_shows_the_traceback_of_an_expected_failure_too(failing, capsys):
    failing(InputError("a.png: broken"))
    assert app.run(["weights", "list"], debug=True) == 3
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--debug", "detect", "canny", "nothing.png", "x.png"],
                                   ["detect", "canny", "nothing.png", "x.png", "--debug"]])  # fmt: skip
def test_debug_works_before_and_after_the_command(monkeypatch, capsys, tmp_path, words):
    monkeypatch.chdir(tmp_path)
    # What other tests have left running must not end the process of the tests.
    monkeypatch.setattr(app.os, "_exit", sys.exit)
    with pytest.raises(SystemExit) as stop:
        app.main(words)
    assert stop.value.code == 3
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["nonsense"],
        ["detect", "nonsense"],
        ["detect", "canny", "only-one-argument"],
        ["detect", "canny", "a.png", "b.png", "--nonsense"],
        ["detect", "canny", "a.png", "b.png", "--low", "many"],
        ["detect", "canny", "a.png", "b.png", "--low", "200", "--high", "100"],
    ],
)
def test_errors_in_the_command_line_are_one_line_and_exit_code_2(capsys, words):
    assert app.run(words) == ExitCode.USAGE
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1


def test_error_classes_and_exit_codes_agree():
    # That of a ReportedError is another process's.
    codes = {error.exit_code for error in CnError.__subclasses__() if error is not ReportedError}
    assert codes == {2, 3, 4, 5, 130, 141}
    assert [int(code) for code in ExitCode] == [0, 1, 2, 3, 4, 5, 130, 141, 143]


def test_version_and_help_go_to_stdout(capsys):
    assert app.run(["--version"]) == 0
    assert capsys.readouterr().out == f"cn {__version__}\n"
    assert app.run(["--help"]) == 0
    captured = capsys.readouterr()
    assert captured.err == ""
    listed = [line.split()[1] for line in captured.out.splitlines() if line.startswith("│ ") and line[2].isalpha()]
    assert listed == ["detect", "dataset", "train", "eval", "sample", "convert", "transfer", "inspect", "weights"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_reach_the_command_as_exceptions_so_that_it_can_save(tmp_path, number, code):
    script = textwrap.dedent("""
        import sys, time
        from pathlib import Path
        from cn import app
        from cn.weights import bundled
        def work(*_):
            try:
                print("ready", flush=True)
                time.sleep(60)
            except KeyboardInterrupt:
                Path(sys.argv[1]).write_text("saved")
                raise
        bundled.files = work
        app.main(["weights", "list"])
    """)
    saved = tmp_path / "state"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(saved)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == code
    assert saved.read_text() == "saved"
    assert errors.count("\n") == 1


def test_an_interrupt_while_modules_are_loaded_shows_no_traceback():
    program = """
import sys

class Finder:
    def find_spec(self, name, *_):
        if name == "cn.app":
            raise KeyboardInterrupt

sys.meta_path.insert(0, Finder())
from cn.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "cn: interrupted\n")


def test_python_m_cn_is_the_command_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "cn", "--version"],
        capture_output=True,
        text=True,
        env=program_environment(),
        cwd=tmp_path,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"cn {__version__}\n", "")


@pytest.mark.parametrize(
    ("action", "words", "status"),
    [
        ("get-args", "cn sample --", 0),
        ("is-args", "cn sample --cond x --precision ", 0),
        ("is-args", "cn sample --nonsense-without-candidates", 1),
    ],
)
def test_fish_reads_the_status_and_gets_one_line_for_each_candidate(action, words, status):
    asked = {"_CN_COMPLETE": "complete_fish", "_TYPER_COMPLETE_FISH_ACTION": action, "_TYPER_COMPLETE_ARGS": words}
    environment = {**program_environment(), **asked}
    done = subprocess.run([sys.executable, "-m", "cn"], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (status, "")
    assert all(line.startswith("--") for line in done.stdout.splitlines())
    assert (action == "get-args") == ("--precision" in done.stdout)


def test_completion_scripts_are_shown_with_status_0_and_take_no_shell():
    environment = {**program_environment(), "_CN_COMPLETE": "source_zsh"}
    done = subprocess.run([sys.executable, "-m", "cn"], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "compdef" in done.stdout
    refused = cn("--install-completion", "zsh")
    assert (refused.returncode, refused.stderr) == (
        2,
        "cn: --install-completion takes no value: it uses the shell that runs it, so run it in zsh\n",
    )


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
@pytest.mark.parametrize(
    ("words", "offered"),
    [
        (["tr"], {"train", "transfer"}),
        (["detect", "open"], {"openpose", "openpifpaf"}),
        (["train", "--cond", "open"], {"openpose", "openpifpaf"}),
        (["sample", "--detect", "ca"], {"canny"}),
        (["dataset", "synth", "out", "--cond", "d"], {"depth"}),
        (["train", "--precision", ""], {"auto", "fp32", "bf16", "fp16"}),
    ],
)
def test_bash_completes_commands_and_kinds(tmp_path, words, offered):
    """The script of `cn --install-completion`, run in bash as Tab would."""
    program = tmp_path / "cn"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m cn "$@"\n')
    program.chmod(0o755)
    script = subprocess.run(
        [program], env={**program_environment(), "_CN_COMPLETE": "source_bash"}, capture_output=True, text=True
    ).stdout
    function = next(line.split("(")[0] for line in script.splitlines() if "()" in line)
    typed = " ".join(shlex.quote(word) for word in ["cn", *words])
    script += f'\nCOMP_WORDS=({typed}); COMP_CWORD={len(words)}; {function} cn; printf "%s\\n" "${{COMPREPLY[@]}}"\n'
    environment = {**program_environment(), "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, timeout=60)
    assert set(done.stdout.split()) == offered, done.stderr
