"""JSON that means harm, and manifests that say what cannot be."""

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hostile import Case, changed, clips, latents

from latentseq.storage.frames import ClipFolder
from latentseq.storage.latents import LatentFolder
from latentseq.storage.shards import write_shard


def read_clips(given: Path) -> object:
    """Open a folder of clips and read all of it."""
    folder = ClipFolder(str(given))
    return [folder.read(i).frames.shape for i in range(len(folder.lengths))]


def read_latents(given: Path) -> object:
    """Open a folder of latents and read all of it."""
    folder = LatentFolder(given)
    return [folder.read(i, 0, int(length))["mean"].shape for i, length in enumerate(folder.lengths)]


def _text(content: bytes) -> Callable[[Path], object]:
    return lambda given: (given / "manifest.json").write_bytes(content)


def _sparse(given: Path) -> None:
    with (given / "manifest.json").open("wb") as file:
        file.truncate(1 << 40)


def _socket(given: Path) -> None:
    here = Path.cwd()
    os.chdir(given)  # The name of a socket must be short.
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("manifest.json")
    os.chdir(here)


def _json(make: Callable[[Path], object], words: str) -> Case:
    return Case(make, read_clips, f"manifest.json cannot be read as the manifest of latentseq-clips/1: {words}")


def of_json() -> dict[str, Case]:
    """What stands in place of a JSON file."""
    return {
        "text in UTF-16": _json(_text('{"format": 1}'.encode("utf-16")), "it is not JSON."),
        "bytes that are no text": _json(_text(b'{"a": "\xff\xfe"}'), "it is not JSON."),
        "nothing": _json(_text(b""), "it is not JSON."),
        "half of an object": _json(_text(b'{"format": "latentseq-'), "it is not JSON."),
        "a number that is none": _json(_text(b'{"fps": NaN}'), "it contains NaN, which is not a number."),
        "an infinite number": _json(_text(b'{"fps": -Infinity}'), "it contains -Infinity, which is not a number."),
        "a number too large": _json(_text(b'{"fps": 1e999}'), "it contains 1e999, which is too large a number."),
        "a number of a million digits": _json(_text(b'{"fps": ' + b"9" * 10**6 + b"}"), "it is not JSON."),
        "lists without end": _json(_text(b"[" * 10**5), "its lists and objects are nested too deeply."),
        "lists as deep as a well": _json(
            _text(b"[" * 10**5 + b"]" * 10**5), "its lists and objects are nested too deeply."
        ),
        "objects as deep": _json(
            _text(b'{"a":' * 10**5 + b"1" + b"}" * 10**5), "its lists and objects are nested too deeply."
        ),
        "five million lists": _json(
            _text(b"[" + b"[]," * 5_000_000 + b"[]]"), "it has more than 4000000 lists and objects."
        ),
        "a terabyte": _json(_sparse, "it has more than 134217728 bytes."),
        "a list": _json(_text(b"[1]"), "it holds a list; expected an object."),
        "a pipe": _json(lambda given: os.mkfifo(given / "manifest.json"), "expected a regular file."),
        "a socket": _json(_socket, "expected a regular file."),
        "a folder": _json(lambda given: (given / "manifest.json").mkdir(), "expected a regular file."),
        "a device without end": _json(
            lambda given: (given / "manifest.json").symlink_to("/dev/zero"), "expected a regular file."
        ),
        "a link to itself": _json(
            lambda given: (given / "manifest.json").symlink_to("manifest.json"), "Too many levels of symbolic links."
        ),
    }


def _said(*place: Any, to: Any, words: str, of: Callable[[Path], Path] = clips) -> Case:
    """A manifest that says something else in one place."""

    def make(given: Path) -> None:
        changed(of(given) / "manifest.json", *place, to=to)

    return Case(make, read_clips if of is clips else read_latents, words)


def _shard(make: Callable[[Path], object], words: str) -> Case:
    return Case(lambda given: make(clips(given)), read_clips, words)


def _replaced(make: Callable[[Path], object]) -> Callable[[Path], object]:
    """Something else in the place of a shard."""

    def put(given: Path) -> None:
        (given / "shard-00000.h5").unlink()
        make(given / "shard-00000.h5")

    return put


def _linked(given: Path) -> None:
    """A shard that is a link to a good one of somebody else."""
    secret = given.parent / "victim" / "secret.h5"
    (given / "shard-00000.h5").rename(secret)
    (given / "shard-00000.h5").symlink_to(secret)


def _overlapping(given: Path) -> None:
    """Many runs over the same rows: together they would be a million clips of 18 rows."""
    run = {"count": 18, "row": 0, "step": 1, "length": 1, "split": "train"}
    changed(given / "manifest.json", "clips", to=[run] * 60_000)


