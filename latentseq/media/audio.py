"""Sound of a video file as features, one row for each video frame.

Every call opens the file again and reads a little more than the requested stretch, so the result depends only on the
arguments. All samples of a file lie on one grid: sample g is at second g / ``RATE`` of the clock of the video frames.
"""

import contextlib
import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

import av
import numpy as np
from av.container import InputContainer
from scipy import fft, signal

from latentseq.errors import UsageError
from latentseq.media.container import damage_ignored, open_container

RATE = 16_000
"""Sample rate of the result, in samples per second."""
BANDS = 64
"""Number of mel bands in a row of features."""
KINDS = ("mel", "wave")
"""Kinds of features."""

_WINDOW, _HOP, _FFT = 400, 160, 512
"""Samples in a window (25 ms), between windows (10 ms), and in a window padded to a power of two."""
_LOWEST, _HIGHEST, _OFFSET = 125.0, 7500.0, 0.01
"""Lowest and highest frequency of the mel bands in Hz, and the number added before the logarithm."""

_LEAD = 5.0
"""Seconds of packets read before a stretch, because streams are interleaved in blocks, one ahead of the other."""
_WARM_UP = 1.0
"""Seconds decoded before a stretch, because a decoder needs some packets before its output is exact."""
_COOL_DOWN = 0.25
"""Seconds decoded after a stretch, because the resampling filter looks ahead."""
_JITTER = 0.02
"""Seconds by which a timestamp may be off before it counts as a gap or as a step back."""
_HALF_TAPS, _KAISER = 32, 8.0
"""Half length and window parameter of the resampling filter: flat up to 7.3 kHz, 80 dB down from 8.7 kHz on."""
_LARGEST_RATIO = 100_000
"""Largest ratio of two sample rates, in whole numbers; real files are far below."""


def has_sound(container: InputContainer) -> bool:
    """Whether an open file has an audio stream that can be decoded."""
    return _sound_stream(container) is not None


def width(kind: str, fps: float) -> int:
    """Number of features in a row.

    Args:
        kind: one of ``KINDS``.
        fps: number of rows per second.

    Raises:
        UsageError: the kind is unknown.
    """
    if kind not in KINDS:
        raise UsageError(f"Sound features {kind!r} are unknown; expected 'mel' or 'wave'.")
    return BANDS if kind == "mel" else round(RATE / fps)


def read_samples(path: Path, start: float, stop: float) -> tuple[np.ndarray, np.ndarray]:
    """Read a stretch of sound as one channel, with ``RATE`` samples per second, on the clock of the video frames.

    Damaged parts, and gaps before, between or after the sound, count as missing sound and do not raise an error.

    Args:
        path: path of a video file, with or without sound.
        start: second at which the stretch starts, rounded to a whole sample of the grid.
        stop: second at which the stretch ends.

    Returns:
        The samples, (round((stop - start) * RATE),) float32 in [-1, 1], and a mask, bool of that shape, that is true
        where there is sound. Other samples are 0.

    Raises:
        DataError: the file cannot be opened.
    """
    count = max(0, round((stop - start) * RATE))
    samples, present = np.zeros(count, np.float32), np.zeros(count, bool)
    runs = _runs(_pieces(path, start, stop))
    lattice = None if all(run.exact for run in runs) else _lattice(path)
    for run in runs:
        _place(run, lattice, round(start * RATE), samples, present)
    return np.clip(samples, -1, 1, out=samples), present


