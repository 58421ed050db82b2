"""Plugins by name, over entry points: ours come the same way as anybody's.

Metadata is read at each use; a plugin is imported when it is asked for and not before, so that one that does not
import leaves all others alone.
"""

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, NamedTuple

from latentseq.backend import check_backend, default_backend
from latentseq.configurable import Configurable, Plugin, as_json, check_names, check_types, with_parts
from latentseq.errors import DataError, PluginError, UsageError, cause_of, did_you_mean, is_fault, listed
from latentseq.protocols import Dataset, Decoder, Dynamics, Encoder, Predictor

KINDS: dict[str, type[Configurable]] = {
    "datasets": Dataset,
    "encoders": Encoder,
    "decoders": Decoder,
    "dynamics": Dynamics,
    "predictors": Predictor,
}
"""Group (entry points ``latentseq.<group>``) -> what its classes must derive from."""


BUILT_IN = "latentseq"
"""The distribution whose plugins any file may name."""
MAX_DEPTH = 16
MAX_PARTS = 100
"""Levels and objects of a configuration that a file holds: a model of parts has ten at most."""


class Listing(NamedTuple):
    """One installed plugin, as its metadata says it."""

    group: str
    name: str
    value: str
    distribution: str
    version: str


def installed(group: str | None = None) -> list[Listing]:
    """Every installed plugin of a group, or of all; none is imported.

    Raises:
        UsageError: no such group.
    """
    if group is not None and group not in KINDS:
        raise UsageError(f"There are no {group!r}. {did_you_mean(group, KINDS)}Plugins are {listed(KINDS)}.")
    groups = [group] if group else list(KINDS)
    rows = {_listing(g, ep) for g in groups for ep in entry_points(group=f"latentseq.{g}")}
    return sorted(rows)


