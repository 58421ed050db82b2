"""Ingestion: what is found in any mix of sources, and which of its pictures become which frames."""

import hashlib

import av
import h5py
import numpy as np
import PIL
import pytest
from ingesting import bars, numbered, scenes, take, write_array, write_film, write_images
from PIL import Image

from latentseq.commands.export import export

KEYS_NEEDED = (
    "can hold many arrays, and none is named. It holds flights (3, 48, 96) and walks (5, 48, 96). "
    "Name one with --array KEY."
)


def test_any_mix_of_sources(write_movie, numbers, tmp_path):
    write_movie("in/b.mp4", 40)
    write_movie("in/deep/er/a.webm", 15, codec="libvpx", options={"deadline": "realtime"})
    write_images(tmp_path / "in" / "shots", numbered(12))
    write_array(tmp_path / "in" / "array.npy", numbered(8))
    taken = take(tmp_path / "out", tmp_path / "in", write_movie("alone.mkv", 5))
    assert taken.sources == ["in/array.npy", "in/b.mp4", "in/deep/er/a.webm", "in/shots", "alone.mkv"]
    assert [source["kind"] for source in taken.manifest["sources"]] == ["array", "video", "video", "images", "video"]
    assert [numbers(frames) for frames in taken.frames] == [list(range(n)) for n in (8, 40, 15, 12, 5)]
    assert taken.of_clips("source") == [0, 1, 2, 3, 4]
    assert taken.clips.frame_shape == (48, 96, 3)
    assert taken.skipped == {}


def test_what_is_given_keeps_its_order(write_movie, tmp_path):
    films = [write_movie(name, 5) for name in ("c.mp4", "a.mp4", "b.mp4")]
    assert take(tmp_path / "out", *films).sources == ["c.mp4", "a.mp4", "b.mp4"]


def test_a_folder_is_searched_in_the_order_in_which_people_count(write_movie, tmp_path):
    for name in ("10.mp4", "9.mp4", "b/1.mp4", ".hidden.mp4", ".hidden/1.mp4"):
        write_movie(f"in/{name}", 5)
    assert take(tmp_path / "out", tmp_path / "in").sources == ["in/9.mp4", "in/10.mp4", "in/b/1.mp4"]


def test_what_is_no_footage_is_named_with_its_reason(write_movie, tmp_path):
    write_movie("in/a.mp4", 5)
    (tmp_path / "in" / "notes.txt").write_text("hello")
    (tmp_path / "in" / "README").write_text("hello")
    (tmp_path / "in" / "b.mp4").write_text("hello")
    (tmp_path / "in" / "gone.mp4").symlink_to(tmp_path / "nowhere")
    taken = take(tmp_path / "out", tmp_path / "in")
    assert taken.sources == ["in/a.mp4"]
    assert taken.skipped == {
        "in/README": "A file without a suffix is not a known type of video, image or array file.",
        "in/notes.txt": ".txt is not a known type of video, image or array file.",
        "in/gone.mp4": "It is a link whose target does not exist.",
        "in/b.mp4": "in/b.mp4 cannot be read as a video: its content is of no known video format, or its end is "
        "missing. Expected a file such as MP4, MKV, WebM or AVI; copy or export it again, or remove it.",
    }


def test_the_result_may_lie_among_the_sources(write_movie, tmp_path, tree):
    write_movie("in/a.mp4", 5)
    taken = take(tmp_path / "in" / "clips", tmp_path / "in")
    before = tree(taken.out)
    again = take(tmp_path / "in" / "clips", tmp_path / "in")
    assert (again.sources, again.skipped, tree(again.out)) == (["in/a.mp4"], {}, before)


def test_a_folder_of_clips_is_not_taken_apart(write_movie, tmp_path):
    write_movie("in/a.mp4", 5)
    take(tmp_path / "in" / "clips", tmp_path / "in")
    taken = take(tmp_path / "out", tmp_path / "in")
    assert taken.sources == ["in/a.mp4"]
    assert taken.skipped == {"in/clips": "latentseq wrote this folder. It can be used as data directly."}


@pytest.mark.parametrize(
    ("sizes", "size", "shape"),
    [
        ([(20, 30), (20, 30)], None, (20, 30)),
        ([(128, 128)], None, (128, 128)),
        ([(128, 129)], None, (64, 64)),
        ([(20, 30), (20, 31)], None, (64, 64)),
        ([(20, 30)], 16, (16, 16)),
        ([(20, 30), (300, 200)], "48x64", (48, 64)),
    ],
)
def test_the_size_is_the_own_one_of_small_footage_or_64(sizes, size, shape, tmp_path):
    arrays = [write_array(tmp_path / f"{i}.npy", np.full((2, *each), 9, np.uint8)) for i, each in enumerate(sizes)]
    taken = take(tmp_path / "out", *arrays, size=size)
    assert taken.clips.frame_shape == (*shape, 1)
    assert [frames.shape for frames in taken.frames] == [(2, *shape, 1)] * len(sizes)
    assert [source["size"] for source in taken.manifest["sources"]] == [list(each) for each in sizes]


