"""Descriptions of folders by ``show``."""

import json

import numpy as np
import pytest

from latentseq.commands.show import show
from latentseq.data.open import open_data
from latentseq.errors import DataError
from latentseq.storage.artifact import copy_artifact, save_artifact
from latentseq.storage.atomic import write_json, write_sealed
from latentseq.storage.frames import write_clips
from latentseq.storage.latents import write_latents
from latentseq.training.watch import Watcher

QUIET = Watcher(quiet=True)
TRAINING = {"data": "d" * 64, "seed": 3, "best": {"epoch": 2, "val_loss": 0.123456789}}
PREPROCESSING = {"size": [4, 5], "fit": "crop", "gray": True, "skip": 1, "fps": None}


@pytest.fixture
def encoder(honest):
    from honest_plugins import HonestEncoder

    return HonestEncoder(input_shape=(16, 16, 1), latent_dim=3)


@pytest.fixture
def squares():
    return open_data("moving-squares", options={"count": 4, "length": 6, "size": 16})


def test_a_trained_encoder(encoder, tmp_path):
    made = save_artifact(encoder, "encoders", tmp_path, preprocessing=PREPROCESSING, training=TRAINING)
    told = show(tmp_path)
    assert list(told) == [
        "plugin", "  input_shape", "  latent_dim", "preprocessing", "seed", "best epoch", "trained on", "fingerprint",
        "made with",
    ]  # fmt: skip
    assert told["plugin"] == "honest-encoder (encoders)"
    assert told["  input_shape"] == "[16, 16, 1]"
    assert told["preprocessing"] == "fit crop, fps None, gray True, size [4, 5], skip 1"
    assert told["best epoch"] == "epoch 2, val_loss 0.123457"
    assert told["trained on"] == "data dddddddddddd…"
    assert told["fingerprint"] == made.fingerprint
    assert "python 3." in told["made with"]


def test_trained_dynamics_name_their_encoder(encoder, tmp_path):
    from honest_plugins import HonestDynamics

    inner = save_artifact(encoder, "encoders", tmp_path / "ae", preprocessing={}, training=TRAINING)
    run, plugin = tmp_path / "run", HonestDynamics(latent_shape=(3,))
    save_artifact(plugin, "dynamics", run, preprocessing={}, training={**TRAINING, "best": {}})
    copy_artifact(inner, run / "encoder")
    told = show(str(run))
    assert told["plugin"] == "honest-dynamics (dynamics)"
    assert told["encoder"] == f"honest-encoder, {inner.fingerprint[:12]}…"
    assert told["best epoch"] == ""


def test_clips(squares, tmp_path):
    squares.split = np.array(["train", "train", "validation", "test"])
    write_clips(squares, tmp_path, QUIET)
    size = (tmp_path / "shard-00000.h5").stat().st_size
    assert show(tmp_path) == {
        "format": "latentseq-clips/1",
        "clips": "4, of 6 to 6 frames",
        "frames": "24 of 16 x 16 x 1, 25 a second",
        "splits": "train 2, validation 1, test 1",
        "streams": "none",
        "shards": f"1, {size / 1e6:.1f} MB",
        "source": json.dumps(
            {"config": {"count": 4, "length": 6, "seed": 0, "size": 16}, "dataset": "moving-squares"}
        ),
    }


def test_what_clips_were_made_from(squares, tmp_path):
    write_clips(squares, tmp_path, QUIET)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    film = {"path": "films/a.mp4", "kind": "video", "detail": "h264 yuv420p", "frames": 12, "fps": 29.97003}
    shots = {"path": "shots", "kind": "images", "detail": "", "frames": 1, "fps": 25.0}
    manifest["sources"] = [{**film, "sha256": "a" * 64}, {**shots, "sha256": "b" * 64}]
    manifest["skipped"] = [{"path": "films/b.mp4", "reason": "It is empty."}]
    write_sealed(tmp_path / "manifest.json", manifest)
    told = show(tmp_path)
    assert told["sources"].splitlines() == [
        "films/a.mp4: video, h264 yuv420p, 12 frames at 29.97 a second, aaaaaaaaaaaa…",
        "shots: images, 1 frame at 25 a second, bbbbbbbbbbbb…",
    ]
    assert told["skipped"] == "films/b.mp4: It is empty."


@pytest.mark.parametrize(("count", "last"), [(20, "19.mp4: It is empty."), (21, "and 1 more"), (500, "and 480 more")])
def test_of_many_sources_the_first_are_told(squares, tmp_path, count, last):
    write_clips(squares, tmp_path, QUIET)
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    manifest["skipped"] = [{"path": f"{i}.mp4", "reason": "It is empty."} for i in range(count)]
    write_sealed(tmp_path / "manifest.json", manifest)
    lines = show(tmp_path)["skipped"].splitlines()
    assert len(lines) == min(count, 21)
    assert (lines[19], lines[-1]) == ("19.mp4: It is empty.", last)
    assert "sources" not in show(tmp_path)


def test_latents(squares, encoder, tmp_path):
    write_latents(squares, encoder, "abc" * 20, tmp_path, QUIET)
    told = show(tmp_path)
    assert told["format"] == "latentseq-latents/1"
    assert told["frames"] == "24 of 3, 25 a second"
    assert told["encoder"] == "abcabcabcabc…"


def test_data_without_splits_has_none_of_its_own(squares, tmp_path):
    write_clips(squares, tmp_path, QUIET)
    assert show(tmp_path)["splits"] == "none of its own"


def test_what_is_neither(tmp_path):
    sentence = (
        f"{tmp_path} holds neither a trained model (artifact.json) nor clips or latents (manifest.json).{{}} "
        "Expected a folder that train-ae, train-lstm or encode wrote."
    )
    with pytest.raises(DataError) as caught:
        show(tmp_path)
    assert str(caught.value) == sentence.format("")
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(DataError) as caught:
        show(tmp_path)
    assert str(caught.value) == sentence.format(" It holds a run that did not finish.")


def test_a_manifest_of_something_else(tmp_path):
    (tmp_path / "manifest.json").write_text('{"format": "something/9"}')
    with pytest.raises(DataError) as caught:
        show(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_folder_of_runs_says_where_to_look(tmp_path):
    write_json(tmp_path / "run.json", {})
    for name in ("ae", "z"):
        (tmp_path / name).mkdir()
        write_json(tmp_path / name / {"ae": "artifact.json", "z": "manifest.json"}[name], {})
    with pytest.raises(DataError, match=r" Look at ae and z in it\. Expected"):
        show(tmp_path)
