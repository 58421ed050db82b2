"""Shards of ingested footage: what is in which, the same with any number of workers, and what damage costs."""

import hashlib
import re

import av
import numpy as np
import pytest
from ingesting import SCALE, ingest, numbered, take, write_array, write_images

from latentseq.commands.verify import verify
from latentseq.errors import DataError
from latentseq.media.arrayfile import ArrayFile

ROW = 48 * 96


@pytest.fixture
def small(monkeypatch):
    """Shards of so many gray rows of 48 x 96, and stretches of as many to draw crops from."""

    def set_to(rows):
        monkeypatch.setattr("latentseq.ingestion.plan.SHARD_BYTES", rows * ROW)
        monkeypatch.setattr("latentseq.ingestion.plan.STRETCH_BYTES", rows * ROW)

    return set_to


def damage(film, number):
    """Make one frame of a film of keyframes undecodable."""
    with av.open(str(film)) as file:
        bad = [packet for packet in file.demux(video=0) if packet.size][number]
    data = bytearray(film.read_bytes())
    data[bad.pos : bad.pos + bad.size] = b"\xff" * bad.size
    film.write_bytes(data)


def test_footage_lies_in_shards_of_about_one_size_and_clips_across_them(small, write_movie, numbers, tmp_path):
    small(16)
    taken = take(tmp_path / "out", write_movie("a.mp4", 40), gray=True, clip_length=10, stride=10)
    assert [shard["rows"] for shard in taken.manifest["shards"]] == [13, 13, 14]
    assert [numbers(frames) for frames in taken.frames] == [list(range(s, s + 10)) for s in (0, 10, 20, 30)]
    assert numbers(take(tmp_path / "whole", tmp_path / "a.mp4", gray=True).frames[0]) == list(range(40))


def test_small_footage_shares_a_shard(small, numbers, tmp_path):
    small(16)
    lengths = (4, 5, 7, 1, 3, 20, 2, 2)
    arrays = [write_array(tmp_path / f"{i}.npy", numbered(n, first=10 * i)) for i, n in enumerate(lengths)]
    taken = take(tmp_path / "out", *arrays)
    shards = taken.manifest["shards"]
    assert [shard["sources"] for shard in shards] == [[0, 1, 2], [3, 4], [5], [5], [6, 7]]
    assert [shard["rows"] for shard in shards] == [16, 4, 10, 10, 4]
    assert [numbers(frames) for frames in taken.frames] == [
        list(range(10 * i, 10 * i + n)) for i, n in enumerate(lengths)
    ]


def test_every_shard_is_named_by_its_task_and_listed_with_its_hash(small, tmp_path):
    small(16)
    write_array(tmp_path / "in" / "a.npy", numbered(40))
    taken = take(tmp_path / "out", tmp_path / "in")
    files = [shard["file"] for shard in taken.manifest["shards"]]
    assert all(re.fullmatch(r"shard-[0-9a-f]{20}\.h5", file) for file in files)
    assert taken.shards() == sorted(files)
    for shard in taken.manifest["shards"]:
        assert hashlib.sha256((taken.out / shard["file"]).read_bytes()).hexdigest() == shard["sha256"]
    assert verify(taken.out) == {"manifest.json": "latentseq-clips/1, 3 shards with 40 rows as written"}
    (tmp_path / "in").rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "a.npy").rename(tmp_path / "elsewhere" / "b.npy")
    assert take(tmp_path / "again", tmp_path / "elsewhere").shards() == sorted(files)
    assert not set(take(tmp_path / "other", tmp_path / "elsewhere", skip=2).shards()) & set(files)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"cuts": True, "min_length": 1},
        {"fps": 50, "skip": 2},
        {"crop": 40, "clip_length": 4, "count": 90, "motion": 0.0},
    ],
    ids=str,
)
def test_any_number_of_workers_gives_the_same_bytes(options, small, write_movie, tmp_path, tree):
    small(10)
    write_movie("in/a.mp4", 70, options={"bf": "3", "b_strategy": "0"})
    write_movie("in/b.webm", 30, codec="libvpx", options={"deadline": "realtime"})
    write_movie("in/c.mkv", 50, fps=3000)  # Matroska cannot tell its frames apart by their times.
    write_images(tmp_path / "in" / "d", numbered(25))
    np.savez(tmp_path / "in" / "e.npz", frames=numbered(35).reshape(7, 5, 48, 96))
    (tmp_path / "in" / "f.mp4").write_text("damaged")
    one, four = (
        take(tmp_path / str(n), tmp_path / "in", gray=True, array="frames", workers=n, **options) for n in (1, 4)
    )
    assert tree(one.out) == tree(four.out)
    assert len(one.sources) == 5
    assert len(one.shards()) > 10


@pytest.mark.parametrize("workers", [1, 4])
def test_copies_of_a_film_share_their_shards(workers, small, numbers, tmp_path):
    small(4)
    for name in "abc":
        write_array(tmp_path / "in" / f"{name}.npy", numbered(60))
    taken = take(tmp_path / "out", tmp_path / "in", workers=workers)
    assert [numbers(frames) for frames in taken.frames] == [list(range(60))] * 3
    assert len(taken.shards()) == 15
    assert [shard["sources"] for shard in taken.manifest["shards"]] == [[0]] * 15 + [[1]] * 15 + [[2]] * 15
    assert verify(taken.out) == {"manifest.json": "latentseq-clips/1, 45 shards with 180 rows as written"}


