"""Checks of manifests: every field is checked before it is used, so that no number in it can fill the memory."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from latentseq.errors import DataError
from latentseq.storage.clip_table import VARYING
from latentseq.storage.hdf5 import unreadable
from latentseq.storage.reading import Fields, check_seal, is_number, is_plain, leads_out, quote, read_object

MANIFEST = "manifest.json"
"""Name of the file that describes a folder of clips or latents."""
CLIPS = "latentseq-clips/1"
"""Format of a folder of clips."""
LATENTS = "latentseq-latents/1"
"""Format of a folder of latents."""
SPLITS = (None, "train", "validation", "test")
"""Splits that a clip may have."""
HOLD_OUT = (None, "clips", "ends")
"""What may be held out of clips without splits; see ``split_ranges``."""
MAX_CLIPS = 10_000_000
"""Maximum number of clips."""
MAX_MISSING = 1 << 22
"""Maximum number of rows in missing shards."""
_ROWS = 1 << 40
"""Maximum number of rows."""
_SIDE = 1 << 26
"""Maximum number of values of an item."""
_FPS = 1e6
"""Maximum frame rate."""
_WIDTH = 1 << 20
"""Maximum width of a side stream."""
OURS = frozenset({"frames", "times", "mean", "log_var", "about"})
"""Reserved names, which no side stream can have."""

Arrays = dict[str, tuple[tuple[int, ...], str]]
"""Name of each array -> shape of an item and kinds of dtype."""


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a folder of clips or latents, and check all of it.

    Raises:
        DataError: the manifest is missing, has another format, or is invalid.
    """
    path = folder / MANIFEST
    manifest = read_object(path, "a manifest")
    fields = Fields(manifest, path)
    fields.require("format", "clips", "shards", "fps", "streams")
    if fields.text("format") not in _CHECKS:
        fields.refuse("format", manifest["format"], " or ".join(_CHECKS))
    check_rows(manifest, path)
    _CHECKS[manifest["format"]](manifest, path)
    check_seal(manifest, path)
    return manifest


def check_rows(manifest: Mapping[str, Any], path: Path) -> None:
    """Check the shards of a manifest, and the clips in their rows.

    Args:
        manifest: the whole manifest.
        path: path of the file, for messages.

    Raises:
        DataError: a field is missing, has another type or is out of range, or the clips do not fit into the shards.
    """
    fields = Fields(manifest, path)
    fields.require("clips", "shards")
    if manifest.get("hold_out") not in HOLD_OUT:
        fields.refuse("hold_out", manifest["hold_out"], "clips, ends or nothing")
    present, missing = check_shards(manifest, path)
    rows, count, needed = present + missing, 0, 0
    sources = manifest.get("sources")
    sources = len(sources) if isinstance(sources, list) else 0
    for number, run in enumerate(fields.many("clips")):
        each = Fields(run, path, f"clips[{number}]")
        each.require("row", "step", "count", "length")
        minimum = {"count": 1, "row": 0, "step": 1, "length": 1}
        n, row, step, length = (each.whole(key, low, _ROWS) for key, low in minimum.items())
        count += n
        needed = max(needed, row + step * (n - 1) + length)
        if run.get("split") not in SPLITS:
            each.refuse("split", run["split"], "train, validation, test or nothing")
        if run.get("source") is not None:
            each.whole("source", 0, sources - 1)
        for key in (key for key in VARYING if key in run):
            if len(each.many(key)) != n or not all(map(is_number, run[key])):
                each.refuse(key, run[key], f"{n} numbers, one for each clip")
    if needed > rows:
        raise DataError(
            f"{path} cannot be used: its clips need {needed} rows, but its shards have {rows}. Make the folder again."
        )
    if count > min(MAX_CLIPS, present + min(missing, MAX_MISSING)):
        raise DataError(
            f"{path} cannot be used: it lists {count} clips in {rows} rows; expected at most one clip per row, and "
            f"at most {MAX_CLIPS} clips. Make the folder again."
        )


