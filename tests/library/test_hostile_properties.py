"""Any change whatever: a reader reads what is consistent, or says what is wrong; it never does anything else."""

import copy
import hashlib
import json
import os
from pathlib import Path
from typing import Any

import h5py
import hostile_models
import hostile_reading
import numpy as np
import pytest
from hostile import artifact, child, clips, latents
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from latentseq.commands.verify import verify
from latentseq.errors import LatentseqError
from latentseq.media.preprocessing import Preprocessing
from latentseq.storage.artifact import ARTIFACT, read_artifact
from latentseq.storage.atomic import read_json
from latentseq.storage.manifest import read_manifest
from latentseq.storage.shards import folder_format, write_shard
from latentseq.training.watch import read_history

EXAMPLES = settings(
    max_examples=int(os.environ.get("EXAMPLES", "50")),  # `make test-all` tries more.
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
FINITE = st.floats(allow_nan=False, allow_infinity=False)
NUMBERS = st.integers() | FINITE | st.sampled_from([2**31, 2**63, 10**30, -1])
KNOWN = ["../x", "/etc/passwd", "train", "a\0", "shard-00000.h5", "frames", ""]
WORDS = st.text(max_size=12) | st.sampled_from(KNOWN)
EIGHTS = [b"\xff" * 8, bytes(7) + b"\x80", (1 << 40).to_bytes(8, "little")]
JSON = st.recursive(
    st.none() | st.booleans() | NUMBERS | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=4),
    max_leaves=12,
)


def places(value: Any, above: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a JSON value, the whole of it not counted."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [found for key, each in inside for found in [(*above, key), *places(each, (*above, key))]]


@st.composite
def mutated(draw: Any, value: Any) -> Any:
    """A JSON value with one to three places replaced, removed or added to."""
    value = copy.deepcopy(value)
    for _ in range(draw(st.integers(1, 3))):
        *above, last = draw(st.sampled_from(places(value)))
        inside = value
        for key in above:
            inside = inside[key]
        match draw(st.sampled_from(["replace", "remove", "add", "nudge"])):
            case "remove":
                del inside[last]
            case "add" if isinstance(inside, dict):
                inside[draw(WORDS)] = draw(JSON)
            case "nudge" if isinstance(inside[last], int):
                inside[last] += draw(st.integers(-3, 3))
            case _:
                inside[last] = draw(JSON)
    return value


@st.composite
def damaged(draw: Any, data: bytes) -> bytes:
    """Bytes of which some are flipped, cut off, repeated or put in."""
    found = bytearray(data)
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(0, len(found) - 1)))
        match draw(st.sampled_from(["flip", "flip", "set", "set", "cut", "insert", "eight"])):
            case "flip" if found:
                found[at] ^= 1 << draw(st.integers(0, 7))
            case "set" if found:
                found[at] = draw(st.sampled_from([0, 1, 0x7F, 0x80, 0xFF]))
            case "cut":
                del found[at:]
            case "eight":
                found[at : at + 8] = draw(st.sampled_from(EIGHTS))
            case _:
                found[at:at] = draw(st.binary(min_size=1, max_size=16))
    return bytes(found)


def tried(call: Any) -> Any:
    """What a call gives; None where it refuses with an error of ours."""
    try:
        return call()
    except LatentseqError as error:
        assert str(error).rstrip()[-1] in ".`", str(error)
        return None


@pytest.fixture(scope="module")
def honest_files(tmp_path_factory):
    """The bytes of honest files, by name."""
    folder = tmp_path_factory.mktemp("honest")
    clips(folder / "clips")
    latents(folder / "z")
    artifact(folder / "ae")
    write_shard(folder / "about.h5", {"x": np.zeros(3, np.uint8)}, {"parts": [{"rows": 3, "cuts": [1, 2]}]})
    (folder / "weights").write_bytes(save(hostile_models.ARRAYS))
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def unpacked(honest_files, tmp_path):
    """Writes honest files anew, but for one."""

    def write(folder: str, name: str, content: bytes) -> Path:
        for path, data in honest_files.items():
            if path.startswith(f"{folder}/"):
                (tmp_path / path).parent.mkdir(exist_ok=True)
                (tmp_path / path).write_bytes(content if path == f"{folder}/{name}" else data)
        return tmp_path / folder

    return write


