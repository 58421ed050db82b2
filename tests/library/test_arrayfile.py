"""Arrays in files as footage: all shapes and types; damaged and hostile files are refused."""

import hashlib
import pickle
import shutil
import tracemalloc
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pytest

from latentseq.errors import DataError
from latentseq.media.arrayfile import ArrayFile, is_array
from latentseq.media.preprocessing import Preprocessing

VALUES = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), np.uint8)
SAME = Preprocessing((4, 6))
EXPECTED = "Expected a NumPy file (.npy, .npz) or an HDF5 file (.h5, .hdf5) that is whole; copy or save it again."


def _write(path: Path, values: np.ndarray, axes: str | None = None, **options: object) -> ArrayFile:
    if path.suffix == ".npy":
        np.save(path, values)
    elif path.suffix == ".npz":
        (np.savez_compressed if options else np.savez)(path, other=np.arange(3), frames=values)
    else:
        with h5py.File(path, "w") as file:
            file["other"] = np.arange(3)
            file.create_dataset("frames", data=values, **options)
    return ArrayFile(path, "frames", axes)


def _npy(folder: Path, values: np.ndarray) -> Path:
    np.save(folder / "a.npy", values)
    return folder / "a.npy"


def _frames(footage: ArrayFile, preprocessing: Preprocessing = SAME, numbers: list[int] | None = None) -> np.ndarray:
    wanted = np.arange(len(footage.times)) if numbers is None else np.array(numbers)
    return np.stack([picture.frame(preprocessing) for picture in footage.walk(wanted)])


def _message(path: Path, key: str | None = None) -> str:
    """The error message when the file is opened, or when all of it is read."""
    with pytest.raises(DataError) as caught:
        _frames(ArrayFile(path, key))
    return str(caught.value)


FILES = {
    "npy": ("a.npy", {}),
    "npz": ("a.npz", {}),
    "deflated": ("a.npz", {"compressed": True}),
    "hdf5": ("a.h5", {}),
    "chunked": ("a.hdf5", {"chunks": True, "compression": "gzip"}),
    "small-chunks": ("a.h5", {"chunks": (2, 3, 3, 1)}),
}


@pytest.fixture(params=FILES, ids=str)
def footage(request, tmp_path):
    name, options = FILES[request.param]
    return _write(tmp_path / name, VALUES, **options)


def test_every_file_gives_the_pictures(footage):
    assert is_array(footage.path)
    assert not is_array(Path("a.png"))
    assert (footage.kind, footage.detail, footage.timed, footage.sound) == ("array", "uint8", False, False)
    assert (footage.size, footage.gray, footage.breaks.tolist()) == ((4, 6), False, [])
    np.testing.assert_allclose(footage.times, [0, 0.04, 0.08, 0.12, 0.16])
    assert footage.end == 0.2
    frames = _frames(footage)
    assert frames.dtype == np.uint8
    np.testing.assert_array_equal(frames, VALUES)


def test_any_numbers_in_order_and_again(footage):
    for numbers in ([3], [0, 0, 4], [1, 2], [4, 4], [0]):
        np.testing.assert_array_equal(_frames(footage, numbers=numbers), VALUES[numbers])
    first, second = footage.walk(np.array([2, 2]))
    assert first is second
    assert not list(footage.walk(np.array([], np.int64)))


def test_a_picture_outlives_its_file_and_can_be_asked_twice(footage):
    walk, other = footage.walk(np.arange(5)), footage.another()
    pictures = [next(walk)]
    np.testing.assert_array_equal(_frames(other), VALUES)
    other.close()
    pictures += walk
    footage.close()
    for picture, values in zip(pictures, VALUES, strict=True):
        assert picture.frame(Preprocessing((2, 3), gray=True)).shape == (2, 3, 1)
        np.testing.assert_array_equal(picture.frame(SAME), values)
    np.testing.assert_array_equal(_frames(footage), VALUES)  # A closed file opens again.


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.h5"])
@pytest.mark.parametrize(
    ("shape", "size", "gray", "breaks"),
    [
        ((6, 4, 5, 1), (4, 5), True, []),
        ((6, 4, 5, 3), (4, 5), False, []),
        ((1, 6, 4, 5), (4, 5), True, []),
        ((3, 2, 4, 5, 1), (4, 5), True, [2, 4]),
        ((3, 2, 4, 3, 3), (4, 3), False, [2, 4]),
    ],
)
def test_every_shape(name, shape, size, gray, breaks, tmp_path):
    values = np.random.default_rng(1).integers(0, 256, shape, np.uint8)
    footage = _write(tmp_path / name, values)
    assert (footage.size, footage.gray, footage.breaks.tolist()) == (size, gray, breaks)
    assert footage.breaks.dtype == np.int64
    assert len(footage.times) == 6
    pictures = values.reshape(6, *size, -1)
    np.testing.assert_array_equal(_frames(footage, Preprocessing(size, gray=gray)), pictures)
    np.testing.assert_array_equal(_frames(footage, Preprocessing(size, gray=gray), [1, 4]), pictures[[1, 4]])


