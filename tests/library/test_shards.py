"""Shards: clips and latents written once, read anywhere, refused when damaged, the same bytes for the same data."""

import errno
import hashlib
import json
import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest

from latentseq.arrays import Clip, Latents
from latentseq.errors import DataError, TryAgainError, UsageError
from latentseq.protocols import Dataset
from latentseq.storage import frames as frames_module
from latentseq.storage import shards
from latentseq.storage.frames import ClipFolder, write_clips
from latentseq.storage.latents import LatentFolder, write_latents
from latentseq.storage.shards import ShardReader, ShardWriter, folder_format, read_about, write_shard

LENGTHS = (4, 4, 4, 30, 1, 4)
SPLIT = ("train", "train", "train", "train", "validation", "test")


class Noise(Dataset):
    """Clips of noise with a stream that counts their frames."""

    name = "noise"
    description = "Noise."
    streams = {"count": 2}  # noqa: RUF012
    fps = 12.5

    def __init__(self, seed: int = 0, splits: bool = True):
        self.seed, self.splits = seed, splits
        self.split = np.array(SPLIT) if splits else None

    @property
    def lengths(self):
        return np.array(LENGTHS)

    @property
    def frame_shape(self):
        return (3, 4, 1)

    def read(self, i, start=0, stop=None):
        start, stop = self.check_range(i, start, stop)
        frames = np.random.default_rng([self.seed, i]).integers(0, 256, (LENGTHS[i], 3, 4, 1)).astype(np.uint8)
        count = np.arange(LENGTHS[i], dtype=np.float32)[:, None] + [0, 1000 * i]
        return Clip(frames[start:stop], {"count": count[start:stop].astype(np.float32)})


class Told:
    """Somebody who notes how far it is."""

    def __init__(self):
        self.shares, self.closed = [], False

    def update(self, share, text):
        self.shares.append(share)

    def close(self):
        self.closed = True


