"""Ingestion of real films and digits: every scene, every row of sound, every pixel."""

import hashlib

import av
import numpy as np
import pytest
from ingesting import Taken, ingest, take

from latentseq.media import audio

SCENES = {
    "data/bigbuckbunny.mp4": [(0, 132)],
    "data/bikes.mp4": [(0, 30), (30, 76), (76, 137), (137, 187), (187, 242)],  # And 8 frames that are too few.
    "data/bunny30.webm": [(0, 283), (283, 376), (376, 551), (551, 720)],
    "data/fire.mp4": [(0, 25)],
}
SOUNDING = ("data/bigbuckbunny.mp4", "data/bunny30.webm")


@pytest.fixture(scope="module")
def taken(tmp_path_factory):
    """All films of the samples, cut into scenes."""
    folder = tmp_path_factory.mktemp("films")

    def made(shared):
        if not (folder / "out").exists():
            ingest([shared / "data"], folder / "out", size=64, cuts=True, quiet=True)
        return Taken(folder / "out")

    return made


def seconds_of(path):
    """When each frame comes on, and when the last one goes, by PyAV alone."""
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        packets = [p for p in file.demux(stream) if p.size]
        pts = sorted(p.pts for p in packets)
        last = max(packets, key=lambda p: p.pts)
        ticks = [*pts, last.pts + (last.duration or round(1 / stream.average_rate / stream.time_base))]
        return [float(t * stream.time_base) for t in ticks]


def test_every_scene_is_a_clip(taken, shared):
    taken = taken(shared)
    assert taken.sources == list(SCENES)
    expected = [(i, stop - start) for i, scenes in enumerate(SCENES.values()) for start, stop in scenes]
    assert list(zip(taken.of_clips("source"), taken.lengths, strict=True)) == expected
    assert taken.of_clips("split") == [None] * 11
    times = {name: seconds_of(shared / name) for name in SCENES}
    bounds = [(times[name][start], times[name][stop]) for name, scenes in SCENES.items() for start, stop in scenes]
    found = list(zip(taken.of_clips("start"), taken.of_clips("end"), strict=True))
    np.testing.assert_allclose(found, bounds, atol=1e-3)


@pytest.mark.parametrize("name", SCENES)
def test_frames_are_those_of_the_film(name, taken, shared):
    taken = taken(shared)
    with av.open(str(shared / name)) as file:
        stream = file.streams.video[0]
        ratio = max(64 / stream.height, 64 / stream.width)
        h, w = round(stream.height * ratio), round(stream.width * ratio)
        untagged = name in ("data/bigbuckbunny.mp4", "data/fire.mp4")  # High definition that does not say is BT.709.
        matrix = "itu709" if untagged else None
        frames = [
            np.rot90(f.reformat(w, h, "rgb24", matrix, interpolation="AREA").to_ndarray(), round(f.rotation / 90))
            for f in file.decode(stream)  # Fire was filmed upside down.
        ]
    left, top = (w - 64) // 2, (h - 64) // 2
    whole = np.stack(frames)[:, top : top + 64, left : left + 64]
    mine = [i for i, source in enumerate(taken.of_clips("source")) if taken.sources[source] == name]
    for i, (start, stop) in zip(mine, SCENES[name], strict=True):
        np.testing.assert_array_equal(taken.frames[i], whole[start:stop])


def test_every_frame_has_a_row_of_sound(taken, shared):
    taken = taken(shared)
    assert taken.clips.streams == {"audio": 64, "audio_mask": 1}
    for i, (source, length) in enumerate(zip(taken.of_clips("source"), taken.lengths, strict=True)):
        streams = taken.clips.read(i).streams
        assert (streams["audio"].shape, streams["audio_mask"].shape) == ((length, 64), (length, 1))
        name = taken.sources[source]
        if name == "data/bikes.mp4":
            assert not any(rows.any() for rows in streams.values())
        elif name in SOUNDING:
            start, stop = SCENES[name][i - taken.of_clips("source").index(source)]
            times = np.array(seconds_of(shared / name))[start : stop + 1]
            rows, mask = audio.rows(shared / name, times, "mel", 25)
            np.testing.assert_allclose(streams["audio"][:-1], rows[:-1], atol=1e-3)
            np.testing.assert_array_equal(streams["audio_mask"][:-1], mask[:-1])
            assert mask[:-1].mean() > 0.95


def test_the_manifest_says_what_the_films_are(taken, shared):
    taken = taken(shared)
    assert [
        (
            about["detail"],
            about["size"],
            about["frames"],
            about["rows"],
            about["fps"],
            about["seconds"],
            about["sound"],
        )
        for about in taken.manifest["sources"]
    ] == [
        ("h264 yuv420p", [720, 1280], 132, 132, 25, 5.28, True),
        ("h264 yuv420p", [272, 640], 250, 250, 25, 10, False),
        ("vp8 yuv420p", [720, 1280], 720, 720, 24, pytest.approx(30, abs=0.05), True),
        ("h264 yuv420p", [720, 1280], 25, 25, pytest.approx(10.505, abs=1e-3), pytest.approx(2.38, abs=1e-3), True),
    ]
    for about in taken.manifest["sources"]:
        assert about["sha256"] == hashlib.sha256((shared / about["path"]).read_bytes()).hexdigest()
        assert about["kind"] == "video"
    assert taken.skipped == {
        "data/digits.npz": "data/digits.npz can hold many arrays, and none is named. It holds images (8000, 28, 28) "
        "and labels (8000,). Name one with --array KEY."
    }
    assert (taken.clips.fps, taken.clips.frame_shape) == (25, (64, 64, 3))
    assert sum(shard["rows"] for shard in taken.manifest["shards"]) == 132 + 250 + 720 + 25


def test_any_number_of_workers_and_shards_gives_the_same_scenes(taken, shared, tmp_path, monkeypatch, tree):
    whole = taken(shared)
    monkeypatch.setattr("latentseq.ingestion.plan.SHARD_BYTES", 90 * (64 * 64 * 3 + 4 * 65))
    one, four = (
        take(
            tmp_path / str(n),
            shared / "data" / "bikes.mp4",
            shared / "data" / "fire.mp4",
            size=64,
            cuts=True,
            workers=n,
        )
        for n in (1, 4)
    )
    assert tree(one.out) == tree(four.out)
    assert len(one.shards()) == 4
    mine = [i for i, source in enumerate(whole.of_clips("source")) if source in (1, 3)]
    for frames, i in zip(one.frames, mine, strict=True):
        np.testing.assert_array_equal(frames, whole.frames[i])


def test_the_array_of_digits(shared, tmp_path):
    with np.load(shared / "data" / "digits.npz") as file:
        images = file["images"]
    taken = take(tmp_path / "out", shared / "data" / "digits.npz", array="images", clip_length=800)
    assert taken.clips.frame_shape == (28, 28, 1)
    assert taken.lengths == [800] * 10
    np.testing.assert_array_equal(np.concatenate(taken.frames)[..., 0], images)
    data = shared / "data"
    both = take(tmp_path / "both", data / "bikes.mp4", data / "digits.npz", array="images", size=32, clip_length=50)
    assert both.clips.frame_shape == (32, 32, 3)
    assert both.of_clips("source") == [0] * 5 + [1] * 160
