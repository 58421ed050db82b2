"""What a manifest may say: every field is checked before it is used, and no number in it can fill the memory."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from latentseq.errors import DataError, listed
from latentseq.storage.clip_table import VARYING
from latentseq.storage.hdf5 import unreadable
from latentseq.storage.reading import Fields, check_seal, is_number, is_plain, leads_out, read_object, shown

MANIFEST = "manifest.json"
CLIPS = "latentseq-clips/1"
LATENTS = "latentseq-latents/1"
SPLITS = (None, "train", "validation", "test")
MAX_CLIPS = 10_000_000
MAX_MISSING = 1 << 22
"""Rows that shards may have which are not there."""
_ROWS = 1 << 40
_SIDE = 1 << 26  # Values of an item: a frame of 50 million pixels has more, and is never kept.
_FPS = 1e6
_WIDTH = 1 << 20
OURS = frozenset({"frames", "times", "mean", "log_var", "about"})
"""Names that no side stream can have."""

Arrays = dict[str, tuple[tuple[int, ...], str]]
"""By name, the shape of an item and the kinds of dtype it may have."""


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of a folder of clips or latents, with all that it says checked.

    Raises:
        DataError: there is none, it is of neither, or it cannot be true.
    """
    path = folder / MANIFEST
    manifest = read_object(path, "a manifest")
    fields = Fields(manifest, path)
    fields.require("format", "clips", "shards", "fps", "streams")
    if fields.text("format") not in _CHECKS:
        fields.refuse("format", manifest["format"], listed(_CHECKS))
    check_rows(manifest, path)
    _CHECKS[manifest["format"]](manifest, path)
    check_seal(manifest, path)
    return manifest


def check_rows(manifest: Mapping[str, Any], path: Path) -> None:
    """Check what all manifests say: shards, and the clips in their rows.

    Args:
        manifest: the whole of it.
        path: of the file, for errors.

    Raises:
        DataError: a field is missing, of another type or out of range, or clips and shards do not fit.
    """
    fields = Fields(manifest, path)
    fields.require("clips", "shards")
    there, missing = check_shards(manifest, path)
    rows, count, needed = there + missing, 0, 0
    sources = manifest.get("sources")
    sources = len(sources) if isinstance(sources, list) else 0
    for number, run in enumerate(fields.many("clips")):
        each = Fields(run, path, f"clips[{number}]")
        each.require("row", "step", "count", "length")
        least = {"count": 1, "row": 0, "step": 1, "length": 1}
        n, row, step, length = (each.whole(key, low, _ROWS) for key, low in least.items())
        count, needed = count + n, max(needed, row + step * (n - 1) + length)
        if run.get("split") not in SPLITS:
            each.refuse("split", run["split"], "train, validation, test or nothing")
        if run.get("source") is not None:
            each.whole("source", 0, sources - 1)
        for key in (key for key in VARYING if key in run):
            if len(each.many(key)) != n or not all(map(is_number, run[key])):
                each.refuse(key, run[key], f"{n} numbers, one for each clip")
    if needed > rows:
        raise DataError(
            f"{path} cannot be used: its clips need {needed} rows, and its shards have {rows}. Make the folder again."
        )
    if count > min(MAX_CLIPS, there + min(missing, MAX_MISSING)):
        raise DataError(
            f"{path} cannot be used: it lists {count} clips in {rows} rows; expected one for each row at most, and "
            f"{MAX_CLIPS} in all. Make the folder again."
        )


def check_shards(manifest: Mapping[str, Any], path: Path) -> tuple[int, int]:
    """Check the list of shards.

    Args:
        manifest: the whole of it.
        path: of the file; the shards are beside it.

    Returns:
        The rows of shards that are there, and of those that are not.

    Raises:
        DataError: a field is missing, of another type or out of range, or a name leads out of the folder.
    """
    seen: dict[str, Any] = {}
    rows = {True: 0, False: 0}
    for number, shard in enumerate(Fields(manifest, path).many("shards")):
        each = Fields(shard, path, f"shards[{number}]")
        each.require("file", "rows", "sha256")
        name, count = shard["file"], each.whole("rows", 0, _ROWS)
        each.digest("sha256")
        if not is_plain(name):
            each.refuse("file", name, "the name of a file in the same folder")
        if seen.setdefault(name, shard) is not shard:  # Copies of a film share their shards.
            for key in ("rows", "sha256"):
                if seen[name][key] != shard[key]:
                    each.refuse(key, shard[key], f"{shown(seen[name][key])}, as is said of {name} before")
        file = path.parent / name
        if file.is_symlink() and leads_out(path.parent, name):
            each.refuse("file", name, "a file in the same folder, and it is a link out of it")
        there = file.exists()
        if there and not file.is_file():
            raise unreadable(file, "expected a regular file")
        if there and count > file.stat().st_size:
            raise unreadable(file, f"it has {file.stat().st_size} bytes, and the manifest says {count} rows")
        rows[there] += count
    return rows[True], rows[False]


