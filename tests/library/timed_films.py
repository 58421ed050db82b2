"""Films whose frames are shown at times that the tests choose."""

from fractions import Fraction

import av
import numpy as np

SUFFIXES = (".mp4", ".mkv", ".webm", ".gif")
_CODECS = {".mp4": "libx264", ".mkv": "libx264", ".webm": "libvpx", ".gif": "gif"}
_FAST = {"libvpx": {"deadline": "realtime", "cpu-used": "8"}, "libx264": {"crf": "8"}, "gif": {}}

CONSTANT = [40 * i for i in range(50)]
"""Milliseconds of 25 frames a second."""
VARIABLE = [*range(0, 2000, 40), *range(2000, 6000, 200)]
"""25 frames a second for 2 s, then 5 a second: frame 63 is shown at 4.6 s, and the last, 69, at 5.8 s."""
RECORDING = [0, 100, 200, 300, 400, 10_000, 10_100, 45_000, 80_000]
"""A recording of a screen, which has frames only where something changes."""


def write_timed(path, ticks, *, size=(16, 16), header=25):
    """Write a film of gray frames, frame i of brightness 3 i (again from 0 after 83), and frame 63 white.

    Args:
        path: its suffix says in which container; folders on the way are made.
        ticks: milliseconds at which each frame comes on.
        size: (h, w).
        header: frames a second that the header claims, where the container has a place for it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    clock = Fraction(1, 100 if path.suffix == ".gif" else 1000)
    codec = _CODECS[path.suffix]
    with av.open(str(path), "w") as file:
        stream = file.add_stream(codec, rate=header, options=_FAST[codec])
        stream.height, stream.width = size
        stream.pix_fmt = "gray" if codec == "gif" else "yuv420p"
        stream.codec_context.time_base = clock
        for i, tick in enumerate(ticks):
            picture = np.full((*size, 3), 255 if i == 63 else 3 * i % 250, np.uint8)
            frame = av.VideoFrame.from_ndarray(picture, "rgb24").reformat(format=stream.pix_fmt)
            frame.pts, frame.time_base = round(tick * clock.denominator / 1000), clock
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path
