"""The Typer app, `run()`, which turns an error into a message and an exit code, and `main()`.

Nothing here, and nothing that a command module imports at its top, loads torch, cv2 or NumPy: help is instant.
"""

import contextlib
import functools
import itertools
import os
import signal
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from cn import __version__, console, startup
from cn.commands import convert, dataset, detect, inspect, sample, train, transfer, weights
from cn.commands import eval as evaluation
from cn.errors import CnError, ExitCode, OutputClosedError, ReportedError, StoppedError, Terminated, UsageError

# Newer releases of Typer contain their own copy of Click; this is the base of its errors in either case.
_ClickException: Any = typer.BadParameter.__mro__[2]


_received: set[int] = set()
"""The signals that were received."""

_EXIT_CODES = {
    ExitCode.OK: "done",
    ExitCode.INTERNAL_ERROR: "internal error",
    ExitCode.USAGE: "usage",
    ExitCode.BAD_INPUT: "bad input",
    ExitCode.WEIGHTS: "weights",
    ExitCode.PARTIAL: "partly done",
    ExitCode.INTERRUPTED: "interrupted",
    ExitCode.PIPE_CLOSED: "reader of the output gone",
    ExitCode.TERMINATED: "terminated",
}
"""What the help says about each."""

_ORDER = ("detect", "dataset", "train", "eval", "sample", "convert", "transfer", "inspect", "weights")


class _Commands(TyperGroup):
    """Lists the commands in the order of use, and turns interrupts into our errors before Typer sees them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return sorted(super().list_commands(ctx), key=_ORDER.index)

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except Terminated as stop:
            error = StoppedError("terminated; what was finished is kept")
            error.exit_code = ExitCode.TERMINATED
            raise error from stop
        except KeyboardInterrupt as stop:
            raise StoppedError("interrupted; what was finished is kept") from stop
        except BrokenPipeError as closed:
            raise OutputClosedError("the reader of standard output has gone") from closed


app = typer.Typer(
    name="cn",
    cls=_Commands,
    help="ControlNet on the command line: detect conditions, build datasets, train controls, sample images.",
    epilog=f"Exit codes: {', '.join(f'{code} {words}' for code, words in _EXIT_CODES.items())}.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        console.emit(f"cn {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show a traceback with every error (works in any position).")
    ] = False,
) -> None:
    pass


app.add_typer(detect.app, name="detect", help="Condition images from photographs: edges, depth, poses and more.")
app.add_typer(dataset.app, name="dataset", help="Datasets of image and condition pairs: build and view them.")
app.command("train")(train.train)
app.command("eval")(evaluation.evaluate)
app.command("sample")(sample.sample)
app.command("convert")(convert.convert)
app.command("transfer")(transfer.transfer)
app.command("inspect")(inspect.inspect)
app.add_typer(weights.app, name="weights", help="What weights there are, and where they come from.")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit the process with the status of `cn.errors.ExitCode`."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    # `--debug` is accepted after the command too: that is where people add it to a command line that just failed.
    debug = "--debug" in words
    words = [word for word in words if word != "--debug"]
    if _completing():
        # Help texts are one line each for the shells; Typer would wrap them at the terminal's width.
        os.environ["COLUMNS"] = "10000"
    _prepare_streams()
    startup.let_gpu_memory_grow()
    startup.end_without_collection()
    with _terminations():
        code = run(words, debug=debug)
    with contextlib.suppress(BrokenPipeError, ValueError):
        sys.stdout.flush()
    if code == ExitCode.PIPE_CLOSED:
        _forget_stdout()
    if any(thread is not threading.main_thread() and not thread.daemon for thread in threading.enumerate()):
        # Interrupted while threads are in the middle of an image. They write complete files or none, and shutting the
        # interpreter down under them would abort the process.
        sys.stderr.flush()
        os._exit(int(code))
    sys.exit(int(code))


def run(words: Sequence[str], *, debug: bool = False) -> int:
    """Run one command line (without the program's name), report a failure on stderr, and return its exit status."""
    try:
        _check_completion(words)
        command = _command()
        with console.shown_warnings():
            result = command.main(args=list(words), prog_name="cn", standalone_mode=False, obj=list(words))
    except (OutputClosedError, ReportedError) as error:
        return error.exit_code
    except CnError as error:
        _report(str(error) or type(error).__name__, debug)
        return error.exit_code
    except _ClickException as error:
        return _usage(error)
    except (typer.Abort, KeyboardInterrupt):
        return _stopped(debug)
    except SystemExit as stop:
        # Our code never exits the process. Typer does so after completions, whose status the shell reads, and rich with
        # 1 when the reader of the help text has gone.
        status = stop.code if isinstance(stop.code, int) else 0
        return ExitCode.PIPE_CLOSED if status and not _completing() else status
    except Exception as error:
        hint = "" if debug else "; this is an internal error: please report it with the output of --debug"
        _report(f"{type(error).__name__}: {error}{hint}", debug)
        return ExitCode.INTERNAL_ERROR
    if result == ExitCode.INTERRUPTED:
        # Typer turns whatever stops it before a command runs into this number.
        return _stopped(debug)
    return result if isinstance(result, int) else ExitCode.OK


@functools.cache
def _command() -> Any:
    """All commands and their options, made once for a process that runs several command lines: it takes 30 ms."""
    return typer.main.get_command(app)


def _completing() -> bool:
    """Whether a shell asks for completions."""
    return "_CN_COMPLETE" in os.environ


def _check_completion(words: Sequence[str]) -> None:
    """UsageError for `--install-completion zsh`: Typer would ignore the word and use the shell that it detects."""
    for option, word in itertools.pairwise(words):
        if option in ("--install-completion", "--show-completion") and not word.startswith("-"):
            raise UsageError(f"{option} takes no value: it uses the shell that runs it, so run it in {word}")


def _stopped(debug: bool) -> int:
    terminated = signal.SIGTERM in _received
    _report("terminated" if terminated else "interrupted", debug)
    return ExitCode.TERMINATED if terminated else ExitCode.INTERRUPTED


def _report(message: str, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    console.error(message)


def _usage(error: Any) -> int:
    """An error in the command line: one line that points to the help. Bare `cn` and `cn detect` show their help."""
    context = getattr(error, "ctx", None)
    if type(error).__name__ == "NoArgsIsHelpError":
        error.show()
        return ExitCode.USAGE
    hint = f" (see {context.command_path} --help)" if context is not None else ""
    # pydantic, which newer releases of Typer check with, starts some messages with the name of its error.
    console.error(f"{error.format_message().rstrip('.').replace('Value error, ', '')}{hint}")
    return ExitCode.USAGE


@contextlib.contextmanager
def _terminations() -> Iterator[None]:
    """SIGTERM becomes an exception in the main thread, so that state is saved as after Ctrl-C."""

    def terminate(number: int, frame: FrameType | None) -> None:
        _received.add(number)
        raise Terminated

    previous = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _prepare_streams() -> None:
    # A closed stream (`cn … >&-`) is replaced by an empty one.
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    # File names that are not valid UTF-8 must leave a pipe as the bytes that entered it.
    for stream, errors in ((sys.stdin, "surrogateescape"), (sys.stdout, console.OUTPUT_ERRORS)):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=errors)


def _forget_stdout() -> None:
    # The interpreter flushes stdout once more at exit and would complain about the closed pipe.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