def load(group: str, name: str) -> Any:
    """The class registered under a name.

    Raises:
        UsageError: no such name, or two different plugins claim it; or Keras is to run on what is not installed.
        PluginError: it does not import, or is not what its group holds.
    """
    known = {row.name for row in installed(group)}
    found = {ep.value: ep for ep in entry_points(group=f"latentseq.{group}", name=name)}
    if not found:
        raise UsageError(
            f"No {_one(group)} is called {name!r}. {did_you_mean(name, known)}Installed: {listed(known)}. "
            "A plugin is installed with pip; `latentseq plugins` lists them all."
        )
    if len(found) > 1:
        claims = listed(f"{_listing(group, ep).distribution} ({ep.value})" for ep in found.values())
        raise UsageError(
            f"Two plugins claim the {_one(group)} {name!r}: {claims}. Uninstall one of the two, or rename it."
        )
    entry_point = next(iter(found.values()))
    row = _listing(group, entry_point)
    try:
        with default_backend():
            plugin = entry_point.load()
    except BaseException as cause:
        if not is_fault(cause):
            raise
        check_backend()  # Keras itself does not import where it is told to run on what is not there.
        raise PluginError(
            f"The {_one(group)} {name!r} ({row.value}, from {row.distribution} {row.version}) does not import: "
            f"{cause_of(cause)}. Reinstall or remove that distribution; other plugins still work."
        ) from cause
    if not (isinstance(plugin, type) and issubclass(plugin, KINDS[group])):
        raise PluginError(
            f"The {_one(group)} {name!r} ({row.value}, from {row.distribution} {row.version}) is {plugin!r}; "
            f"expected a class derived from latentseq.{KINDS[group].__name__}."
        )
    unnamed = [
        str(p.replace(annotation=p.empty, default=p.empty))
        for p in plugin.keywords().values()
        if p.kind not in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    if unnamed:
        raise PluginError(
            f"The {_one(group)} {name!r} ({row.value}, from {row.distribution} {row.version}) takes "
            f"{listed(unnamed)} in its constructor; expected keywords with names only, because they are its "
            "configuration. Ask its author to name them."
        )
    return plugin


def build(
    group: str, name: str, options: Mapping[str, Any] | None, *, preset: str | None = None, **filled_in: Any
) -> Any:
    """A plugin from its registered name, the user's options, and what the caller knows.

    Args:
        group: of the registry.
        name: of the plugin.
        options: the user's; they win. ``part.key`` is an option of one of its parts.
        preset: one of the plugin's; its options are beneath the user's.
        filled_in: keywords that the plugin gets where it has them.

    Raises:
        UsageError: no such plugin or preset, or an option that it does not take.
    """
    plugin = load(group, name)
    known = {k: v for k, v in filled_in.items() if k in plugin.keywords()}
    return plugin.from_config({**known, **_of_preset(plugin, preset), **with_parts(plugin, options or {})})


def resolve(
    group: str, name: str, options: Mapping[str, Any] | None, *, preset: str | None = None, left: Sequence[str] = ()
) -> dict[str, Any]:
    """Every option of a plugin with its value: the user's, else the preset's, else the default.

    Args:
        group: of the registry.
        name: of the plugin.
        options: the user's.
        preset: one of the plugin's.
        left: what is left to the caller to fill in, unless it is given.

    Raises:
        UsageError: no such plugin or preset, or an option that it does not take.
    """
    plugin = load(group, name)
    given = plugin.upgrade({**_of_preset(plugin, preset), **with_parts(plugin, options or {})})
    check_names(name, plugin.keywords(), given)
    check_types(name, plugin.__init__, given)
    return {k: as_json(v) for k, v in plugin.complete(given).items() if k in given or k not in left}


def check_allowed(said: Any, allowed: Sequence[str], where: Path, group: str = "") -> None:
    """The gate for every name of a plugin that comes out of a file; nothing is imported.

    A name counts wherever it stands, as a value or as a key at any depth, since each plugin has its own way to name
    its parts.

    Args:
        said: what the file says: a name, or a whole configuration. A name that is not installed is left to ``load``.
        allowed: names that the user allowed.
        where: the file or folder that names it, for the error.
        group: of the registry, where it is known; it only says which of several plugins of one name is told of.

    Raises:
        UsageError: a plugin of another distribution, which is not allowed.
        DataError: more nested parts than any model has.
    """
    others = [row for row in installed() if row.distribution.lower() != BUILT_IN and row.name not in allowed]
    strange = {row.name: row for row in sorted(others, key=lambda row: row.group == group)}
    for name in _texts(said, where):
        if name in strange:
            row = strange[name]
            raise UsageError(
                f"{where} needs the {_one(row.group)} {name!r}, which is not built in: it is {row.value} of the "
                f"distribution {row.distribution} {row.version}. A file from a stranger shall not choose what code "
                f"runs here. If you trust that distribution, add --allow-plugin {name} (in Python, "
                f"allow_plugins=[{name!r}])."
            )


def _texts(said: Any, where: Path) -> Iterator[str]:
    """Every text in a JSON value, keys included.

    Raises:
        DataError: it has more objects, or deeper ones, than any model has.
    """
    waiting, parts = [(said, 0)], 0
    while waiting:
        value, depth = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, (Mapping, list, tuple)):
            parts += isinstance(value, Mapping)
            if depth > MAX_DEPTH or parts > MAX_PARTS:
                raise DataError(
                    f"{where} cannot be used: its configuration has more than {MAX_PARTS} nested parts, or more than "
                    f"{MAX_DEPTH} levels of them. No model of latentseq has so many. Do not use it."
                )
            inside = [*value.keys(), *value.values()] if isinstance(value, Mapping) else value
            waiting += [(each, depth + 1) for each in inside]


def _of_preset(plugin: type[Configurable], preset: str | None) -> Mapping[str, Any]:
    """The options of a preset; none where it is None.

    Raises:
        UsageError: the plugin has no such preset.
    """
    known = plugin.presets if issubclass(plugin, Plugin) else {}
    if preset is None:
        return {}
    if preset not in known:
        raise UsageError(
            f"{plugin.name} has no preset {preset!r}. {did_you_mean(preset, known)}Its presets: {listed(known)}."
        )
    return known[preset]


def _listing(group: str, ep: EntryPoint) -> Listing:
    name, version = (ep.dist.name, ep.dist.version) if ep.dist else ("an unknown distribution", "?")
    return Listing(group, ep.name, ep.value, name, version)


def _one(group: str) -> str:
    return group if group == "dynamics" else group.removesuffix("s")