@pytest.mark.parametrize(
    ("values", "bytes_"),
    [
        (np.array([0, 7, 255], np.uint8), [0, 7, 255]),
        (np.array([False, True, True]), [0, 255, 255]),
        (np.array([0, 128, 129, 257 * 7, 65535 - 129, 65535], "<u2"), [0, 0, 1, 7, 254, 255]),
        (np.array([257, 65535], ">u2"), [1, 255]),
        (np.array([0, 0.2, 0.3, 1], np.float32), [0, 51, 76, 255]),
        (np.array([0, 0.2, 1], np.float64), [0, 51, 255]),
        (np.array([0, 0.25, 1], np.float16), [0, 64, 255]),
    ],
    ids=lambda v: str(v.dtype) if isinstance(v, np.ndarray) else "",
)
@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.h5"])
def test_every_type_becomes_eight_bits(name, values, bytes_, tmp_path):
    footage = _write(tmp_path / name, values[None, None], axes="THW")
    assert footage.detail == str(values.dtype)
    assert _frames(footage, Preprocessing((1, len(values)), gray=True)).ravel().tolist() == bytes_


def test_a_fourth_channel_is_alpha_on_black(tmp_path):
    values = np.full((1, 4, 6, 4), 255, np.uint8)
    values[..., 3] = 51
    footage = ArrayFile(_npy(tmp_path, values))
    assert not footage.gray
    assert set(_frames(footage).ravel().tolist()) == {51}


def test_what_can_and_cannot_be_read_row_by_row(tmp_path):
    inside, path = _npy(tmp_path, np.asfortranarray(VALUES)), tmp_path / "a.npz"
    np.testing.assert_array_equal(_frames(ArrayFile(inside)), VALUES)
    np.savez(path, frames=np.asfortranarray(VALUES))
    assert _message(path, "frames") == (
        f"'frames' in {path} is in Fortran order, in which a picture is scattered over the whole array; "
        "expected C order. Convert it with numpy.ascontiguousarray and save it again."
    )
    with zipfile.ZipFile(path, "w", zipfile.ZIP_BZIP2) as archive:
        archive.write(inside, "frames.npy")
    assert _message(path, "frames") == (
        f"'frames' in {path} is compressed with a method that NumPy does not use; expected stored or deflated data. "
        "Save it again with numpy.savez or numpy.savez_compressed."
    )


@pytest.mark.parametrize(
    ("wrong", "said"),
    [(1.5, "0 to 1.5"), (-0.25, "-0.25 to 0"), (np.nan, "nan to nan"), (np.inf, "0 to inf"), (255, "0 to 255")],
)
def test_floats_out_of_range_are_found_where_they_are(wrong, said, tmp_path):
    values = np.zeros((3, 4, 6), np.float32)
    values[1, 2, 3] = wrong
    path = _npy(tmp_path, values)
    assert not _frames(ArrayFile(path), numbers=[0, 2]).any()
    assert _message(path) == (
        f"Picture 1 of {path} has values from {said}; expected floats from 0 to 1. Set the values of black and white "
        "with --range, such as --range 0..255 (in commands other than ingest: --data-set range=0..255)."
    )


def test_the_digest_is_of_the_content_and_the_key(tmp_path):
    path = _npy(tmp_path, VALUES)
    assert ArrayFile(path, "any").digest() == hashlib.sha256(path.read_bytes()).hexdigest()
    path = tmp_path / "a.npz"
    np.savez(path, a=VALUES, b=VALUES)
    copy = Path(shutil.copy(path, tmp_path / "copy.npz"))
    assert ArrayFile(path, "a").digest() == ArrayFile(copy, "a").digest() != ArrayFile(path, "b").digest()


@pytest.mark.parametrize("name", ["a.npz", "a.h5"])
def test_which_array_has_to_be_said(name, tmp_path):
    path = _write(tmp_path / name, VALUES).path
    holds = "It holds frames (5, 4, 6, 3) and other (3,). Name one with --array KEY."
    assert _message(path) == f"{path} can hold many arrays, and none is named. {holds}"
    assert _message(path, "frame") == f"{path} holds no array 'frame'. Did you mean 'frames'? {holds}"
    assert _message(path, "x/y") == f"{path} holds no array 'x/y'. {holds}"
    path = tmp_path / "many.npz"
    np.savez(path, **{f"a{i:02}": np.zeros(i) for i in range(25)})
    assert _message(path).endswith("a18 (18,), a19 (19,) and others. Name one with --array KEY.")
    np.savez(path)
    assert _message(path, "a") == f"{path} holds no array 'a'. It holds none. Name one with --array KEY."