class Summary:
    """An encoder as far as writing latents needs one."""

    latent_shape = (2,)

    def __init__(self, posterior=True):
        self.posterior = posterior

    def encode(self, x):
        flat = x.reshape(len(x), -1)
        mean = np.stack([flat.mean(1), flat.max(1)], axis=1)
        return Latents(mean, -mean if self.posterior else None)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Shards of a few frames, read and written a few at a time."""
    monkeypatch.setattr(shards, "SHARD_BYTES", 200)
    monkeypatch.setattr(frames_module, "CHUNK", 7)


@pytest.fixture
def folder(tmp_path):
    write_clips(Noise(), tmp_path / "clips", Told())
    return tmp_path / "clips"


def manifest(folder):
    return json.loads((folder / "manifest.json").read_text())


def change(folder, **values):
    """Change the manifest by hand; None takes a key out, and its own SHA-256 is one."""
    kept = {k: v for k, v in {**manifest(folder), "seal": None, **values}.items() if v is not None}
    (folder / "manifest.json").write_text(json.dumps(kept))


def refused(call):
    with pytest.raises(DataError) as caught:
        call()
    return str(caught.value)


def test_what_was_written_is_read(folder):
    clips, noise = ClipFolder(str(folder)), Noise()
    assert clips.lengths.tolist() == list(LENGTHS)
    assert clips.split.tolist() == list(SPLIT)
    assert (clips.frame_shape, clips.fps, clips.streams) == ((3, 4, 1), 12.5, {"count": 2})
    for i in range(len(LENGTHS)):
        found, wanted = clips.read(i), noise.read(i)
        assert (found.frames.dtype, found.streams["count"].dtype) == (np.uint8, np.float32)
        np.testing.assert_array_equal(found.frames, wanted.frames)
        np.testing.assert_array_equal(found.streams["count"], wanted.streams["count"])


def test_every_range_of_a_clip_that_spans_shards_is_read(folder):
    assert sum(shard["rows"] for shard in manifest(folder)["shards"]) == sum(LENGTHS)
    # The long clip lies in several shards, and shards end inside of it.
    assert len(manifest(folder)["shards"]) >= 4
    clips, wanted = ClipFolder(str(folder)), Noise().read(3)
    for start in range(30):
        for stop in range(start + 1, 31):
            found = clips.read(3, start, stop)
            np.testing.assert_array_equal(found.frames, wanted.frames[start:stop])
            np.testing.assert_array_equal(found.streams["count"], wanted.streams["count"][start:stop])


def test_windows_of_many_clips_are_read_at_once(folder):
    clips, noise = ClipFolder(str(folder)), Noise()
    chosen, starts = np.array([3, 0, 5, 3]), np.array([27, 1, 0, 5])
    found, wanted = clips.read_windows(chosen, starts, 3), noise.read_windows(chosen, starts, 3)
    np.testing.assert_array_equal(found.frames, wanted.frames)
    np.testing.assert_array_equal(found.streams["count"], wanted.streams["count"])


def test_equal_clips_in_a_row_are_one_line_of_the_manifest(folder):
    assert manifest(folder)["clips"] == [
        {"count": 3, "row": 0, "step": 4, "length": 4, "split": "train"},
        {"count": 1, "row": 12, "step": 30, "length": 30, "split": "train"},
        {"count": 1, "row": 42, "step": 1, "length": 1, "split": "validation"},
        {"count": 1, "row": 43, "step": 4, "length": 4, "split": "test"},
    ]


def test_the_manifest_says_where_the_clips_are_from(folder):
    about = manifest(folder)
    assert about["source"] == {"dataset": "noise", "config": {"seed": 0, "splits": True}}
    assert about["format"] == folder_format(folder) == "latentseq-clips/1"
    assert ClipFolder(str(folder)).about() == about
    assert folder_format(folder.parent) is None


def test_without_splits_there_are_none(tmp_path):
    write_clips(Noise(splits=False), tmp_path / "clips", Told())
    assert ClipFolder(str(tmp_path / "clips")).split is None


def test_progress_is_told(tmp_path):
    told = Told()
    write_clips(Noise(), tmp_path / "clips", told)
    assert told.shares == sorted(told.shares)
    assert told.shares[-1] == 1
    assert told.closed


def test_the_same_data_gives_the_same_bytes(folder, tmp_path, tree):
    write_clips(Noise(), tmp_path / "again", Told())
    assert tree(tmp_path / "again") == tree(folder)


def test_the_same_data_gives_the_same_bytes_at_another_time(tmp_path):
    for name in ("a", "b"):
        writer = ShardWriter(tmp_path / name)
        writer.add({"mean": np.zeros((2, 3), np.float32), "log_var": np.ones((2, 3), np.float32)})
        writer.close(format="test")
        time.sleep(1.1)  # HDF5 keeps times in whole seconds.
    first, second = ((tmp_path / name / "shard-00000.h5").read_bytes() for name in ("a", "b"))
    assert first == second


def test_the_fingerprint_is_of_the_content(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "copy")
    write_clips(Noise(seed=1), tmp_path / "other", Told())
    write_clips(Noise(splits=False), tmp_path / "unsplit", Told())
    prints = {name: ClipFolder(str(tmp_path / name)).fingerprint() for name in ("clips", "copy", "other", "unsplit")}
    assert prints["clips"] == prints["copy"]
    assert len(set(prints.values())) == 3


def test_a_range_that_does_not_exist(folder):
    clips = ClipFolder(str(folder))
    with pytest.raises(UsageError) as caught:
        clips.read(3, 5, 31)
    assert str(caught.value) == "Frames 5 to 30 of clip 3 were requested; it has frames 0 to 29."
    with pytest.raises(UsageError) as caught:
        clips.read(6)
    assert str(caught.value) == "Clip 6 does not exist: clips has clips 0 to 5."


def test_few_files_are_open_at_a_time(folder, monkeypatch):
    monkeypatch.setattr(shards, "OPEN_SHARDS", 2)
    clips, noise = ClipFolder(str(folder)), Noise()
    for i in (3, 0, 5, 3, 4, 0):
        np.testing.assert_array_equal(clips.read(i).frames, noise.read(i).frames)
        assert len(os.listdir("/proc/self/fd")) < 200  # noqa: PTH208
        assert len(clips._reader._open) <= 2


def test_another_thread_may_read(folder):
    clips, noise = ClipFolder(str(folder)), Noise()
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda i: (threading.get_ident(), clips.read(i).frames), [3, 0, 5, 4] * 10))
    for i, (_, frames) in zip([3, 0, 5, 4] * 10, found, strict=True):
        np.testing.assert_array_equal(frames, noise.read(i).frames)


def test_a_missing_shard(folder):
    (folder / "shard-00001.h5").unlink()
    message = refused(lambda: ClipFolder(str(folder)).read(3))
    assert message.startswith(f"{folder / 'shard-00001.h5'} cannot be read: ")
    assert message.endswith(". Make the folder again.")
    assert ClipFolder(str(folder)).read(0).frames.shape == (4, 3, 4, 1)


@pytest.mark.parametrize("damage", ["cut short", "empty", "other content"])
def test_a_damaged_shard(damage, folder):
    shard = folder / "shard-00000.h5"
    data = shard.read_bytes()
    shard.write_bytes({"cut short": data[: len(data) // 2], "empty": b"", "other content": b"no HDF5" * 99}[damage])
    message = refused(lambda: ClipFolder(str(folder)).read(0))
    assert message.startswith(f"{shard} cannot be read: ")
    assert message.endswith(". Make the folder again.")


def test_a_shard_that_is_shorter_than_its_manifest_says(folder):
    about = manifest(folder)
    about["shards"][0]["rows"] += 2
    change(folder, shards=about["shards"])
    message = refused(lambda: ClipFolder(str(folder)).read(0))
    assert str(folder / "shard-00000.h5") in message


def test_a_shard_that_is_not_laid_out_as_ours_are(folder):  # It would be read as something else.
    shard = folder / "shard-00000.h5"
    with h5py.File(shard, "r") as file:
        arrays = {key: file[key][:] for key in file}
    with h5py.File(shard, "w") as file:
        file.create_dataset("frames", data=arrays["frames"])
        file.create_dataset("count", data=arrays["count"], compression="gzip")
    first, *rest = manifest(folder)["shards"]
    change(folder, shards=[{**first, "sha256": hashlib.sha256(shard.read_bytes()).hexdigest()}, *rest])
    assert refused(lambda: ClipFolder(str(folder)).read(0)) == (
        f"{shard} cannot be read: 'count' is not stored as one block of {len(arrays['count'])} rows. "
        "Make the folder again."
    )


def test_clips_that_need_more_rows_than_there_are(folder):
    change(folder, clips=[{**manifest(folder)["clips"][0], "count": 13}])
    assert refused(lambda: ClipFolder(str(folder))) == (
        f"{folder / 'manifest.json'} cannot be used: its clips need 52 rows, but its shards have 47. "
        "Make the folder again."
    )


def test_clips_that_do_not_say_where_they_are(folder):
    change(folder, clips=[{"count": 3, "length": 4, "split": "train"}])
    assert refused(lambda: ClipFolder(str(folder))) == (
        f"{folder / 'manifest.json'} cannot be used: row and step are missing. Make the folder again."
    )


def test_clips_may_share_rows_and_leave_some_out(folder):
    many = {"count": 4, "row": 13, "step": 3, "length": 8, "split": "train"}
    change(folder, clips=[many, {"count": 1, "row": 40, "step": 2, "length": 2, "split": "test"}])
    clips, noise = ClipFolder(str(folder)), Noise()
    assert clips.lengths.tolist() == [8, 8, 8, 8, 2]
    assert clips.split.tolist() == ["train"] * 4 + ["test"]
    for i, first in enumerate([1, 4, 7, 10, 28]):  # Of the long clip, which is at row 12.
        wanted = noise.read(3, first, first + int(clips.lengths[i]))
        np.testing.assert_array_equal(clips.read(i).frames, wanted.frames)
        np.testing.assert_array_equal(clips.read(i, 1, 2).streams["count"], wanted.streams["count"][1:2])


def test_no_manifest(tmp_path):
    path = tmp_path / "manifest.json"
    assert refused(lambda: ClipFolder(str(tmp_path))) == (
        f"{path} cannot be read as the manifest of latentseq-clips/1: No such file or directory."
    )


def test_another_format(folder):
    assert refused(lambda: LatentFolder(folder)) == (
        f"{folder} has format 'latentseq-clips/1'; expected 'latentseq-latents/1'. Choose another folder."
    )


@pytest.mark.parametrize("key", ["clips", "shards", "fps", "streams"])
def test_a_manifest_that_says_too_little(key, folder):
    change(folder, **{key: None})
    message = refused(lambda: ClipFolder(str(folder)))
    assert str(folder / "manifest.json") in message
    assert key in message


def test_a_full_disk(tmp_path, monkeypatch):
    def fail(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(TryAgainError, match="No space left on device"):
        write_clips(Noise(), tmp_path / "clips", Told())
    assert folder_format(tmp_path / "clips") is None


def test_rows_of_any_arrays_are_numbered_through(tmp_path):
    writer = ShardWriter(tmp_path / "rows")
    for i in range(10):
        writer.add({"z": np.full((5, 3), i, np.float32), "a": np.full((5, 1), -i, np.float64)})
        writer.end_clip(5)
    writer.close(format="test/1")
    reader = ShardReader(tmp_path / "rows", "test/1")
    assert reader.first_rows.tolist() == list(range(0, 50, 5))
    rows = reader.rows(3, 48)
    assert {k: (a.shape, str(a.dtype)) for k, a in rows.items()} == {
        "z": ((45, 3), "float32"),
        "a": ((45, 1), "float64"),
    }
    np.testing.assert_array_equal(rows["z"][:, 0], np.repeat(np.arange(10), 5)[3:48])
    assert reader.clip_values("split") == [None] * 10


@pytest.mark.parametrize("dtype", ["uint8", "bool", "int64", ">i4", "<f4", ">f8", "float16"])
def test_rows_of_any_type_are_read_as_they_were(dtype, tmp_path):
    values = np.random.default_rng(0).integers(0, 2 if dtype == "bool" else 100, (40, 2, 3)).astype(dtype)
    digest = write_shard(tmp_path / "a.h5", {"x": values, "y": np.arange(40)})
    about = {"clips": [], "shards": [{"file": "a.h5", "rows": 40, "sha256": digest}], "format": "test"}
    (tmp_path / "manifest.json").write_text(json.dumps(about))
    reader = ShardReader(tmp_path, "test")
    for start, stop in ((0, 40), (7, 8), (39, 40), (3, 31)):
        found = reader.rows(start, stop)
        assert list(found) == ["x", "y"]
        np.testing.assert_array_equal(found["x"], values[start:stop])
        assert found["x"].dtype == values.dtype
        found["x"][:] = 0  # What is read is the caller's.
    np.testing.assert_array_equal(reader.rows(0, 40)["x"], values)


def test_what_is_kept_in_a_shard_is_no_array_of_it(tmp_path):
    """However much it is: an attribute of HDF5 holds 64 kB."""
    about = {"parts": [{"crops": list(range(20_000))}]}
    digest = write_shard(tmp_path / "a.h5", {"x": np.arange(4)}, about)
    assert write_shard(tmp_path / "b.h5", {"x": np.arange(4)}, about) == digest
    assert write_shard(tmp_path / "c.h5", {"x": np.arange(4)}, {"parts": []}) != digest
    assert read_about(tmp_path / "a.h5") == about
    manifest = {"clips": [], "shards": [{"file": "a.h5", "rows": 4, "sha256": digest}], "format": "test"}
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert {k: v.tolist() for k, v in ShardReader(tmp_path, "test").rows(1, 3).items()} == {"x": [1, 2]}


def test_a_shard_in_which_nothing_else_is_kept(tmp_path):
    write_shard(tmp_path / "a.h5", {"x": np.arange(4)})
    assert refused(lambda: read_about(tmp_path / "a.h5")).startswith(f"{tmp_path / 'a.h5'} cannot be read: ")
    (tmp_path / "b.h5").write_text("no HDF5")
    assert refused(lambda: read_about(tmp_path / "b.h5")).startswith(f"{tmp_path / 'b.h5'} cannot be read: ")


@pytest.mark.parametrize("posterior", [True, False])
def test_latents_come_back(posterior, tmp_path):
    write_latents(Noise(), Summary(posterior), "print", tmp_path / "z", Told())
    latents, noise = LatentFolder(tmp_path / "z"), Noise()
    assert latents.lengths.tolist() == list(LENGTHS)
    assert latents.split.tolist() == list(SPLIT)
    assert (latents.latent_shape, latents.has_posterior, latents.encoder) == ((2,), posterior, "print")
    assert (latents.data, latents.streams, latents.fps) == (noise.fingerprint(), {"count": 2}, 12.5)
    wanted = Summary(posterior).encode(noise.read(3).frames / np.float32(255))
    found = latents.read(3, 2, 29)
    assert set(found) == {"mean", "count", *(["log_var"] if posterior else [])}
    np.testing.assert_array_equal(found["mean"], wanted.mean[2:29])
    np.testing.assert_array_equal(found["count"][:, 0], np.arange(2, 29))
    if posterior:
        np.testing.assert_array_equal(found["log_var"], wanted.log_var[2:29])
    windows = latents.read_windows(np.array([3, 0]), np.array([26, 0]), 4)
    assert windows["mean"].shape == (2, 4, 2)
    np.testing.assert_array_equal(windows["mean"][0], wanted.mean[26:])


def test_the_same_latents_give_the_same_bytes(tmp_path, tree):
    for name in ("a", "b"):
        write_latents(Noise(), Summary(), "print", tmp_path / name, Told())
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
    assert LatentFolder(tmp_path / "a").fingerprint() == LatentFolder(tmp_path / "b").fingerprint()
