"""Selection of pictures: by the time at which a player shows them, and not by counting."""

import hashlib
from fractions import Fraction

import av
import numpy as np
import pytest

from latentseq.media.footage import Footage, file_digest, rows_of
from latentseq.media.preprocessing import Preprocessing
from latentseq.media.video import VideoFile

BARS = Preprocessing((24, 48), fit="stretch")


class Made(Footage):
    """Footage without pictures, with the attributes that ``rows_of`` uses."""

    def __init__(self, times, end, timed=True, rate=None, breaks=()):
        self.times, self.end, self.timed, self.rate = np.array(times, np.float64), float(end), timed, rate
        self.breaks = np.array(breaks, np.int64)

    def walk(self, numbers):
        raise NotImplementedError


def asked(fps=None, skip=1):
    return Preprocessing((8, 8), skip=skip, fps=fps)


def shown(ticks, end, fps, clock):
    """What a player has on the screen at every 1/fps second of one clip, in whole numbers and by looking.

    ``ticks`` and ``end`` are times in units of 1/clock second.
    """
    found = []
    while ticks[0] * fps + len(found) * clock < end * fps:
        now = ticks[0] * fps + len(found) * clock
        on = [number for number, tick in enumerate(ticks) if tick * fps <= now]
        found.append(on[-1])
    return found


@pytest.mark.parametrize("fps", [1, 3, 5, 7, 10, 24, 25, 30, 50, 100])
def test_irregular_times_at_any_rate_are_what_a_player_shows(fps):
    random = np.random.default_rng(fps)
    for _ in range(20):
        gaps = random.integers(1, 60, random.integers(1, 40))
        ticks = np.cumsum([random.integers(0, 100), *gaps]).tolist()
        end = ticks[-1] + int(random.integers(1, 30))
        rows = rows_of(Made(np.array(ticks) / 100, end / 100), asked(fps))
        wanted = shown(ticks, end, fps, 100)
        assert rows.numbers.tolist() == wanted
        np.testing.assert_allclose(rows.times[:-1], ticks[0] / 100 + np.arange(len(wanted)) / fps)
        assert rows.times[-1] == end / 100
        assert (np.diff(rows.times) > 0).all()
        assert rows.fps == fps
        assert (rows.numbers.dtype, rows.times.dtype, rows.breaks.dtype) == (np.int64, np.float64, np.int64)


def test_a_higher_rate_repeats_and_a_lower_one_leaves_out():
    film = Made([0, 0.1, 0.2, 0.3], 0.4)
    assert rows_of(film, asked(20)).numbers.tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert rows_of(film, asked(10)).numbers.tolist() == [0, 1, 2, 3]
    assert rows_of(film, asked(5)).numbers.tolist() == [0, 2]
    assert rows_of(film, asked(1)).numbers.tolist() == [0]
    assert rows_of(film, asked(7.5)).numbers.tolist() == [0, 1, 2]  # At 0, 0.133 and 0.267 s.
    slow = Made([3.0, 3.1, 5.0], 5.2)
    assert rows_of(slow, asked(5)).numbers.tolist() == [0, 1, 1, 1, 1, 1, 1, 1, 1, 1, 2]


def test_without_a_rate_every_picture_is_a_row_at_its_own_time():
    rows = rows_of(Made([0.5, 0.6, 2.0], 2.5), asked())
    assert rows.numbers.tolist() == [0, 1, 2]
    assert rows.times.tolist() == [0.5, 0.6, 2.0, 2.5]
    assert rows.fps == 3 / 2
    assert rows_of(Made([0.5, 0.6, 2.0], 2.5, rate=30.0), asked()).fps == 30


