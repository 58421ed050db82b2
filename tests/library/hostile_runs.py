"""Run folders that mean harm: names of plugins wherever a file can hold one, links, checkpoints, sizes."""

import hashlib
import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from hostile import Case, artifact, command
from hostile_models import _strange

from latentseq.storage.artifact import copy_artifact, read_artifact
from latentseq.storage.atomic import write_sealed
from latentseq.storage.tensors import save_tensors
from latentseq.training.checkpoint import Checkpoints
from latentseq.training.stage import Stage

SQUARES = ("moving-squares", "--data-set", "size=16", "--data-set", "count=4")
OPTION = "add --allow-plugin strange (in Python, allow_plugins=['strange'])."


def _named(config: dict[str, Any], use: Callable[[Path], object], error: str | int, **about: Any) -> Case:
    """A model whose configuration names a plugin that would write a folder when it is imported."""

    def make(given: Path) -> None:
        _strange(given)
        artifact(given / "model", config=config, **about)

    return Case(make, use, OPTION, error)


def _site(given: Path) -> None:
    sys.path.insert(0, str(given / "site"))


def _encode(given: Path) -> object:
    _site(given)
    return command("encode", *SQUARES, given / "model", "out")


def _predictor(given: Path) -> object:
    from latentseq.models.run import load_predictor

    _site(given)
    return load_predictor(given / "model")


def _config(**about: Any) -> Case:
    """A run.json that names the plugin, given to --config."""

    def make(given: Path) -> None:
        _strange(given)
        (given / "run.json").write_text(json.dumps({"command": "train-ae", "steps": 1, **about}))

    def use(given: Path) -> object:
        _site(given)
        return command("train-ae", *SQUARES, "out", "--config", given / "run.json", "--quiet")

    return Case(make, use, "run.json needs the", 2)


def of_names() -> dict[str, Case]:
    """Names of plugins in files."""
    parts = {"encoder": {"plugin": "strange", "config": {}}, "dynamics": {"plugin": "lstm", "config": {}}}
    shape = {"input_shape": [16, 16, 1]}
    deep: dict[str, Any] = {"features": "pca"}
    for _ in range(30):
        deep = {"features": "stack", "features_options": deep}
    wide = {f"part{i}_options": {} for i in range(900)}
    too_many = "its configuration has more than 100 nested parts, or more than 16 levels of them."
    return {
        "a part without options": _named({**shape, "features": "strange"}, _encode, 2, plugin="stack"),
        "a part in a list": _named({"parts": [["vae", "strange"]]}, _encode, 2),
        "a part that is a key": _named({"parts": {"strange": {}}}, _encode, 2),
        "parts of a predictor": _named(parts, _predictor, "UsageError", group="predictors", plugin="latent"),
        "a run.json of a plugin": _config(encoder="strange"),
        "a run.json of a part": _config(encoder="stack", options={"features": "strange"}),
        "30 parts in one another": Case(
            lambda given: artifact(given, plugin="stack", config=deep), lambda p: read_artifact(p).load(), too_many
        ),
        "900 parts beside one another": Case(
            lambda given: artifact(given, config=wide), lambda p: read_artifact(p).load(), too_many
        ),
    }


def _linked(name: str, use: Callable[[Path], object], error: str | int) -> Case:
    """A run in which a link leads to somebody else's folder, of the same kind and honest."""

    def make(given: Path) -> None:
        victim = given.parent / "victim"
        artifact(victim / "encoder")
        (victim / "previews").mkdir()
        Checkpoints(victim / "checkpoints", "main").save({"w": np.zeros(1)}, 1, {})
        artifact(given / "run", group="dynamics", plugin="lstm")
        (given / "run" / "run.json").write_text("{}")
        (given / "run" / name).unlink(missing_ok=True)
        (given / "run" / name).symlink_to(victim / name)

    return Case(make, use, f"{name} is a link. A run folder holds only files and folders,", error)


def _resume(given: Path) -> object:
    (given / "run" / "artifact.json").unlink()
    try:
        return command("train-ae", *SQUARES, given / "run", "--encoder", "pca", "--steps", 1, "--resume", "--quiet")
    finally:
        artifact(given / "run", group="dynamics", plugin="lstm")


def _load(given: Path) -> object:
    from latentseq.models.run import load_predictor

    return load_predictor(given / "run")


def of_links() -> dict[str, Case]:
    """Links, and what else is no file."""

    def pipe(given: Path) -> None:
        artifact(given / "run", group="dynamics", plugin="lstm")
        (given / "run" / "run.json").write_text("{}")
        os.mkfifo(given / "run" / "history.csv")

    return {
        "an encoder that is a link": _linked("encoder", _load, "DataError"),
        "an encoder that is a link, shown": _linked("encoder", lambda given: command("show", given / "run"), 65),
        "weights that are a link to others": _linked(
            "weights.safetensors", lambda given: copy_artifact(read_artifact(given / "run"), Path("c")), "DataError"
        ),
        "checkpoints that are a link": _linked("checkpoints", _resume, 65),
        "previews that are a link": _linked("previews", _resume, 65),
        "a history that is a pipe": Case(pipe, _resume, "history.csv is neither a file nor a folder.", 65),
    }


