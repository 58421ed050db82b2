"""Images, arrays and records of which something is wrong or strange, and what is to come of them."""

import io
import pickle
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import h5py
import numpy as np
from ingesting import bars, numbered
from PIL import Image

from latentseq.arrays import Clip
from latentseq.media.records import write_records

OTHERWISE = "its content is of no known image format"
NO_IMAGE = ". Expected a JPEG, PNG, WebP, BMP or TIFF file; copy or export it again, or remove it."
NO_ARRAY = ". Expected a NumPy file (.npy, .npz) or an HDF5 file (.h5, .hdf5) that is whole; copy or save it again."


class Case(NamedTuple):
    """What lies in a folder beside a good film.

    Attributes:
        make: puts it into the folder that it is given.
        result: by name, how many frames are taken, or why it is skipped; {} stands for the name.
    """

    make: Callable[[Path], object]
    result: dict[str, int | str]


def case(name: str, data: bytes | str, result: int | str) -> Case:
    """One file."""
    content = data.encode() if isinstance(data, str) else data
    return Case(lambda folder: (folder / name).write_bytes(content), {name: result})


def png(width: int, height: int, *, claimed: bool = False) -> bytes:
    """A black picture; one that is claimed is not there."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    data = zlib.compress(bytes(100 if claimed else (1 + (width + 7) // 8) * height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def npy(array: np.ndarray) -> bytes:
    """An array as a file."""
    made = io.BytesIO()
    np.save(made, array)
    return made.getvalue()


def claimed(shape: tuple[int, ...]) -> bytes:
    """The file of an array that has next to nothing of what it says."""
    made = io.BytesIO()
    np.lib.format.write_array_header_1_0(made, {"descr": "|u1", "fortran_order": False, "shape": shape})
    return made.getvalue() + bytes(1000)


def image(kind: str, number: int = 0, **options: object) -> bytes:
    """A picture of bars."""
    made = io.BytesIO()
    Image.fromarray(np.repeat(bars(number, 24, 48)[..., None], 3, -1)).save(made, kind, **options)
    return made.getvalue()


def converted(kind: str, mode: str, **options: object) -> bytes:
    """A picture of another mode."""
    made = io.BytesIO()
    Image.fromarray(bars(0b101, 24, 48)).convert("RGB").convert(mode).save(made, kind, **options)
    return made.getvalue()


def folder_of(images: dict[str, bytes], result: int | str) -> Case:
    """A folder of images."""

    def make(folder: Path) -> None:
        (folder / "d").mkdir()
        for name, data in images.items():
            (folder / "d" / name).write_bytes(data)

    return Case(make, {"d": result})


def of_images() -> dict[str, Case]:
    """Folders of images."""
    good = {f"{i}.png": image("PNG", i) for i in range(6)}
    sizes = "in/d/0.png is 24 x 48 (h x w) and in/d/3.png is 20 x 30; expected one size in a clip. Put them into folders of their own, or make them equal."
    cases = {
        "good images": folder_of(good, 6),
        "one image": folder_of({"0.png": good["0.png"]}, 1),
        "two sizes": folder_of({**good, "3.png": png(30, 20)}, sizes),
        "an empty image": folder_of({**good, "3.png": b""}, f"in/d/3.png cannot be read as an image: {OTHERWISE}{NO_IMAGE}"),
        "text among images": folder_of({**good, "3.png": b"hello"}, f"in/d/3.png cannot be read as an image: {OTHERWISE}{NO_IMAGE}"),
        "a text beside images": Case(
            lambda f: (folder_of(good, 6).make(f), (f / "d" / "notes.txt").write_text("hello")),
            {"d": 6, "d/notes.txt": ".txt is no kind of file that holds video, images or arrays."},
        ),
        "modes": folder_of(
            {
                "0.jpg": converted("JPEG", "CMYK"),
                "1.png": converted("PNG", "P"),
                "2.png": converted("PNG", "RGBA"),
                "3.png": converted("PNG", "I;16") if False else converted("PNG", "LA"),
                "4.png": converted("PNG", "1"),
                "5.tif": converted("TIFF", "F"),
                "6.webp": converted("WEBP", "RGBA"),
                "7.bmp": converted("BMP", "L"),
            },
            8,
        ),
        "a picture of many colours": folder_of({"0.png": sixteen_bits()}, 1),
        "a picture that lies": folder_of({"0.jpg": lying(), "1.png": png(24, 48)}, 2),
        "an animation": case("a.webp", animation(), 2),
        "an animation among images": Case(
            lambda f: (folder_of(good, 6).make(f), (f / "d" / "a.webp").write_bytes(animation())), {"d": 6, "d/a.webp": 2}
        ),
        "half an animation": case("a.webp", animation()[:150], "?"),
    }
    for kind, suffix in (("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp"), ("TIFF", "tif"), ("BMP", "bmp")):
        data = image(kind)
        for share in (10, 50, 95):
            half = {f"0.{suffix}": data, f"1.{suffix}": data[: len(data) * share // 100]}
            cases[f"{share} % of a {suffix}"] = folder_of(half, "?")
    return cases


def sixteen_bits() -> bytes:
    """A picture of 16 bits."""
    made = io.BytesIO()
    Image.fromarray(bars(5, 24, 48).astype(np.uint16) * 257).save(made, "PNG")
    return made.getvalue()


def lying() -> bytes:
    """A picture 48 pixels wide and 24 high that is to be turned by a quarter."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return image("JPEG", exif=exif)


