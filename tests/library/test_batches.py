"""Windows, and the order in which training sees them."""

import itertools

import numpy as np
import pytest

from latentseq.arrays import Clip, Windows
from latentseq.data.splits import split_ranges
from latentseq.data.windows import VALIDATION_WINDOWS, RangeWindows, frame_source, latent_source, validation_batches
from latentseq.errors import DataError, UsageError
from latentseq.protocols import Dataset
from latentseq.storage.latents import FORMAT, LatentFolder
from latentseq.storage.shards import ShardWriter
from latentseq.training import batches
from latentseq.training.batches import ordered_batches, steps_per_epoch

PARTS = ("train", "validation", "test")


def ranges(lengths, split=None):
    """{part: [(clip, start, stop), …]} of ranges that are not empty."""
    found = split_ranges(np.array(lengths), None if split is None else np.array(split))
    return {part: [tuple(row) for row in found[part].tolist() if row[1] < row[2]] for part in PARTS}


def latent_folder(path, lengths, split=None):
    """Latents (1,) whose value is 1000 times the clip, plus the item."""
    writer = ShardWriter(path)
    for i, length in enumerate(lengths):
        value = 1000 * i + np.arange(length, dtype=np.float32)[:, None]
        writer.add({"mean": value, "log_var": value - 1, "sound": np.concatenate([value, value], 1)})
        writer.end_clip(length, split=None if split is None else split[i])
    about = {"latent_shape": [1], "has_posterior": True, "encoder": "e", "data": "d", "streams": {"sound": 2}}
    writer.close(format=FORMAT, fps=25.0, **about)
    return LatentFolder(path)


def items(windows):
    """Every window as a tuple of the numbers in it."""
    batch = windows.take(np.arange(len(windows)))["mean"]
    return [tuple(row) for row in batch[..., 0].astype(int).tolist()]


def brute_force(rows, length, stride):
    """Every window inside the ranges, by trying every start."""
    return [
        tuple(1000 * clip + start + i for i in range(length))
        for clip, first, stop in rows
        for start in range(first, stop)
        if start + length <= stop and (start - first) % stride == 0
    ]


class Numbers(Windows):
    """Windows that are their own number; counts what is taken."""

    def __init__(self, n):
        self.n, self.taken = n, []

    def __len__(self):
        return self.n

    def take(self, indices):
        self.taken.append(indices.tolist())
        return {"x": indices}


class Frames(Dataset):
    name = "frames-of-one-pixel"
    description = "Frames that say 20 times their clip, plus their number."

    def __init__(self, lengths: list[int]):
        self.lengths_ = lengths

    lengths = property(lambda self: np.array(self.lengths_))
    frame_shape = (1, 1, 1)

    def read(self, i, start=0, stop=None):
        start, stop = self.check_range(i, start, stop)
        return Clip((20 * i + np.arange(start, stop, dtype=np.uint8)).reshape(-1, 1, 1, 1), {})


@pytest.mark.parametrize(("length", "stride"), [(1, 1), (2, 1), (5, 1), (5, 3), (7, 7), (12, 1), (13, 1)])
def test_windows_are_all_those_inside_a_range_and_no_others(length, stride):
    rows = np.array([[0, 0, 12], [1, 3, 9], [2, 5, 5], [3, 2, 7], [4, 0, 4]])
    read = lambda clips, starts, n: {"mean": (1000 * clips + starts)[:, None, None] + np.arange(n)[None, :, None]}  # noqa: E731
    windows = RangeWindows(rows, length, stride, read)
    wanted = brute_force(rows.tolist(), length, stride)
    assert len(windows) == len(wanted)
    if wanted:
        assert items(windows) == wanted


# The second number is the length of validation windows: the median of the held-out ends, and at most 4.
@pytest.mark.parametrize(
    ("lengths", "held"), [([60], 4), ([50, 70], 4), ([12, 9, 20, 4, 30, 8, 8, 8, 10, 10, 10, 10], 2), ([9] * 30, 4)]
)
@pytest.mark.parametrize("stride", [1, 4])
def test_windows_of_latents_stay_in_their_part(tmp_path, lengths, held, stride):
    source = latent_source(latent_folder(tmp_path / "z", lengths), 4, stride)
    found = ranges(lengths)
    assert items(source.train) == brute_force(found["train"], 4, stride)
    assert items(source.validation) == brute_force(found["validation"], held, stride)
    seen = {item for window in items(source.train) for item in window}
    assert not seen & {item for window in items(source.validation) for item in window}
    assert not seen & {1000 * clip + t for clip, start, stop in found["test"] for t in range(start, stop)}


def test_a_batch_of_latents_has_the_posterior_and_the_streams_of_the_same_items(tmp_path):
    batch = latent_source(latent_folder(tmp_path / "z", [20, 20, 20]), 5).train.take(np.array([3, 0]))
    assert {k: v.shape for k, v in batch.items()} == {"mean": (2, 5, 1), "log_var": (2, 5, 1), "sound": (2, 5, 2)}
    assert batch["mean"][:, 0, 0].tolist() == [3, 0]
    assert np.array_equal(batch["log_var"], batch["mean"] - 1)
    assert np.array_equal(batch["sound"], np.concatenate([batch["mean"]] * 2, -1))