def rows(path: Path, times: np.ndarray, kind: str, fps: float) -> tuple[np.ndarray, np.ndarray]:
    """Compute features of the sound during each video frame.

    ``mel`` takes the windows whose centre lies in the row, averages their magnitudes in ``BANDS`` mel bands, and
    takes the logarithm. A row that is too short for a window takes the nearest one. Windows are centred at multiples
    of 10 ms of the file's clock, whatever rows are requested. ``wave`` takes ``width`` samples from the start of the
    row.

    Args:
        path: path of a video file, with or without sound.
        times: (n + 1,) float64, seconds in ascending order; row i is on screen from ``times[i]`` to ``times[i + 1]``.
        kind: one of ``KINDS``.
        fps: average number of rows per second.

    Returns:
        The features, (n, width) float32, and the mask, (n, 1) float32: 1 if there is sound during the row, else 0.
        Without sound, the features are 0.

    Raises:
        DataError: the file cannot be opened.
        UsageError: the kind is unknown.

    References:
        Hershey et al., CNN architectures for large-scale audio classification, ICASSP 2017: windows, bands and the
        offset of the logarithm.
    """
    size = width(kind, fps)
    if len(times) < 2:
        return np.zeros((0, size), np.float32), np.zeros((0, 1), np.float32)
    edges = np.round(times * RATE).astype(np.int64)
    starts, stops = edges[:-1], np.maximum(edges[1:], edges[:-1] + 1)
    windows = _windows(times)
    # The stretch covers the mask and the features of both kinds.
    first = int(min(starts[0], windows[0, 0] * _HOP - _WINDOW // 2))
    last = int(max(stops[-1], starts[-1] + size, (windows[-1, 1] - 1) * _HOP + _WINDOW // 2))
    samples, present = read_samples(path, first / RATE, last / RATE)
    total = np.concatenate([[0], np.cumsum(present)])
    mask = (total[stops - first] > total[starts - first])[:, None]
    if kind == "wave":
        features = samples[(starts - first)[:, None] + np.arange(size)]
    else:
        features = _log_mel(samples[windows[0, 0] * _HOP - _WINDOW // 2 - first :], windows - windows[0, 0])
    return np.where(mask, features, np.float32(0)), mask.astype(np.float32)


class _Lattice(NamedTuple):
    """Possible start times of the frames of a file: ``anchor``, and whole numbers of blocks before or after it.

    Attributes:
        anchor: second at which the first frame ends; its start may be cut off, because it is the encoder's delay.
        block: number of samples in a block; 0 if the codec does not say, and it follows from the lengths of frames.
    """

    anchor: float
    block: int


class _Piece(NamedTuple):
    """A decoded frame of sound, mixed to one channel.

    Attributes:
        time: second at which it starts, by its timestamp; NaN without a timestamp.
        rate: number of samples per second.
        tick: resolution of timestamps in this container, in seconds.
        samples: (n,) float32, the samples.
    """

    time: float
    rate: int
    tick: Fraction
    samples: np.ndarray


@dataclass
class _Run:
    """Pieces that follow one another without a gap.

    Attributes:
        pieces: the pieces; the first one has a time.
        length: number of samples in all pieces.
    """

    pieces: list[_Piece]
    length: int

    @property
    def rate(self) -> int:
        """Number of samples per second."""
        return self.pieces[0].rate

    @property
    def exact(self) -> bool:
        """Whether timestamps are exact to the sample."""
        return (self.pieces[0].tick * self.rate).numerator == 1

    def goes_on(self, piece: _Piece, following: _Piece | None) -> bool:
        """Whether a piece directly follows this run, by its own timestamp or by that of the next piece."""
        end, seconds = self.pieces[0].time + self.length / self.rate, len(piece.samples) / piece.rate
        tolerance = max(2 * float(piece.tick), min(seconds / 2, _JITTER))
        fits = not abs(piece.time - end) > tolerance  # True also for a piece without a time, which is NaN.
        return piece.rate == self.rate and (
            fits or (following is not None and abs(following.time - end - seconds) <= tolerance)
        )

    def origin(self, lattice: _Lattice | None) -> float:
        """Second of the first sample.

        Containers such as Matroska round timestamps to milliseconds, and a millisecond is many samples. But all
        frames of a file lie on a lattice, which is usually so wide that only one of its points agrees with the
        timestamps. If none agrees, the result is the middle of the start times that the timestamps imply.
        """
        lengths = [len(piece.samples) for piece in self.pieces]
        starts = np.array([piece.time for piece in self.pieces]) - np.cumsum([0, *lengths[:-1]]) / self.rate
        tolerance = max(float(self.pieces[0].tick), 1 / self.rate)
        starts = starts[np.abs(starts - np.nanmedian(starts)) <= tolerance]
        middle, spread = float(starts.max() + starts.min()) / 2, float(np.ptp(starts)) / 2
        # The first frame may be short after a seek, and the last one at the end of the file.
        block = math.gcd(*lengths[1:-1]) if lattice is None or not lattice.block else lattice.block
        if self.exact or lattice is None or not block:
            return middle
        step, first = block / self.rate, lengths[0] / self.rate
        nearest = lattice.anchor + round((middle + first - lattice.anchor) / step) * step - first
        return nearest if abs(nearest - middle) <= 1.01 * tolerance - spread else middle


def _sound_stream(container: InputContainer) -> av.AudioStream | None:
    """The audio stream that a player would choose: the best one, or the first one that can be decoded."""
    for stream in (container.streams.best("audio"), *container.streams.audio):
        if isinstance(stream, av.AudioStream) and stream.codec_context is not None:
            return stream
    return None


def _runs(pieces: list[_Piece]) -> list[_Run]:
    """Group pieces into runs without gaps; pieces before the first one with a time are left out."""
    runs: list[_Run] = []
    for piece, following in itertools.zip_longest(pieces, pieces[1:]):
        if runs and runs[-1].goes_on(piece, following):
            runs[-1].pieces.append(piece)
            runs[-1].length += len(piece.samples)
        elif not math.isnan(piece.time):
            runs.append(_Run([piece], len(piece.samples)))
    return runs


def _pieces(path: Path, start: float, stop: float) -> list[_Piece]:
    """Decode the frames of a stretch, each mixed to one channel."""
    pieces: list[_Piece] = []
    mixers: dict[tuple[str, str, int], tuple[av.AudioResampler, float]] = {}
    for frame in _frames(path, start, stop):
        kind = frame.format.name, frame.layout.name, frame.sample_rate
        if frame.time_base is None:
            continue
        with contextlib.suppress(av.FFmpegError):
            if kind not in mixers:
                mixers[kind] = av.AudioResampler("flt", "mono"), _gain(frame)
            mixer, gain = mixers[kind]
            time = math.nan if frame.time is None else frame.time
            for mixed in mixer.resample(frame):
                pieces.append(_Piece(time, frame.sample_rate, frame.time_base, mixed.to_ndarray()[0] / gain))
    return pieces


def _gain(frame: av.AudioFrame) -> float:
    """Value that the mixer makes of 1 in every channel; 1.4 for stereo, because the mixer does not clip floats."""
    ones = np.ones((len(frame.layout.channels), 1), np.float32)
    full_scale = av.AudioFrame.from_ndarray(ones, "fltp", frame.layout.name)
    full_scale.sample_rate = frame.sample_rate
    return max(1.0, float(av.AudioResampler("flt", "mono").resample(full_scale)[0].to_ndarray()[0, 0]))


def _frames(path: Path, start: float, stop: float) -> Iterator[av.AudioFrame]:
    """Decode all intact frames from about a second before a stretch to its end."""
    for seeks in (True, False) if start > _LEAD else (False,):
        with open_container(path) as container:
            stream = _sound_stream(container)
            packets = _sought(container, start - _LEAD) if seeks else container.demux()
            if stream is None:
                return
            if packets is not None:
                yield from _decoded(packets, stream, start, stop)
                return


def _sought(container: InputContainer, start: float) -> Iterator[av.Packet] | None:
    """Packets of all streams from about ``start`` on; None if seeking fails."""
    with damage_ignored(Path(container.name)):
        container.seek(round(start * av.time_base))
        packets = container.demux()
        first = next(packets, None)
        # Allow for half of the lead, because some formats seek to a packet of one stream and then return another's.
        if first is not None and _span(first)[0] < start + _LEAD / 2:
            return itertools.chain([first], packets)
    return None


def _decoded(
    packets: Iterator[av.Packet], stream: av.AudioStream, start: float, stop: float
) -> Iterator[av.AudioFrame]:
    """Decode the frames of one stream; damaged packets are skipped."""
    with damage_ignored(Path(stream.container.name)):
        for packet in packets:
            begin, end = _span(packet)
            if packet.stream.index != stream.index:
                if begin > stop + _LEAD:
                    return  # The sound ended earlier, or has a gap here.
            elif begin > stop + _COOL_DOWN:
                return
            elif not end < start - _WARM_UP:
                with contextlib.suppress(av.FFmpegError):
                    yield from (frame for frame in stream.decode(packet) if _has_common_rate(frame))


def _has_common_rate(frame: av.AudioFrame) -> bool:
    """Whether the sample rate is plausible; a damaged file can state one whose filter would fill the memory."""
    rate = frame.sample_rate
    return rate > 0 and max(rate, RATE) // math.gcd(rate, RATE) <= _LARGEST_RATIO


def _span(packet: av.Packet) -> tuple[float, float]:
    """Start and end of a packet in seconds, by its decoding time; NaN without a timestamp."""
    ticks = packet.pts if packet.dts is None else packet.dts
    tick = math.nan if ticks is None or packet.time_base is None else float(packet.time_base)
    return (ticks or 0) * tick, ((ticks or 0) + (packet.duration or 0)) * tick


def _lattice(path: Path) -> _Lattice | None:
    """Find the lattice of frame starts; None if no frame can be decoded or none has a timestamp."""
    with open_container(path) as container:
        stream = _sound_stream(container)
        if stream is not None:
            for frame in _decoded(container.demux(), stream, -math.inf, math.inf):
                if frame.time is not None:
                    block = 64 if stream.codec_context.name == "vorbis" else 0  # Vorbis mixes two block lengths.
                    return _Lattice(frame.time + frame.samples / frame.sample_rate, block)
    return None


def _place(run: _Run, lattice: _Lattice | None, first: int, samples: np.ndarray, present: np.ndarray) -> None:
    """Resample a run to ``RATE`` and write the part that lies in a stretch.

    Args:
        run: pieces to resample.
        lattice: lattice of the file's frames; None if timestamps are exact.
        first: number of the stretch's first sample on the grid of the file.
        samples: (n,) float32, samples of the stretch, written in place.
        present: (n,) bool, whether there is sound, written in place.
    """
    common = math.gcd(run.rate, RATE)
    up, down = RATE // common, run.rate // common
    # Both rates divide a finer clock: a sample of the run lasts ``up`` ticks, and one of the grid ``down`` ticks.
    start = round(run.origin(lattice) * run.rate * up)
    # With this many zeros in front, the first sample lies on the grid.
    zeros = start * pow(up, -1, down) % down
    source = np.concatenate([np.zeros(zeros, np.float32), *(piece.samples for piece in run.pieces)])
    np.clip(np.nan_to_num(source, copy=False), -1, 1, out=source)  # The filter would spread larger values.
    largest = max(up, down, 2)  # Nothing is filtered if the rates are equal.
    taps = signal.firwin(2 * _HALF_TAPS * largest + 1, 1 / largest, window=("kaiser", _KAISER))
    resampled = signal.resample_poly(source, up, down, window=taps.astype(np.float32))
    at = (start - zeros * up) // down  # Like begin and end, a position on the grid of the file.
    begin, end = max(first, -(-start // down)), min(first + len(samples), -(-(start + run.length * up) // down))
    if begin < end:
        samples[begin - first : end - first] = resampled[begin - at : end - at]
        present[begin - first : end - first] = True


def _windows(times: np.ndarray) -> np.ndarray:
    """Number of the first window of each row, and of the one after its last: (n, 2) int64, counted in the file."""
    hop = _HOP / RATE
    edges = np.ceil(times / hop - 1e-6).astype(np.int64)  # In floating point, a time such as 0.28 is a little more.
    middles = np.round((times[:-1] + times[1:]) / 2 / hop).astype(np.int64)
    empty = edges[:-1] == edges[1:]
    return np.stack([np.where(empty, middles, edges[:-1]), np.where(empty, middles + 1, edges[1:])], axis=1)


def _log_mel(samples: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Compute mel features: (n, BANDS) float32.

    Args:
        samples: (m,) float32, samples from the start of window 0.
        windows: (n, 2) int64, the first window of each row and the one after its last.
    """
    count = int(windows.max())
    framed = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_HOP][:count]
    hann = signal.get_window("hann", _WINDOW).astype(np.float32)
    # Work in parts, because the spectra are many times larger than the sound.
    parts = [np.abs(fft.rfft(part * hann, _FFT)) for part in np.array_split(framed, count // 1000 + 1)]
    magnitudes = np.concatenate([*parts, np.zeros((1, _FFT // 2 + 1), np.float32)])
    means = np.add.reduceat(magnitudes, windows.reshape(-1))[::2] / np.diff(windows).astype(np.float32)
    # The rounding of a matrix product could depend on the number of threads, so use einsum.
    return np.log(np.einsum("nf,fb->nb", means, _mel_filters()) + np.float32(_OFFSET))


def _mel_filters() -> np.ndarray:
    """Mel filters, (_FFT // 2 + 1, BANDS) float32: triangles that end at the peaks of their neighbours.

    References:
        Young et al., The HTK Book, section 5.4: mel = 1127 ln(1 + f / 700).
    """
    mel = 1127 * np.log1p(np.fft.rfftfreq(_FFT, 1 / RATE)[:, None] / 700)
    lowest, highest = 1127 * np.log1p(np.array([_LOWEST, _HIGHEST]) / 700)
    edges = np.linspace(lowest, highest, BANDS + 2)
    rising = (mel - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - mel) / np.diff(edges)[1:]
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
