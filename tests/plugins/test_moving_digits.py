"""Moving digits: the motion and the painting against a slow second implementation, the splits, the files."""

import gzip
import math
import struct

import numpy as np
import pytest

from latentseq.errors import DataError, UsageError
from latentseq_plugins.datasets.moving_digits import MovingDigits

OPTIONS = {"count": 12, "held_out": 4, "length": 12}


@pytest.fixture
def squares(tmp_path):
    """A file of 16 white pictures, image i with a mark of its own number at its second row and column."""
    images = np.full((16, 6, 6), 255, np.uint8)
    images[:, 1, 1] = np.arange(100, 116)
    path = tmp_path / "squares.npz"
    np.savez(path, images=images)
    return str(path)


def _slowly(images, split, i, *, seed, number, size, speed, bounce, colour, length):
    """One clip, with loops over digits, frames and pixels: the definition in the docstring, word by word."""
    side, first = len(images[0]), {0: 0, 1: int(len(images) * 0.75), 2: int(len(images) * 0.875)}
    ends = {0: first[1], 1: first[2], 2: len(images)}
    random = np.random.Generator(np.random.Philox(key=[seed, split], counter=[0, 0, 0, i]))
    start = [[random.random() for _ in range(5)] for _ in range(number)]
    turns = [[(random.random(), random.random()) for _ in range(number)] for _ in range(length)]
    frames = np.zeros((length, size, size, 3 if colour else 1), np.uint8)
    room = size - side
    for k, (which, y, x, direction, hue) in enumerate(start):
        image = images[first[split] + int(which * (ends[split] - first[split]))]
        tint = _rgb(hue) if colour else [1.0]
        y, x = y * room, x * room
        vy, vx = speed * math.sin(2 * math.pi * direction), speed * math.cos(2 * math.pi * direction)
        for t in range(length):
            for row in range(side):
                for column in range(side):
                    for c, share in enumerate(tint):
                        value = round(float(image[row, column]) * share)
                        old = frames[t, int(y) + row, int(x) + column, c]
                        frames[t, int(y) + row, int(x) + column, c] = max(old, value)
            y, x = y + vy, x + vx
            above, below, left, right = y <= 0, y >= room, x <= 0, x >= room
            if bounce == "random" and (above or below or left or right):
                turn, pace = turns[t][k]
                vy = speed * (0.5 + pace) * math.sin(2 * math.pi * turn)
                vx = speed * (0.5 + pace) * math.cos(2 * math.pi * turn)
            y, x = min(max(y, 0), room), min(max(x, 0), room)
            vy = abs(vy) if above else -abs(vy) if below else vy
            vx = abs(vx) if left else -abs(vx) if right else vx
    return frames


def _rgb(hue):
    import colorsys

    return colorsys.hsv_to_rgb(hue, 1.0, 1.0)


@pytest.mark.parametrize("bounce", ["deterministic", "random"])
@pytest.mark.parametrize("colour", [False, True])
def test_a_slow_second_implementation_agrees(bounce, colour, squares):
    images = np.load(squares)["images"]
    motion = {"number": 3, "size": 15, "speed": 2.7, "bounce": bounce, "colour": colour, "seed": 5}
    dataset = MovingDigits(digits=squares, digit_size=6, **motion, **OPTIONS)
    for i, split, within in [(0, 0, 0), (11, 0, 11), (12, 1, 0), (15, 1, 3), (16, 2, 0), (19, 2, 3)]:
        expected = _slowly(images, split, within, length=12, **motion)
        np.testing.assert_array_equal(dataset.read(i).frames, expected)


@pytest.mark.parametrize("bounce", ["deterministic", "random"])
def test_windows_are_the_rows_of_read(bounce, squares):
    dataset = MovingDigits(digits=squares, digit_size=6, size=20, bounce=bounce, **OPTIONS)
    clips, starts = np.array([19, 3, 3, 0, 12]), np.array([0, 7, 2, 5, 1])
    windows = dataset.read_windows(clips, starts, 5).frames
    assert windows.shape == (5, 5, 20, 20, 1)
    for window, i, start in zip(windows, clips, starts, strict=True):
        np.testing.assert_array_equal(window, dataset.read(i, start, start + 5).frames)
        np.testing.assert_array_equal(window, dataset.read(i).frames[start : start + 5])


