"""An LSTM over vector latents."""

import keras
from keras import layers

from latentseq.errors import UsageError
from latentseq.heads import make_head
from latentseq_plugins.dynamics.recurrent import RecurrentDynamics, RecurrentNetwork


class LSTM(RecurrentDynamics):
    """Long short-term memory over vectors, with a head that says what its output means.

    References:
        Hochreiter & Schmidhuber, Long Short-Term Memory, 1997; Graves, arXiv 1308.0850; Ha & Schmidhuber, World
        Models, arXiv 1803.10122.
    """

    name = "lstm"
    description = "LSTM over vector latents, with the heads mse, kl and mixture."

    def __init__(
        self,
        latent_shape: list[int],
        conditions: dict[str, int] | None = None,
        head: str = "mixture",
        layers: int = 2,
        units: int = 512,
        dropout: float = 0.0,
        residual: bool = True,
        free_steps: int = 0,
        components: int = 5,
        seed: int = 0,
    ):
        """Build the network.

        Args:
            latent_shape: (d,).
            conditions: width of every side stream that it is driven by.
            head: mse, kl or mixture.
            layers: how many.
            units: of each layer.
            dropout: share of each layer's output that is left out in training.
            residual: predict differences in Z.
            free_steps: items at the end of a training window that it is trained to reach on its own, from what it
                imagined itself; 0 trains on true items only.
            components: of the mixture.
            seed: of the initial weights and of dropout.

        Raises:
            UsageError: an option out of its range, a latent that is a map, an unknown head.
        """
        if len(latent_shape) != 1:
            raise UsageError(
                f"lstm: the latents are maps of shape {tuple(latent_shape)}; expected vectors (d,). "
                "Train an encoder with a vector latent."
            )
        if min(layers, units) < 1 or not 0 <= dropout < 1 or free_steps < 0:
            raise UsageError(
                f"lstm: layers is {layers}, units {units}, dropout {dropout} and free_steps {free_steps}; expected "
                "layers and units of 1 or more, a dropout from 0 to below 1, and free_steps of 0 or more."
            )
        self.latent_shape, self.conditions = tuple(latent_shape), dict(conditions or {})
        self.head, self.layers, self.units, self.dropout = head, layers, units, dropout
        self.residual, self.free_steps, self.components, self.seed = residual, free_steps, components, seed
        kind = make_head(head, self.latent_shape[-1], components)
        self.network = RecurrentNetwork(
            [_layer(units, i, seed) for i in range(layers)],
            _output(kind.width, seed),
            kind,
            latent_shape=self.latent_shape,
            state_shapes=[(units,)] * (2 * layers),
            dropout=dropout,
            residual=residual,
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


def _output(width: int, seed: int) -> layers.Layer:
    # Small, so that the first forecast is the last item; not zero, so that a mixture's components differ.
    start = keras.initializers.VarianceScaling(0.01, seed=seed + 100)
    return layers.Dense(width, kernel_initializer=start, name="output")
