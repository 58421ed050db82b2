"""The protocol of an evaluation: context, horizon, windows, samples, and the reduction of the numbers."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from latentseq.arrays import check_rolling
from latentseq.data.splits import SHARES, split_ranges
from latentseq.errors import DataError, UsageError, join_names
from latentseq.evaluation.metrics import EXACT, ssim_window


@dataclass(frozen=True)
class Protocol:
    """The options of an evaluation.

    Attributes:
        context: number of frames that a model observes.
        horizon: number of frames that it predicts.
        split: 'test', 'validation' or 'train'.
        clips: maximum number of windows, evenly spread over the split.
        samples: number of sampled futures of each window; from 2 on, the metrics of samples are computed too.
        temperature: temperature of the samples; the main rollout has temperature 0.
        seed: random seed of the sampling noise.
    """

    context: int = 10
    horizon: int = 10
    split: str = "test"
    clips: int = 1000
    samples: int = 1
    temperature: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        """Check the options.

        Raises:
            UsageError: an option is out of range.
        """
        for key in ("context", "horizon", "clips", "samples"):
            if getattr(self, key) < 1:
                raise UsageError(f"{key} is {getattr(self, key)}; expected 1 or more.")
        if self.split not in SHARES:
            raise UsageError(f"split is {self.split!r}; expected one of {join_names(SHARES)}.")
        check_rolling(temperature=self.temperature)

    def ranges(self, lengths: np.ndarray, split: np.ndarray | None, hold_out: str | None = None) -> np.ndarray:
        """Compute the ranges of frames for windows. Windows stay inside a clip, and scored frames inside the split.

        Where the end of a clip is held out, the context of a window may lie before it. Frames that were trained on
        are then shown, but not scored.

        Args:
            lengths: (n,) number of frames of each clip.
            split: (n,) 'train', 'validation' or 'test' for each clip; None if the data has no splits.
            hold_out: what is held out of data without splits: 'clips', 'ends', or None for the default.

        Returns:
            (m, 3) int64 rows (clip, start, stop).

        Raises:
            DataError: the data has no clips of the split.
            UsageError: no clip is long enough for a window.
        """
        ranges = split_ranges(lengths, split, hold_out)
        for name in ("test", "validation"):
            rows = ranges[name][ranges[name][:, 2] > ranges[name][:, 1]]
            ranges[name] = rows - np.minimum(rows, self.context) * [0, 1, 0]
        longest = {name: int((rows[:, 2] - rows[:, 1]).max(initial=0)) for name, rows in ranges.items()}
        room = longest[self.split]
        if not room:
            others = join_names(name for name, length in longest.items() if length)
            raise DataError(f"The data has no {self.split} clips, only {others}. Choose one of these with --split.")
        if room < self.context + self.horizon:
            if room > self.context:
                advice = f"Use a horizon of at most {room - self.context} with a context of {self.context}"
            elif room > 1:
                advice = f"Use a context and a horizon of at most {room} frames together"
            else:
                advice = "Use clips of 2 or more frames"
            raise UsageError(
                f"A context of {self.context} and a horizon of {self.horizon} need clips of "
                f"{self.context + self.horizon} frames; the longest clip of the {self.split} split has {room}. "
                f"{advice}."
            )
        return ranges[self.split]

    def to_json(self, frame_shape: tuple[int, ...]) -> dict[str, Any]:
        """The options and definitions of the metrics as JSON, for a report on frames (h, w, c)."""
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
