"""The sound of a video file as features, one row for each video frame.

Every call opens the file afresh and reads a little more than the stretch asked for, so that what comes out depends
on nothing but the arguments. Samples lie on one grid for the whole file: sample number g is at second g / ``RATE`` of
the clock that the video frames have.
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
"""Samples a second."""
BANDS = 64
"""Mel bands of a row."""
KINDS = ("mel", "wave")

_WINDOW, _HOP, _FFT = 400, 160, 512  # Samples: windows of 25 ms every 10 ms, filled up with zeros to a power of two.
_LOWEST, _HIGHEST, _OFFSET = 125.0, 7500.0, 0.01  # Hz, of the mel bands; and what is added before the logarithm.

_LEAD = 5.0  # Seconds of packets read before a stretch: streams are interleaved in blocks, one ahead of the other.
_WARM_UP = 1.0  # Seconds decoded before a stretch: a decoder needs some packets before what it gives is exact.
_COOL_DOWN = 0.25  # Seconds decoded after it: the filter that changes the rate looks ahead.
_JITTER = 0.02  # Seconds by which a timestamp may be off before it counts as a gap, or as a step back.
_HALF_TAPS, _KAISER = 32, 8.0  # Of that filter: flat up to 7.3 kHz, 80 dB down from 8.7 kHz on.
_LARGEST_RATIO = 100_000  # Of two rates, in whole numbers: those in use are far below.


def has_sound(container: InputContainer) -> bool:
    """Whether an open file has sound that a player would play: an audio stream that can be decoded."""
    return _sound_stream(container) is not None


def width(kind: str, fps: float) -> int:
    """Features of a row.

    Args:
        kind: one of ``KINDS``.
        fps: rows a second.

    Raises:
        UsageError: the kind is unknown.
    """
    if kind not in KINDS:
        raise UsageError(f"Sound features {kind!r} are unknown; expected 'mel' or 'wave'.")
    return BANDS if kind == "mel" else round(RATE / fps)


def read_samples(path: Path, start: float, stop: float) -> tuple[np.ndarray, np.ndarray]:
    """A stretch of sound: one channel, ``RATE`` samples a second, by the clock of the video frames.

    What cannot be decoded, and what lies before, between or after the sound of the file, is absent and not an error.

    Args:
        path: a video file; it need not have sound.
        start: second at which the stretch starts, rounded to a whole sample of the grid.
        stop: second at which it ends.

    Returns:
        The samples, (round((stop - start) * RATE),) float32 in [-1, 1]; and where there is sound, bool of that shape.
        Samples are 0 elsewhere.

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
    """Features of what is heard while each video frame is on screen.

    ``mel`` is the logarithm of the mean, over the windows with their centre in the row, of the magnitudes in
    ``BANDS`` mel bands; the nearest window counts where a row is too short to have one. Windows are centred at whole
    multiples of 10 ms of the file's clock, whatever rows are asked for. ``wave`` is the samples themselves, from the
    start of the row on, as many as ``width`` says.

    Args:
        path: a video file; it need not have sound.
        times: (n + 1,) float64 seconds, none before the one in front of it: row i is on screen from ``times[i]`` to
            ``times[i + 1]``.
        kind: one of ``KINDS``.
        fps: rows a second, on average.

    Returns:
        The features, (n, width) float32; and the mask, (n, 1) float32, 1 where there is sound during the row and 0
        where there is none. Features are 0 there.

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
    # Enough for the mask and for the features of either kind.
    first = int(min(starts[0], windows[0, 0] * _HOP - _WINDOW // 2))
    last = int(max(stops[-1], starts[-1] + size, (windows[-1, 1] - 1) * _HOP + _WINDOW // 2))
    samples, present = read_samples(path, first / RATE, last / RATE)
    heard = np.concatenate([[0], np.cumsum(present)])
    mask = (heard[stops - first] > heard[starts - first])[:, None]
    if kind == "wave":
        features = samples[(starts - first)[:, None] + np.arange(size)]
    else:
        features = _log_mel(samples[windows[0, 0] * _HOP - _WINDOW // 2 - first :], windows - windows[0, 0])
    return np.where(mask, features, np.float32(0)), mask.astype(np.float32)


class _Lattice(NamedTuple):
    """Where the frames of a file start: at ``anchor``, and multiples of a block before or after.

    Attributes:
        anchor: the second at which the first frame ends; its start may have been cut off as the encoder's own.
        block: samples; 0 where the codec does not say, and the lengths of the frames have to.
    """

    anchor: float
    block: int


class _Piece(NamedTuple):
    """A decoded frame in one channel.

    Attributes:
        time: the second at which it starts, by its timestamp; NaN where it has none.
        rate: samples a second.
        tick: seconds from one timestamp that the container can write to the next.
        samples: (n,) float32.
    """

    time: float
    rate: int
    tick: Fraction
    samples: np.ndarray


@dataclass
class _Run:
    """Pieces that follow one another without a gap, the first of them with a time, and how many samples they have."""

    pieces: list[_Piece]
    length: int

    @property
    def rate(self) -> int:
        """Samples a second."""
        return self.pieces[0].rate

    @property
    def exact(self) -> bool:
        """Whether a timestamp can say every sample."""
        return (self.pieces[0].tick * self.rate).numerator == 1

    def goes_on(self, piece: _Piece, following: _Piece | None) -> bool:
        """Whether a piece comes right after this run, by its timestamp, or else by that of the one after it."""
        end, seconds = self.pieces[0].time + self.length / self.rate, len(piece.samples) / piece.rate
        near = max(2 * float(piece.tick), min(seconds / 2, _JITTER))
        fits = not abs(piece.time - end) > near  # As does a piece without a time.
        return piece.rate == self.rate and (
            fits or (following is not None and abs(following.time - end - seconds) <= near)
        )

    def origin(self, lattice: _Lattice | None) -> float:
        """The second of the first sample.

        Containers such as Matroska round timestamps to milliseconds, which is many samples. But all frames of a file
        lie on a lattice, as a rule so wide that one point of it only agrees with the timestamps of these. Where none
        does, the middle of what they say is taken.
        """
        lengths = [len(piece.samples) for piece in self.pieces]
        said = np.array([piece.time for piece in self.pieces]) - np.cumsum([0, *lengths[:-1]]) / self.rate
        near = max(float(self.pieces[0].tick), 1 / self.rate)
        said = said[np.abs(said - np.nanmedian(said)) <= near]
        middle, spread = float(said.max() + said.min()) / 2, float(np.ptp(said)) / 2
        # The first may be short after a seek, and the last at the end of the file.
        block = math.gcd(*lengths[1:-1]) if lattice is None or not lattice.block else lattice.block
        if self.exact or lattice is None or not block:
            return middle
        step, first = block / self.rate, lengths[0] / self.rate
        nearest = lattice.anchor + round((middle + first - lattice.anchor) / step) * step - first
        return nearest if abs(nearest - middle) <= 1.01 * near - spread else middle


def _sound_stream(container: InputContainer) -> av.AudioStream | None:
    """The audio stream that a player would play: the best, or else the first that can be decoded."""
    for stream in (container.streams.best("audio"), *container.streams.audio):
        if isinstance(stream, av.AudioStream) and stream.codec_context is not None:
            return stream
    return None


def _runs(pieces: list[_Piece]) -> list[_Run]:
    """Pieces in runs without a gap; those before the first with a time are left out."""
    runs: list[_Run] = []
    for piece, following in itertools.zip_longest(pieces, pieces[1:]):
        if runs and runs[-1].goes_on(piece, following):
            runs[-1].pieces.append(piece)
            runs[-1].length += len(piece.samples)
        elif not math.isnan(piece.time):
            runs.append(_Run([piece], len(piece.samples)))
    return runs


def _pieces(path: Path, start: float, stop: float) -> list[_Piece]:
    """The frames of a stretch, each mixed down to one channel."""
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
    """What 1 in every channel is mixed down to: 1.4 from stereo, as floats are not kept in range."""
    ones = np.ones((len(frame.layout.channels), 1), np.float32)
    loud = av.AudioFrame.from_ndarray(ones, "fltp", frame.layout.name)
    loud.sample_rate = frame.sample_rate
    return max(1.0, float(av.AudioResampler("flt", "mono").resample(loud)[0].to_ndarray()[0, 0]))


def _frames(path: Path, start: float, stop: float) -> Iterator[av.AudioFrame]:
    """Every frame that can be decoded, from about a second before a stretch to its end."""
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
    """Packets of all streams from about ``start`` on; None where seeking does not lead there."""
    with damage_ignored(Path(container.name)):
        container.seek(round(start * av.time_base))
        packets = container.demux()
        first = next(packets, None)
        # Half of the lead may go: some formats land at a packet of one stream and then give one of another.
        if first is not None and _span(first)[0] < start + _LEAD / 2:
            return itertools.chain([first], packets)
    return None


def _decoded(
    packets: Iterator[av.Packet], stream: av.AudioStream, start: float, stop: float
) -> Iterator[av.AudioFrame]:
    """The frames of one stream; a packet that cannot be decoded does not take those around it along."""
    with damage_ignored(Path(stream.container.name)):
        for packet in packets:
            begin, end = _span(packet)
            if packet.stream.index != stream.index:
                if begin > stop + _LEAD:
                    return  # The sound has ended before, or has a gap here.
            elif begin > stop + _COOL_DOWN:
                return
            elif not end < start - _WARM_UP:
                with contextlib.suppress(av.FFmpegError):
                    yield from (frame for frame in stream.decode(packet) if _has_common_rate(frame))


def _has_common_rate(frame: av.AudioFrame) -> bool:
    """Whether its samples a second are not those of a damaged file, for which a filter would fill the memory."""
    rate = frame.sample_rate
    return rate > 0 and max(rate, RATE) // math.gcd(rate, RATE) <= _LARGEST_RATIO


def _span(packet: av.Packet) -> tuple[float, float]:
    """The seconds from which and to which a packet lasts, by the clock of their order; NaN where it is unsaid."""
    ticks = packet.pts if packet.dts is None else packet.dts
    tick = math.nan if ticks is None or packet.time_base is None else float(packet.time_base)
    return (ticks or 0) * tick, ((ticks or 0) + (packet.duration or 0)) * tick


def _lattice(path: Path) -> _Lattice | None:
    """Where the frames of a file start; None where none can be decoded or they have no timestamps."""
    with open_container(path) as container:
        stream = _sound_stream(container)
        if stream is not None:
            for frame in _decoded(container.demux(), stream, -math.inf, math.inf):
                if frame.time is not None:
                    block = 64 if stream.codec_context.name == "vorbis" else 0  # It mixes two lengths of blocks.
                    return _Lattice(frame.time + frame.samples / frame.sample_rate, block)
    return None


def _place(run: _Run, lattice: _Lattice | None, first: int, samples: np.ndarray, present: np.ndarray) -> None:
    """Bring a run to ``RATE`` and write what falls into a stretch; sample 0 of it is ``first`` of the file's grid."""
    common = math.gcd(run.rate, RATE)
    up, down = RATE // common, run.rate // common
    # Both rates are whole steps of a finer clock: a sample of the run is ``up`` ticks, one of the grid ``down``.
    start = round(run.origin(lattice) * run.rate * up)
    # That many zeros in front, and the first sample falls onto the grid.
    zeros = start * pow(up, -1, down) % down
    source = np.concatenate([np.zeros(zeros, np.float32), *(piece.samples for piece in run.pieces)])
    np.clip(np.nan_to_num(source, copy=False), -1, 1, out=source)  # A filter would spread what is far too large.
    largest = max(up, down, 2)  # Of equal rates nothing is filtered.
    taps = signal.firwin(2 * _HALF_TAPS * largest + 1, 1 / largest, window=("kaiser", _KAISER))
    resampled = signal.resample_poly(source, up, down, window=taps.astype(np.float32))
    at = (start - zeros * up) // down  # On the grid of the file, as are these.
    begin, end = max(first, -(-start // down)), min(first + len(samples), -(-(start + run.length * up) // down))
    if begin < end:
        samples[begin - first : end - first] = resampled[begin - at : end - at]
        present[begin - first : end - first] = True


def _windows(times: np.ndarray) -> np.ndarray:
    """(n, 2) int64, for each row the first window of it and the one after the last, by their number in the file."""
    hop = _HOP / RATE
    edges = np.ceil(times / hop - 1e-6).astype(np.int64)  # A time such as 0.28 is a little more than it should be.
    middles = np.round((times[:-1] + times[1:]) / 2 / hop).astype(np.int64)
    empty = edges[:-1] == edges[1:]
    return np.stack([np.where(empty, middles, edges[:-1]), np.where(empty, middles + 1, edges[1:])], axis=1)


def _log_mel(samples: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """The features of rows, (n, BANDS) float32.

    Args:
        samples: (m,) float32, from the start of window 0.
        windows: (n, 2) int64, for each row the first window of it and the one after the last.
    """
    count = int(windows.max())
    framed = np.lib.stride_tricks.sliding_window_view(samples, _WINDOW)[::_HOP][:count]
    hann = signal.get_window("hann", _WINDOW).astype(np.float32)
    # In parts, because the spectra are many times larger than the sound.
    parts = [np.abs(fft.rfft(part * hann, _FFT)) for part in np.array_split(framed, count // 1000 + 1)]
    magnitudes = np.concatenate([*parts, np.zeros((1, _FFT // 2 + 1), np.float32)])
    means = np.add.reduceat(magnitudes, windows.reshape(-1))[::2] / np.diff(windows).astype(np.float32)
    # Not as a matrix product, whose rounding may depend on how many threads it is given.
    return np.log(np.einsum("nf,fb->nb", means, _mel_filters()) + np.float32(_OFFSET))


def _mel_filters() -> np.ndarray:
    """(_FFT // 2 + 1, BANDS) float32: triangles, evenly spaced and linear in mel, each up to its neighbours' peaks.

    References:
        Young et al., The HTK Book, section 5.4: mel = 1127 ln(1 + f / 700).
    """
    mel = 1127 * np.log1p(np.fft.rfftfreq(_FFT, 1 / RATE)[:, None] / 700)
    lowest, highest = 1127 * np.log1p(np.array([_LOWEST, _HIGHEST]) / 700)
    edges = np.linspace(lowest, highest, BANDS + 2)
    rising = (mel - edges[:-2]) / np.diff(edges)[:-1]
    falling = (edges[2:] - mel) / np.diff(edges)[1:]
    return np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
