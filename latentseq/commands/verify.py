"""Check the files of a folder against their stored checksums."""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from latentseq.errors import DataError, count_of, retry_error
from latentseq.storage.artifact import ARTIFACT, read_artifact
from latentseq.storage.hdf5 import stored_arrays
from latentseq.storage.manifest import MANIFEST, read_manifest
from latentseq.storage.reading import SEAL, open_regular
from latentseq.storage.shards import ABOUT


def verify(path: str | Path) -> dict[str, str]:
    """Compare files with their stored SHA-256, in a folder that latentseq wrote and in its subfolders.

    Files are read in pieces, so a folder of any size takes little memory.

    Args:
        path: path of a run folder, of a folder of clips or latents, or of a folder that contains such folders.

    Returns:
        A description of what was compared, by the path of the JSON file that lists it, in sorted order.

    Raises:
        DataError: files are missing or damaged (all of them are named), or there is nothing to compare.
    """
    folder = Path(path)
    lists = sorted(p for p in folder.rglob("*.json") if p.name in (ARTIFACT, MANIFEST) and not _is_hidden(p, folder))
    if not lists:
        raise DataError(
            f"{folder} holds neither a trained model ({ARTIFACT}) nor clips or latents ({MANIFEST}). "
            "Expected a folder that latentseq wrote."
        )
    rows, errors = {}, []
    for file in lists:
        try:
            result = _check_artifact(file) if file.name == ARTIFACT else _check_shards(file)
        except DataError as error:
            errors.append(str(error))
            continue
        rows[str(file.relative_to(folder))] = result.summary
        errors += result.errors
    if errors:
        raise DataError(
            f"{folder} is not as it was written. {' '.join(errors)} Copy the folder again, or make it again."
        )
    return rows


class _Result(NamedTuple):
    """Result of checking one list of files.

    Attributes:
        summary: description of what was compared.
        errors: a sentence for each file that is missing or damaged.
    """

    summary: str
    errors: list[str]


def _check_artifact(file: Path) -> _Result:
    """Check the files that an artifact lists."""
    artifact = read_artifact(file.parent)
    files: dict[str, str] = artifact.about["files"]
    errors = [sentence for name, digest in files.items() if (sentence := _compare(file.parent / name, digest))]
    return _Result(
        f"{artifact.plugin}, fingerprint and {count_of(len(files), 'file')} {_as_written(artifact.about)}", errors
    )


def _check_shards(file: Path) -> _Result:
    """Check the shards that a manifest lists."""
    manifest = read_manifest(file.parent)
    shards = [(shard["file"], shard["rows"], shard["sha256"]) for shard in manifest["shards"]]
    errors = []
    for name, rows, digest in shards:
        sentence = _compare(file.parent / name, digest) or _compare_rows(file.parent / name, rows)
        errors += [sentence] if sentence else []
    total = sum(rows for _, rows, _ in shards)
    counts = f"{count_of(len(shards), 'shard')} with {count_of(total, 'row')}"
    summary = f"{manifest['format']}, {counts} {_as_written(manifest)}"
    others = sorted({p.name for p in file.parent.glob("*.h5")} - {name for name, _, _ in shards})
    return _Result(summary + (f"; not part of it: {', '.join(others)}" if others else ""), errors)


def _as_written(value: Mapping[str, Any]) -> str:
    """The end of a summary. It says if the JSON file has no checksum of its own, as older files do not."""
    return "as written" if SEAL in value else f"as written; the rest of the file has no {SEAL!r} to compare it with"


def _compare(path: Path, digest: str) -> str | None:
    """A sentence if the SHA-256 of a file is not ``digest``, else None."""
    try:
        with open_regular(path) as file:
            if hashlib.file_digest(file, "sha256").hexdigest() == digest:
                return None
    except FileNotFoundError:
        return f"{path} is missing."
    except OSError as cause:
        if later := retry_error(path, cause):
            raise later from cause
        return f"{path} cannot be read: {cause.strerror or cause}."
    return f"{path} is damaged: its SHA-256 has changed."


def _compare_rows(path: Path, rows: int) -> str | None:
    """A sentence if a shard does not have as many rows as its manifest says, else None."""
    try:
        counts = sorted({array.shape[0] for key, array in stored_arrays(path).items() if key != ABOUT})
    except DataError as cause:
        return str(cause)
    if counts == [rows]:
        return None
    noun = "row" if counts == [1] else "rows"
    return f"{path} holds {' and '.join(map(str, counts)) or 'no'} {noun}, and the manifest says {rows}."


def _is_hidden(path: Path, folder: Path) -> bool:
    """Whether a file is in a hidden subfolder; those are left over from processes that ended while writing."""
    return any(part.startswith(".") for part in path.relative_to(folder).parts)
