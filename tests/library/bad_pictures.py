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
from ingesting import SCALE, bars, numbered
from PIL import Image

from latentseq.arrays import Clip
from latentseq.media.records import write_records

OTHERWISE = "its content is of no known image format"
NO_PICTURE = (
    "{{}}/{} cannot be read as an image: {}. Expected a JPEG, PNG, WebP, BMP or TIFF file; copy or export it again, "
    "or remove it."
)
NO_ARRAY = (
    "{{}} cannot be read as an array: {}. Expected a NumPy file (.npy, .npz) or an HDF5 file (.h5, .hdf5) that is "
    "whole; copy or save it again."
)
NO_RECORD = (
    "{{}} cannot be read as a TFRecord: {}. Expected clips as tf.train.SequenceExample, as latentseq export --format "
    "tfrecord writes them; copy or export it again, or remove it."
)
OTHER_TYPE = "{{}} is of type {}; expected uint8, uint16, bool, or floats from 0 to 1. Convert it and save it again."
OTHER_SHAPE = (
    "{{}} has the shape {}, which is not recognised as pictures; expected (T, H, W), (N, T, H, W), or one of them "
    "with 1, 3 or 4 channels, last or before H. Name its axes with --axes, one letter for each: T for time, N for "
    "clips, H for height, W for width, C for channels (for example --axes TNHW; in commands other than ingest: "
    "--data-set axes=TNHW), or reshape it and save it again."
)
NO_PICTURES = (
    "{{}} has the shape {}, so it holds no values; expected no axis of length 0. Save it again with at least one "
    "picture."
)
OTHER_COUNT = (
    "{{}} has the shape {} read as T H W: {:,} frames of 24 x 48, gray; expected at most 50000000 pictures. Save it "
    "again as several files."
)
OUT_OF_RANGE = "Picture {} of {{}} has values from {} to {}; expected floats from 0 to 1. " + SCALE
SHORT_ARRAY = (
    "{{}} is cut short: uint8 of shape {} takes {} bytes, and at most {} are there. Copy or save the file again."
)
LINKED = (
    "'frames' in {} is a link; expected a dataset whose values are in this file, in one piece or in chunks. Copy the "
    "values into a dataset of their own."
)
NO_SUCH_ARRAY = "{} holds no array 'frames'. It holds other (6, 24, 48). Name one with --array KEY."


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


