"""What predictors refuse that need to have seen some frames."""

import numpy as np

from latentseq.arrays import Source
from latentseq.errors import UsageError


def check_length(name: str, context: int, source: Source, key: str) -> None:
    """Refuse windows in which nothing can be predicted.

    Args:
        name: of the predictor.
        context: frames that it predicts from.
        source: windows to train on.
        key: of what has a row for each frame.

    Raises:
        UsageError: they are no longer than the context.
    """
    for windows in (source.train, source.validation):
        t = windows.take(np.arange(1))[key].shape[1]
        if t <= context:
            raise UsageError(
                f"{name} predicts from {context} frames, and the windows have {t}; expected {context + 1} or more. "
                f"Give a longer --length or longer clips, or --set context={t - 1}."
            )


def check_seen(name: str, context: int, seen: int) -> None:
    """Refuse to go on from too little.

    Args:
        name: of the predictor.
        context: frames that it predicts from.
        seen: frames that it was shown.

    Raises:
        UsageError: they are fewer.
    """
    if seen < context:
        raise UsageError(f"{name} predicts from {context} frames, and was shown {seen}. Show it {context} or more.")
