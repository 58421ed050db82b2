"""Trouble of the machine is told from damage of a file, and damage of what only describes is seen too."""

import errno
import io
import json
import os

import numpy as np
import pytest

from latentseq.commands import demo
from latentseq.commands import evaluate as evaluating
from latentseq.commands import surprise as surprisal
from latentseq.errors import DataError, TryAgainError
from latentseq.storage import reading
from latentseq.storage.atomic import read_json, write_sealed
from latentseq.storage.folders import output_folder
from latentseq.storage.reading import check_seal, parse_json
from latentseq.storage.shards import ShardReader, ShardWriter
from latentseq.storage.workspace import exclusive
from latentseq.training.checkpoint import Checkpoints


@pytest.fixture
def failing(monkeypatch):
    """Lets every file fail that is opened to be read."""

    def with_error(number):
        def fail(*args, **keywords):
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(reading.os, "open", fail)
        monkeypatch.setattr(io, "open", fail)

    return with_error


@pytest.mark.parametrize("number", [errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_what_cannot_be_read_now_is_not_damaged(number, failing, tmp_path):
    path = tmp_path / "a.json"
    write_sealed(path, {"a": 1})
    Checkpoints(tmp_path, "main").save({"w": np.zeros(1)}, 1, {})
    failing(number)
    with pytest.raises(TryAgainError) as caught:
        read_json(path, "a manifest")
    assert str(caught.value) == (
        f"{path} could not be read now: {os.strerror(number)}. Run the same command again. If the error stays, check "
        "the disk and copy the file again."
    )
    with pytest.raises(TryAgainError):
        Checkpoints(tmp_path, "main").load()
    with pytest.raises(TryAgainError):
        Checkpoints(tmp_path, "main").save({"w": np.ones(1)}, 2, {})


def test_a_shard_that_cannot_be_read_now_is_not_damaged(failing, tmp_path):
    writer = ShardWriter(tmp_path)
    writer.add({"x": np.arange(3)})
    writer.end_clip(3)
    writer.close(format="test")
    reader = ShardReader(tmp_path, "test")
    failing(errno.EMFILE)
    with pytest.raises(TryAgainError, match="could not be read now: Too many open files"):
        reader.rows(0, 3)


def test_a_file_that_may_not_be_read_is_refused(failing, tmp_path):
    write_sealed(tmp_path / "a.json", {})
    failing(errno.EACCES)
    with pytest.raises(DataError, match="Permission denied"):
        read_json(tmp_path / "a.json", "a manifest")


def test_a_seal_holds_all_that_is_said(tmp_path):
    path = tmp_path / "a.json"
    write_sealed(path, {"fps": 12.5, "b": [1, None]})
    value = json.loads(path.read_text())
    check_seal(value, path)
    with pytest.raises(DataError) as caught:
        check_seal({**value, "fps": 13.5}, path)
    assert str(caught.value) == (
        f"{path} is not as it was written: the SHA-256 of its content is not its 'seal'. Copy the folder again, "
        "or make it again."
    )
    check_seal({"fps": 13.5}, path)  # One that says nothing of itself.


def test_a_full_disk_is_told_with_what_was_written(tmp_path):
    with pytest.raises(TryAgainError) as caught, output_folder(tmp_path / "out", "m") as folder:
        (folder / "a").write_bytes(bytes(1000))
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert str(caught.value).startswith(
        f"{tmp_path / 'out'} (1000 bytes so far) could not be written: No space left on device."
    )


def test_a_lock_that_has_no_room_leaves_nothing(monkeypatch, tmp_path):
    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(TryAgainError) as caught, exclusive(tmp_path / "out"):
        pytest.fail("It was entered.")
    assert str(caught.value).startswith(f"{tmp_path / 'out'} could not be written: No space left on device.")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "deep", ["[" * 20_000 + "]" * 20_000, '{"a":' * 500 + "1" + "}" * 500, "[" * 102 + "]" * 102]
)
def test_json_that_is_nested_too_deeply(deep, tmp_path):
    path = tmp_path / "a.json"
    path.write_text(f'{{"a": {deep}}}')
    with pytest.raises(DataError) as caught:
        read_json(path, "a manifest")
    assert str(caught.value) == (f"{path} cannot be read as a manifest: its lists and objects are nested too deeply.")


def test_json_that_is_nested_as_deeply_as_may_be():
    text = "[" * 100 + "]" * 100
    assert json.dumps(parse_json(text.encode())) == text


@pytest.mark.parametrize(
    ("table", "name"),
    [(evaluating.table, "metrics.json"), (demo.table, "metrics.json"), (surprisal.table, "surprise.json")],
)
@pytest.mark.parametrize(
    "value",
    [{}, {"models": 3}, {"models": [], "moments": [{}]}, {"models": {"a": None}, "protocol": {}, "moments": 1}],
)
def test_results_that_were_changed_by_hand(table, name, value, tmp_path):
    write_sealed(tmp_path / name, value)
    write_sealed(tmp_path / "costs.json", {})
    with pytest.raises(DataError) as caught:
        table(tmp_path)
    assert str(caught.value).startswith(
        f"{tmp_path} is not as it was written: a value is missing or has another type ("
    )
    assert str(caught.value).endswith("). Run the command that wrote it again.")
