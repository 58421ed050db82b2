"""A trained plugin on disk: ``artifact.json`` and the plain files of its state.

Installed code builds the plugin from its configuration; nothing in the folder is executed. The fingerprint covers
plugin, configuration and state, so equal fingerprints mean equal models.
"""

import contextlib
import hashlib
import json
import platform
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from textwrap import shorten
from typing import Any, Self

from latentseq import registry
from latentseq.configurable import Plugin
from latentseq.errors import DataError, LatentseqError, join_names, retry_error
from latentseq.storage.atomic import try_again, write_bytes, write_sealed
from latentseq.storage.inside import inside
from latentseq.storage.memory import check_memory, memory_error
from latentseq.storage.reading import (
    Fields,
    check_seal,
    is_digest,
    is_number,
    is_plain,
    open_regular,
    quote,
    read_object,
)

ARTIFACT = "artifact.json"
"""Name of the file that describes a trained plugin."""
FORMAT = "latentseq-artifact/1"
"""Name of the file's format."""
ARTIFACT_BYTES = 4 << 20
"""Maximum size of the file in bytes."""
MAX_FILES = 10_000
"""Maximum number of state files."""
MAX_ITEM = 1 << 26
"""Maximum number of values in one input or output of an encoder."""
GROUPS = ("encoders", "decoders", "dynamics", "predictors")
"""Groups of plugins that have a state."""
ENCODER = "encoder"
"""Folder of the encoder inside the folder of dynamics."""
_LOADING: ContextVar[Path | None] = ContextVar("loading", default=None)
"""The artifact that is being loaded. Its configuration must not open another folder."""
_ALLOWED: ContextVar[tuple[str, ...]] = ContextVar("allowed", default=())
"""Plugins that any artifact may load now, in addition to those that it is allowed itself."""
_DISTRIBUTIONS = ("latentseq", "keras", "tensorflow", "jax", "numpy")
"""Distributions whose versions are recorded."""


