"""A convolutional LSTM over latents that are maps."""

from typing import Any, ClassVar

import keras
import numpy as np
from keras import layers, ops

from latentseq.configurable import Presets
from latentseq.networks.checks import check_least, check_share, check_widths
from latentseq.networks.plugin import swish
from latentseq_plugins.dynamics.stacked import StackedLSTM


class ConvLSTM(StackedLSTM):
    """Long short-term memory whose gates are convolutions over a map.

    References:
        Shi et al., Convolutional LSTM Network, arXiv 1506.04214.
    """

    name = "conv-lstm"
    description = "Convolutional LSTM over map latents."
    map_latents = True
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
        head_options: dict[str, Any] | None = None,
        layers: int = 1,
        units: int = 64,
        kernel: int = 3,
        readout: list[int] = (64, 64),  # type: ignore[assignment]
        dropout: float = 0.0,
        residual: bool = True,
        free_steps: int = 10,
        latent_noise: float = 0.0,
        scheduled_sampling: float = 0.0,
        linear_start: bool = True,
        seed: int = 0,
    ):
        """Build the network.

        Args:
            latent_shape: (h', w', d).
            conditions: width of every side stream that drives the model.
            head: name of the head, which defines the density at each position, and the loss.
            head_options: options of the head.
            layers: number of convolutional LSTM layers.
            units: channels of each layer.
            kernel: side of the convolution kernels.
            readout: channels of each convolution behind the LSTM, which sees the last latent beside its output.
            dropout: share of each layer's output that is left out in training; in closed-loop steps nothing is.
            residual: predict the difference to the last latent.
            free_steps: items at the end of a training window that the model reaches from its own forecasts; at most
                half of a window. 0 trains on true items only (teacher forcing).
            latent_noise: standard deviation of the noise on true items in training, in standardised units.
            scheduled_sampling: share of the true items that are replaced by forecasts in training.
            linear_start: begin with an autoregression that is fitted in closed form, where that predicts validation
                data better than repeating the last latent. The network learns what it leaves over.
            seed: random seed of the initial weights and of training noise.

        Raises:
            UsageError: an option out of its range, latents that are vectors, or no such head.
        """
        check_least("conv-lstm", 1, layers=layers, units=units, kernel=kernel)
        check_widths("conv-lstm", "readout", readout)
        check_share("conv-lstm", "dropout", dropout)
        self.layers = layers
        self.units = units
        self.kernel = kernel
        self.readout = tuple(readout)
        self.dropout = dropout
        super().__init__(
            latent_shape,
            conditions,
            head=head,
            head_options=head_options,
            residual=residual,
            free_steps=free_steps,
            latent_noise=latent_noise,
            scheduled_sampling=scheduled_sampling,
            linear_start=linear_start,
            seed=seed,
        )

    def layer(self, i: int) -> keras.layers.Layer:
        """See ``StackedLSTM.layer``."""
        cell = ConvLSTMCell(self.latent_shape[:-1], self.units, self.kernel, self.seed + 10 * i)
        return layers.RNN(cell, return_sequences=True, return_state=True, name=f"conv_lstm_{i}")

    def readout_layers(self) -> list[keras.layers.Layer]:
        """Convolutions."""
        return [
            layers.Conv2D(
                width,
                self.kernel,
                padding="same",
                activation=swish,
                kernel_initializer=keras.initializers.HeNormal(self.seed + 200 + i),
                name=f"readout_{i}",
            )
            for i, width in enumerate(self.readout)
        ]


class ConvLSTMCell(layers.Layer):
    """One step of a convolutional LSTM.

    One convolution of the input and one of the state compute all four gates. ``keras.layers.ConvLSTM2D`` uses eight
    small convolutions, which takes twice as long on a CPU.
    """

    def __init__(self, shape: tuple[int, ...], units: int, kernel: int, seed: int):
        """Make the two convolutions.

        Args:
            shape: (h', w') of the map.
            units: channels of the state.
            kernel: side of the kernels.
            seed: random seed of the initial weights.
        """
        super().__init__(name="cell")
        start = [keras.initializers.GlorotUniform(seed), keras.initializers.Orthogonal(seed=seed + 1)]
        options = {"filters": 4 * units, "kernel_size": kernel, "padding": "same"}
        self.of_input = layers.Conv2D(kernel_initializer=start[0], name="input", **options)
        self.of_state = layers.Conv2D(kernel_initializer=start[1], use_bias=False, name="state", **options)
        self.state_size = self.output_size = (*shape, units)

    def build(self, shape: tuple[int, ...]) -> None:
        """Build the convolutions. The forget gates are open to begin with."""
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
