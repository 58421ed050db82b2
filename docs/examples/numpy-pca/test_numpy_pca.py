from numpy_pca import NumpyPCA

from latentseq.testing import EncoderPromises


class TestNumpyPCA(EncoderPromises):
    def make(self):
        return NumpyPCA(input_shape=(16, 16, 1), latent_dim=4)