@dataclass(frozen=True)
class Artifact:
    """The content of ``artifact.json``.

    Attributes:
        path: the folder.
        group: group of the plugin in the registry.
        plugin: registered name of the plugin.
        config: constructor keywords of the plugin.
        preprocessing: how frames must be prepared for the plugin.
        fingerprint: SHA-256 of plugin, configuration and state.
        about: the whole file.
        allowed: plugins that may be loaded in addition to the built-in ones.
    """

    path: Path
    group: str
    plugin: str
    config: dict[str, Any]
    preprocessing: dict[str, Any]
    fingerprint: str
    about: dict[str, Any]
    allowed: tuple[str, ...] = ()

    def allow(self, plugins: Sequence[str]) -> Self:
        """The same artifact, which may load these plugins in addition.

        Args:
            plugins: names of plugins that are not built in.

        Raises:
            UsageError: its plugin, or one that its configuration names, is neither built in nor allowed.
            DataError: its configuration has more nested parts than any model.
        """
        allowed = (*plugins, *_ALLOWED.get())
        registry.check_allowed([self.plugin, self.config], allowed, self.path, self.group)
        return replace(self, allowed=allowed)

    def plugin_class(self) -> Any:
        """Import the class of the plugin, if it and the plugins in its configuration are allowed.

        Raises:
            UsageError: the plugin is not installed, or a plugin is neither built in nor allowed.
            DataError: the configuration has more nested parts than any model.
        """
        self.allow(self.allowed)
        return registry.load(self.group, self.plugin)

    def load(self) -> Any:
        """Build the plugin and load its state, only from the files that the artifact lists.

        Raises:
            DataError: a state file is missing, was changed, or does not fit the plugin; or the configuration names a
                folder as a part.
            UsageError: the plugin is not installed, or is neither built in nor allowed.
            TryAgainError: the plugin does not fit into memory, or cannot be read now.
        """
        self.allow(self.allowed)  # Before anything is imported.
        for name, digest in self.about["files"].items():
            if self._digest(name) != digest:
                raise DataError(
                    f"{self.path / name} is missing or is not the file that was saved. Copy the folder again, or "
                    "train again."
                )
        check_memory(self.config, self.path)
        plugin_class = self.plugin_class()
        with self._state_folder() as folder:
            token = _LOADING.set(self.path)
            try:
                plugin = plugin_class.from_config(plugin_class.saved_keywords(self.config))
                plugin.load_state(folder)
            except LatentseqError as error:
                raise type(error)(self._reason(error, folder)) from error
            except Exception as cause:  # A plugin may raise anything if its options are out of range.
                if later := retry_error(self.path, cause) or memory_error(self.path, cause):
                    raise later from cause
                reason = shorten(
                    f"{type(cause).__name__}: {self._reason(cause, folder)}".rstrip("."), 300, placeholder=" …"
                )
                raise DataError(
                    f"{self.path} cannot be loaded as the {self.plugin!r} of {self.group}: {reason}. Its "
                    "configuration or its files do not fit the installed plugin. Copy the folder again, or train "
                    "again."
                ) from cause
            finally:
                _LOADING.reset(token)
        return plugin

    def shape(self, key: str) -> tuple[int, ...]:
        """A shape in the configuration, such as ``input_shape``.

        Raises:
            DataError: the configuration has no such shape.
        """
        return Fields(self.config, self.path / ARTIFACT, "config").shape(key, (1, 2, 3), MAX_ITEM)

    @property
    def footage(self) -> dict[str, Any]:
        """Properties of the training data (``mismatch.traits_of``); empty for old artifacts.

        Raises:
            DataError: a property has the wrong type or range.
        """
        training = self.about.get("training")
        if not isinstance(training, dict) or "footage" not in training:
            return {}
        fields = Fields(
            Fields(training, self.path / ARTIFACT, "training").inner("footage"), self.path / ARTIFACT, "footage"
        )
        fields.number("fps", 0, 1e6)
        traits = dict(training["footage"])
        aspect = traits.get("aspect", [1, 1])
        if not (
            isinstance(aspect, list) and len(aspect) == 2 and all(is_number(each) and each > 0 for each in aspect)
        ):
            fields.refuse("aspect", aspect, "two numbers above 0")
        if "colour" in traits:
            fields.flag("colour")
        return traits

    def _digest(self, name: str) -> str | None:
        """SHA-256 of a state file; None if the file does not exist."""
        try:
            with open_regular(self.path / name) as file:
                return hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as cause:
            if later := retry_error(self.path / name, cause):
                raise later from cause
            return None

    def _reason(self, cause: object, folder: Path) -> str:
        """The message of an exception, with the paths of ``_state_folder`` replaced by those of the artifact."""
        text = str(cause).replace(str(folder), str(self.path))
        others = {path.name for path in self.path.iterdir()} - {ARTIFACT, *self.about["files"]}
        names = sorted(name for name in others if name in text)
        return f"{text} {self.path / ARTIFACT} does not list {names[0]}, so it is not read." if names else text

    @contextlib.contextmanager
    def _state_folder(self) -> Iterator[Path]:
        """A temporary folder with links to the state files that the artifact lists, and to nothing else."""
        try:
            with tempfile.TemporaryDirectory() as work:
                for name in self.about["files"]:
                    (Path(work) / name).parent.mkdir(parents=True, exist_ok=True)
                    (Path(work) / name).symlink_to(inside(self.path, name).absolute())
                yield Path(work)
        except OSError as cause:  # Errors of the plugin itself are converted before.
            raise try_again("A folder for temporary files", cause) from cause


@contextlib.contextmanager
def allowing(plugins: Sequence[str]) -> Iterator[None]:
    """Allow these plugins to all artifacts that are loaded in the block, such as the parts of a plugin.

    Args:
        plugins: names of plugins that are not built in.
    """
    before = _ALLOWED.set(tuple(plugins))
    try:
        yield
    finally:
        _ALLOWED.reset(before)


