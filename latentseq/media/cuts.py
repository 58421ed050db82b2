"""Where one scene of a film ends and another begins, by PySceneDetect's adaptive detector.

A picture is the first of a scene where its brightness differs from that of the one before by 15 of 255 or more, on
average over the picture, and by three times as much as around it. Brightness alone: hue and saturation are noise
where a film is dark or pale, so that a fade-in looks like many cuts, and a gray film has neither.

A cross-fade is no cut. A flash on a quiet picture is two, and the scene between them is as long as the flash. Cuts at
the first two and the last two pictures of a film are not found, nor those between scenes of the same brightness
everywhere.

PySceneDetect is an extra, and OpenCV comes with it: neither is imported before it is used.
"""

import importlib
from collections.abc import Iterable

import numpy as np

from latentseq.errors import UsageError
from latentseq.media.preprocessing import MAX_SIDE, Preprocessing

BEFORE, AFTER = 3, 2
"""Pictures to see before and after a stretch, to decide as on the whole film: two differences on each side of the one
in question, and a difference needs the picture before it."""
WIDTH = 256
"""Pixels, of the pictures that are looked at; wider ones say no more of a whole scene."""


def looked_at(size: tuple[int, int]) -> Preprocessing:
    """How pictures of (h, w) are made small to be looked at: 256 pixels wide, or as wide as they are, not cropped."""
    h, w = size
    width = min(w, WIDTH)
    return Preprocessing((min(max(1, round(h * width / w)), MAX_SIDE), width), fit="stretch")


def check_installed() -> None:
    """Refuse to go on without PySceneDetect.

    Raises:
        UsageError: it cannot be imported.
    """
    try:
        importlib.import_module("scenedetect")
    except ImportError as cause:
        raise UsageError(
            f"Finding scene cuts needs PySceneDetect, which cannot be imported: {cause}. "
            'Install it with: pip install "latentseq[scenes]"'
        ) from cause


def find_cuts(pictures: Iterable[np.ndarray], start: int, first: int, last: int) -> list[int]:
    """The cuts in a stretch of a film.

    Args:
        pictures: (h, w, 3) uint8 RGB each, consecutive, as ``looked_at`` prepares them. From ``BEFORE`` pictures
            before the stretch to ``AFTER`` after it, where the film has them, the stretch is judged as it would be
            within the whole film.
        start: number of the first of them.
        first: where the stretch starts.
        last: where it ends; this picture is not in it any more.

    Returns:
        Numbers c of pictures that are the first of a new scene, rising, ``first <= c < last``.

    Raises:
        UsageError: PySceneDetect cannot be imported.
    """
    check_installed()
    from scenedetect import AdaptiveDetector, FrameTimecode

    # Scenes that are too short are for the caller to drop, who sees more than one stretch.
    detector = AdaptiveDetector(min_scene_len=0, luma_only=True)
    found: list[int] = []
    for i, picture in enumerate(pictures):
        # The detector takes BGR; its brightness is the largest of the three, in whatever order. Its clock counts
        # frames only, so any rate will do.
        found += [start + cut.frame_num for cut in detector.process_frame(FrameTimecode(i, fps=25.0), picture)]
    return [cut for cut in found if first <= cut < last]
