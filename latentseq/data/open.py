"""Opens DATA, the argument of most commands: a path, or the name of a dataset."""

import os
import re
from bisect import bisect_left
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from latentseq import registry
from latentseq.data.crops import Crops
from latentseq.errors import DataError, UsageError, did_you_mean, join_names
from latentseq.media.preprocessing import Preprocessing
from latentseq.protocols import Dataset
from latentseq.storage.artifact import ARTIFACT
from latentseq.storage.frames import FORMAT, ClipFolder
from latentseq.storage.latents import FORMAT as LATENTS
from latentseq.storage.shards import folder_format


def open_data(
    data: str | Path, *, options: Mapping[str, Any] | None = None, preprocessing: Preprocessing | None = None
) -> Dataset:
    """Open DATA. A path that exists takes precedence over the name of a dataset.

    Args:
        data: a folder of clips, a video, a folder of movies or of frames, or a name such as ``moving-digits``.
        options: keywords of the dataset. With ``crop``, also those of ``Crops``, which then draws windows from it.
        preprocessing: how frames from files are prepared; None for 64 x 64 in colour.

    Raises:
        UsageError: neither the path nor the dataset exists, or an option does not fit.
        DataError: the data cannot be used.
    """
    options = dict(options or {})
    names = [key for key in Crops.options() if key in options] if "crop" in options else []
    cropping = {key: options.pop(key) for key in names}
    if is_footage(data):
        decoding = (preprocessing or Preprocessing()).to_json()
        plugin = registry.load("datasets", "files")
        dataset = plugin.from_config({"path": str(data), **decoding, **options})
    elif os.path.exists(data):  # noqa: PTH110  # pathlib raises an error for invalid file names.
        dataset = ClipFolder.from_config({"path": str(data), **options})
    else:
        dataset = _by_name(str(data), options)
    return Crops.from_config({"dataset": dataset, **cropping}) if cropping else dataset


def resolve_options(data: str | Path, options: Mapping[str, Any] | None) -> dict[str, Any]:
    """The options of DATA, completed by the defaults if it is the name of a dataset.

    Args:
        data: see ``open_data``, which reports what is wrong with it.
        options: options of the user.
    """
    if os.path.exists(data) or str(data) not in {row.name for row in registry.installed("datasets")}:  # noqa: PTH110
        return dict(options or {})
    return registry.load("datasets", str(data)).complete(options or {})


def is_footage(data: str | Path) -> bool:
    """Whether DATA is a path to files that must be decoded.

    Raises:
        DataError: the path is a folder of latents or a trained model.
    """
    path = Path(data)
    if not os.path.exists(path):  # noqa: PTH110
        return False
    format_name = folder_format(path)
    if (path / ARTIFACT).is_file() or format_name == LATENTS:
        content = "latents" if format_name == LATENTS else "a trained model"
        raise DataError(f"{path} holds {content}; expected a video, or a folder of movies, of frames or of clips.")
    return format_name != FORMAT


def check_frame_shape(dataset: Dataset, shape: tuple[int, ...], whose: str) -> None:
    """Refuse frames of another shape than a model expects.

    Args:
        dataset: the data.
        shape: (h, w, c) that the model expects.
        whose: description of the model, such as ``the model in runs/ae``.

    Raises:
        DataError: the frames have another shape.
    """
    if dataset.frame_shape != tuple(shape):
        raise DataError(
            f"The frames of {dataset.name} are {_by(dataset.frame_shape)} (h x w x c); {whose} was trained on "
            f"{_by(shape)}. Use data of that size."
        )


def check_streams(dataset: Dataset, streams: Mapping[str, int], whose: str) -> None:
    """Refuse data without the side streams that a model needs.

    Args:
        dataset: the data.
        streams: width of each stream that the model needs, by name.
        whose: description of the model.

    Raises:
        DataError: a stream is missing, or has another width.
    """
    if any(dataset.streams.get(name) != width for name, width in streams.items()):
        raise DataError(
            f"{whose} is driven by {_streams(streams)}; {dataset.name} has {_streams(dataset.streams)}. "
            "Use data with those streams."
        )


def check_seed(seed: int) -> None:
    """Refuse a seed that some random number generator does not accept.

    Raises:
        UsageError: the seed is out of range.
    """
    if not 0 <= seed < 2**31:
        raise UsageError(f"seed is {seed}; expected a whole number from 0 to {2**31 - 1}.")


def parse_frames(value: str | int, dataset: Dataset, clip: int, what: str, *, first: int = 0) -> int:
    """Convert a number of frames, or a time such as ``1.5s``, to a number of frames.

    A time is converted to the number of the nearest frame, counted from ``first``.

    Args:
        value: the number, or the time.
        dataset: the dataset, which has the times of the frames. After the last frame its frame rate is used.
        clip: number of the clip.
        what: name of the value, for the message.
        first: number of the frame from which the time and the frames count.

    Raises:
        UsageError: the value is neither a number nor a time, or the clip does not exist.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(s?)", str(value).strip())
    if not match or (not match[2] and "." in match[1]):
        raise UsageError(f"{what} is {value!r}; expected a number of frames such as 30, or a time such as 1.5s.")
    if not match[2]:
        return int(match[1])
    last = dataset.check_range(clip, 0, None)[1] - 1

    def time(frame: int) -> float:
        return float(dataset.times(clip, frame, frame + 1)[0])

    beyond = max(0, first - last)
    target = time(min(first, last)) + beyond / dataset.fps + float(match[1])
    if target >= time(last):
        return last - first + round((target - time(last)) * dataset.fps)
    after = bisect_left(range(last), target, key=time)
    # The later one of two equally near frames; the tolerance is for sums of floating-point numbers.
    nearest = after - 1 if after and target - time(after - 1) < time(after) - target - 1e-9 else after
    return max(0, nearest - first)


def _by_name(name: str, options: dict[str, Any]) -> Dataset:
    names = [row.name for row in registry.installed("datasets")]
    if name in names:
        return registry.load("datasets", name).from_config(options)
    raise UsageError(
        f"There is no file or folder {name!r}, and no dataset of that name. {did_you_mean(name, names)}"
        f"Expected a video, a folder of movies, frames or clips, or one of {join_names(names)}."
    )


def _streams(widths: Mapping[str, int]) -> str:
    """Streams in words: ``the streams action (width 3) and audio (width 64)``."""
    names = join_names(f"{name} (width {width})" for name, width in widths.items())
    return f"the stream{'s' if len(widths) > 1 else ''} {names}" if widths else "no streams"


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
