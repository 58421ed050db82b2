"""TFRecord files: TensorFlow reads what latentseq writes, and latentseq reads what TensorFlow writes."""

import struct
import sys
from pathlib import Path

import numpy as np
import pytest

from latentseq.arrays import Clip
from latentseq.errors import DataError
from latentseq.media.footage import rows_of
from latentseq.media.preprocessing import Preprocessing
from latentseq.media.records import Records, _checksum, is_records, record_size, write_records

END = (
    " Expected clips as tf.train.SequenceExample, as latentseq export --format tfrecord writes them; copy or export "
    "it again, or remove it."
)


def clips(*lengths, shape=(4, 6, 3)):
    """Clips of noise with two side streams."""
    rng = np.random.default_rng(0)
    return [
        Clip(
            rng.integers(0, 256, (t, *shape), dtype=np.uint8),
            {"action": rng.normal(size=(t, 2)).astype(np.float32), "reward": np.ones((t, 1), np.float32)},
        )
        for t in lengths
    ]


@pytest.fixture
def path(tmp_path):
    return tmp_path / "clips.tfrecord"


def written(path: Path, made, **about) -> Path:
    write_records(path, [[clip] for clip in made], **{"fps": 10.0, **about})
    return path


def frames_of(footage, numbers=None, **how):
    h, w = footage.size
    prepared = Preprocessing(**{"size": (h, w), "gray": footage.gray, **how})
    numbers = np.arange(len(footage.times)) if numbers is None else np.array(numbers)
    return np.stack([picture.frame(prepared) for picture in footage.walk(numbers)])


class TestTensorFlow:
    def test_it_reads_what_is_written(self, path):
        import tensorflow as tf

        made = clips(5, 1, 3)
        written(path, made, fps=29.97, split="validation")
        context = {name: tf.io.FixedLenFeature([], tf.int64) for name in ("height", "width", "channels")}
        context |= {"fps": tf.io.FixedLenFeature([], tf.float32), "split": tf.io.FixedLenFeature([], tf.string)}
        lists = {"frames": tf.io.FixedLenSequenceFeature([], tf.string)}
        lists |= {name: tf.io.FixedLenSequenceFeature([f], tf.float32) for name, f in (("action", 2), ("reward", 1))}
        records = list(tf.data.TFRecordDataset(str(path)))
        assert len(records) == 3
        for record, clip in zip(records, made, strict=True):
            said, rows = tf.io.parse_single_sequence_example(record, context, lists)
            assert [int(said[k]) for k in ("height", "width", "channels")] == [4, 6, 3]
            assert (float(said["fps"]), said["split"].numpy()) == (np.float32(29.97), b"validation")
            pixels = tf.reshape(tf.io.decode_raw(rows["frames"], tf.uint8), [-1, 4, 6, 3])
            np.testing.assert_array_equal(pixels, clip.frames)
            for name, stream in clip.streams.items():
                np.testing.assert_array_equal(rows[name], stream)

    def test_its_own_message_is_the_same_bytes(self, path):
        import tensorflow as tf

        written(path, clips(2))
        (record,) = tf.data.TFRecordDataset(str(path))
        theirs = tf.train.SequenceExample.FromString(record.numpy())
        assert set(theirs.context.feature) == {"height", "width", "channels", "fps"}
        assert set(theirs.feature_lists.feature_list) == {"frames", "action", "reward"}
        assert len(theirs.SerializeToString()) == len(record.numpy())

    @pytest.mark.parametrize("fps", [12.5, None])
    def test_what_it_wrote_is_read(self, path, fps):
        import tensorflow as tf

        made = clips(4, 2, shape=(3, 5, 1))
        with tf.io.TFRecordWriter(str(path)) as writer:
            for clip in made:
                writer.write(self.example(clip.frames, fps).SerializeToString())
        footage = Records(path)
        np.testing.assert_array_equal(frames_of(footage), np.concatenate([clip.frames for clip in made]))
        np.testing.assert_allclose(footage.times, np.arange(6) / (fps or 25))
        assert (footage.end, footage.timed) == (6 / (fps or 25), fps is not None)

    @staticmethod
    def example(frames, fps):
        import tensorflow as tf

        sides = dict(zip(("height", "width", "channels"), frames.shape[1:], strict=True))
        context = {k: tf.train.Feature(int64_list=tf.train.Int64List(value=[v])) for k, v in sides.items()}
        if fps:
            context["fps"] = tf.train.Feature(float_list=tf.train.FloatList(value=[fps]))
        feature = [tf.train.Feature(bytes_list=tf.train.BytesList(value=[f.tobytes()])) for f in frames]
        lists = tf.train.FeatureLists(feature_list={"frames": tf.train.FeatureList(feature=feature)})
        return tf.train.SequenceExample(context=tf.train.Features(feature=context), feature_lists=lists)


