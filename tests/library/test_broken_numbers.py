"""No step is taken on a loss that is not finite, though its gradient is."""

import keras
import numpy as np
import pytest
from keras import ops

from latentseq.networks.optimizer import GuardedAdam


class Sum(keras.Model):
    def __init__(self, added):
        super().__init__(name="sum")
        self.weight = self.add_weight(shape=(2,), initializer="ones", name="weight")
        self.added = added

    def call(self, batch):
        return self.weight * batch["x"]

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        return ops.sum(y_pred) + self.added


@pytest.mark.jax
@pytest.mark.parametrize(("added", "moves"), [(1.0, True), (np.inf, False), (np.nan, False)])
def test_a_step_on_a_loss(added, moves):
    model = Sum(added)
    optimizer = GuardedAdam(0.1)
    model.compile(optimizer=optimizer, jit_compile=keras.backend.backend() == "jax")
    logs = model.train_on_batch({"x": np.ones((4, 2), np.float32)}, return_dict=True)
    assert np.isfinite(logs["loss"]) == moves
    assert (np.array(model.weight) == 1).all() != moves
    assert (optimizer.broken_gradient() is None) == moves
