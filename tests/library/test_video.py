"""Video files are read by frame number, exactly."""

import os
from pathlib import Path

import av
import numpy as np
import pytest

from latentseq.errors import DataError
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
    # Matroska counts milliseconds, so at this rate frames share their times and cannot be told apart by them.
    "high-speed.mkv": {"codec": "libx264", "fps": 3000},
}


@pytest.mark.parametrize("kind", KINDS)
def test_frames_come_by_number_in_any_order(kind, write_movie, numbers):
    video = VideoFile(write_movie(kind, 40, **KINDS[kind]), SMALL)
    assert video.length == 40
    for i in [0, 39, 3, 4, 5, 30, 11, 12, 13, 0, 38]:
        assert numbers(video.read(i, i + 1)) == [i]
    assert numbers(video.read(7, 33)) == list(range(7, 33))
    video.close()
    assert numbers(video.read(20, 23)) == [20, 21, 22]


def test_some_of_the_kinds_really_reorder(write_movie):
    with av.open(str(write_movie("b-frames.mp4", 40, **KINDS["b-frames.mp4"]))) as file:
        times = [packet.pts for packet in file.demux(video=0) if packet.size]
    assert times != sorted(times)


@pytest.mark.parametrize("name", ["bigbuckbunny.mp4", "bikes.mp4", "bunny30.webm", "fire.mp4"])
def test_random_reads_of_real_videos_equal_a_decode_from_the_start(name, shared):
    with av.open(str(shared / "data" / name)) as file:
        expected = [
            frame.reformat(48, 24, "gray", interpolation="AREA").to_ndarray() for frame in file.decode(video=0)
        ]
    video = VideoFile(shared / "data" / name, SMALL)
    assert video.length == len(expected)
    for i in np.random.default_rng(0).integers(0, video.length, 8):
        np.testing.assert_array_equal(video.read(i, i + 1)[0, ..., 0], expected[i])


def test_what_is_known_of_the_real_videos(shared):
    data = shared / "data"
    assert VideoFile(data / "bikes.mp4", SMALL).fps == 25
    assert VideoFile(data / "bunny30.webm", SMALL).fps == 24
    assert VideoFile(data / "fire.mp4", SMALL).fps == pytest.approx(10.505, abs=1e-3)


def test_going_on_does_not_start_again(write_movie, monkeypatch):
    video = VideoFile(write_movie("one-keyframe.mp4", 60, keyframes=600), SMALL)
    starts, decode = [], video._decode
    monkeypatch.setattr(video, "_decode", lambda start: starts.append(start) or decode(start))
    for i in range(0, 60, 6):
        video.read(i, i + 6)
    assert starts == [0]


def test_skip_keeps_the_first_and_every_nth(write_movie, numbers):
    video = VideoFile(write_movie("a.mp4", 40), Preprocessing((24, 48), fit="stretch", gray=True, skip=3))
    assert video.length == 14
    assert video.fps == pytest.approx(25 / 3)
    assert numbers(video.read(0, 14)) == list(range(0, 40, 3))
    assert numbers(video.read(4, 6)) == [12, 15]


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
    video = VideoFile(hidden, SMALL)
    assert video.length == 19
    assert numbers(video.read(0, 19)) == [i for i in range(20) if i != 5]


def _halves(write_movie) -> Path:
    """A movie of 48 x 96 whose frame 63 is white in its left half, black in its right one."""
    return write_movie("halves.mp4", 64, options={"crf": "1"})


def test_crop_keeps_the_middle(write_movie):
    frame = VideoFile(_halves(write_movie), Preprocessing((24, 24), fit="crop")).read(63, 64)[0]
    assert frame.shape == (24, 24, 3)
    assert frame[:, :11].min() > 235
    assert frame[:, 13:].max() < 20


def test_pad_puts_black_above_and_below(write_movie):
    frame = VideoFile(_halves(write_movie), Preprocessing((40, 40), fit="pad", gray=True)).read(63, 64)[0]
    assert frame.shape == (40, 40, 1)
    assert frame[:10].max() == frame[30:].max() == 0
    assert frame[10:30, :19].min() > 235


def test_stretch_uses_the_whole_picture(write_movie):
    frame = VideoFile(_halves(write_movie), Preprocessing((24, 24), fit="stretch")).read(63, 64)[0]
    assert frame[:, :11].min() > 235
    assert frame[:, 13:].max() < 20


def test_a_video_is_known_by_its_suffix():
    assert is_video(Path("a/B.MP4"))
    assert not is_video(Path("frame1.png"))


def _message(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        VideoFile(path, SMALL)
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
    path.write_bytes(path.read_bytes()[:-200])
    assert "its end is missing" in _message(path)


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
    video = VideoFile(edited, SMALL)
    assert numbers(video.read(0, video.length)) == list(range(20, 40))
    assert numbers(video.read(3, 4)) == [23]


def test_an_mp4_that_lists_more_than_it_has(write_movie):
    path = write_movie("a.mp4", container={"movflags": "faststart"})
    with av.open(str(path)) as file:
        cut = [packet.pos for packet in file.demux(video=0) if packet.size][25]
    path.write_bytes(path.read_bytes()[:cut])
    assert _message(path) == (
        f"{path} is cut short: it lists 1.60 s of pictures, and 1.00 s are there. Copy or download the file again."
    )


def test_a_frame_that_cannot_be_decoded(write_movie, numbers):
    # Every frame is a keyframe, so what comes before and after the damaged one can be read.
    path = write_movie("a.mp4", 20, keyframes=1)
    with av.open(str(path)) as file:
        bad = [packet for packet in file.demux(video=0) if packet.size][7]
    data = bytearray(path.read_bytes())
    data[bad.pos : bad.pos + bad.size] = b"\xff" * bad.size
    path.write_bytes(data)
    video = VideoFile(path, SMALL)
    assert numbers(video.read(0, 7)) == list(range(7))
    assert numbers(video.read(8, 20)) == list(range(8, 20))
    with pytest.raises(DataError) as caught:
        video.read(5, 10)
    assert str(caught.value) == (
        f"{path} is damaged at frame 7: it lists 20 frames, and this one cannot be decoded. "
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
    assert _message(path) == f"{path} holds no pictures; expected a video stream. Leave it out, or export it again."


def test_a_pipe_is_not_waited_for(tmp_path):
    path = tmp_path / "pipe.mp4"
    os.mkfifo(path)
    assert _message(path) == f"{path} cannot be read as a video: expected a regular file. Check the path."


def test_no_such_file(tmp_path):
    assert "expected a regular file" in _message(tmp_path / "none.mp4")


def test_a_bomb(write_movie, monkeypatch):
    path = write_movie("large.mp4", 1)
    monkeypatch.setattr("latentseq.media.preprocessing.MAX_PIXELS", 48 * 96 - 1)
    assert _message(path) == (
        f"{path} is 48 x 96 (h x w), 4608 pixels; expected at most 4607. Make it smaller with another program first."
    )
    assert 7680 * 4320 < MAX_PIXELS < 8000 * 8000
