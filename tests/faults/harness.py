"""Children that run a command and meet one fault on the way: the n-th step fails, or ends or interrupts them.

A step is a call that touches the disk below one folder (an open, a read, a write, a flush, a renaming, a removal, a
new folder) or an end of a step of training. A child is forked by a worker that has imported everything and has run
no network, so it costs a moment; it counts its steps in memory that the worker sees.
"""

import builtins
import errno
import importlib
import io
import mmap
import os
import signal
import struct
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

FRAMEWORKS = {"keras", "tensorflow", "jax", "torch"}
IMPORTED = 99
"""What a child answers that has imported a framework and should not have."""
DEFECT = 98
"""What a child answers that has ended by an exception."""
CHANGES = frozenset({"write", "fsync", "rename", "unlink", "mkdir", "rmdir"})
_TEXT = 8
_SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGINT": signal.SIGINT, "SIGTERM": signal.SIGTERM}


class Failed(Exception):
    """A promise was not kept."""


class Fault(NamedTuple):
    """What goes wrong, and when.

    Attributes:
        at: number of the step, from 1; never where 0.
        action: a signal's name, or an error's, such as ``EIO``; ``SIGINT SIGINT`` sends two in a row.
        ops: steps that count.
        saving: True counts inside of ``Checkpoints.save`` only, False outside of it only.
        below: what counts lies below this folder.
        lasting: every later step fails too.
    """

    at: int = 0
    action: str = "SIGKILL"
    ops: frozenset[str] = CHANGES
    saving: bool | None = None
    below: str = ""
    lasting: bool = False


NEVER = Fault()


class Outcome(NamedTuple):
    """How a child ended.

    Attributes:
        code: its exit code; minus the signal that ended it.
        steps: that counted.
        met: what the fault hit, or ''.
        out: standard output.
        err: standard error.
    """

    code: int
    steps: int
    met: str
    out: str
    err: str


class Injector:
    """Counts the steps of this process, and does to one of them what a fault says."""

    def __init__(self, fault: Fault, root: Path, shared: mmap.mmap):
        self.fault, self.root, self.shared = fault, fault.below or str(root), shared
        self.lock, self.saving, self.open = threading.RLock(), 0, io.open

    def due(self, op: str, path: str) -> bool:
        """Count a step, and say whether it is the one."""
        fault = self.fault
        if op not in fault.ops or (op != "take" and not path.startswith(self.root)):
            return False
        if fault.saving is not None and fault.saving != bool(self.saving):
            return False
        with self.lock:
            number = struct.unpack_from("q", self.shared)[0] + 1
            struct.pack_into("q", self.shared, 0, number)
            hit = number == fault.at or (fault.lasting and 0 < fault.at < number)
            if hit and number == fault.at:
                text = f"{op} {path}".encode()[: mmap.PAGESIZE - _TEXT]
                self.shared[_TEXT : _TEXT + len(text)] = text
            return hit

    def act(self, path: str) -> None:
        """Let the fault happen."""
        actions = self.fault.action.split()
        for action in actions:
            if action in _SIGNALS:
                os.kill(os.getpid(), _SIGNALS[action])
                time.sleep(0.01 * (len(actions) > 1))  # Until the first of two is heard.
        if actions[0] in _SIGNALS:
            return
        number = getattr(errno, actions[0])
        raise OSError(number, os.strerror(number), path)

    def step(self, op: str, path: str) -> None:
        """A step is about to be made."""
        if self.due(op, path):
            self.act(path)

    def path_of(self, file: Any, dir_fd: int | None = None) -> str:
        """Where a path or an open file lies."""
        try:
            if isinstance(file, int):
                return str(Path(f"/proc/self/fd/{file}").readlink())
            base = Path(f"/proc/self/fd/{dir_fd}").readlink() if dir_fd is not None else Path.cwd()
            return os.path.normpath(os.path.join(base, os.fsdecode(file)))  # noqa: PTH118
        except OSError:
            return ""

    def install(self) -> None:
        """Count from now on; there is no way back."""
        for op, name in (
            ("fsync", "fsync"),
            ("rename", "replace"),
            ("rename", "rename"),
            ("unlink", "unlink"),
            ("unlink", "remove"),
            ("mkdir", "mkdir"),
            ("rmdir", "rmdir"),
            ("open", "open"),
        ):
            setattr(os, name, self._counted(op, getattr(os, name)))
        io.open = builtins.open = self._opened  # type: ignore[assignment]
        from latentseq.training.checkpoint import Checkpoints
        from latentseq.training.stage import Stage

        save, take = Checkpoints.save, Stage.take

        def saved(*args: Any, **keywords: Any) -> Any:
            self.saving += 1
            try:
                return save(*args, **keywords)
            finally:
                self.saving -= 1

        def taken(*args: Any, **keywords: Any) -> Any:
            self.step("take", "")
            return take(*args, **keywords)

        Checkpoints.save, Stage.take = saved, taken  # type: ignore[method-assign]

    def _counted(self, op: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(path: Any, *args: Any, **keywords: Any) -> Any:
            writes = op == "open" and args and args[0] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            self.step(
                "create" if writes else op, self.path_of(path, keywords.get("dir_fd") or keywords.get("src_dir_fd"))
            )
            return call(path, *args, **keywords)

        return counted

    def _opened(self, file: Any, mode: str = "r", buffering: int = -1, *args: Any, **keywords: Any) -> Any:
        path = self.path_of(file)
        if not path.startswith(self.root) or buffering == 0:
            return self.open(file, mode, buffering, *args, **keywords)
        if not isinstance(file, int):
            self.step("open" if mode.strip("bt") == "r" else "create", path)
        raw = Faulty(file, mode.replace("b", "").replace("t", ""))
        raw.injector, raw.path = self, path
        if "+" in mode:
            buffered: Any = io.BufferedRandom(raw)
        else:
            buffered = io.BufferedReader(raw) if "r" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, *args, **keywords)


