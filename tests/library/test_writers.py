"""Written files, read again with other libraries."""

import hashlib
import os
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageSequence

from latentseq.drawing import writers
from latentseq.drawing.picture import Row, animation, sheet
from latentseq.errors import DataError, UsageError
from latentseq.media.animation import Animation
from latentseq.media.footage import rows_of
from latentseq.media.preprocessing import Preprocessing
from latentseq.media.video import VideoFile

FPS = 10
ARRAYS = {"truth": np.arange(24, dtype=np.uint8).reshape(2, 3, 4), "file": np.float32(0.5), "names": np.array(["a"])}


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """A bright square that moves over a coloured gradient, and a gray row that is generated from frame 4 on."""
    y, x = np.indices((32, 32))
    frames = np.stack([np.stack([8 * y, 8 * x, 128 + 0 * x], -1)] * 9).astype(np.uint8)
    for t in range(9):
        frames[t, 10:20, 2 * t : 2 * t + 10] = 240
    return [Row("truth", frames), Row("model", frames[..., :1] / np.float32(255), generated=True)]


def save(path: Path, rows: list[Row], **changed) -> str:
    return writers.write(path, rows, **{"border_at": 4, "fps": FPS, "arrays": ARRAYS} | changed)


def decoded(path: Path) -> tuple[np.ndarray, list[float]]:
    """Frames, and the second at which each begins, with the end of the last."""
    if path.suffix == ".mp4":
        with av.open(path) as container:
            frames = list(container.decode(video=0))
            ends = float(container.streams.video[0].duration * container.streams.video[0].time_base)
        return np.stack([f.to_ndarray(format="rgb24") for f in frames]), [*(f.time for f in frames), ends]
    frames, times = [], [0.0]
    with Image.open(path) as image:
        for frame in ImageSequence.Iterator(image):
            frames.append(np.array(frame.convert("RGB")))
            times.append(times[-1] + frame.info["duration"] / 1000)
    return np.stack(frames), times


@pytest.mark.parametrize("suffix", writers.suffixes())
def test_the_same_input_gives_the_same_bytes(tmp_path: Path, rows: list[Row], suffix: str) -> None:
    one, two = tmp_path / f"one{suffix}", tmp_path / f"two{suffix}"
    assert save(one, rows) == save(two, rows) == hashlib.sha256(one.read_bytes()).hexdigest()
    assert one.read_bytes() == two.read_bytes()
    assert sorted(tmp_path.iterdir()) == [one, two]


@pytest.mark.parametrize(("suffix", "allowed"), [(".mp4", 4.0), (".gif", 3.0), (".webp", 0.0)])
def test_what_moves_has_every_frame_at_its_time(tmp_path: Path, rows: list[Row], suffix: str, allowed: float) -> None:
    save(tmp_path / f"out{suffix}", rows)
    frames, times = decoded(tmp_path / f"out{suffix}")
    expected = animation(rows, border_at=4)
    assert frames.shape == expected.shape
    errors = np.sqrt(((frames.astype(float) - expected) ** 2).mean((1, 2, 3)))
    assert errors.max() <= allowed
    assert np.allclose(times, np.arange(10) / FPS, atol=0.002)


def test_a_greyscale_gif_keeps_its_greys(tmp_path: Path) -> None:
    frames = np.arange(240, dtype=np.uint8).reshape(1, 15, 16, 1).repeat(3, axis=0)
    panel = (animation([Row("grey", np.full((1, 15, 16, 3), (1, 254, 7), np.uint8))])[0] == (1, 254, 7)).all(-1)
    save(tmp_path / "out.gif", [Row("grey", frames)], border_at=None)
    error = np.abs(decoded(tmp_path / "out.gif")[0][0].astype(int) - animation([Row("grey", frames)])[0])[panel]
    assert error.max() == 0


@pytest.mark.parametrize("suffix", [".gif", ".webp"])
def test_it_loops_for_ever(tmp_path: Path, rows: list[Row], suffix: str) -> None:
    save(tmp_path / f"out{suffix}", rows)
    with Image.open(tmp_path / f"out{suffix}") as image:
        assert image.info["loop"] == 0


