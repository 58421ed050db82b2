"""Artifacts and weights that mean harm: what a model from a stranger may say, and what it brings with it."""

import json
import os
import pickle
import struct
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hostile import Case, artifact, clips, command, latents
from safetensors.numpy import save

from latentseq.storage.artifact import copy_artifact, read_artifact
from latentseq.storage.tensors import load_tensors
from latentseq.training.watch import read_history

EXPECTED = {"net/kernel": ((2, 3), "float32"), "net/bias": ((3,), "float32")}
ARRAYS = {"net/bias": np.zeros(3, np.float32), "net/kernel": np.zeros((2, 3), np.float32)}


class Trap:
    """What makes a file when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, ("sprung",)


def _read(given: Path) -> object:
    """Copy a model as far as that is done without building it."""
    copy_artifact(read_artifact(given), given.parent / "own" / "copy")
    return read_artifact(given).plugin


def _load(given: Path) -> object:
    return read_artifact(given).load()


def _said(words: str, use: Callable[[Path], object] = _read, **changes: Any) -> Case:
    return Case(lambda given: artifact(given, **changes), use, words)


def _with(make: Callable[[Path], object], words: str, use: Callable[[Path], object] = _load) -> Case:
    """An artifact with something else in the place of its weights."""

    def put(given: Path) -> None:
        (artifact(given) / "weights.safetensors").unlink()
        make(given / "weights.safetensors")

    return Case(put, use, words)


def of_artifacts() -> dict[str, Case]:
    """What artifact.json may say."""
    digest = "0" * 64
    outside, linked = "names files outside its folder: ", "weights.safetensors is a link."
    return {
        "a group that is a list": _said("group is []; expected encoders, decoders, dynamics or predictors", group=[]),
        "a dataset for a model": _said("group is 'datasets'; expected encoders,", group="datasets"),
        "a plugin that is a number": _said("plugin is 7; expected text of at most 200 characters.", plugin=7),
        "a plugin that steers the terminal": _said(r"plugin is 'vae\x1b[2J'; expected a name.", plugin="vae\x1b[2J"),
        "a plugin of a module": Case(
            lambda given: artifact(given, plugin="os:system"), _load, "No encoder is called 'os:system'", "UsageError"
        ),
        "a configuration that is a list": _said("config is [1]; expected an object.", config=[1]),
        "a preprocessing that is text": _said("preprocessing is 'x'; expected an object.", preprocessing="x"),
        "files that are a list": _said("files is ['a']; expected an object.", files=["a"]),
        "a file without a hash": _said("files['a'] is 1; expected a SHA-256", files={"a": 1}),
        "a file above": _said(f"{outside}'../victim/precious'", files={"../victim/precious": digest}),
        "a file anywhere": _said(f"{outside}'/etc/passwd'", files={"/etc/passwd": digest}),
        "a file far above": _said(f"{outside}'a/../../x'", files={"a/../../x": digest}),
        "a file of another system": _said(outside, files={"..\\x": digest}),
        "a file of no name": _said(f"{outside}''", files={"": digest}),
        "20,000 files": _said(
            "files is an object of 20000; expected at most", files={str(i): digest for i in range(20_000)}
        ),
        "a fingerprint that does not fit": _said("do not match its fingerprint", fingerprint=digest),
        "a fingerprint that is none": _said("fingerprint is 'x'; expected a SHA-256", fingerprint="x"),
        "an artifact of five megabytes": _said("it has more than 4194304 bytes.", config={"a": "x" * (5 << 20)}),
        "weights that are a link out": _with(lambda path: path.symlink_to("/etc/passwd"), linked, _read),
        "weights that are a device": _with(lambda path: path.symlink_to("/dev/zero"), linked, _read),
        "weights that are a pipe": _with(
            os.mkfifo, "weights.safetensors is missing or is not the file that was saved."
        ),
        "weights that are a folder": _with(
            Path.mkdir, "weights.safetensors is missing or is not the file that was saved"
        ),
        "weights that are another's": _with(
            lambda path: path.write_bytes(b"other"),
            "weights.safetensors is missing or is not the file that was saved",
        ),
        "training that is text": Case(
            lambda given: artifact(given, training="x"),
            lambda given: command("show", given),
            "training is 'x'; expected an object.",
            65,
        ),
        "a seed that is a list": Case(
            lambda given: artifact(given, training={"seed": [], "best": {}, "data": "d"}),
            lambda given: command("show", given),
            "training.seed is []; expected a whole number",
            65,
        ),
        "frames of 10^12 pixels": _line("Option size is [1000000, 1000000]; expected a side", 2, size=[10**6, 10**6]),
        "a size in words": _line("Option size is ['a', 'a']; expected a side or [height, width]", 2, size="a"),
        "a frame rate in words": _line("Option fps is '1'; expected frames a second", 2, fps="1"),
        "a fit that is a list": _line("Option fit is []; expected 'crop', 'pad' or 'stretch'.", 2, fit=[]),
        "an encoder of no shape": Case(
            lambda given: artifact(clips(given / "clips").parent / "ae", config={"input_shape": "x"}),
            lambda given: command("encode", given / "clips", given / "ae", "out"),
            "config.input_shape is 'x'; expected a list of 1 or 2 or 3 whole numbers above 0",
            65,
        ),
        "a predictor that is a decoder": Case(
            lambda given: artifact(given, group="decoders", plugin="deconv"),
            lambda given: command("sample", given, "moving-squares", "out.gif"),
            "holds the decoder 'deconv'; expected an encoder, dynamics or a predictor.",
            65,
        ),
    }


def _line(words: str, code: int, **preprocessing: Any) -> Case:
    """A model whose frames are said to be prepared in some way, given to a command."""
    honest = {"size": [16, 16], "fit": "crop", "gray": True, "skip": 1, "fps": None}
    return Case(
        lambda given: artifact(given, preprocessing={**honest, **preprocessing}),
        lambda given: command("encode", "moving-squares", given, "out"),
        words,
        code,
    )


def _weights(content: bytes | Callable[[Path], object], words: str) -> Case:
    def put(given: Path) -> None:
        path = given / "weights.safetensors"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content(path)

    return Case(put, lambda given: load_tensors(given / "weights.safetensors", EXPECTED), words)


def _tensors(about: Any, data: bytes = bytes(36)) -> bytes:
    """A safetensors file with a header of one's own."""
    header = about if isinstance(about, bytes) else json.dumps(about).encode()
    return struct.pack("<Q", len(header)) + header + data


