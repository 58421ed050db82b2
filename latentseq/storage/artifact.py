"""A trained plugin on disk: ``artifact.json`` beside the plain files of its state.

The plugin is rebuilt by installed code from its configuration; nothing in the folder is executed. The fingerprint
is over plugin, configuration and state, so equal fingerprints mean equal models.
"""

import hashlib
import json
import platform
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from latentseq import registry
from latentseq.errors import DataError, listed
from latentseq.protocols import Plugin
from latentseq.storage.atomic import read_json, write_bytes, write_json

ARTIFACT = "artifact.json"
FORMAT = "latentseq-artifact/1"
_VERSIONS = ("latentseq", "keras", "tensorflow", "jax", "numpy")


@dataclass(frozen=True)
class Artifact:
    """What ``artifact.json`` says.

    Attributes:
        path: the folder.
        group: of the plugin, as in the registry.
        plugin: its registered name.
        config: its constructor's keywords.
        preprocessing: how frames have to be prepared for it.
        fingerprint: SHA-256 over plugin, configuration and state.
        about: the whole file.
    """

    path: Path
    group: str
    plugin: str
    config: dict[str, Any]
    preprocessing: dict[str, Any]
    fingerprint: str
    about: dict[str, Any]

    def load(self) -> Any:
        """Build the plugin and load its state.

        Raises:
            DataError: a state file is missing or not the one that was saved.
            UsageError: the plugin is not installed.
        """
        for name, digest in self.about["files"].items():
            file = self.path / name
            if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != digest:
                raise DataError(
                    f"{file} is missing or is not the file that was saved. Copy the folder again, or train again."
                )
        plugin = registry.load(self.group, self.plugin).from_config(self.config)
        plugin.load_state(self.path)
        return plugin


def save_artifact(
    plugin: Plugin, group: str, folder: Path, *, preprocessing: Mapping[str, Any], training: Mapping[str, Any]
) -> Artifact:
    """Write a plugin's state and, last of all, ``artifact.json``.

    Args:
        plugin: the trained plugin.
        group: its registry group.
        folder: where to; other files in it are left alone.
        preprocessing: how frames have to be prepared for it.
        training: data fingerprint, seed, budget and result, for the record.

    Returns:
        The artifact, as ``read_artifact`` gives it.

    Raises:
        TryAgainError: the disk is full.
    """
    with tempfile.TemporaryDirectory() as work:
        plugin.save_state(Path(work))
        state = {str(p.relative_to(work)): p.read_bytes() for p in sorted(Path(work).rglob("*")) if p.is_file()}
    files = {name: write_bytes(folder / name, data) for name, data in state.items()}
    identity = {"plugin": plugin.name, "config": plugin.get_config(), "files": files}
    about = {
        "format": FORMAT,
        "group": group,
        **identity,
        "fingerprint": _fingerprint(identity),
        "preprocessing": dict(preprocessing),
        "training": dict(training),
        "versions": {"python": platform.python_version(), **_installed_versions()},
    }
    write_json(folder / ARTIFACT, about)
    return read_artifact(folder)


def read_artifact(folder: Path, group: str | None = None) -> Artifact:
    """Read ``artifact.json``.

    Args:
        folder: a run folder.
        group: what it has to be, if that matters.

    Raises:
        DataError: there is none, or it is not one, or of another group.
    """
    if not (folder / ARTIFACT).is_file():
        raise DataError(
            f"{folder} holds no trained model: there is no {ARTIFACT} in it. Expected a folder that a training "
            "command finished, such as runs/ae."
        )
    about = read_json(folder / ARTIFACT, "an artifact")
    keys = ("group", "plugin", "config", "preprocessing", "fingerprint")
    missing = [key for key in (*keys, "files") if key not in about]
    if missing:
        raise DataError(f"{folder / ARTIFACT} is not an artifact: {listed(missing)} is missing.")
    artifact = Artifact(path=folder, about=about, **{key: about[key] for key in keys})
    if about.get("format") != FORMAT:
        raise DataError(f"{folder} is of format {about.get('format')!r}; expected {FORMAT!r}.")
    outside = [name for name in about["files"] if Path(name).is_absolute() or ".." in Path(name).parts]
    if outside:
        raise DataError(f"{folder / ARTIFACT} names files outside of its folder: {listed(outside)}. Do not use it.")
    if _fingerprint(about) != artifact.fingerprint:
        raise DataError(
            f"{folder / ARTIFACT} is not the file that was saved: plugin, config or files do not fit its "
            "fingerprint. Copy the folder again, or train again."
        )
    if group and artifact.group != group:
        raise DataError(f"{folder} holds the {artifact.plugin!r} of {artifact.group}; expected one of {group}.")
    return artifact


def copy_artifact(artifact: Artifact, folder: Path) -> None:
    """Copy an artifact without its history, previews and checkpoints."""
    for name in [*artifact.about["files"], ARTIFACT]:
        write_bytes(folder / name, (artifact.path / name).read_bytes())


def _fingerprint(about: Mapping[str, Any]) -> str:
    identity = {key: about[key] for key in ("plugin", "config", "files")}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _installed_versions() -> dict[str, str]:
    found = {}
    for name in _VERSIONS:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
