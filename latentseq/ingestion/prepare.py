"""DATA for a model that is trained from its first frame on: its shape at once, its frames when they are asked for."""

import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latentseq.configurable import check_names, check_types
from latentseq.data.crops import Crops
from latentseq.data.open import is_footage, open_data
from latentseq.data.splits import folder_of
from latentseq.errors import UsageError, listed
from latentseq.ingestion.plan import Plan
from latentseq.ingestion.report import summary
from latentseq.ingestion.run import is_done, make_clips, plan_clips
from latentseq.media.preprocessing import Preprocessing
from latentseq.protocols import Dataset
from latentseq.storage.frames import ClipFolder, write_clips
from latentseq.training.watch import Watcher

DEFAULTS: Mapping[str, Any] = {"size": None, "fit": "crop", "gray": False, "fps": None, "skip": 1}
"""How files are decoded; 64 x 64 where the size is None."""


class TrainingData:
    """Files are planned when it is made, and decoded, as ``ingest`` does, when it is opened."""

    def __init__(
        self, data: str | Path, out: Path, options: Mapping[str, Any] | None, decoding: Mapping[str, Any]
    ) -> None:
        """Plan files, or open a dataset.

        Args:
            data: DATA.
            out: folder of the run.
            options: the dataset's keywords; those of ``ingest`` where files are decoded, beside those of ``Crops``.
            decoding: size, fit, gray, fps and skip, as in ``DEFAULTS``.

        Raises:
            UsageError: an option that does not fit, or one about decoding where nothing is decoded.
            DataError: what is there cannot be used.
        """
        given = {key: value for key, value in decoding.items() if value != DEFAULTS[key]}
        self._plan: Plan | None = None
        self._dataset: Dataset | None = None
        if is_footage(data):
            self._plan = _plan(data, out, {**given, **(options or {})})
            self.frame_shape = self._plan.frame_shape
            return
        self._dataset = open_data(data, options=options)
        self.frame_shape = self._dataset.frame_shape
        if given:
            raise UsageError(
                f"{listed(f'--{key}' for key in given)} is about decoding files, and {self._dataset.name} is not "
                "decoded. Leave it out; a dataset has options of its own, given by --data-set."
            )

    @property
    def streams(self) -> dict[str, int]:
        """Width of every side stream."""
        return dict(self._plan.streams if self._plan else self._dataset.streams if self._dataset else {})

    def is_same(self, cache: Path, fingerprint: str) -> bool:
        """Whether a finished run was trained on this data; nothing is decoded.

        Args:
            cache: the folder that the run decoded files into.
            fingerprint: of the data that it was trained on.
        """
        if self._plan is not None:
            return is_done(cache, self._plan)
        assert self._dataset is not None  # One of the two it is.
        return self._dataset.fingerprint() == fingerprint

    def open(self, cache: Path, *, quiet: bool) -> Dataset:
        """The dataset, decoded into a folder where it has to be.

        Args:
            cache: the folder; what an earlier run left whole there is used again.
            quiet: show no progress.
        """
        watcher = Watcher("decode", quiet=quiet)
        if self._plan is None:
            assert self._dataset is not None  # One of the two it is.
            if not self._dataset.slow:
                return self._dataset
            write_clips(self._dataset, cache, watcher)
            return ClipFolder(str(cache))
        if not is_done(cache, self._plan):
            make_clips(self._plan, cache, os.cpu_count() or 1, watcher)
        dataset = ClipFolder(str(cache))
        about = dataset.about()
        folders = {folder_of(source["path"]) for source in about["sources"]}
        if about["skipped"] or len(folders) > 1 or any("reading" in source for source in about["sources"]):
            for line in summary(about, self._plan):
                watcher.say(line)
        return dataset


def preprocessing_of(dataset: Dataset) -> Preprocessing:
    """How files are to be decoded to look like a dataset's frames."""
    whole = dataset.dataset if isinstance(dataset, Crops) else dataset
    made = whole.about()["source"]["config"] if isinstance(whole, ClipFolder) else {}
    h, w, c = dataset.frame_shape
    return Preprocessing((h, w), made.get("fit", "crop"), c == 1, made.get("skip", 1), made.get("fps"))


def _plan(data: str | Path, out: Path, options: Mapping[str, Any]) -> Plan:
    keywords = inspect.signature(plan_clips).parameters.values()
    check_names("ingest", [each.name for each in keywords if each.kind is each.KEYWORD_ONLY], options)
    check_types("ingest", plan_clips, options)
    return plan_clips([data], out, os.cpu_count() or 1, **options)
