"""The model in a run folder, the data that it takes, and what it cost."""

import json

import numpy as np
import pytest

from latentseq.data.open import open_data
from latentseq.errors import DataError
from latentseq.models.run import (
    check_takes,
    data_for,
    load_encoder,
    load_predictor,
    read_cost,
    takes_any_size,
    write_cost,
)
from latentseq.protocols import Predictor
from latentseq.storage.artifact import save_artifact
from latentseq_plugins.dynamics.lstm import LSTM
from latentseq_plugins.encoders.pca import PCA
from latentseq_plugins.predictors.floors import CopyLast

PREPARED = {"size": [8, 8], "fit": "crop", "gray": True, "skip": 1, "fps": None}


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "copy"
    folder.mkdir()
    return save_artifact(CopyLast([8, 8, 1]), "predictors", folder, preprocessing=PREPARED, training={})


def test_a_predictor_is_loaded_and_predicts(model):
    found = load_predictor(model.path)
    assert isinstance(found, Predictor) and found.input_shape == (8, 8, 1)


def test_what_does_not_predict_is_told(tmp_path):
    folder = tmp_path / "pca"
    folder.mkdir()
    save_artifact(PCA([8, 8, 1], latent_dim=2), "encoders", folder, preprocessing=PREPARED, training={})
    with pytest.raises(DataError, match="holds the encoder 'pca', which does not predict"):
        load_predictor(folder)


def test_an_encoder_is_loaded_from_its_run_and_from_the_run_of_its_dynamics(model, tmp_path):
    for name in ("ae", "lstm/encoder"):
        (tmp_path / name).mkdir(parents=True)
        save_artifact(PCA([8, 8, 1], latent_dim=2), "encoders", tmp_path / name, preprocessing=PREPARED, training={})
    save_artifact(
        LSTM([2], layers=1, units=4, readout=[]), "dynamics", tmp_path / "lstm", preprocessing=PREPARED, training={}
    )
    for name in ("ae", "lstm"):
        encoder = load_encoder(tmp_path / name)
        assert isinstance(encoder, PCA) and encoder.latent_shape == (2,)
    with pytest.raises(DataError) as error:
        load_encoder(model.path)
    assert str(error.value) == (
        f"{model.path} holds the 'copy-last' of predictors, which is not an encoder. "
        "Expected the folder that train-ae or train-lstm wrote."
    )


def test_data_of_another_size_and_of_other_channels(model, tmp_path):
    assert takes_any_size(model)
    assert data_for(model, "moving-squares", {"size": 13}).frame_shape == (13, 13, 1)
    colour = np.zeros((12, 20, 30, 3), np.uint8)
    np.save(tmp_path / "film.npy", colour)
    assert data_for(model, tmp_path / "film.npy").frame_shape == (8, 8, 1)  # Prepared as it was trained.
    assert data_for(model, tmp_path / "film.npy", size="9x11").frame_shape == (9, 11, 1)
    with pytest.raises(DataError, match=r"are 64 x 64 x 3 \(h x w x c\); the model in .* was trained on 64 x 64 x 1"):
        check_takes(model, open_data(tmp_path / "film.npy"))


def test_the_cost_of_a_chain_is_added_up(tmp_path):
    first, second = tmp_path / "ae", tmp_path / "lstm"
    first.mkdir()
    second.mkdir()
    rows = [{"stage": "a", "seconds": 5}, {"stage": "a", "seconds": 20.5}, {"stage": "b", "seconds": 4}]
    write_cost(first, rows)
    assert read_cost(first)["training_seconds"] == 24.5  # A row's seconds are those of its stage so far.
    about = json.loads((first / "cost.json").read_text())
    (first / "cost.json").write_text(json.dumps({**about, "peak_memory_bytes": 2**50}))
    write_cost(second, [{"stage": "main", "seconds": 3}], first, tmp_path / "not kept")
    assert read_cost(second) == {"training_seconds": 27.5, "peak_memory_bytes": 2.0**50}
    assert read_cost(tmp_path) == {}
