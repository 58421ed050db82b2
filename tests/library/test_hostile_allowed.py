"""What is not refused: the same folders where they are honest, and a plugin that its user allowed."""

import contextlib
import sys

import hostile_json
import hostile_models
import numpy as np
import pytest
from hostile import artifact, changed, clips, command, latents
from hostile_media import POSTSCRIPT
from PIL import EpsImagePlugin, Image

from latentseq.commands.verify import verify
from latentseq.errors import DataError, UsageError, printable
from latentseq.media.images import read_image
from latentseq.media.preprocessing import Preprocessing
from latentseq.storage.artifact import copy_artifact, read_artifact
from latentseq.storage.manifest import check_rows
from latentseq.storage.shards import write_shard
from latentseq.storage.tensors import load_tensors, save_tensors


def test_honest_folders_are_read(tmp_path):
    """The cases of hostile files are these with one thing changed, so what is refused is that thing."""
    assert hostile_json.read_clips(clips(tmp_path / "clips")) == [(6, 4, 5, 1)] * 3
    assert hostile_json.read_latents(latents(tmp_path / "z")) == [(6, 3)] * 3
    assert list(verify(clips(tmp_path / "again"))) == ["manifest.json"]
    inner = read_artifact(artifact(tmp_path / "ae"), "encoders")
    copy_artifact(inner, tmp_path / "copy")
    assert read_artifact(tmp_path / "copy").fingerprint == inner.fingerprint
    save_tensors(hostile_models.ARRAYS, tmp_path / "weights")
    assert set(load_tensors(tmp_path / "weights", hostile_models.EXPECTED)) == set(hostile_models.EXPECTED)


def test_links_inside_of_a_folder_are_followed(tmp_path):
    shard = clips(tmp_path) / "shard-00000.h5"
    shard.rename(tmp_path / "kept.h5")
    shard.symlink_to("kept.h5")
    assert hostile_json.read_clips(tmp_path) == [(6, 4, 5, 1)] * 3


@pytest.fixture
def stranger(install, tmp_path):
    """An artifact of a plugin that notes, in a folder, that it was imported."""
    module = hostile_models.STRANGER.format(str(tmp_path / "sprung"))
    install("stranger", {"encoders": {"strange": "strange_module:Mine"}}, strange_module=module)
    return artifact(tmp_path / "ae", plugin="strange")


@pytest.mark.parametrize("deep", [False, True])
def test_a_part_that_an_artifact_names_is_not_imported(deep, stranger, tmp_path):
    config = {"features": "strange", "features_options": {}}
    config = {"latents": "stack", "latents_options": config} if deep else config
    folder = artifact(tmp_path / "stack", plugin="stack", config=config)
    for load in (read_artifact(folder).load, lambda: read_artifact(folder).allow(["stack"])):
        with pytest.raises(UsageError, match="needs the encoder 'strange'"):
            load()
    assert "strange_module" not in sys.modules


def test_a_plugin_that_an_artifact_names_is_not_imported(stranger, tmp_path):
    for load in (read_artifact(stranger).load, lambda: read_artifact(stranger).allow(["vae", "strang"])):
        with pytest.raises(UsageError) as caught:
            load()
        assert str(caught.value) == (
            f"{stranger} needs the encoder 'strange', which is not built in: it is strange_module:Mine of the "
            "distribution stranger 1.0. A file must not choose which code runs here. If you trust "
            "that distribution, add --allow-plugin strange (in Python, allow_plugins=['strange'])."
        )
    assert "strange_module" not in sys.modules
    assert not (tmp_path / "sprung").exists()


def test_a_plugin_that_is_allowed_is_imported(stranger, tmp_path):
    with pytest.raises(UsageError, match="strange has no option 'input_shape'"):
        read_artifact(stranger).allow(["vae", "strange"]).load()
    assert (tmp_path / "sprung").exists()


def test_a_plugin_of_the_same_name_as_a_built_in_one_is_not_taken_for_it(install, tmp_path):
    install("stranger", {"encoders": {"vae": "strange_module:Mine"}}, strange_module="raise SystemExit")
    with pytest.raises(UsageError, match="needs the encoder 'vae', which is not built in: it is strange_module:Mine"):
        read_artifact(artifact(tmp_path / "ae")).load()


def test_a_plugin_that_the_user_names_needs_no_allowance(honest, tmp_path):
    line = ("train-ae", "moving-squares", "--data-set", "count=6", "--data-set", "size=16", tmp_path / "ae")
    code, said = command(*line, "--encoder", "honest-encoder", "--steps", 1, "--quiet")
    assert code == 0, said
    code, said = command("encode", *line[1:-1], tmp_path / "ae", tmp_path / "z", "--quiet")
    assert (code, "--allow-plugin honest-encoder" in said) == (2, True)
    allowed = ("--allow-plugin", "honest-encoder")
    code, said = command("encode", *line[1:-1], tmp_path / "ae", tmp_path / "z", "--quiet", *allowed)
    assert code == 0, said


def test_postscript_is_never_handed_to_another_program(tmp_path, monkeypatch):
    started: list[object] = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *told, **also: started.append(told))
    Image.init()  # As others may have done: all formats that Pillow has.
    path = tmp_path / "a.png"
    path.write_bytes(POSTSCRIPT)
    with Image.open(path) as image, contextlib.suppress(Exception):
        image.load()
    assert started  # So Pillow would, if nobody told it not to.
    started.clear()
    with pytest.raises(DataError, match="its content is of no known image format"):
        read_image(path, Preprocessing((8, 8)))
    assert not started


def test_what_a_stranger_wrote_cannot_steer_the_terminal(tmp_path):
    steer = "\x1b]0;mine\x07\x1b[2J\u202e"
    assert printable(f"a\n{steer}\ud800") == "a\n\\x1b]0;mine\\x07\\x1b[2J\\u202e\\ud800"
    changed(clips(tmp_path) / "manifest.json", "source", "config", to={"path": steer})
    changed(tmp_path / "manifest.json", "skipped", to=[{"path": steer, "reason": "\ud800"}])
    code, said = command("show", tmp_path)
    assert code == 0, said
    assert said.isascii() or not set(said) & set(steer)
    assert not set(said) & {"\x1b", "\x07", "\u202e", "\ud800"}
    artifact(tmp_path / "ae", plugin=steer)
    code, said = command("show", tmp_path / "ae")
    assert (code, set(said) & {"\x1b", "\x07", "\u202e"}) == (65, set())


def test_a_manifest_may_be_large(tmp_path):
    """A hundred thousand clips, with a start and an end each."""
    many = 100_000
    times = [i / 25 for i in range(many)]
    run = {"count": many, "row": 0, "step": 1, "length": 1, "split": "train", "start": times, "end": times}
    digest = write_shard(tmp_path / "a.h5", {"frames": np.zeros((many, 1, 1, 1), np.uint8)})
    manifest = {"clips": [run], "shards": [{"file": "a.h5", "rows": many, "sha256": digest}]}
    check_rows(manifest, tmp_path / "manifest.json")
    run["length"] = 2  # The last clip needs a row more than there is.
    with pytest.raises(DataError, match="its clips need 100001 rows, but its shards have 100000"):
        check_rows(manifest, tmp_path / "manifest.json")