def save_artifact(
    plugin: Plugin, group: str, folder: Path, *, preprocessing: Mapping[str, Any], training: Mapping[str, Any]
) -> Artifact:
    """Write the state of a plugin and then ``artifact.json``.

    Args:
        plugin: the trained plugin.
        group: its group in the registry.
        folder: the folder to write into; other files in it stay.
        preprocessing: how frames must be prepared for the plugin.
        training: data fingerprint, seed, budget and result, for the record.

    Returns:
        The artifact, as ``read_artifact`` returns it.

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
    write_sealed(folder / ARTIFACT, about)
    return read_artifact(folder)


def read_artifact(folder: Path, group: str | None = None) -> Artifact:
    """Read ``artifact.json``.

    Args:
        folder: a run folder.
        group: expected group of the plugin; None for any.

    Raises:
        DataError: the file is missing or invalid, has another group, or names files outside its folder.
    """
    if loading := _LOADING.get():
        raise DataError(
            f"{loading / ARTIFACT} names the part {quote(str(folder))}; expected the name of an installed plugin. A "
            "model must not choose which other files are read here."
        )
    if not inside(folder, ARTIFACT).is_file():
        raise DataError(
            f"{folder} holds no trained model: there is no {ARTIFACT} in it. Expected a folder that a training "
            "command finished, such as runs/ae."
        )
    about = read_object(folder / ARTIFACT, "an artifact", ARTIFACT_BYTES)
    keys = ("group", "plugin", "config", "preprocessing", "fingerprint")
    missing = [key for key in (*keys, "files") if key not in about]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise DataError(f"{folder / ARTIFACT} is not an artifact: {join_names(missing)} {verb} missing.")
    _check_types(about, folder / ARTIFACT)
    artifact = Artifact(path=folder, about=about, **{key: about[key] for key in keys})
    if about.get("format") != FORMAT:
        raise DataError(f"{folder} has format {about.get('format')!r}; expected {FORMAT!r}.")
    outside = [name for name in about["files"] if not is_plain(name, folders=True)]
    if outside:
        raise DataError(
            f"{folder / ARTIFACT} names files outside its folder: {join_names(map(quote, outside))}. Do not use it."
        )
    for name in about["files"]:
        inside(folder, name)
    if _fingerprint(about) != artifact.fingerprint:
        raise DataError(
            f"{folder / ARTIFACT} is not the file that was saved: plugin, config or files do not match its "
            "fingerprint. Copy the folder again, or train again."
        )
    if group and artifact.group != group:
        raise DataError(
            f"{folder} holds the {registry.singular(artifact.group)} {artifact.plugin!r}; expected one of the "
            f"{group}."
        )
    check_seal(about, folder / ARTIFACT)
    return artifact


def copy_artifact(artifact: Artifact, folder: Path) -> None:
    """Copy an artifact without its history, previews and checkpoints.

    Raises:
        DataError: a file of the artifact cannot be read.
        TryAgainError: a file cannot be read at the moment.
    """
    for name in [*artifact.about["files"], ARTIFACT]:
        try:
            with open_regular(inside(artifact.path, name)) as file:
                data = file.read()
        except OSError as cause:
            if later := retry_error(artifact.path / name, cause):
                raise later from cause
            raise DataError(f"{artifact.path / name} cannot be read: {cause}. Copy the folder again.") from cause
        write_bytes(folder / name, data)


def read_encoder(folder: Path) -> Artifact:
    """Read the encoder of dynamics.

    Args:
        folder: folder of the dynamics.

    Raises:
        DataError: as ``read_artifact``.
    """
    return read_artifact(inside(folder, ENCODER), "encoders")


def _check_types(about: Mapping[str, Any], path: Path) -> None:
    """Check the types of the fields."""
    fields = Fields(about, path)
    if about["group"] not in GROUPS:
        fields.refuse("group", about["group"], f"{', '.join(GROUPS[:-1])} or {GROUPS[-1]}")
    if not fields.text("plugin", 200).isprintable():
        fields.refuse("plugin", about["plugin"], "a name")
    fields.inner("config")
    fields.inner("preprocessing")
    fields.digest("fingerprint")
    files = fields.inner("files")
    if len(files) > MAX_FILES:
        fields.refuse("files", files, f"at most {MAX_FILES}")
    for name, digest in files.items():
        if not is_digest(digest):
            fields.refuse(f"files[{quote(name)}]", digest, "a SHA-256 in 64 hexadecimal digits")


def _fingerprint(about: Mapping[str, Any]) -> str:
    identity = {key: about[key] for key in ("plugin", "config", "files")}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _installed_versions() -> dict[str, str]:
    versions = {}
    for name in _DISTRIBUTIONS:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions
