"""Ctrl-C and termination while a model trains: the step is finished, the state saved, and then the run ends."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from latentseq.errors import TERMINATED

NOTICE = b"\nstopping after this step; once more, and it stops at once\n"


class Halt:
    """Whether somebody wants the run to end."""

    def __init__(self) -> None:
        """Nobody does, yet."""
        self.signal: int | None = None

    def check(self) -> None:
        """End the run, if that is wanted.

        Raises:
            KeyboardInterrupt: SIGINT came.
            SystemExit: SIGTERM came; its code is 143.
        """
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signal is not None:
            raise SystemExit(TERMINATED)


@contextlib.contextmanager
def halting() -> Iterator[Halt]:
    """Note SIGINT and SIGTERM instead of obeying them at once; a second SIGINT ends the process where it stands.

    Python lets the main thread alone listen to signals; a run in another thread is not told of any.
    """
    halt = Halt()
    if threading.current_thread() is not threading.main_thread():
        yield halt
        return

    def note(number: int, _: FrameType | None) -> None:
        halt.signal = number
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if number == signal.SIGINT:
            with contextlib.suppress(OSError, ValueError, AttributeError):  # There may be nobody to tell.
                os.write(sys.stderr.fileno(), NOTICE)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield halt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
