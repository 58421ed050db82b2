"""Which windows are measured, and what is said where none fits."""

import numpy as np
import pytest

from latentseq.errors import DataError, UsageError
from latentseq.evaluation.protocol import Protocol

SPLIT = np.array(["train", "test", "test", "validation"])


def test_ranges_are_those_of_the_split():
    assert Protocol(3, 2).ranges(np.array([9, 5, 8, 7]), SPLIT).tolist() == [[1, 0, 5], [2, 0, 8]]
    assert Protocol(3, 2, split="validation").ranges(np.array([9, 5, 8, 7]), SPLIT).tolist() == [[3, 0, 7]]
    # One clip: the last 10 % for validation, the 10 % before for test. The context may lie before them.
    assert Protocol(3, 2).ranges(np.array([100]), None).tolist() == [[0, 77, 90]]
    assert Protocol(3, 2, split="validation").ranges(np.array([100]), None).tolist() == [[0, 87, 100]]


@pytest.mark.parametrize(
    ("context", "horizon", "fits"),
    [
        (3, 6, "a horizon of at most 5 with a context of 3"),
        (7, 2, "a horizon of at most 1 with a context of 7"),
        (8, 1, "a context and a horizon of at most 8 frames together"),
    ],
)
def test_a_horizon_longer_than_the_clips(context, horizon, fits):
    with pytest.raises(UsageError) as caught:
        Protocol(context, horizon).ranges(np.array([90, 5, 8, 70]), SPLIT)
    assert str(caught.value) == (
        f"A context of {context} and a horizon of {horizon} need clips of {context + horizon} frames; the longest "
        f"clip of the test split has 8. Use {fits}."
    )


def test_clips_of_a_single_frame():
    with pytest.raises(UsageError) as caught:
        Protocol(1, 1).ranges(np.array([9, 1, 1, 7]), SPLIT)
    assert str(caught.value).endswith("the longest clip of the test split has 1. Use clips of 2 or more frames.")


def test_a_split_that_the_data_has_not():
    with pytest.raises(DataError) as caught:
        Protocol(1, 1).ranges(np.array([9, 9, 9]), np.array(["train", "train", "validation"]))
    assert str(caught.value) == (
        "The data has no test clips, only train and validation. Choose one of these with --split."
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"context": 0}, "context is 0; expected 1 or more."),
        ({"horizon": -1}, "horizon is -1; expected 1 or more."),
        ({"clips": 0}, "clips is 0; expected 1 or more."),
        ({"samples": 0}, "samples is 0; expected 1 or more."),
        ({"split": "tets"}, "split is 'tets'; expected one of test, train and validation."),
        ({"temperature": -0.1}, "temperature is -0.1; expected a number from 0 to 100."),
        ({"temperature": float("nan")}, "temperature is nan; expected a number from 0 to 100."),
    ],
)
def test_options_out_of_range(options, said):
    with pytest.raises(UsageError) as caught:
        Protocol(**options)
    assert str(caught.value) == said


def test_what_a_report_says_of_it():
    said = Protocol(4, 6, samples=3).to_json((5, 64, 1))
    assert {key: said[key] for key in ("context", "horizon", "split", "samples", "temperature", "seed", "range")} == {
        "context": 4,
        "horizon": 6,
        "split": "test",
        "samples": 3,
        "temperature": 1.0,
        "seed": 0,
        "range": [0, 1],
    }
    assert said["ssim"] == {
        "window": "uniform, 5 pixels a side",
        "data_range": {"ssim": 1, "ssim_range_2": 2},
    }