def test_what_is_said_of_a_file(path):
    footage = Records(written(path, clips(5, 1, 3), fps=29.97))
    assert (footage.kind, footage.detail, footage.path) == ("records", "uint8 in 3 records", path)
    assert (footage.size, footage.gray, footage.sound, footage.timed) == ((4, 6), False, False, True)
    assert footage.breaks.tolist() == [5, 6]
    assert footage.breaks.dtype == np.int64
    np.testing.assert_allclose(footage.times, np.arange(9) / 29.97, rtol=1e-12)
    assert rows_of(footage, Preprocessing((4, 6))).fps == pytest.approx(29.97, rel=1e-9)


def test_any_pictures_in_order_some_twice(path):
    made = clips(5, 1, 3)
    footage, every = Records(written(path, made)), np.concatenate([clip.frames for clip in made])
    for numbers in ([0, 4, 4, 5, 8], [8], [3, 6]):
        np.testing.assert_array_equal(frames_of(footage, numbers), every[numbers])
    footage.close()
    np.testing.assert_array_equal(frames_of(footage, [7, 7]), every[[7, 7]])


def test_pictures_are_prepared(path):
    made = clips(2, shape=(8, 8, 3))
    footage = Records(written(path, made))
    assert frames_of(footage, size=(4, 2), fit="stretch").shape == (2, 4, 2, 3)
    gray = frames_of(footage, gray=True)[..., 0]
    weighed = made[0].frames @ np.array([0.299, 0.587, 0.114])
    assert np.abs(gray - weighed).max() <= 1


def test_a_clip_in_pieces_is_one_record(path, tmp_path):
    (clip,) = clips(5)
    pieces = [
        Clip(clip.frames[part], {k: v[part] for k, v in clip.streams.items()}) for part in (slice(3), slice(3, 5))
    ]
    write_records(path, [pieces], fps=10)
    assert path.read_bytes() == written(tmp_path / "whole.tfrecord", [clip]).read_bytes()


@pytest.mark.parametrize("shape", [(8, 16, 1), (64, 64, 3)])
def test_a_record_takes_no_more_than_is_said(path, shape):
    streams = {"action": 2, "reward": 1}
    for length in (1, 50):
        size = written(path, clips(length, shape=shape), split="validation").stat().st_size
        assert size <= record_size(length, shape, streams) <= 2 * size + 1024


