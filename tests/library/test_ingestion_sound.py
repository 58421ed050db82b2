"""The sound of ingested footage: a row for each frame, and none where there is none."""

import numpy as np
import pytest
from ingesting import STRIP, numbered, scenes, take, write_array, write_film

from latentseq.media import audio

RATE = 16_000


def clicks(seconds, fps=25):
    """Sound that says which frame it belongs to: during frame i a tone of 400 + 20 (i % 100) Hz."""
    at = np.arange(round(seconds * RATE)) / RATE
    pitch = 400 + 20 * (np.floor(at * fps) % 100)
    return 0.5 * np.sin(2 * np.pi * np.cumsum(pitch) / RATE)


@pytest.fixture
def film(tmp_path):
    """Four seconds with sound, of three scenes; silent in the second second."""
    sound = clicks(4)
    sound[RATE : 2 * RATE] = 0
    return write_film(tmp_path / "in" / "film.mp4", scenes((30, 20, 50)), sound=sound)


@pytest.fixture
def silent(tmp_path):
    return write_film(tmp_path / "in" / "silent.mp4", scenes((20,)))


def pitches(wave):
    """The loudest frequency of each row of samples, in Hz; 0 where it is silent."""
    spectra = np.abs(np.fft.rfft(wave * np.hanning(wave.shape[1]), 16 * wave.shape[1]))
    loudest = spectra.argmax(1) * RATE / (16 * wave.shape[1])
    return np.where(np.abs(wave).max(1) > 0.05, loudest, 0)


def expected(rows):
    """What the film sounds like during its frames: see ``clicks``."""
    rows = np.asarray(rows)
    return np.where((rows >= 25) & (rows < 50), 0, 400 + 20 * (rows % 100))


def test_a_row_is_what_is_heard_during_its_frame(film, tmp_path):
    taken = take(tmp_path / "out", film, audio="wave")
    streams = taken.clips.read(0).streams
    assert taken.clips.streams == {"audio": 640, "audio_mask": 1}
    assert {name: (rows.shape, rows.dtype) for name, rows in streams.items()} == {
        "audio": ((100, 640), np.float32),
        "audio_mask": ((100, 1), np.float32),
    }
    inside = [i for i in range(100) if i not in (24, 25, 49, 50)]  # The coding blurs where it becomes silent.
    np.testing.assert_allclose(pitches(streams["audio"])[inside], expected(inside), atol=15)
    assert (streams["audio_mask"] == 1).all()


def test_bands_are_those_of_the_whole_film(film, tmp_path):
    taken = take(tmp_path / "out", film)
    rows, mask = audio.rows(film, np.arange(101) / 25, "mel", 25)
    assert taken.clips.streams == {"audio": 64, "audio_mask": 1}
    np.testing.assert_array_equal(taken.clips.read(0).streams["audio"], rows)
    np.testing.assert_array_equal(taken.clips.read(0).streams["audio_mask"], mask)
    # Of a row that is silent, every band is the logarithm of nothing but the offset; the others are louder.
    assert rows[30:45].max() < rows[:20].max(1).min()


def test_clips_keep_the_rows_of_their_frames(film, numbers, tmp_path):
    taken = take(tmp_path / "out", film, audio="wave", cuts=True, min_length=1, clip_length=10)
    assert taken.lengths == [10] * 10
    for i in range(10):
        frames, streams = taken.clips.read(i)
        assert numbers(frames[:, :STRIP]) == list(range(10 * i, 10 * i + 10))
        inside = [n for n in range(10 * i, 10 * i + 10) if n not in (24, 25, 49, 50)]
        heard = pitches(streams["audio"])[[n - 10 * i for n in inside]]
        np.testing.assert_allclose(heard, expected(inside), atol=15)


@pytest.mark.parametrize("kind", ["mel", "wave"])
@pytest.mark.parametrize("options", [{}, {"fps": 10}, {"skip": 3}], ids=str)
def test_sound_is_the_same_in_shards_of_any_size(options, kind, film, tmp_path, monkeypatch):
    whole = take(tmp_path / "whole", film, audio=kind, **options)
    monkeypatch.setattr("latentseq.ingestion.plan.SHARD_BYTES", 9 * 64 * 96 * 3)
    parts = take(tmp_path / "parts", film, audio=kind, workers=3, **options)
    assert len(parts.shards()) >= 4
    for name, rows in whole.clips.read(0).streams.items():
        np.testing.assert_array_equal(parts.clips.read(0).streams[name], rows)


@pytest.mark.parametrize(
    ("options", "width", "frames"),
    [({"fps": 10}, 1600, [5 * k // 2 for k in range(40)]), ({"skip": 4}, 2560, list(range(0, 100, 4)))],
)
def test_rows_follow_the_rate(options, width, frames, film, numbers, tmp_path):
    taken = take(tmp_path / "out", film, audio="wave", **options)
    pictures, streams = taken.clips.read(0)
    assert taken.clips.streams == {"audio": width, "audio_mask": 1}
    assert numbers(pictures[:, :STRIP]) == frames
    # The first 20 ms of a row, during which the frame that it shows is still on.
    first = [i for i, n in enumerate(frames) if n < 24 or n > 50][::2]
    heard = pitches(streams["audio"][first][:, :320])
    np.testing.assert_allclose(heard, expected([frames[i] for i in first]), atol=15)


def test_a_film_without_sound_has_rows_of_nothing(film, silent, tmp_path):
    array = write_array(tmp_path / "in" / "array.npy", numbered(6, 64))
    taken = take(tmp_path / "out", film, silent, array)
    assert [source["sound"] for source in taken.manifest["sources"]] == [True, False, False]
    assert taken.lengths == [100, 20, 6]
    for i in (1, 2):
        streams = taken.clips.read(i).streams
        assert {name: rows.shape for name, rows in streams.items()} == {
            "audio": (taken.lengths[i], 64),
            "audio_mask": (taken.lengths[i], 1),
        }
        assert not any(rows.any() for rows in streams.values())
    assert taken.clips.read(0).streams["audio_mask"].all()


def test_sound_that_is_shorter_than_the_film_ends_with_it(tmp_path):
    film = write_film(tmp_path / "film.mp4", scenes((50,)), sound=clicks(1))
    streams = take(tmp_path / "out", film).clips.read(0).streams
    mask = streams["audio_mask"][:, 0]
    ends = int(mask.sum())
    assert 24 <= ends <= 27  # A second, and what is left of the last frame of the coder.
    assert mask.tolist() == [1] * ends + [0] * (50 - ends)
    assert not streams["audio"][ends:].any()


@pytest.mark.parametrize(("sources", "options"), [("silent", {}), ("film", {"audio": "none"})])
def test_where_there_is_none_there_are_no_streams(sources, options, request, tmp_path):
    taken = take(tmp_path / "out", request.getfixturevalue(sources), **options)
    assert taken.clips.streams == {}
    assert taken.clips.read(0).streams == {}
    assert taken.manifest["source"]["config"]["audio"] == "none"


def test_crops_keep_the_rows_of_their_frames(film, silent, tmp_path):
    whole = take(tmp_path / "whole", film, silent)
    taken = take(tmp_path / "out", film, silent, crop=32, count=60, motion=0, clip_length=6)
    assert set(taken.of_clips("source")) == {0, 1}
    for i, (source, start) in enumerate(zip(taken.of_clips("source"), taken.of_clips("start"), strict=True)):
        first = round(start * 25)
        rows = whole.clips.read(source, first, first + 6).streams
        for name, values in taken.clips.read(i).streams.items():
            np.testing.assert_array_equal(values, rows[name])