def _sparse_shards(given: Path) -> None:
    """Files that are as large as they claim, and take no room."""
    with (given / "shard-00000.h5").open("r+b") as file:
        file.truncate(1 << 40)
    changed(given / "manifest.json", "shards", 0, "rows", to=1 << 39)
    run = {"count": 1 << 39, "row": 0, "step": 1, "length": 1, "split": "train"}
    changed(given / "manifest.json", "clips", to=[run])


def _missing_shards(given: Path) -> None:
    changed(given / "manifest.json", "shards", 0, "file", to="none.h5")
    changed(given / "manifest.json", "shards", 0, "rows", to=1 << 39)
    run = {"count": 1 << 38, "row": 0, "step": 1, "length": 1, "split": "train"}
    changed(given / "manifest.json", "clips", to=[run])


def of_manifests() -> dict[str, Case]:
    """Manifests of clips with one thing wrong."""
    source = {"path": "a", "kind": "video", "detail": "", "sha256": "a" * 64, "frames": 1, "fps": 25}
    return {
        "clips that are no list": _said("clips", to={"a": 1}, words="clips is {'a': 1}; expected a list."),
        "a clip that is text": _said("clips", 0, to="x", words="clips[0] is 'x'; expected an object."),
        "10^12 clips": _said("clips", 0, "count", to=10**12, words="its clips need 6000000000000 rows, but its"),
        "10^12 clips in one place": _said("clips", 0, "step", to=0, words="clips[0].step is 0; expected a whole"),
        "a count below 0": _said("clips", 0, "count", to=-1, words="clips[0].count is -1; expected a whole number"),
        "a count that is true": _said("clips", 0, "count", to=True, words="clips[0].count is True; expected a whole"),
        "a count of halves": _said("clips", 0, "count", to=2.5, words="clips[0].count is 2.5; expected a whole"),
        "a row below 0": _said("clips", 0, "row", to=-5, words="clips[0].row is -5; expected a whole number from 0"),
        "a clip without length": _said("clips", 0, "length", to=0, words="clips[0].length is 0; expected a whole"),
        "a clip of 10^18 rows": _said(
            "clips", 0, "length", to=10**18, words="clips[0].length is 1000000000000000000"
        ),
        "a number of 400 digits": _said(
            "clips", 0, "length", to=10**400, words="; expected a whole number from 1 to"
        ),
        "fewer starts than clips": _said(
            "clips", 0, "start", to=[], words="clips[0].start is []; expected 1 numbers"
        ),
        "starts that are text": _said("clips", 0, "end", to=["x"], words="clips[0].end is ['x']; expected 1 numbers"),
        "starts that are a number": _said("clips", 0, "start", to=3, words="clips[0].start is 3; expected a list."),
        "something else held out": _said("hold_out", to="../x", words="hold_out is '../x'; expected clips, ends or"),
        "a list of what is held out": _said("hold_out", to=["ends"], words="hold_out is ['ends']; expected clips,"),
        "another split": _said("clips", 0, "split", to="../x", words="clips[0].split is '../x'; expected train,"),
        "a split that is a list": _said(
            "clips", 0, "split", to=[[]], words="clips[0].split is [[]]; expected train,"
        ),
        "a source that is not listed": _said("clips", 0, "source", to=7, words="clips[0].source is 7; expected"),
        "a million clips of 18 rows": _shard(
            _overlapping, "it lists 1080000 clips in 18 rows; expected at most one clip"
        ),
        "a sparse terabyte of clips": _shard(_sparse_shards, "it lists 549755813888 clips in 549755813888 rows"),
        "clips of shards that are missing": _shard(_missing_shards, "it lists 274877906944 clips in 549755813888"),
        "shards that are text": _said("shards", to="abc", words="shards is 'abc'; expected a list."),
        "a shard that is a number": _said("shards", 0, to=3, words="shards[0] is 3; expected an object."),
        "a shard of 10^11 rows": _said(
            "shards", 0, "rows", to=10**11, words="but the manifest says 100000000000 rows"
        ),
        "a shard of less than no rows": _said("shards", 0, "rows", to=-18, words="shards[0].rows is -18; expected"),
        "a hash that is none": _said(
            "shards", 0, "sha256", to="x" * 64, words="expected a SHA-256 in 64 hexadecimal"
        ),
        "a shard outside": _said(
            "shards", 0, "file", to="../victim/precious", words="expected the name of a file in"
        ),
        "a shard anywhere": _said("shards", 0, "file", to="/etc/passwd", words="shards[0].file is '/etc/passwd';"),
        "a shard that is above": _said(
            "shards", 0, "file", to="..", words="shards[0].file is '..'; expected the name"
        ),
        "a shard of two lines": _said(
            "shards", 0, "file", to="a\n.h5", words=r"shards[0].file is 'a\n.h5'; expected"
        ),
        "a shard that ends a text": _said(
            "shards", 0, "file", to="a\0b", words=r"shards[0].file is 'a\x00b'; expected"
        ),
        "a shard that is no text": _said("shards", 0, "file", to=["a"], words="shards[0].file is ['a']; expected"),
        "a shard that is a link out": _shard(_linked, "expected a file in the same folder, not a link out of it"),
        "a shard that is a pipe": _shard(_replaced(os.mkfifo), "cannot be read: expected a regular file."),
        "a shard that is a device": _shard(
            _replaced(lambda path: path.symlink_to("/dev/zero")), "not a link out of it"
        ),
        "no frames a second": _said("fps", to=0, words="fps is 0; expected a number above 0 and at most 1e+06."),
        "frames a second in words": _said("fps", to="25", words="fps is '25'; expected a number above 0"),
        "10^300 frames a second": _said("fps", to=10**301, words="expected a number above 0 and at most 1e+06."),
        "frames of two sides": _said("frame_shape", to=[4, 5], words="frame_shape is [4, 5]; expected a list of 3"),
        "frames of a terabyte": _said(
            "frame_shape", to=[10**6, 10**6, 3], words="expected a list of 3 whole numbers"
        ),
        "frames of minus one": _said("frame_shape", to=[-1, -1, 3], words="frame_shape is [-1, -1, 3]; expected"),
        "frames of another shape": _said(
            "frame_shape", to=[5, 4, 1], words="expected uint8 of shape (5, 4, 1) per row."
        ),
        "streams that are a list": _said("streams", to=["count"], words="streams is ['count']; expected an object."),
        "a stream that is not there": _said(
            "streams", to={}, words="'count' is float32 of shape (2,) per row; expected"
        ),
        "a stream of another width": _said(
            "streams", to={"count": 3}, words="expected numbers of shape (3,) per row."
        ),
        "a stream of 10^12 values": _said("streams", to={"count": 10**12}, words="streams.count is 1000000000000;"),
        "a stream called frames": _said("streams", to={"frames": 1}, words="expected names of side streams, other"),
        "a stream with a path": _said("streams", to={"../a": 1}, words="expected names of side streams, other than"),
        "a dataset that is a list": _said("source", to=[], words="source is []; expected an object."),
        "a configuration that is text": _said("source", "config", to="x", words="source.config is 'x'; expected"),
        "sources that are numbers": _said("sources", to=[1], words="sources[0] is 1; expected an object."),
        "a source of minus one frames": _said("sources", to=[{**source, "frames": -1}], words="sources[0].frames is"),
        "what was skipped, as numbers": _said(
            "skipped", to=[{"path": 1, "reason": "x"}], words="skipped[0].path is 1; expected text"
        ),
    }