def _files(listed: dict[str, bytes]) -> Case:
    """An artifact whose state lies there, and is not listed."""

    def make(given: Path) -> None:
        config = {"input_shape": [4, 4, 1], "latent_dim": 2}
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in listed.items()}
        artifact(given, plugin="pca", config=config, files=digests)
        for name, data in listed.items():
            (given / name).write_bytes(data)
        arrays = {"mean": np.zeros(16), "components": np.zeros((2, 16)), "bounds": np.array([0, 1])}
        save_tensors({k: a.astype(np.float32) for k, a in arrays.items()}, given / "components.safetensors")

    words = "artifact.json does not list components.safetensors, so it is not read."
    return Case(make, lambda given: read_artifact(given).load(), words)


def _sized(shape: list[int], words: str) -> Case:
    config = {"input_shape": shape, "latent_dim": 4}
    return Case(
        lambda given: artifact(given, plugin="pca", config=config),
        lambda given: read_artifact(given).load(),
        words,
        "TryAgainError",
    )


def of_files() -> dict[str, Case]:
    """Lists of files that lack some, and sizes that no machine has."""
    return {
        "no files": _files({}),
        "other files": _files({"weights.safetensors": b"weights"}),
        "frames of 10^12 values": _sized(
            [10**6, 10**6, 1], "one item of input_shape [1000000, 1000000, 1] takes 3725.3 GiB."
        ),
        "frames that do not fit now": _sized([8192, 8192, 4], "Unable to allocate"),
    }


HONEST = {"step": 7, "epoch": 1, "batch": 2, "share": 0.5, "seconds": 1.5, "logs": [{"loss": 1.0}], "of": "d"}
ROW = {"stage": "main", "epoch": 1, "step": 5, "loss": 1.0, "val_loss": 2.0, "seconds": 1.0}


def restore(given: Path) -> object:
    """Go on from a checkpoint of no models, of epochs of five steps."""
    return Stage({}, "main", Checkpoints(given, "main"), data_fingerprint="d").restore(5)


def checkpoint(given: Path, **changes: Any) -> None:
    """A checkpoint as a stranger would write it: its hashes fit."""
    Checkpoints(given, "main").save({}, 7, {"json": json.dumps({**HONEST, "rows": [ROW], **changes})})


def _progress(words: str, **changes: Any) -> Case:
    return Case(lambda given: checkpoint(given, **changes), restore, f"cannot be used: progress{words}")


def of_checkpoints() -> dict[str, Case]:
    """What a checkpoint may say."""

    def outside(given: Path) -> None:
        checkpoint(given)
        secret = given.parent / "victim" / "precious"
        digest = hashlib.sha256(secret.read_bytes()).hexdigest()
        file = {"file": "../victim/precious", "sha256": digest, "progress": {"json": "{}"}}
        write_sealed(given / "main.json", file)

    def foreign(given: Path) -> None:
        Checkpoints(given, "main").save({"state/a": np.zeros(3)}, 7, {"json": json.dumps({**HONEST, "rows": [ROW]})})

    return {
        "a batch of 10^9": _progress(".batch is 1000000000; expected a whole number from 0 to 4", batch=10**9),
        "a batch below 0": _progress(".batch is -1; expected", batch=-1),
        "a step below 0": _progress(".step is -7; expected", step=-7),
        "a step of 10^30": _progress(".step is 1000000000000000000000000000000; expected", step=10**30),
        "an epoch of 10^9": _progress(".epoch is 1000000000; expected a whole number from 0 to 7", epoch=10**9),
        "a step in words": _progress(".step is '7'; expected", step="7"),
        "a share of 5": _progress(".share is 5; expected a number from 0 to 1", share=5),
        "seconds that are none": _progress(".seconds is nan; expected", seconds=float("nan")),
        "logs of words": _progress(".logs[0].loss is 'x'; expected a number", logs=[{"loss": "x"}]),
        "a row of another stage": _progress(
            ".rows[0].stage is '../x'; expected 'main'", rows=[{**ROW, "stage": "../x"}]
        ),
        "a start after a step": _progress(
            ".rows[0].epoch is 0; expected a whole number from 1 to 5", rows=[{**ROW, "epoch": 0}]
        ),
        "an epoch without a step": _progress(
            ".rows[0].epoch is 1; expected a whole number from 0 to 0", rows=[{**ROW, "step": 0}]
        ),
        "a best that is a list": _progress(".best is []; expected an object", best=[]),
        "a stage that is done and has no best": _progress(".best is {}; expected the row", done=True),
        "a field that there is not": _progress(".plugin is 'os:system'; expected no such field", plugin="os:system"),
        "a checkpoint that lies elsewhere": Case(
            outside, restore, "file is '../victim/precious'; expected the name of a file in the same folder."
        ),
        "arrays of another model": Case(
            foreign, restore, "The saved state of training belongs to another model: a is not expected."
        ),
    }


CASES = {**of_names(), **of_links(), **of_files(), **of_checkpoints()}


def use(name: str, given: str) -> object:
    """Try a case; in the child."""
    return json.loads(json.dumps(CASES[name].use(Path(given)), default=str))
