"""When frames are shown: read from films of constant and of variable rate, and kept with the clips."""

import json

import numpy as np
import pytest
from ingesting import take
from timed_films import CONSTANT, RECORDING, SUFFIXES, VARIABLE, write_timed

from latentseq.commands.export import export
from latentseq.data.crops import Crops
from latentseq.errors import DataError
from latentseq.storage.frames import ClipFolder, write_clips
from latentseq.storage.manifest import MANIFEST
from latentseq.storage.shards import ShardWriter
from latentseq.training.watch import Watcher
from latentseq_plugins.datasets.files import Files


def same(times, milliseconds):
    """Matroska counts milliseconds, and so do these times; a GIF counts hundredths of a second."""
    assert times.dtype == np.float64
    np.testing.assert_allclose(times, np.array(milliseconds) / 1000, rtol=0, atol=1e-9)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize(
    ("ticks", "rate"),
    # 50 frames in 2.0 s, 70 in 5.84 s (the last is shown for 40 ms), and 9 in 80.1 s.
    [(CONSTANT, 25.0), (VARIABLE, 70 / 5.84), (RECORDING, 9 / 80.1)],
    ids=["constant", "variable", "recording"],
)
def test_every_row_is_at_its_own_time(suffix, ticks, rate, tmp_path):
    film = write_timed(tmp_path / f"film{suffix}", ticks)
    read = Files(str(film), size=16)
    taken = take(tmp_path / "clips", film)
    for dataset in (read, taken.clips):
        same(dataset.times(0), ticks)
        same(dataset.times(0, 3, 9), ticks[3:9])
        assert dataset.fps == pytest.approx(rate, rel=0.01 if ticks is RECORDING else 1e-3)
    assert taken.manifest["sources"][0]["fps"] == pytest.approx(read.fps, abs=1e-6)
    assert taken.manifest["times"] is True


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
def test_the_rate_of_a_film_whose_header_is_wrong_is_that_of_its_frames(suffix, tmp_path):
    film = Files(str(write_timed(tmp_path / f"film{suffix}", [62.5 * i for i in range(80)], header=25)))
    assert film.fps == pytest.approx(16, abs=0.005)  # 80 frames in 5.0 s, to the millisecond.
    assert abs(film.times(0) - np.arange(80) / 16).max() <= 0.001


@pytest.mark.parametrize("suffix", [".mkv", ".webm"])
@pytest.mark.parametrize("rate", [24, 30])
def test_a_header_is_right_where_milliseconds_are_all_that_contradicts_it(suffix, rate, tmp_path):
    film = write_timed(tmp_path / f"film{suffix}", [1000 * i / rate for i in range(100)], header=rate)
    assert Files(str(film)).fps == rate


def test_the_times_of_a_clip_begin_with_it(tmp_path):
    write_timed(
        tmp_path / "data" / "train" / "film.mkv", VARIABLE
    )  # Else those on both sides of a split are left out.
    taken = take(tmp_path / "clips", tmp_path / "data", clip_length=20, stride=15)
    assert taken.lengths == [20] * 4
    same(taken.clips.times(0), range(0, 800, 40))
    same(taken.clips.times(2), range(0, 800, 40))  # Frames 30 to 49.
    same(taken.clips.times(3), [0, 40, 80, 120, 160, *range(200, 3200, 200)])  # Frames 45 to 64: 1.8 to 4.8 s.
    same(taken.clips.times(3, 18), [2800, 3000])


@pytest.mark.parametrize(
    ("options", "milliseconds"),
    [
        ({"skip": 10}, [0, 400, 800, 1200, 1600, 2000, 4000]),
        ({"fps": 2}, range(0, 6000, 500)),
        ({"fps": 1, "skip": 2}, [0, 2000, 4000]),
    ],
)
def test_times_of_rows_that_are_chosen(options, milliseconds, tmp_path):
    film = write_timed(tmp_path / "film.mp4", VARIABLE)
    same(Files(str(film), **options).times(0), milliseconds)
    same(take(tmp_path / "clips", film, **options).clips.times(0), milliseconds)


