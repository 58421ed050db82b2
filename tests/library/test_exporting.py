"""Exported clips, read again with other libraries."""

import hashlib
import json
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence
from square_film import Film

from latentseq.commands import export as exporting
from latentseq.commands.export import export
from latentseq.data.open import open_data
from latentseq.errors import DataError, TryAgainError, UsageError
from latentseq.media.preprocessing import Preprocessing
from latentseq.media.records import Records

FORMATS = ["gif", "mp4", "npy", "png", "tfrecord", "webp"]
MOVING = ["gif", "mp4", "webp"]


SPLIT = ["train", "test", "train"]


@pytest.fixture
def opened(monkeypatch):
    """A function that lets DATA name a dataset in memory."""

    def use(dataset):
        monkeypatch.setattr(exporting, "open_data", lambda data, *, options: dataset)
        return dataset

    return use


def decoded(path: Path) -> tuple[np.ndarray, float]:
    """Frames (t, h, w, 3), and the frame rate."""
    if path.suffix == ".mp4":
        with av.open(path) as container:
            frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
            return np.stack(frames), float(container.streams.video[0].average_rate)
    frames, seconds = [], 0.0
    with Image.open(path) as image:
        for frame in ImageSequence.Iterator(image):
            frames.append(np.array(frame.convert("RGB")))
            seconds += frame.info["duration"] / 1000
    return np.stack(frames), len(frames) / seconds if seconds else 0.0  # A still WebP has no time.


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    error = ((a.astype(float) - b) ** 2).mean()
    return 10 * np.log10(255**2 / error) if error else np.inf


def names(folder: Path) -> list[str]:
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def content(folder: Path) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names(folder)}


class TestMoving:
    @pytest.mark.parametrize("shape", [(32, 48, 3), (33, 47, 3), (32, 47, 1)])
    @pytest.mark.parametrize("format", MOVING)
    def test_frames_alone_at_their_own_size_and_rate(self, opened, tmp_path, format, shape):
        film = opened(Film(shape=shape))
        assert export("film", tmp_path / "out", format=format, quiet=True) == tmp_path / "out"
        assert names(tmp_path / "out") == [*(f"clip-0000{i}.{format}" for i in range(3)), "export.json"]
        for i in range(3):
            frames, fps = decoded(tmp_path / "out" / f"clip-0000{i}.{format}")
            expected = np.broadcast_to(film.read(i).frames, (*film.read(i).frames.shape[:3], 3))
            assert frames.shape == expected.shape
            assert fps == pytest.approx(12.5, rel=0.01)
            assert (
                psnr(frames, expected) > {"mp4": 35, "gif": 40, "webp": np.inf}[format] or (frames == expected).all()
            )

    def test_a_gif_of_few_colours_is_exact(self, opened, tmp_path):
        squares = opened(open_data("moving-squares", options={"count": 2, "size": 24}))
        export("squares", tmp_path / "out", format="gif", quiet=True)
        frames, _ = decoded(tmp_path / "out" / "clip-00001.gif")
        np.testing.assert_array_equal(frames, squares.read(1).frames.repeat(3, axis=3))

    @pytest.mark.parametrize("shape", [(1, 1, 3), (2, 2, 1), (3, 5, 3)])
    def test_tiny_frames(self, opened, tmp_path, shape):
        opened(Film((2, 2), shape))
        for format in MOVING:
            export("film", tmp_path / format, format=format, quiet=True)
            assert decoded(tmp_path / format / f"clip-00000.{format}")[0].shape[1:3] == shape[:2]

    def test_an_mp4_of_an_even_size_plays_everywhere(self, opened, tmp_path):
        for shape, pixels in (((32, 48, 3), "yuv420p"), ((33, 48, 3), "yuv444p")):
            opened(Film((2,), shape))
            export("film", tmp_path / pixels, quiet=True)
            with av.open(tmp_path / pixels / "clip-00000.mp4") as container:
                context = container.streams.video[0].codec_context
                assert (context.name, context.pix_fmt) == ("h264", pixels)

    def test_an_mp4_without_an_h264_encoder(self, opened, tmp_path, monkeypatch):
        monkeypatch.setattr("latentseq.drawing.writers.av.codecs_available", {"mpeg4"})
        film = opened(Film((4,), (33, 47, 3)))
        export("film", tmp_path / "out", quiet=True)
        assert psnr(decoded(tmp_path / "out" / "clip-00000.mp4")[0], film.read(0).frames) > 33