@pytest.mark.parametrize("fps", [7.0, 24.0, 30.0, 29.97, 50.0, 60.0, 144.0])
@pytest.mark.parametrize("suffix", [".gif", ".webp", ".mp4"])
def test_the_speed_is_right_at_every_rate(tmp_path: Path, suffix: str, fps: float) -> None:
    frames = np.random.default_rng(0).integers(0, 255, (60, 4, 4, 1), dtype=np.uint8)
    save(tmp_path / f"out{suffix}", [Row("noise", frames)], fps=fps, border_at=None)
    times = decoded(tmp_path / f"out{suffix}")[1]
    steps = np.diff(times)
    assert abs(times[-1] - 60 / fps) <= 0.03
    assert len(steps) == 60 or (fps > 50 and suffix != ".mp4")
    assert steps.min() >= {".gif": 0.02, ".webp": 0.011, ".mp4": 0.0}[suffix] - 1e-9
    assert np.abs(steps - steps.mean()).max() <= 0.0101


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".mp4", ".png"])
def test_one_frame(tmp_path: Path, suffix: str) -> None:
    row = Row("one", np.full((1, 4, 4, 3), 77, np.uint8))
    save(tmp_path / f"out{suffix}", [row], border_at=None)
    if suffix != ".png":
        assert len(decoded(tmp_path / f"out{suffix}")[0]) == 1


def test_mp4_is_what_every_player_plays(tmp_path: Path, rows: list[Row]) -> None:
    save(tmp_path / "out.mp4", rows, fps=29.97)
    with av.open(tmp_path / "out.mp4") as container:
        video = container.streams.video[0]
        expected = "h264" if "libx264" in av.codecs_available else "mpeg4"
        assert (video.codec_context.name, video.pix_fmt) == (expected, "yuv420p")
        assert video.average_rate == Fraction(2997, 100)
        assert video.width % 2 == video.height % 2 == 0


