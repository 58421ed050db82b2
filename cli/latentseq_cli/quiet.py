"""The standard streams, made safe to write to and free of the log lines of TensorFlow.

Native code writes most of those lines to file descriptor 2, past Python.
"""

import faulthandler
import io
import logging
import os
import sys


def open_streams() -> None:
    """Make standard output and standard error safe to write to, however the process was started.

    A closed descriptor is opened to ``os.devnull``, so that no other file gets its number. A character that the
    encoding of the terminal lacks is written as an escape.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # It gets the lowest free number, which is this one.
    sys.stdout = sys.stdout or os.fdopen(1, "w", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def silence_native_logs() -> None:
    """Discard what native code writes to descriptor 2. Python's own standard error stays on the terminal.

    Call this function before TensorFlow is imported. A crash of native code still shows where it happened:
    the fault handler writes to the terminal.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    terminal = os.dup(2)
    sys.stderr = os.fdopen(terminal, "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace")
    faulthandler.enable(sys.stderr)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
