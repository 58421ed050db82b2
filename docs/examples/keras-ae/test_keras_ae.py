"""The promises of an encoder."""

from keras_ae import KerasAE

from latentseq.testing import EncoderPromises


class TestKerasAE(EncoderPromises):
    def make(self):
        return KerasAE(input_shape=[8, 8, 1], latent_dim=4, units=8)
