"""Three plugins in a row: the promises of an encoder, stages, trained parts, and parts that do not fit."""

import json
import shutil

import numpy as np
import pytest

from latentseq import registry
from latentseq.errors import DataError, UsageError
from latentseq.protocols import History
from latentseq.storage.artifact import read_artifact, save_artifact
from latentseq.storage.reading import quote
from latentseq.testing import EncoderPromises
from latentseq.testing.generated import blobs, generated
from latentseq.training.trainer import RunTrainer
from latentseq_plugins.decoders.deconv import Deconv
from latentseq_plugins.encoders.conv_ae import ConvAE
from latentseq_plugins.encoders.feature_vae import FeatureVAE
from latentseq_plugins.encoders.pca import PCA
from latentseq_plugins.encoders.stack import Stack

SMALL = {
    "features_options": {"widths": [4, 8], "latent_dim": 4},
    "latents_options": {"latent_dim": 5, "widths": [32]},
    "decoder_options": {"widths": [4, 8]},
}


def frames(rows):
    return blobs(np.asarray(rows), 1, (16, 16, 1))[:, 0]


def source():
    return generated(lambda rows: {"x": frames(rows)})


class TestStack(EncoderPromises):
    steps = 120

    def make(self):
        return Stack([16, 16, 1], **SMALL)


@pytest.mark.slow
class TestStackOfVectorsInColour(EncoderPromises):
    steps = 120

    def make(self):
        options = {**SMALL, "features_options": {"latent": "vector", "latent_dim": 20, "widths": [8, 8]}}
        return Stack([13, 18, 3], latents="pca", **{**options, "latents_options": {"latent_dim": 5}})


@pytest.fixture(scope="module")
def trained():
    """A stack after a little training, and its trainer's history."""
    model, trainer = Stack([16, 16, 1], **SMALL), RunTrainer(steps=100, batch_size=16)
    return model, model.fit(source(), trainer), trainer


def test_frames_go_through_features_and_latents_and_back(trained):
    model, x = trained[0], frames([1, 2, 3])
    features, latents, decoder = model.parts.values()
    z = latents.encode(features.encode(x).mean)
    np.testing.assert_array_equal(model.encode(x).mean, z.mean)
    np.testing.assert_array_equal(model.encode(x).log_var, z.log_var)
    np.testing.assert_array_equal(model.decode(z.mean), decoder.decode(latents.decode(z.mean)))
    assert (features.latent_shape, model.latent_shape) == ((4, 4, 4), (5,))


def test_every_part_is_a_stage_with_a_share_of_the_budget(trained):
    _, history, trainer = trained
    steps = {}
    for row in history.rows:
        steps[row["stage"]] = max(row["step"], steps.get(row["stage"], 0))
    assert steps == {"features.main": 40, "latents.main": 30, "decoder.main": 30}
    assert list(steps) == ["features.main", "latents.main", "decoder.main"]
    assert trainer.history == history.rows
    assert history.best["stage"] == "decoder.main"


def test_each_part_is_trained_on_what_the_one_before_makes(monkeypatch):
    """The decoder on features that came back from the latents: what it will be given."""
    seen = {}

    def fit(self, source, trainer):
        seen[self.name] = source.train.take(np.array([3, 5])), source.validation.take(np.array([1]))
        return History()

    for plugin in (ConvAE, FeatureVAE, Deconv):
        monkeypatch.setattr(plugin, "fit", fit)
    model = Stack([16, 16, 1], **SMALL)
    model.fit(source(), RunTrainer(steps=3))
    features, latents, _ = model.parts.values()
    for i, x in enumerate((frames([3, 5]), frames([241]))):
        f = features.encode(x).mean
        np.testing.assert_array_equal(seen["conv-ae"][i]["x"], x)
        np.testing.assert_allclose(seen["feature-vae"][i]["x"], f, atol=1e-6)
        np.testing.assert_array_equal(seen["deconv"][i]["x"], x)
        np.testing.assert_allclose(seen["deconv"][i]["z"], latents.decode(latents.encode(f).mean), atol=1e-5)


def test_networks_are_those_of_the_parts_one_after_the_other(trained):
    model, x = trained[0], frames([4, 5])
    mean, _ = model.networks["encoder"](x)
    np.testing.assert_allclose(mean, model.encode(x).mean, atol=1e-5)
    decoded = np.clip(model.networks["decoder"](mean), 0, 1)
    np.testing.assert_allclose(decoded, model.decode(model.encode(x).mean), atol=1e-5)
    shared = {id(w) for part in model.parts.values() for network in part.networks.values() for w in network.weights}
    assert {id(w) for network in model.networks.values() for w in network.weights} <= shared


