"""Transparency: what is transparent lies on black, whatever kind of file it comes from."""

from typing import cast

import av
import numpy as np

from latentseq.media.preprocessing import MAX_PIXELS

_ALPHA_ID = (1).to_bytes(8, "big")
"""What Matroska calls the second picture of a packet when that picture is the opacity of the first."""


def on_black(pixels: np.ndarray) -> np.ndarray:
    """Lay a picture on black.

    Args:
        pixels: (h, w, 4) uint8 or uint16: colours, and how opaque they are. Colours are not yet multiplied by it.

    Returns:
        (h, w, 3) of the same dtype.
    """
    most = np.iinfo(pixels.dtype).max
    wide = pixels.astype(np.uint32)
    return ((wide[..., :3] * wide[..., 3:] + most // 2) // most).astype(pixels.dtype)


class AlphaPlane:
    """The opacity of a VP8 or VP9 film, which decoders leave out.

    WebM and Matroska keep it as a second film of the same codec beside the packets of the first; its brightness is
    the opacity.

    References:
        The WebM Project, "Alpha Channel" (VP8 and VP9 alpha in WebM by BlockAdditions).
    """

    def __init__(self, stream: av.VideoStream) -> None:
        """Make the second decoder.

        Args:
            stream: of the film, for which ``has_alpha_plane`` says yes, and whose decoder gives each frame at once.
        """
        self._decoder = cast(av.VideoCodecContext, av.CodecContext.create(stream.codec_context.name, "r"))
        self._decoder.thread_type = "SLICE"
        self._decoder.options = {"max_pixels": str(MAX_PIXELS), "err_detect": "explode"}

    def decode(self, packet: av.Packet) -> list[av.VideoFrame]:
        """Decode a packet of the film together with the opacity that lies beside it.

        Raises:
            av.FFmpegError: one of the two cannot be decoded, or they are not of one size.
        """
        frames = packet.decode()
        if not packet.has_sidedata("matroska_block_additional"):
            return frames  # A frame without one is opaque.
        beside = bytes(packet.get_sidedata("matroska_block_additional"))
        if beside[:8] != _ALPHA_ID:
            return frames
        planes = self._decoder.decode(av.Packet(beside[8:]))
        if len(planes) < len(frames):
            raise av.InvalidDataError(0, "opacity is missing")
        return [_joined(frame, plane) for frame, plane in zip(frames, planes, strict=False)]


def has_alpha_plane(stream: av.VideoStream) -> bool:
    """Whether the opacity of a film lies beside its packets."""
    return stream.codec_context.name in ("vp8", "vp9") and stream.metadata.get("alpha_mode") == "1"


def rows(plane: av.video.plane.VideoPlane) -> np.ndarray:
    """The bytes of a plane, row by row, with what is behind the end of each row: (h, bytes) uint8, no copy."""
    return np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)


def like(frame: av.VideoFrame, height: int, pixels: str) -> av.VideoFrame:
    """An empty frame that is shown when another one is, in the same colours."""
    empty = av.VideoFrame(frame.width, height, pixels)
    empty.pts, empty.time_base = frame.pts, frame.time_base
    empty.colorspace, empty.color_range = frame.colorspace, frame.color_range
    empty.color_trc, empty.color_primaries = frame.color_trc, frame.color_primaries
    return empty


def _joined(frame: av.VideoFrame, plane: av.VideoFrame) -> av.VideoFrame:
    """A frame with the brightness of another one as its opacity."""
    if (frame.width, frame.height, frame.format.name) != (plane.width, plane.height, plane.format.name):
        raise av.InvalidDataError(0, "opacity of another size")
    whole = like(frame, frame.height, frame.format.name.replace("yuv", "yuva", 1))
    for to, source in zip(whole.planes, [*frame.planes, plane.planes[0]], strict=True):
        width = min(to.line_size, source.line_size)
        rows(to)[:, :width] = rows(source)[:, :width]
    return whole
