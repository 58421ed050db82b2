"""The folder of a training run: what it was asked for, and whether it can begin, go on, be repeated, or is over."""

import contextlib
import inspect
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from latentseq import registry
from latentseq.configurable import as_json, check_names, check_types
from latentseq.data.open import resolve_options
from latentseq.errors import UsageError
from latentseq.protocols import History
from latentseq.storage.artifact import (
    ARTIFACT,
    Artifact,
    read_artifact,
)
from latentseq.storage.atomic import read_json
from latentseq.storage.folders import (
    CHECKPOINTS,
    RUN,
    check_free,
    check_same,
    run_folder,
    settle,
)

NOT_ASKED = ("out", "allow_plugins", "resume", "overwrite", "quiet")
"""What is no part of what a run is asked for: where it goes, how it is shown, what may be loaded."""
MAY_CHANGE = ("epochs", "steps", "max_minutes", "learning_rate")
"""What a run may be asked for otherwise when it goes on."""
INPUTS = ("data", "encoder")
"""What may have another path when a run goes on: the checkpoints know the fingerprint of their data."""


def asked_for(command: str, given: Mapping[str, Any], *, group: str = "", plugin: str = "") -> dict[str, Any]:
    """What a run is asked for, as JSON: the arguments of its command, every option with its value.

    It is what ``run.json`` holds and ``read_config`` reads. Where a run goes and how it is shown is no part of it.

    Args:
        command: of the command line.
        given: its function's arguments.
        group: of the plugin that learns, in the registry.
        plugin: its name; options stay as they are given where there is none.

    Raises:
        UsageError: no such plugin or preset, or an option that it does not take.
    """
    asked = {"command": command, **{k: as_json(v) for k, v in given.items() if k not in NOT_ASKED}}
    if plugin:
        options = {**({"head": given["head"]} if given.get("head") else {}), **(given["options"] or {})}
        asked["options"] = registry.resolve(group, plugin, options, preset=given["preset"], left=("seed",))
        if "head" in given:  # Which has an option of its own, that is to win when the run is repeated.
            asked["head"] = asked["options"].pop("head", None)
    if "data_options" in given:
        asked["data_options"] = as_json(resolve_options(given["data"], given["data_options"]))
    return asked


def read_config(
    path: str | Path, function: Callable[..., Any], *, allow_plugins: Sequence[str] = ()
) -> dict[str, Any]:
    """The ``run.json`` of a run as keywords of the function that made it, to run it again.

    ``train_ae(data, out, **{**read_config("runs/ae/run.json", train_ae), "seed": 1})`` does so with another seed.

    Args:
        path: the file; one that is written by hand may leave out what stays at its default.
        function: such as ``train_ae``.
        allow_plugins: names of plugins that the file may name, beside the built-in ones.

    Returns:
        Keywords; what the function takes by position is not among them.

    Raises:
        UsageError: it is of another command, has a value that the function does not take, or names a plugin that is
            neither built in nor allowed.
        DataError: it cannot be read, or has more nested parts than any model has.
    """
    command = function.__name__.replace("_", "-")
    about = read_json(Path(path), "the configuration of a run")
    if about.get("command") != command:
        raise UsageError(
            f"{path} is the configuration of {about.get('command')!r}; expected one of {command!r}. Give the "
            f"run.json of a folder that {command} wrote."
        )
    taken = inspect.signature(function).parameters.values()
    given = {k: v for k, v in about.items() if k != "command"}
    check_names(str(path), [p.name for p in taken if p.name not in NOT_ASKED], given)
    check_types(str(path), function, given)
    found = {p.name: given[p.name] for p in taken if p.kind is p.KEYWORD_ONLY and p.name in given}
    registry.check_allowed(found, allow_plugins, Path(path))
    return found


@contextlib.contextmanager
def training_folder(out: Path, asked: Mapping[str, Any], *, resume: bool, overwrite: bool) -> Iterator[Path]:
    """The folder of a training run; its checkpoints go when it is finished."""
    options: dict[str, Any] = {
        "last": ARTIFACT,
        "may_change": (*MAY_CHANGE, *INPUTS),
        "resume": resume,
        "overwrite": overwrite,
    }
    with run_folder(out, asked, **options) as folder:
        yield folder
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)


def is_finished(
    out: Path,
    asked: Mapping[str, Any],
    *,
    resume: bool,
    overwrite: bool,
    same: Mapping[str, Callable[[Artifact], bool]],
) -> bool:
    """Whether a run that is to go on is over already.

    Args:
        out: folder of the run.
        asked: what is asked for now.
        resume: go on with it.
        overwrite: replace it.
        same: of inputs by name, whether they are what the finished model was trained with; asked where they are named
            otherwise than then.

    Raises:
        UsageError: it was another run, or is to be replaced as well.
    """
    if resume and overwrite:
        raise UsageError("--resume goes on with a run, and --overwrite begins it anew. Give one of the two.")
    if not (resume and (out / ARTIFACT).is_file()):
        return False
    before = read_json(out / RUN, "what a run was asked for")
    renamed = [key for key in same if before.get(key) != asked.get(key)]
    model = read_artifact(out) if renamed else None
    check_same(out, asked, [key for key in renamed if model is not None and same[key](model)])
    settle(out)  # It may have been killed when nothing but this was left to do.
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
    return True


def check_out(out: Path, marker: str, overwrite: bool, *inputs: str | Path, resume: bool = False) -> None:
    """Refuse an output that exists, or that would be put in the place of what it is made from.

    Raises:
        UsageError: it does, or would be.
    """
    if not (resume and (out / RUN).is_file()):
        check_free(out, marker, overwrite=overwrite, last=ARTIFACT if marker == RUN else None)
    for given in inputs:
        if out.exists() and Path(given).resolve().is_relative_to(out.resolve()):
            raise UsageError(f"{given} lies inside {out}, which would be replaced. Choose another output.")


def best_of(history: History) -> dict[str, Any]:
    """The best row of a history, without what differs from run to run."""
    return {k: v for k, v in history.best.items() if k != "seconds"}
