"""Footage that cannot be read for the moment is not damaged: nothing is left out, and the next run takes it all."""

import builtins
import errno
import io
import os

import av
import h5py
import numpy as np
import pytest
from ingesting import ingest
from PIL import Image

from latentseq.errors import DataError, TryAgainError
from latentseq.media import container, footage
from latentseq.media.video import VideoFile
from latentseq.storage.frames import ClipFolder


def _array(path):
    np.save(path, np.zeros((3, 8, 8), np.uint8))


def _hdf5(path):
    with h5py.File(path, "w") as file:
        file["a"] = np.zeros((3, 8, 8), np.uint8)


def _animation(path):
    Image.new("RGB", (8, 8)).save(path, save_all=True, append_images=[Image.new("RGB", (8, 8), "red")], duration=40)


MAKERS = {"a.npy": _array, "a.npz": lambda path: np.savez(path, a=np.zeros((3, 8, 8), np.uint8)), "a.h5": _hdf5,
          "a.webp": _animation, "a.png": lambda path: Image.new("RGB", (8, 8)).save(path)}  # fmt: skip


@pytest.fixture
def sources(tmp_path, write_movie):
    """A film, and a file that a test adds."""
    write_movie("in/film.mp4", 4, size=(48, 48))
    return tmp_path / "in"


@pytest.fixture
def failing(monkeypatch):
    """Lets one file fail where it is opened, whoever opens it."""

    def fail(name, number):
        def failure(path):
            if not isinstance(path, int) and os.fspath(path).endswith(name):
                raise OSError(number, os.strerror(number), os.fspath(path))

        def wrap(opener):
            def opened(path, *args, **keywords):
                failure(path)
                return opener(path, *args, **keywords)

            return opened

        monkeypatch.setattr(builtins, "open", wrap(builtins.open))
        monkeypatch.setattr(io, "open", wrap(io.open))
        monkeypatch.setattr(os, "open", wrap(os.open))
        monkeypatch.setattr(av, "open", wrap(av.open))

        class File(h5py.File):
            def __init__(self, path, *args, **keywords):
                failure(path)
                super().__init__(path, *args, **keywords)

        monkeypatch.setattr(h5py, "File", File)

    return fail


@pytest.mark.parametrize(
    "number", [errno.EMFILE, errno.EIO, errno.ENOMEM, errno.ESTALE, errno.ETIMEDOUT, errno.ENFILE]
)
@pytest.mark.parametrize("name", ["film.mp4", *MAKERS])
def test_it_is_not_left_out(name, number, sources, failing, tmp_path, monkeypatch):
    if name in MAKERS:
        MAKERS[name](sources / name)
    array = "a" if name.endswith(("npz", "h5")) else None
    failing(name, number)
    with pytest.raises(TryAgainError) as caught:
        ingest([sources], tmp_path / "out", array=array, quiet=True)
    assert f"{name} could not be read now: {os.strerror(number)}. Run the same command again" in str(caught.value)
    assert not (tmp_path / "out" / "manifest.json").exists()
    monkeypatch.undo()
    ingest([sources], tmp_path / "out", array=array, quiet=True)
    taken = ClipFolder(tmp_path / "out")
    assert len(taken.lengths) == len(list(sources.iterdir()))


def test_a_film_that_fails_while_it_is_decoded(sources, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(VideoFile, "scale", _raise(OSError(errno.ESTALE, os.strerror(errno.ESTALE))))
        with pytest.raises(TryAgainError, match=r"film.mp4 could not be read now: Stale file handle"):
            ingest([sources], tmp_path / "out", quiet=True)
    ingest([sources], tmp_path / "out", quiet=True)
    assert ClipFolder(tmp_path / "out").lengths.tolist() == [4]


def test_ffmpeg_is_believed_where_the_file_cannot_be_read_either(write_movie, monkeypatch):
    path, said = write_movie("film.mp4", 4), av.error.OSError(errno.EIO, "Input/output error")
    monkeypatch.setattr(container.av, "open", _raise(said))
    with pytest.raises(DataError, match=r"cannot be read as a video: Input/output error"):
        container.open_container(path)
    monkeypatch.setattr(footage, "file_digest", _raise(OSError(errno.EIO, "Input/output error")))
    with pytest.raises(TryAgainError, match=r"film.mp4 could not be read now: Input/output error"):
        container.open_container(path)


def test_a_folder_that_cannot_be_listed_now(sources, tmp_path, monkeypatch):
    (sources / "below").mkdir()
    listed = os.scandir

    def scan(path):
        if os.fspath(path).endswith("below"):
            raise OSError(errno.EIO, "Input/output error", os.fspath(path))
        return listed(path)

    monkeypatch.setattr(os, "scandir", scan)
    with pytest.raises(TryAgainError, match=r"below could not be read now: Input/output error"):
        ingest([sources], tmp_path / "out", quiet=True)


def _raise(error):
    def fail(*_, **__):
        raise error

    return fail
