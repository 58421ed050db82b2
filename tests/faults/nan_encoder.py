"""An encoder of NumPy whose latents are not finite from some frame on."""

from honest_plugins import HonestEncoder


class NanEncoder(HonestEncoder):
    name = "nan-encoder"
    description = "Principal components, some of which are broken."

    def __init__(self, input_shape: tuple[int, ...], latent_dim: int = 4, value: str = "nan", above: float = 0.1):
        super().__init__(input_shape, latent_dim)
        self.value, self.above = value, above

    def encode(self, x):
        latents = super().encode(x)
        latents.mean[x.mean((1, 2, 3)) > self.above, 1] = float(self.value)
        return latents