def test_a_part_without_networks_has_none_to_show():
    model = Stack([16, 16, 1], **{**SMALL, "latents": "pca", "latents_options": {"latent_dim": 5}})
    with pytest.raises(UsageError) as error:
        _ = model.networks
    assert str(error.value) == (
        "stack: latents is 'pca', which has no Keras networks. Use a part with networks, such as conv-ae, "
        "feature-vae or deconv."
    )


def test_a_preset_is_that_of_each_part_and_its_options_win():
    given = {"latents.latent_dim": 7}
    model = registry.build("encoders", "stack", given, preset="tiny", input_shape=[16, 16, 1])
    widths = {name: part.get_config()["widths"] for name, part in model.parts.items()}
    assert widths == {"features": [4, 8, 8], "latents": [16, 16], "decoder": [4, 8, 8]}
    assert model.latent_shape == (7,)
    assert Stack.from_config(model.get_config()).get_config() == model.get_config()


def test_what_is_resolved_has_every_option_of_every_part():
    given = {"features.latent_dim": 3, "latents": "pca", "decoder": "runs/decoder"}
    assert registry.resolve("encoders", "stack", given, preset="tiny", left=("seed",)) == {
        "features": "conv-ae",
        "latents": "pca",
        "decoder": "runs/decoder",
        "features_options": {"latent_dim": 3, "widths": [4, 8, 8], "augment": True, "linear_start": True},
        "latents_options": {"latent_dim": 4},
        "decoder_options": None,  # It is a trained run, and has its own.
        "frozen": [],
        "preset": "tiny",
    }