class TestExact:
    def test_png(self, opened, tmp_path):
        for shape, mode in (((5, 7, 3), "RGB"), ((5, 7, 1), "L")):
            film = opened(Film((3, 2), shape))
            export("film", tmp_path / mode, format="png", quiet=True)
            assert names(tmp_path / mode) == [
                *(f"clip-00000/frame0000{t}.png" for t in range(3)),
                *(f"clip-00001/frame0000{t}.png" for t in range(2)),
                "export.json",
            ]
            for t in range(2):
                with Image.open(tmp_path / mode / "clip-00001" / f"frame0000{t}.png") as image:
                    assert image.mode == mode
                    np.testing.assert_array_equal(np.asarray(image).reshape(shape), film.read(1).frames[t])

    def test_npy_of_one_length(self, opened, tmp_path):
        film = opened(Film((4, 4, 4), (5, 7, 3)))
        export("film", tmp_path / "out", format="npy", quiet=True)
        array = np.load(tmp_path / "out" / "clips.npy", mmap_mode="r", allow_pickle=False)
        assert (array.shape, array.dtype) == ((3, 4, 5, 7, 3), np.uint8)
        np.testing.assert_array_equal(array, np.stack([film.read(i).frames for i in range(3)]))
        assert names(tmp_path / "out") == ["clips.npy", "export.json"]

    def test_npy_of_several_lengths(self, opened, tmp_path):
        film = opened(Film((4, 2), (5, 7, 2)))
        export("film", tmp_path / "out", format="npy", quiet=True)
        assert names(tmp_path / "out") == ["clip-00000.npy", "clip-00001.npy", "export.json"]
        for i in range(2):
            np.testing.assert_array_equal(np.load(tmp_path / "out" / f"clip-0000{i}.npy"), film.read(i).frames)

    def test_tfrecord(self, opened, tmp_path):
        import tensorflow as tf

        film = opened(Film(split=SPLIT))
        export("film", tmp_path / "out", format="tfrecord", quiet=True)
        assert names(tmp_path / "out") == [
            "export.json", "test/clips-00000.tfrecord", "train/clips-00000.tfrecord",
        ]  # fmt: skip
        (record, last) = tf.data.TFRecordDataset(str(tmp_path / "out" / "train" / "clips-00000.tfrecord"))
        lists = {"frames": tf.io.FixedLenSequenceFeature([], tf.string)}
        lists["action"] = tf.io.FixedLenSequenceFeature([2], tf.float32)
        for i, each in ((0, record), (2, last)):
            said, rows = tf.io.parse_single_sequence_example(
                each, {"split": tf.io.FixedLenFeature([], tf.string)}, lists
            )
            pixels = np.stack([np.frombuffer(f, np.uint8).reshape(32, 48, 3) for f in rows["frames"].numpy()])
            np.testing.assert_array_equal(pixels, film.read(i).frames)
            np.testing.assert_array_equal(rows["action"], film.read(i).streams["action"])
            assert said["split"].numpy() == b"train"

    def test_tfrecords_of_about_a_size_hold_all_clips_in_order(self, opened, tmp_path, monkeypatch):
        monkeypatch.setattr(exporting, "FILE_BYTES", 10_000)
        film = opened(Film((2, 3, 9, 1, 1), (20, 20, 3)))
        export("film", tmp_path / "out", format="tfrecord", quiet=True)
        files = sorted((tmp_path / "out").glob("*.tfrecord"))
        assert [len(Records(p).times) for p in files] == [5, 9, 2]
        found = [
            x.frame(Preprocessing((20, 20)))
            for p in files
            for r in [Records(p)]
            for x in r.walk(np.arange(len(r.times)))
        ]
        np.testing.assert_array_equal(found, np.concatenate([film.read(i).frames for i in range(5)]))


