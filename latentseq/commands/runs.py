"""The folder of a training run: what was requested, and whether the run starts, goes on, or is finished."""

import contextlib
import inspect
import shutil
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, is_dataclass
from pathlib import Path
from typing import Any, ClassVar

from latentseq import registry
from latentseq.configurable import as_json, check_names, check_types, option_names
from latentseq.errors import UsageError, join_names
from latentseq.protocols import History
from latentseq.storage.artifact import ARTIFACT, Artifact, read_artifact
from latentseq.storage.atomic import read_json
from latentseq.storage.folders import CHECKPOINTS, RUN, check_free, check_same, run_folder, settle
from latentseq.training.budget import Budget

NOT_REQUESTED = ("out", "allow_plugins", "resume", "overwrite", "quiet")
"""Parameters of a command that are no part of a request: output, display, and plugins that may be loaded."""
MAY_CHANGE = ("epochs", "steps", "max_minutes", "learning_rate")
"""Parts of a request that may change when a run goes on."""
INPUTS = ("data", "encoder", "run")
"""Parts of a request that may have another path when a run goes on: checkpoints know the data by its fingerprint."""
RETIRED = ("from_", "tune")
"""Keys in the requests of earlier versions of ``train`` that have no meaning any more."""

ADDED = {"keep": "best"}
"""Keys that the requests of earlier versions lack, and the values that they stand for."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What a training run was requested to do. Every command has a class of its own, and ``run.json`` holds it.

    Attributes:
        data: DATA.
        data_options: keywords of the dataset, complete with its defaults.
        budget: budget of the training.
        seed: random seed for weight initialisation, data order and sampling noise.
    """

    command: ClassVar[str]
    data: str | Path
    data_options: Mapping[str, Any]
    budget: Budget
    seed: int

    def to_json(self) -> dict[str, Any]:
        """The request as JSON. The fields of ``budget`` and of other options stand beside the rest."""
        content: dict[str, Any] = {"command": self.command}
        for name, value in vars(self).items():
            if is_dataclass(value):
                content |= {key: as_json(getattr(value, key)) for key in option_names(type(value))}
            else:
                content[name] = as_json(value)
        return content


def read_config(
    path: str | Path, function: Callable[..., Any], *, allow_plugins: Sequence[str] = ()
) -> dict[str, Any]:
    """Read the ``run.json`` of a run as keywords of the function that wrote it, in order to repeat the run.

    ``train_ae(data, out, **{**read_config("runs/ae/run.json", train_ae), "seed": 1})`` repeats it with another seed.

    Args:
        path: path of the file. A file that was written by hand may leave out options that have a default.
        function: function of the command, such as ``train_ae``.
        allow_plugins: names of plugins that the file may name, in addition to the built-in ones.

    Returns:
        Keyword arguments. Positional arguments of the function are not among them.

    Raises:
        UsageError: the file is of another command, has a value that the function does not take, or names a plugin
            that is neither built in nor allowed.
        DataError: the file cannot be read, or has more nested parts than any model has.
    """
    flat = read_options(path, function, allow_plugins=allow_plugins)
    config: dict[str, Any] = {}
    for name, kind in _parameters(function).items():
        if kind is not None:
            config[name] = kind(**{key: flat[key] for key in option_names(kind) if key in flat})
        elif name in flat:
            config[name] = flat[name]
    return config


def read_options(
    path: str | Path, function: Callable[..., Any], *, allow_plugins: Sequence[str] = ()
) -> dict[str, Any]:
    """Read the ``run.json`` of a run as options of the command line, which has one option for every field.

    Args:
        path: path of the file.
        function: function of the command.
        allow_plugins: names of plugins that the file may name, in addition to the built-in ones.

    Raises:
        UsageError: see ``read_config``.
        DataError: see ``read_config``.
    """
    command = function.__name__.replace("_", "-")
    content = read_json(Path(path), "the configuration of a run")
    if content.get("command") == "train" and content.get("from_") is not None:
        raise UsageError(
            f"{path} is the configuration of a run of an earlier version, in which train tuned the parts of a latent "
            f"predictor. Use the command tune: latentseq tune {content['from_']} DATA OUT "
            f"--parts {content.get('tune')}."
        )
    if content.get("command") != command:
        raise UsageError(
            f"{path} is the configuration of {content.get('command')!r}; expected one of {command!r}. Give the "
            f"run.json of a folder that {command} wrote."
        )
    retired = RETIRED if command == "train" else ()
    options = {key: value for key, value in content.items() if key not in ("command", *retired)}
    parameters = _parameters(function)
    names = [key for name, kind in parameters.items() for key in ([name] if kind is None else option_names(kind))]
    check_names(str(path), names, options)
    for kind in parameters.values():
        check_types(str(path), kind or function, options)
    positional = {p.name for p in inspect.signature(function).parameters.values() if p.kind is not p.KEYWORD_ONLY}
    keywords = {key: options[key] for key in names if key in options and key not in positional}
    registry.check_allowed(keywords, allow_plugins, Path(path))
    return keywords


