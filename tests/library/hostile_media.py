"""Pictures, films, arrays and digits that mean harm, and folders that a command is to write into."""

import gzip
import io
import json
import os
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hostile import Case, changed, clips, command
from hostile_models import Trap
from PIL import Image

from latentseq.media.arrayfile import ArrayFile
from latentseq.media.container import open_container
from latentseq.media.images import read_image
from latentseq.media.preprocessing import Preprocessing
from latentseq.media.video import VideoFile

SMALL = Preprocessing((8, 8))
POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(sprung) (w) file closefile showpage\n%%EOF\n"


def _file(name: str, content: bytes | Callable[[Path], object], use: Callable[[Path], object], words: str) -> Case:
    def put(given: Path) -> None:
        if isinstance(content, bytes):
            (given / name).write_bytes(content)
        else:
            content(given / name)

    return Case(put, lambda given: use(given / name), words)


def _picture(content: bytes | Callable[[Path], object], words: str, name: str = "a.png") -> Case:
    return _file(name, content, lambda path: read_image(path, SMALL).shape, words)


def _png(width: int, height: int) -> bytes:
    """The start of a picture that claims to be large."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(10**5)))
        + chunk(b"IEND", b"")
    )


def _tiff(width: int, height: int) -> bytes:
    """A TIFF that claims to be large."""
    made = io.BytesIO()
    Image.new("L", (3000, 4)).save(made, "TIFF")
    data = made.getvalue()
    for tag, new in ((256, width), (257, height)):
        at = next(data.index(start) for kind in (3, 4) if (start := struct.pack("<HHI", tag, kind, 1)) in data)
        data = data[:at] + struct.pack("<HHII", tag, 4, 1, new) + data[at + 12 :]
    return data


def of_pictures() -> dict[str, Case]:
    """Images."""
    unknown = "its content is of no known image format. Expected a JPEG, PNG, WebP, BMP or TIFF file"
    return {
        "a picture that is PostScript": _picture(POSTSCRIPT, unknown),
        "a picture that is PostScript, as JPEG": _picture(POSTSCRIPT, unknown, "a.jpg"),
        "a picture that is a PDF": _picture(b"%PDF-1.4\n1 0 obj\n<< >>\nendobj\n", unknown),
        "a picture that is an icon": _picture(b"\0\0\1\0\1\0" + bytes(64), unknown),
        "a picture that is a pickle": _picture(pickle.dumps(Trap()), unknown),
        "a picture of 2^31 by 2^31": _picture(_png(2**31 - 1, 2**31 - 1), "exceeds limit of"),
        "a picture of 60 million pixels": _picture(
            _png(10_000, 6_000), "60000000 pixels; expected at most 50000000."
        ),
        "a TIFF of 10^9 pixels": _picture(_tiff(40_000, 40_000), "exceeds limit of", "a.tif"),
        "a picture that never comes": _picture(os.mkfifo, "expected a regular file"),
        "a picture that never ends": _picture(lambda path: path.symlink_to("/dev/zero"), "expected a regular file"),
    }


def _film(content: bytes | Callable[[Path], object], words: str, name: str = "a.mp4") -> Case:
    return _file(name, content, VideoFile, words)


def _opened(path: Path) -> object:
    return open_container(path).format.name


def _playlist(text: str) -> Callable[[Path], object]:
    """A list of other files, one of them somebody else's."""
    return lambda path: path.write_text(text.format(path.parent.parent / "victim" / "precious"))


def of_films() -> dict[str, Case]:
    """Videos, and lists of videos."""
    unknown = "its content is of no known video format, or its end is missing."
    session = "v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=video 9 RTP/AVP 96\n"
    dash = '<?xml version="1.0"?><MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period></Period></MPD>'
    return {
        "a film that is a list": _film(_playlist("ffconcat version 1.0\nfile '{}'\n"), unknown),
        "a film that is a list of the web": _film(_playlist("#EXTM3U\n#EXTINF:1,\nhttp://127.0.0.1:9/\n"), unknown),
        "a film that is a session": _film(session.encode(), unknown),
        "a film that is a manifest": _film(dash.encode(), unknown),
        "a film that is subtitles": _film(b"1\n00:00:00,000 --> 00:00:01,000\nhello\n", unknown),
        "a list, without a look at its structure": _file(
            "a.mkv", _playlist("ffconcat version 1.0\nfile '{}'\n"), _opened, unknown
        ),
        "a film that never comes": _film(os.mkfifo, "expected a regular file"),
        "a film that never ends": _film(lambda path: path.symlink_to("/dev/zero"), "expected a regular file"),
        "a gif of 65535 by 65535": _film(
            b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + bytes(6)
            + b"," + struct.pack("<HHHHB", 0, 0, 65535, 65535, 0) + b"\x02\x02\x4c\x01\x00;",
            "pixels; expected at most 50000000.",
            "a.gif",
        ),
    }  # fmt: skip


def _npy(descr: str, shape: str, data: bytes = b"") -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text) + 1) + text + b"\n" + data


