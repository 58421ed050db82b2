"""Sound of a video file: on the clock of its frames, independent of the stretch, and log-mel by definition."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from scipy import signal

from latentseq.errors import DataError, UsageError
from latentseq.media import audio

Film = Callable[..., Path]
LAYOUTS = {1: "mono", 2: "stereo"}


def tune(t: np.ndarray) -> np.ndarray:
    """The sound at any second, float64 up to 0.6: two tones that change, so all stretches differ."""
    low, high = 300 * t + 60 * np.sin(3.1 * t) + 4 * t**2, 1111 * t + 90 * np.sin(2.3 * t)
    return 0.4 * np.sin(2 * np.pi * low) + 0.2 * np.sin(2 * np.pi * high)


def burst(t: np.ndarray) -> np.ndarray:
    """440 Hz from 1 s to 1.5 s."""
    return np.where((t >= 1) & (t < 1.5), 0.5 * np.sin(2 * np.pi * 440 * t), 0)


def grid(start: float, count: int) -> np.ndarray:
    """The seconds of samples."""
    return (round(start * audio.RATE) + np.arange(count)) / audio.RATE


@pytest.fixture
def film(tmp_path: Path) -> Film:
    """Write a film with gray pictures and a sound that is a function of time, or one function for each channel."""

    def write(
        name: str,
        codec: str,
        rate: int,
        *sounds: Callable[[np.ndarray], np.ndarray],
        seconds: float = 4,
        begin: float = 0,
        end: float | None = None,
        fps: int = 25,
    ) -> Path:
        path = tmp_path / name
        layout, form = LAYOUTS[len(sounds)], av.Codec(codec, "w").audio_formats[0]
        with av.open(str(path), "w") as file:
            video = file.add_stream({".webm": "libvpx", ".flv": "flv1"}.get(path.suffix, "mpeg4"), rate=fps)
            video.width = video.height = 32
            video.pix_fmt = "yuv420p"
            stream = file.add_stream(codec, rate=rate, layout=layout, options={"strict": "experimental"})
            stream.codec_context.format = form
            convert = av.AudioResampler(form, layout, rate)
            at, last = round(begin * rate), round((end or seconds) * rate)
            for i in range(round(seconds * fps)):
                picture = av.VideoFrame.from_ndarray(np.full((32, 32, 3), 99, np.uint8), "rgb24")
                picture.pts, picture.time_base = i, Fraction(1, fps)
                file.mux(video.encode(picture))
                while at < min(last, (i + 1) / fps * rate):
                    t = np.arange(at, min(at + 1024, last)) / rate
                    frame = av.AudioFrame.from_ndarray(np.stack([s(t) for s in sounds]).astype("f4"), "fltp", layout)
                    frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), at
                    for converted in convert.resample(frame):
                        file.mux(stream.encode(converted))
                    at += len(t)
            file.mux(stream.encode())
            file.mux(video.encode())
        return path

    return write


def copied(path: Path, name: str, change: Callable[[av.Packet], Iterator[av.Packet]]) -> Path:
    """A copy of a film whose packets of sound are changed."""
    target = path.with_name(name)
    with av.open(str(path)) as old, av.open(str(target), "w") as new:
        new.metadata["title"] = "Caffee"
        streams = [new.add_stream_from_template(stream) for stream in old.streams]
        for packet in old.demux():
            if packet.size:
                sound = packet.stream.type == "audio"
                index, tick = packet.stream.index, packet.time_base
                for each in change(packet) if sound else [packet]:
                    each.stream, each.time_base = streams[index], tick
                    new.mux(each)
    return target


def delay(samples: np.ndarray, start: float) -> float:
    """Milliseconds by which samples come later than the tune, by cross-correlation."""
    around = tune(grid(start - 0.03, len(samples) + 960))
    return 30 - int(np.argmax(signal.correlate(around, samples, "valid"))) / 16


BURSTS = {
    "burst.mp4": ("aac", 48000, burst),
    "burst.mkv": ("flac", 48000, burst),
    "burst.avi": ("pcm_s16le", 44100, burst),
    "burst.webm": ("libopus", 48000, burst),
    "vorbis.webm": ("vorbis", 44100, burst, burst),
}
REAL = {"bigbuckbunny.mp4": (132, 25), "bunny30.webm": (720, 24), "fire.mp4": (25, 10.5), "bikes.mp4": (250, 25)}
LOSSLESS = {
    "a.mkv": ("flac", 48000),
    "b.mkv": ("flac", 44100),
    "c.mkv": ("pcm_s16le", 22050),
    "d.mkv": ("pcm_s16le", 16000),
    "e.avi": ("pcm_s16le", 44100),
    "f.avi": ("pcm_s16le", 8000),
    "g.mov": ("pcm_s16le", 48000),
    "h.mp4": ("flac", 44100),
}
LOSSY = {
    "a.mp4": ("aac", 48000),
    "b.mp4": ("aac", 44100),
    "c.mkv": ("aac", 44100),
    "d.webm": ("libopus", 48000),
    "e.mkv": ("mp2", 44100),
    "f.mkv": ("ac3", 44100),
}


@pytest.mark.parametrize("name", BURSTS)
def test_a_burst_is_heard_in_the_rows_of_its_frames(name, film):
    path = film(name, *BURSTS[name])
    times = np.arange(101) / 25
    mel, mask = audio.rows(path, times, "mel", 25)
    wave, same = audio.rows(path, times, "wave", 25)
    assert (mel.shape, wave.shape, mask.shape) == ((100, 64), (100, 640), (100, 1))
    assert (mel.dtype, wave.dtype, mask.dtype) == (np.float32,) * 3
    assert mask[:99].all() and np.array_equal(mask, same)
    centres = 700 * (np.exp(np.linspace(*(1127 * np.log1p(np.array([125, 7500]) / 700)), 66) / 1127) - 1)[1:-1]
    assert set(mel[26:36].argmax(axis=1)) == {np.abs(centres - 440).argmin()}
    loud = mel.max(axis=1)
    assert loud[25:38].min() > 2 and loud[:24].max() < 1 and loud[39:].max() < 1
    heard = np.sqrt((wave**2).mean(axis=1))
    np.testing.assert_allclose(heard[26:36], 0.5 / np.sqrt(2), rtol=0.1)
    assert heard[:24].max() < 0.02 and heard[39:].max() < 0.02


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_sound_is_where_it_was_put(name, film):
    path = film(name, *LOSSLESS[name], tune, seconds=16, fps=5)
    whole, present = audio.read_samples(path, 0, 16)
    assert present.all()
    # One sample off would be an error of 0.4, and a tenth of one of 0.04.
    inside = slice(100, -100)
    np.testing.assert_allclose(whole[inside], tune(grid(0, len(whole)))[inside], atol=1e-3)
    for start, stop in [(0.25, 1), (3.3, 4.7), (6.789, 9), (12.01, 14.5)]:
        part, there = audio.read_samples(path, start, stop)
        first = round(start * audio.RATE)
        assert there.all()
        np.testing.assert_array_equal(part, whole[first : first + len(part)])


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_sound_is_where_it_was_put(name, film):
    path = film(name, *LOSSY[name], tune, seconds=30, fps=5)
    whole, present = audio.read_samples(path, 0, 30)
    assert present.all()
    for start, stop in [(0.5, 2), (7.1, 9), (25.3, 28)]:
        part, there = audio.read_samples(path, start, stop)
        first = round(start * audio.RATE)
        assert there.all()
        assert delay(part, start) == pytest.approx(0, abs=2)
        np.testing.assert_allclose(part, whole[first : first + len(part)], atol=1e-3)


def test_only_what_is_asked_for_is_decoded(film, monkeypatch):
    path = film("long.mkv", "flac", 8000, tune, seconds=40, fps=5)
    read, span = [], audio._span
    monkeypatch.setattr(audio, "_span", lambda packet: read.append(span(packet)[0]) or span(packet))
    times = [frame.time for frame in audio._frames(path, 30, 32)]
    assert 15 < np.nanmin(read) <= 25 and np.nanmax(read) < 33
    assert 28 < min(times) <= 29 and 32 <= max(times) < 33
    expected = audio.read_samples(path, 30, 32)
    # If seeking fails, packets are read from the start, and decoded only from where they are needed.
    monkeypatch.setattr(audio, "_sought", lambda container, start: None)
    assert [frame.time for frame in audio._frames(path, 30, 32)] == times
    np.testing.assert_array_equal(audio.read_samples(path, 30, 32), expected)


def test_seeking_that_leads_too_far_is_noticed(film):
    path = film("long.mkv", "flac", 8000, tune, seconds=40, fps=5)
    with av.open(str(path)) as container:
        packets = audio._sought(container, 20)
        assert packets is not None and audio._span(next(packets))[0] <= 20
        assert audio._sought(container, -30) is None  # It lands at 0, which is later.


def test_channels_are_mixed_down(film):
    path = film("stereo.mkv", "flac", 44100, tune, lambda t: 0.9 * np.cos(2 * np.pi * 700 * t))
    samples, _ = audio.read_samples(path, 1, 3)
    t = grid(1, len(samples))
    np.testing.assert_allclose(samples, (tune(t) + 0.9 * np.cos(2 * np.pi * 700 * t)) / 2, atol=1e-3)


def test_sound_that_starts_late_and_ends_early(film):
    path = film("some.mkv", "flac", 48000, tune, seconds=14, begin=1.5, end=2.5, fps=10)
    samples, present = audio.read_samples(path, 0, 4)
    np.testing.assert_array_equal(np.nonzero(present)[0], np.arange(1.5 * audio.RATE, 2.5 * audio.RATE))
    np.testing.assert_allclose(samples[24100:39900], tune(grid(0, 64000))[24100:39900], atol=1e-3)
    assert not samples[~present].any()
    for kind in audio.KINDS:
        features, mask = audio.rows(path, np.arange(41) / 10, kind, 10)
        np.testing.assert_array_equal(np.nonzero(mask)[0], np.arange(15, 25))
        assert features[15:25].any(axis=1).all() and not features[:15].any() and not features[25:].any()
        features, mask = audio.rows(path, np.arange(100, 141) / 10, kind, 10)
        assert not features.any() and not mask.any()
    assert not audio.read_samples(path, 100, 101)[1].any()


def test_no_sound(write_movie, film):
    with av.open(str(film("a.mp4", "aac", 44100, tune))) as container:
        assert audio.has_sound(container)
    path = write_movie("silent.mp4")
    with av.open(str(path)) as container:
        assert not audio.has_sound(container)
    samples, present = audio.read_samples(path, 0, 1)
    assert samples.shape == present.shape == (16000,) and not samples.any() and not present.any()


def test_packets_that_are_damaged_are_absent(film):
    path = film("whole.mkv", "flac", 16000, tune, seconds=8)

    def damage(packet: av.Packet) -> Iterator[av.Packet]:
        if 1 < packet.pts * packet.time_base < 1.5 or 5 < packet.pts * packet.time_base < 5.5:
            bad = av.Packet(bytes(packet.size))
            bad.pts, bad.dts = packet.pts, packet.dts
            yield bad
        else:
            yield packet

    expected, _ = audio.read_samples(path, 0, 8)
    samples, present = audio.read_samples(copied(path, "damaged.mkv", damage), 0, 8)
    absent = np.nonzero(~present)[0] / audio.RATE
    assert np.logical_or((absent > 1) & (absent < 2), (absent > 5) & (absent < 6)).all()
    assert 0.5 < len(absent) / audio.RATE < 2
    np.testing.assert_array_equal(samples, np.where(present, expected, 0))


def test_packets_that_are_missing_are_absent(film):
    path = film("whole.mkv", "pcm_s16le", 16000, tune, seconds=8)
    cut = copied(path, "cut.mkv", lambda p: iter([] if 2 < p.pts * p.time_base < 3 else [p]))
    expected, _ = audio.read_samples(path, 0, 8)
    samples, present = audio.read_samples(cut, 0, 8)
    assert 0.9 < (~present).sum() / audio.RATE < 1.1 and not present[33600:47000].any()
    np.testing.assert_array_equal(samples, np.where(present, expected, 0))


def test_a_timestamp_that_is_odd_alone_tears_nothing(film):
    path = film("whole.mkv", "pcm_s16le", 44100, tune, seconds=4)

    def shift(packet: av.Packet) -> Iterator[av.Packet]:
        if packet.pts in (488, 1509, 2601):
            packet.pts, packet.dts = packet.pts + 15, packet.dts + 15
        yield packet

    with av.open(str(path)) as file:
        assert {488, 1509, 2601} <= {packet.pts for packet in file.demux(audio=0)}
    np.testing.assert_array_equal(
        audio.read_samples(copied(path, "odd.mkv", shift), 0, 4), audio.read_samples(path, 0, 4)
    )


def test_samples_that_are_no_sound_stay_in_range(film):
    path = film("wild.mkv", "pcm_f32le", 44100, lambda t: np.where(t % 1 < 0.5, np.nan, 1e30 * np.sin(2000 * t)))
    samples, present = audio.read_samples(path, 0, 4)
    assert present.all() and np.abs(samples).max() == 1
    assert np.isfinite(audio.rows(path, np.arange(101) / 25, "mel", 25)[0]).all()


def slow_mel(samples: np.ndarray) -> np.ndarray:
    """(BANDS,) float64, magnitudes of one window of 400 samples, with the sums written out."""
    n, k = np.arange(400), np.arange(257)
    windowed = samples * (0.5 - 0.5 * np.cos(2 * np.pi * n / 400))
    magnitudes = np.abs((windowed * np.exp(-2j * np.pi * np.outer(k, n) / 512)).sum(axis=1))
    mel = lambda f: 2595 * np.log10(1 + f / 700)  # noqa: E731
    edges = np.linspace(mel(125), mel(7500), 66)
    bands = np.zeros(64)
    for b in range(64):
        low, peak, high = edges[b : b + 3]
        for j in range(257):
            at = mel(j * 16000 / 512)
            if low < at < high:
                bands[b] += magnitudes[j] * ((at - low) / (peak - low) if at <= peak else (high - at) / (high - peak))
    return bands


def test_log_mel_by_the_book(film):
    path, stored = film("a.mkv", "pcm_f32le", 16000, tune), tune(grid(0, 64000))
    # Rows of 40 ms, 15 ms and 3 ms, the last of which has no centre of a window.
    times = np.array([1.0, 1.04, 1.055, 1.058, 1.2])
    centres = [range(100, 104), range(104, 106), [106], range(106, 120)]
    expected = [
        np.log(np.mean([slow_mel(stored[c * 160 - 200 : c * 160 + 200]) for c in row], axis=0) + 0.01)
        for row in centres
    ]
    features, mask = audio.rows(path, times, "mel", 25)
    np.testing.assert_allclose(features, expected, atol=1e-3)
    assert mask.all()


def test_the_mel_bands_are_those_of_tensorflow():
    import tensorflow as tf

    theirs = tf.signal.linear_to_mel_weight_matrix(64, 257, 16000, 125.0, 7500.0, dtype=tf.float64).numpy()
    np.testing.assert_allclose(audio._mel_filters(), theirs, atol=1e-6)


@pytest.mark.parametrize("kind", audio.KINDS)
def test_rows_do_not_depend_on_where_a_stretch_starts(kind, film):
    path = film("a.mp4", "aac", 44100, tune, seconds=20, fps=5)
    times = np.cumsum(np.random.default_rng(3).uniform(0.001, 0.1, 390))
    features, mask = audio.rows(path, times, kind, 20)
    for start, stop in [(0, 5), (5, 60), (200, 389)]:
        part, there = audio.rows(path, times[start : stop + 1], kind, 20)
        np.testing.assert_allclose(part, features[start:stop], atol=0.03 if kind == "mel" else 1e-3)
        np.testing.assert_array_equal(there, mask[start:stop])


@pytest.mark.parametrize("kind", audio.KINDS)
def test_the_same_call_gives_the_same_bytes(kind, film):
    path, times = film("a.webm", "libopus", 48000, tune, seconds=10), 5.5 + np.arange(76) / 25
    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(lambda _: audio.rows(path, times, kind, 25)[0].tobytes(), range(8)))
    assert len(set(results)) == 1


def test_widths_and_no_rows(film):
    path = film("a.mkv", "flac", 44100, tune)
    assert (audio.width("mel", 25), audio.width("wave", 25), audio.width("wave", 29.97)) == (64, 640, 534)
    for times in (np.zeros(0), np.ones(1)):
        features, mask = audio.rows(path, times, "wave", 25)
        assert (features.shape, mask.shape) == ((0, 640), (0, 1))
    assert audio.rows(path, np.array([1.0, 1.0]), "mel", 25)[1].tolist() == [[1]]
    assert (audio._windows(np.arange(1001) / 25) == 4 * np.stack([np.arange(1000), np.arange(1, 1001)], axis=1)).all()
    with pytest.raises(UsageError) as caught:
        audio.rows(path, np.arange(3.0), "mfcc", 25)
    assert str(caught.value) == "Sound features 'mfcc' are unknown; expected 'mel' or 'wave'."


def test_what_cannot_be_opened(tmp_path, film):
    film("a.mkv", "flac", 44100, tune)
    playlist = tmp_path / "list.mkv"
    playlist.write_text("ffconcat version 1.0\nfile a.mkv\n")
    with pytest.raises(DataError) as caught:
        audio.read_samples(playlist, 0, 1)
    assert str(caught.value) == (
        f"{playlist} cannot be read as a video: its content is of no known video format, or its end is missing. "
        "Expected a file such as MP4, MKV, WebM or AVI; copy or export it again, or remove it."
    )
    for path in (tmp_path, tmp_path / "none.mp4"):
        with pytest.raises(DataError) as caught:
            audio.read_samples(path, 0, 1)
        assert str(caught.value) == f"{path} cannot be read as a video: expected a regular file. Check the path."


def test_a_title_in_another_encoding(film):
    path = film("a.avi", "pcm_s16le", 16000, tune)
    named = copied(path, "named.avi", lambda packet: iter([packet]))
    assert named.read_bytes().count(b"Caffee") == 1
    named.write_bytes(named.read_bytes().replace(b"Caffee", b"Caf\xe9  "))
    np.testing.assert_array_equal(audio.read_samples(named, 0, 4), audio.read_samples(path, 0, 4))


@pytest.mark.parametrize("name", REAL)
def test_rows_of_real_videos(name, shared):
    count, fps = REAL[name]
    features, mask = audio.rows(shared / "data" / name, np.arange(count + 1) / fps, "mel", fps)
    assert features.shape == (count, 64) and np.isfinite(features).all()
    assert mask.mean() == 0 if name == "bikes.mp4" else mask.mean() > 0.9


@pytest.mark.parametrize("name", ["bigbuckbunny.mp4", "bunny30.webm", "fire.mp4"])
def test_real_videos_sound_as_another_program_has_them(name, shared):
    if shutil.which("ffmpeg") is None:
        pytest.skip("needs the ffmpeg program")
    command = f"ffmpeg -v error -i {name} -af aresample=async=1:first_pts=0 -ac 1 -ar 16000 -f f32le -".split()
    run = subprocess.run(command, cwd=shared / "data", capture_output=True, check=True)
    theirs = np.frombuffer(run.stdout, np.float32)
    samples, present = audio.read_samples(shared / "data" / name, 0, len(theirs) / audio.RATE)
    for at in range(0, len(theirs) - audio.RATE, 4 * audio.RATE):
        stretch = np.flatnonzero(present[at : at + 4 * audio.RATE]) + at
        assert np.corrcoef(samples[stretch], theirs[stretch])[0, 1] > 0.99


def test_a_stretch_of_a_real_video_equals_that_of_the_whole(shared):
    path = shared / "data" / "bunny30.webm"  # Vorbis, with blocks of two lengths and timestamps of milliseconds.
    whole, _ = audio.read_samples(path, 0, 30)
    for start in (0.4, 7.3, 11.9, 20.3, 26.2):
        first = round(start * audio.RATE)
        np.testing.assert_allclose(audio.read_samples(path, start, start + 2)[0], whole[first:][:32000], atol=1e-3)
