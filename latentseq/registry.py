"""Finds plugins by name through entry points. Built-in plugins are registered in the same way as all others.

Metadata is read at each call. A plugin is imported only when it is loaded, so a broken plugin does not affect others.
"""

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, NamedTuple

from latentseq.backend import check_backend, default_backend
from latentseq.configurable import Configurable, Plugin, as_json, check_names, check_types, with_parts
from latentseq.errors import DataError, PluginError, UsageError, cause_of, did_you_mean, is_fault, join_names
from latentseq.protocols import Dataset, Decoder, Dynamics, Encoder, Predictor

KINDS: dict[str, type[Configurable]] = {
    "datasets": Dataset,
    "encoders": Encoder,
    "decoders": Decoder,
    "dynamics": Dynamics,
    "predictors": Predictor,
}
"""Group (of entry points ``latentseq.<group>``) -> base class of its plugins."""
BUILT_IN = "latentseq"
"""The distribution whose plugins any file may name."""
MAX_DEPTH = 16
"""Maximum depth of a configuration in a file."""
MAX_PARTS = 100
"""Maximum number of objects in a configuration in a file. The largest built-in models have ten."""


class Listing(NamedTuple):
    """The metadata of one installed plugin."""

    group: str
    name: str
    value: str
    distribution: str
    version: str


def installed(group: str | None = None) -> list[Listing]:
    """List the installed plugins of a group, or of all groups, without importing them.

    Raises:
        UsageError: the group does not exist.
    """
    if group is not None and group not in KINDS:
        raise UsageError(
            f"{group!r} is not a kind of plugin. {did_you_mean(group, KINDS)}The kinds are {join_names(KINDS)}."
        )
    groups = [group] if group else list(KINDS)
    rows = {_listing(g, ep) for g in groups for ep in entry_points(group=f"latentseq.{g}")}
    return sorted(rows)


def load(group: str, name: str) -> Any:
    """Import the class that is registered under a name.

    Raises:
        UsageError: the name is not registered, two plugins have it, or the backend of Keras is not installed.
        PluginError: the plugin does not import, or is no class of its kind.
    """
    names = {row.name for row in installed(group)}
    matches = {ep.value: ep for ep in entry_points(group=f"latentseq.{group}", name=name)}
    if not matches:
        raise UsageError(
            f"No {singular(group)} is called {name!r}. {did_you_mean(name, names)}Installed: {join_names(names)}. "
            "Install a plugin with pip; `latentseq plugins` lists all installed ones."
        )
    if len(matches) > 1:
        claims = join_names(f"{_listing(group, ep).distribution} ({ep.value})" for ep in matches.values())
        raise UsageError(
            f"{len(matches)} plugins claim the {singular(group)} {name!r}: {claims}. Uninstall or rename all but one."
        )
    entry_point = next(iter(matches.values()))
    row = _listing(group, entry_point)
    try:
        with default_backend():
            plugin = entry_point.load()
    except BaseException as cause:
        if not is_fault(cause):
            raise
        check_backend()  # Keras does not import if its backend is not installed.
        raise PluginError(
            f"The {singular(group)} {name!r} ({row.value}, from {row.distribution} {row.version}) does not import: "
            f"{cause_of(cause)}. Reinstall or remove that distribution; other plugins still work."
        ) from cause
    if not (isinstance(plugin, type) and issubclass(plugin, KINDS[group])):
        raise PluginError(
            f"The {singular(group)} {name!r} ({row.value}, from {row.distribution} {row.version}) is {plugin!r}; "
            f"expected a class derived from latentseq.{KINDS[group].__name__}."
        )
    unnamed = [
        str(p.replace(annotation=p.empty, default=p.empty))
        for p in plugin.keywords().values()
        if p.kind not in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)
    ]
    if unnamed:
        raise PluginError(
            f"The {singular(group)} {name!r} ({row.value}, from {row.distribution} {row.version}) takes "
            f"{join_names(unnamed)} in its constructor; expected keywords with names only, because the keywords are "
            "the configuration. Ask the author of the plugin to name them."
        )
    return plugin


