"""Differences between data and the training data of a model, in words: frame rate, colour, shape of the picture."""

from collections.abc import Iterator, Mapping
from typing import Any

from latentseq.protocols import Dataset

_RATE = 0.02
"""Maximum relative difference of frame rates without a warning: 29.97 counts as 30."""
_ASPECT = 0.05
"""Maximum relative difference of aspect ratios without a warning."""
_FIT = {
    "crop": "Other parts of each picture are cut off to fit.",
    "pad": "Its frames have other black borders.",
    "stretch": "Its pictures are squeezed in another way to fit.",
}
"""Sentence about pictures of another shape, by the way in which they are fitted."""


def traits_of(dataset: Dataset) -> dict[str, Any]:
    """Properties of training data that are stored with a model.

    Returns:
        ``fps``, frames per second; if known, ``aspect``, the smallest and the largest width of an original picture,
        relative to its height; and if known, ``colour``, whether any picture had colour.
    """
    sources = _sources(dataset)
    aspects = [_aspect(source) for source in sources if "size" in source]
    traits = {"fps": float(dataset.fps), **({"aspect": [min(aspects), max(aspects)]} if aspects else {})}
    if dataset.frame_shape[-1] > 1:
        traits["colour"] = True
    elif all("gray" in source for source in sources):
        traits["colour"] = not all(source["gray"] for source in sources)
    return traits


def differences(
    whose: str, traits: Mapping[str, Any], dataset: Dataset, *, decoded: bool, fit: str, skip: int
) -> Iterator[str]:
    """Warnings about data that differs from the training data of a model, one sentence each.

    Args:
        whose: description of the model, such as ``the model in runs/lstm``.
        traits: result of ``traits_of`` for the training data. Missing values are not compared.
        dataset: the data, prepared for the model.
        decoded: whether the data is decoded from files, so that the frame rate is an option.
        fit: how pictures of another shape are fitted: crop, pad or stretch.
        skip: n if only every n-th frame is used.
    """
    sources = _sources(dataset)
    if "fps" in traits:
        fps = traits["fps"]
        other = [each for each in sources if each["timed"] and abs(each["fps"] / fps - 1) > _RATE]
        if other:
            option = f"--data-set fps={fps * skip:.6g}" if decoded else f"ingest --fps {fps * skip:.6g}"
            advice = f" Read the file at that rate with {option}." if dataset.sources else ""
            yield (
                f"{_who(other, sources)} {other[0]['fps']:.6g} frames a second, and {whose} was trained on "
                f"{fps:.6g}: motion has another speed.{advice}"
            )
    coloured = [each for each in sources if each.get("gray") is False]
    if coloured and decoded and traits.get("colour") is False:
        yield f"{_who(coloured, sources)} colour, and {whose} was trained on gray pictures: the colour is ignored."
    if "aspect" in traits:
        low, high = traits["aspect"]
        shaped = [each for each in sources if "size" in each]
        other = [each for each in shaped if not low * (1 - _ASPECT) <= _aspect(each) <= high * (1 + _ASPECT)]
        if other:
            h, w = other[0]["size"]
            trained = f"{low:.2f}" if high - low < 0.01 else f"{low:.2f} to {high:.2f}"
            yield (
                f"{_who(other, sources)} pictures of {h} x {w} (h x w), {w / h:.2f} times as wide as high, and "
                f"{whose} was trained on {trained}. {_FIT[fit] if decoded else ''}".rstrip()
            )


def readings(dataset: Dataset) -> Iterator[str]:
    """How files were interpreted if there was a choice, one line per way."""
    groups: dict[str, list[str]] = {}
    for source in dataset.sources:
        groups.setdefault(source.get("reading", ""), []).append(source["path"])
    for reading, names in groups.items():
        if reading:
            yield f"{names[0]}{f' and {len(names) - 1:,} more' if len(names) > 1 else ''}: {reading}"


def _sources(dataset: Dataset) -> list[dict[str, Any]]:
    """The sources of the clips; the dataset itself if it has no sources."""
    whole = {"path": dataset.name, "size": list(dataset.frame_shape[:2]), "fps": dataset.fps, "kind": ""}
    whole["gray"] = dataset.frame_shape[-1] == 1
    untimed = ("array", "images")
    return [{"timed": each.get("kind") not in untimed, **each} for each in dataset.sources or [whole]]


def _aspect(source: Mapping[str, Any]) -> float:
    h, w = source["size"]
    return round(w / h, 4)


def _who(some: list[dict[str, Any]], sources: list[dict[str, Any]]) -> str:
    if len(sources) == 1:
        return f"{some[0]['path']} has"
    if len(some) == 1:
        return f"{some[0]['path']}, one of {len(sources):,} files, has"
    return f"{len(some):,} of {len(sources):,} files, such as {some[0]['path']}, have"
