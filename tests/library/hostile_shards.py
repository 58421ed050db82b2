"""HDF5 files that mean harm, as shards of a folder and as arrays of a user's own."""

import json
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from hostile import Case, clips, command, resealed
from hostile_json import read_clips

from latentseq.commands.verify import verify
from latentseq.media.arrayfile import ArrayFile
from latentseq.storage.shards import read_about

FRAMES = np.zeros((18, 4, 5, 1), np.uint8)
COUNT = np.zeros((18, 2), np.float32)


def _written(path: Path, make: Callable[[Any], object], *, keep: str = "count") -> None:
    """Write a shard whose ``frames`` are made by ``make``, beside an honest ``count``."""
    with h5py.File(path, "w", libver=("earliest", "v110")) as file:
        if keep == "count":
            file["count"] = COUNT
        make(file)


def _secret(given: Path) -> Path:
    """A good file of somebody else."""
    path = given.parent / "victim" / "secret.h5"
    with h5py.File(path, "w") as file:
        file["frames"] = FRAMES
    FRAMES.tofile(path.with_suffix(".bin"))
    return path


def _shard(
    make: Callable[[Any, Path], object],
    words: str,
    use: Callable[[Path], object] = read_clips,
    error: Any = "DataError",
) -> Case:
    """An honest folder with one shard replaced."""

    def put(given: Path) -> None:
        clips(given)
        secret = _secret(given)
        _written(given / "shard-00000.h5", lambda file: make(file, secret))
        resealed(given)

    return Case(put, use, words, error)


def _virtual(file: Any, secret: Path) -> None:
    layout = h5py.VirtualLayout(FRAMES.shape, np.uint8)
    layout[:] = h5py.VirtualSource(str(secret), "frames", FRAMES.shape)
    file.create_virtual_dataset("frames", layout)


def _external(file: Any, secret: Path) -> None:
    place = [(str(secret.with_suffix(".bin")), 0, FRAMES.size)]
    file.create_dataset("frames", FRAMES.shape, np.uint8, external=place)


def _compact(file: Any, secret: Path) -> None:
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_layout(h5py.h5d.COMPACT)
    space = h5py.h5s.create_simple(FRAMES.shape)
    h5py.h5d.create(file.id, b"frames", h5py.h5t.NATIVE_UINT8, space, made)


def _many(file: Any, secret: Path) -> None:
    file["frames"] = FRAMES
    for i in range(1500):
        file[f"a{i}"] = COUNT


def _claiming(rows: int) -> Callable[[Path], None]:
    """A shard whose header was changed to claim more rows than there are."""

    def put(given: Path) -> None:
        clips(given)
        path = given / "shard-00000.h5"
        data = path.read_bytes()
        told = struct.pack("<4Q", *FRAMES.shape)
        assert told in data
        path.write_bytes(data.replace(told, struct.pack("<4Q", rows, *FRAMES.shape[1:])))

    return put


def _verified(given: Path) -> object:
    return verify(given)


def _about(given: Path) -> object:
    return read_about(given / "shard-00000.h5")


