"""Video files are read by frame number, exactly."""

import hashlib
import os
import signal
import struct
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from latentseq.errors import DataError
from latentseq.media.footage import rows_of
from latentseq.media.preprocessing import MAX_PIXELS, Preprocessing
from latentseq.media.video import VideoFile, is_video

SMALL = Preprocessing((24, 48), fit="stretch", gray=True)

KINDS = {
    "b-frames.mp4": {"codec": "libx264", "options": {"bf": "3", "b_strategy": "0"}},
    "b-frames.mkv": {"codec": "libx264", "options": {"bf": "3", "b_strategy": "0"}},
    "open-gop.mp4": {"codec": "libx264", "options": {"x264-params": "open-gop=1:b-adapt=0:bframes=3"}},
    "refresh.mp4": {"codec": "libx264", "options": {"x264-params": "intra-refresh=1:keyint=12"}},
    "vp8.webm": {"codec": "libvpx", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "vp9.webm": {"codec": "libvpx-vp9", "options": {"deadline": "realtime", "cpu-used": "8"}},
    "mpeg4.avi": {"codec": "mpeg4", "options": {"bf": "2"}},
    "stream.ts": {"codec": "libx264", "options": {"bf": "3"}},
    # Matroska rounds times to milliseconds, so at this rate some frames have the same time.
    "high-speed.mkv": {"codec": "libx264", "fps": 3000},
}


def frames(video, chosen, preprocessing=SMALL):
    """Frames (t, h, w, c) of the pictures with these numbers."""
    return np.stack([picture.frame(preprocessing) for picture in video.walk(np.array(chosen))])


@pytest.mark.parametrize("kind", KINDS)
def test_frames_come_by_number_in_any_order(kind, write_movie, numbers):
    video = VideoFile(write_movie(kind, 40, **KINDS[kind]))
    assert len(video.times) == 40
    for i in [0, 39, 3, 4, 5, 30, 11, 12, 13, 0, 38]:
        assert numbers(frames(video, [i])) == [i]
    assert numbers(frames(video, range(7, 33))) == list(range(7, 33))
    leaps = [0, 0, 1, 13, 13, 13, 14, 30, 38, 38]
    assert numbers(frames(video, leaps)) == leaps
    video.close()
    assert numbers(frames(video, [20, 21, 22])) == [20, 21, 22]


@pytest.mark.parametrize("kind", KINDS)
def test_times_are_those_of_the_frames(kind, write_movie):
    path = write_movie(kind, 40, **KINDS[kind])
    rate = KINDS[kind].get("fps", 25)
    video = VideoFile(path)
    with av.open(str(path)) as file:
        first = next(file.decode(video=0)).time
    # Matroska rounds times to milliseconds.
    np.testing.assert_allclose(video.times, first + np.arange(40) / rate, atol=1e-3)
    assert video.end == pytest.approx(first + 40 / rate, abs=2e-3)
    assert (np.diff(video.times) > 0).all()
    assert video.rate == pytest.approx(rate, rel=0.01)
    assert (video.kind, video.timed, video.sound, video.gray, video.size) == ("video", True, False, False, (48, 96))
    assert video.breaks.tolist() == []
    assert video.detail.endswith(" yuv420p")
    assert video.digest() == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_frame_that_is_asked_for_again_is_not_decoded_again(write_movie, monkeypatch):
    video = VideoFile(write_movie("a.mp4", 40))
    starts, decode = [], video._decode
    monkeypatch.setattr(video, "_decode", lambda start: starts.append(start) or decode(start))
    whole = frames(video, np.repeat(np.arange(40), 3))
    np.testing.assert_array_equal(whole[::3], whole[1::3])
    np.testing.assert_array_equal(whole[::3], whole[2::3])
    assert starts == [0]


def test_two_threads_read_the_same_footage_at_once(write_movie, numbers):
    video = VideoFile(write_movie("a.mp4", 60, **KINDS["b-frames.mp4"]))
    assert numbers(frames(video, [30])) == [30]  # Open files are not shared.
    orders = [list(range(i, 60, 3)) for i in range(3)] * 2

    def read(order):
        own = video.another()
        found = [numbers(frames(own, [i])) for i in order]
        own.close()
        return [i for each in found for i in each]

    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(read, orders)) == orders
    assert numbers(frames(video, [31, 5])[:1]) == [31]


