"""The application: its commands, and how errors are told."""

import importlib
import os
import signal
import sys
from typing import Annotated, Any

import typer
from typer.exceptions import TyperException

from latentseq.backend import choose_backend
from latentseq.errors import LatentseqError, TryAgainError, not_now, printable
from latentseq_cli.quiet import silence_native_logs
from latentseq_cli.repeating import Repeatable

COMMANDS = (
    "demo",
    "ingest",
    "train-ae",
    "encode",
    "train-lstm",
    "train",
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
"""In the order of ``--help``; each is the module and the function of that name, with an underscore for the hyphen."""

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
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and the logs of native libraries.")] = False,
    backend: Annotated[
        str | None,
        typer.Option(
            "--backend", help="What Keras runs on: tensorflow or jax.  [default: KERAS_BACKEND, or tensorflow]"
        ),
    ] = None,
) -> None:
    """Encode video to latents, learn how they move, roll them forward."""
    if backend is not None:
        choose_backend(backend)


for _name in COMMANDS:
    _module = importlib.import_module(f"latentseq_cli.{_name.replace('-', '_')}")
    _kind = Repeatable if "config" in _module.command.__annotations__ else None
    app.command(_name, cls=_kind, epilog=_module.EXAMPLE)(_module.command)


def main() -> None:
    """Run the command line; ends the process."""
    debug = "--debug" in sys.argv
    if not debug:
        silence_native_logs()
    # Bound to numbers before anything is imported that might install handlers of its own.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    sys.exit(run(sys.argv[1:], debug=debug))


def run(arguments: list[str], *, debug: bool = False) -> int:
    """Run a command and tell what went wrong.

    Args:
        arguments: of the command line, without the program.
        debug: let exceptions through.

    Returns:
        The exit code: 0, 2 usage, 65 bad data, 70 a broken plugin, 75 try again, 130 interrupted.
    """
    try:
        result: Any = app(_ordered(arguments), prog_name="latentseq", standalone_mode=False)
    except LatentseqError as error:
        return _fail(error, str(error), error.exit_code, debug)
    except TyperException as error:
        text = error.format_message()
        # Without arguments Typer has printed the help, and has nothing more to say.
        return _fail(error, text, 2, debug) if text.strip() else 2
    except (KeyboardInterrupt, typer.Abort) as error:
        return _fail(error, "interrupted.", 128 + signal.SIGINT, debug)
    except (BrokenPipeError, SystemExit) as gone:
        # Rich and Typer answer a broken pipe by leaving with 1.
        if isinstance(gone, SystemExit) and gone.code != 1:
            return gone.code if isinstance(gone.code, int) else 0
        # The reader of our output is gone, as with `| head`; what is left must not be flushed at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        passing = not_now(error)
        if passing:
            return _fail(error, passing, TryAgainError.exit_code, debug)
        text = f"{type(error).__name__}: {error}. This is a defect; --debug shows where. Please report it."
        return _fail(error, text, 70, debug)
    if result == 128 + signal.SIGINT:  # Typer has caught the interruption itself.
        print("error: interrupted.", file=sys.stderr)
    return result if isinstance(result, int) else 0


def _ordered(arguments: list[str]) -> list[str]:
    """The options of all commands to the front: they are taken wherever they stand."""
    front, rest, waiting = [], [], iter(arguments)
    for argument in waiting:
        if argument == "--backend":
            front += [argument, *(value for value in [next(waiting, None)] if value is not None)]
        elif argument == "--debug" or argument.startswith("--backend="):
            front.append(argument)
        else:
            rest.append(argument)
    return front + rest


def _fail(error: BaseException, text: str, code: int, debug: bool) -> int:
    if debug:
        raise error
    print(f"error: {printable(text)}", file=sys.stderr)
    return code