def check_clips(manifest: Mapping[str, Any], path: Path) -> Arrays:
    """Check what a manifest of clips says beside its rows.

    Returns:
        The arrays that its shards have to hold.

    Raises:
        DataError: a field is missing, of another type or out of range.
    """
    fields = Fields(manifest, path)
    fields.require("fps", "streams", "frame_shape", "source")
    shape = fields.shape("frame_shape", (3,), _SIDE)
    source = Fields(fields.inner("source"), path, "source")
    source.text("dataset")
    source.inner("config")
    for key in ("sources", "skipped"):
        if key in manifest:
            _check_told(fields.many(key), path, key)
    # Folders of before the times were kept do not say whether they have them.
    times: Arrays = {"times": ((), "f")} if "times" in manifest and fields.flag("times") else {}
    return {"frames": (shape, "u"), **times, **_streams(fields)}


def check_latents(manifest: Mapping[str, Any], path: Path) -> Arrays:
    """Check what a manifest of latents says beside its rows.

    Returns:
        The arrays that its shards have to hold.

    Raises:
        DataError: a field is missing, of another type or out of range.
    """
    fields = Fields(manifest, path)
    fields.require("latent_shape", "has_posterior", "encoder", "data", "streams", "fps")
    shape = fields.shape("latent_shape", (1, 2, 3), _SIDE)
    for key in ("encoder", "data"):
        fields.text(key, 256)
    posterior: Arrays = {"log_var": (shape, "f")} if fields.flag("has_posterior") else {}
    return {"mean": (shape, "f"), **posterior, **_streams(fields)}


def check_fit(arrays: Mapping[str, tuple[tuple[int, ...], Any]], wanted: Arrays, path: Path) -> None:
    """Compare the arrays of a shard with those that its manifest calls for.

    Args:
        arrays: by name, the shape of an item and the dtype.
        wanted: what ``check_clips`` or ``check_latents`` gave.
        path: of the shard.

    Raises:
        DataError: another name, shape or dtype.
    """
    for name in sorted({*arrays, *wanted}):
        found, call = "missing", "no such array"
        if name in arrays:
            found = f"{arrays[name][1]} of shape {arrays[name][0]}"
        if name in wanted:
            call = f"{_KINDS[wanted[name][1]]} of shape {wanted[name][0]}"
        if name not in arrays or name not in wanted or not _fits(*arrays[name], *wanted[name]):
            raise DataError(
                f"{path} does not fit the manifest beside it: {shown(name)} is {found} a row; expected {call}. "
                "Make the folder again."
            )


_NUMBERS = "buif"
_KINDS = {"u": "uint8", "f": "floats", _NUMBERS: "numbers"}


def _fits(shape: tuple[int, ...], dtype: Any, expected: tuple[int, ...], kinds: str) -> bool:
    return shape == expected and dtype.kind in kinds and (kinds != "u" or dtype.itemsize == 1)


def _streams(fields: Fields) -> Arrays:
    """Frame rate and side streams, which clips and latents say alike."""
    fields.number("fps", 0, _FPS)
    streams = Fields(fields.inner("streams"), fields.path, "streams")
    found: Arrays = {}
    for name in fields.inner("streams"):
        if not is_plain(name) or name in OURS:
            fields.refuse("streams", name, f"names of side streams, other than {', '.join(sorted(OURS))}")
        found[name] = ((streams.whole(name, 1, _WIDTH),), _NUMBERS)
    return found


def _check_told(values: list[Any], path: Path, key: str) -> None:
    """What is only told to people: where clips are from, and what was left out."""
    texts = {"sources": ("path", "kind", "detail", "sha256"), "skipped": ("path", "reason")}[key]
    for number, value in enumerate(values):
        each = Fields(value, path, f"{key}[{number}]")
        for name in texts:
            each.text(name, 1 << 16)
        if key == "sources":
            each.whole("frames", 0, _ROWS)
            each.number("fps", 0, _FPS)
            for flag in value.keys() & {"gray", "timed"}:
                each.flag(flag)
            if "size" in value:
                each.shape("size", (2,), _SIDE)
            if "reading" in value:
                each.text("reading", 1 << 16)


_CHECKS = MappingProxyType({CLIPS: check_clips, LATENTS: check_latents})