def test_some_of_the_kinds_really_reorder(write_movie):
    with av.open(str(write_movie("b-frames.mp4", 40, **KINDS["b-frames.mp4"]))) as file:
        times = [packet.pts for packet in file.demux(video=0) if packet.size]
    assert times != sorted(times)


@pytest.mark.parametrize("name", ["bigbuckbunny.mp4", "bikes.mp4", "bunny30.webm", "fire.mp4"])
def test_random_reads_of_real_videos_equal_a_decode_from_the_start(name, shared):
    high_definition = name in ("bigbuckbunny.mp4", "fire.mp4")  # Neither file states its colour matrix.
    matrix = "itu709" if high_definition else None
    with av.open(str(shared / "data" / name)) as file:
        expected = [
            frame.reformat(48, 24, "gray", matrix, interpolation="AREA").to_ndarray()
            for frame in file.decode(video=0)
        ]
    if name == "fire.mp4":  # Its display matrix says that it is upside down.
        expected = [picture[::-1, ::-1] for picture in expected]
    video = VideoFile(shared / "data" / name)
    assert len(video.times) == len(expected)
    for i in np.random.default_rng(0).integers(0, len(expected), 8):
        np.testing.assert_array_equal(frames(video, [i])[0, ..., 0], expected[i])


def test_what_is_known_of_the_real_videos(shared):
    data = shared / "data"
    known = {each: VideoFile(data / each) for each in ("bikes.mp4", "bigbuckbunny.mp4", "bunny30.webm", "fire.mp4")}
    assert {name: rows_of(video, Preprocessing((8, 8))).fps for name, video in known.items()} == {
        "bikes.mp4": 25,
        "bigbuckbunny.mp4": 25,
        "bunny30.webm": 24,
        "fire.mp4": pytest.approx(10.505, abs=1e-3),
    }
    assert [video.size for video in known.values()] == [(272, 640), (720, 1280), (720, 1280), (720, 1280)]
    assert [video.sound for video in known.values()] == [False, True, True, True]
    assert [len(video.times) for video in known.values()] == [250, 132, 720, 25]


def test_going_on_does_not_start_again(write_movie, monkeypatch):
    video = VideoFile(write_movie("one-keyframe.mp4", 60, keyframes=600))
    starts, decode = [], video._decode
    monkeypatch.setattr(video, "_decode", lambda start: starts.append(start) or decode(start))
    for i in range(0, 60, 6):
        frames(video, range(i, i + 6))
    assert starts == [0]


def test_skip_keeps_the_first_and_every_nth(write_movie, numbers):
    video = VideoFile(write_movie("a.mp4", 40))
    rows = rows_of(video, Preprocessing((24, 48), skip=3))
    assert len(rows.numbers) == 14
    assert rows.fps == pytest.approx(25 / 3)
    assert numbers(frames(video, rows.numbers)) == list(range(0, 40, 3))
    assert numbers(frames(video, rows.numbers[4:6])) == [12, 15]