def test_tensorflow_is_not_needed(path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    assert len(Records(written(path, clips(2))).times) == 2


def test_suffixes():
    assert [is_records(Path(name)) for name in ("a.tfrecord", "a.TFRecords", "a.npy", "tfrecord")] == [
        True, True, False, False,
    ]  # fmt: skip


def record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def refused(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        Records(path)
    start = f"{path} cannot be read as a TFRecord: "
    assert str(caught.value).startswith(start)
    assert str(caught.value).endswith(END)
    return str(caught.value)[len(start) : -len(END)]


class TestWhatCannotBeRead:
    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "it is empty."),
            (b"short", "its content is not a TFRecord, or is compressed."),
            (b"a text of some length, in which there is nothing", "its content is not a TFRecord, or is compressed."),
            (record(b"no message"), "record 0 is not a tf.train.SequenceExample."),
            (record(b""), "the context of record 0 has no whole number 'height' above 0."),
        ],
    )
    def test_another_content(self, path, content, reason):
        path.write_bytes(content)
        assert refused(path) == reason

    def test_a_folder(self, tmp_path):
        with pytest.raises(DataError) as caught:
            Records(tmp_path)
        assert str(caught.value) == (
            f"{tmp_path} cannot be read as a TFRecord: expected a regular file. Check the path."
        )

    def test_a_changed_byte_anywhere(self, path):
        whole = written(path, clips(2, 2)).read_bytes()
        second = len(whole) // 2
        for at, reason in (
            (3, "its content is not a TFRecord, or is compressed."),
            (40, "record 0 is damaged: the checksum of its data does not fit."),
            (second + 9, "record 1 is damaged: the checksum of its length does not fit."),
            (len(whole) - 1, "record 1 is damaged: the checksum of its data does not fit."),
        ):
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            assert refused(path) == reason

    @pytest.mark.parametrize("lost", [1, 5, 300])
    def test_a_missing_end(self, path, lost):
        path.write_bytes(written(path, clips(2, 2)).read_bytes()[:-lost])
        assert refused(path) == "it is cut short within record 1."

    def test_an_end_within_the_length(self, path):
        path.write_bytes(written(path, clips(2)).read_bytes() + b"\0" * 5)
        assert refused(path) == "it is cut short within record 1."

    def test_damage_after_it_was_opened(self, path):
        whole = written(path, clips(2)).read_bytes()
        footage = Records(path)
        path.write_bytes(whole[:40] + bytes([whole[40] ^ 1]) + whole[41:])
        with pytest.raises(DataError, match="record 0 is damaged: the checksum of its data does not fit"):
            frames_of(footage)

    @pytest.mark.parametrize(
        ("change", "reason"),
        [
            ("no frames", "record 0 has no feature list 'frames', or an empty one."),
            ("short", "frame 1 of record 0 has 5 bytes; expected 72, the pixels of 4x6x3."),
            ("channels", "record 0 has 2 channels; expected 1, 3 or 4."),
            ("width", "the context of record 0 has no whole number 'width' above 0."),
            ("fps", "record 0 has an 'fps' that is not a frame rate."),
        ],
    )
    def test_another_layout(self, path, change, reason):
        import tensorflow as tf

        example = TestTensorFlow.example(clips(2)[0].frames, 10)
        context = example.context.feature
        if change == "no frames":
            del example.feature_lists.feature_list["frames"]
        elif change == "short":
            example.feature_lists.feature_list["frames"].feature[1].bytes_list.value[0] = b"12345"
        elif change == "fps":
            context["fps"].float_list.value[0] = float("nan")
        else:
            context[change].int64_list.value[0] = 2 if change == "channels" else 0
        with tf.io.TFRecordWriter(str(path)) as writer:
            writer.write(example.SerializeToString())
        assert refused(path) == reason

    def test_clips_that_differ(self, path, tmp_path):
        one, two = (written(tmp_path / f"{fps}.tfrecord", clips(1), fps=fps).read_bytes() for fps in (10, 25))
        other = written(tmp_path / "other.tfrecord", clips(1, shape=(6, 6, 1))).read_bytes()
        path.write_bytes(one + one + two)
        assert refused(path) == (
            "record 0 is 4x6x3 at 10.0 frames per second, "
            "and record 2 is 4x6x3 at 25.0 frames per second; expected the same for all records."
        )
        path.write_bytes(one + other)
        assert refused(path) == (
            "record 0 is 4x6x3 at 10.0 frames per second, "
            "and record 1 is 6x6x1 at 10.0 frames per second; expected the same for all records."
        )