def test_dotted_options_are_those_of_a_part_and_come_back_as_json():
    given = {"features.widths": [4, 8], "features.latent_dim": 3, "latents.latent_dim": 7, "decoder.widths": [4, 8]}
    model = registry.build("encoders", "stack", given, input_shape=[16, 16, 1], seed=3)
    config = json.loads(json.dumps(model.get_config()))
    assert config["features_options"] == {
        "input_shape": [16, 16, 1],
        "latent": "map",
        "latent_dim": 3,
        "widths": [4, 8],
        "augment": True,
        "linear_start": True,
        "seed": 3,
    }
    assert config["latents_options"]["input_shape"] == [4, 4, 3]
    assert model.latent_shape == (7,)
    again = Stack.from_config(config)
    assert again.get_config() == config
    assert again.latent_shape == (7,)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a trained conv-ae."""
    folder = tmp_path_factory.mktemp("runs") / "cae"
    model = ConvAE([16, 16, 1], latent="map", latent_dim=3, widths=[4, 8])
    model.fit(source(), RunTrainer(steps=20))
    save_artifact(model, "encoders", folder, preprocessing={}, training={"data": "", "seed": 0, "best": {}})
    return folder


@pytest.mark.slow
def test_a_trained_run_is_taken_in_and_not_trained_again(run, tmp_path):
    copy = shutil.copytree(run, tmp_path / "cae")
    options = {"features": str(copy), "latents.widths": [8], "latents.latent_dim": 2, "decoder.widths": [4, 8]}
    model = registry.build("encoders", "stack", options, input_shape=[16, 16, 1], seed=0)
    x, wanted = frames([1, 2]), read_artifact(run).load().encode(frames([1, 2])).mean
    history = model.fit(source(), RunTrainer(steps=20))
    assert {row["stage"] for row in history.rows} == {"latents.main", "decoder.main"}
    np.testing.assert_array_equal(model.parts["features"].encode(x).mean, wanted)
    # It is whole without the run: saved, and loaded where the run is not.
    config = model.get_config()
    assert (config["features"], config["frozen"]) == ("conv-ae", ["features"])
    save_artifact(model, "encoders", tmp_path / "out", preprocessing={}, training={"data": "", "seed": 0, "best": {}})
    shutil.rmtree(copy)
    again = read_artifact(tmp_path / "out", "encoders").load()
    np.testing.assert_array_equal(again.encode(x).mean, model.encode(x).mean)
    np.testing.assert_array_equal(again.decode(again.encode(x).mean), model.decode(model.encode(x).mean))


def test_a_plugins_name_comes_before_a_folder_of_that_name(run, tmp_path, monkeypatch):
    shutil.copytree(run, tmp_path / "conv-ae")
    monkeypatch.chdir(tmp_path)
    assert Stack([16, 16, 1], **SMALL).frozen == []
    taken = Stack([16, 16, 1], features="./conv-ae", decoder_options={"widths": [4, 8]})
    assert taken.frozen == ["features"]


def refused(kind=UsageError, **options):
    with pytest.raises(kind) as error:
        registry.build("encoders", "stack", options, input_shape=[16, 16, 1], seed=0)
    return str(error.value)


def test_an_unknown_part_is_refused():
    assert refused(features="conv-ea").startswith(
        "No encoder is called 'conv-ea'. Did you mean 'conv-ae'? Installed: "
    )
    assert refused(decoder="vae").startswith("No decoder is called 'vae'. ")
    assert refused(**{"feature.widths": [4]}) == (
        "stack has no part 'feature' for the option feature.widths. Did you mean 'features'? "
        "Its parts: decoder, features and latents."
    )
    assert refused(**{"features.width": [4]}).startswith("conv-ae has no option 'width'. Did you mean 'widths'? ")
    assert refused(frozen=["encoder"]) == "stack: frozen names encoder; its parts are decoder, features and latents."


def test_parts_that_do_not_fit_each_other_are_refused(run):
    assert refused(**{"features.widths": [4, 8]}) == (
        "deconv: 3 widths need a map of 2 x 2 positions for frames of 16 x 16; the map has 4 x 4. Use 2 widths for "
        "this map."
    )
    assert refused(**{"latents": "conv-ae", "features.widths": [4, 8], "features.latent_dim": 5}) == (
        "conv-ae: input_shape is [4, 4, 5]; expected frames with 1 or 3 channels. Use feature-vae or pca to encode a "
        "map of features."
    )
    assert refused(**{"latents.input_shape": [9]}) == (
        "stack: latents (feature-vae) has input_shape [9]; expected [2, 2, 16], the shape of the features. Use a "
        "part with that shape, or leave out the option."
    )
    with pytest.raises(UsageError) as error:
        Stack([32, 32, 1], features=str(run))
    assert str(error.value) == (
        f"stack: features ({run}) has input_shape [16, 16, 1]; expected [32, 32, 1], the shape of the frames. Use a "
        "part with that shape, or leave out the option."
    )


def test_a_trained_run_takes_no_options_and_has_to_be_of_its_kind(run):
    assert refused(**{"features": str(run), "features.widths": [4]}) == (
        f"stack: features is the trained run {run}, which takes no options, but received widths. Leave out the "
        "options, or use the name of a plugin."
    )
    assert refused(DataError, decoder=str(run)) == (
        f"stack: decoder: {run} holds the encoder 'conv-ae'; expected one of the decoders."
    )


def test_a_frozen_part_has_to_have_learned_something():
    model = Stack([16, 16, 1], frozen=["latents"], **SMALL)
    with pytest.raises(UsageError) as error:
        model.fit(source(), RunTrainer(steps=1))
    assert str(error.value) == (
        "stack: latents is frozen, but not trained. Use the folder of a trained run, as in --set "
        "latents=runs/latents, or remove it from frozen."
    )


def test_principal_components_may_be_the_features():
    model = Stack([16, 16, 1], features="pca", features_options={"latent_dim": 6}, decoder_options={"widths": [4]})
    assert isinstance(model.parts["features"], PCA)
    assert model.decode(model.encode(frames([0])).mean).shape == (1, 16, 16, 1)


@pytest.mark.parametrize("deep", [False, True])
def test_an_artifact_names_no_folder_as_a_part(deep, tmp_path):
    """A user may give a run folder as a part; a file that is somebody else's may not."""
    mine = save_artifact(PCA([16, 16, 1], latent_dim=4), "encoders", tmp_path / "mine", preprocessing={}, training={})
    config = {"input_shape": [16, 16, 1], "features": str(mine.path)}
    if deep:
        config = {"input_shape": [16, 16, 1], "features": "stack", "features_options": {"features": str(mine.path)}}

    class Strange:
        name = "stack"

        def get_config(self):
            return config

        def save_state(self, folder):
            pass

    theirs = save_artifact(Strange(), "encoders", tmp_path / "theirs", preprocessing={}, training={})
    with pytest.raises(DataError) as caught:
        theirs.load()
    assert str(caught.value) == (
        f"stack: features: {theirs.path / 'artifact.json'} names the part {quote(str(mine.path))}; expected the name "
        "of an installed plugin. A model must not choose which other files are read here."
    )


def test_a_stack_of_an_earlier_version_has_no_linear_start():
    config = Stack([16, 16, 1], **SMALL).get_config()
    old = {key: dict(value) if isinstance(value, dict) else value for key, value in config.items()}
    for part in ("features", "latents", "decoder"):
        del old[f"{part}_options"]["linear_start"]
    restored = Stack.saved_keywords(old)
    assert [restored[f"{part}_options"]["linear_start"] for part in ("features", "latents", "decoder")] == [False] * 3
    assert Stack.saved_keywords(config) == config
