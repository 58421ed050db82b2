"""Principal components: the promises of an encoder, and scikit-learn's own figures."""

import numpy as np
import pytest
from rows import Rows
from sklearn.decomposition import PCA as Whole

from latentseq.arrays import Source
from latentseq.errors import DataError, UsageError
from latentseq.testing import EncoderPromises
from latentseq.training.trainer import RunTrainer
from latentseq_plugins.encoders.pca import PCA


class TestPCA(EncoderPromises):
    def make(self):
        return PCA([16, 16, 1], latent_dim=4)


class TestPCAOfFeatures(EncoderPromises):
    def make(self):
        return PCA([40], latent_dim=3)


class TestPCAOfAMap(EncoderPromises):
    def make(self):
        return PCA([4, 5, 6], latent_dim=3)


def correlated(n, seed=0):
    """(n, 4, 5) of a falling spectrum, around 2."""
    rng = np.random.default_rng(seed)
    mix = np.random.default_rng(9).normal(size=(20, 20)) * 0.6 ** np.arange(20)[:, None]
    return (2 + rng.normal(size=(n, 20)) @ mix).astype(np.float32).reshape(n, 4, 5, 1)


def fitted(x, held, d=5, **budget):
    model = PCA([4, 5, 1], latent_dim=d)
    return model, model.fit(Source(Rows(x=x), Rows(x=held)), RunTrainer(**budget))


def test_it_reconstructs_as_well_as_the_whole_decomposition():
    x, held = correlated(640), correlated(200, seed=1)
    model, history = fitted(x, held, epochs=1)
    whole = Whole(5).fit(x.reshape(len(x), -1))
    wanted = whole.inverse_transform(whole.transform(held.reshape(len(held), -1))).reshape(held.shape)
    best = np.square(wanted - held).sum((1, 2, 3)).mean()
    assert history.best["val_squared_error"] == pytest.approx(best, rel=0.02)
    assert np.square(model.decode(model.encode(held).mean) - held).sum((1, 2, 3)).mean() == pytest.approx(
        history.best["val_squared_error"], rel=1e-5
    )


def test_its_axes_are_orthogonal_and_in_the_order_of_their_variance():
    x = correlated(640)
    model, _ = fitted(x, x[:50], epochs=1)
    z = model.encode(x).mean
    variance = z.var(0)
    assert (np.diff(variance) < 0).all()
    correlation = np.corrcoef(z.T)
    assert np.abs(correlation - np.eye(5)).max() < 0.05


def test_one_pass_is_enough_whatever_the_budget():
    x = correlated(640)
    assert fitted(x, x[:50], epochs=9)[1].best["step"] == fitted(x, x[:50], epochs=1)[1].best["step"]


def test_frames_stay_in_their_range_and_features_have_none():
    frames = np.random.default_rng(0).uniform(size=(200, 4, 5, 1)).astype(np.float32)
    assert fitted(frames, frames, epochs=1)[0].decode(np.full((1, 5), 50, np.float32)).max() <= 1
    x = correlated(200)
    assert fitted(x, x, epochs=1)[0].decode(np.full((1, 5), 50, np.float32)).max() > 2


def test_fewer_items_than_components_are_refused():
    x = correlated(12)
    with pytest.raises(DataError) as error:
        fitted(x, x, d=15, epochs=3)
    assert str(error.value) == (
        "pca: training had 12 items; 15 components need 15 or more. Use more data or a longer budget, or fewer "
        "components with --set latent_dim."
    )


@pytest.mark.parametrize("d", [0, 21])
def test_a_width_that_cannot_be_is_refused(d):
    with pytest.raises(UsageError) as error:
        PCA([4, 5, 1], latent_dim=d)
    assert str(error.value) == f"pca: latent_dim is {d}; expected 1 to 20, the size of an item."
