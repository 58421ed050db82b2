"""A convolutional LSTM over latents that are maps."""

from typing import Any, ClassVar

import keras
import numpy as np
from keras import layers, ops

from latentseq.errors import UsageError
from latentseq.networks.dynamics import RecurrentDynamics, check_recurrent
from latentseq.networks.heads import make_head
from latentseq.networks.plugin import swish
from latentseq.networks.recurrent import RecurrentNetwork
from latentseq.protocols import Presets


class ConvLSTM(RecurrentDynamics):
    """Long short-term memory whose gates are convolutions over a map, with a head that says what its output means.

    References:
        Shi et al., Convolutional LSTM Network, arXiv 1506.04214.
    """

    name = "conv-lstm"
    description = "Convolutional LSTM over latents that are maps, with the heads mse, kl and mixture."
    presets: ClassVar[Presets] = {
        "tiny": {"units": 8, "readout": [8]},
        "cpu": {},
        "gpu": {"layers": 2, "units": 128, "readout": [128, 128]},
    }

    def __init__(
        self,
        latent_shape: list[int],
        conditions: dict[str, int] | None = None,
        head: str = "mse",
        layers: int = 1,
        units: int = 64,
        kernel: int = 3,
        readout: list[int] = (64, 64),  # type: ignore[assignment]
        dropout: float = 0.0,
        residual: bool = True,
        latent_noise: float = 0.0,
        scheduled_sampling: float = 0.0,
        free_steps: int = 10,
        components: int = 5,
        seed: int = 0,
    ):
        """Build the network.

        Args:
            latent_shape: (h', w', d).
            conditions: width of every side stream that it is driven by.
            head: mse, kl or mixture; a density a position.
            layers: how many.
            units: channels of each layer.
            kernel: side of the convolutions' kernels.
            readout: channels of each convolution behind the layers, which sees the last item beside what they say.
            dropout: share of each layer's output that is left out in training, but in closed-loop steps.
            residual: predict differences in Z.
            latent_noise: standard deviation of the noise on the true items in training, in standardised units.
            scheduled_sampling: share of the true items that are replaced by the model's own forecasts in training.
            free_steps: items at the end of a training window that it is trained to reach on its own, from what it
                imagined itself; half of a short window at most. 0 trains on true items only.
            components: of the mixture.
            seed: of the initial weights and of all that is random in training.

        Raises:
            UsageError: an option out of its range, a latent that is a vector, an unknown head.
        """
        if len(latent_shape) != 3:
            raise UsageError(
                f"conv-lstm: the latents are vectors of shape {tuple(latent_shape)}; expected maps (h, w, d). "
                "Train an encoder with --set latent=map, or choose --dynamics lstm."
            )
        check_recurrent(
            "conv-lstm",
            readout=readout,
            layers=layers,
            units=units,
            kernel=kernel,
            dropout=dropout,
            latent_noise=latent_noise,
            scheduled_sampling=scheduled_sampling,
            free_steps=free_steps,
        )
        self.latent_shape, self.conditions, self.readout = tuple(latent_shape), dict(conditions or {}), tuple(readout)
        self.head, self.layers, self.units, self.kernel, self.dropout = head, layers, units, kernel, dropout
        self.residual, self.latent_noise, self.scheduled_sampling = residual, latent_noise, scheduled_sampling
        self.free_steps, self.components, self.seed = free_steps, components, seed
        kind = make_head(head, self.latent_shape[-1], components)
        self.network = RecurrentNetwork(
            [_layer(self.latent_shape[:-1], units, kernel, i, seed) for i in range(layers)],
            [_hidden(width, kernel, i, seed) for i, width in enumerate(readout)],
            kind,
            latent_shape=self.latent_shape,
            state_shapes=[(*self.latent_shape[:-1], units)] * (2 * layers),
            dropout=dropout,
            residual=residual,
            latent_noise=latent_noise,
            scheduled_sampling=scheduled_sampling,
            free_steps=free_steps,
            seed=seed,
        )
        self.connect()


class ConvLSTMCell(layers.Layer):
    """One step of a convolutional LSTM: one convolution of the input and one of the state make all four gates.

    ``keras.layers.ConvLSTM2D`` makes eight small ones of it, which takes twice as long on a CPU.
    """

    def __init__(self, shape: tuple[int, ...], units: int, kernel: int, seed: int):
        """Make the two convolutions.

        Args:
            shape: (h', w') of the map.
            units: channels of the state.
            kernel: side of the kernels.
            seed: of the initial weights.
        """
        super().__init__(name="cell")
        start = [keras.initializers.GlorotUniform(seed), keras.initializers.Orthogonal(seed=seed + 1)]
        options = {"filters": 4 * units, "kernel_size": kernel, "padding": "same"}
        self.of_input = layers.Conv2D(kernel_initializer=start[0], name="input", **options)
        self.of_state = layers.Conv2D(kernel_initializer=start[1], use_bias=False, name="state", **options)
        self.state_size = self.output_size = (*shape, units)

    def build(self, shape: tuple[int, ...]) -> None:
        """Build the convolutions; a forget gate is open to begin with."""
        self.of_input.build(shape)
        self.of_state.build((None, *self.output_size))
        units = self.output_size[-1]
        self.of_input.bias.assign(np.repeat([0.0, 1.0, 0.0, 0.0], units))

    def call(self, x: Any, states: Any, training: bool = False) -> tuple[Any, list[Any]]:
        """Input (b, h', w', c) and states, output and cell, to the output and the states after."""
        h, c = states
        enter, forget, new, leave = ops.split(self.of_input(x) + self.of_state(h), 4, axis=-1)
        c = ops.sigmoid(forget) * c + ops.sigmoid(enter) * ops.tanh(new)
        h = ops.sigmoid(leave) * ops.tanh(c)
        return h, [h, c]


def _layer(shape: tuple[int, ...], units: int, kernel: int, i: int, seed: int) -> layers.Layer:
    cell = ConvLSTMCell(shape, units, kernel, seed + 10 * i)
    return layers.RNN(cell, return_sequences=True, return_state=True, name=f"conv_lstm_{i}")


def _hidden(width: int, kernel: int, i: int, seed: int) -> layers.Layer:
    start = keras.initializers.HeNormal(seed + 200 + i)
    return layers.Conv2D(
        width, kernel, padding="same", activation=swish, kernel_initializer=start, name=f"readout_{i}"
    )
