"""How data differs from what a model was trained on, in words: frame rate, colour, shape of the picture."""

from collections.abc import Iterator, Mapping
from typing import Any

from latentseq.protocols import Dataset

_RATE, _ASPECT = 0.02, 0.05
"""Shares by which a frame rate and a shape may differ without a word: 29.97 is 30."""
_FIT = {
    "crop": "Other parts of each picture are cut off to fit.",
    "pad": "Its frames have other black borders.",
    "stretch": "Its pictures are squeezed in another way to fit.",
}


def traits_of(dataset: Dataset) -> dict[str, Any]:
    """What is kept with a model of the data that it was trained on.

    Returns:
        ``fps``, frames a second; where known ``aspect``, the least and the greatest width of a picture before it
        became a frame, as a share of its height; and ``colour``, whether any picture had colour.
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
    """What a person should know before a model is used on data, a sentence for each.

    Args:
        whose: of the model, such as ``the model in runs/lstm``.
        traits: as ``traits_of`` gave them; what is not there is not compared.
        dataset: the data, as the model takes it.
        decoded: whether the data is decoded from files, so that its frame rate can be asked for.
        fit: what is done to pictures of another shape.
        skip: every so many-th frame is kept.
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
                f"{fps:.6g}: what moves does so at another speed.{advice}"
            )
    coloured = [each for each in sources if each.get("gray") is False]
    if coloured and decoded and traits.get("colour") is False:
        yield f"{_who(coloured, sources)} colour, and {whose} was trained on gray pictures: the colour is left out."
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
    """How files were read where that had to be decided, a line for each way."""
    told: dict[str, list[str]] = {}
    for source in dataset.sources:
        told.setdefault(source.get("reading", ""), []).append(source["path"])
    for reading, names in told.items():
        if reading:
            yield f"{names[0]}{f' and {len(names) - 1:,} more' if len(names) > 1 else ''}: {reading}"


def _sources(dataset: Dataset) -> list[dict[str, Any]]:
    """What the clips are from; the dataset itself where it is from nothing else."""
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
