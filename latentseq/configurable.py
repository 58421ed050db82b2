"""Things whose constructor keywords are their whole configuration: every plugin and dataset."""

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

from latentseq.errors import PluginError, UsageError, cause_of, did_you_mean, is_fault, listed

PART_OPTIONS = "_options"
"""What the keyword of a part's options ends with: those of ``features`` are in ``features_options``."""


class Configurable(ABC):
    """Something whose constructor keywords are its whole configuration.

    The keywords are JSON values with a type annotation each, and are kept as attributes of the same name; there
    is no ``*args`` and no ``**kwargs``. ``from_config(get_config())`` builds the same thing again.
    """

    name: ClassVar[str]
    """The name it is registered under."""
    description: ClassVar[str]
    """One line for ``latentseq show`` and the documentation."""

    @classmethod
    def keywords(cls) -> dict[str, inspect.Parameter]:
        """The constructor's keywords, in order."""
        return {k: p for k, p in inspect.signature(cls).parameters.items() if k != "self"}

    def get_config(self) -> dict[str, Any]:
        """The constructor's keywords with their values, as JSON types."""
        return {key: as_json(getattr(self, key)) for key in self.keywords()}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Self:
        """Build from keywords.

        Raises:
            UsageError: a keyword that does not exist, is missing, or has a value of another type.
            PluginError: the constructor ends the process.
        """
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
    def complete(cls, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options with the defaults of those that are not given; what has no default stays out.

        Args:
            options: keywords.
        """
        defaults = {k: as_json(p.default) for k, p in cls.keywords().items() if p.default is not p.empty}
        return {**defaults, **options}

    @classmethod
    def check_keywords(cls, config: Iterable[str]) -> None:
        """Refuse keywords that the constructor does not have, and miss none that it needs.

        Raises:
            UsageError: a keyword that does not exist or is missing.
        """
        keywords, given = cls.keywords(), list(config)
        check_names(cls.name, keywords, given)
        missing = [k for k, p in keywords.items() if p.default is p.empty and k not in given]
        if missing:
            raise UsageError(f"{cls.name} needs the option {listed(missing)}; none was given.")


Presets: typing.TypeAlias = Mapping[str, Mapping[str, Any]]
"""Name of a preset -> keywords of the constructor."""


class Plugin(Configurable):
    """A model part: configuration from the constructor, learned state in plain files."""

    presets: ClassVar[Presets] = types.MappingProxyType({})
    """Options by a name that ``--preset`` takes: ``tiny``, which learns in seconds, for tests; ``cpu``, the defaults;
    ``gpu``, larger. A preset fits wherever the defaults do, so encoders keep their number of layers."""

    @property
    def parts(self) -> Mapping[str, Plugin]:
        """The plugins that this one is made of, by role; none by default."""
        return {}

    def count_parameters(self) -> int | None:
        """Number of learned values, of the parts where there are parts; None where that is not known."""
        counts = [part.count_parameters() for part in self.parts.values()]
        return sum(n for n in counts if n) or None

    @abstractmethod
    def save_state(self, folder: Path) -> None:
        """Write the learned state as files into an empty folder; no pickle."""

    @abstractmethod
    def load_state(self, folder: Path) -> None:
        """Read what ``save_state`` wrote.

        Raises:
            DataError: a file is missing, damaged, or does not fit the configuration.
        """


def with_parts(plugin: type[Configurable], options: Mapping[str, Any]) -> dict[str, Any]:
    """Gather the options of a plugin's parts: ``part.key`` becomes an item ``key`` of ``part_options``.

    Args:
        plugin: what they are for; it has a part where it has a keyword ``part_options``.
        options: keywords, with or without a dot. Behind the first dot is a part's own keyword, which may be dotted
            again.

    Returns:
        Keywords without dots.

    Raises:
        UsageError: a part that the plugin does not have.
    """
    known = [key.removesuffix(PART_OPTIONS) for key in plugin.keywords() if key.endswith(PART_OPTIONS)]
    found = {key: value for key, value in options.items() if "." not in key}
    for key in (key for key in options if "." in key):
        part, _, inner = key.partition(".")
        if part in known:
            found[part + PART_OPTIONS] = {**(found.get(part + PART_OPTIONS) or {}), inner: options[key]}
        else:
            raise UsageError(
                f"{plugin.name} has no part {part!r}, of which {key} would be an option. "
                f"{did_you_mean(part, known)}Its parts: {listed(known)}."
            )
    return found


def check_names(name: str, keywords: Iterable[str], given: Iterable[str]) -> None:
    """Refuse keywords that something does not take.

    Raises:
        UsageError: naming the one that was probably meant.
    """
    keywords = list(keywords)
    for key in given:
        if key not in keywords:
            raise UsageError(
                f"{name} has no option {key!r}. {did_you_mean(key, keywords)}Its options: {listed(keywords)}."
            )


def check_types(name: str, function: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """Refuse values of another type than a function is annotated with.

    Raises:
        UsageError: a value does not fit.
    """
    hints = typing.get_type_hints(function)
    for key, value in given.items():
        if key in hints and not _fits(value, hints[key]):
            wanted = inspect.formatannotation(hints[key])
            raise UsageError(f"{name}: option {key} is {value!r}; expected {wanted}.")


def option_names(kind: type[Any]) -> list[str]:
    """Names of the keywords that a dataclass of options takes, in order."""
    return [each.name for each in dataclasses.fields(kind) if each.init]


def as_json(value: Any) -> Any:
    """JSON types only: tuples become lists, mappings dicts, paths strings."""
    if isinstance(value, Mapping):
        return {str(k): as_json(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(v) for v in value]
    return str(value) if isinstance(value, Path) else value


def _fits(value: Any, hint: Any) -> bool:
    """Whether a JSON value is of an annotated type; a list fits a tuple, an int a float, a bool only a bool."""
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
