"""The folder of a training run: what it was asked for, and whether it can begin, go on, or is over."""

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from latentseq.configurable import as_json
from latentseq.errors import UsageError
from latentseq.storage.artifact import ARTIFACT
from latentseq.storage.folders import CHECKPOINTS, RUN, check_free, check_same, run_folder, settle

NOT_ASKED = ("out", "allow_plugins", "resume", "overwrite", "quiet")
"""What is no part of what a run is asked for: where it goes, how it is shown, what may be loaded."""
MAY_CHANGE = ("epochs", "steps", "max_minutes", "learning_rate")
"""What a run may be asked for otherwise when it goes on."""


def asked_for(command: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """What a run is asked for, as JSON; where it goes and how it is shown is no part of that."""
    rest = {k: v for k, v in given.items() if k not in NOT_ASKED}
    return {"command": command, **{k: as_json(v) for k, v in rest.items()}}


@contextlib.contextmanager
def training_folder(out: Path, asked: Mapping[str, Any], *, resume: bool, overwrite: bool) -> Iterator[Path]:
    """The folder of a training run; its checkpoints go when it is finished."""
    options: dict[str, Any] = {"last": ARTIFACT, "may_change": MAY_CHANGE, "resume": resume, "overwrite": overwrite}
    with run_folder(out, asked, **options) as folder:
        yield folder
        shutil.rmtree(folder / CHECKPOINTS, ignore_errors=True)


def is_finished(out: Path, asked: Mapping[str, Any], *, resume: bool, overwrite: bool) -> bool:
    """Whether a run that is to go on is over already.

    Raises:
        UsageError: it was another run, or is to be replaced as well.
    """
    if resume and overwrite:
        raise UsageError("--resume goes on with a run, and --overwrite begins it anew. Give one of the two.")
    if not (resume and (out / ARTIFACT).is_file()):
        return False
    check_same(out, asked)
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