@pytest.fixture(scope="module")
def tried_in_a_child():
    """Reads in a child, where a crash is seen; says whether it was read."""
    with child("hostile_reading") as made:

        def ask(what: str, path: Path) -> bool:
            told = made.ask("hostile_reading", what, str(path))
            assert "died" not in told, told
            assert "which is no error of ours" not in told.get("error", ""), told
            assert not told["keras"]
            return told.get("answer") == "read"

        yield ask


@EXAMPLES
@given(JSON | st.binary(max_size=64))
def test_any_json(tmp_path, value):
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    (tmp_path / "manifest.json").write_bytes(data)
    found = tried(lambda: read_json(tmp_path / "manifest.json", "a manifest"))
    assert found is None or found == json.loads(data)
    assert found is None or folder_format(tmp_path) == found.get("format")


@EXAMPLES
@given(st.data())
def test_a_changed_manifest_of_clips(honest_files, unpacked, data):
    about = data.draw(mutated(json.loads(honest_files["clips/manifest.json"])))
    folder = unpacked("clips", "manifest.json", json.dumps(about).encode())
    tried(lambda: hostile_reading.clips(str(folder)))


@EXAMPLES
@given(st.data())
def test_a_changed_manifest_of_latents(honest_files, unpacked, data):
    about = data.draw(mutated(json.loads(honest_files["z/manifest.json"])))
    folder = unpacked("z", "manifest.json", json.dumps(about).encode())
    tried(lambda: hostile_reading.latents(str(folder)))


@EXAMPLES
@given(st.data())
def test_a_changed_manifest_that_is_shown_and_verified(honest_files, unpacked, data):
    from latentseq.commands.show import show

    about = data.draw(mutated(json.loads(honest_files["clips/manifest.json"])))
    folder = unpacked("clips", "manifest.json", json.dumps(about).encode())
    told = tried(lambda: show(folder))
    assert (told is None) == (tried(lambda: read_manifest(folder)) is None)
    assert told is None or all(isinstance(text, str) for text in told.values())
    tried(lambda: verify(folder))


@EXAMPLES
@given(st.data())
def test_a_damaged_manifest(honest_files, unpacked, data):
    content = data.draw(damaged(honest_files["clips/manifest.json"]))
    folder = unpacked("clips", "manifest.json", content)
    tried(lambda: hostile_reading.clips(str(folder)))


@EXAMPLES
@given(st.data())
def test_a_changed_artifact(honest_files, unpacked, data):
    """With a fingerprint that fits, as whoever changes it would see to."""
    about = data.draw(mutated(json.loads(honest_files["ae/artifact.json"])))
    if {"plugin", "config", "files"} <= about.keys():
        identity = {key: about[key] for key in ("plugin", "config", "files")}
        about["fingerprint"] = hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()
    folder = unpacked("ae", ARTIFACT, json.dumps(about).encode())
    found = tried(lambda: read_artifact(folder))
    if found is not None:
        assert all((folder / name).resolve().is_relative_to(folder.resolve()) for name in found.about["files"])
        tried(lambda: found.shape("input_shape"))
        tried(lambda: Preprocessing.from_json(found.preprocessing))
    tried(lambda: verify(folder))


@EXAMPLES
@given(st.data())
def test_a_damaged_artifact(honest_files, unpacked, data):
    folder = unpacked("ae", ARTIFACT, data.draw(damaged(honest_files["ae/artifact.json"])))
    found = tried(lambda: read_artifact(folder))
    honest = json.loads(honest_files["ae/artifact.json"])
    if found is not None:  # What the fingerprint is over is as it was.
        assert {k: found.about[k] for k in ("plugin", "config", "files")} == {
            k: honest[k] for k in ("plugin", "config", "files")
        }