def of_weights() -> dict[str, Case]:
    """Safetensors files, or what calls itself so."""
    bias = {"dtype": "F32", "shape": [3], "data_offsets": [0, 12]}
    kernel = {"dtype": "F32", "shape": [2, 3], "data_offsets": [12, 36]}
    good = {"net/bias": bias, "net/kernel": kernel}
    unfit, unread = "does not fit the configuration beside it: ", "cannot be read: "

    def other(**changes: Any) -> bytes:
        return _tensors({**good, "net/bias": {**bias, **changes}})

    def huge(path: Path) -> None:
        with path.open("wb") as file:
            file.write(struct.pack("<Q", 90 << 20) + b'{"a":[')
            file.truncate(100 << 20)

    return {
        "a header of 2^63 bytes": _weights(struct.pack("<Q", 1 << 63) + bytes(99), f"{unread}its header claims "),
        "a header of 90 MB": _weights(huge, f"{unread}its header claims 94371840 bytes; expected at most"),
        "a header that is not there": _weights(b"\1\0\0", unread),
        "a header that is no JSON": _weights(_tensors(b"[" * 5000), unread),
        "an array of a terabyte": _weights(other(shape=[1 << 38]), unread),
        "weights of minus one": _weights(other(shape=[-1]), unread),
        "an array whose sides overflow": _weights(other(shape=[1 << 33, 1 << 33]), unread),
        "an array beyond the end": _weights(other(data_offsets=[0, 1 << 40], shape=[1 << 38]), unread),
        "arrays over one another": _weights(
            _tensors({**good, "net/kernel": {**kernel, "data_offsets": [0, 24]}}), unread
        ),
        "an array of another shape": _weights(
            save({**ARRAYS, "net/bias": np.zeros((3, 1), np.float32)}),
            f"{unfit}net/bias is ((3, 1), 'float32'); expected",
        ),
        "an array of another type": _weights(
            save({**ARRAYS, "net/bias": np.zeros(3, np.int32)}), f"{unfit}net/bias is ((3,), 'int32'); expected ((3,)"
        ),
        "an array too many": _weights(
            save({**ARRAYS, "net/more": np.zeros(3)}),
            f"{unfit}net/more is ((3,), 'float64'); expected no such array.",
        ),
        "an array too few": _weights(
            save({"net/bias": ARRAYS["net/bias"]}), f"{unfit}net/kernel is missing; expected"
        ),
        "arrays after the last": _weights(_tensors(good, bytes(99)), unread),
        "weights that are a pickle": _weights(pickle.dumps(Trap()), unread),
        "weights that never end": _weights(
            lambda path: path.symlink_to("/dev/zero"), f"{unread}expected a regular file"
        ),
        "weights that never come": _weights(lambda path: os.mkfifo(path), f"{unread}expected a regular file."),
    }


