"""DATA for training. Its shape is known at once, and its frames are decoded when they are needed."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from latentseq.configurable import check_names, check_types, option_names
from latentseq.data.crops import Crops
from latentseq.data.open import is_footage, open_data
from latentseq.data.splits import folder_of
from latentseq.errors import UsageError, join_names
from latentseq.ingestion.plan import Plan
from latentseq.ingestion.recipe import IngestOptions
from latentseq.ingestion.report import summary
from latentseq.ingestion.run import is_done, make_clips, plan_clips
from latentseq.media.preprocessing import Preprocessing
from latentseq.protocols import Dataset
from latentseq.storage.frames import ClipFolder, write_clips
from latentseq.training.watch import Watcher


class PreparedData(ABC):
    """DATA that is ready to be opened.

    Attributes:
        frame_shape: (h, w, c) of every frame.
        streams: width of every side stream.
    """

    frame_shape: tuple[int, int, int]
    streams: Mapping[str, int]

    @abstractmethod
    def open(self, cache: Path, *, quiet: bool) -> Dataset:
        """Open the dataset. Data that is slow to read is first decoded into a folder of clips.

        Args:
            cache: folder for those clips. Clips that an earlier run left whole there are used again.
            quiet: show no progress.
        """

    @abstractmethod
    def is_same(self, cache: Path, fingerprint: str) -> bool:
        """Check whether a finished run was trained on this data. Nothing is decoded.

        Args:
            cache: folder that the run decoded files into.
            fingerprint: fingerprint of the data that the run was trained on.
        """


def prepare(
    data: str | Path,
    options: Mapping[str, Any] | None = None,
    *,
    preprocessing: Preprocessing | None = None,
    out: Path,
) -> PreparedData:
    """Plan how files are decoded, or open a dataset.

    Args:
        data: DATA.
        options: keywords of the dataset. For files they are those of ``IngestOptions`` and ``Preprocessing``.
        preprocessing: how files are decoded.
        out: folder of the run, which is not searched for files.

    Raises:
        UsageError: an option does not fit, or is about decoding although nothing is decoded.
        DataError: the data cannot be used.
    """
    frames = preprocessing or Preprocessing()
    if is_footage(data):
        return _Footage(_plan(data, out, frames, options or {}))
    dataset, default = open_data(data, options=options), Preprocessing()
    wrong = [key for key in option_names(Preprocessing) if getattr(frames, key) != getattr(default, key)]
    if wrong:
        raise UsageError(
            f"{join_names(f'--{key}' for key in wrong)} {'applies' if len(wrong) == 1 else 'apply'} to decoded "
            f"files, and {dataset.name} is not decoded. Leave {'it' if len(wrong) == 1 else 'them'} out; options of "
            "a dataset are set with --data-set."
        )
    return OpenedData(dataset)


class OpenedData(PreparedData):
    """A dataset, which is only decoded if it is slow to read."""

    def __init__(self, dataset: Dataset) -> None:
        """Wrap a dataset.

        Args:
            dataset: dataset to train on.
        """
        self.frame_shape = dataset.frame_shape
        self.streams = dict(dataset.streams)
        self._dataset = dataset

    def open(self, cache: Path, *, quiet: bool) -> Dataset:
        """See ``PreparedData.open``."""
        if not self._dataset.slow:
            return self._dataset
        write_clips(self._dataset, cache, Watcher("decode", quiet=quiet))
        return ClipFolder(str(cache))

    def is_same(self, cache: Path, fingerprint: str) -> bool:
        """See ``PreparedData.is_same``."""
        return self._dataset.fingerprint() == fingerprint


class _Footage(PreparedData):
    """Files that ``ingest`` would decode."""

    def __init__(self, plan: Plan) -> None:
        self.frame_shape = plan.frame_shape
        self.streams = dict(plan.streams)
        self._plan = plan

    def open(self, cache: Path, *, quiet: bool) -> Dataset:
        watcher = Watcher("decode", quiet=quiet)
        if not is_done(cache, self._plan):
            make_clips(self._plan, cache, os.cpu_count() or 1, watcher)
        dataset = ClipFolder(str(cache))
        about = dataset.about()
        folders = {folder_of(source["path"]) for source in about["sources"]}
        if about["skipped"] or len(folders) > 1 or any("reading" in source for source in about["sources"]):
            for line in summary(about, self._plan):
                watcher.say(line)
        return dataset

    def is_same(self, cache: Path, fingerprint: str) -> bool:
        return is_done(cache, self._plan)


def preprocessing_of(dataset: Dataset) -> Preprocessing:
    """How files have to be decoded to look like the frames of a dataset."""
    whole = dataset.dataset if isinstance(dataset, Crops) else dataset
    config = whole.about()["source"]["config"] if isinstance(whole, ClipFolder) else {}
    h, w, c = dataset.frame_shape
    return Preprocessing((h, w), config.get("fit", "crop"), c == 1, config.get("fps"), config.get("skip", 1))


def _plan(data: str | Path, out: Path, frames: Preprocessing, options: Mapping[str, Any]) -> Plan:
    """Plan how files are decoded."""
    kinds = (Preprocessing, IngestOptions)
    check_names("ingest", [key for kind in kinds for key in option_names(kind)], options)
    own, others = ({key: options[key] for key in option_names(kind) if key in options} for kind in kinds)
    for kind in kinds:
        check_types("ingest", kind, options)
    return plan_clips([data], out, os.cpu_count() or 1, replace(frames, **own), IngestOptions(**others))
