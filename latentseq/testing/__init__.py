"""The conformance kit: numbered promises as test classes, from which plugin authors derive.

    from latentseq.testing import EncoderPromises

    class TestMyEncoder(EncoderPromises):
        def make(self):
            return MyEncoder(input_shape=(16, 16, 1), latent_dim=4)

``pytest`` runs the tests, and ``python -m latentseq.testing`` lists the promises. The kit imports neither Keras nor
pytest.
"""

from latentseq.testing.common import PromiseBroken, promises
from latentseq.testing.datasets import DatasetPromises
from latentseq.testing.decoders import DecoderPromises
from latentseq.testing.dynamics import DynamicsPromises
from latentseq.testing.encoders import EncoderPromises
from latentseq.testing.predictors import PredictorPromises

KINDS = {
    "datasets": DatasetPromises,
    "encoders": EncoderPromises,
    "decoders": DecoderPromises,
    "dynamics": DynamicsPromises,
    "predictors": PredictorPromises,
}
"""Registry group -> kit of promises for the plugins in it."""

__all__ = [
    "KINDS",
    "DatasetPromises",
    "DecoderPromises",
    "DynamicsPromises",
    "EncoderPromises",
    "PredictorPromises",
    "PromiseBroken",
    "promises",
]
