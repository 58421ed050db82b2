"""Finding footage: movies, folders of images and arrays, in whatever is given."""

import os
import stat
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import NamedTuple

from latentseq.errors import DataError, UsageError, unread
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
"""What an ingestion was asked for: it marks its folder from the first moment until the manifest is there."""
_SPLITS = {"train": "train", "validation": "validation", "valid": "validation", "val": "validation", "test": "test"}


class Found(NamedTuple):
    """Footage that was found.

    Attributes:
        name: its path from what was given on, as it can be printed.
        footage: the pictures.
        split: train, validation or test, where a folder above it is called so; None where it does not matter.
    """

    name: str
    footage: Footage
    split: str | None


class Skipped(NamedTuple):
    """Something that is not taken.

    Attributes:
        name: its path from what was given on, as it can be printed.
        reason: why, in a sentence.
        damaged: whether it should have been readable; what is of no known kind is not damaged.
    """

    name: str
    reason: str
    damaged: bool = True


class ArrayOptions(NamedTuple):
    """How arrays are read, and images that are not of 8 bits; see ``ArrayFile``."""

    key: str | None
    axes: str | None
    levels: Levels | None


class _Candidate(NamedTuple):
    """What may be footage: how to open it."""

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
    """Find and open all footage, in natural order; nothing is decoded that need not be.

    Folders are searched to the bottom, links followed, each folder once; hidden files and folders in them are left
    out. Images of one folder are one piece of footage.

    Args:
        sources: files and folders.
        array: which array is meant in files that hold several.
        axes: of arrays, a letter for each (``parse_axes``); recognised where None.
        range: the values of black and white in arrays and images that are not of 8 bits (``parse_range``).
        leave_out: a folder that is not searched.
        workers: files opened at a time.

    Returns:
        What was found, and what was skipped and why.

    Raises:
        UsageError: a source does not exist, or axes or range are none.
    """
    levels = None if range is None else parse_range(range)
    options = ArrayOptions(array, None if axes is None else parse_axes(axes), levels)
    candidates: list[_Candidate] = []
    skipped: list[Skipped] = []
    for root, files in _gathered(sources, leave_out):
        for each in _sorted_out(root, files, options):
            if isinstance(each, Skipped):
                skipped.append(each)
            else:
                candidates.append(each)
    with ThreadPoolExecutor(workers) as pool:
        opened = list(pool.map(_open, candidates))
    skipped += [each for each in opened if isinstance(each, Skipped)]
    found = [each for each in opened if isinstance(each, Found)]
    if not any(each.split == "train" for each in found):
        found = [each._replace(split=None) for each in found]  # A folder that happens to be called test is no split.
    elif not all(each.split for each in found):
        found = [each._replace(split=each.split or "train") for each in found]
    return found, skipped


def nothing_found(skipped: list[Skipped]) -> DataError:
    """The error of a search that finds nothing to take."""
    reasons = [f"{each.name}: {each.reason}" for each in skipped[:5]]
    more = f" … and {len(skipped) - 5} more." if len(skipped) > 5 else ""
    return DataError(
        "There is nothing to take: expected videos, folders of images, or arrays. "
        + ("Skipped: " + " ".join(reasons) + more if skipped else "The folders are empty.")
    )


def printable(path: Path | str) -> str:
    """A path as text that can be written anywhere: bytes that are no text, and line ends, as escapes."""
    text = os.fsencode(path).decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def told(error: BaseException, path: Path, name: str) -> str:
    """What an error says, with the name of the footage in place of where it lies on this machine."""
    text = str(error) if isinstance(error, DataError) else f"It cannot be read: {type(error).__name__}: {error}."
    return printable(text.replace(str(path), name))


def _gathered(sources: Sequence[Path], leave_out: Path | None) -> list[tuple[Path, list[Path]]]:
    """Files by what was given, a folder or files of one folder, and what their names are relative to."""
    units: list[tuple[Path, list[Path]]] = []
    given: list[Path | None] = []
    for source in sources:
        if not os.path.lexists(source):
            raise UsageError(f"There is no file or folder {printable(source)}. Check the path.")
        here = source.absolute()
        if source.is_dir():
            units.append((here.parent, sorted(_files(here, leave_out), key=natural_key)))
        elif given and given[-1] == here.parent:
            units[-1][1].append(here)
        else:
            units.append((here.parent, [here]))
        given.append(None if source.is_dir() else here.parent)
    return units