def test_datasets_in_groups(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["train/frames"] = VALUES
    np.testing.assert_array_equal(_frames(ArrayFile(path, "train/frames")), VALUES)
    assert ArrayFile(path, "train/frames").digest() == ArrayFile(path, "/train/frames").digest()
    for key in ("train", "train/frames/x", "frames"):
        assert f"holds no array {key!r}. " in _message(path, key)
        assert "It holds train/frames (5, 4, 6, 3). " in _message(path, key)


def test_what_lies_elsewhere_is_refused(tmp_path):
    path, other = tmp_path / "a.h5", tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["frames"] = VALUES
    VALUES.tofile(tmp_path / "a.bin")
    layout = h5py.VirtualLayout(VALUES.shape, np.uint8)
    layout[:] = h5py.VirtualSource(str(other), "frames", VALUES.shape)
    with h5py.File(path, "w") as file:
        file["frames"] = VALUES
        file["soft"] = h5py.SoftLink("/frames")
        file["external"] = h5py.ExternalLink(str(other), "frames")
        file["group"] = h5py.ExternalLink(str(other), "/")
        file.create_virtual_dataset("virtual", layout)
        file.create_dataset("outside", VALUES.shape, np.uint8, external=[(str(tmp_path / "a.bin"), 0, VALUES.size)])
        compact = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        compact.set_layout(h5py.h5d.COMPACT)
        h5py.h5d.create(file.id, b"compact", h5py.h5t.NATIVE_UINT8, h5py.h5s.create_simple((2, 4, 6)), compact)
    keys = {"soft": "a link", "external": "a link", "group/frames": "a link", "virtual": "a virtual dataset"}
    for key, what in {
        **keys,
        "outside": "stored in other files",
        "compact": "stored in the file's own header",
    }.items():
        assert _message(path, key) == (
            f"{key!r} in {path} is {what}; expected a dataset whose values are in this file, in one piece or in "
            "chunks. Copy the values into a dataset of their own."
        )


@pytest.mark.parametrize("shape", [(0, 4, 6), (5, 0, 6), (-5, 4, 6)])
def test_a_shape_of_nothing(shape, tmp_path):
    path = tmp_path / "a.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
    assert _message(path) == (
        f"{path} has the shape {shape}, so it holds no values; expected no axis of length 0. Save it again with at "
        "least one picture."
    )


@pytest.mark.parametrize("dtype", ["int64", "int8", "uint32", "complex64", "S3", "datetime64[s]", "u1,u1"])
def test_a_type_that_is_no_picture(dtype, tmp_path):
    path = _npy(tmp_path, np.zeros((2, 4, 6), dtype))
    assert _message(path) == (
        f"{path} is of type {np.dtype(dtype)}; expected uint8, uint16, bool, or floats from 0 to 1. "
        "Convert it and save it again."
    )


class _Trap:
    def __reduce__(self):
        return Path.touch, (Path("sprung"),)


@pytest.mark.parametrize("name", ["a.npy", "a.npz"])
def test_objects_are_never_unpickled(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / name
    with pytest.raises(DataError, match="is of type object; expected uint8"):
        _write(path, np.full((2, 4, 6), _Trap(), object))
    path.write_bytes(pickle.dumps(_Trap()))
    assert _message(path, "frames").startswith(f"{path} cannot be read as an array: ")
    assert not Path("sprung").exists()


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "a.h5"])
def test_what_is_no_array(name, tmp_path):
    path = tmp_path / name
    whole = _write(path, VALUES).path.read_bytes()
    for content in (b"", b"hello\n", b"\x93NUMPY\x09\x00", whole[:50], whole[:-400]):
        path.write_bytes(content)
        message = _message(path, "frames")
        assert message.startswith(f"{path} cannot be read as an array: ")
        assert message.endswith(f". {EXPECTED}")


def test_a_truncated_file(tmp_path):
    path = _npy(tmp_path, VALUES)
    content = path.read_bytes()
    path.write_bytes(content[:400])
    assert _message(path) == (
        f"{path} is cut short: uint8 of shape (5, 4, 6, 3) takes 360 bytes, and at most 272 are there. "
        "Copy or save the file again."
    )
    path.write_bytes(content[:60])
    reason = "EOF: reading array header, expected 118 bytes got 50"
    assert _message(path) == f"{path} cannot be read as an array: {reason}. {EXPECTED}"


