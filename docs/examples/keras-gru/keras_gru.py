"""A gated recurrent unit (GRU) over vector latents."""

from typing import Any, ClassVar

from keras import initializers, layers, ops

from latentseq import KerasDynamics, Presets


class KerasGRU(KerasDynamics):
    """One GRU layer. The base class standardises, trains, rolls forward and saves.

    References:
        Cho et al., Learning Phrase Representations using RNN Encoder-Decoder, arXiv 1406.1078.
    """

    name = "keras-gru"
    description = "One GRU layer over vector latents."
    map_latents = False
    presets: ClassVar[Presets] = {"tiny": {"units": 16}, "cpu": {}, "gpu": {"units": 1024}}

    def __init__(
        self,
        latent_shape: list[int],
        conditions: dict[str, int] | None = None,
        head: str = "mse",
        head_options: dict[str, Any] | None = None,
        units: int = 128,
        seed: int = 0,
    ):
        self.units = units
        super().__init__(latent_shape, conditions, head=head, head_options=head_options, seed=seed)

    def build(self) -> list[layers.Layer]:
        """One layer. Weights are stored by name, so it has one; its initial weights follow from the seed."""
        self.gru = layers.GRU(
            self.units,
            return_sequences=True,
            return_state=True,
            kernel_initializer=initializers.GlorotUniform(self.seed),
            recurrent_initializer=initializers.Orthogonal(seed=self.seed + 1),
            name="gru",
        )
        return [self.gru]

    def start(self, b: int) -> list[Any]:
        """A hidden state of zeros for each row."""
        return [ops.zeros((b, self.units))]

    def advance(self, x: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        """A whole sequence: (b, t, c) to (b, t, units)."""
        y, state = self.gru(x, initial_state=states[0])
        return y, [state]

    def step(self, x: Any, states: list[Any]) -> tuple[Any, list[Any]]:
        """One item: (b, c) to (b, units)."""
        return self.gru.cell(x, states)
