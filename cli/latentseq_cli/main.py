"""The application: its commands, and how errors are shown."""

import importlib
import os
import select
import signal
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from latentseq.backend import choose_backend
from latentseq.errors import (
    TERMINATED,
    LatentseqError,
    PluginError,
    TryAgainError,
    UsageError,
    printable,
    retry_message,
)
from latentseq_cli.quiet import open_streams, silence_native_logs
from latentseq_cli.repeating import Repeatable

COMMANDS = (
    "demo",
    "ingest",
    "train-ae",
    "encode",
    "train-lstm",
    "train",
    "tune",
    "sample",
    "evaluate",
    "surprise",
    "interpolate",
    "record",
    "export",
    "preview",
    "verify",
    "plugins",
    "show",
)
"""Commands in the order of ``--help``. Module and function of a command have its name, with underscores."""

app = typer.Typer(
    help="Encode video to latents, learn how they move, roll them forward.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start with `latentseq demo`. Every command explains itself: `latentseq sample --help`.",
)


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and logs of native libraries.")] = False,
    backend: Annotated[
        str | None,
        typer.Option(
            "--backend", help="Backend of Keras: tensorflow or jax.  [default: KERAS_BACKEND, or tensorflow]"
        ),
    ] = None,
) -> None:
    """Encode video to latents, learn how they move, roll them forward."""
    _check_directory()
    if backend is not None:
        choose_backend(backend)


def _check_directory() -> None:
    """Refuse to work in a directory that was removed, where relative paths lead nowhere.

    Raises:
        UsageError: the working directory was removed.
    """
    try:
        Path.cwd()
    except FileNotFoundError as cause:
        raise UsageError(
            "The working directory does not exist any more: it was removed while this shell was in it. Change to "
            "another directory with cd, then run the command again."
        ) from cause


for _name in COMMANDS:
    _module = importlib.import_module(f"latentseq_cli.{_name.replace('-', '_')}")
    _kind = Repeatable if "config" in _module.command.__annotations__ else None
    app.command(_name, cls=_kind, epilog=_module.EXAMPLE)(_module.command)


def main() -> None:
    """Run the command line; ends the process."""
    open_streams()
    arguments, debug = sys.argv[1:], "--debug" in _ordered(sys.argv[1:])[0]
    if not debug:
        silence_native_logs()
    # Bound to numbers before anything is imported that might install handlers of its own.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(TERMINATED))
    sys.exit(run(arguments, debug=debug))


def run(arguments: list[str], *, debug: bool = False) -> int:
    """Run a command, and print an error if it fails.

    Args:
        arguments: arguments of the command line, without the program.
        debug: show the traceback of an error.

    Returns:
        The exit code: 0, 2 usage, 65 bad data, 70 a broken plugin, 75 try again, 130 interrupted, 143 terminated.
    """
    front, rest = _ordered(arguments)
    try:
        result: Any = app(front + rest, prog_name="latentseq", standalone_mode=False)
        sys.stdout.flush()
    except LatentseqError as error:
        return _fail(error, str(error), error.exit_code, debug)
    except TyperException as error:
        text = error.format_message()
        # Without arguments Typer has printed the help, and has nothing more to say.
        return _fail(error, text, 2, debug) if text.strip() else 2
    except (KeyboardInterrupt, typer.Abort) as error:
        return _fail(error, "interrupted.", 128 + signal.SIGINT, debug)
    except SystemExit as left:
        # Typer answers any broken pipe by leaving; Rich that of standard output, which then leads nowhere already.
        last = traceback.extract_tb(left.__traceback__)[-1]
        if isinstance(left.__context__, BrokenPipeError) and (last.name == "on_broken_pipe" or _has_no_reader()):
            return _write_nowhere()
        if left.code == TERMINATED:
            return TERMINATED
        return _fail(left, _message_of_exit(left, last), PluginError.exit_code, debug)
    except Exception as error:
        if isinstance(error, BrokenPipeError) and _has_no_reader():
            return _write_nowhere()
        passing = retry_message(error)
        if passing:
            return _fail(error, passing, TryAgainError.exit_code, debug)
        text = f"{type(error).__name__}: {error}. This is a defect; --debug shows where. Please report it."
        return _fail(error, text, 70, debug)
    if result == 128 + signal.SIGINT:  # Typer has caught the interruption itself.
        print("error: interrupted.", file=sys.stderr)
    return result if isinstance(result, int) else 0


def _ordered(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Split arguments into the options of all commands, wherever they stand before ``--``, and the rest."""
    front, rest, waiting = [], [], iter(arguments)
    for argument in waiting:
        if argument == "--":
            rest += [argument, *waiting]
        elif argument == "--backend":
            front += [argument, *(value for value in [next(waiting, None)] if value is not None)]
        elif argument == "--debug" or argument.startswith("--backend="):
            front.append(argument)
        else:
            rest.append(argument)
    return front, rest


def _has_no_reader() -> bool:
    """Whether nobody reads standard output any more, as with ``| head``."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
    except (OSError, ValueError):
        return False


def _write_nowhere() -> int:
    """Discard what is still to be written to standard output, and return the exit code 0."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _message_of_exit(left: SystemExit, last: traceback.FrameSummary) -> str:
    """The message for a ``sys.exit`` that ended a command before its time."""
    return (
        f"{last.filename} ended the process in line {last.lineno} by sys.exit({left.code!r}), where it should raise "
        "an exception. It belongs to a plugin, or to something that a plugin uses: update or remove that."
    )


def _fail(error: BaseException, text: str, code: int, debug: bool) -> int:
    if debug:
        traceback.print_exception(error)
    print(f"error: {printable(text)}", file=sys.stderr)
    return code
