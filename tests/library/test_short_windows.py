"""Short windows, which the training of dynamics begins with, and the one pass of a fit in closed form."""

import numpy as np
import pytest
from rows import Rows

from latentseq.arrays import Latents, Source
from latentseq.data.windows import ShortWindows
from latentseq.training.trainer import RunTrainer
from latentseq_plugins.dynamics.lstm import LSTM


def test_a_window_is_cut_into_short_ones_one_after_the_other():
    z = np.arange(3 * 20 * 2).reshape(3, 20, 2)
    push = np.arange(60).reshape(3, 20, 1)
    short = ShortWindows(Rows(mean=z, push=push), 8)
    assert len(short) == 6
    taken = short.take(np.array([0, 3, 4]))
    np.testing.assert_array_equal(taken["mean"], [z[0, :8], z[1, 8:16], z[2, :8]])
    np.testing.assert_array_equal(taken["push"], [push[0, :8], push[1, 8:16], push[2, :8]])


def circles(seed, n=60, t=20):
    phase = np.random.default_rng(seed).uniform(0, 2 * np.pi, n)[:, None] + 0.4 * np.arange(t)
    return np.stack([np.sin(phase), np.cos(phase)], axis=-1).astype(np.float32)


@pytest.mark.parametrize(
    ("length", "free_steps", "stages"), [(20, 10, ["short", "main"]), (15, 7, ["main"]), (20, 0, ["main"])]
)
def test_long_windows_are_trained_on_after_short_ones(length, free_steps, stages):
    source = Source(Rows(mean=circles(0, t=length)), Rows(mean=circles(1, t=length)))
    model = LSTM([2], layers=1, units=4, readout=[], head="mse", free_steps=free_steps)
    history = model.fit(source, RunTrainer(steps=20))
    assert list(dict.fromkeys(row["stage"] for row in history.rows)) == stages
    assert history.best in [row for row in history.rows if row["stage"] == "main"]
    last = {row["stage"]: row["step"] for row in history.rows}
    assert last == ({"short": 7, "main": 13} if len(stages) == 2 else {"main": 20})


@pytest.mark.parametrize("budget", [{"steps": 1}, {"epochs": 1}])
def test_a_budget_of_one_is_not_divided(budget):
    source = Source(Rows(mean=circles(0)), Rows(mean=circles(1)))
    history = LSTM([2], layers=1, units=4, readout=[], head="mse").fit(source, RunTrainer(batch_size=60, **budget))
    assert [(row["stage"], row["step"]) for row in history.rows] == [("main", 0), ("main", 1)]


def test_short_windows_that_do_harm_are_undone():
    source = Source(Rows(mean=circles(0)), Rows(mean=circles(1)))
    model = LSTM([2], layers=1, units=8, readout=[], head="mse")
    model.fit(source, RunTrainer(steps=20, learning_rate=50.0))
    _, state = model.observe(Latents(circles(2)[:, :10]))
    z, _ = model.imagine(state, 10, seed=0, temperature=0.0)
    assert np.square(z - circles(2)[:, 10:]).mean() < 0.01  # Autoregression continues a circle.


def test_one_pass_gives_every_item_once_whatever_the_steps():
    source = Source(Rows(x=np.arange(130)), Rows(x=np.arange(5)))
    for budget in ({"steps": 1}, {"epochs": 3}):
        batches = list(RunTrainer(**budget).one_pass(source, 10_000))
        seen = np.concatenate([batch["x"] for batch in batches])
        assert len(seen) == 128  # Batches are full.
        assert len(np.unique(seen)) == 128
    assert sum(len(batch["x"]) for batch in RunTrainer(steps=1).one_pass(source, 60)) == 64
    assert len(list(RunTrainer(max_minutes=1e-9).one_pass(source, 10_000))) == 1


class Killed(Exception):
    pass


@pytest.mark.jax
def test_a_run_that_is_killed_between_short_and_whole_windows_resumes_exactly(tmp_path):
    source = Source(Rows(mean=circles(0)), Rows(mean=circles(1)))

    def fitted(folder, *, resume=False, kill=False):
        options = {"dropout": 0.3, "latent_noise": 0.1, "linear_start": False}
        model = LSTM([2], layers=1, units=8, readout=[8], head="mse", **options)
        train = model._fit

        def until_whole_windows(source, trainer, stage):
            if kill and stage == "main":
                raise Killed
            return train(source, trainer, stage)

        model._fit = until_whole_windows
        model.fit(source, RunTrainer(folder, steps=20, batch_size=8, seed=1, resume=resume))
        return [np.asarray(weight).tobytes() for weight in model.network.weights]

    whole = fitted(tmp_path / "a")
    with pytest.raises(Killed):
        fitted(tmp_path / "b", kill=True)
    assert fitted(tmp_path / "b", resume=True) == whole
