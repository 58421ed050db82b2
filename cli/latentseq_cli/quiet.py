"""Keeps the log lines of TensorFlow off the terminal: native code writes most, to file descriptor 2 itself."""

import faulthandler
import logging
import os
import sys


def silence_native_logs() -> None:
    """Send what native code writes to descriptor 2 to nowhere; Python's own standard error stays on the terminal.

    Call it before TensorFlow is imported.

    A crash of native code still shows where it happened: the fault handler writes to the terminal.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
    terminal = os.dup(2)
    sys.stderr = os.fdopen(terminal, "w", buffering=1, encoding="utf-8", errors="backslashreplace")
    faulthandler.enable(sys.stderr)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