@pytest.mark.parametrize("rounded", [np.round, np.floor])
@pytest.mark.parametrize("rate", [Fraction(24000, 1001), 24, 25, Fraction(30000, 1001), 30, 50, 60, 120])
def test_a_clock_of_milliseconds_loses_and_repeats_no_picture(rate, rounded):
    times = rounded(np.arange(1001) * 1000 / float(rate)) / 1000
    film = Made(times[:-1], times[-1])
    assert rows_of(film, asked(float(rate))).numbers.tolist() == list(range(1000))
    assert rows_of(film, asked(float(rate / 2))).numbers.tolist() == list(range(0, 1000, 2))
    assert rows_of(film, asked(float(rate * 2))).numbers.tolist() == [i // 2 for i in range(2000)]


def test_real_films_at_their_own_rate_and_others(shared):
    film = VideoFile(shared / "data" / "bunny30.webm")  # Its times are rounded to milliseconds.
    assert rows_of(film, asked(24)).numbers.tolist() == list(range(720))
    assert rows_of(film, asked(12)).numbers.tolist() == list(range(0, 720, 2))
    assert rows_of(film, asked(48)).numbers.tolist() == [i // 2 for i in range(1440)]
    assert len(rows_of(film, asked(25)).numbers) == 750
    bikes = VideoFile(shared / "data" / "bikes.mp4")
    assert rows_of(bikes, asked(25)).numbers.tolist() == list(range(250))
    assert rows_of(bikes, asked(12.5)).numbers.tolist() == list(range(0, 250, 2))


def test_very_high_rates():
    film = Made(np.arange(50) / 25, 2)
    rows = rows_of(film, asked(1000))
    assert rows.numbers.tolist() == [i // 40 for i in range(2000)]


def test_footage_without_times_is_at_the_rate_asked_for():
    images = Made(np.arange(6) / 25, 6 / 25, timed=False)
    rows = rows_of(images, asked())
    assert (rows.numbers.tolist(), rows.fps) == ([0, 1, 2, 3, 4, 5], 25)
    np.testing.assert_allclose(rows.times, np.arange(7) / 25)
    for fps in (10.0, 60.0):
        rows = rows_of(images, asked(fps))
        assert (rows.numbers.tolist(), rows.fps) == ([0, 1, 2, 3, 4, 5], fps)
        np.testing.assert_allclose(rows.times, np.arange(7) / fps)
    rows = rows_of(images, asked(10.0, skip=4))
    assert (rows.numbers.tolist(), rows.fps) == ([0, 4], 2.5)
    np.testing.assert_allclose(rows.times, [0, 0.4, 0.6])


def test_skip_keeps_the_first_of_every_clip_and_each_nth_after_it():
    random = np.random.default_rng(0)
    for _ in range(50):
        lengths = random.integers(1, 12, random.integers(1, 6)).tolist()
        skip, count = int(random.integers(1, 8)), sum(lengths)
        breaks = np.cumsum(lengths)[:-1]
        rows = rows_of(Made(np.arange(count) / 20, count / 20, rate=20.0, breaks=breaks), asked(skip=skip))
        kept = []
        first = 0
        for length in lengths:
            kept.append([number for number in range(first, first + length) if (number - first) % skip == 0])
            first += length
        assert rows.numbers.tolist() == [number for clip in kept for number in clip]
        assert rows.breaks.tolist() == np.cumsum([len(clip) for clip in kept])[:-1].tolist()
        np.testing.assert_allclose(rows.times, [*(rows.numbers / 20), count / 20])
        assert rows.fps == 20 / skip


@pytest.mark.parametrize("skip", [1, 2, 3])
@pytest.mark.parametrize("fps", [3, 5, 10, 25, 50])
def test_every_clip_is_played_from_its_own_start(fps, skip):
    """Clips at 10 pictures a second, one after another: none takes its first row from the one before it."""
    lengths = [7, 1, 4, 20]
    breaks = np.cumsum(lengths)[:-1]
    rows = rows_of(Made(np.arange(32) / 10, 3.2, rate=10.0, breaks=breaks), asked(fps, skip))
    wanted = []
    for first, stop in zip([0, *breaks], [*breaks, 32], strict=True):
        alone = shown([10 * i for i in range(stop - first)], 10 * (stop - first), fps, 100)
        wanted.append([first + number for number in alone[::skip]])
    assert rows.numbers.tolist() == [number for clip in wanted for number in clip]
    assert rows.breaks.tolist() == np.cumsum([len(clip) for clip in wanted])[:-1].tolist()
    assert rows.times[rows.breaks].tolist() == pytest.approx((breaks / 10).tolist())
    assert rows.fps == fps / skip


def test_fps_comes_before_skip():
    rows = rows_of(Made(np.arange(60) / 30, 2), asked(10, skip=2))
    assert (rows.numbers.tolist(), rows.fps) == ([0, 6, 12, 18, 24, 30, 36, 42, 48, 54], 5)
    np.testing.assert_allclose(rows.times, [*(np.arange(10) / 5), 2])


def test_one_picture():
    for fps in (None, 1, 25):
        rows = rows_of(Made([7], 7.04), asked(fps))
        assert (rows.numbers.tolist(), rows.times.tolist()) == ([0], [7, 7.04])


def test_a_film_of_changing_rate_is_played_as_a_player_does(tmp_path, numbers):
    """A second at 25, two pictures of half a second each, a second at 10."""
    path, random = tmp_path / "changing.mp4", np.random.default_rng(0)
    ticks = [*range(0, 1000, 40), 1000, 1500, *range(2000, 3000, 100)]
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=1000)
        stream.height, stream.width, stream.pix_fmt, stream.time_base = 24, 48, "yuv420p", Fraction(1, 1000)
        for number, tick in enumerate(ticks):
            bars = np.repeat((number >> np.arange(12)) & 1, 4) * 255
            picture = np.broadcast_to(bars[None, :, None], (24, 48, 3)).astype(np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = tick, Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    film = VideoFile(path)
    np.testing.assert_allclose(film.times, np.array(ticks) / 1000, atol=1e-4)
    for fps in (5, 8, 25, 40):
        rows = rows_of(film, Preprocessing((24, 48), fps=fps))
        wanted = shown(ticks, round(1000 * film.end), fps, 1000)
        read = np.stack([picture.frame(BARS) for picture in film.walk(rows.numbers)])
        assert numbers(read) == wanted
    some = np.sort(random.integers(0, len(ticks), 12))
    assert numbers(np.stack([picture.frame(BARS) for picture in film.walk(some)])) == some.tolist()


def test_the_digest_is_of_the_content_and_its_order(tmp_path):
    a, b = tmp_path / "a", tmp_path / "b"
    a.write_bytes(b"one")
    b.write_bytes(b"two")
    assert file_digest([a]) == hashlib.sha256(b"one").hexdigest()
    parts = hashlib.sha256(b"one").digest() + hashlib.sha256(b"two").digest()
    assert file_digest([a, b]) == hashlib.sha256(parts).hexdigest()
    assert file_digest([b, a]) != file_digest([a, b])
