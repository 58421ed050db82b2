"""An LSTM over vector latents."""

from typing import ClassVar

import keras
from keras import layers

from latentseq.errors import UsageError
from latentseq.networks.dynamics import RecurrentDynamics, check_recurrent
from latentseq.networks.heads import make_head
from latentseq.networks.plugin import swish
from latentseq.networks.recurrent import RecurrentNetwork
from latentseq.protocols import Presets


class LSTM(RecurrentDynamics):
    """Long short-term memory over vectors, with a head that says what its output means.

    References:
        Hochreiter & Schmidhuber, Long Short-Term Memory, 1997; Graves, arXiv 1308.0850; Ha & Schmidhuber, World
        Models, arXiv 1803.10122.
    """

    name = "lstm"
    description = "LSTM over vector latents, with the heads mse, kl and mixture."
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
        layers: int = 2,
        units: int = 512,
        dropout: float = 0.0,
        residual: bool = True,
        free_steps: int = 10,
        components: int = 5,
        seed: int = 0,
        latent_noise: float = 0.0,
        scheduled_sampling: float = 0.0,
        readout: list[int] = (512,),  # type: ignore[assignment]
    ):
        """Build the network.

        Args:
            latent_shape: (d,).
            conditions: width of every side stream that it is driven by.
            head: mse, kl or mixture.
            layers: how many.
            units: of each layer.
            dropout: share of each layer's output that is left out in training, but in closed-loop steps.
            residual: predict differences in Z.
            free_steps: items at the end of a training window that it is trained to reach on its own, from what it
                imagined itself; half of a short window at most. 0 trains on true items only.
            components: of the mixture.
            seed: of the initial weights and of all that is random in training.
            latent_noise: standard deviation of the noise on the true items in training, in standardised units.
            scheduled_sampling: share of the true items that are replaced by the model's own forecasts in training.
            readout: units of each layer behind the recurrent ones, which sees the last item beside what they say.

        Raises:
            UsageError: an option out of its range, a latent that is a map, an unknown head.
        """
        if len(latent_shape) != 1:
            raise UsageError(
                f"lstm: the latents are maps of shape {tuple(latent_shape)}; expected vectors (d,). "
                "Train an encoder with a vector latent, or choose --dynamics conv-lstm."
            )
        check_recurrent(
            "lstm",
            readout=readout,
            layers=layers,
            units=units,
            dropout=dropout,
            latent_noise=latent_noise,
            scheduled_sampling=scheduled_sampling,
            free_steps=free_steps,
        )
        self.latent_shape, self.conditions = tuple(latent_shape), dict(conditions or {})
        self.head, self.layers, self.units, self.dropout = head, layers, units, dropout
        self.readout = tuple(readout)
        self.residual, self.latent_noise, self.scheduled_sampling = residual, latent_noise, scheduled_sampling
        self.free_steps, self.components, self.seed = free_steps, components, seed
        kind = make_head(head, self.latent_shape[-1], components)
        self.network = RecurrentNetwork(
            [_layer(units, i, seed) for i in range(layers)],
            [_hidden(width, i, seed) for i, width in enumerate(readout)],
            kind,
            latent_shape=self.latent_shape,
            state_shapes=[(units,)] * (2 * layers),
            dropout=dropout,
            residual=residual,
            latent_noise=latent_noise,
            scheduled_sampling=scheduled_sampling,
            free_steps=free_steps,
            seed=seed,
        )
        self.connect()


def _layer(units: int, i: int, seed: int) -> layers.Layer:
    return layers.LSTM(
        units,
        return_sequences=True,
        return_state=True,
        kernel_initializer=keras.initializers.GlorotUniform(seed + 10 * i),
        recurrent_initializer=keras.initializers.Orthogonal(seed=seed + 10 * i + 1),
        seed=seed + 10 * i + 2,
        name=f"lstm_{i}",
    )


def _hidden(width: int, i: int, seed: int) -> layers.Layer:
    start = keras.initializers.HeNormal(seed + 200 + i)
    return layers.Dense(width, swish, kernel_initializer=start, name=f"readout_{i}")