def animation() -> bytes:
    """A WebP of two pictures."""
    made = io.BytesIO()
    pictures = [Image.fromarray(bars(i, 24, 48)).convert("RGB") for i in (1, 2)]
    pictures[0].save(made, "WEBP", save_all=True, append_images=pictures[1:], duration=40, lossless=True)
    return made.getvalue()


def of_arrays() -> dict[str, Case]:
    """Arrays."""
    good, floats = numbered(6, 24, 48), numbered(6, 24, 48) / 255
    nan = floats.copy()
    nan[3, 2, 1] = np.nan
    whole = npy(good)
    return {
        "a good array": case("a.npy", whole, 6),
        "floats": case("a.npy", npy(floats), 6),
        "half": case("a.npy", whole[: len(whole) // 2], "?"),
        "no content": case("a.npy", whole[:60], "?"),
        "nothing": case("a.npy", b"", "?"),
        "integers": case("a.npy", npy(good.astype(np.int64)), "{} is of type int64; expected uint8, uint16, bool, or floats from 0 to 1. Convert it and save it again."),
        "not a number": case("a.npy", npy(nan), "?"),
        "out of range": case("a.npy", npy(floats * 255), "?"),
        "objects": case("a.npy", pickled(good), "{} is of type object; expected uint8, uint16, bool, or floats from 0 to 1. Convert it and save it again."),
        "a pickle": case("a.npy", pickle.dumps(good), "?"),
        "no frames": case("a.npy", npy(good[:0]), "?"),
        "one picture": case("a.npy", npy(good[0]), "?"),
        "six axes": case("a.npy", npy(good[None, None, None]), "?"),
        "10^12 frames": case("a.npy", claimed((10**12, 24, 48)), "?"),
        "10^7 frames of much": case("a.npy", claimed((10**7, 4000, 4000)), "?"),
        "an archive that is cut off": case("a.npz", npz(whole)[:-30], "?"),
        "an archive of something else": case("a.npz", npz(whole, "other.npy"), "?"),
        "an archive of a pickle": case("a.npz", npz(pickled(good)), "?"),
        "half an hdf5": Case(lambda f: hdf5(f / "a.h5", frames=good, cut=1000), {"a.h5": "?"}),
        "an hdf5 of something else": Case(lambda f: hdf5(f / "a.h5", other=good), {"a.h5": "?"}),
        "an hdf5 without its values": Case(lambda f: hdf5(f / "a.h5", frames=None), {"a.h5": "?"}),
    }


def pickled(array: np.ndarray) -> bytes:
    """An array of objects as a file."""
    made = io.BytesIO()
    np.save(made, array.astype(object), allow_pickle=True)
    return made.getvalue()


def npz(data: bytes, name: str = "frames.npy") -> bytes:
    """An archive of one array."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, data)
    return made.getvalue()


def hdf5(path: Path, cut: int | None = None, **datasets: np.ndarray | None) -> None:
    """Write arrays; None is one of many pictures of which none was written."""
    with h5py.File(path, "w") as file:
        for name, array in datasets.items():
            if array is None:
                file.create_dataset(name, (10**7, 64, 64), np.uint8, chunks=(1, 64, 64), fillvalue=7)
            else:
                file.create_dataset(name, data=array, chunks=(1, *array.shape[1:]), compression="gzip")
    if cut is not None:
        path.write_bytes(path.read_bytes()[:-cut])


def linked(path: Path, secret: Path) -> None:
    """Write a file whose array is in another one."""
    with h5py.File(path, "w") as file:
        file["frames"] = h5py.ExternalLink(str(secret), "frames")


def of_records() -> dict[str, Case]:
    """TFRecord files."""
    clip = Clip(np.repeat(numbered(6, 24, 48)[..., None], 3, -1), {})

    def records(folder: Path, change: Callable[[bytes], bytes] = lambda data: data) -> None:
        write_records(folder / "a.tfrecord", [[clip], [clip]], fps=10)
        (folder / "a.tfrecord").write_bytes(change((folder / "a.tfrecord").read_bytes()))

    def wrong(at: int) -> Callable[[Path], None]:
        return lambda folder: records(folder, lambda data: data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])

    def cut(part: float) -> Callable[[Path], None]:
        return lambda folder: records(folder, lambda data: data[: int(len(data) * part)])

    return {
        "good records": Case(records, {"a.tfrecord": 12}),
        "half of the records": Case(cut(0.5), {"a.tfrecord": "?"}),
        "most of the records": Case(cut(0.99), {"a.tfrecord": "?"}),
        "a wrong length": Case(wrong(2), {"a.tfrecord": "?"}),
        "a wrong checksum of a length": Case(wrong(9), {"a.tfrecord": "?"}),
        "a wrong pixel": Case(wrong(5000), {"a.tfrecord": "?"}),
        "no records": case("a.tfrecord", b"", "?"),
        "text for records": case("a.tfrecord", "hello" * 100, "?"),
    }
