"""Finds footage in files and folders: videos, folders of images, animations, arrays and TFRecord files."""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from latentseq.errors import DataError, UsageError, retry_error
from latentseq.media.animation import Animation, is_animation
from latentseq.media.arrayfile import ArrayFile, is_array
from latentseq.media.footage import Footage, unread_now
from latentseq.media.images import ImageFolder, is_image, natural_key
from latentseq.media.layout import parse_axes
from latentseq.media.levels import Levels, parse_range
from latentseq.media.records import Records, is_records
from latentseq.media.video import VideoFile, is_video
from latentseq.storage.folders import RUN
from latentseq.storage.shards import folder_format

UNFINISHED = "ingest.json"
"""Name of the file with the options of an ingestion. It marks the folder until the manifest is written."""
_SPLITS = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation", "test": "test"}


class Found(NamedTuple):
    """Footage in a source.

    Attributes:
        name: printable path, relative to the folder of the source.
        footage: the pictures.
        split: train, validation or test, by the name of a folder above it; None if the folders name no splits.
    """

    name: str
    footage: Footage
    split: str | None


class Skipped(NamedTuple):
    """A file or folder that is skipped.

    Attributes:
        name: printable path, relative to the folder of the source.
        reason: why it is skipped, as a sentence.
        damaged: whether it should have been readable; a file of an unknown type is not damaged.
    """

    name: str
    reason: str
    damaged: bool = True


class ArrayOptions(NamedTuple):
    """Options for reading arrays, and images that do not have 8 bits; see ``ArrayFile``."""

    key: str | None
    axes: str | None
    levels: Levels | None


class _Candidate(NamedTuple):
    """A file or folder that may be footage.

    Attributes:
        name: printable path, relative to the folder of the source.
        parts: names of the folders above it, below the folder of the source.
        path: path of the file or folder.
        open: function that opens it.
    """

    name: str
    parts: tuple[str, ...]
    path: Path
    open: Callable[[], Footage]


def discover(
    sources: Sequence[Path],
    *,
    array: str | None = None,
    axes: str | None = None,
    range: str | None = None,
    leave_out: Path | None = None,
    workers: int = 1,
) -> tuple[list[Found], list[Skipped]]:
    """Find and open all footage, in natural order, and decode as little as possible.

    Folders are searched with all their subfolders. Links are followed, and each folder is searched once. Hidden files
    and folders are left out. The images of one folder are one piece of footage.

    Args:
        sources: paths of files and folders.
        array: name of the array to read from a file that holds several.
        axes: axes of arrays, one letter for each (``parse_axes``); None to recognise them from the shape.
        range: values of black and white in arrays and images that do not have 8 bits (``parse_range``).
        leave_out: path of a folder that is not searched.
        workers: number of files to open at the same time.

    Returns:
        The footage, and the files and folders that are skipped.

    Raises:
        UsageError: a source does not exist, or ``axes`` or ``range`` is not valid.
    """
    levels = None if range is None else parse_range(range)
    options = ArrayOptions(array, None if axes is None else parse_axes(axes), levels)
    candidates: list[_Candidate] = []
    skipped: list[Skipped] = []
    for root, files in _groups(sources, leave_out):
        for each in _candidates(root, files, options):
            if isinstance(each, Skipped):
                skipped.append(each)
            else:
                candidates.append(each)
    with ThreadPoolExecutor(workers) as pool:
        results = list(pool.map(_open, candidates))
    skipped += [each for each in results if isinstance(each, Skipped)]
    matches = [each for each in results if isinstance(each, Found)]
    if not any(each.split == "train" for each in matches):
        matches = [each._replace(split=None) for each in matches]  # Without train, a folder called test is no split.
    elif not all(each.split for each in matches):
        matches = [each._replace(split=each.split or "train") for each in matches]
    return matches, skipped


def nothing_found(skipped: list[Skipped]) -> DataError:
    """The error of a search that finds no footage."""
    reasons = [f"{each.name}: {each.reason}" for each in skipped[:5]]
    more = f" … and {len(skipped) - 5} more." if len(skipped) > 5 else ""
    return DataError(
        "There is no footage: expected videos, folders of images, or arrays. "
        + ("Skipped: " + " ".join(reasons) + more if skipped else "The folders are empty.")
    )


