"""A trained plugin on disk: it comes back as it was, and a folder that is not what it says is refused."""

import errno
import json
import os
import shutil

import numpy as np
import pytest

from latentseq.errors import DataError, TryAgainError, UsageError
from latentseq.storage.artifact import copy_artifact, read_artifact, save_artifact

SHAPE = (4, 5, 1)


def encoder(seed=0, dim=3):
    from honest_plugins import HonestEncoder

    made = HonestEncoder(input_shape=SHAPE, latent_dim=dim)
    made.mean = np.random.default_rng(seed).random(20, np.float32)
    return made


@pytest.fixture
def save(honest, tmp_path):
    def one(name="ae", plugin=None, **about):
        about = {"preprocessing": {"size": [4, 5]}, "training": {"seed": 0}, **about}
        return save_artifact(plugin or encoder(), "encoders", tmp_path / name, **about)

    return one


def edit(folder, **values):
    """Change artifact.json by hand; None takes a key out."""
    about = json.loads((folder / "artifact.json").read_text())
    kept = {k: v for k, v in {**about, **values}.items() if v is not None}
    (folder / "artifact.json").write_text(json.dumps(kept))


def refused(call):
    with pytest.raises(DataError) as caught:
        call()
    return str(caught.value)


def test_a_plugin_comes_back_as_it_was(save):
    artifact, x = save(), np.random.default_rng(1).random((6, *SHAPE), np.float32)
    again = read_artifact(artifact.path, "encoders").allow(["honest-encoder"]).load()
    assert again is not artifact
    np.testing.assert_array_equal(again.encode(x).mean, encoder().encode(x).mean)
    assert again.get_config() == {"input_shape": [4, 5, 1], "latent_dim": 3}


def test_it_says_what_it_holds(save):
    artifact = save()
    assert (artifact.group, artifact.plugin) == ("encoders", "honest-encoder")
    assert artifact.config == {"input_shape": [4, 5, 1], "latent_dim": 3}
    assert artifact.preprocessing == {"size": [4, 5]}
    assert artifact == read_artifact(artifact.path)
    assert artifact.about["format"] == "latentseq-artifact/1"
    assert set(artifact.about["files"]) == {"mean.npy", "axes.npy"}
    assert artifact.about["versions"]["latentseq"] == "0.1.0"


def test_the_fingerprint_is_of_the_model(save):
    first = save()
    assert save("again").fingerprint == first.fingerprint
    assert save("told", training={"seed": 9}, preprocessing={"size": [1, 1]}).fingerprint == first.fingerprint
    assert save("weights", encoder(seed=1)).fingerprint != first.fingerprint
    assert save("config", encoder(dim=2)).fingerprint != first.fingerprint


def test_the_same_model_gives_the_same_files(save, tree):
    assert tree(save("a").path) == tree(save("b").path)


@pytest.mark.parametrize("damage", ["changed", "missing"])
def test_a_state_that_is_not_the_one_saved(damage, save):
    artifact = save()
    file = artifact.path / "mean.npy"
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(file.read_bytes()[:-1] + b"\x00")
    assert refused(read_artifact(artifact.path).allow(["honest-encoder"]).load) == (
        f"{file} is missing or is not the file that was saved. Copy the folder again, or train again."
    )


def test_no_artifact(tmp_path):
    message = (
        "{0} holds no trained model: there is no artifact.json in it. Expected a folder that a training command "
        "finished, such as runs/ae."
    )
    assert refused(lambda: read_artifact(tmp_path)) == message.format(tmp_path)
    assert refused(lambda: read_artifact(tmp_path / "none")) == message.format(tmp_path / "none")


def test_another_group(save):
    path = save().path
    assert refused(lambda: read_artifact(path, "dynamics")) == (
        f"{path} holds the encoder 'honest-encoder'; expected one of the dynamics."
    )


def test_another_format(save):
    path = save().path
    edit(path, format="latentseq-artifact/2")
    assert refused(lambda: read_artifact(path)) == (
        f"{path} has format 'latentseq-artifact/2'; expected 'latentseq-artifact/1'."
    )


def test_a_file_that_says_too_little(save):
    path = save().path
    edit(path, group=None, files=None)
    assert refused(lambda: read_artifact(path)) == (
        f"{path / 'artifact.json'} is not an artifact: files and group are missing."
    )


def test_a_file_that_is_not_json(save):
    path = save().path
    (path / "artifact.json").write_text("{")
    assert refused(lambda: read_artifact(path)) == (
        f"{path / 'artifact.json'} cannot be read as an artifact: it is not JSON."
    )


def test_a_configuration_that_was_changed_by_hand(save):
    path = save().path
    edit(path, config={"input_shape": [4, 5, 1], "latent_dim": 2})
    assert str(path / "artifact.json") in refused(lambda: read_artifact(path).load())


@pytest.mark.parametrize("name", ["../outside.npy", "/outside.npy", "a/../../outside.npy"])
def test_a_state_file_outside_of_the_folder(name, save, tmp_path):
    path = save("runs/ae").path
    (tmp_path / "runs" / "outside.npy").write_bytes(b"")
    edit(path, files={**json.loads((path / "artifact.json").read_text())["files"], name: "0" * 64})
    assert "outside.npy" in refused(lambda: copy_artifact(read_artifact(path), tmp_path / "copies" / "ae"))
    assert not (tmp_path / "copies" / "outside.npy").exists()


def test_a_plugin_that_is_not_installed(save):
    plugin = encoder()
    plugin.name = "honest-encodr"
    path = save(plugin=plugin).path
    with pytest.raises(UsageError) as caught:
        read_artifact(path).load()
    assert str(caught.value).startswith("No encoder is called 'honest-encodr'. Did you mean 'honest-encoder'? ")


def test_a_copy_is_the_model_and_nothing_else(save, tmp_path):
    artifact = save()
    (artifact.path / "history.csv").write_text("epoch")
    (artifact.path / "previews").mkdir()
    copy_artifact(artifact, tmp_path / "copy")
    copy = read_artifact(tmp_path / "copy", "encoders").allow(["honest-encoder"])
    assert copy.fingerprint == artifact.fingerprint
    assert sorted(p.name for p in copy.path.iterdir()) == ["artifact.json", "axes.npy", "mean.npy"]
    np.testing.assert_array_equal(copy.load().mean, encoder().mean)


def test_a_copy_onto_a_full_disk(save, tmp_path, monkeypatch):
    artifact = save()

    def fail(*args, **keywords):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    monkeypatch.setattr(shutil, "copyfile", fail)
    with pytest.raises(TryAgainError, match="No space left on device"):
        copy_artifact(artifact, tmp_path / "copy")


def test_a_full_disk_leaves_no_artifact(save, tmp_path, monkeypatch):
    def fail(*args, **keywords):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(TryAgainError, match="No space left on device"):
        save()
    assert list((tmp_path / "ae").iterdir()) == []
