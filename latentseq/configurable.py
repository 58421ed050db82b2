"""The base classes of plugins and datasets: constructor keywords are the whole configuration."""

from __future__ import annotations

import dataclasses
import inspect
import math
import types
import typing
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

from latentseq.errors import PluginError, UsageError, cause_of, did_you_mean, is_fault, join_names

PART_OPTIONS = "_options"
"""The suffix of the keyword that holds a part's options: those of ``features`` are in ``features_options``."""


class Configurable(ABC):
    """An object whose constructor keywords are its whole configuration.

    Each keyword has a type annotation, takes a JSON value, and is stored as an attribute of the same name. There is
    no ``*args`` and no ``**kwargs``. ``from_config(get_config())`` builds an equal object.
    """

    name: ClassVar[str]
    """The name under which the class is registered."""
    description: ClassVar[str]
    """One line for ``latentseq show`` and the documentation."""

    earlier: ClassVar[Mapping[str, Any]] = types.MappingProxyType({})
    """Keywords that were added later, with the values by which earlier versions worked. Saved configurations without
    these keywords get these values."""

    @classmethod
    def keywords(cls) -> dict[str, inspect.Parameter]:
        """The keywords of the constructor, in order."""
        return {k: p for k, p in inspect.signature(cls).parameters.items() if k != "self"}

    def get_config(self) -> dict[str, Any]:
        """The keywords of the constructor with their values, as JSON types."""
        return {key: as_json(getattr(self, key)) for key in self.keywords()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Build an object from keywords.

        Raises:
            UsageError: a keyword is unknown or missing, or its value has another type.
            PluginError: the constructor ends the process.
        """
        config = cls.upgrade(config)
        cls.check_keywords(config)
        check_types(cls.name, cls.__init__, config)
        try:
            return cls(**config)
        except SystemExit as cause:
            if not is_fault(cause):
                raise
            raise PluginError(
                f"{cls.name} cannot be built: {cause_of(cause)}. Update or remove the distribution that it "
                "comes from."
            ) from cause

    @classmethod
    def upgrade(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Rename the options of earlier versions, so that old runs load; here nothing was renamed.

        Args:
            options: keywords, of this version or of an earlier one.
        """
        return dict(options)

    @classmethod
    def saved_keywords(cls, config: Mapping[str, Any]) -> dict[str, Any]:
        """Add the keywords that a saved configuration of an earlier version lacks; see ``earlier``."""
        return {**cls.earlier, **config}

    @classmethod
    def complete(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Add the default values of all keywords that have one.

        Args:
            options: keywords and values. They take precedence.
        """
        defaults = {k: as_json(p.default) for k, p in cls.keywords().items() if p.default is not p.empty}
        return {**defaults, **options}

    @classmethod
    def check_keywords(cls, config: Iterable[str]) -> None:
        """Refuse unknown and missing keywords.

        Raises:
            UsageError: a keyword is unknown or missing.
        """
        keywords, names = cls.keywords(), list(config)
        check_names(cls.name, keywords, names)
        missing = [k for k, p in keywords.items() if p.default is p.empty and k not in names]
        if missing:
            noun, verb = ("option", "is") if len(missing) == 1 else ("options", "are")
            raise UsageError(f"{cls.name} needs the {noun} {join_names(missing)}, which {verb} missing.")


Presets: typing.TypeAlias = Mapping[str, Mapping[str, Any]]
"""Name of each preset -> keywords of the constructor."""


class Plugin(Configurable):
    """A part of a model: its configuration is in the constructor, its learned state in plain files."""

    presets: ClassVar[Presets] = types.MappingProxyType({})
    """Options by the name of a preset: ``tiny`` trains in seconds, for tests; ``cpu`` are the defaults; ``gpu`` is
    larger. A preset fits all data that the defaults fit, so encoders keep their number of layers."""

    @property
    def parts(self) -> Mapping[str, Plugin]:
        """The plugins that this plugin consists of, by role; none by default."""
        return {}

    def count_parameters(self) -> int | None:
        """The number of learned values, by default the sum over the parts; None if it is unknown."""
        counts = [part.count_parameters() for part in self.parts.values()]
        return sum(n for n in counts if n) or None

    @abstractmethod
    def save_state(self, folder: Path) -> None:
        """Write the learned state as files into an empty folder, without pickle."""

    @abstractmethod
    def load_state(self, folder: Path) -> None:
        """Read the files that ``save_state`` wrote.

        Raises:
            DataError: a file is missing, damaged, or does not fit the configuration.
        """


def with_parts(plugin: type[Configurable], options: Mapping[str, Any]) -> dict[str, Any]:
    """Collect the options of a plugin's parts: ``part.key`` becomes the item ``key`` of ``part_options``.

    Args:
        plugin: class of the plugin. It has a part for each keyword ``part_options``.
        options: keywords, with or without a dot. The keyword of a part, after the first dot, may contain dots too.

    Returns:
        Keywords without dots.

    Raises:
        UsageError: the plugin does not have the part.
    """
    parts = [key.removesuffix(PART_OPTIONS) for key in plugin.keywords() if key.endswith(PART_OPTIONS)]
    keywords = {key: value for key, value in options.items() if "." not in key}
    for key in (key for key in options if "." in key):
        part, _, inner = key.partition(".")
        if part not in parts:
            raise UsageError(
                f"{plugin.name} has no part {part!r} for the option {key}. "
                f"{did_you_mean(part, parts)}Its parts: {join_names(parts)}."
            )
        keywords[part + PART_OPTIONS] = {**(keywords.get(part + PART_OPTIONS) or {}), inner: options[key]}
    return keywords


def check_names(name: str, keywords: Iterable[str], options: Iterable[str]) -> None:
    """Refuse unknown options.

    Args:
        name: name of the plugin or command, for the message.
        keywords: names of all its options.
        options: names to check.

    Raises:
        UsageError: an option is unknown.
    """
    keywords = list(keywords)
    for key in options:
        if key not in keywords:
            raise UsageError(
                f"{name} has no option {key!r}. {did_you_mean(key, keywords)}Its options: {join_names(keywords)}."
            )


def check_types(name: str, function: Callable[..., Any], options: Mapping[str, Any]) -> None:
    """Compare the types of values with the annotations of a function.

    Args:
        name: name of the plugin or command, for the message.
        function: the function that takes the options.
        options: keywords and values.

    Raises:
        UsageError: a value has another type.
    """
    hints = typing.get_type_hints(function)
    for key, value in options.items():
        if key in hints and not _fits(value, hints[key]):
            expected = inspect.formatannotation(hints[key])
            raise UsageError(f"{name}: option {key} is {value!r}; expected {expected}.")


def option_names(kind: type[Any]) -> list[str]:
    """Names of the keywords that a dataclass of options takes, in order."""
    return [each.name for each in dataclasses.fields(kind) if each.init]


def as_json(value: Any) -> Any:
    """Convert a value to JSON types: tuples become lists, mappings become dicts, paths become strings."""
    if isinstance(value, Mapping):
        return {str(k): as_json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(v) for v in value]
    return str(value) if isinstance(value, Path) else value


def _fits(value: Any, hint: Any) -> bool:
    """Whether a JSON value has the annotated type. A list fits a tuple, an int fits a float; a bool is no int."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if hint is None or hint is type(None):
        return value is None
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, a) for a in args)
    if origin is typing.Literal:
        return value in args
    if origin in (list, tuple):
        inner = [a for a in args if a is not Ellipsis]
        same = isinstance(value, (list, tuple)) and (Ellipsis in args or origin is list or len(value) == len(inner))
        return same and all(_fits(v, inner[min(i, len(inner) - 1)]) for i, v in enumerate(value))
    if origin in (dict, Mapping):
        return isinstance(value, Mapping) and all(_fits(v, args[1]) for v in value.values())
    if hint is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, hint)
