"""Every file is compared with its stored checksum."""

import errno
import json
import shutil

import h5py
import numpy as np
import pytest

from latentseq.commands import verify as verification
from latentseq.commands.verify import verify
from latentseq.data.open import open_data
from latentseq.errors import DataError, TryAgainError
from latentseq.storage import shards
from latentseq.storage.artifact import copy_artifact, save_artifact
from latentseq.storage.atomic import read_json, write_json, write_sealed
from latentseq.storage.frames import write_clips
from latentseq.storage.latents import write_latents
from latentseq.training.watch import Watcher

QUIET = Watcher(quiet=True)
END = " Copy the folder again, or make it again."


@pytest.fixture
def encoder(honest):
    from honest_plugins import HonestEncoder

    return HonestEncoder(input_shape=(16, 16, 1), latent_dim=3)


@pytest.fixture
def clips(tmp_path, monkeypatch):
    """A folder of clips in three shards."""
    monkeypatch.setattr(shards, "SHARD_BYTES", 1)
    squares = open_data("moving-squares", options={"count": 3, "length": 6, "size": 16})
    write_clips(squares, tmp_path / "clips", QUIET)
    return tmp_path / "clips"


@pytest.fixture
def run(encoder, clips, tmp_path):
    """A run folder with an encoder and a cache in it."""
    from honest_plugins import HonestDynamics

    training = {"data": "d", "seed": 0, "best": {}}
    inner = save_artifact(encoder, "encoders", tmp_path / "ae", preprocessing={}, training=training)
    save_artifact(
        HonestDynamics(latent_shape=(3,)), "dynamics", tmp_path / "run", preprocessing={}, training=training
    )
    copy_artifact(inner, tmp_path / "run" / "encoder")
    write_latents(open_data(clips), encoder, inner.fingerprint, tmp_path / "run" / "cache", QUIET)
    shutil.rmtree(tmp_path / "ae")
    return tmp_path / "run"


def refused(folder) -> str:
    with pytest.raises(DataError) as caught:
        verify(folder)
    return str(caught.value)


def spoil(path, at=-1):
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(content)


def test_clips(clips):
    assert verify(clips) == {"manifest.json": "latentseq-clips/1, 3 shards with 18 rows as written"}
    assert verify(str(clips)) == verify(clips)


def test_a_run_with_all_that_is_in_it(run):
    assert verify(run) == {
        "artifact.json": "honest-dynamics, fingerprint and 3 files as written",
        "cache/manifest.json": "latentseq-latents/1, 1 shard with 18 rows as written",
        "encoder/artifact.json": "honest-encoder, fingerprint and 2 files as written",
    }


def test_a_folder_of_such_folders(run, clips):
    assert list(verify(clips.parent)) == [
        "clips/manifest.json", "run/artifact.json", "run/cache/manifest.json", "run/encoder/artifact.json",
    ]  # fmt: skip


def test_every_wrong_file_is_named(clips):
    for name in ("shard-00000.h5", "shard-00001.h5"):
        spoil(clips / name)
    (clips / "shard-00002.h5").unlink()
    (clips / "shard-00007.h5").write_bytes(b"")
    assert refused(clips) == (
        f"{clips} is not as it was written. {clips / 'shard-00000.h5'} is damaged: its SHA-256 has changed. "
        f"{clips / 'shard-00001.h5'} is damaged: its SHA-256 has changed. {clips / 'shard-00002.h5'} is missing."
        + END
    )


def test_wrong_files_of_a_run(run):
    state = min(set((run / "encoder").iterdir()) - {run / "encoder" / "artifact.json"})
    (shard,) = (run / "cache").glob("*.h5")
    spoil(state)
    spoil(shard)
    about = read_json(run / "artifact.json", "")
    write_json(run / "artifact.json", {**about, "plugin": "another"})
    assert refused(run) == (
        f"{run} is not as it was written. {run / 'artifact.json'} is not the file that was saved: plugin, config or "
        "files do not match its fingerprint. Copy the folder again, or train again. "
        f"{shard} is damaged: its SHA-256 has changed. {state} is damaged: its SHA-256 has changed." + END
    )


def test_files_that_the_manifest_does_not_name_are_said(clips):
    (clips / "shard-00007.h5").write_bytes(b"")
    (clips / "notes.txt").write_text("mine")
    assert verify(clips) == {
        "manifest.json": "latentseq-clips/1, 3 shards with 18 rows as written; not part of it: shard-00007.h5"
    }


