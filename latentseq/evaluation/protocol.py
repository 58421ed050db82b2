"""What an evaluation measures: how many frames are seen and predicted, where, and how numbers are reduced."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from latentseq.arrays import check_rolling
from latentseq.data.splits import SHARES, split_ranges
from latentseq.errors import DataError, UsageError, listed
from latentseq.evaluation.metrics import EXACT, ssim_window


@dataclass(frozen=True)
class Protocol:
    """The options of an evaluation.

    Attributes:
        context: frames that a model sees.
        horizon: frames that it predicts.
        split: 'test', 'validation' or 'train'.
        clips: windows at most, evenly spread.
        samples: futures of each window; with 2 or more, stochastic measures are taken.
        temperature: of the samples; the rollout that is measured first is at 0.
        seed: of the samples' noise.
    """

    context: int = 10
    horizon: int = 10
    split: str = "test"
    clips: int = 1000
    samples: int = 1
    temperature: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse what cannot be measured.

        Raises:
            UsageError: an option out of range.
        """
        for key in ("context", "horizon", "clips", "samples"):
            if getattr(self, key) < 1:
                raise UsageError(f"{key} is {getattr(self, key)}; expected 1 or more.")
        if self.split not in SHARES:
            raise UsageError(f"split is {self.split!r}; expected one of {listed(SHARES)}.")
        check_rolling(temperature=self.temperature)

    def ranges(self, lengths: np.ndarray, split: np.ndarray | None) -> np.ndarray:
        """Where windows may lie, so that none crosses a clip or a split.

        Args:
            lengths: (n,) frames of each clip.
            split: (n,) of 'train', 'validation', 'test', or None.

        Returns:
            (m, 3) int64 rows (clip, start, stop).

        Raises:
            DataError: the data has nothing of that split.
            UsageError: no window fits.
        """
        ranges = split_ranges(lengths, split)
        longest = {name: int((rows[:, 2] - rows[:, 1]).max(initial=0)) for name, rows in ranges.items()}
        room = longest[self.split]
        if not room:
            others = listed(name for name, length in longest.items() if length)
            raise DataError(f"The data has no {self.split} clips, only {others}. Choose one of these with --split.")
        if room < self.context + self.horizon:
            if room > self.context:
                fits = f"Ask for a horizon of at most {room - self.context} after a context of {self.context}"
            elif room > 1:
                fits = f"Ask for at most {room} frames together"
            else:
                fits = "Give clips of 2 frames or more"
            raise UsageError(
                f"A context of {self.context} and a horizon of {self.horizon} frames need clips of "
                f"{self.context + self.horizon}; the longest of the {self.split} split has {room}. {fits}."
            )
        return ranges[self.split]

    def to_json(self, frame_shape: tuple[int, ...]) -> dict[str, Any]:
        """The options, and how numbers are made, for a report on frames (h, w, c)."""
        return {
            **asdict(self),
            "frame_shape": list(frame_shape),
            "range": [0, 1],
            "reduction": "MSE, MAE and CRPS: sum over pixels and channels; all: mean over frames and windows",
            "rollout": "temperature 0",
            "psnr": f"mean over frames; an exact frame counts as {EXACT:g} dB",
            "ssim": {
                "window": f"uniform, {ssim_window(frame_shape)} pixels a side",
                "data_range": {"ssim": 1, "ssim_range_2": 2},
            },
        }