def _parameters(function: Callable[..., Any]) -> dict[str, type[Any] | None]:
    """Parameters of a command that a request holds, and the dataclass of those that are groups of options."""
    return {
        name: next(
            (k for k in typing.get_args(parameter.annotation) if isinstance(k, type) and is_dataclass(k)), None
        )
        for name, parameter in inspect.signature(function).parameters.items()
        if name not in NOT_REQUESTED
    }


def conditions_of(
    group: str, name: str, conditions: str | None, streams: Mapping[str, int], data: str | Path
) -> dict[str, int]:
    """The side streams that drive a model, with their widths.

    Args:
        group: group of the plugin in the registry.
        name: name of the plugin.
        conditions: names of streams, separated by commas. None selects all streams for a plugin whose keyword
            ``conditions`` has no default, and none for others.
        streams: width of every side stream of the data.
        data: DATA, for the error.

    Raises:
        UsageError: the plugin takes no conditions, or the data has no such stream.
    """
    keyword = registry.load(group, name).keywords().get("conditions")
    if conditions is None:
        return dict(streams) if keyword is not None and keyword.default is keyword.empty else {}
    if keyword is None:
        raise UsageError(f"{name} takes no conditions, and --conditions is {conditions!r}. Leave it out.")
    names = names_in(conditions)
    if missing := set(names) - set(streams):
        has = f"its streams are {join_names(streams)}" if streams else "it has no streams"
        raise UsageError(
            f"{data} has no stream {join_names(missing)}, which --conditions names; {has}. Name streams that are "
            "there, or leave --conditions out."
        )
    return {each: streams[each] for each in names}


def names_in(text: str) -> list[str]:
    """Names separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


@contextlib.contextmanager
def training_folder(out: Path, request: Mapping[str, Any], *, resume: bool, overwrite: bool) -> Iterator[Path]:
    """The folder of a training run. Its checkpoints are removed when the run is finished."""
    options: dict[str, Any] = {
        "last": ARTIFACT,
        "may_change": (*MAY_CHANGE, *INPUTS, *RETIRED, *_added(out, request)),
        "resume": resume,
        "overwrite": overwrite,
    }
    with run_folder(out, request, **options) as folder:
        yield folder
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)


def is_finished(
    out: Path,
    request: Mapping[str, Any],
    *,
    resume: bool,
    overwrite: bool,
    same: Mapping[str, Callable[[Artifact], bool]],
) -> bool:
    """Check whether a run that is to be resumed is finished already.

    Args:
        out: folder of the run.
        request: what is requested now, as JSON.
        resume: go on with the run.
        overwrite: replace the run.
        same: for each input, a function that checks whether the finished model was trained with it. It is called if
            the input has another path than before.

    Raises:
        UsageError: the run was another one, or is to be replaced as well.
    """
    if resume and overwrite:
        raise UsageError("--resume continues a run, and --overwrite replaces it. Give only one of the two.")
    if not (resume and (out / ARTIFACT).is_file()):
        return False
    before = read_json(out / RUN, "what a run was asked for")
    renamed = [key for key in same if before.get(key) != request.get(key)]
    model = read_artifact(out) if renamed else None
    unchanged = [key for key in renamed if model is not None and same[key](model)]
    check_same(out, request, (*unchanged, *RETIRED, *_added(out, request)))
    settle(out)  # The run may have been killed when only this was left to do.
    shutil.rmtree(out / CHECKPOINTS, ignore_errors=True)
    return True


def _added(out: Path, request: Mapping[str, Any]) -> list[str]:
    """Keys of a request that an earlier version did not write, and that have the value they stand for."""
    before = read_json(out / RUN, "what a run was asked for") if (out / RUN).is_file() else {}
    return [key for key, value in ADDED.items() if key not in before and request.get(key) == value]


def check_out(out: Path, marker: str, overwrite: bool, *inputs: str | Path, resume: bool = False) -> None:
    """Refuse an output that exists, or that would replace one of its inputs.

    Raises:
        UsageError: the output exists, or an input lies inside it.
    """
    if not (resume and (out / RUN).is_file()):
        check_free(out, marker, overwrite=overwrite, last=ARTIFACT if marker == RUN else None)
    for path in inputs:
        if out.exists() and Path(path).resolve().is_relative_to(out.resolve()):
            raise UsageError(f"{path} lies inside {out}, which would be replaced. Choose another output.")


def best_of(history: History) -> dict[str, Any]:
    """The best row of a history, without what differs from run to run."""
    return {k: v for k, v in history.best.items() if k != "seconds"}