def rewritten(folder, change) -> None:
    """Change a manifest and write it again with a correct seal."""
    path = folder / "manifest.json"
    manifest = json.loads(path.read_text())
    change(manifest)
    write_sealed(path, manifest)


def test_a_manifest_that_is_wrong_about_its_rows(clips):
    rewritten(clips, lambda manifest: manifest["shards"][1].update(rows=7))
    assert refused(clips) == (
        f"{clips} is not as it was written. {clips / 'shard-00001.h5'} holds 6 rows, and the manifest says 7." + END
    )


def test_a_shard_whose_arrays_differ(clips):
    path = clips / "shard-00001.h5"
    with h5py.File(path, "a") as file:
        file["action"] = np.zeros((5, 1))
    digest = verification.hashlib.sha256(path.read_bytes()).hexdigest()
    rewritten(clips, lambda manifest: manifest["shards"][1].update(sha256=digest))
    assert f"{path} holds 5 and 6 rows, and the manifest says 6." in refused(clips)


def test_a_manifest_that_says_something_else(clips):
    path = clips / "manifest.json"
    path.write_text(path.read_text().replace('"fps": 25.0', '"fps": 26.0'))
    seal = f"{path} is not as it was written: the SHA-256 of its content is not its 'seal'."
    assert refused(clips) == f"{clips} is not as it was written. {seal}{END}{END}"


def test_a_manifest_of_a_format_that_nobody_reads(clips):
    path = clips / "manifest.json"
    rewritten(clips, lambda manifest: manifest.update(format="latentseq-clips/9"))
    assert refused(clips) == (
        f"{clips} is not as it was written. {path} cannot be used: format is 'latentseq-clips/9'; expected "
        "latentseq-clips/1 or latentseq-latents/1. Make the folder again, or copy it again from its source." + END
    )


def test_an_older_manifest_has_no_seal_and_that_is_said(clips):
    path = clips / "manifest.json"
    manifest = json.loads(path.read_text())
    del manifest["seal"]
    write_json(path, manifest)
    assert verify(clips) == {
        "manifest.json": "latentseq-clips/1, 3 shards with 18 rows as written; the rest of the file has no 'seal' to "
        "compare it with"
    }


def test_no_damage_of_what_is_said_gets_past(run, clips):
    """Bytes of every manifest and artifact are flipped or removed, one place after another."""
    random, passed = np.random.default_rng(0), []
    for path in (clips / "manifest.json", run / "cache" / "manifest.json", run / "artifact.json"):
        whole = path.read_bytes()
        for case in range(20):
            damaged, at = bytearray(whole), int(random.integers(len(whole)))
            if case % 2:
                damaged[at] ^= 1 << int(random.integers(8))
            else:
                del damaged[at : at + int(random.integers(1, 8))]
            path.write_bytes(damaged)
            try:
                verify(path.parent)
            except DataError:
                continue
            passed.append(json.loads(damaged) == json.loads(whole))  # Only white space differs then.
        path.write_bytes(whole)
    assert all(passed)
    assert len(passed) < 12


def test_a_file_that_cannot_be_read_now_is_not_damaged(clips, monkeypatch):
    def fail(path):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(verification, "open_regular", fail)
    with pytest.raises(TryAgainError, match=r"shard-00000.h5 could not be read now: Input/output error"):
        verify(clips)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "{} cannot be read as a manifest: it is not JSON."),
        (
            "{}",
            "{} cannot be used: clips, format, fps, shards and streams are missing. Make the folder again.",
        ),
        (
            '{"format": "latentseq-clips/1", "clips": [], "fps": 1, "streams": {}, "shards": [{"file": "a"}]}',
            "{} cannot be used: rows and sha256 are missing. Make the folder again.",
        ),
    ],
)
def test_a_manifest_that_is_none(clips, text, reason):
    (clips / "manifest.json").write_text(text)
    said = reason.replace("{}", str(clips / "manifest.json"), 1) if reason.startswith("{}") else reason
    assert refused(clips) == f"{clips} is not as it was written. {said}{END}"


def test_what_a_process_left_behind_is_passed_over(clips, tmp_path):
    shutil.copytree(clips, tmp_path / ".clips.123.tmp")
    (tmp_path / ".clips.123.tmp" / "shard-00000.h5").unlink()
    assert list(verify(tmp_path)) == ["clips/manifest.json"]


def test_a_folder_of_something_else(tmp_path):
    for folder in (tmp_path, tmp_path / "nowhere"):
        assert refused(folder) == (
            f"{folder} holds neither a trained model (artifact.json) nor clips or latents (manifest.json). "
            "Expected a folder that latentseq wrote."
        )