def of_shards() -> dict[str, Case]:
    """Shards that are no plain arrays."""
    piece = "cannot be read: 'frames' is not stored as one block of 18 rows"
    return {
        "a soft link in a shard": _shard(
            lambda f, s: f.__setitem__("frames", h5py.SoftLink("/count")),
            "'frames' is a link; expected an array",
        ),
        "a soft link to nothing": _shard(
            lambda f, s: f.__setitem__("frames", h5py.SoftLink("/x")), "'frames' is a link; expected an array"
        ),
        "a link to another file": _shard(
            lambda f, s: f.__setitem__("frames", h5py.ExternalLink(str(s), "frames")), "'frames' is a link; exp"
        ),
        "a link to a device": _shard(
            lambda f, s: f.__setitem__("frames", h5py.ExternalLink("/dev/zero", "frames")), "'frames' is a link"
        ),
        "values in another file": _shard(_external, "'frames' is stored in other files; expected its values"),
        "a virtual array": _shard(_virtual, "'frames' is stored in other files; expected its values in this"),
        "an array in chunks": _shard(
            lambda f, s: f.create_dataset("frames", data=FRAMES, chunks=(1, 4, 5, 1)), piece
        ),
        "a packed array": _shard(lambda f, s: f.create_dataset("frames", data=FRAMES, compression="gzip"), piece),
        "an array in the header": _shard(_compact, piece),
        "a group": _shard(lambda f, s: f.create_group("frames"), "'frames' is no array"),
        "a group that holds itself": _shard(
            lambda f, s: f.create_group("frames").__setitem__("frames", f["frames"]), "'frames' is no array"
        ),
        "an array that was never written": _shard(lambda f, s: f.create_dataset("frames", FRAMES.shape, "u1"), piece),
        "an array of 10^15 rows that was never written": _shard(
            lambda f, s: f.create_dataset("frames", (10**15, 4, 5, 1), "u1"),
            "'frames' is not stored as one block of 1000000000000000 rows",
        ),
        "fewer rows than told": _shard(
            lambda f, s: f.__setitem__("frames", FRAMES[:7]), "'frames' has 7 rows; expected 18"
        ),
        "a single number": _shard(lambda f, s: f.__setitem__("frames", np.uint8(3)), "has 0 axes; expected 1 to 8"),
        "an array of nothing": _shard(lambda f, s: f.__setitem__("frames", h5py.Empty("u1")), "cannot be read: "),
        "frames of another rank": _shard(
            lambda f, s: f.__setitem__("frames", FRAMES[..., 0]), "is uint8 of shape (4, 5)"
        ),
        "frames of floats": _shard(
            lambda f, s: f.__setitem__("frames", FRAMES.astype("f4")),
            "'frames' is float32 of shape (4, 5, 1) per row",
        ),
        "frames of text": _shard(
            lambda f, s: f.create_dataset("frames", (18,), h5py.string_dtype()), "has type 'object'; expected numbers"
        ),
        "frames of references": _shard(
            lambda f, s: f.create_dataset("frames", (18,), h5py.ref_dtype), "has type 'object'; expected numbers"
        ),
        "frames of records": _shard(
            lambda f, s: f.create_dataset("frames", (18,), np.dtype([("a", "u1")])), "expected numbers"
        ),
        "no frames": _shard(lambda f, s: None, "'frames' is missing; expected uint8 of shape (4, 5, 1) per row."),
        "one array too many": _shard(
            lambda f, s: (f.__setitem__("frames", FRAMES), f.__setitem__("more", COUNT)), "expected no such array."
        ),
        "1500 arrays": _shard(_many, "it holds 1502 arrays; expected at most 1000"),
        "a name that is no text": _shard(
            lambda f, s: f.id.links.create_hard(b"\xff\xfe", f.id, b"count"), "cannot be read: "
        ),
        "a header that claims a terabyte": Case(_claiming(10**12 // 20), read_clips, "cannot be read: "),
        "a header that claims too much": Case(_claiming(10**4), read_clips, "cannot be read: "),
        "verifying a link to a device": _shard(
            lambda f, s: f.__setitem__("frames", h5py.ExternalLink("/dev/zero", "frames")),
            "'frames' is a link; expected an array",
            _verified,
        ),
        "what a shard says of itself is a link": _shard(
            lambda f, s: f.__setitem__("about", h5py.ExternalLink(str(s), "frames")), "is a link; expected", _about
        ),
        "what a shard says of itself is floats": _shard(
            lambda f, s: f.__setitem__("about", COUNT), "its array 'about' is missing, or is not text", _about
        ),
        "what a shard says of itself is no JSON": _shard(
            lambda f, s: f.__setitem__("about", np.zeros(9, "u1")), "it is not JSON", _about
        ),
        "showing a manifest that leads out": Case(
            lambda given: _leading_out(given), lambda given: command("show", given), "shards[0].file is '../", 65
        ),
        "verifying a manifest that leads out": Case(
            lambda given: _leading_out(given), lambda given: command("verify", given), "shards[0].file is '../", 65
        ),
    }


def _leading_out(given: Path) -> None:
    manifest = json.loads((clips(given) / "manifest.json").read_text())
    manifest["shards"][0]["file"] = "../victim/precious"
    (given / "manifest.json").write_text(json.dumps(manifest))


def _array(make: Callable[[Any, Path], object], words: str) -> Case:
    """A user's own file of arrays, of which the first and the last picture are shown."""

    def put(given: Path) -> None:
        secret = _secret(given)
        _written(given / "a.h5", lambda file: make(file, secret), keep="")

    return Case(put, _pictures, words)


def _pictures(given: Path) -> object:
    from latentseq.media.preprocessing import Preprocessing

    footage = ArrayFile(given / "a.h5", "frames")
    return [p.frame(Preprocessing((4, 4))).shape for p in footage.walk(np.array([0, len(footage.times) - 1]))]


def _filtered(number: int) -> Callable[[Any, Path], None]:
    """A dataset that goes through a filter of a number; for HDF5 an optional one, so that it can be written."""

    def make(file: Any, secret: Path) -> None:
        made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        made.set_chunk((1, 4, 5))
        made.set_filter(number, h5py.h5z.FLAG_OPTIONAL, (0, 0))
        space = h5py.h5s.create_simple((2, 4, 5))
        dataset = h5py.h5d.create(file.id, b"frames", h5py.h5t.NATIVE_UINT8, space, made)
        for row in range(2):
            dataset.write_direct_chunk((row, 0, 0), bytes(20))

    return make


def _twice_packed(file: Any, secret: Path) -> None:
    made = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    made.set_chunk((1, 4, 5))
    made.set_deflate(9)
    made.set_filter(32000, h5py.h5z.FLAG_OPTIONAL, (0, 0, 20))
    space = h5py.h5s.create_simple((1, 4, 5))
    h5py.h5d.create(file.id, b"frames", h5py.h5t.NATIVE_UINT8, space, made).write_direct_chunk((0, 0, 0), bytes(20))


def _bomb(file: Any, secret: Path) -> None:
    """A chunk of four million pixels that unpacks to two gigabytes."""
    packer = zlib.compressobj(9)
    first, second = (packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2))
    made = file.create_dataset("frames", (1, 2000, 2000), "u1", chunks=(1, 2000, 2000), compression="gzip")
    made.id.write_direct_chunk((0, 0, 0), first + second * 2047 + packer.flush())


def of_arrays() -> dict[str, Case]:
    """HDF5 files that a user was given."""
    return {
        "an array that is a link": _array(
            lambda f, s: f.__setitem__("frames", h5py.ExternalLink(str(s), "frames")), "'frames' in "
        ),
        "an array whose values are elsewhere": _array(
            _external, "is stored in other files; expected a dataset whose"
        ),
        "an array that is virtual": _array(_virtual, "is a virtual dataset; expected a dataset whose values are in"),
        "an array through blosc": _array(_filtered(32001), "goes through the HDF5 filters [32001]; expected gzip"),
        "an array through an unknown filter": _array(_filtered(300), "goes through the HDF5 filters [300]; expected"),
        "an array that is packed twice": _array(_twice_packed, "goes through the HDF5 filters [1, 32000]; expected"),
        "an array that unpacks without end": _array(_bomb, "expands to more than the 4000000 bytes of its shape"),
        "an array of 10^12 pictures": _array(
            lambda f, s: f.create_dataset("frames", (10**12, 4, 5), "u1", chunks=(1, 4, 5)), "at most 50000000"
        ),
        "an array that was never written at all": _array(
            lambda f, s: f.create_dataset("frames", (10**7, 4, 5), "u1", chunks=(1, 4, 5)), "is incomplete: 0 of"
        ),
    }


CASES = {**of_shards(), **of_arrays()}


def use(name: str, given: str) -> object:
    """Try a case; in the child."""
    return json.loads(json.dumps(CASES[name].use(Path(given)), default=str))