class Faulty(io.FileIO):
    """A file whose reads and writes are steps; one that is interrupted has written the first half."""

    injector: Injector
    path: str

    def write(self, data: Any) -> int:
        if self.injector.due("write", self.path):
            super().write(memoryview(data)[: len(data) // 2])
            self.injector.act(self.path)
            return len(data) // 2
        return super().write(data)

    def readinto(self, buffer: Any) -> Any:
        self.injector.step("read", self.path)
        return super().readinto(buffer)

    def readall(self) -> Any:
        self.injector.step("read", self.path)
        return super().readall()


def child(
    work: Callable[[], int],
    root: Path,
    fault: Fault = NEVER,
    *,
    settings: Mapping[str, Any] | None = None,
    seconds: float = 240,
) -> Outcome:
    """Do something in a child.

    Args:
        work: gives its exit code.
        root: the folder that faults happen below.
        fault: that happens.
        settings: values by ``module:name``, put in place before.
        seconds: after so many it counts as hung.
    """
    with mmap.mmap(-1, mmap.PAGESIZE) as shared, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        sys.stdout.flush()
        pid = os.fork()
        if not pid:
            _live(work, root, fault, shared, settings or {}, out.fileno(), err.fileno())
        until, ended = time.monotonic() + seconds, None
        while not (ended := os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT | os.WNOHANG)):
            if time.monotonic() > until:
                os.kill(pid, signal.SIGKILL)
                break
            time.sleep(0.003)
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        (steps,) = struct.unpack_from("q", shared)
        met = shared[_TEXT:].rstrip(b"\0").decode()
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    if ended is None:
        raise Failed(f"A child hung for {seconds} s after {met!r}: {texts[1][-500:]}")
    return Outcome(code, steps, met, *texts)


def _live(
    work: Callable[[], int],
    root: Path,
    fault: Fault,
    shared: mmap.mmap,
    settings: Mapping[str, Any],
    out: int,
    err: int,
) -> None:
    """The life of a child."""
    code: Any = DEFECT
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        os.dup2(out, 1)
        os.dup2(err, 2)
        for place, value in settings.items():
            module, _, name = place.partition(":")
            setattr(importlib.import_module(module), name, value)
        allowed = FRAMEWORKS & set(sys.modules)
        Injector(fault, root, shared).install()
        try:
            code = work()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0
        if FRAMEWORKS & set(sys.modules) != allowed:
            code = IMPORTED
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def command(arguments: Iterable[object], root: Path, fault: Fault = NEVER, **keywords: Any) -> Outcome:
    """Run ``latentseq`` with arguments in a child."""

    def work() -> int:
        from latentseq_cli.main import main

        sys.argv = ["latentseq", *map(str, arguments)]
        tempfile.tempdir = keywords_temporary
        main()
        return 0

    keywords_temporary = keywords.pop("temporary", None)
    return child(work, root, fault, **keywords)


def expect(right: bool, what: str, outcome: Outcome | None = None) -> None:
    """Fail where a promise is not kept."""
    if not right:
        told = f": exit {outcome.code} after {outcome.met!r}: {outcome.err[-700:]}" if outcome else ""
        raise Failed(what + told)


def tree(folder: Path) -> dict[str, bytes | None]:
    """A folder whole, hidden files included, or the one file that it is."""
    if folder.is_file():
        return {"": folder.read_bytes()}
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}