def _halves(given: Path) -> None:
    """Latents without the variances that the manifest promises."""
    latents(given)
    digest = write_shard(given / "shard-00000.h5", {"mean": np.ones((18, 3), np.float32)})
    changed(given / "manifest.json", "shards", 0, "sha256", to=digest)


def of_latents() -> dict[str, Case]:
    """Manifests of latents with one thing wrong."""

    def said(*place: Any, to: Any, words: str) -> Case:
        return _said(*place, to=to, words=words, of=latents)

    return {
        "latents of another shape": said("latent_shape", to=[4], words="expected floats of shape (4,) per row."),
        "latents of five axes": said(
            "latent_shape", to=[1] * 5, words="expected a list of 1 or 2 or 3 whole numbers"
        ),
        "latents of a terabyte": said("latent_shape", to=[1 << 40], words="expected a list of 1 or 2 or 3 whole"),
        "a posterior in words": said(
            "has_posterior", to="no", words="has_posterior is 'no'; expected true or false."
        ),
        "no posterior but variances": said("has_posterior", to=False, words="'log_var' is float32 of shape (3,)"),
        "a posterior without variances": Case(_halves, read_latents, "'log_var' is missing; expected floats"),
        "an encoder that is a number": said("encoder", to=7, words="encoder is 7; expected text of at most 256"),
        "data of a megabyte": said("data", to="x" * 10**6, words="expected text of at most 256 characters."),
    }


CASES = {**of_json(), **of_manifests(), **of_latents()}


def use(name: str, given: str) -> object:
    """Try a case; in the child."""
    return json.loads(json.dumps(CASES[name].use(Path(given)), default=str))