def _sorted_out(root: Path, files: list[Path], options: ArrayOptions) -> Iterator[_Candidate | Skipped]:
    """What is to be opened, and how, and what is not."""
    images: dict[Path, list[Path]] = {}
    for path in files:
        if is_image(path) and _kind(path) == "file" and not is_animation(path):
            images.setdefault(path.parent, []).append(path)
    of_folders = {path for paths in images.values() for path in paths}
    for path in files:
        below = path.relative_to(root)
        name, parts = printable(below), below.parts[:-1]
        kind = _kind(path)
        if kind == "folder" and os.access(path, os.R_OK | os.X_OK):
            yield Skipped(name, "It is a folder that latentseq wrote: train from it as it is.", damaged=False)
        elif kind in ("folder", "closed"):
            yield Skipped(
                name, "It cannot be opened; expected the right to read it and its folder. Change its rights."
            )
        elif kind == "nothing":
            yield Skipped(name, "It is a link to nothing.")
        elif kind == "other":
            yield Skipped(name, "It is not a regular file.")
        elif path in of_folders:
            if path == images[path.parent][0]:
                folder = printable(below.parent if parts else root.name)
                opener = partial(ImageFolder, path.parent, images[path.parent], options.levels)
                yield _Candidate(folder, parts, path.parent, opener)
        elif is_video(path):
            yield _Candidate(name, parts, path, partial(VideoFile, path))
        elif is_image(path):
            yield _Candidate(name, parts, path, partial(Animation, path))
        elif is_array(path):
            yield _Candidate(name, parts, path, partial(ArrayFile, path, *options))
        elif is_records(path):
            yield _Candidate(name, parts, path, partial(Records, path))
        else:
            ends = f"{path.suffix} is" if path.suffix else "A file without a suffix is"
            yield Skipped(name, f"{ends} no kind of file that holds video, images or arrays.", damaged=False)


def _kind(path: Path) -> str:
    """What is there, in a word; ``closed`` where it cannot be known."""
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if later := unread(path, error):
            raise later from error
        return "closed" if isinstance(error, PermissionError) else "nothing"
    return "folder" if stat.S_ISDIR(mode) else "file" if stat.S_ISREG(mode) else "other"


def _files(top: Path, leave_out: Path | None) -> Iterator[Path]:
    """All files below a folder; and in place of folders of ours, and of such as cannot be opened, their own path."""
    seen: set[tuple[int, int]] = set()
    closed: list[Path] = []

    def note(error: OSError) -> None:
        if later := unread(error.filename, error):
            raise later from error
        closed.append(Path(error.filename))

    walk = os.walk(top.absolute(), followlinks=True, onerror=note)
    for folder, below, names in walk:
        here = Path(folder)
        about = here.stat()
        if (about.st_dev, about.st_ino) in seen or (leave_out and _is_same(here, leave_out)):
            below.clear()  # A link leads back to it.
            continue
        seen.add((about.st_dev, about.st_ino))
        if folder_format(here) or "file" in (_kind(here / RUN), _kind(here / UNFINISHED)):
            below.clear()
            yield here
            continue
        below[:] = sorted(name for name in below if not name.startswith("."))
        yield from (here / name for name in names if not name.startswith("."))
    yield from closed


def _is_same(folder: Path, other: Path) -> bool:
    return other.exists() and folder.samefile(other)


def _open(candidate: _Candidate) -> Found | Skipped:
    try:
        footage = candidate.open()
    except MemoryError:
        raise
    except Exception as error:  # One strange file must not keep the others from being taken.
        if later := unread_now(candidate.path, error):
            raise later from error
        return Skipped(candidate.name, told(error, candidate.path, candidate.name))
    named = [_SPLITS[part.lower()] for part in candidate.parts if part.lower() in _SPLITS]
    return Found(candidate.name, footage, named[0] if named else None)
