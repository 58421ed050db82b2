"""Converts decoded frames to what an ordinary screen shows: no interlacing, opaque, in red, green and blue."""

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from latentseq.media import hdr
from latentseq.media.alpha import like, on_black, rows

_UNSPECIFIED, _BT709, _BT601, _BT2020 = 2, 1, 5, 9
"""Numbers of colour matrices in ITU-T H.273."""


def remark(frame: av.VideoFrame) -> str:
    """Describe in words what is done to the frames of a film; empty if nothing special is done.

    Args:
        frame: first frame of the film.
    """
    transfer = hdr.TRANSFERS.get(frame.color_trc)
    return "; ".join(
        filter(
            None,
            [
                "interlaced: of each frame the top field is taken" if frame.interlaced_frame else "",
                f"HDR ({transfer}): tone-mapped to BT.709" if transfer else "",
                "transparent parts are put on black" if _shows_through(frame) else "",
            ],
        )
    )


def shown(frame: av.VideoFrame, scaler: VideoReformatter, height: int, width: int, *, gray: bool) -> np.ndarray:
    """Scale a frame and convert its colours.

    swscale does both in one pass, unless the frame is interlaced, transparent or HDR.

    Args:
        frame: frame as the decoder returns it.
        scaler: scaler of the film; using the same one for each frame saves time.
        height: height of the result in pixels.
        width: width of the result in pixels.
        gray: whether to return one gray channel.

    Returns:
        (height, width, 3) uint8, or (height, width, 1) if ``gray``.
    """
    bright = frame.color_trc in hdr.TRANSFERS
    matrix = _matrix(frame, bright)
    source = _top_field(frame) if frame.interlaced_frame else frame
    if _is_transparent(frame):
        pixels = "64le" if bright else ""
        flat = on_black(source.reformat(format=f"rgba{pixels}", src_colorspace=matrix).to_ndarray())
        source, matrix = av.VideoFrame.from_ndarray(flat, "rgb48le" if bright else "rgb24"), None
    pixels = "rgb48le" if bright else "gray" if gray else "rgb24"
    small = scaler.reformat(source, width, height, pixels, matrix, interpolation="AREA").to_ndarray()
    if bright:
        small = hdr.to_standard(small, frame.color_trc, frame.color_primaries)
        if gray:
            small = np.rint(small @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    return small.reshape(height, width, -1)


def _shows_through(frame: av.VideoFrame) -> bool:
    """Whether some pixel is not opaque. The format of GIF always allows transparency, but few films use it."""
    return _is_transparent(frame) and bool((frame.to_ndarray(format="rgba")[..., 3] < 255).any())


def _is_transparent(frame: av.VideoFrame) -> bool:
    """Whether the pixel format has an opacity channel."""
    return any(part.is_alpha for part in frame.format.components)


def _matrix(frame: av.VideoFrame, bright: bool) -> int | None:
    """Colour matrix to assume; None if the frame states its own.

    Like players, assume BT.709 for HD, and BT.601 for smaller frames.
    """
    if frame.colorspace != _UNSPECIFIED or frame.format.is_rgb or len(frame.format.components) < 3:
        return None
    if bright:
        return _BT2020
    return _BT709 if frame.width >= 1280 or frame.height > 576 else _BT601


def _top_field(frame: av.VideoFrame) -> av.VideoFrame:
    """The top field of an interlaced frame: every second row, from the first.

    No other frame is used, so the result does not depend on where decoding starts.
    """
    field = like(frame, (frame.height + 1) // 2, frame.format.name)
    for target, source in zip(field.planes, frame.planes, strict=True):
        width = min(target.line_size, source.line_size)
        rows(target)[:, :width] = rows(source)[::2, :width]
    return field