STRANGER = """
import os
os.mkdir({0!r})
from latentseq.protocols import Encoder


class Mine(Encoder):
    name, description = "strange", "Runs when it is imported."
"""


def _strange(given: Path) -> None:
    """A model of a plugin that is installed, by somebody else, and would write a folder when it is imported."""
    site = given / "site"
    info = site / "stranger-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: stranger\nVersion: 1.0\n")
    points = "".join(f"[latentseq.{group}]\nstrange = strange_module:Mine\n" for group in ("encoders", "dynamics"))
    (info / "entry_points.txt").write_text(points)
    (site / "strange_module.py").write_text(STRANGER.format(str(given.parent / "own" / "sprung")))
    inner = artifact(given / "ae", plugin="strange")
    latents(given / "z", read_artifact(inner).fingerprint)
    artifact(given / "lstm", group="dynamics", plugin="strange")
    artifact(given / "lstm" / "encoder", plugin="vae")
    artifact(given / "other", group="dynamics", plugin="lstm")
    artifact(given / "other" / "encoder", plugin="strange")


def _installed(*line: str) -> Callable[[Path], object]:
    def use(given: Path) -> object:
        sys.path.insert(0, str(given / "site"))
        return command(*(word.replace("@", str(given)) for word in line))

    return use


def _predictor(given: Path) -> object:
    from latentseq.models.run import load_predictor

    sys.path.insert(0, str(given / "site"))
    return load_predictor(given / "other", allow_plugins=["strang", "lstm"])


def of_plugins() -> dict[str, Case]:
    """Models that name a plugin which is installed and not built in."""
    words = (
        "needs the {} 'strange', which is not built in: it is strange_module:Mine of the distribution stranger 1.0."
    )
    option = "add --allow-plugin strange (in Python, allow_plugins=['strange'])."
    squares = ("moving-squares", "--data-set", "size=16", "--data-set", "count=4")
    encoder, dynamics = words.format("encoder"), words.format("dynamics")
    lines = {
        "encode": (encoder, ("encode", *squares, "@/ae", "out")),
        "encode, for the option": (option, ("encode", *squares, "@/ae", "out")),
        "encode, another one allowed": (encoder, ("encode", *squares, "@/ae", "out", "--allow-plugin", "vae")),
        "train-lstm": (encoder, ("train-lstm", "@/z", "@/ae", "out")),
        "train-lstm on data": (encoder, ("train-lstm", *squares, "@/ae", "out")),
        "sample": (dynamics, ("sample", "@/lstm", *squares, "out.gif")),
        "sample, inside": (encoder, ("sample", "@/other", *squares, "out.gif")),
    }
    cases = {
        f"a stranger's plugin: {name}": Case(_strange, _installed(*line), said, 2)
        for name, (said, line) in lines.items()
    }
    inside = Case(_strange, _predictor, encoder, "UsageError")
    return {**cases, "a stranger's plugin: load_predictor": inside}


def _history(content: bytes | Callable[[Path], object], words: str) -> Case:
    def put(given: Path) -> None:
        path = given / "history.csv"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            content(path)

    return Case(
        put, lambda given: read_history(given / "history.csv"), f"cannot be read as a history of training: {words}"
    )


def of_histories() -> dict[str, Case]:
    """What stands in place of a history.csv."""
    return {
        "a history of words": _history(b"epoch,loss\n1,eval(1)\n", "could not convert string to float"),
        "a history of too many columns": _history(b"epoch\n1,2,3\n", "float() argument must be"),
        "a history that is no text": _history(b"epoch\n\xff\xff\n", "'utf-8' codec can't decode"),
        "a history with a hole": _history(b'epoch,loss\n1,"2', "unexpected end of data"),
        "a history that never comes": _history(lambda path: os.mkfifo(path), "expected a regular file"),
        "a history that never ends": _history(lambda path: path.symlink_to("/dev/zero"), "expected a regular file"),
    }


CASES = {**of_artifacts(), **of_weights(), **of_plugins(), **of_histories()}


def use(name: str, given: str) -> object:
    """Try a case; in the child."""
    return json.loads(json.dumps(CASES[name].use(Path(given)), default=str))
