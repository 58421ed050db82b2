"""Whether the files of a folder are those that were written."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from latentseq.errors import DataError, unread
from latentseq.storage.artifact import ARTIFACT, read_artifact
from latentseq.storage.hdf5 import stored_arrays
from latentseq.storage.manifest import MANIFEST, read_manifest
from latentseq.storage.reading import SEAL, open_regular
from latentseq.storage.shards import ABOUT


def verify(path: str | Path) -> dict[str, str]:
    """Compare every file that a folder of ours has a SHA-256 of with it, in the folder and in those below it.

    Files are read in pieces; a folder of any size takes little memory.

    Args:
        path: a run folder, a folder of clips or latents, or a folder that such folders are in.

    Returns:
        What was compared, by the file that lists it, in reading order.

    Raises:
        DataError: a file is missing or damaged (every such file is named), or there is nothing to compare.
    """
    folder = Path(path)
    found = sorted(p for p in folder.rglob("*.json") if p.name in (ARTIFACT, MANIFEST) and _is_seen(p, folder))
    if not found:
        raise DataError(
            f"{folder} holds neither a trained model ({ARTIFACT}) nor clips or latents ({MANIFEST}). "
            "Expected a folder that latentseq wrote."
        )
    rows, wrong = {}, []
    for file in found:
        try:
            checked = _artifact(file) if file.name == ARTIFACT else _shards(file)
        except DataError as error:
            wrong.append(str(error))
            continue
        rows[str(file.relative_to(folder))] = checked.said
        wrong += checked.wrong
    if wrong:
        raise DataError(
            f"{folder} is not as it was written. {' '.join(wrong)} Copy the folder again, or make it again."
        )
    return rows


class _Checked(NamedTuple):
    """What is said of one list of files, and a sentence on each that is wrong."""

    said: str
    wrong: list[str]


def _artifact(file: Path) -> _Checked:
    artifact = read_artifact(file.parent)
    files: dict[str, str] = artifact.about["files"]
    wrong = [sentence for name, digest in files.items() if (sentence := _compared(file.parent / name, digest))]
    return _Checked(
        f"{artifact.plugin}, fingerprint and {_counted(len(files), 'file')} {_as_written(artifact.about)}", wrong
    )


def _shards(file: Path) -> _Checked:
    manifest = read_manifest(file.parent)
    shards = [(shard["file"], shard["rows"], shard["sha256"]) for shard in manifest["shards"]]
    wrong = []
    for name, rows, digest in shards:
        sentence = _compared(file.parent / name, digest) or _counts(file.parent / name, rows)
        wrong += [sentence] if sentence else []
    total = sum(rows for _, rows, _ in shards)
    counts = f"{_counted(len(shards), 'shard')} with {_counted(total, 'row')}"
    said = f"{manifest['format']}, {counts} {_as_written(manifest)}"
    others = sorted({p.name for p in file.parent.glob("*.h5")} - {name for name, _, _ in shards})
    return _Checked(said + (f"; not part of it: {', '.join(others)}" if others else ""), wrong)


def _as_written(value: Mapping[str, Any]) -> str:
    """What was compared; an older file has no checksum of its own, and then that is said."""
    return "as written" if SEAL in value else f"as written; the rest of the file has no {SEAL!r} to compare it with"


def _compared(path: Path, digest: str) -> str | None:
    """A sentence where a file is not the one that was written."""
    try:
        with open_regular(path) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == digest:
                return None
    except FileNotFoundError:
        return f"{path} is missing."
    except OSError as cause:
        if later := unread(path, cause):
            raise later from cause
        return f"{path} cannot be read: {cause.strerror or cause}."
    return f"{path} is damaged: its SHA-256 is another."


def _counts(path: Path, rows: int) -> str | None:
    """A sentence where a manifest is wrong about the rows of a shard that is whole."""
    try:
        found = sorted({array.shape[0] for key, array in stored_arrays(path).items() if key != ABOUT})
    except DataError as cause:
        return str(cause)
    if found == [rows]:
        return None
    return f"{path} holds {' and '.join(map(str, found)) or 'no'} rows, and the manifest says {rows}."


def _is_seen(path: Path, folder: Path) -> bool:
    """Whether no folder on the way to it is hidden, as those are that were being written when a process ended."""
    return not any(part.startswith(".") for part in path.relative_to(folder).parts)


def _counted(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
