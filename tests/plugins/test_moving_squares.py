"""Moving squares: what a clip looks like, against a slow second implementation."""

import numpy as np
import pytest

from latentseq.errors import UsageError
from latentseq_plugins.datasets.moving_squares import MovingSquares


def _slowly(seed, i, length, size):
    """One clip, square by square and pixel by pixel."""
    random = np.random.default_rng([seed, i])
    squares = int(random.integers(3, 8))
    ys, xs = random.integers(0, size, (2, squares)).tolist()
    vys, vxs = random.integers(-1, 2, (2, squares)).tolist()
    radii = random.integers(2, 4, squares).tolist()
    frames = np.zeros((length, size, size, 1), np.uint8)
    for y, x, vy, vx, r in zip(ys, xs, vys, vxs, radii, strict=True):
        for t in range(length):
            for row in range(y + vy * t - r, y + vy * t + r):
                for column in range(x + vx * t - r, x + vx * t + r):
                    if 0 <= row < size and 0 <= column < size:
                        frames[t, row, column] = 255
    return frames


def test_a_slow_second_implementation_agrees():
    dataset = MovingSquares(seed=3)
    for i in range(0, 1200, 60):
        np.testing.assert_array_equal(dataset.read(i).frames, _slowly(3, i, 15, 40))


def test_its_size():
    dataset = MovingSquares()
    assert dataset.lengths.tolist() == [15] * 1200
    assert dataset.frame_shape == (40, 40, 1)
    assert dataset.split is None
    clip = dataset.read(0)
    assert clip.frames.shape == (15, 40, 40, 1)
    assert clip.frames.dtype == np.uint8
    assert clip.streams == {}
    assert set(np.unique(clip.frames).tolist()) == {0, 255}


def test_part_of_a_clip_is_part_of_it():
    dataset = MovingSquares(count=5)
    np.testing.assert_array_equal(dataset.read(2, 4, 9).frames, dataset.read(2).frames[4:9])
    windows = dataset.read_windows(np.array([2, 4]), np.array([0, 10]), 5).frames
    np.testing.assert_array_equal(windows[1], dataset.read(4).frames[10:])


def test_clips_differ_and_are_drawn_from_the_seed():
    a, b, other = MovingSquares(), MovingSquares(count=3, length=30), MovingSquares(seed=1)
    np.testing.assert_array_equal(a.read(2).frames, b.read(2, 0, 15).frames)
    assert (a.read(2).frames != a.read(1).frames).any()
    assert (a.read(2).frames != other.read(2).frames).any()
    assert a.fingerprint() != other.fingerprint()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"count": 0}, "moving-squares: option count is 0; expected 1 or more."),
        ({"size": 7}, "moving-squares: option size is 7; expected 8 or more."),
        ({"seed": -1}, "moving-squares: option seed is -1; expected 0 or more."),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(UsageError) as caught:
        MovingSquares(**options)
    assert str(caught.value) == message