def test_hidden_vp8_frames_are_not_counted(write_movie, tmp_path, numbers):
    source = write_movie("shown.webm", 20, codec="libvpx", keyframes=1, options={"deadline": "realtime"})
    hidden = tmp_path / "hidden.webm"
    with av.open(str(source)) as old, av.open(str(hidden), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for i, packet in enumerate(p for p in old.demux(video=0) if p.size):
            data = bytearray(bytes(packet))
            data[0] &= 0xFF if i != 5 else 0xEF  # Bit 4 of a VP8 frame's first byte: show it.
            copy = av.Packet(bytes(data))
            copy.pts, copy.dts, copy.time_base = packet.pts, packet.dts, packet.time_base
            copy.stream, copy.is_keyframe = stream, packet.is_keyframe
            new.mux(copy)
    video = VideoFile(hidden)
    assert len(video.times) == 19
    assert numbers(frames(video, range(19))) == [i for i in range(20) if i != 5]


def _halves(write_movie) -> Path:
    """A movie of 48 x 96 whose frame 63 is white in its left half, black in its right one."""
    return write_movie("halves.mp4", 64, options={"crf": "1"})


def test_crop_keeps_the_middle(write_movie):
    frame = frames(VideoFile(_halves(write_movie)), [63], Preprocessing((24, 24), fit="crop"))[0]
    assert frame.shape == (24, 24, 3)
    assert frame[:, :11].min() > 235
    assert frame[:, 13:].max() < 20


def test_pad_puts_black_above_and_below(write_movie):
    frame = frames(VideoFile(_halves(write_movie)), [63], Preprocessing((40, 40), fit="pad", gray=True))[0]
    assert frame.shape == (40, 40, 1)
    assert frame[:10].max() == frame[30:].max() == 0
    assert frame[10:30, :19].min() > 235


def test_stretch_uses_the_whole_picture(write_movie):
    frame = frames(VideoFile(_halves(write_movie)), [63], Preprocessing((24, 24), fit="stretch"))[0]
    assert frame[:, :11].min() > 235
    assert frame[:, 13:].max() < 20


def _still(path: Path, picture: np.ndarray, aspect: int = 1) -> Path:
    """A movie of one picture, three frames long, whose pixels are so many times as wide as high."""
    with av.open(str(path), "w") as file:
        stream = file.add_stream("libx264", rate=25, options={"crf": "1"})
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(aspect)
        for _ in range(3):
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        file.mux(stream.encode())
    return path


def _with_matrix(path: Path, matrix: tuple[int, int, int, int]) -> Path:
    """A copy of an MP4 with a display matrix of whole numbers."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 44
    assert data[at - 40] == 0  # Only the version with 32-bit times has its matrix here.
    a, b, c, d = (value << 16 for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    turned = path.with_name(f"turned-{path.name}")
    turned.write_bytes(data)
    return turned


def _through(matrix: tuple[int, int, int, int], picture: np.ndarray) -> np.ndarray:
    """The picture in a player, pixel by pixel: x' = ax + cy, y' = bx + dy, shifted so that none is negative."""
    a, b, c, d = matrix
    y, x = np.indices(picture.shape[:2])
    right, down = a * x + c * y, b * x + d * y
    right, down = right - right.min(), down - down.min()
    shown = np.zeros((down.max() + 1, right.max() + 1, 3), np.uint8)
    shown[down, right] = picture
    return shown


TURNS = [(0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0), (1, 0, 0, 1)]
MIRRORS = [(-1, 0, 0, 1), (1, 0, 0, -1), (0, 1, 1, 0), (0, -1, -1, 0)]


@pytest.mark.parametrize("matrix", TURNS + MIRRORS)
def test_a_film_that_lies_on_its_side_or_in_a_mirror_is_shown_upright(matrix, tmp_path):
    blocks = np.random.default_rng(0).integers(0, 2, (6, 12, 1)) * np.uint8(255)
    path = _still(tmp_path / "a.mp4", blocks.repeat(8, 0).repeat(8, 1).repeat(3, 2).astype(np.uint8))
    stored = frames(VideoFile(path), [0, 2], Preprocessing((48, 96)))
    video = VideoFile(_with_matrix(path, matrix))
    upright = np.stack([_through(matrix, picture) for picture in stored])
    assert video.size == upright.shape[1:3]
    np.testing.assert_array_equal(frames(video, [0, 2], Preprocessing(video.size)), upright)
    middle = frames(video, [0, 2], Preprocessing((48, 48)))
    h, w = video.size
    np.testing.assert_array_equal(middle, upright[:, (h - 48) // 2 :, (w - 48) // 2 :][:, :48, :48])


@pytest.mark.parametrize("matrix", [(1, 0, 0, 1), (0, 1, -1, 0)])
def test_pixels_that_are_not_square_are_made_so(matrix, tmp_path):
    """Twice as wide as high: the white stripe in the middle is 24 columns of 48, and 48 of 96 that are shown."""
    picture = np.zeros((48, 48, 3), np.uint8)
    picture[:, 12:36] = 255
    video = VideoFile(_with_matrix(_still(tmp_path / "wide.mp4", picture, aspect=2), matrix))
    assert video.size == ((96, 48) if matrix[0] == 0 else (48, 96))
    middle = frames(video, [0, 2], Preprocessing((48, 48)))[:, 2:-2, 2:-2]
    assert middle.min() > 235
    whole = frames(video, [0, 2], Preprocessing((96, 96), fit="pad", gray=True))[..., 0]
    whole = whole if matrix[0] == 0 else whole.transpose(0, 2, 1)
    assert (whole[:, :22].max(), whole[:, 74:].max()) == (0, 0)
    assert whole[:, 26:70, 26:70].min() > 235
    assert whole[:, :, :24].max() == whole[:, :, 72:].max() == 0


def test_a_video_is_known_by_its_suffix():
    assert is_video(Path("a/B.MP4"))
    for suffix in ("264", "3gp", "h264", "hevc", "m2ts", "mts", "vob", "y4m"):
        assert is_video(Path(f"a.{suffix}")), suffix
    assert not is_video(Path("frame1.png"))


def _message(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        VideoFile(path)
    return str(caught.value)


@pytest.mark.parametrize(
    "content", ["hello\n" * 200, "", "ffconcat version 1.0\nfile real.mp4\n", "#EXTM3U\nreal.mp4\n"]
)
def test_text_is_no_video_and_opens_none(content, tmp_path, write_movie):
    write_movie("real.mp4")
    path = tmp_path / "text.mp4"
    path.write_text(content)
    assert _message(path) == (
        f"{path} cannot be read as a video: its content is of no known video format, or its end is missing. "
        "Expected a file such as MP4, MKV, WebM or AVI; copy or export it again, or remove it."
    )


def test_an_mp4_without_its_end(write_movie):
    path = write_movie("a.mp4")
    data = path.read_bytes()
    path.write_bytes(data[:-200])
    assert _message(path) == (
        f"{path} is cut short: it lists {len(data)} bytes, and {len(data) - 200} are there. "
        "Copy or download the file again."
    )


def test_an_mp4_whose_beginning_was_edited_away(write_movie, tmp_path, numbers):
    edited = tmp_path / "edited.mp4"
    with (
        av.open(str(write_movie("a.mp4", 40))) as old,
        av.open(str(edited), "w", options={"avoid_negative_ts": "disabled"}) as new,
    ):
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.size:
                packet.pts -= 20 * packet.duration
                packet.dts -= 20 * packet.duration
                packet.stream = stream
                new.mux(packet)
    video = VideoFile(edited)
    assert numbers(frames(video, range(len(video.times)))) == list(range(20, 40))
    assert numbers(frames(video, [3])) == [23]


def test_an_mp4_that_lists_more_than_it_has(write_movie):
    path = write_movie("a.mp4", container={"movflags": "faststart"})
    with av.open(str(path)) as file:
        cut = [packet.pos for packet in file.demux(video=0) if packet.size][25]
    whole = path.stat().st_size
    path.write_bytes(path.read_bytes()[:cut])
    assert _message(path) == (
        f"{path} is cut short: it lists {whole} bytes, and {cut} are there. Copy or download the file again."
    )


def test_a_frame_that_cannot_be_decoded(write_movie, numbers):
    # Every frame is a keyframe, so what comes before and after the damaged one can be read.
    path = write_movie("a.mp4", 20, keyframes=1)
    with av.open(str(path)) as file:
        bad = [packet for packet in file.demux(video=0) if packet.size][13]
    data = bytearray(path.read_bytes())
    data[bad.pos : bad.pos + bad.size] = b"\xff" * bad.size
    path.write_bytes(data)
    video = VideoFile(path)
    assert numbers(frames(video, range(13))) == list(range(13))
    assert numbers(frames(video, range(14, 20))) == list(range(14, 20))
    with pytest.raises(DataError) as caught:
        frames(video, range(5, 15))
    assert str(caught.value) == (
        f"{path} is damaged at frame 13: it lists 20 frames, and this one cannot be decoded. "
        "Copy or export the file again."
    )


def test_sound_alone(tmp_path):
    path = tmp_path / "sound.mp4"
    with av.open(str(path), "w") as file:
        stream = file.add_stream("aac", rate=48000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        file.mux(stream.encode(frame))
        file.mux(stream.encode())
    assert _message(path) == f"{path} has no video stream; expected one. Leave the file out, or export it again."


def test_a_pipe_is_not_waited_for(tmp_path):
    path = tmp_path / "pipe.mp4"
    os.mkfifo(path)
    before = signal.signal(signal.SIGALRM, lambda *_: pytest.fail("It waits for somebody to write."))
    signal.alarm(20)
    try:
        assert _message(path) == f"{path} cannot be read as a video: expected a regular file. Check the path."
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def test_no_such_file(tmp_path):
    assert "expected a regular file" in _message(tmp_path / "none.mp4")


def test_a_bomb(write_movie, monkeypatch):
    path = write_movie("large.mp4", 1)
    monkeypatch.setattr("latentseq.media.preprocessing.MAX_PIXELS", 48 * 96 - 1)
    assert _message(path) == (
        f"{path} is 48 x 96 (h x w), 4608 pixels; expected at most 4607. Make it smaller with another program first."
    )
    assert 7680 * 4320 < MAX_PIXELS < 8000 * 8000
