"""Ctrl-C and SIGTERM during training: the step is finished and the state saved before the run ends."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType

from latentseq.errors import TERMINATED

NOTICE = b"\nstopping after this step; press Ctrl-C again to stop at once\n"
"""Line on standard error after the first SIGINT."""


class Halt:
    """A request to end the run."""

    def __init__(self) -> None:
        """Start without a request."""
        self.signal: int | None = None

    def check(self) -> None:
        """End the run if a signal has requested it.

        Raises:
            KeyboardInterrupt: SIGINT was received.
            SystemExit: SIGTERM was received; the exit code is 143.
        """
        if self.signal == signal.SIGINT:
            raise KeyboardInterrupt
        if self.signal is not None:
            raise SystemExit(TERMINATED)


@contextlib.contextmanager
def halting() -> Iterator[Halt]:
    """Record SIGINT and SIGTERM instead of obeying them at once; a second SIGINT ends the process immediately.

    Python handles signals in the main thread only. A run in another thread receives none.
    """
    halt = Halt()
    if threading.current_thread() is not threading.main_thread():
        yield halt
        return

    def note(number: int, _: FrameType | None) -> None:
        halt.signal = number
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        if number == signal.SIGINT:
            with contextlib.suppress(OSError, ValueError, AttributeError):  # Standard error may be closed.
                os.write(sys.stderr.fileno(), NOTICE)

    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield halt
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