def test_crops_have_the_times_of_their_frames(tmp_path):
    film = write_timed(tmp_path / "film.mp4", VARIABLE)
    taken = take(tmp_path / "clips", film, crop=8, count=12, clip_length=5, still=1.0)
    for i, start in enumerate(taken.of_clips("start")):
        first = VARIABLE.index(round(1000 * start))
        same(taken.clips.times(i), np.array(VARIABLE[first : first + 5]) - VARIABLE[first])
    whole = take(tmp_path / "whole", film).clips
    crops = Crops(whole, crop=8, clip_length=5, count=12, still=1.0)
    seen = {frame.tobytes(): row for row, frame in enumerate(whole.read(0).frames[:, :8, :8])}
    for i in range(12):
        first = seen[crops.read(i).frames[0].tobytes()]
        same(crops.times(i, 1), np.array(VARIABLE[first + 1 : first + 5]) - VARIABLE[first])


def test_copied_clips_keep_their_times(tmp_path):
    write_clips(Files(str(write_timed(tmp_path / "film.mkv", RECORDING))), tmp_path / "clips", Watcher(quiet=True))
    same(ClipFolder(str(tmp_path / "clips")).times(0), RECORDING)


@pytest.mark.parametrize("format", ["mp4", "webp"])
def test_an_exported_film_keeps_its_times(format, tmp_path):
    film = write_timed(tmp_path / "film.mkv", RECORDING)
    export(film, tmp_path / "out", format=format, quiet=True)
    same(Files(str(tmp_path / "out" / f"clip-00000.{format}")).times(0), RECORDING)


def test_clips_of_before_times_were_kept_are_at_their_frame_rate(tmp_path):
    writer = ShardWriter(tmp_path / "old")
    writer.add({"frames": np.zeros((20, 4, 4, 1), np.uint8)})
    writer.end_clip(8)
    writer.end_clip(12)
    source = {"dataset": "ingest", "config": {}}
    writer.close(format="latentseq-clips/1", frame_shape=[4, 4, 1], fps=5.0, streams={}, source=source)
    assert "times" not in json.loads((tmp_path / "old" / MANIFEST).read_text())
    old = ClipFolder(str(tmp_path / "old"))
    same(old.times(1), range(0, 2400, 200))
    same(old.times(1, 4, 6), [800, 1000])
    assert old.read(1).frames.shape == (12, 4, 4, 1)


def clips_of(folder, *, said=True, **arrays):
    """A clip of five black frames, with other arrays beside them, of which the manifest says that it has times."""
    writer = ShardWriter(folder)
    writer.add({"frames": np.zeros((5, 4, 4, 1), np.uint8), **arrays})
    writer.end_clip(5)
    about = {"frame_shape": [4, 4, 1], "fps": 25.0, "streams": {}, "source": {"dataset": "ingest", "config": {}}}
    writer.close(format="latentseq-clips/1", times=said, **about)
    return folder


def refused(call):
    with pytest.raises(DataError) as error:
        call()
    return str(error.value)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 0.04, -1.0])
def test_times_that_cannot_be_true(wrong, tmp_path):
    times = np.array([0, 0.04, wrong, 0.12, 0.16])
    clips = ClipFolder(str(clips_of(tmp_path / "clips", times=times)))
    same(clips.times(0, 0, 2), [0, 40])
    for ask in (lambda: clips.times(0), lambda: clips.times(0, 1, 3)):
        assert refused(ask) == (
            f"{tmp_path / 'clips'} cannot be used: the times of the frames of clip 0 do not rise. "
            "Make the folder again."
        )


@pytest.mark.parametrize(
    ("arrays", "found"),
    [
        ({}, "missing"),
        ({"times": np.zeros((5, 2))}, "float64 of shape (2,) per row"),
        ({"times": np.arange(5)}, "int64 of shape () per row"),
    ],
)
def test_a_shard_without_the_times_that_its_manifest_calls_for(arrays, found, tmp_path):
    folder = clips_of(tmp_path / "clips", **arrays)
    for ask in (ClipFolder(str(folder)).times, ClipFolder(str(folder)).read):
        assert refused(lambda ask=ask: ask(0)) == (
            f"{folder / 'shard-00000.h5'} does not fit the manifest beside it: 'times' is {found}; expected "
            "floats of shape () per row. Make the folder again."
        )


def test_a_manifest_that_does_not_say_whether_there_are_times(tmp_path):
    folder = clips_of(tmp_path / "clips", said="yes", times=np.arange(5) / 25)
    assert "times is 'yes'; expected true or false" in refused(lambda: ClipFolder(str(folder)))