class TestFolders:
    @pytest.mark.parametrize("format", ["mp4", "npy"])
    def test_each_split_is_one_and_clips_keep_their_number(self, opened, tmp_path, format):
        film = opened(Film(split=SPLIT))
        export("film", tmp_path / "out", format=format, quiet=True)
        each = {"mp4": ["test/clip-00001.mp4", "train/clip-00000.mp4", "train/clip-00002.mp4"]}
        each["npy"] = ["test/clips.npy", "train/clips.npy"]
        assert names(tmp_path / "out") == ["export.json", *each[format]]
        if format == "npy":
            np.testing.assert_array_equal(np.load(tmp_path / "out" / "test" / "clips.npy")[0], film.read(1).frames)

    def test_the_marker_says_what_was_exported(self, tmp_path):
        options = {"count": 2, "size": 16}
        export("moving-squares", tmp_path / "out", data_options=options, quiet=True)
        about = json.loads((tmp_path / "out" / "export.json").read_text())
        config = {"count": 2, "length": 15, "seed": 0, "size": 16}
        assert about == {
            "format": "mp4", "clips": 2, "frames": 30, "fps": 25.0,
            "source": {"dataset": "moving-squares", "config": about["source"]["config"]},
        }  # fmt: skip
        assert config.items() <= about["source"]["config"].items()

    @pytest.mark.parametrize("format", FORMATS)
    def test_the_same_clips_are_the_same_bytes_in_pieces_too(self, opened, tmp_path, format, monkeypatch):
        film = opened(Film(split=SPLIT))
        export("film", tmp_path / "one", format=format, quiet=True)
        monkeypatch.setattr(exporting, "CHUNK_BYTES", 2 * 32 * 48 * 3)
        film.asked.clear()
        export("film", tmp_path / "two", format=format, quiet=True)
        assert content(tmp_path / "one") == content(tmp_path / "two")
        assert {stop - start for _, start, stop in film.asked} == {1, 2}

    def test_progress_is_told(self, opened, tmp_path, capsys, monkeypatch):
        monkeypatch.setattr("latentseq.training.watch.LINE_EVERY", 0.0)
        opened(Film((3, 2)))
        export("film", tmp_path / "loud", format="gif")
        lines = capsys.readouterr().err.splitlines()
        assert lines[-1] == "export 100% · 5 of 5 frames"
        assert len(lines) == 4
        export("film", tmp_path / "still", format="gif", quiet=True)
        assert capsys.readouterr().err == ""

    def test_nothing_is_replaced_but_an_earlier_export(self, opened, tmp_path, tree):
        opened(Film((2,)))
        out = export("film", tmp_path / "out", quiet=True)
        before = tree(tmp_path)
        with pytest.raises(UsageError) as caught:
            export("film", out, quiet=True)
        assert str(caught.value) == f"{out} exists already. Choose another name, or replace it with --overwrite."
        with pytest.raises(UsageError) as caught:
            export(out / "clip-00000.mp4", out, overwrite=True, quiet=True)
        assert str(caught.value) == (
            f"{out / 'clip-00000.mp4'} lies inside {out}, which would be replaced. Choose another output."
        )
        assert tree(tmp_path) == before
        export("film", out, format="npy", overwrite=True, quiet=True)
        assert names(out) == ["clips.npy", "export.json"]

    @pytest.mark.parametrize("format", FORMATS)
    def test_a_failure_half_way_leaves_what_was(self, opened, tmp_path, format, tree):
        class Damaged(Film):
            def read(self, i, start=0, stop=None):
                if i == 1:
                    raise DataError("The end of clip 1 is lost.")
                return super().read(i, start, stop)

        opened(Film())
        export("film", tmp_path / "out", quiet=True)
        before = tree(tmp_path)
        opened(Damaged())
        with pytest.raises(DataError, match="of clip 1"):
            export("film", tmp_path / "out", format=format, overwrite=True, quiet=True)
        assert tree(tmp_path) == before

    @pytest.mark.parametrize("format", ["mp4", "npy", "png", "tfrecord"])
    def test_a_full_disk_is_something_to_try_again(self, opened, tmp_path, format, monkeypatch, tree):
        import errno
        import os

        def fill_up(_):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        opened(Film((2,)))
        monkeypatch.setattr(os, "fsync", fill_up)
        with pytest.raises(TryAgainError, match="could not be written: No space left on device"):
            export("film", tmp_path / "out", format=format, quiet=True)
        assert tree(tmp_path) == {}


class TestRefused:
    @pytest.mark.parametrize(
        ("format", "hint"), [("mp5", " Did you mean 'mp4'?"), ("avi", ""), (".gif", " Did you mean 'gif'?")]
    )
    def test_another_format(self, tmp_path, format, hint):
        with pytest.raises(UsageError) as caught:
            export("moving-squares", tmp_path / "out", format=format)
        assert str(caught.value) == (
            f"format is {format!r}; expected one of gif, mp4, npy, png, tfrecord and webp.{hint}"
        )

    @pytest.mark.parametrize("format", ["mp4", "png", "tfrecord"])
    def test_frames_that_are_no_pictures(self, opened, tmp_path, format):
        opened(Film((2,), (4, 4, 2)))
        with pytest.raises(DataError) as caught:
            export("film", tmp_path / "out", format=format)
        assert str(caught.value) == (
            "The frames of film have 2 channels; expected 1 or 3 for a picture. Export with --format npy."
        )

    def test_no_clips(self, opened, tmp_path):
        opened(Film(()))
        with pytest.raises(DataError) as caught:
            export("film", tmp_path / "out")
        assert str(caught.value) == "film holds no clips; expected at least one. Choose other data."

    def test_a_clip_too_long_for_a_record(self, opened, tmp_path):
        opened(Film((2, 500_000)))
        with pytest.raises(DataError) as caught:
            export("film", tmp_path / "out", format="tfrecord")
        assert str(caught.value) == (
            "Clip 1 of film has 500000 frames, 2.3 GB; expected at most 2.1 GB for a clip in a TFRecord. Use "
            "shorter clips, or --format npy."
        )
        assert not list(tmp_path.iterdir())