@pytest.mark.parametrize("shape", [(10**9, 64, 64), (2**62, 4, 8), (40_000_000, 1000, 1000)])
def test_a_header_that_claims_more_than_there_is(shape, tmp_path):
    path = tmp_path / "frames.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})
        file.write(bytes(1000))
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, "frames.npy")
    for message in (_message(path), _message(tmp_path / "a.npz", "frames")):
        assert (
            "expected at most 50000000 pictures" in message
            or "takes 40000000000000 bytes, and at most 1000 are" in message
        )


def test_an_archive_that_claims_more_than_it_can_hold(tmp_path):
    path, header = tmp_path / "a.npz", {"descr": "|u1", "fortran_order": False, "shape": (1_600_000, 5, 5)}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("frames.npy", "w") as file:
            np.lib.format.write_array_header_1_0(file, header)
        packed = archive.getinfo("frames.npy").compress_size
    content = path.read_bytes()
    at = content.rindex(b"PK\x01\x02") + 24  # Position of the file's size in the index of the archive.
    path.write_bytes(content[:at] + (40_000_128).to_bytes(4, "little") + content[at + 4 :])
    assert _message(path, "frames") == (
        f"'frames' in {path} is cut short: uint8 of shape (1600000, 5, 5) takes 40000000 bytes, and at most "
        f"{packed * 1032 - 128} are there. Copy or save the file again."
    )


@pytest.mark.parametrize("name", ["npz", "deflated", "chunked"])
def test_damage_inside_is_found_and_what_lies_before_can_be_read(name, tmp_path):
    name, options = FILES[name]
    values = np.random.default_rng(2).integers(0, 256, (20, 64, 64), np.uint8)
    path = _write(tmp_path / name, values, **options | ({"chunks": (1, 64, 64)} if name.endswith("5") else {})).path
    content = bytearray(path.read_bytes())
    at = len(content) * 9 // 10
    content[at : at + 2000] = bytes(b ^ 255 for b in content[at : at + 2000])
    path.write_bytes(content)
    footage, same = ArrayFile(path, "frames"), Preprocessing((64, 64), gray=True)
    with pytest.raises(DataError, match=f"^{path} cannot be read as an array: .*copy or save it again"):
        _frames(footage, same)
    np.testing.assert_array_equal(_frames(footage, same, [0, 7])[..., 0], values[[0, 7]])


def test_datasets_that_lack_values_or_would_fill_the_memory(tmp_path):
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("part", (8, 4, 6), np.uint8, chunks=(2, 4, 3))[:3] = 1
        file.create_dataset("none", (8, 4, 6), np.uint8)
        file.create_dataset("chunks", (8, 2**13, 2**12), "f8", chunks=(8, 2**13, 2**12))
        file.create_dataset("many", (10**9, 4, 6), np.uint8, chunks=(10, 4, 6))
        file.create_dataset("large", (2, 10**4, 10**4), np.uint8, chunks=(1, 100, 100))
    assert _message(path, "part") == (
        f"'part' in {path} is incomplete: 4 of its 8 chunks were written. Write the missing pictures, or save only "
        "those that exist."
    )
    assert _message(path, "none") == (
        f"'none' in {path} is cut short: uint8 of shape (8, 4, 6) takes 192 bytes, and at most 0 are there. "
        "Copy or save the file again."
    )
    assert _message(path, "chunks") == (
        f"'chunks' in {path} has chunks of shape (8, 8192, 4096), 2147483648 bytes each; expected at most 1073741824 "
        "bytes, because a chunk can only be read as a whole. Save it again in chunks of one picture."
    )
    assert "1,000,000,000 frames of 4 x 6, gray; expected at most 50000000 pictures" in _message(path, "many")
    assert _message(path, "large").startswith(f"{path} is 10000 x 10000 (h x w), 100000000 pixels; expected at most")


def test_a_file_that_changes_and_vanishes_meanwhile(tmp_path):
    footage = ArrayFile(_npy(tmp_path, VALUES))
    path = _npy(tmp_path, VALUES[:3] / 255)
    with pytest.raises(DataError) as caught:
        _frames(footage)
    assert str(caught.value) == (
        f"{path} has changed: it was uint8 of shape (5, 4, 6, 3) when it was opened, and is now float64 of shape "
        "(3, 4, 6, 3). Open it again."
    )
    path.unlink()
    with pytest.raises(
        DataError, match=f"^{path} cannot be read as an array: expected a regular file. Check the path."
    ):
        _frames(footage)


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_never_read_whole(name, tmp_path):
    name, options = FILES[name]
    options = {**options, "chunks": (8, 64, 64)} if name.endswith("5") and options else options
    footage = _write(tmp_path / name, np.zeros((4000, 64, 64), np.uint8), **options)  # 16 MB.
    tracemalloc.start()
    for picture in footage.walk(np.arange(4000)):
        picture.frame(Preprocessing((64, 64), gray=True))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6