def build(
    group: str, name: str, options: Mapping[str, Any] | None, *, preset: str | None = None, **context: Any
) -> Any:
    """Build a plugin from its name, a preset and options.

    Args:
        group: group of the plugin.
        name: name of the plugin.
        options: options of the user. They take precedence. ``part.key`` is an option of a part.
        preset: name of a preset of the plugin. Its options take precedence over ``context``.
        context: further keywords, such as shapes of the data. Keywords that the plugin does not have are ignored.

    Raises:
        UsageError: the plugin or the preset does not exist, or an option does not fit.
    """
    plugin = load(group, name)
    keywords = {k: v for k, v in context.items() if k in plugin.keywords()}
    return plugin.from_config({**keywords, **_of_preset(plugin, preset), **with_parts(plugin, options or {})})


def resolve(
    group: str, name: str, options: Mapping[str, Any] | None, *, preset: str | None = None, left: Sequence[str] = ()
) -> dict[str, Any]:
    """Find the value of every option of a plugin: the user's, else the preset's, else the default.

    Args:
        group: group of the plugin.
        name: name of the plugin.
        options: options of the user.
        preset: name of a preset of the plugin.
        left: names of keywords that the caller fills in later. They are left out unless ``options`` has them.

    Raises:
        UsageError: the plugin or the preset does not exist, or an option does not fit.
    """
    plugin = load(group, name)
    explicit = plugin.upgrade({**_of_preset(plugin, preset), **with_parts(plugin, options or {})})
    check_names(name, plugin.keywords(), explicit)
    check_types(name, plugin.__init__, explicit)
    return {k: as_json(v) for k, v in plugin.complete(explicit).items() if k in explicit or k not in left}


def check_allowed(config: Any, allowed: Sequence[str], where: Path, group: str = "") -> None:
    """Refuse a file that names a plugin which is neither built in nor allowed. Nothing is imported.

    Every text in the configuration counts as a name, keys included, because plugins name their parts in different
    ways.

    Args:
        config: a name or a whole configuration from the file. Names that are not installed are ignored here.
        allowed: names that the user allowed.
        where: the file or folder, for the message.
        group: the expected group, if known. The message describes the plugin of this group if several share a name.

    Raises:
        UsageError: a plugin is neither built in nor allowed.
        DataError: the configuration has more nested parts than any model.
    """
    others = [row for row in installed() if row.distribution.lower() != BUILT_IN and row.name not in allowed]
    foreign = {row.name: row for row in sorted(others, key=lambda row: row.group == group)}
    for name in _texts(config, where):
        if name in foreign:
            row = foreign[name]
            raise UsageError(
                f"{where} needs the {singular(row.group)} {name!r}, which is not built in: it is {row.value} of the "
                f"distribution {row.distribution} {row.version}. A file must not choose which code runs here. If you "
                f"trust that distribution, add --allow-plugin {name} (in Python, allow_plugins=[{name!r}])."
            )


def _texts(config: Any, where: Path) -> Iterator[str]:
    """Every text in a JSON value, keys included.

    Raises:
        DataError: the value has more objects, or deeper ones, than any model.
    """
    pending, parts = [(config, 0)], 0
    while pending:
        value, depth = pending.pop()
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
            pending += [(each, depth + 1) for each in inside]


def _of_preset(plugin: type[Configurable], preset: str | None) -> Mapping[str, Any]:
    """The options of a preset; none if ``preset`` is None.

    Raises:
        UsageError: the plugin does not have the preset.
    """
    presets = plugin.presets if issubclass(plugin, Plugin) else {}
    if preset is None:
        return {}
    if preset not in presets:
        raise UsageError(
            f"{plugin.name} has no preset {preset!r}. {did_you_mean(preset, presets)}"
            f"Its presets: {join_names(presets)}."
        )
    return presets[preset]


def _listing(group: str, ep: EntryPoint) -> Listing:
    name, version = (ep.dist.name, ep.dist.version) if ep.dist else ("an unknown distribution", "?")
    return Listing(group, ep.name, ep.value, name, version)


def singular(group: str) -> str:
    """The name of one plugin of a group, such as ``encoder``."""
    return group if group == "dynamics" else group.removesuffix("s")
