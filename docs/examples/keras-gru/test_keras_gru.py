"""The promises of a dynamics model."""

from keras_gru import KerasGRU

from latentseq.testing import DynamicsPromises


class TestKerasGRU(DynamicsPromises):
    def make(self):
        return KerasGRU(latent_shape=[3], units=8)
