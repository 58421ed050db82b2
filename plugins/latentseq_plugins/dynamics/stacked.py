"""The base class of dynamics with a stack of LSTM layers."""

from abc import abstractmethod
from typing import Any

import keras
from keras import layers, ops

from latentseq.networks.dynamics import KerasDynamics


class StackedLSTM(KerasDynamics):
    """LSTM layers with two states each, dropout behind each of them, and a first state that is learned."""

    layers: int
    units: int
    dropout: float

    @abstractmethod
    def layer(self, i: int) -> keras.layers.Layer:
        """The i-th recurrent layer; it returns sequences and its states, and has a ``cell``."""

    def build(self) -> list[keras.layers.Layer]:
        """See ``KerasDynamics.build``."""
        self.recurrent = [self.layer(i) for i in range(self.layers)]
        self.dropouts = [
            layers.Dropout(self.dropout, seed=self.seed + i, name=f"dropout_{i}") for i in range(self.layers)
        ]
        self.first_state = self.learned_states(*[(*self.latent_shape[:-1], self.units)] * (2 * self.layers))
        return [*self.recurrent, *self.dropouts]

    def start(self, b: int) -> list[Any]:
        """The learned state, for each row."""
        return [ops.tile(weight[None], (b, *[1] * len(weight.shape))) for weight in self.first_state]

    def advance(self, x: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        """See ``KerasDynamics.advance``."""
        after: list[Any] = []
        for i, (layer, dropout) in enumerate(zip(self.recurrent, self.dropouts, strict=True)):
            x, *state = layer(x, initial_state=states[2 * i : 2 * i + 2])
            x, after = dropout(x), after + state
        return x, after

    def step(self, x: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        """See ``KerasDynamics.step``; nothing is dropped in a closed loop."""
        after: list[Any] = []
        for i, layer in enumerate(self.recurrent):
            x, state = layer.cell(x, states[2 * i : 2 * i + 2])
            after += list(state)
        return x, after