@pytest.mark.parametrize(
    ("fit", "expected"),
    [
        ("crop", ["####", "####", "####", "####"]),
        ("stretch", [".##.", ".##.", ".##.", ".##."]),
        ("pad", ["....", ".##.", ".##.", "...."]),
    ],
)
def test_the_shape_is_made_to_fit(fit, expected, tmp_path):
    wide = np.zeros((2, 8, 16), np.uint8)
    wide[:, :, 4:12] = 90
    taken = take(tmp_path / "out", write_array(tmp_path / "a.npy", wide), size=4, fit=fit)
    rows = taken.frames[0][0, :, :, 0] > 45
    assert ["".join("#" if white else "." for white in row) for row in rows] == expected


@pytest.mark.parametrize(("gray", "channels"), [(False, 3), (True, 1)])
def test_gray_among_colour_is_coloured(gray, channels, write_movie, numbers, tmp_path):
    array = write_array(tmp_path / "gray.npy", numbered(4))
    taken = take(tmp_path / "out", write_movie("colour.mp4", 4), array, gray=gray)
    assert taken.clips.frame_shape == (48, 96, channels)
    assert [numbers(frames) for frames in taken.frames] == [[0, 1, 2, 3]] * 2
    np.testing.assert_array_equal(taken.frames[1], np.repeat(numbered(4)[..., None], channels, -1))


def test_where_all_is_gray_one_channel_is_enough(tmp_path):
    images = write_images(tmp_path / "shots", numbered(3))
    taken = take(tmp_path / "out", images, write_array(tmp_path / "a.npy", numbered(4)))
    assert taken.clips.frame_shape == (48, 96, 1)
    np.testing.assert_array_equal(taken.frames[0], numbered(3)[..., None])
    assert taken.manifest["source"]["config"]["gray"] is True


@pytest.mark.parametrize(
    ("fps", "expected"),
    [
        (10, [0, 2, 5, 7, 10, 12, 15, 17, 20, 22, 25, 27, 30, 32, 35, 37]),  # 40 frames last 1.6 s.
        (50, [n for n in range(40) for _ in range(2)]),
        (25, list(range(40))),
    ],
)
def test_a_rate_is_that_of_the_clock(fps, expected, write_movie, numbers, tmp_path):
    taken = take(tmp_path / "out", write_movie("a.mp4", 40), fps=fps)
    assert numbers(taken.frames[0]) == expected
    assert (taken.clips.fps, taken.of_clips("start"), taken.of_clips("end")) == (fps, [0.0], [1.6])


def test_frames_that_come_on_unevenly_are_shown_when_they_come_on(numbers, tmp_path):
    times = [0, 100, 200, 700, 800, 1500]  # The last one stays for 40 ms.
    pictures = np.repeat(numbered(6)[..., None], 3, -1)
    film = write_film(tmp_path / "a.mkv", pictures, times=times)
    assert numbers(take(tmp_path / "out", film, fps=10).frames[0]) == [0, 1, 2, 2, 2, 2, 2, 3, *[4] * 7, 5]
    assert numbers(take(tmp_path / "all", film).frames[0]) == [0, 1, 2, 3, 4, 5]


def test_films_of_different_rates_become_one(write_movie, numbers, tmp_path):
    films = [write_movie("fast.mp4", 40), write_movie("slow.mp4", 16, fps=10)]
    taken = take(tmp_path / "out", *films, fps=5)
    assert [numbers(frames) for frames in taken.frames] == [
        [0, 5, 10, 15, 20, 25, 30, 35],
        [0, 2, 4, 6, 8, 10, 12, 14],
    ]
    assert [source["fps"] for source in taken.manifest["sources"]] == [5, 5]


def test_pictures_without_times_are_taken_to_be_at_the_rate(numbers, tmp_path):
    taken = take(tmp_path / "out", write_images(tmp_path / "shots", numbered(12)), fps=8)
    assert numbers(taken.frames[0]) == list(range(12))
    assert (taken.clips.fps, taken.of_clips("end")) == (8, [1.5])


