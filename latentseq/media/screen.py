"""Decoded frames as an ordinary screen shows them: whole, opaque, in red, green and blue."""

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from latentseq.media import hdr
from latentseq.media.alpha import like, on_black, rows

_UNSAID, _BT709, _BT601, _BT2020 = 2, 1, 5, 9
"""Matrices as ITU-T H.273 numbers them."""


def remark(frame: av.VideoFrame) -> str:
    """What is done to the frames of a film, in words; empty where nothing special is.

    Args:
        frame: the first one.
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
    """Scale a frame, in one pass of swscale from the decoder's own colours where nothing else is to be done.

    Args:
        frame: as the decoder gives it.
        scaler: kept from frame to frame.
        height: to scale to.
        width: to scale to.
        gray: whether to leave the colour out.

    Returns:
        (height, width, 3) uint8; one channel where gray.
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
    """Whether some of a frame is not opaque; a GIF's frames could always be transparent, and seldom are."""
    return _is_transparent(frame) and bool((frame.to_ndarray(format="rgba")[..., 3] < 255).any())


def _is_transparent(frame: av.VideoFrame) -> bool:
    return any(part.is_alpha for part in frame.format.components)


def _matrix(frame: av.VideoFrame, bright: bool) -> int | None:
    """How the colours of a frame are coded: players take BT.709 for HD, and BT.601 below, where it is not said."""
    if frame.colorspace != _UNSAID or frame.format.is_rgb or len(frame.format.components) < 3:
        return None
    if bright:
        return _BT2020
    return _BT709 if frame.width >= 1280 or frame.height > 576 else _BT601


def _top_field(frame: av.VideoFrame) -> av.VideoFrame:
    """Every other row of a frame whose rows were filmed at two moments in turn: those of the same moment.

    It looks at no other frame, so that a frame is the same wherever decoding starts.
    """
    field = like(frame, (frame.height + 1) // 2, frame.format.name)
    for to, source in zip(field.planes, frame.planes, strict=True):
        width = min(to.line_size, source.line_size)
        rows(to)[:, :width] = rows(source)[::2, :width]
    return field
