"""Folders of numbered images."""

import hashlib
import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from latentseq.arrays import Clip
from latentseq.errors import DataError, UsageError, listed
from latentseq.media.images import IMAGE_SUFFIXES, image_size, is_image, natural_key, read_image
from latentseq.media.preprocessing import Preprocessing
from latentseq.protocols import Dataset


class Frames(Dataset):
    """Every folder that directly holds images, at any depth, as one clip; ``frame2`` comes before ``frame10``.

    Attributes:
        fps: frames a second, those skipped not counted.
    """

    name: ClassVar[str] = "frames"
    description: ClassVar[str] = "A folder of numbered images, or of such folders: one clip each."
    slow = True

    def __init__(
        self,
        path: str,
        size: list[int] | int = 64,
        fit: str = "crop",
        gray: bool = False,
        skip: int = 1,
        fps: float = 25.0,
    ) -> None:
        """Find the images and compare their sizes, which takes their headers only.

        Args:
            path: the folder; hidden files in it are left out.
            size: [height, width] of the frames in pixels, or the side of a square.
            fit: where the shape differs: 'crop' keeps the middle, 'pad' adds black borders, 'stretch' distorts.
            gray: one channel instead of three.
            skip: keep every n-th image.
            fps: images a second, those skipped counted.

        Raises:
            DataError: no images, one that cannot be read, or two sizes in one clip.
            UsageError: an option that is out of range.
        """
        self.path, self.size, self.fit, self.gray, self.skip = path, size, fit, gray, skip
        self._preprocessing = Preprocessing.of(size, fit, gray, skip)
        if not 0 < fps < float("inf"):
            raise UsageError(f"Option fps is {fps!r}; expected a number of images a second, such as 25.")
        self._fps = fps
        self.fps = fps / skip
        clips = _clips(Path(path).expanduser())
        for files in clips:
            _check_sizes(files)
        self._clips = [files[::skip] for files in clips]
        self._lengths = np.array([len(files) for files in self._clips], np.int64)

    @property
    def lengths(self) -> np.ndarray:
        """(n,) int64, frames of each clip."""
        return self._lengths

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """(h, w, c)."""
        return self._preprocessing.frame_shape

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords; its ``fps`` counts the images that are skipped, the attribute does not."""
        return {**super().get_config(), "fps": self._fps}

    def read(self, i: int, start: int = 0, stop: int | None = None) -> Clip:
        """See ``Dataset.read``.

        Raises:
            UsageError: a clip or a range that does not exist.
            DataError: an image cannot be read.
        """
        start, stop = self.check_range(i, start, stop)
        return Clip(np.stack([read_image(file, self._preprocessing) for file in self._clips[i][start:stop]]), {})

    def fingerprint(self) -> str:
        """SHA-256 of the images' content, of what is one clip, and of the preprocessing."""
        about = [self.name, self._preprocessing.to_json(), self._fps, self._lengths.tolist()]
        digest = hashlib.sha256(json.dumps(about).encode())
        for files in self._clips:
            for path in files:
                with path.open("rb") as file:
                    digest.update(hashlib.file_digest(file, "sha256").digest())
        return digest.hexdigest()


def _clips(root: Path) -> list[list[Path]]:
    """The images of every folder that holds some, folders and images in natural order."""
    if not root.is_dir():
        raise DataError(
            f"{root} is not a folder; expected one of numbered images, or of such folders. Check the path; "
            "a movie is read by the dataset video."
        )
    folders: dict[Path, list[Path]] = {}
    below = (file.relative_to(root) for file in root.rglob("*") if is_image(file) and file.is_file())
    shown = [file for file in below if not any(part.startswith(".") for part in file.parts)]
    for file in sorted(shown, key=natural_key):
        folders.setdefault(file.parent, []).append(root / file)
    if not folders:
        raise DataError(
            f"{root} holds no images; expected files that end in {listed(IMAGE_SUFFIXES)}, in it or in folders below "
            "it. Choose another folder; one of movies is read by the dataset video."
        )
    return [folders[folder] for folder in sorted(folders, key=natural_key)]


def _check_sizes(files: list[Path]) -> None:
    first = image_size(files[0])
    for file in files[1:]:
        h, w = image_size(file)
        if (h, w) != first:
            raise DataError(
                f"{files[0]} is {first[0]} x {first[1]} (h x w) and {file} is {h} x {w}; expected one size in a "
                "clip. Put them into folders of their own, or make them equal."
            )
