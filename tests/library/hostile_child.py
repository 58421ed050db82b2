"""The process in which hostile files are tried: a fork for each, with little memory and little time."""

import importlib
import json
import os
import resource
import select
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from hostile import MEGABYTES, SECONDS

from latentseq.errors import LatentseqError


def main() -> None:
    for module in sys.argv[1:]:
        importlib.import_module(module)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # What is printed by mistake is no answer.
    for line in sys.stdin.buffer:
        answers.write(tried(json.loads(line)) + b"\n")
        answers.flush()


def tried(asked: Sequence[str]) -> bytes:
    """The answer of a child."""
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(reading)
        with os.fdopen(writing, "wb") as answer:
            answer.write(json.dumps(called(*asked)).encode())
        os._exit(0)
    os.close(writing)
    data, late = b"", False
    with os.fdopen(reading, "rb") as answer:
        if select.select([answer], [], [], SECONDS)[0]:
            data = answer.read()
        else:
            late = True
            os.kill(child, signal.SIGKILL)
    _, status, used = os.wait4(child, 0)
    if not data:
        how = "it hung" if late else f"exit status {os.waitstatus_to_exitcode(status)}"
        return json.dumps({"died": how}).encode()
    return json.dumps({**json.loads(data), "megabytes": used.ru_maxrss / 1024}).encode()


def called(module: str, function: str, *arguments: str) -> dict[str, object]:
    """What comes of a call."""
    pages = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (pages + (MEGABYTES << 20),) * 2)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answer: dict[str, object]
    try:
        answer = {"answer": getattr(importlib.import_module(module), function)(*arguments)}
    except LatentseqError as error:
        answer = {"error": type(error).__name__, "said": str(error)}
    except BaseException as error:
        answer = {"error": f"{type(error).__name__}, which is no error of ours", "said": str(error)}
    return {**answer, "keras": "keras" in sys.modules}


if __name__ == "__main__":
    main()
