"""Frames look as in a player: opaque, without interlacing, in the colours of an ordinary screen."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from latentseq.media import hdr
from latentseq.media.alpha import on_black
from latentseq.media.footage import rows_of
from latentseq.media.preprocessing import Preprocessing
from latentseq.media.video import VideoFile

SIZE = (32, 48)
ALPHA = {"auto-alt-ref": "0", "deadline": "realtime", "cpu-used": "8", "crf": "4", "b": "1M"}


def write(path: Path, codec: str, pixels: str, frames: list[av.VideoFrame], **options: str) -> Path:
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=25, options=options)
        first, context = frames[0], stream.codec_context
        stream.height, stream.width, stream.pix_fmt = first.height, first.width, pixels
        context.colorspace, context.color_trc = first.colorspace, first.color_trc
        context.color_primaries, context.color_range = first.color_primaries, first.color_range
        for frame in frames:
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def shown(path: Path, size: tuple[int, int] = SIZE, *, gray: bool = False, first: int = 0) -> np.ndarray:
    video = VideoFile(path)
    frames = [p.frame(Preprocessing(size, gray=gray)) for p in video.walk(np.arange(first, len(video.times)))]
    video.close()
    return np.stack(frames)


def see_through(count: int = 4) -> list[av.VideoFrame]:
    """A red film whose right half is green and cannot be seen; its middle is half of each."""
    pixels = np.zeros((*SIZE, 4), np.uint8)
    pixels[:, :32] = (255, 0, 0, 255)
    pixels[:, 16:32, 3] = 128
    pixels[:, 32:] = (0, 255, 0, 0)
    return [av.VideoFrame.from_ndarray(pixels, "rgba") for _ in range(count)]


@pytest.mark.parametrize(
    ("name", "codec", "pixels", "options"),
    [
        ("a.webm", "libvpx-vp9", "yuva420p", ALPHA),
        ("a.webm", "libvpx", "yuva420p", ALPHA),
        ("a.mkv", "libvpx-vp9", "yuva420p", ALPHA),
        ("a.mkv", "ffv1", "yuva420p", {}),
        ("a.mov", "qtrle", "argb", {}),
        ("a.mov", "prores_ks", "yuva444p10le", {}),
    ],
)
def test_what_is_transparent_is_black_in_every_container(name, codec, pixels, options, tmp_path):
    path = write(tmp_path / name, codec, pixels, see_through(), **options)
    for frame in shown(path).astype(int):
        for column, colour in ((8, (255, 0, 0)), (24, (128, 0, 0)), (40, (0, 0, 0))):
            np.testing.assert_allclose(frame[16, column], colour, atol=8)
    assert VideoFile(path).remark == "transparent parts are put on black"
    np.testing.assert_array_equal(shown(path, first=2), shown(path)[2:])


def test_a_film_that_is_opaque_has_no_remark(tmp_path):
    opaque = [av.VideoFrame.from_ndarray(np.full((*SIZE, 3), 99, np.uint8), "rgb24")] * 3
    assert VideoFile(write(tmp_path / "a.gif", "gif", "rgb8", opaque)).remark == ""


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_opacity_is_a_share_of_the_colour(dtype):
    most = np.iinfo(dtype).max
    pixels = np.array([[[most, 100, 0, most], [most, 100, 7, 0], [most, 100, 50, most // 5]]], dtype)
    expected = [[[most, 100, 0], [0, 0, 0], [most // 5, 20, 10]]]
    np.testing.assert_array_equal(on_black(pixels), expected)
    assert on_black(pixels).dtype == dtype


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("a.mp4", "libx264", {"x264-params": "tff=1", "crf": "1"}),
        ("a.mkv", "libx264", {"x264-params": "bff=1", "crf": "1"}),
        ("a.vob", "mpeg2video", {"flags": "+ildct+ilme", "qscale": "2"}),
    ],
)
def test_a_frame_of_an_interlaced_film_is_one_moment(name, codec, options, tmp_path):
    """Even rows show a bar where it is, and odd rows where it is a moment later: no comb may be seen."""
    frames = []
    for i in range(6):
        pixels = np.zeros((*SIZE, 3), np.uint8)
        pixels[0::2, 4 * i : 4 * i + 12] = 255
        pixels[1::2, 4 * i + 16 : 4 * i + 28] = 255
        frames.append(av.VideoFrame.from_ndarray(pixels, "rgb24"))
    path = write(tmp_path / name, codec, "yuv420p", frames, **options)
    film = shown(path, gray=True)[..., 0]
    assert len(film) == 6
    for i, frame in enumerate(film):
        assert frame[:, 4 * i + 3 : 4 * i + 9].min() > 200
        assert frame[:, 4 * i + 16 :].max() < 60
    assert VideoFile(path).detail.endswith("interlaced: of each frame the top field is taken")
    np.testing.assert_array_equal(shown(path, gray=True, first=4)[..., 0], film[4:])


def test_a_film_that_is_not_interlaced_keeps_all_its_rows(tmp_path):
    pixels = np.zeros((*SIZE, 3), np.uint8)
    pixels[::2] = 255
    frames = [av.VideoFrame.from_ndarray(pixels, "rgb24")] * 2
    film = shown(write(tmp_path / "a.mkv", "ffv1", "yuv420p", frames))
    assert film[:, ::2].min() > 250
    assert film[:, 1::2].max() < 5


@pytest.mark.parametrize(
    ("size", "said", "matrix"),
    [
        *(((720, 1280), 2, 1), ((720, 960), 2, 1), ((544, 1280), 2, 1), ((576, 720), 2, 5), ((48, 96), 2, 5)),
        *(((48, 96), 1, 1), ((720, 1280), 5, 5)),
    ],
)
def test_colours_are_bt709_in_hd_and_bt601_below_where_the_film_does_not_say(size, said, matrix, tmp_path):
    """Luma and chroma of each matrix by its definition: Kr, Kb."""
    red, blue = (0.2126, 0.0722) if matrix == 1 else (0.299, 0.114)
    colour = np.array([200, 60, 30]) / 255
    y = colour @ [red, 1 - red - blue, blue]
    u, v = (colour[2] - y) / (2 - 2 * blue), (colour[0] - y) / (2 - 2 * red)
    frame = av.VideoFrame(size[1], size[0], "yuv420p")
    for plane, value in zip(frame.planes, (16 + 219 * y, 128 + 224 * u, 128 + 224 * v), strict=True):
        plane.update(np.full(plane.buffer_size, round(value), np.uint8).tobytes())
    frame.colorspace, frame.color_range = said, 1
    film = shown(write(tmp_path / "a.mkv", "ffv1", "yuv420p", [frame]), (8, 8))
    np.testing.assert_allclose(film[0, 4, 4].astype(int), [200, 60, 30], atol=3)


def bright(transfer: int, signal: float, path: Path) -> Path:
    """An HDR film of one gray, a share of the range of its ten bits."""
    frame = av.VideoFrame(*SIZE[::-1], "yuv420p10le")
    for plane, value in zip(frame.planes, (64 + 876 * signal, 512, 512), strict=True):
        plane.update(np.full(plane.buffer_size // 2, round(value), "<u2").tobytes())
    frame.colorspace, frame.color_trc, frame.color_primaries, frame.color_range = 9, transfer, 9, 1
    return write(path, "ffv1", "yuv420p10le", [frame])


@pytest.mark.parametrize(
    ("transfer", "signal", "level"),
    [
        (hdr.PQ, 0.0, 0),
        (hdr.PQ, 0.3014, 73),  # 10 cd/m², of 203: (10 / 203) ** (1 / 2.4) of 255.
        (hdr.PQ, 0.4403, 142),  # 50 cd/m²
        (hdr.PQ, 0.7518, 255),  # 1,000 cd/m² is white, and so is what is brighter.
        (hdr.PQ, 1.0, 255),
        (hdr.HLG, 0.0, 0),
        (hdr.HLG, 0.5, 143),  # 1,000 · (1 / 12) ** 1.2 = 50.7 cd/m²
        (hdr.HLG, 1.0, 255),
    ],
)
def test_hdr_is_as_bright_as_an_ordinary_film_below_white(transfer, signal, level, tmp_path):
    path = bright(transfer, signal, tmp_path / "a.mkv")
    np.testing.assert_allclose(shown(path)[0].astype(int), level, atol=2)
    np.testing.assert_allclose(shown(path, gray=True)[0].astype(int), level, atol=2)
    assert VideoFile(path).remark == f"HDR ({hdr.TRANSFERS[transfer]}): tone-mapped to BT.709"


@pytest.mark.parametrize("transfer", [hdr.PQ, hdr.HLG])
def test_brighter_light_stays_brighter_up_to_white(transfer):
    signal = np.linspace(0, 0.75 if transfer == hdr.PQ else 1, 200)
    levels = hdr.to_standard(np.repeat(np.rint(signal * 65535)[:, None], 3, 1).astype(np.uint16), transfer)
    assert (np.diff(levels[:, 0].astype(int)) >= 0).all()
    assert len(np.unique(levels[signal > 0.6])) > 15  # Bright levels are still different.


def test_wide_colours_become_those_of_an_ordinary_screen():
    """Red of BT.709 is (0.6274, 0.0691, 0.0164) in BT.2020, ITU-R BT.2087; at 90 cd/m² its level is 182."""
    light = 90 * np.array([0.6274, 0.0691, 0.0164]) / 10_000
    power = light ** (2610 / 16384)
    signal = ((3424 / 4096 + 2413 / 128 * power) / (1 + 2392 / 128 * power)) ** (2523 / 32)
    level = hdr.to_standard(np.rint(signal * 65535).astype(np.uint16), hdr.PQ).astype(int)
    np.testing.assert_allclose(level, [182, 0, 0], atol=12)
    kept = hdr.to_standard(np.rint(signal * 65535).astype(np.uint16), hdr.PQ, primaries=1).astype(int)
    np.testing.assert_allclose(kept, np.rint((light * 10_000 / 203) ** (1 / 2.4) * 255), atol=2)


@pytest.mark.parametrize("rate", [Fraction(60), Fraction(30000, 1001)])
def test_a_stream_without_times_has_the_rate_of_its_header(rate, tmp_path):
    path = tmp_path / "a.h264"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=rate)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        for i in range(6):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(np.full((*SIZE, 3), 40 * i, np.uint8), "rgb24")))
        file.mux(stream.encode())
    video = VideoFile(path)
    assert rows_of(video, Preprocessing(SIZE)).fps == pytest.approx(float(rate))
    np.testing.assert_allclose(video.times, np.arange(6) / float(rate))
    np.testing.assert_allclose(shown(path)[:, 9, 9, 0].astype(int), [0, 40, 80, 120, 160, 200], atol=8)
    assert video.detail == "h264 yuv420p, no times of its own: taken to be evenly spaced"