def image(kind: str, number: int = 0, *, noise: bool = False, **options: object) -> bytes:
    """A picture of bars, or of noise, in which every byte counts."""
    made = io.BytesIO()
    picture = np.repeat(bars(number, 24, 48)[..., None], 3, -1)
    picture = np.random.default_rng(number).integers(0, 256, picture.shape, np.uint8) if noise else picture
    Image.fromarray(picture).save(made, kind, **options)
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
    sizes = (
        "{}/0.png is 24 x 48 (h x w) and {}/3.png is 20 x 30; expected one size in a clip. Put images of "
        "different sizes into different folders, or resize them."
    )
    third = NO_PICTURE.format("3.png", OTHERWISE)
    cases = {
        "good images": folder_of(good, 6),
        "one image": folder_of({"0.png": good["0.png"]}, 1),
        "two sizes": folder_of({**good, "3.png": png(30, 20)}, sizes),
        "an empty image": folder_of({**good, "3.png": b""}, third),
        "text among images": folder_of({**good, "3.png": b"hello"}, third),
        "a text beside images": Case(
            lambda f: (folder_of(good, 6).make(f), (f / "d" / "notes.txt").write_text("hello")),
            {"d": 6, "d/notes.txt": ".txt is not a known type of video, image or array file."},
        ),
        "modes": folder_of(
            {
                "0.jpg": converted("JPEG", "CMYK"),
                "1.png": converted("PNG", "P"),
                "2.png": converted("PNG", "RGBA"),
                "3.png": converted("PNG", "LA"),
                "4.png": converted("PNG", "1"),
                "6.webp": converted("WEBP", "RGBA"),
                "7.bmp": converted("BMP", "L"),
            },
            7,
        ),
        "floats of 255": folder_of(
            {"0.tif": converted("TIFF", "F")},
            "in/d/0.tif has values from 0 to 255; expected floats from 0 to 1. " + SCALE,
        ),
        "a picture of many colours": folder_of({"0.png": sixteen_bits()}, 1),
        "a picture that lies": folder_of({"0.jpg": lying(), "1.png": png(24, 48)}, 2),
        "an animation": case("a.webp", animation(), 2),
        "an animation among images": Case(
            lambda f: (folder_of(good, 6).make(f), (f / "d" / "a.webp").write_bytes(animation())),
            {"d": 6, "d/a.webp": 2},
        ),
        "half an animation": folder_of(
            {"a.webp": animation()[:150]}, NO_PICTURE.format("a.webp", "could not create decoder object")
        ),
    }
    for kind, suffix in (("PNG", "png"), ("JPEG", "jpg"), ("WEBP", "webp"), ("TIFF", "tif"), ("BMP", "bmp")):
        data = image(kind, noise=True)
        for share in (10, 50, 90):
            half = {f"0.{suffix}": data, f"1.{suffix}": data[: len(data) * share // 100]}
            cases[f"{share} % of a {suffix}"] = folder_of(half, NO_PICTURE.format(f"1.{suffix}", "…"))
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
        "half": case("a.npy", whole[: len(whole) // 2], SHORT_ARRAY.format((6, 24, 48), 6912, len(whole) // 2 - 128)),
        "no content": case(
            "a.npy", whole[:60], NO_ARRAY.format("EOF: reading array header, expected 118 bytes got 50")
        ),
        "nothing": case("a.npy", b"", NO_ARRAY.format("EOF: reading magic string, expected 8 bytes got 0")),
        "integers": case("a.npy", npy(good.astype(np.int64)), OTHER_TYPE.format("int64")),
        "not a number": case("a.npy", npy(nan), OUT_OF_RANGE.format(3, "nan", "nan")),
        "out of range": case("a.npy", npy(floats * 255), OUT_OF_RANGE.format(1, 0, 255)),
        "objects": case("a.npy", pickled(good), OTHER_TYPE.format("object")),
        "a pickle": case("a.npy", pickle.dumps(good), NO_ARRAY.format("the magic string is not correct; …")),
        "no frames": case("a.npy", npy(good[:0]), NO_PICTURES.format((0, 24, 48))),
        "one picture": case("a.npy", npy(good[0]), OTHER_SHAPE.format((24, 48))),
        "six axes": case("a.npy", npy(good[None, None, None]), OTHER_SHAPE.format((1, 1, 1, 6, 24, 48))),
        "10^12 frames": case("a.npy", claimed((10**12, 24, 48)), OTHER_COUNT.format((10**12, 24, 48), 10**12)),
        "10^7 frames of much": case(
            "a.npy", claimed((10**7, 4000, 4000)), SHORT_ARRAY.format((10**7, 4000, 4000), 16 * 10**13, 1000)
        ),
        "an archive that is cut off": case("a.npz", npz(whole)[:-30], NO_ARRAY.format("File is not a zip file")),
        "an archive of something else": case("a.npz", npz(whole, "other.npy"), NO_SUCH_ARRAY),
        "an archive of a pickle": case("a.npz", npz(pickled(good)), "'frames' in " + OTHER_TYPE.format("object")),
        "a link inside": Case(lambda f: half_hdf5(f / "a.h5", "other", link=True), {"a.h5": LINKED}),
        "half an hdf5": Case(
            lambda f: half_hdf5(f / "a.h5", cut=1000),
            {"a.h5": NO_ARRAY.format("Unable to synchronously open file …")},
        ),
        "an hdf5 of something else": Case(lambda f: half_hdf5(f / "a.h5", "other"), {"a.h5": NO_SUCH_ARRAY}),
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


def hdf5(path: Path, shape: tuple[int, ...], chunks: tuple[int, ...]) -> None:
    """Write a file of many pictures of which not one was written."""
    with h5py.File(path, "w") as file:
        file.create_dataset("frames", shape, np.uint8, chunks=chunks, fillvalue=7)


def half_hdf5(path: Path, name: str = "frames", *, cut: int = 0, link: bool = False) -> None:
    """Write a file of one array, whose end may be missing, and perhaps a link to it."""
    with h5py.File(path, "w") as file:
        file.create_dataset(name, data=numbered(6, 24, 48), chunks=(1, 24, 48), compression="gzip")
        if link:
            file["frames"] = h5py.SoftLink(f"/{name}")
    path.write_bytes(path.read_bytes()[: path.stat().st_size - cut])


def linked(folder: Path) -> None:
    """Write a file whose array is in another one, outside of the folder."""
    secret = folder.parent / "secret" / "000000.h5"
    with h5py.File(secret, "w") as file:
        file["frames"] = numbered(6, 24, 48)
    with h5py.File(folder / "a.h5", "w") as file:
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
        "half of the records": Case(cut(0.45), {"a.tfrecord": NO_RECORD.format("it is cut short within record 0")}),
        "most of the records": Case(cut(0.99), {"a.tfrecord": NO_RECORD.format("it is cut short within record 1")}),
        "a wrong length": Case(
            wrong(2), {"a.tfrecord": NO_RECORD.format("its content is not a TFRecord, or is compressed")}
        ),
        "a wrong checksum of a length": Case(
            wrong(9), {"a.tfrecord": NO_RECORD.format("its content is not a TFRecord, or is compressed")}
        ),
        "a wrong pixel": Case(
            wrong(5000),
            {"a.tfrecord": NO_RECORD.format("record 0 is damaged: the checksum of its data does not fit")},
        ),
        "no records": case("a.tfrecord", b"", NO_RECORD.format("it is empty")),
        "text for records": case(
            "a.tfrecord", "hello" * 100, NO_RECORD.format("its content is not a TFRecord, or is compressed")
        ),
    }


def array_bombs() -> dict[str, Case]:
    """Images and arrays that would fill the memory."""
    too_many = "Image size ({} pixels) exceeds limit of 178956970 pixels, …"
    large = (
        "{}/a.png is 8000 x 8000 (h x w), 64000000 pixels; expected at most 50000000. Make it smaller with another "
        "program first."
    )
    canvas = (16383).to_bytes(3, "little") * 2
    lossless = b"WEBPVP8L" + struct.pack("<IBI", 69, 0x2F, 16382 | 16382 << 14) + bytes(65)
    moving = animation()
    start = moving.index(b"VP8X") + 12

    def picture(data: bytes, name: str, pixels: int) -> Case:
        reason = f"{{}}/{name} cannot be read as an image: {too_many.format(pixels)} Make it smaller first."
        return folder_of({name: data}, reason)

    return {
        "a picture of 8000 x 8000": folder_of({"a.png": png(8000, 8000)}, large),
        "a picture of 50000 x 50000": picture(png(50000, 50000, claimed=True), "a.png", 50000**2),
        "a picture as large as can be": picture(png(2**31 - 1, 2**31 - 1, claimed=True), "a.png", (2**31 - 1) ** 2),
        "a webp of 16383 x 16383": picture(b"RIFF" + struct.pack("<I", len(lossless)) + lossless, "a.webp", 16383**2),
        "an animation of 16384 x 16384": picture(moving[:start] + canvas + moving[start + 6 :], "a.webp", 16384**2),
        "a picture of one row": folder_of(
            {"a.png": png(4_000_000, 1)},
            "Its frames are 1 x 4000000 (h x w), and would have to be 24 x 96000000 to cover 24 x 48. Choose --fit "
            "pad or stretch.",
        ),
        "an archive of zeros": Case(zeros, {"a.npz": 200}),
        "an archive of 10^9 frames": case(
            "a.npz", npz(claimed((10**9, 24, 48))), "'frames' in " + OTHER_COUNT.format((10**9, 24, 48), 10**9)
        ),
        "an array of 10^12 frames": case(
            "a.npy", claimed((10**12, 24, 48)), OTHER_COUNT.format((10**12, 24, 48), 10**12)
        ),
        "an hdf5 without its values": Case(
            lambda f: hdf5(f / "a.h5", (10**7, 64, 64), (1, 64, 64)),
            {
                "a.h5": "'frames' in {} is incomplete: 0 of its 10000000 chunks were written. Write the missing "
                "pictures, or save only those that exist."
            },
        ),
        "an hdf5 of large pieces": Case(
            lambda f: hdf5(f / "a.h5", (8, 2**14, 2**14), (8, 2**14, 2**14)),
            {
                "a.h5": "{} is 16384 x 16384 (h x w), 268435456 pixels; expected at most 50000000. Make it smaller "
                "with another program first."
            },
        ),
    }


def zeros(folder: Path) -> None:
    """Write an archive of 200 MB in 200 kB."""
    with (
        zipfile.ZipFile(folder / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("frames.npy", "w") as file,
    ):
        file.write(claimed((200, 1000, 1000))[:-1000])
        for _ in range(200):
            file.write(bytes(10**6))
