"""Checks of predictors that need several frames of context."""

import numpy as np

from latentseq.arrays import Source
from latentseq.errors import UsageError, count_of


def check_length(name: str, context: int, source: Source, key: str) -> None:
    """Check that windows are longer than the context.

    Args:
        name: name of the predictor.
        context: number of frames that it predicts from.
        source: training and validation windows.
        key: key of an array in a batch with a row for each frame, (b, t, ...).

    Raises:
        UsageError: a window has no frame after the context.
    """
    for windows in (source.train, source.validation):
        t = windows.take(np.arange(1))[key].shape[1]
        if t <= context:
            raise UsageError(
                f"{name} predicts from {count_of(context, 'frame')}, but the windows have {t}; "
                f"expected {context + 1} or more. "
                f"Use a longer --length or longer clips, or --set context={t - 1}."
            )


def check_observed(name: str, context: int, count: int) -> None:
    """Check that a predictor has observed its context.

    Args:
        name: name of the predictor.
        context: number of frames that it predicts from.
        count: number of frames that it has observed.

    Raises:
        UsageError: ``count`` is less than ``context``.
    """
    if count < context:
        raise UsageError(
            f"{name} predicts from {count_of(context, 'frame')}, but was shown {count}. Show it {context} or more."
        )