def _npz(*members: tuple[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members:
            archive.writestr(name, data)
    return made.getvalue()


def _objects() -> bytes:
    made = io.BytesIO()
    np.save(made, np.full((2, 4, 5), Trap(), object), allow_pickle=True)
    return made.getvalue()


def _shown(path: Path) -> object:
    footage = ArrayFile(path, "frames")
    return [p.frame(SMALL).shape for p in footage.walk(np.arange(2))]


def _array(content: bytes, words: str, name: str = "a.npy") -> Case:
    return _file(name, content, _shown, words)


def of_numpy() -> dict[str, Case]:
    """Arrays of NumPy."""
    return {
        "an array of pickles": _array(_objects(), "is of type object; expected uint8"),
        "an archive of pickles": _array(
            _npz(("frames.npy", _objects())), "is of type object; expected uint8", "a.npz"
        ),
        "an array that is a pickle": _array(pickle.dumps(Trap()), "cannot be read as an array: "),
        "an archive that is a pickle": _array(
            _npz(("frames.npy", pickle.dumps(Trap()))), "cannot be read as an", "a.npz"
        ),
        "a header that is a program": _array(
            _npy("__import__('os').mkdir('sprung')", "(2, 4, 5)"), "cannot be read as"
        ),
        "a header that is a program, as a shape": _array(
            _npy("'|u1'", "open('sprung', 'w')"), "cannot be read as an"
        ),
        "an array of 10^15 pixels": _array(_npy("'|u1'", "(2, 7000, 7000)"), "is cut short: uint8 of shape"),
        "an array of 10^12 pictures, of NumPy": _array(_npy("'|u1'", "(10**12, 4, 5)"), "cannot be read as an array"),
        "an array of minus one": _array(_npy("'|u1'", "(-1, 4, 5)"), "expected no axis of length 0"),
        "an archive that claims a terabyte": _array(
            _npz(("frames.npy", _npy("'|u1'", "(20000, 7000, 7000)"))), "is cut short: uint8 of shape", "a.npz"
        ),
    }


def _digits(path: Path) -> object:
    from latentseq_plugins.datasets.moving_digits import MovingDigits

    return MovingDigits(digits=str(path)).lengths.shape


def _gz(path: Path) -> None:
    """Half a gigabyte of zeros after an honest start."""
    made = io.BytesIO()
    with gzip.GzipFile(fileobj=made, mode="wb", compresslevel=1) as file:
        file.write(b"\0\0\x08\3" + struct.pack(">3I", 60_000, 28, 28))
        for _ in range(32):
            file.write(bytes(1 << 24))
    path.write_bytes(made.getvalue())


def of_digits() -> dict[str, Case]:
    """Files of digits."""

    def digits(name: str, content: Any, words: str) -> Case:
        return _file(name, content, _digits, f"cannot be read as digits: {words}")

    return {
        "digits that are pickles": digits("a.npz", _npz(("images.npy", _objects())), "its array claims"),
        "digits that claim a terabyte": digits(
            "a.npz",
            _npz(("images.npy", _npy("'|u1'", "(1000000, 1000, 1000)"))),
            "its array claims 1000000000000 bytes",
        ),
        "digits that never come": digits("a.npz", os.mkfifo, "expected a regular file"),
        "digits that never end": digits(
            "a.idx", lambda path: path.symlink_to("/dev/zero"), "expected a regular file"
        ),
        "digits that unpack without end": digits("a.gz", _gz, "it decompresses to more than 268435456 bytes"),
    }


def _out(manifest: Callable[[Path], None]) -> Callable[[Path], None]:
    """Honest footage, and a folder of clips that an ingestion is to write over."""

    def put(given: Path) -> None:
        np.save(given / "a.npy", np.zeros((9, 8, 8), np.uint8))
        manifest(clips(given / "out") / "manifest.json")

    return put


def _leading(*place: Any, to: Any) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        changed(path, "plan", to="p")
        changed(path, *place, to=to)

    return change


def _ingest(*options: str) -> Callable[[Path], object]:
    return lambda given: command("ingest", given / "a.npy", given / "out", "--quiet", *options)


def of_outputs() -> dict[str, Case]:
    """Folders to be written over, whose manifest names what is somebody else's: it was removed once."""
    precious = "../../victim/precious"
    overwrite, again = _ingest("--overwrite"), _ingest()
    return {
        "a result that leads out": Case(
            _out(_leading("shards", 0, "file", to=precious)), overwrite, f"'{precious}'", 65
        ),
        "a result that leads anywhere": Case(
            _out(_leading("shards", 0, "file", to="/etc/passwd")), overwrite, "shards[0].file is '/etc/passwd'", 65
        ),
        "a result that leads out, gone on from": Case(
            _out(_leading("shards", 0, "file", to=precious)), again, f"'{precious}'", 65
        ),
        "a result without hashes": Case(
            _out(_leading("shards", 0, "sha256", to=None)), overwrite, "is nothing; exp", 65
        ),
    }


CASES = {**of_pictures(), **of_films(), **of_numpy(), **of_digits(), **of_outputs()}


def use(name: str, given: str) -> object:
    """Try a case; in the child."""
    return json.loads(json.dumps(CASES[name].use(Path(given)), default=str))
