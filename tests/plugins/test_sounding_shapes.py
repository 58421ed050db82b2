"""Sounding shapes: the kit, and that the sound says where a shape goes."""

import numpy as np
import pytest

from latentseq.errors import UsageError
from latentseq.testing import DatasetPromises
from latentseq_plugins.datasets.sounding_shapes import SoundingShapes


class TestSoundingShapes(DatasetPromises):
    def make(self):
        return SoundingShapes(count=6, length=9, size=20)


def centres(frames):
    """Centre of mass of each frame, rows and columns."""
    weight = frames[..., 0].astype(float)
    place = np.arange(weight.shape[1]) + 0.5
    total = weight.sum((1, 2))
    return np.stack([(weight * place[:, None]).sum((1, 2)) / total, (weight * place).sum((1, 2)) / total], axis=1)


def test_row_i_of_the_sound_says_how_it_goes_from_frame_i_to_the_next():
    dataset, seen = SoundingShapes(count=40, length=20), set()
    for i in range(40):
        clip = dataset.read(i)
        moved, at = np.diff(centres(clip.frames), axis=0), centres(clip.frames)
        inside = ((at > 8) & (at < 24)).all(axis=1)  # From where it can go as far as it is told.
        for row, step in zip(clip.streams["audio"][:-1][inside[:-1]], moved[inside[:-1]], strict=True):
            bands = row.reshape(8, 8)
            direction = int(bands[:, 2:6].sum(axis=1).argmax())
            speed = round(4 * bands[direction, 3:5].mean() / 0.946) - 1
            angle = 2 * np.pi * direction / 8
            seen.add(direction)
            wrong = np.abs(step - np.hypot(*step) * np.array([np.sin(angle), np.cos(angle)])).max()
            assert wrong < 0.1
            assert abs(np.hypot(*step) - speed) <= 1.1  # The noise may make it one more or less.
    assert seen == set(range(8))


def test_it_turns_when_nothing_in_the_frames_says_so():
    moved = np.concatenate([np.diff(centres(SoundingShapes(count=20).read(i).frames), axis=0) for i in range(20)])
    turned = np.abs(np.diff(moved, axis=0)).max(axis=1) > 0.2
    assert 0.15 < turned.mean() < 0.6


@pytest.mark.parametrize(("option", "least"), [("count", 1), ("length", 1), ("size", 16), ("seed", 0)])
def test_options_out_of_range(option, least):
    told = f"sounding-shapes: option {option} is {least - 1}; expected {least} or more\\."
    with pytest.raises(UsageError, match=told):
        SoundingShapes(**{option: least - 1})