def test_skip_keeps_every_nth_and_comes_after_the_rate(write_movie, numbers, tmp_path):
    film = write_movie("a.mp4", 40)
    taken = take(tmp_path / "out", film, skip=3)
    assert numbers(taken.frames[0]) == list(range(0, 40, 3))
    assert taken.clips.fps == pytest.approx(25 / 3)
    both = take(tmp_path / "both", film, skip=3, fps=10)
    assert numbers(both.frames[0]) == [0, 7, 15, 22, 30, 37]
    assert both.clips.fps == pytest.approx(10 / 3)


def test_the_clips_of_an_array_stay_clips(tmp_path):
    array = np.arange(3 * 5, dtype=np.uint8).reshape(3, 5, 1, 1) * np.ones((20, 24), np.uint8)
    path = write_array(tmp_path / "a.npy", array)
    taken = take(tmp_path / "out", path, axes="NTHW")
    np.testing.assert_array_equal(np.stack(taken.frames)[..., 0], array)
    skipping = take(tmp_path / "skipping", path, axes="NTHW", skip=2)  # Counted from the start of each clip.
    assert [frames[:, 0, 0, 0].tolist() for frames in skipping.frames] == [[0, 2, 4], [5, 7, 9], [10, 12, 14]]


@pytest.mark.parametrize("suffix", [".npz", ".h5"])
def test_one_of_several_arrays_is_named(suffix, numbers, tmp_path):
    arrays = {"walks": numbered(5), "flights": numbered(3)}
    path = tmp_path / f"many{suffix}"
    if suffix == ".npz":
        np.savez(path, **arrays)
    else:
        with h5py.File(path, "w") as file:
            for key, array in arrays.items():
                file[key] = array
    other = write_array(tmp_path / "a.npy", numbered(2))
    taken = take(tmp_path / "none", path, other)
    assert (taken.sources, taken.skipped) == (["a.npy"], {path.name: f"{path.name} {KEYS_NEEDED}"})
    for key, array in arrays.items():
        taken = take(tmp_path / key, path, other, array=key)
        assert [numbers(frames) for frames in taken.frames] == [list(range(len(array))), [0, 1]]
        assert taken.manifest["source"]["config"]["array"] == key


@pytest.mark.parametrize(
    "splits",
    [
        {"train": "train", "validation": "validation", "test": "test"},
        {"Train": "train", "val": "validation", "a/b/valid/c": "validation"},
        {"a/train/x": "train", "a/b": "train"},
        {"test": None, "other": None},
        {"validation": None, "test": None},
    ],
)
def test_folders_named_so_are_splits_where_there_is_one_for_training(splits, tmp_path):
    for folder in splits:
        write_array(tmp_path / "in" / folder / "a.npy", numbered(4))
    taken = take(tmp_path / "out", tmp_path / "in")
    found = dict(zip(taken.sources, taken.of_clips("split"), strict=True))
    assert found == {f"in/{folder}/a.npy": split for folder, split in splits.items()}


def test_what_lies_outside_the_splits_is_for_training(tmp_path):
    for place in ("in/train/a.npy", "in/test/b.npy", "in/c.npy"):
        write_array(tmp_path / place, numbered(4))
    taken = take(tmp_path / "out", tmp_path / "in")
    assert dict(zip(taken.sources, taken.of_clips("split"), strict=True)) == {
        "in/train/a.npy": "train",
        "in/test/b.npy": "test",
        "in/c.npy": "train",
    }


def test_the_manifest_says_what_was_taken(write_movie, tmp_path):
    film = write_movie("a.mp4", 40)
    array = write_array(tmp_path / "b.npy", numbered(6))
    manifest = take(tmp_path / "out", film, array, skip=2, size=32, fit="pad", gray=True).manifest
    assert manifest["sources"] == [
        {
            "path": "a.mp4",
            "sha256": hashlib.sha256(film.read_bytes()).hexdigest(),
            "kind": "video",
            "detail": "h264 yuv420p",
            "size": [48, 96],
            "frames": 40,
            "rows": 20,
            "fps": 12.5,
            "seconds": 1.6,
            "sound": False,
            "gray": False,
            "timed": True,
        },
        {
            "path": "b.npy",
            "sha256": hashlib.sha256(array.read_bytes()).hexdigest(),
            "kind": "array",
            "detail": "uint8",
            "size": [48, 96],
            "frames": 6,
            "rows": 3,
            "fps": 12.5,
            "seconds": 0.24,
            "sound": False,
            "gray": True,
            "timed": False,
            "reading": "(6, 48, 96) read as T H W: 6 frames of 48 x 96, gray",
        },
    ]
    assert manifest["source"] == {
        "dataset": "ingest",
        "config": {
            "size": [32, 32],
            "fit": "pad",
            "gray": True,
            "skip": 2,
            "fps": None,
            "cuts": False,
            "min_length": 20,
            "clip_length": None,
            "stride": None,
            "count": 10_000,
            "audio": "none",
            "seed": 0,
            "array": None,
        },
    }
    assert manifest["decoder"] == {"av": av.__version__, "pillow": PIL.__version__}
    assert (manifest["format"], manifest["fps"], manifest["streams"]) == ("latentseq-clips/1", 12.5, {})
    assert [shard["rows"] for shard in manifest["shards"]] == [23]
    assert manifest["shards"][0]["sources"] == [0, 1]
    assert [(clip["start"], clip["end"]) for clip in manifest["clips"]] == [([0.0], [1.6]), ([0.0], [0.24])]


