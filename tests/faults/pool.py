"""Workers, each a process of its own, that do cases one after the other."""

import json
import queue
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
Case = tuple[str, int]
Result = dict[str, Any]


class Worker:
    """A process that has imported what cases need: with Keras, or without any framework."""

    def __init__(self, keras: bool):
        """Begin to import."""
        command = [sys.executable, str(HERE / "worker.py"), *(["keras"] if keras else [])]
        self._process = subprocess.Popen(command, stdin=-1, stdout=-1, stderr=subprocess.DEVNULL, text=True)

    def do(self, case: Case) -> Result:
        """A case; one whose worker ends has failed."""
        process = self._process
        assert process.stdin is not None and process.stdout is not None
        answer = ""
        if process.poll() is None:
            process.stdin.write("{} {}\n".format(*case))
            process.stdin.flush()
            for answer in process.stdout:
                if answer.startswith("{"):
                    return json.loads(answer)
        kind, number = case
        failed = f"The worker has ended with exit {process.wait(10)}."
        return {"kind": kind, "number": number, "count": 0, "failed": failed, "seconds": 0.0}

    def close(self) -> None:
        """Let it end."""
        if self._process.stdin:
            self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()


def do_all(cases: Sequence[tuple[bool, Case]], workers: int, told: Callable[[Result], None]) -> None:
    """Do cases, so many at a time.

    Args:
        cases: with whether each needs Keras; those that do come first, since they take longest.
        workers: how many at a time.
        told: called with each result, by one thread at a time.
    """
    waiting: dict[bool, queue.SimpleQueue[Case]] = {True: queue.SimpleQueue(), False: queue.SimpleQueue()}
    for keras, case in cases:
        waiting[keras].put(case)
    lock = threading.Lock()

    def work() -> None:
        for keras in (True, False):
            worker = None
            while True:
                try:
                    case = waiting[keras].get_nowait()
                except queue.Empty:
                    break
                worker = worker or Worker(keras)
                result = worker.do(case)
                with lock:
                    told(result)
            if worker:
                worker.close()

    threads = [threading.Thread(target=work, daemon=True) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
