"""Transparency: transparent pictures are put on black, whatever kind of file they come from."""

from typing import cast

import av
import numpy as np

from latentseq.media.preprocessing import MAX_PIXELS

_ALPHA_ID = (1).to_bytes(8, "big")
"""Matroska's identifier of a second picture in a packet that holds the opacity of the first."""


def on_black(pixels: np.ndarray) -> np.ndarray:
    """Put a picture on black.

    Args:
        pixels: (h, w, 4) uint8 or uint16, red, green, blue and opacity. The colours are not multiplied by the
            opacity yet.

    Returns:
        (h, w, 3) of the same dtype.
    """
    most = np.iinfo(pixels.dtype).max
    wide = pixels.astype(np.uint32)
    return ((wide[..., :3] * wide[..., 3:] + most // 2) // most).astype(pixels.dtype)


class AlphaPlane:
    """Decoder for the opacity of a VP8 or VP9 film, which the usual decoders leave out.

    WebM and Matroska store the opacity as a second film of the same codec, beside the packets of the first. The
    brightness of the second film is the opacity of the first.

    References:
        The WebM Project, "Alpha Channel" (VP8 and VP9 alpha in WebM by BlockAdditions).
    """

    def __init__(self, stream: av.VideoStream) -> None:
        """Create the second decoder.

        Args:
            stream: video stream for which ``has_alpha_plane`` is true. Its decoder must return each frame
                immediately.
        """
        self._decoder = cast(av.VideoCodecContext, av.CodecContext.create(stream.codec_context.name, "r"))
        self._decoder.thread_type = "SLICE"
        self._decoder.options = {"max_pixels": str(MAX_PIXELS), "err_detect": "explode"}

    def decode(self, packet: av.Packet) -> list[av.VideoFrame]:
        """Decode a packet of the film together with its opacity.

        Raises:
            av.FFmpegError: the packet or its opacity cannot be decoded, or their sizes differ.
        """
        frames = packet.decode()
        if not packet.has_sidedata("matroska_block_additional"):
            return frames  # A frame without opacity of its own is opaque.
        side_data = bytes(packet.get_sidedata("matroska_block_additional"))
        if side_data[:8] != _ALPHA_ID:
            return frames
        planes = self._decoder.decode(av.Packet(side_data[8:]))
        if len(planes) < len(frames):
            raise av.InvalidDataError(0, "opacity is missing")
        return [_with_opacity(frame, plane) for frame, plane in zip(frames, planes, strict=False)]


def has_alpha_plane(stream: av.VideoStream) -> bool:
    """Whether a film stores its opacity beside its packets."""
    return stream.codec_context.name in ("vp8", "vp9") and stream.metadata.get("alpha_mode") == "1"


def rows(plane: av.video.plane.VideoPlane) -> np.ndarray:
    """The bytes of a plane row by row, with the padding at the end of each row: (h, bytes) uint8, not a copy."""
    return np.frombuffer(memoryview(plane), np.uint8).reshape(plane.height, plane.line_size)


def like(frame: av.VideoFrame, height: int, pixels: str) -> av.VideoFrame:
    """An empty frame with the time and the colour space of another one.

    Args:
        frame: the frame to take width, time and colour space from.
        height: height of the empty frame in pixels.
        pixels: FFmpeg's name of the pixel format.
    """
    empty = av.VideoFrame(frame.width, height, pixels)
    empty.pts = frame.pts
    empty.time_base = frame.time_base
    empty.colorspace = frame.colorspace
    empty.color_range = frame.color_range
    empty.color_trc = frame.color_trc
    empty.color_primaries = frame.color_primaries
    return empty


def _with_opacity(frame: av.VideoFrame, plane: av.VideoFrame) -> av.VideoFrame:
    """A copy of a frame whose opacity is the brightness of another frame."""
    if (frame.width, frame.height, frame.format.name) != (plane.width, plane.height, plane.format.name):
        raise av.InvalidDataError(0, "opacity of another size")
    result = like(frame, frame.height, frame.format.name.replace("yuv", "yuva", 1))
    for target, source in zip(result.planes, [*frame.planes, plane.planes[0]], strict=True):
        width = min(target.line_size, source.line_size)
        rows(target)[:, :width] = rows(source)[:, :width]
    return result
