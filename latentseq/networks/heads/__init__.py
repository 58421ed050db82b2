"""Heads: what the output of a dynamics network means. One file a head, of the head's name.

A new head is one file in this folder with one class derived from ``Head``; nothing else has to be changed. Importing
this package imports no framework: a head is imported when it is built.
"""

import pkgutil
from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from latentseq.configurable import check_names
from latentseq.errors import PluginError, UsageError, did_you_mean, join_names

if TYPE_CHECKING:
    from latentseq.networks.heads.head import Head


def head_names() -> list[str]:
    """The names of all heads, in alphabetical order; none of them is imported."""
    return sorted(m.name.replace("_", "-") for m in pkgutil.iter_modules(__path__) if m.name != "head")


def load_head(name: str) -> "type[Head]":
    """The class of a head.

    Args:
        name: name of the head, such as ``mixture``.

    Raises:
        UsageError: there is no such head.
        PluginError: the file of the head holds no class of that name.
    """
    names = head_names()
    if name not in names:
        raise UsageError(f"No head is called {name!r}. {did_you_mean(name, names)}Heads: {join_names(names)}.")
    module: Any = import_module(f"{__name__}.{name.replace('-', '_')}")
    for kind in vars(module).values():
        if isinstance(kind, type) and _is_head(kind, name):
            return kind
    raise PluginError(
        f"{module.__file__} holds no class of the head {name!r}; expected a class derived from Head with "
        f"name = {name!r}. Correct the name, or remove the file."
    )


def build_head(name: str, d: int, options: Mapping[str, Any]) -> "Head":
    """Build a head.

    Args:
        name: name of the head.
        d: number of channels of a latent.
        options: keywords of the head, without ``d``.

    Raises:
        UsageError: there is no such head, or an option does not fit it.
    """
    kind = load_head(name)
    check_names(f"The head {name!r}", [key for key in kind.keywords() if key != "d"], options)
    return kind.from_config({**options, "d": d})


def _is_head(kind: type, name: str) -> bool:
    from latentseq.networks.heads.head import Head

    return issubclass(kind, Head) and vars(kind).get("name") == name
