"""Settings of Keras that users have for other work: models here are the same under all of them."""

import json
import os
import sys

import keras
import numpy as np
import pytest
from test_checkpoint import pictures

from latentseq.backend import VARIABLE, check_backend, default_backend
from latentseq.errors import UsageError
from latentseq.networks.plugin import own_settings
from latentseq.training.trainer import RunTrainer
from latentseq_plugins.encoders.conv_ae import ConvAE

OURS = ("float32", 1e-7, "channels_last", "float32")
THEIRS = ("float16", 1e-3, "channels_first", "mixed_bfloat16")


def settings():
    config = keras.config
    return config.floatx(), config.epsilon(), config.image_data_format(), config.dtype_policy().name


def set_settings(floatx, epsilon, images, policy):
    keras.config.set_floatx(floatx)
    keras.config.set_epsilon(epsilon)
    keras.config.set_image_data_format(images)
    keras.config.set_dtype_policy(policy)


@pytest.fixture
def theirs():
    set_settings(*THEIRS)
    yield
    set_settings(*OURS)


def test_own_settings_hold_within_and_the_users_afterwards(theirs):
    with own_settings():
        assert settings() == OURS
        with own_settings():
            assert settings() == OURS
        assert settings() == OURS
        assert keras.layers.Dense(1, dtype="mixed_bfloat16").compute_dtype == "bfloat16"
    assert settings() == THEIRS
    with pytest.raises(KeyError), own_settings():
        raise KeyError
    assert settings() == THEIRS


def trained(folder):
    """What a small model is after two steps, and the frames that it gives back."""
    model = ConvAE([16, 16, 1], latent="map", latent_dim=2, widths=[4])
    model.fit(pictures(16), RunTrainer(steps=2, batch_size=8))
    folder.mkdir()
    model.save_state(folder)
    x = pictures(2).train.arrays["x"]
    return model.decode(model.encode(x).mean)


def test_a_model_is_the_same_under_any_settings_and_loads_under_all(tmp_path):
    wanted = trained(tmp_path / "ours")
    set_settings(*THEIRS)
    try:
        found = trained(tmp_path / "theirs")
        assert settings() == THEIRS
        again = ConvAE([16, 16, 1], latent="map", latent_dim=2, widths=[4])
        again.load_state(tmp_path / "ours")
        assert all(w.dtype == "float32" for network in again.networks.values() for w in network.weights)
    finally:
        set_settings(*OURS)
    assert found.dtype == wanted.dtype == np.float32
    assert found.tobytes() == wanted.tobytes()
    files = [(tmp_path / name / "weights.safetensors").read_bytes() for name in ("ours", "theirs")]
    assert files[0] == files[1]


@pytest.fixture
def keras_json(tmp_path, monkeypatch):
    """Writes a ``keras.json`` as Keras would find it, where it is not imported yet."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.delitem(sys.modules, "keras")
    return (tmp_path / "keras.json").write_text


@pytest.mark.parametrize(
    ("text", "backend"),
    [
        (json.dumps({"backend": "torch"}), "tensorflow"),
        (json.dumps({"backend": "jax"}), "jax"),
        (json.dumps({"floatx": "float64"}), "tensorflow"),
        (json.dumps([1]), "tensorflow"),
        ("{", "tensorflow"),
    ],
)
def test_keras_is_imported_on_a_backend_of_ours(text, backend, keras_json, monkeypatch):
    monkeypatch.setattr("latentseq.backend.find_spec", lambda name: True)
    keras_json(text)
    check_backend()
    with default_backend():
        assert os.environ[VARIABLE] == backend
    assert VARIABLE not in os.environ, "Other work in this process has the backend that it asked for."


def test_what_the_environment_says_stands(keras_json, monkeypatch):
    keras_json(json.dumps({"backend": "jax"}))
    monkeypatch.setenv(VARIABLE, "torch")
    with default_backend(), pytest.raises(UsageError) as error:
        check_backend()
    assert str(error.value) == (
        "The backend of Keras is 'torch'. Expected jax or tensorflow. Choose one of them with --backend, or in the "
        "environment variable KERAS_BACKEND."
    )