@EXAMPLES
@given(st.data())
def test_an_artifact_that_is_shown(honest_files, unpacked, data):
    from latentseq.commands.show import show

    about = data.draw(mutated(json.loads(honest_files["ae/artifact.json"])))
    told = tried(lambda: show(unpacked("ae", ARTIFACT, json.dumps(about).encode())))
    assert told is None or all(isinstance(text, str) for text in told.values())


@EXAMPLES
@given(JSON | st.fixed_dictionaries(dict.fromkeys(("size", "fit", "gray", "skip", "fps"), JSON)))
def test_any_preprocessing(value):
    found = tried(lambda: Preprocessing.from_json(value)) if isinstance(value, dict) else None
    assert found is None or Preprocessing.from_json(found.to_json()) == found


@EXAMPLES
@given(st.data())
def test_a_damaged_shard_of_clips(honest_files, unpacked, tried_in_a_child, data):
    content = data.draw(damaged(honest_files["clips/shard-00000.h5"]))
    tried_in_a_child("clips", unpacked("clips", "shard-00000.h5", content))


@EXAMPLES
@given(st.data())
def test_a_damaged_shard_of_latents(honest_files, unpacked, tried_in_a_child, data):
    """Its headers, that is: most of it are values, which may be anything."""
    content = honest_files["z/shard-00000.h5"]
    cut = data.draw(st.sampled_from([800, 1200, len(content)]))
    tried_in_a_child("latents", unpacked("z", "shard-00000.h5", data.draw(damaged(content[:cut])) + content[cut:]))


@EXAMPLES
@given(st.data())
def test_what_a_damaged_shard_says_of_itself(honest_files, tmp_path, tried_in_a_child, data):
    (tmp_path / "a.h5").write_bytes(data.draw(damaged(honest_files["about.h5"])))
    tried_in_a_child("about", tmp_path / "a.h5")


@EXAMPLES
@given(st.data())
def test_damaged_weights(honest_files, tmp_path, tried_in_a_child, data):
    (tmp_path / "weights").write_bytes(data.draw(damaged(honest_files["weights"])))
    tried_in_a_child("tensors", tmp_path / "weights")


@EXAMPLES
@given(st.data())
def test_a_changed_header_of_weights(honest_files, tmp_path, tried_in_a_child, data):
    whole = honest_files["weights"]
    size = int.from_bytes(whole[:8], "little")
    header = json.dumps(data.draw(mutated(json.loads(whole[8 : 8 + size])))).encode()
    (tmp_path / "weights").write_bytes(len(header).to_bytes(8, "little") + header + whole[8 + size :])
    tried_in_a_child("tensors", tmp_path / "weights")


@EXAMPLES
@given(st.text(max_size=200) | st.binary(max_size=200))
def test_any_history(tmp_path, text):
    content = text if isinstance(text, bytes) else text.encode("utf-8", "replace")
    (tmp_path / "history.csv").write_bytes(content)
    rows = tried(lambda: read_history(tmp_path / "history.csv"))
    assert rows is None or all(isinstance(v, float) or k == "stage" for row in rows for k, v in row.items())


def test_what_was_not_changed_is_read(honest_files, unpacked, tmp_path, tried_in_a_child):
    """So the properties are not about folders that are refused for another reason."""
    for folder, name in (("clips", "clips"), ("z", "latents")):
        content = honest_files[f"{folder}/manifest.json"]
        assert tried_in_a_child(name, unpacked(folder, "manifest.json", content))
    for file, name in (("about.h5", "about"), ("weights", "tensors")):
        (tmp_path / file).write_bytes(honest_files[file])
        assert tried_in_a_child(name, tmp_path / file)
    assert h5py.is_hdf5(tmp_path / "about.h5")