def test_mp4_does_not_depend_on_what_memory_held_before(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
import numpy as np
from latentseq.drawing.writers import write_frames

y, x = np.indices((240, 322))
frames = np.stack([np.stack([100 + 3 * y, 3 * x, 128 + 0 * x], -1) % 256] * 30).astype(np.uint8)
for t in range(30):
    frames[t, 6:16, 3 * t : 3 * t + 10] = 235
write_frames(Path(sys.argv[1]), lambda: [frames], times=np.arange(30) / 25, fps=25.0)
"""
    for fill in ("1", "85"):
        path, environment = tmp_path / f"{fill}.mp4", {**os.environ, "MALLOC_PERTURB_": fill}
        subprocess.run([sys.executable, "-c", code, path], env=environment, check=True, capture_output=True)
    assert (tmp_path / "1.mp4").read_bytes() == (tmp_path / "85.mp4").read_bytes()


def test_mp4_without_an_h264_encoder(tmp_path: Path, rows: list[Row], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writers.av, "codecs_available", {"mpeg4"})
    assert save(tmp_path / "one.mp4", rows) == save(tmp_path / "two.mp4", rows)
    frames, _ = decoded(tmp_path / "one.mp4")
    with av.open(tmp_path / "one.mp4") as container:
        assert container.streams.video[0].codec_context.name == "mpeg4"
    assert np.sqrt(((frames - animation(rows, border_at=4).astype(float)) ** 2).mean()) < 5


def test_png_is_the_sheet(tmp_path: Path, rows: list[Row]) -> None:
    save(tmp_path / "out.png", rows)
    with Image.open(tmp_path / "out.png") as image:
        assert (np.array(image) == sheet(rows, border_at=4)).all()


def test_npz_is_the_arrays(tmp_path: Path, rows: list[Row]) -> None:
    save(tmp_path / "out.npz", [])
    with np.load(tmp_path / "out.npz", allow_pickle=False) as archive:
        assert sorted(archive) == sorted(ARRAYS)
        for name, array in ARRAYS.items():
            assert archive[name].dtype == np.asarray(array).dtype
            assert (archive[name] == array).all() and archive[name].shape == array.shape


def test_npz_holds_no_objects(tmp_path: Path) -> None:
    with pytest.raises(DataError) as caught:
        save(tmp_path / "out.npz", [], arrays={"a": np.array([None])})
    assert str(caught.value) == "Array 'a' has dtype object; expected numbers or text."
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".gif", ".mp4", ".png", ".webp"])
def test_rows_that_cannot_be_drawn_leave_nothing_and_keep_what_was(tmp_path: Path, suffix: str) -> None:
    path, bad = tmp_path / f"out{suffix}", [Row("a", np.zeros((2, 8), np.uint8))]
    with pytest.raises(DataError):
        save(path, bad)
    assert not list(tmp_path.iterdir())
    path.write_bytes(b"earlier")
    with pytest.raises(DataError):
        save(path, bad)
    assert path.read_bytes() == b"earlier" and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("suffix", [".gif", ".mp4", ".webp"])
def test_a_failure_half_way_leaves_nothing(
    tmp_path: Path, rows: list[Row], suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(rows, *, border_at):
        yield from animation(rows, border_at=border_at)[:3]
        raise MemoryError("half way")

    monkeypatch.setattr(writers, "moments", breaks)
    (tmp_path / f"out{suffix}").write_bytes(b"earlier")
    with pytest.raises(MemoryError, match="half way"):
        save(tmp_path / f"out{suffix}", rows)
    assert (tmp_path / f"out{suffix}").read_bytes() == b"earlier" and len(list(tmp_path.iterdir())) == 1


def test_a_gif_stores_what_changes_only(tmp_path: Path) -> None:
    still = np.random.default_rng(0).integers(0, 255, (1, 64, 64, 1), dtype=np.uint8).repeat(20, axis=0)
    save(tmp_path / "one.gif", [Row("noise", still[:1])], border_at=None)
    save(tmp_path / "all.gif", [Row("noise", still)], border_at=None)
    assert (tmp_path / "all.gif").stat().st_size < 1.5 * (tmp_path / "one.gif").stat().st_size


def test_colours_of_a_gif_are_the_nearest_of_its_palette() -> None:
    rng = np.random.default_rng(0)
    palette = rng.integers(0, 256, (200, 3), dtype=np.uint8)
    pictures = rng.integers(0, 256, (3, 40, 50, 3), dtype=np.uint8)
    distance = ((pictures[..., None, :].astype(int) - palette) ** 2).sum(-1)
    for image, expected in zip(writers._indexed(iter(pictures), palette), distance.min(-1), strict=True):
        chosen = ((np.array(image.convert("RGB")).astype(int) - pictures[0]) ** 2).sum(-1)
        assert (chosen == expected).all()
        pictures = pictures[1:]


def test_suffixes() -> None:
    assert writers.suffixes() == (".gif", ".mp4", ".npz", ".png", ".webp")
    assert [writers.check_suffix(Path(f"a.b{s.upper()}")) for s in writers.suffixes()] == list(writers.suffixes())


END = "The suffix decides what is written: a video, a contact sheet (.png) or arrays (.npz)."


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "out.mpg",
            "out.mpg ends in '.mpg'; expected one of .gif, .mp4, .npz, .png and .webp. Did you mean '.mp4'? ",
        ),
        ("a.jpeg", "a.jpeg ends in '.jpeg'; expected one of .gif, .mp4, .npz, .png and .webp. Did you mean '.png'? "),
        (
            "a.wepb",
            "a.wepb ends in '.wepb'; expected one of .gif, .mp4, .npz, .png and .webp. Did you mean '.webp'? ",
        ),
        ("a.xyz", "a.xyz ends in '.xyz'; expected one of .gif, .mp4, .npz, .png and .webp. "),
        ("out", "out has no suffix; expected one of .gif, .mp4, .npz, .png and .webp. "),
    ],
)
def test_another_suffix(tmp_path: Path, rows: list[Row], name: str, message: str) -> None:
    for refuse in (writers.check_suffix, lambda path: save(path, rows)):
        with pytest.raises(UsageError) as caught:
            refuse(tmp_path / name)
        assert str(caught.value) == message + END
    assert not list(tmp_path.iterdir())


def film(path: Path, times, fps: float, *, still: bool = False) -> Path:
    """Flat frames of different brightness, written as plain frames."""
    count = len(times)
    levels = np.full(count, 9) if still else np.arange(count) % 250
    frames = np.broadcast_to(levels.astype(np.uint8)[:, None, None, None], (count, 16, 16, 3))
    writers.write_frames(path, lambda: [frames], times=np.array(times, np.float64), fps=fps)
    return path


def timed(path: Path) -> tuple[np.ndarray, float, float]:
    """Times of the frames of a file, its end and its rate, as it is read."""
    footage = Animation(path) if path.suffix == ".webp" else VideoFile(path)
    return footage.times, footage.end, rows_of(footage, Preprocessing((8, 8))).fps


@pytest.mark.parametrize("suffix", [".gif", ".mp4", ".webp"])
def test_a_frame_rate_comes_back(tmp_path: Path, suffix: str) -> None:
    """Times of a GIF, whose delays are 3, 4, 3, 3, … hundredths of a second, 10.01 s in all."""
    times, end, rate = timed(film(tmp_path / f"out{suffix}", np.arange(300) * 1001 / 30000, 30000 / 1001))
    assert rate == pytest.approx(30000 / 1001, abs=1e-6)
    assert (len(times), end) == (300, pytest.approx(10.01))
    assert set(np.rint(np.diff(times) * 100)) == {3, 4} or suffix != ".gif"


@pytest.mark.parametrize("suffix", [".gif", ".mp4", ".webp"])
def test_frames_are_written_at_their_times(tmp_path: Path, suffix: str) -> None:
    moments = [0, 0.04, 0.08, 0.28, 0.48, 0.5, 5, 80]
    times, end, rate = timed(film(tmp_path / f"out{suffix}", moments, 0.2))
    assert times.tolist() == pytest.approx(moments)
    assert end == pytest.approx(85)
    assert rate == pytest.approx(8 / 85)


def test_times_that_a_container_rounded_are_those_of_the_rate(tmp_path: Path) -> None:
    exact = film(tmp_path / "exact.mp4", np.arange(50) / 24, 24.0)
    rounded = film(tmp_path / "rounded.mp4", np.round(np.arange(50) / 24, 3), 24.0)
    assert exact.read_bytes() == rounded.read_bytes()


def test_a_gif_leaves_out_what_comes_too_soon(tmp_path: Path) -> None:
    times, end, _ = timed(film(tmp_path / "out.gif", [0, 0.01, 0.02, 0.5, 0.505, 0.51, 1], 4.0))
    assert times.tolist() == pytest.approx([0, 0.02, 0.5, 1])
    assert end == pytest.approx(1.25)


@pytest.mark.parametrize(("suffix", "seconds"), [(".mp4", 3600), (".webp", 3600), (".gif", 600), (".mp4", 43_200)])
def test_a_frame_that_is_shown_for_hours(tmp_path: Path, rows: list[Row], suffix: str, seconds: int) -> None:
    times, end, rate = timed(film(tmp_path / f"out{suffix}", np.arange(4.0) * seconds, 1 / seconds))
    assert times.tolist() == [0, seconds, 2 * seconds, 3 * seconds]
    assert (end, rate) == (4 * seconds, 1 / seconds)
    save(tmp_path / f"rows{suffix}", rows, fps=1 / seconds)
    assert np.diff(timed(tmp_path / f"rows{suffix}")[0]) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("suffix", "times", "what", "most"),
    [
        (".gif", [0, 3600], "A frame would be shown for 3,600 s, and GIF", "655.35 s"),
        (".gif", [0, 1, 700], "A frame would be shown for 699 s, and GIF", "655.35 s"),
        (".mp4", [0, 50_000], "A frame would be shown for 50,000 s, and MP4", "43,200 s"),
        (".webp", [0, 20_000], "A frame would be shown for 20,000 s, and WEBP", "16,777.215 s"),
        (
            ".webp",
            range(0, 2_160_000, 3600),
            "The animation would be shown for 2,160,000 s, and WEBP",
            "2,147,483.647 s",
        ),
    ],
)
def test_a_time_that_a_format_cannot_say(tmp_path: Path, suffix: str, times, what: str, most: str) -> None:
    with pytest.raises(UsageError) as caught:
        film(tmp_path / f"out{suffix}", times, 1 / max(1, times[1]))
    assert str(caught.value) == (f"{what} can store at most {most}. Choose another format, or a higher frame rate.")


def test_equal_frames_are_one_that_is_shown_for_too_long(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^A frame would be shown for 1,000 s, and GIF can store at most 655\."):
        film(tmp_path / "out.gif", np.arange(5) * 200.0, 1 / 200, still=True)


@pytest.mark.parametrize("fps", [0.0, -1.0, float("nan"), float("inf")])
def test_a_frame_rate_that_is_none(tmp_path: Path, rows: list[Row], fps: float) -> None:
    with pytest.raises(UsageError) as caught:
        save(tmp_path / "out.gif", rows, fps=fps)
    assert str(caught.value) == f"fps is {fps}; expected a number of frames per second above 0."
    with pytest.raises(UsageError, match="expected a number of frames per second above 0"):
        film(tmp_path / "out.mp4", [0.0], fps)
