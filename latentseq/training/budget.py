"""How long a training may take, and how it steps."""

import math
from dataclasses import dataclass

from latentseq.errors import UsageError

KEEP = ("best", "last")
"""Which weights a training may keep."""


@dataclass(frozen=True)
class Budget:
    """The budget of a training run. Training ends at the first limit that is reached.

    Attributes:
        epochs: maximum number of epochs.
        steps: maximum number of batches.
        max_minutes: maximum wall time of the training loop, in minutes. It is 10 if no limit is given.
        batch_size: number of windows or frames in a batch, in place of the plugin's own.
        learning_rate: highest learning rate, in place of the plugin's own.
        keep: weights to keep: ``best``, those with the lowest validation loss, or ``last``.
    """

    epochs: int | None = None
    steps: int | None = None
    max_minutes: float | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    keep: str = "best"

    def __post_init__(self) -> None:
        """Check the values.

        Raises:
            UsageError: a number is not above 0 or not finite, or ``keep`` is none of the two names.
        """
        for name, value in vars(self).items():
            if name == "keep":
                if value not in KEEP:
                    raise UsageError(f"keep is {value!r}; expected 'best' or 'last'.")
            elif value is not None and not 0 < value < math.inf:
                raise UsageError(f"{name} is {value}; expected a number above 0.")
