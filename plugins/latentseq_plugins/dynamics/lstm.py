"""An LSTM over vector latents."""

from typing import Any, ClassVar

import keras
from keras import layers

from latentseq.configurable import Presets
from latentseq.networks.checks import check_least, check_share, check_widths
from latentseq.networks.plugin import swish
from latentseq_plugins.dynamics.stacked import StackedLSTM


class LSTM(StackedLSTM):
    """Long short-term memory over vectors.

    References:
        Hochreiter & Schmidhuber, Long Short-Term Memory, 1997; Graves, arXiv 1308.0850; Ha & Schmidhuber, World
        Models, arXiv 1803.10122.
    """

    name = "lstm"
    description = "LSTM over vector latents."
    map_latents = False
    presets: ClassVar[Presets] = {
        "tiny": {"layers": 1, "units": 16, "readout": [16]},
        "cpu": {},
        "gpu": {"units": 1024, "readout": [1024]},
    }

    def __init__(
        self,
        latent_shape: list[int],
        conditions: dict[str, int] | None = None,
        head: str = "mixture",
        head_options: dict[str, Any] | None = None,
        layers: int = 2,
        units: int = 512,
        readout: list[int] = (512,),  # type: ignore[assignment]
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
            latent_shape: (d,).
            conditions: width of every side stream that drives the model.
            head: name of the head, which defines the density and the loss.
            head_options: options of the head.
            layers: number of LSTM layers.
            units: units of each layer.
            readout: units of each dense layer behind the LSTM, which sees the last latent beside its output.
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
            UsageError: an option out of its range, latents that are maps, or no such head.
        """
        check_least("lstm", 1, layers=layers, units=units)
        check_widths("lstm", "readout", readout)
        check_share("lstm", "dropout", dropout)
        self.layers = layers
        self.units = units
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
        return layers.LSTM(
            self.units,
            return_sequences=True,
            return_state=True,
            kernel_initializer=keras.initializers.GlorotUniform(self.seed + 10 * i),
            recurrent_initializer=keras.initializers.Orthogonal(seed=self.seed + 10 * i + 1),
            seed=self.seed + 10 * i + 2,
            name=f"lstm_{i}",
        )

    def readout_layers(self) -> list[keras.layers.Layer]:
        """Dense layers."""
        return [
            layers.Dense(
                width,
                swish,
                kernel_initializer=keras.initializers.HeNormal(self.seed + 200 + i),
                name=f"readout_{i}",
            )
            for i, width in enumerate(self.readout)
        ]
