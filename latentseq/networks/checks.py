"""Checks of the options and the side streams of dynamics."""

from collections.abc import Mapping

import numpy as np

from latentseq.errors import UsageError, join_names


def check_share(name: str, option: str, value: float) -> None:
    """Refuse an option that is not a share.

    Raises:
        UsageError: the value is below 0, or 1 or more.
    """
    if not 0 <= value < 1:
        raise UsageError(f"{name}: {option} is {value}; expected a share from 0 to below 1.")


def check_least(name: str, least: int, **options: float) -> None:
    """Refuse options below their least value.

    Raises:
        UsageError: a value is below ``least``.
    """
    for option, value in options.items():
        if value < least:
            raise UsageError(f"{name}: {option} is {value}; expected {least} or more.")


def check_widths(name: str, option: str, widths: list[int]) -> None:
    """Refuse layers without channels. An empty list is fine.

    Raises:
        UsageError: a width is below 1.
    """
    if widths and min(widths) < 1:
        raise UsageError(f"{name}: {option} is {list(widths)}; expected widths of 1 or more, or none.")


def check_streams(
    name: str, expected: Mapping[str, int], streams: Mapping[str, np.ndarray] | None, b: int, t: int
) -> list[np.ndarray]:
    """Check the streams that drive a model and put them into alphabetical order: (b, t, f) float32 each.

    Args:
        name: name of the model, for errors.
        expected: width f of each stream.
        streams: the streams by name.
        b: number of sequences.
        t: number of items of each.

    Raises:
        UsageError: a stream is missing, unknown or of another shape.
    """
    received = {key: np.shape(a) for key, a in (streams or {}).items()}
    shapes = {key: (b, t, f) for key, f in expected.items()}
    if received != shapes:
        raise UsageError(
            f"{name} is driven by {_shapes(shapes)}; it was given {_shapes(received)}. "
            "Give each stream that it was trained with, one row for each item."
        )
    return [np.asarray((streams or {})[key], np.float32) for key in sorted(shapes)]


def _shapes(shapes: Mapping[str, tuple[int, ...]]) -> str:
    return join_names(f"{name} {shape}" for name, shape in shapes.items()) if shapes else "no stream"