def test_windows_are_of_thirty_items_or_of_the_longest_training_clip(tmp_path):
    long = latent_source(latent_folder(tmp_path / "long", [50, 31, 40]))
    assert {len(window) for window in items(long.train)} == {30}
    short = latent_source(latent_folder(tmp_path / "short", [8, 12, 10, 9, 9]))
    assert items(short.train) == [tuple(range(1000, 1012))]


def test_a_validation_range_that_is_too_short_gives_shorter_windows(tmp_path):
    source = latent_source(latent_folder(tmp_path / "z", [60]), 20)
    assert {len(window) for window in items(source.train)} == {20}
    assert items(source.validation) == [tuple(range(54, 60))]


def test_frames_are_single_and_in_the_unit_interval():
    source = frame_source(Frames([10]))
    batch = source.train.take(np.arange(len(source.train)))["x"]
    assert batch.dtype == np.float32
    assert batch.shape == (8, 1, 1, 1)
    np.testing.assert_allclose(batch.ravel(), np.arange(8) / 255)
    assert len(source.validation) == 1


def order(n, size, **key):
    return [batch["x"].tolist() for batch in ordered_batches(Numbers(n), size, **key)]


def test_the_order_is_a_function_of_seed_and_epoch():
    first = order(40, 8, seed=3, epoch=2)
    assert first == order(40, 8, seed=3, epoch=2)
    others = [order(40, 8, seed=3, epoch=1), order(40, 8, seed=2, epoch=3), order(40, 8, seed=4, epoch=2)]
    assert first not in others
    assert first != sorted(first)


def test_an_epoch_has_every_window_once_where_the_batch_divides_them():
    seen = itertools.chain(*order(40, 8, seed=0, epoch=0))
    assert sorted(seen) == list(range(40))


def test_a_batch_is_full_and_what_is_left_over_changes_with_the_epoch():
    left = []
    for epoch in range(4):
        found = order(43, 8, seed=0, epoch=epoch)
        assert [len(batch) for batch in found] == [8] * 5
        seen = set(itertools.chain(*found))
        assert len(seen) == 40
        left.append(frozenset(range(43)) - seen)
    assert len(set(left)) > 1


@pytest.mark.parametrize("start", range(6))
def test_an_interrupted_epoch_goes_on_where_it_was(start):
    windows = Numbers(40)
    found = [b["x"].tolist() for b in ordered_batches(windows, 8, seed=1, epoch=5, start=start)]
    assert found == order(40, 8, seed=1, epoch=5)[start:]
    assert windows.taken == found  # Nothing is read that was left out.


def test_a_batch_is_no_larger_than_what_there_is():
    assert [sorted(batch) for batch in order(5, 32, seed=0, epoch=0)] == [[0, 1, 2, 3, 4]]


def test_a_long_epoch_ends_after_so_many_batches(monkeypatch):
    monkeypatch.setattr(batches, "MAX_STEPS", 3)
    assert steps_per_epoch(Numbers(1000), 10) == 3
    found = order(1000, 10, seed=0, epoch=0)
    assert len(found) == 3
    assert len(set(itertools.chain(*found))) == 30


@pytest.mark.parametrize(("n", "size", "steps"), [(40, 8, 5), (43, 8, 5), (5, 8, 1), (8, 8, 1), (100_000, 10, 500)])
def test_batches_of_an_epoch_are_counted(n, size, steps):
    assert steps_per_epoch(Numbers(n), size) == steps


def test_an_error_while_reading_ahead_reaches_the_caller():
    class Broken(Numbers):
        def take(self, indices):
            raise DataError("The shard is damaged.")

    with pytest.raises(DataError, match=r"The shard is damaged\."):
        order_of = ordered_batches(Broken(4), 2, seed=0, epoch=0)
        next(order_of)


def test_validation_sees_every_window_once_in_order_and_the_last_batch_may_be_smaller():
    found = [batch["x"].tolist() for batch in validation_batches(Numbers(10), 4)]
    assert found == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_validation_of_many_windows_sees_the_same_ones_evenly_spread():
    found = [np.concatenate([b["x"] for b in validation_batches(Numbers(10_000), 100)]) for _ in range(2)]
    assert np.array_equal(*found)
    assert len(set(found[0].tolist())) == len(found[0]) == VALIDATION_WINDOWS
    assert (found[0][0], found[0][-1]) == (0, 9999)
    assert set(np.diff(found[0]).tolist()) == {19, 20}


def message(kind, call, *args, **kwargs):
    with pytest.raises(kind) as error:
        call(*args, **kwargs)
    return str(error.value)


def test_messages_of_windows_that_do_not_fit(tmp_path):
    folder = latent_folder(tmp_path / "z", [20, 25, 20, 90, 90])
    assert message(DataError, latent_source, folder, 73) == (
        "The windows have 73 latents, but the longest training clip has 72. "
        "Choose shorter windows with --length, or use longer clips."
    )
    assert message(UsageError, latent_source, folder, 1) == ("length is 1; expected windows of 2 items or more.")
    assert message(UsageError, latent_source, folder, 5, 0) == ("stride is 0; expected 1 item or more.")


def test_the_message_of_too_little_data_says_how_much_there_is(tmp_path):
    assert message(DataError, latent_source, latent_folder(tmp_path / "z", [9]), 2) == (
        "No data is left for validation: the number of latents is 9. Use a longer clip, or at least three clips."
    )
    assert message(DataError, frame_source, Frames([1])) == (
        "No data is left for validation: the number of frames is 1. Use a longer clip, or at least three clips."
    )
