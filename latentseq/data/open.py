"""DATA, as every command takes it: a path to what there is, or the name of a dataset."""

import os
import re
from bisect import bisect_left
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latentseq import registry
from latentseq.data.crops import Crops
from latentseq.errors import DataError, UsageError, did_you_mean, listed
from latentseq.media.preprocessing import Preprocessing
from latentseq.protocols import Dataset
from latentseq.storage.artifact import ARTIFACT
from latentseq.storage.frames import FORMAT, ClipFolder
from latentseq.storage.latents import FORMAT as LATENTS
from latentseq.storage.shards import folder_format


def open_data(
    data: str | Path, *, options: Mapping[str, Any] | None = None, preprocessing: Preprocessing | None = None
) -> Dataset:
    """Open DATA: an existing path first, else a dataset's name.

    Args:
        data: a folder of clips, a video, a folder of movies or of frames; or a name such as ``moving-digits``.
        options: the dataset's keywords; with ``crop``, also those of ``Crops``, and windows are drawn from it.
        preprocessing: how frames are prepared where they are decoded from files; 64 x 64, in colour, where None.

    Raises:
        UsageError: no such path and no such dataset, or an option that does not fit.
        DataError: what is there cannot be used.
    """
    options = dict(options or {})
    own = [key for key in Crops.options() if key in options] if "crop" in options else []
    cropping = {key: options.pop(key) for key in own}
    if is_footage(data):
        prepared = (preprocessing or Preprocessing()).to_json()
        plugin = registry.load("datasets", "files")
        dataset = plugin.from_config({"path": str(data), **prepared, **options})
    elif os.path.exists(data):  # noqa: PTH110  # A name that no file can have is an error to pathlib.
        dataset = ClipFolder.from_config({"path": str(data), **options})
    else:
        dataset = _by_name(str(data), options)
    return Crops.from_config({"dataset": dataset, **cropping}) if cropping else dataset


def resolve_options(data: str | Path, options: Mapping[str, Any] | None) -> dict[str, Any]:
    """The options of DATA, with the defaults of a dataset that is given by its name.

    Args:
        data: as in ``open_data``, which says what is wrong with it.
        options: those that are given.
    """
    if os.path.exists(data) or str(data) not in {row.name for row in registry.installed("datasets")}:  # noqa: PTH110
        return dict(options or {})
    return registry.load("datasets", str(data)).complete(options or {})


def is_footage(data: str | Path) -> bool:
    """Whether DATA is files to be decoded, rather than a folder of clips or the name of a dataset.

    Raises:
        DataError: it is a folder of latents or a trained model.
    """
    path = Path(data)
    if not os.path.exists(path):  # noqa: PTH110
        return False
    holds = folder_format(path)
    if (path / ARTIFACT).is_file() or holds == LATENTS:
        what = "latents" if holds == LATENTS else "a trained model"
        raise DataError(f"{path} holds {what}; expected a video, or a folder of movies, of frames or of clips.")
    return holds != FORMAT


def check_frame_shape(dataset: Dataset, wanted: tuple[int, ...], whose: str) -> None:
    """Refuse frames that a model was not made for.

    Raises:
        DataError: the dataset's frames are of another shape.
    """
    if dataset.frame_shape != tuple(wanted):
        raise DataError(
            f"The frames of {dataset.name} are {_by(dataset.frame_shape)} (h x w x c); {whose} was trained on "
            f"{_by(wanted)}. Give data of that size."
        )


def check_streams(dataset: Dataset, wanted: Mapping[str, int], whose: str) -> None:
    """Refuse data without the side streams that a model is driven by.

    Raises:
        DataError: a stream is missing, or of another width.
    """
    if any(dataset.streams.get(name) != width for name, width in wanted.items()):
        raise DataError(
            f"{whose} is driven by {_streams(wanted)}; {dataset.name} has {_streams(dataset.streams)}. "
            "Give data with those streams."
        )


def check_seed(seed: int) -> None:
    """Refuse a seed that some generator does not take.

    Raises:
        UsageError: it is out of range.
    """
    if not 0 <= seed < 2**31:
        raise UsageError(f"seed is {seed}; expected a whole number from 0 to {2**31 - 1}.")


def parse_frames(value: str | int, dataset: Dataset, clip: int, what: str, *, first: int = 0) -> int:
    """A number of frames, or a time such as ``1.5s``, to frames: how many it takes to the frame nearest to that time.

    Args:
        value: the number, or the time.
        dataset: knows when frames are shown; after the last one it is taken to go on at its frame rate.
        clip: which clip.
        what: what the value is, for the error.
        first: the frame that is counted from.

    Raises:
        UsageError: neither, or no such clip.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s?)", str(value).strip())
    if not found or (not found[2] and "." in found[1]):
        raise UsageError(f"{what} is {value!r}; expected a number of frames such as 30, or a time such as 1.5s.")
    if not found[2]:
        return int(found[1])
    last = dataset.check_range(clip, 0, None)[1] - 1

    def time(frame: int) -> float:
        return float(dataset.times(clip, frame, frame + 1)[0])

    beyond = max(0, first - last)
    wanted = time(min(first, last)) + beyond / dataset.fps + float(found[1])
    if wanted >= time(last):
        return last - first + round((wanted - time(last)) * dataset.fps)
    after = bisect_left(range(last), wanted, key=time)
    # Of two that are as near the later one; times are sums of floating-point numbers.
    nearer = after - 1 if after and wanted - time(after - 1) < time(after) - wanted - 1e-9 else after
    return max(0, nearer - first)


def _by_name(name: str, options: dict[str, Any]) -> Dataset:
    known = [row.name for row in registry.installed("datasets")]
    if name in known:
        return registry.load("datasets", name).from_config(options)
    raise UsageError(
        f"There is no file or folder {name!r}, and no dataset of that name. {did_you_mean(name, known)}"
        f"Expected a video, a folder of movies, frames or clips, or one of {listed(known)}."
    )


def _streams(widths: Mapping[str, int]) -> str:
    """Streams in words: ``the streams action (width 3) and audio (width 64)``."""
    named = listed(f"{name} (width {width})" for name, width in widths.items())
    return f"the stream{'s' if len(widths) > 1 else ''} {named}" if widths else "no streams"


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