def test_a_digit_flies_straight_and_bounces(squares):
    dataset = MovingDigits(digits=squares, digit_size=6, size=40, number=1, speed=3.0, count=200, held_out=1)
    straight = bounced = 0
    for i in range(200):
        frames = dataset.read(i).frames[..., 0]
        corners = np.array([[np.flatnonzero(f.any(axis))[0] for axis in (1, 0)] for f in frames])
        assert corners.min() >= 0
        assert corners.max() <= 34
        for axis in (0, 1):
            steps = np.diff(corners[:, axis])
            assert np.abs(steps).max() <= 3
            inside = (corners[:, axis] > 3) & (corners[:, axis] < 31)
            if inside.all():
                straight += 1
                assert steps.max() - steps.min() <= 1  # Whole pixels of one constant velocity.
            elif steps.min() < 0 < steps.max():
                bounced += 1
    assert straight > 30
    assert bounced > 30


def test_random_bounces_change_speed_and_direction(squares):
    dataset = MovingDigits(
        digits=squares, digit_size=6, size=40, number=1, speed=4.0, bounce="random", length=100, count=30, held_out=1
    )
    _, corners = dataset._plan(np.arange(30), 100)
    speeds = np.linalg.norm(np.diff(corners[:, :, 0], axis=1), axis=-1)
    assert corners.min() == 0
    assert corners.max() == 34
    assert speeds.max() > 5
    assert speeds.max() <= 4 * 1.5 + 2**0.5
    plain = MovingDigits(digits=squares, digit_size=6, size=40, number=1, speed=4.0, length=100, count=30, held_out=1)
    np.testing.assert_array_equal(plain.read(0, 0, 1).frames, dataset.read(0, 0, 1).frames)


def test_splits_share_no_image(squares):
    dataset = MovingDigits(digits=squares, digit_size=6, size=30, number=1, count=300, held_out=60, length=1)
    assert dataset.split.tolist() == ["train"] * 300 + ["validation"] * 60 + ["test"] * 60
    assert dataset.lengths.tolist() == [1] * 420
    seen = {}
    for i, split in enumerate(dataset.split.tolist()):
        marks = set(np.unique(dataset.read(i).frames).tolist()) - {0, 255}
        seen.setdefault(split, set()).update(marks)
    assert seen == {"train": set(range(100, 112)), "validation": {112, 113}, "test": {114, 115}}


def test_a_clip_depends_on_the_seed_its_split_and_its_number_only(squares):
    def of(**other):
        return MovingDigits(**{"digits": squares, "digit_size": 6, "size": 30, **OPTIONS, **other})

    a, longer, more, other = of(), of(length=30), of(count=50, held_out=9), of(seed=1)
    np.testing.assert_array_equal(a.read(5).frames, longer.read(5, 0, 12).frames)
    np.testing.assert_array_equal(a.read(5).frames, more.read(5).frames)
    np.testing.assert_array_equal(a.read(12).frames, more.read(50).frames)  # The first of validation.
    np.testing.assert_array_equal(a.read(16).frames, more.read(59).frames)  # The first of test.
    np.testing.assert_array_equal(a.read(5).frames, of().read(5).frames)
    assert (a.read(5).frames != other.read(5).frames).any()
    assert (a.read(5).frames != a.read(6).frames).any()
    assert (a.read(0).frames != a.read(12).frames).any()


def test_the_bundled_digits_need_no_file():
    dataset = MovingDigits(**OPTIONS)
    clip = dataset.read(0)
    assert clip.frames.shape == (12, 64, 64, 1)
    assert clip.frames.dtype == np.uint8
    assert clip.streams == {}
    assert clip.frames.max() > 200
    assert dataset.frame_shape == (64, 64, 1)
    assert MovingDigits(colour=True, size=32, digit_size=14, **OPTIONS).read(0).frames.shape == (12, 32, 32, 3)


def test_a_digit_as_large_as_the_frame_stays(squares):
    frames = MovingDigits(digits=squares, digit_size=6, size=6, number=1, **OPTIONS).read(0).frames
    assert (frames == frames[0]).all()