@pytest.mark.parametrize("workers", [1, 4])
@pytest.mark.parametrize("number", [0, 25, 69])
def test_a_film_found_damaged_while_decoding_is_left_out_whole(
    number, workers, small, write_movie, numbers, tmp_path
):
    small(10)
    for name in ("a", "b", "c"):
        write_movie(f"in/{name}.mp4", {"a": 30, "b": 70, "c": 28}[name], keyframes=1)
    if number:  # The first frame is decoded to find the size.
        damage(tmp_path / "in" / "b.mp4", number)
    else:
        (tmp_path / "in" / "b.mp4").unlink()
        write_array(tmp_path / "in" / "b.npy", np.full((70, 48, 96), 1.5))
    taken = take(tmp_path / "out", tmp_path / "in", gray=True, workers=workers)
    assert taken.sources == ["in/a.mp4", "in/c.mp4"]
    assert [numbers(frames) for frames in taken.frames] == [list(range(30)), list(range(28))]
    assert [shard["sources"] for shard in taken.manifest["shards"]] == [[0]] * 3 + [[1]] * 3
    assert taken.shards() == sorted(shard["file"] for shard in taken.manifest["shards"])
    assert taken.skipped == (
        {
            "in/b.mp4": f"in/b.mp4 is damaged at frame {number}: it lists 70 frames, and this one cannot be decoded. "
            "Copy or export the file again."
        }
        if number
        else {"in/b.npy": "Picture 0 of in/b.npy has values from 1.5 to 1.5; expected floats from 0 to 1. " + SCALE}
    )
    assert [path.name for path in taken.out.iterdir() if path.suffix != ".h5"] == ["manifest.json"]


def test_damage_in_a_shard_that_is_shared_costs_the_damaged_alone(numbers, tmp_path):
    for name in "abc":
        write_array(tmp_path / "in" / f"{name}.npy", numbered(5) / 255 * (2 if name == "b" else 1))
    write_images(tmp_path / "in" / "shots", numbered(6))
    broken = tmp_path / "in" / "shots" / "frame4.png"
    broken.write_bytes(broken.read_bytes()[:60])
    taken = take(tmp_path / "out", tmp_path / "in", clip_length=2, stride=1)
    assert taken.sources == ["in/a.npy", "in/c.npy"]
    # What is left is 10 frames: training ends at the 8th of them, and test at the 9th.
    assert [numbers(frames) for frames in taken.frames] == [[0, 1], [1, 2], [2, 3], [3, 4], [0, 1], [1, 2]]
    assert taken.of_clips("split") == ["train"] * 6
    assert [shard["rows"] for shard in taken.manifest["shards"]] == [10]
    assert taken.skipped["in/b.npy"] == (
        "Picture 1 of in/b.npy has values from 0 to 2; expected floats from 0 to 1. " + SCALE
    )
    assert taken.skipped["in/shots"].startswith("in/shots/frame4.png cannot be read as an image: ")


def test_copies_that_are_damaged_are_each_called_by_their_name(tmp_path):
    for name in ("a", "b"):
        write_array(tmp_path / "in" / f"{name}.npy", np.full((2, 48, 96), 3.0))
    write_array(tmp_path / "in" / "c.npy", numbered(5))
    reason = "Picture 0 of {} has values from 3 to 3; expected floats from 0 to 1. " + SCALE
    taken = take(tmp_path / "out", tmp_path / "in")
    assert taken.skipped == {name: reason.format(name) for name in ("in/a.npy", "in/b.npy")}
    # What a shard says of damage does not depend on names, for neither does its own.
    (tmp_path / "in").rename(tmp_path / "elsewhere")
    again = take(tmp_path / "again", tmp_path / "elsewhere")
    assert again.skipped == {name: reason.format(name) for name in ("elsewhere/a.npy", "elsewhere/b.npy")}
    assert [(again.out / name).read_bytes() for name in again.shards()] == [
        (taken.out / name).read_bytes() for name in taken.shards()
    ]


@pytest.mark.parametrize("options", [{}, {"crop": 8, "count": 5}], ids=str)
def test_where_all_is_damaged_nothing_is_left(options, small, tmp_path, tree):
    small(2)
    write_array(tmp_path / "in" / "a.npy", np.full((30, 48, 96), 1.5))
    before = tree(tmp_path)
    with pytest.raises(DataError) as caught:
        ingest([tmp_path / "in"], tmp_path / "out", quiet=True, **options)
    assert str(caught.value).startswith(
        "There is no footage: expected videos, folders of images, or arrays. Skipped: in/a.npy: Picture "
    )
    assert str(caught.value).endswith(
        " of in/a.npy has values from 1.5 to 1.5; expected floats from 0 to 1. " + SCALE
    )
    assert tree(tmp_path) == before


def test_trouble_that_is_over_is_forgotten(small, numbers, tmp_path, monkeypatch):
    small(10)
    write_array(tmp_path / "in" / "a.npy", numbered(4))
    write_array(tmp_path / "in" / "b.npy", numbered(5))
    walk = ArrayFile.walk

    def fail(footage, rows):
        if footage.path.name == "b.npy":
            raise OSError("Input/output error")
        return walk(footage, rows)

    with monkeypatch.context() as patch:
        patch.setattr(ArrayFile, "walk", fail)
        taken = take(tmp_path / "out", tmp_path / "in")
    assert (taken.sources, taken.lengths) == (["in/a.npy"], [4])
    assert taken.skipped == {"in/b.npy": "It cannot be read: OSError: Input/output error."}
    taken = take(tmp_path / "out", tmp_path / "in", overwrite=True)
    assert [numbers(frames) for frames in taken.frames] == [list(range(4)), list(range(5))]
    assert (taken.skipped, len(taken.shards())) == ({}, 1)
