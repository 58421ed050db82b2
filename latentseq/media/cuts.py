"""Finds scene cuts, by PySceneDetect's adaptive detector.

A scene starts at a picture whose brightness differs from that of the one before by at least 15 of 255, on average
over the picture, and by three times as much as the pictures around it do. Only brightness counts. Hue and saturation
are noise in dark and pale films, where a fade-in would look like many cuts, and a gray film has neither.

A cross-fade is not a cut. A flash on a calm picture is two cuts, and the scene between them is as long as the flash.
Cuts at the first two and the last two pictures of a film are not found, nor cuts between scenes of the same
brightness.

PySceneDetect is an optional dependency and brings OpenCV with it. Neither is imported before it is used.
"""

import importlib
from collections.abc import Iterable

import numpy as np

from latentseq.errors import UsageError
from latentseq.media.preprocessing import MAX_SIDE, Preprocessing

BEFORE, AFTER = 3, 2
"""Number of pictures needed before and after a stretch, so that its cuts are the same as in the whole film.

The detector compares a difference with the two on each side of it, and a difference needs the picture before it.
"""
WIDTH = 256
"""Width in pixels of the pictures that the detector sees; wider ones do not show more of a scene."""


def looked_at(size: tuple[int, int]) -> Preprocessing:
    """Preprocessing for the detector: at most ``WIDTH`` pixels wide, and not cropped.

    Args:
        size: (h, w) of the film.
    """
    h, w = size
    width = min(w, WIDTH)
    return Preprocessing((min(max(1, round(h * width / w)), MAX_SIDE), width), fit="stretch")


def check_installed() -> None:
    """Check that PySceneDetect can be imported.

    Raises:
        UsageError: PySceneDetect cannot be imported.
    """
    try:
        importlib.import_module("scenedetect")
    except ImportError as cause:
        raise UsageError(
            f"Finding scene cuts needs PySceneDetect, which cannot be imported: {cause}. "
            'Install it with: pip install "latentseq[scenes]"'
        ) from cause


def find_cuts(pictures: Iterable[np.ndarray], start: int, first: int, last: int) -> list[int]:
    """Find the cuts in a stretch of a film.

    Args:
        pictures: consecutive pictures, each (h, w, 3) uint8 RGB, prepared as ``looked_at`` says. With ``BEFORE``
            pictures before the stretch and ``AFTER`` after it, where the film has them, the cuts are the same as in
            the whole film.
        start: number of the first of these pictures in the film.
        first: number of the first picture of the stretch.
        last: number of the picture after the stretch.

    Returns:
        Numbers c of the pictures that start a new scene, in ascending order, ``first <= c < last``.

    Raises:
        UsageError: PySceneDetect cannot be imported.
    """
    check_installed()
    from scenedetect import AdaptiveDetector, FrameTimecode

    # The caller drops scenes that are too short, because it sees more than one stretch.
    detector = AdaptiveDetector(min_scene_len=0, luma_only=True)
    cut_numbers: list[int] = []
    for i, picture in enumerate(pictures):
        # The detector expects BGR, but brightness is the largest of the three channels, so their order does not
        # matter. Its clock only counts frames, so any rate will do.
        cut_numbers += [start + cut.frame_num for cut in detector.process_frame(FrameTimecode(i, fps=25.0), picture)]
    return [cut for cut in cut_numbers if first <= cut < last]