def check_shards(manifest: Mapping[str, Any], path: Path) -> tuple[int, int]:
    """Check the list of shards.

    Args:
        manifest: the whole manifest.
        path: path of the file. The shards are in the same folder.

    Returns:
        The number of rows in shards that exist, and in shards that are missing.

    Raises:
        DataError: a field is missing, has another type or is out of range, or a name leads out of the folder.
    """
    entries: dict[str, Any] = {}
    rows = {True: 0, False: 0}
    for number, shard in enumerate(Fields(manifest, path).many("shards")):
        each = Fields(shard, path, f"shards[{number}]")
        each.require("file", "rows", "sha256")
        name, count = shard["file"], each.whole("rows", 0, _ROWS)
        each.digest("sha256")
        if not is_plain(name):
            each.refuse("file", name, "the name of a file in the same folder")
        if entries.setdefault(name, shard) is not shard:  # Copies of a film share their shards.
            for key in ("rows", "sha256"):
                if entries[name][key] != shard[key]:
                    each.refuse(key, shard[key], f"{quote(entries[name][key])}, as in an earlier entry of {name}")
        file = path.parent / name
        if file.is_symlink() and leads_out(path.parent, name):
            each.refuse("file", name, "a file in the same folder, not a link out of it")
        exists = file.exists()
        if exists and not file.is_file():
            raise unreadable(file, "expected a regular file")
        if exists and count > file.stat().st_size:
            raise unreadable(file, f"it has {file.stat().st_size} bytes, but the manifest says {count} rows")
        rows[exists] += count
    return rows[True], rows[False]


def check_clips(manifest: Mapping[str, Any], path: Path) -> Arrays:
    """Check the fields that only manifests of clips have.

    Returns:
        The arrays that each shard must hold.

    Raises:
        DataError: a field is missing, has another type or is out of range.
    """
    fields = Fields(manifest, path)
    fields.require("fps", "streams", "frame_shape", "source")
    shape = fields.shape("frame_shape", (3,), _SIDE)
    source = Fields(fields.inner("source"), path, "source")
    source.text("dataset")
    source.inner("config")
    for key in ("sources", "skipped"):
        if key in manifest:
            _check_entries(fields.many(key), path, key)
    # Old folders have no times, and no field that says so.
    times: Arrays = {"times": ((), "f")} if "times" in manifest and fields.flag("times") else {}
    return {"frames": (shape, "u"), **times, **_streams(fields)}


def check_latents(manifest: Mapping[str, Any], path: Path) -> Arrays:
    """Check the fields that only manifests of latents have.

    Returns:
        The arrays that each shard must hold.

    Raises:
        DataError: a field is missing, has another type or is out of range.
    """
    fields = Fields(manifest, path)
    fields.require("latent_shape", "has_posterior", "encoder", "data", "streams", "fps")
    shape = fields.shape("latent_shape", (1, 2, 3), _SIDE)
    for key in ("encoder", "data"):
        fields.text(key, 256)
    posterior: Arrays = {"log_var": (shape, "f")} if fields.flag("has_posterior") else {}
    return {"mean": (shape, "f"), **posterior, **_streams(fields)}


def check_fit(arrays: Mapping[str, tuple[tuple[int, ...], Any]], expected: Arrays, path: Path) -> None:
    """Compare the arrays of a shard with those that its manifest requires.

    Args:
        arrays: name of each array -> shape of an item and dtype.
        expected: result of ``check_clips`` or ``check_latents``.
        path: path of the shard.

    Raises:
        DataError: a name, a shape or a dtype differs.
    """
    for name in sorted({*arrays, *expected}):
        received, required = "missing", "no such array"
        if name in arrays:
            received = f"{arrays[name][1]} of shape {arrays[name][0]} per row"
        if name in expected:
            required = f"{_KINDS[expected[name][1]]} of shape {expected[name][0]} per row"
        if name not in arrays or name not in expected or not _fits(*arrays[name], *expected[name]):
            raise DataError(
                f"{path} does not fit the manifest beside it: {quote(name)} is {received}; expected {required}. "
                "Make the folder again."
            )


_NUMBERS = "buif"
"""Kinds of dtype that a side stream may have."""
_KINDS = {"u": "uint8", "f": "floats", _NUMBERS: "numbers"}
"""Names of the kinds of dtype in messages."""


def _fits(shape: tuple[int, ...], dtype: Any, expected: tuple[int, ...], kinds: str) -> bool:
    return shape == expected and dtype.kind in kinds and (kinds != "u" or dtype.itemsize == 1)


def _streams(fields: Fields) -> Arrays:
    """Check frame rate and side streams, and return the arrays of the streams."""
    fields.number("fps", 0, _FPS)
    streams = Fields(fields.inner("streams"), fields.path, "streams")
    arrays: Arrays = {}
    for name in fields.inner("streams"):
        if not is_plain(name) or name in OURS:
            fields.refuse("streams", name, f"names of side streams, other than {', '.join(sorted(OURS))}")
        arrays[name] = ((streams.whole(name, 1, _WIDTH),), _NUMBERS)
    return arrays


def _check_entries(values: list[Any], path: Path, key: str) -> None:
    """Check the list of sources or of skipped files, which is only shown to people."""
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