def test_idx_files_plain_and_zipped(squares, tmp_path):
    images = np.load(squares)["images"]
    data = b"\0\0\x08\x03" + struct.pack(">III", *images.shape) + images.tobytes()
    (tmp_path / "images-idx3-ubyte").write_bytes(data)
    (tmp_path / "images-idx3-ubyte.gz").write_bytes(gzip.compress(data))
    expected = MovingDigits(digits=squares, digit_size=6, **OPTIONS)
    for name in ("images-idx3-ubyte", "images-idx3-ubyte.gz"):
        dataset = MovingDigits(digits=str(tmp_path / name), digit_size=6, **OPTIONS)
        np.testing.assert_array_equal(dataset.read(2).frames, expected.read(2).frames)
        assert dataset.fingerprint() == expected.fingerprint()
    assert MovingDigits(digits=squares, digit_size=8, **OPTIONS).fingerprint() != expected.fingerprint()


def test_the_config_builds_the_same_again(squares):
    dataset = MovingDigits.from_config({"digits": squares, "digit_size": 6, "speed": 2, **OPTIONS})
    again = MovingDigits.from_config(dataset.get_config())
    assert again.get_config() == dataset.get_config()
    np.testing.assert_array_equal(again.read(3).frames, dataset.read(3).frames)


EXPECTED = (
    "Expected an .npz file with images (n, h, h) uint8, where n is 8 or more, or an MNIST idx file of images, which "
    "may be gzipped."
)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("none.npz", None, "No such file or directory"),
        ("text.idx", b"hello", "it does not start like an idx file of bytes"),
        ("short.idx", b"\0\0\x08\x01\0\0\0\x09abc", "its number of values is 3, but its header says 9"),
        (
            "few.idx",
            b"\0\0\x08\x03\0\0\0\x02\0\0\0\x01\0\0\0\x01ab",
            "its number of images is 2, too few for three splits",
        ),
        ("labels.idx", b"\0\0\x08\x01\0\0\0\x03abc", "its array is (3,) uint8"),
        ("text.gz", b"hello", "Not a gzipped file (b'he')"),
    ],
)
def test_files_without_digits(name, content, reason, tmp_path):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        MovingDigits(digits=str(path))
    assert str(caught.value) == f"{path} cannot be read as digits: {reason}. {EXPECTED}"


@pytest.mark.parametrize("arrays", [{"labels": np.zeros(9)}, {"images": np.array([{}] * 9)}])
def test_npz_files_without_digits(arrays, tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **arrays)
    with pytest.raises(DataError, match=r"a\.npz cannot be read as digits: .*Expected an \.npz file with images"):
        MovingDigits(digits=str(path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"number": 0}, "moving-digits: option number is 0; expected 1 or more."),
        ({"size": 20}, "moving-digits: option digit_size is 28; expected 1 to 20, the side of the frame."),
        ({"speed": -1}, "moving-digits: option speed is -1; expected 0 to 64 pixels a frame, the side of the frame."),
        ({"bounce": "rnd"}, "moving-digits: option bounce is 'rnd'; expected 'deterministic' or 'random'."),
        ({"held_out": 0}, "moving-digits: option held_out is 0; expected 1 or more."),
        ({"seed": -1}, "moving-digits: option seed is -1; expected 0 to 2**64 - 1."),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(UsageError) as caught:
        MovingDigits(**options)
    assert str(caught.value) == message


def test_clips_and_frames_that_do_not_exist(squares):
    dataset = MovingDigits(digits=squares, digit_size=6, **OPTIONS)
    with pytest.raises(UsageError, match="Clip 20 does not exist: moving-digits has clips 0 to 19"):
        dataset.read(20)
    with pytest.raises(UsageError, match="Frames 9 to 13 of clip 0 were requested; it has frames 0 to 11"):
        dataset.read_windows(np.array([0]), np.array([9]), 5)


def test_the_floors_of_the_published_protocol(shared):
    dataset = MovingDigits(digits=str(shared / "data" / "digits.npz"))
    held_out, black, copy = np.flatnonzero(dataset.split != "train"), [], []
    for clips in np.array_split(held_out, 10):
        frames = dataset.read_windows(clips, np.zeros(len(clips), int), 20).frames.astype(np.float32) / 255
        black.append((frames[:, 10:] ** 2).sum((2, 3, 4)).mean())
        copy.append(((frames[:, 10:] - frames[:, 9:10]) ** 2).sum((2, 3, 4)).mean())
    assert np.mean(black) == pytest.approx(188, rel=0.05)
    assert np.mean(copy) == pytest.approx(304, rel=0.05)