def printable(path: Path | str) -> str:
    """A path as printable text: line ends and bytes that are not text are shown as escapes."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def told(error: BaseException, path: Path, name: str) -> str:
    """The message of an error, with the name of the footage in place of its path on this machine."""
    text = str(error) if isinstance(error, DataError) else f"It cannot be read: {type(error).__name__}: {error}."
    return printable(text.replace(str(path), name))


def _groups(sources: Sequence[Path], leave_out: Path | None) -> list[tuple[Path, list[Path]]]:
    """The files of each source, and the folder that their names are relative to.

    Successive files of one folder are one group.
    """
    groups: list[tuple[Path, list[Path]]] = []
    previous: Path | None = None  # The folder of the source before, if that was a file.
    for source in sources:
        if not os.path.lexists(source):
            raise UsageError(f"There is no file or folder {printable(source)}. Check the path.")
        here = source.absolute()
        if source.is_dir():
            groups.append((here.parent, sorted(_files(here, leave_out), key=natural_key)))
        elif previous == here.parent:
            groups[-1][1].append(here)
        else:
            groups.append((here.parent, [here]))
        previous = None if source.is_dir() else here.parent
    return groups


def _candidates(root: Path, files: list[Path], options: ArrayOptions) -> Iterator[_Candidate | Skipped]:
    """Decide for each file whether and how to open it.

    Args:
        root: folder that names are relative to.
        files: paths of files, and of folders that are not searched.
        options: options for reading arrays.
    """
    images: dict[Path, list[Path]] = {}
    for path in files:
        if is_image(path) and _kind(path) == "file" and not is_animation(path):
            images.setdefault(path.parent, []).append(path)
    folder_images = {path for paths in images.values() for path in paths}
    for path in files:
        relative = path.relative_to(root)
        name, parts = printable(relative), relative.parts[:-1]
        kind = _kind(path)
        if kind == "folder" and os.access(path, os.R_OK | os.X_OK):
            yield Skipped(name, "latentseq wrote this folder. It can be used as data directly.", damaged=False)
        elif kind in ("folder", "closed"):
            yield Skipped(
                name, "It cannot be opened; expected permission to read it and its folder. Change its permissions."
            )
        elif kind == "nothing":
            yield Skipped(name, "It is a link whose target does not exist.")
        elif kind == "other":
            yield Skipped(name, "It is not a regular file.")
        elif path in folder_images:
            if path == images[path.parent][0]:
                folder = printable(relative.parent if parts else root.name)
                opener = partial(ImageFolder, path.parent, images[path.parent], options.levels)
                yield _Candidate(folder, parts, path.parent, opener)
        elif is_video(path):
            yield _Candidate(name, parts, path, partial(VideoFile, path))
        elif is_image(path):
            yield _Candidate(name, parts, path, partial(Animation, path, options.levels))
        elif is_array(path):
            yield _Candidate(name, parts, path, partial(ArrayFile, path, *options))
        elif is_records(path):
            yield _Candidate(name, parts, path, partial(Records, path))
        else:
            subject = path.suffix or "A file without a suffix"
            yield Skipped(name, f"{subject} is not a known type of video, image or array file.", damaged=False)


def _kind(path: Path) -> str:
    """Kind of a path: file, folder, other, nothing (a broken link), or closed (no permission to look)."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if later := retry_error(path, error):
            raise later from error
        return "closed" if isinstance(error, PermissionError) else "nothing"
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"


def _files(top: Path, leave_out: Path | None) -> Iterator[Path]:
    """All files below a folder.

    A folder that latentseq wrote, or that cannot be opened, is given by its own path in place of its files.
    """
    seen: set[tuple[int, int]] = set()
    closed: list[Path] = []

    def note(error: OSError) -> None:
        if later := retry_error(error.filename, error):
            raise later from error
        closed.append(Path(error.filename))

    walk = os.walk(top.absolute(), followlinks=True, onerror=note)
    for folder, subfolders, names in walk:
        here = Path(folder)
        status = here.stat()
        if (status.st_dev, status.st_ino) in seen or (leave_out and _is_same(here, leave_out)):
            subfolders.clear()  # A link can lead back to a folder.
            continue
        seen.add((status.st_dev, status.st_ino))
        if folder_format(here) or "file" in (_kind(here / RUN), _kind(here / UNFINISHED)):
            subfolders.clear()
            yield here
            continue
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        yield from (here / name for name in names if not name.startswith("."))
    yield from closed


def _is_same(folder: Path, other: Path) -> bool:
    return other.exists() and folder.samefile(other)


def _open(candidate: _Candidate) -> Found | Skipped:
    try:
        footage = candidate.open()
    except MemoryError:
        raise
    except Exception as error:  # One bad file must not keep the others from being used.
        if later := unread_now(candidate.path, error):
            raise later from error
        return Skipped(candidate.name, told(error, candidate.path, candidate.name))
    splits = [_SPLITS[part.lower()] for part in candidate.parts if part.lower() in _SPLITS]
    return Found(candidate.name, footage, splits[0] if splits else None)