def test_frames_are_those_of_the_film(tmp_path):
    film = write_film(tmp_path / "a.mp4", scenes([6, 6], 100, 180))
    with av.open(str(film)) as file:
        expected = [f.reformat(60, 30, "rgb24", interpolation="AREA").to_ndarray() for f in file.decode(video=0)]
    taken = take(tmp_path / "out", film, size="30x60", fit="stretch")
    np.testing.assert_array_equal(taken.frames[0], expected)


def test_the_same_film_twice_is_two_clips(write_movie, numbers, tmp_path):
    film = write_movie("a.mp4", 6)
    taken = take(tmp_path / "out", film, film)
    assert [numbers(frames) for frames in taken.frames] == [list(range(6))] * 2
    assert taken.sources == ["a.mp4", "a.mp4"]


def test_bars_say_their_number(numbers):
    assert numbers(np.stack([bars(0), bars(1), bars(2741)])[..., None]) == [0, 1, 2741]


@pytest.mark.parametrize(("options", "step"), [({}, 1), ({"fps": 5}, 5), ({"skip": 2}, 2)], ids=str)
def test_the_clips_of_records_stay_clips(options, step, numbers, tmp_path):
    array = write_array(tmp_path / "a.npy", np.stack([numbered(20), numbered(20, first=100)]))
    export(take(tmp_path / "clips", array).out, tmp_path / "records", format="tfrecord")
    taken = take(tmp_path / "out", tmp_path / "records", **options)
    assert [source["kind"] for source in taken.manifest["sources"]] == ["records"]
    assert [numbers(frames) for frames in taken.frames] == [
        list(range(0, 20, step)),
        list(range(100, 120, step)),
    ]


def test_an_animation_is_shown_as_long_as_it_says(numbers, tmp_path):
    first, *others = [Image.fromarray(picture) for picture in numbered(4)]
    first.save(tmp_path / "a.webp", save_all=True, append_images=others, duration=[100, 300, 100, 200], lossless=True)
    taken = take(tmp_path / "out", tmp_path / "a.webp", fps=10)
    assert numbers(taken.frames[0]) == [0, 1, 1, 1, 2, 3, 3]
    assert (taken.of_clips("start"), taken.of_clips("end")) == ([0], [0.7])


def test_footage_that_would_fill_the_memory_is_left_out(write_movie, tmp_path):
    line = write_array(tmp_path / "in" / "line.npy", np.zeros((2, 1, 60_000), np.uint8))
    long = np.repeat(numbered(2)[..., None], 3, -1)
    write_film(tmp_path / "in" / "long.mkv", long, times=[0, 100_000_000])
    write_movie("in/a.mp4", 5)
    taken = take(tmp_path / "out", tmp_path / "in", fps=1000, axes="THW")
    assert taken.sources == ["in/a.mp4"]
    assert taken.skipped["in/line.npy"] == (
        "Its frames are 1 x 60000 (h x w), and would have to be 64 x 3840000 to cover 64 x 64. "
        "Choose --fit pad or stretch."
    )
    assert taken.skipped["in/long.mkv"] == (
        "It lasts 100000 s, 100000040 frames at 1000 a second; expected at most 10000000. Choose another --fps, or "
        "export it again."
    )
    assert take(tmp_path / "stretched", line, fit="stretch", axes="THW").lengths == [2]


def test_numbers_may_be_whole_or_not(write_movie, tmp_path, tree):
    film = write_movie("a.mp4", 30)
    one = take(tmp_path / "one", film, fps=10, crop=16, count=20, still=1, motion=0)
    other = take(tmp_path / "other", film, fps=10.0, crop=16, count=20, still=1.0, motion=0.0)
    assert tree(one.out) == tree(other.out)
