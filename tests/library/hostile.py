"""Files that mean harm: what a case is, honest folders to make them of, and a child to try them in.

A case is tried in a process of its own, with little memory and little time, so that a crash, a hang and a bomb are
seen as what they are. The child never imports Keras.
"""

import contextlib
import dataclasses
import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from latentseq.arrays import Clip
from latentseq.protocols import Dataset
from latentseq.storage.frames import write_clips
from latentseq.storage.shards import write_shard
from latentseq.training.watch import Watcher

QUIET = Watcher(quiet=True)
MEGABYTES = 768
"""That a case may take beside what the child has when it starts."""
SECONDS = 60
HERE = Path(__file__).parent


@dataclasses.dataclass(frozen=True)
class Case:
    """One hostile file.

    Attributes:
        make: writes it into the folder ``given``.
        use: what a user does with that folder, in the folder ``own``; in the child.
        words: what the error has to say, among others.
        error: its class; for a command, the exit code.
    """

    make: Callable[[Path], object]
    use: Callable[[Path], object]
    words: str
    error: str | int = "DataError"


class Counted(Dataset):
    """Three clips of six small frames, with a stream."""

    name, description = "counted", "Frames that count."
    streams = {"count": 2}  # noqa: RUF012
    fps = 12.5
    lengths = np.array([6, 6, 6])
    frame_shape = (4, 5, 1)
    split = np.array(["train", "validation", "test"])

    def read(self, i, start=0, stop=None):
        start, stop = self.check_range(i, start, stop)
        frames = np.arange(120, dtype=np.uint8).reshape(6, 4, 5, 1) + np.uint8(i)
        return Clip(frames[start:stop], {"count": np.full((stop - start, 2), i, np.float32)})


def clips(folder: Path) -> Path:
    """An honest folder of clips."""
    write_clips(Counted(), folder, QUIET)
    return folder


def latents(folder: Path, encoder: str = "e" * 64, shape: tuple[int, ...] = (3,)) -> Path:
    """An honest folder of latents."""
    arrays = {key: np.ones((18, *shape), np.float32) for key in ("mean", "log_var")}
    digest = write_shard(_made(folder) / "shard-00000.h5", arrays)
    manifest = {
        "format": "latentseq-latents/1",
        "latent_shape": list(shape),
        "has_posterior": True,
        "encoder": encoder,
        "data": "d" * 64,
        "streams": {},
        "fps": 25.0,
        "clips": [{"row": 0, "step": 6, "count": 3, "length": 6, "split": None}],
        "shards": [{"file": "shard-00000.h5", "rows": 18, "sha256": digest}],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def artifact(folder: Path, *, group: str = "encoders", plugin: str = "vae", **changes: Any) -> Path:
    """An artifact as a stranger would write it: whatever it says, its fingerprint fits."""
    state = {"weights.safetensors": b"weights"}
    for name, data in state.items():
        (_made(folder) / name).write_bytes(data)
    about = {
        "format": "latentseq-artifact/1",
        "group": group,
        "plugin": plugin,
        "config": {"input_shape": [16, 16, 1], "latent_dim": 3},
        "preprocessing": {"size": [16, 16], "fit": "crop", "gray": True, "skip": 1, "fps": None},
        "training": {"data": "d" * 64, "seed": 0, "best": {}},
        "versions": {"python": "3"},
        "files": {name: hashlib.sha256(data).hexdigest() for name, data in state.items()},
        **changes,
    }
    identity = {key: about[key] for key in ("plugin", "config", "files")}
    print_ = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    (folder / "artifact.json").write_text(json.dumps({"fingerprint": print_, **about}))
    return folder


def changed(path: Path, *place: Any, to: Any) -> None:
    """Change a value deep inside of a JSON file."""
    about = json.loads(path.read_text())
    inside = about
    for key in place[:-1]:
        inside = inside[key]
    inside[place[-1]] = to
    path.write_text(json.dumps(_sealed(about)))


def resealed(folder: Path) -> None:
    """Give a manifest the hashes of what is there now, as a stranger would."""
    path = folder / "manifest.json"
    about = json.loads(path.read_text())
    for shard in about["shards"]:
        shard["sha256"] = hashlib.sha256((folder / shard["file"]).read_bytes()).hexdigest()
    path.write_text(json.dumps(_sealed(about)))


def _sealed(about: dict[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in about.items() if key != "seal"}
    return {**rest, "seal": hashlib.sha256(json.dumps(rest, sort_keys=True).encode()).hexdigest()}


def command(*line: object) -> Any:
    """Use a command: the exit code and what it prints."""
    from latentseq_cli.main import run

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run([str(word) for word in line])
    return code, out.getvalue() + err.getvalue()


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Child:
    """A process that forks for every case."""

    def __init__(self, *modules: str) -> None:
        path = os.pathsep.join(p for p in sys.path if p)
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / "hostile_child.py"), *modules],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
        )

    def ask(self, module: str, function: str, *arguments: str) -> dict[str, Any]:
        """Call a function of a module with strings, in a child of its own.

        Returns:
            ``error``, the class of what was raised, and ``said``, its message; or ``answer``, what was returned; or
            ``died``, how the child ended. ``megabytes`` and ``keras`` of the child.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([module, function, *arguments]).encode() + b"\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(60)


@contextlib.contextmanager
def child(*modules: str) -> Iterator[Child]:
    """A child with modules that it imports once."""
    made = Child(*modules)
    try:
        yield made
    finally:
        made.close()
