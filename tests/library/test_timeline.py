"""A film above its curve: the frame is unchanged, the cursor is at its time, and no peak is lost."""

import numpy as np
import pytest

from latentseq.drawing.picture import GENERATED, PRIMED, TEXT
from latentseq.drawing.timeline import clock, over_curve

VALUES = np.array([np.nan, 0.0, 1.0, 10.0, 2.0, 0.0, 1.0, 2.0])
TIMES = np.arange(8) / 2
FRAMES = np.random.default_rng(0).integers(0, 256, (8, 16, 20, 3), np.uint8)


def pictures(frames=FRAMES, values=VALUES, marks=(3,), times=TIMES):
    drawn = over_curve(frames, frames.shape[1:3], values, times=times, marks=marks, unit="nats")
    return np.stack(list(drawn))


def where(picture, colour):
    """Rows and columns of the pixels of the curve that have a colour."""
    rows, columns = np.nonzero((picture == colour).all(-1))
    below = rows > picture.shape[0] - 140
    return rows[below], columns[below]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "00:00.0"), (3.04, "00:03.0"), (59.96, "01:00.0"), (76.5, "01:16.5"), (4503.2, "75:03.2"), (600, "10:00.0")],
)
def test_a_time_in_minutes_and_seconds(seconds, text):
    assert clock(seconds) == text


def test_a_frame_is_enlarged_by_a_whole_factor():
    made = pictures()
    assert made.dtype == np.uint8 and made.shape[1] % 2 == made.shape[2] % 2 == 0
    left = (made.shape[2] - 20 * 25) // 2
    large = FRAMES.repeat(25, axis=1).repeat(25, axis=2)  # 500 pixels: no whole factor brings it nearer to 512.
    np.testing.assert_array_equal(made[:, 20 : 20 + 400, left : left + 500], large)


def test_gray_frames_between_0_and_1():
    gray = FRAMES[..., :1] / np.float32(255)
    np.testing.assert_array_equal(pictures(gray), pictures(np.repeat(FRAMES[..., :1], 3, axis=3)))


def test_the_cursor_moves_from_end_to_end():
    places = [np.median(where(picture, TEXT)[1]) for picture in pictures()]
    width = pictures().shape[2]
    assert places[0] <= 21 and places[-1] >= width - 22
    assert np.diff(places) == pytest.approx([np.diff(places).mean()] * 7, abs=1)


def test_cursor_curve_and_marks_are_at_the_times_of_their_frames():
    """A frame at 0, then none for 3.5 s, then one every 0.5 s."""
    times = np.array([0, 3.5, 4, 4.5, 5, 5.5, 6, 7])
    made = pictures(times=times)
    places = [np.median(where(picture, TEXT)[1]) for picture in made]
    assert places == pytest.approx(20 + 511 * times / 7, abs=2)
    assert abs(where(made[0], GENERATED)[1].mean() - (20 + 511 * 4.5 / 7)) < 2
    rows, columns = where(made[0], PRIMED)
    assert abs(columns[rows.argmin()] - (20 + 511 * 4.5 / 7)) < 3


def test_a_dot_is_on_the_curve_and_the_first_frame_has_none():
    made = pictures(marks=())
    assert len(where(made[0], GENERATED)[0]) == 0
    heights = [where(picture, GENERATED)[0].mean() for picture in made[1:]]
    share = (max(heights) - np.array(heights)) / (max(heights) - min(heights))
    assert share == pytest.approx(VALUES[1:] / 10, abs=0.02)


def test_a_mark_stands_over_its_frame():
    picture = pictures()[0]
    assert abs(where(picture, GENERATED)[1].mean() - (20 + 511 * 3 / 7)) < 2


@pytest.mark.parametrize("at", [60, 700, 2501, 4999])
def test_of_many_frames_no_peak_is_lost(at):
    values = np.zeros(5000)
    values[at] = 1
    times = np.arange(5000) / 25
    picture = next(over_curve([FRAMES[0]], (16, 20), values, times=times, marks=(), unit="nats"))
    rows, columns = where(picture, PRIMED)
    assert abs(columns[rows.argmin()] - (20 + at / 4999 * 511)) < 3
    assert np.ptp(rows) > 100


def test_a_curve_that_is_flat():
    rows, _ = where(pictures(values=np.full(8, 3.0), marks=())[0], PRIMED)
    assert np.ptp(rows) <= 2
