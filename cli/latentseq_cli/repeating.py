"""Commands that can be repeated with the options of an earlier run, by --config."""

import json
from typing import Any

from typer.core import TyperCommand, TyperOption

import latentseq
from latentseq.errors import UsageError

BUDGET = {"epochs", "steps", "max_minutes"}
"""Limits of a budget. One of them on the command line replaces all of them, since a run ends at the first limit."""


class Repeatable(TyperCommand):
    """A command with an option --config. Its file is put in front of the options typed, which override it."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """See ``click.Command.parse_args``."""
        typed, *_ = self.make_parser(ctx).parse_args(args=list(args))
        if "config" in typed:
            args = [*self._from_file(ctx, typed), *args]
        return super().parse_args(ctx, args)

    def _from_file(self, ctx: Any, typed: dict[str, Any]) -> list[str]:
        """The options of the file, as they would be typed."""
        from latentseq.commands.runs import read_options

        function = getattr(latentseq, str(self.name).replace("-", "_"))
        options = read_options(typed["config"], function, allow_plugins=typed.get("allow_plugins", ()))
        if "preset" in typed:
            raise UsageError(
                "--preset chooses options of the plugin, and the file of --config holds all of them. Give one of the "
                "two; --set changes a single option."
            )
        if BUDGET & typed.keys():
            options = {key: value for key, value in options.items() if key not in BUDGET}
        names = {str(p.name): p.opts[0] for p in self.get_params(ctx) if isinstance(p, TyperOption)}
        return [word for key, value in options.items() if value is not None for word in _typed(names[key], value)]


def _typed(option: str, value: Any) -> list[str]:
    """One option, as it would be typed."""
    if isinstance(value, bool):
        return [option] if value else []
    if isinstance(value, dict):
        return [word for k, v in value.items() for word in (option, f"{k}={json.dumps(v)}")]
    if isinstance(value, list):  # A size, which a run from Python may hold as [height, width].
        return [option, "x".join(map(str, value))]
    return [option, str(value)]
