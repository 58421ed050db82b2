"""Videos, folders of images and arrays as a dataset: what is found, in which order, and read anywhere."""

import subprocess
import sys
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import h5py
import numpy as np
import pytest
from PIL import Image

from latentseq import IngestOptions, Preprocessing
from latentseq.arrays import Clip
from latentseq.commands.ingest import ingest
from latentseq.errors import DataError, UsageError
from latentseq.media.records import write_records
from latentseq.storage.frames import ClipFolder
from latentseq.testing import DatasetPromises
from latentseq_plugins.datasets import files as module
from latentseq_plugins.datasets.files import Files


@pytest.fixture
def write(tmp_path):
    """Writes an image of one value."""

    def one(name, value, size=(12, 16)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((*size, 3), value, np.uint8)).save(path)
        return path

    return one


def values(clip):
    return clip.frames[:, 0, 0, 0].tolist()


def every(dataset):
    """What the clips show, of datasets of one value a frame."""
    return [values(dataset.read(i)) for i in range(len(dataset.lengths))]


def refused(call, kind=DataError):
    with pytest.raises(kind) as caught:
        call()
    return str(caught.value)


class TestPromises(DatasetPromises):
    """A movie, a folder of images and an array of two clips."""

    @pytest.fixture(autouse=True)
    def folder(self, write_movie):
        if "folder" not in self._shared:
            folder = self._shared["folder"] = write_movie("mixed/film.mp4", 13).parent
            (folder / "shot").mkdir()
            for i in range(5):
                Image.fromarray(np.full((12, 16, 3), 40 * i, np.uint8)).save(folder / "shot" / f"{i}.png")
            np.save(folder / "array.npy", np.random.default_rng(0).integers(0, 256, (2, 7, 12, 16, 3), np.uint8))

    def make(self):
        return Files(str(self._shared["folder"]), size=[8, 10], fit="pad", skip=2, audio="mel")


def test_one_file(write_movie, numbers):
    dataset = Files(str(write_movie("a.mp4", 30)), size=[24, 48], gray=True, skip=2)
    assert dataset.lengths.tolist() == [15]
    assert dataset.frame_shape == (24, 48, 1)
    assert dataset.fps == 12.5
    assert dataset.split is None
    clip = dataset.read(0, 3, 6)
    assert clip.streams == {}
    assert clip.frames.shape == (3, 24, 48, 1)
    assert clip.frames.dtype == np.uint8
    assert numbers(clip.frames) == [6, 8, 10]
    assert numbers(dataset.read_windows(np.array([0, 0]), np.array([9, 1]), 2).frames[0]) == [18, 20]


def test_a_folder_is_searched_in_natural_order(write_movie, tmp_path):
    for name, frames in {
        "b/clip10.mp4": 7,
        "b/clip2.mkv": 6,
        "a.webm": 5,
        "b/c/d.mp4": 4,
        "b/._clip2.mp4": 3,
    }.items():
        write_movie(
            name, frames, codec="libvpx" if name.endswith("webm") else "libx264", fps=10 if frames == 5 else 25
        )
    (tmp_path / "notes.txt").write_text("not a movie")
    dataset = Files(str(tmp_path), size=24)
    assert dataset.lengths.tolist() == [5, 4, 6, 7]
    assert dataset.frame_shape == (24, 24, 3)
    assert dataset.fps == 10  # Of the first.


def test_few_decoders_are_open_at_a_time(write_movie, tmp_path, numbers):
    for i in range(module.OPEN_FILES + 3):
        write_movie(f"{i}.mp4", 4 + i)
    dataset = Files(str(tmp_path), size=[24, 48], fit="stretch")
    for _ in range(2):
        for i in range(module.OPEN_FILES + 3):
            assert numbers(dataset.read(i).frames) == list(range(4 + i))
            assert sum(each.footage._container is not None for each in dataset._footage) <= module.OPEN_FILES


def test_the_config_builds_the_same_again(write_movie):
    config = {"path": str(write_movie("a.mp4")), "size": [24, 48], "fit": "pad", "gray": True, "skip": 3}
    config |= {"fps": 12.0, "array": None, "audio": "wave", "axes": None, "range": None, "hold_out": None}
    dataset = Files.from_config(config)
    assert dataset.get_config() == config
    assert dataset.fps == 4
    assert Files.from_config(dataset.get_config()).lengths.tolist() == dataset.lengths.tolist() == [7]
    assert Files.from_config({"path": config["path"]}).get_config()["size"] == 64


def test_a_copy_has_the_same_fingerprint_and_another_size_has_not(write_movie, tmp_path):
    path = write_movie("a.mp4")
    copy = tmp_path / "elsewhere.mp4"
    copy.write_bytes(path.read_bytes())
    mine = Files(str(path)).fingerprint()
    assert mine == Files(str(copy)).fingerprint()
    others = [
        Files(str(path), **options).fingerprint()
        for options in ({"size": 32}, {"fps": 10.0}, {"gray": True}, {"audio": "mel"}, {"fit": "pad"}, {"skip": 2})
    ]
    others.append(Files(str(write_movie("b.mp4", 41))).fingerprint())
    assert len({mine, *others}) == 8


def test_a_folder_of_images_is_a_clip(write, tmp_path):
    for i in (10, 2, 1, 0, 11):
        write(f"frame{i}.png", 10 * i)
    write(".hidden.png", 99)
    (tmp_path / "notes.txt").write_text("not an image")
    dataset = Files(str(tmp_path), size=8)
    assert dataset.lengths.tolist() == [5]
    assert dataset.frame_shape == (8, 8, 3)
    assert dataset.fps == 25
    assert dataset.split is None
    clip = dataset.read(0)
    assert clip.frames.shape == (5, 8, 8, 3)
    assert clip.frames.dtype == np.uint8
    assert clip.streams == {}
    assert values(clip) == [0, 10, 20, 100, 110]
    assert values(dataset.read(0, 2, 4)) == [20, 100]


def test_every_folder_that_holds_images_is_a_clip(write, tmp_path):
    for name, value in {"b10/1.png": 1, "b2/1.png": 2, "b2/2.bmp": 3, "a/deep/er/1.png": 4, "b2/x/1.png": 5}.items():
        write(name, value)
    write("a/larger/1.png", 6, size=(30, 30))
    dataset = Files(str(tmp_path), size=[6, 8], gray=True)
    assert every(dataset) == [[4], [6], [2, 3], [5], [1]]
    assert dataset.frame_shape == (6, 8, 1)


def test_images_are_at_the_rate_that_is_asked_for(write, tmp_path):
    for i in range(8):
        write(f"{i}.png", i)
    dataset = Files(str(tmp_path), size=4, skip=3, fps=30)
    assert values(dataset.read(0)) == [0, 3, 6]
    assert dataset.fps == 10


def test_a_single_image_is_a_clip_of_one_frame(write):
    dataset = Files(str(write("1.png", 7)), size=4)
    assert (dataset.lengths.tolist(), values(dataset.read(0))) == ([1], [7])


def test_arrays_of_every_kind(tmp_path):
    """A clip for each of the first axis of five; for a file that holds several, one is named."""
    one = np.arange(6, dtype=np.uint8)[:, None, None, None].repeat(5, 1).repeat(5, 2).repeat(3, 3)
    two = np.stack([one + np.uint8(10), one + np.uint8(20)])
    np.save(tmp_path / "a.npy", one)
    np.savez(tmp_path / "b.npz", films=two, labels=np.arange(3))
    with h5py.File(tmp_path / "c.h5", "w") as file:
        file["films"] = two[..., 0] + np.uint8(100)
    dataset = Files(str(tmp_path), size=5, array="films")
    frames = [[*range(start, start + 6)] for start in (0, 10, 20, 110, 120)]
    assert every(dataset) == frames
    assert every(Files(str(tmp_path), size=5, array="films", skip=4)) == [
        [0, 4],
        [10, 14],
        [20, 24],
        [110, 114],
        [120, 124],
    ]
    assert values(dataset.read(2, 1, 3)) == [21, 22]
    assert "holds no array 'film'. Did you mean 'films'?" in refused(lambda: Files(str(tmp_path), array="film"))


@pytest.mark.parametrize(
    ("fps", "wanted"),
    [(None, [0, 1, 2, 3, 4]), (5, [0, 2, 4]), (20, [0, 0, 1, 1, 2, 2, 3, 3, 4, 4])],
)
def test_records_are_clips_with_a_time_of_their_own(fps, wanted, tmp_path):
    frames = np.arange(5, dtype=np.uint8)[:, None, None, None].repeat(4, 1).repeat(4, 2)
    clips = [[Clip(frames + np.uint8(100 * i), {})] for i in range(3)]
    write_records(tmp_path / "a.tfrecord", clips, fps=10)
    dataset = Files(str(tmp_path), size=4, gray=True, fps=fps)
    assert every(dataset) == [[100 * i + value for value in wanted] for i in range(3)]
    assert dataset.fps == (fps or 10)


def test_a_folder_of_each_split(write, tmp_path):
    places = {"data/Train/x/a": 1, "data/train/y": 2, "data/VALID/z": 3, "data/test/train": 4, "data/other": 5}
    for place, value in places.items():
        write(f"{place}/1.png", value)
    dataset = Files(str(tmp_path / "data"), size=4)
    told = dict(zip([clip[0] for clip in every(dataset)], dataset.split.tolist(), strict=True))
    # The outermost name counts; what lies in no folder of a split is for training.
    assert told == {1: "train", 2: "train", 3: "validation", 4: "test", 5: "train"}


@pytest.mark.parametrize("names", [["test"], ["test", "other"], ["validation", "test"]])
def test_without_training_data_there_is_no_split(names, write, tmp_path):
    for name in names:
        write(f"data/{name}/1.png", 1)
    assert Files(str(tmp_path / "data"), size=4).split is None
    assert Files(str(tmp_path / "data" / "test"), size=4).split is None


@pytest.fixture
def films(shared, tmp_path):
    """Real films, one of them without sound, one lying upside down."""
    (tmp_path / "films").mkdir()
    for name in ("bigbuckbunny.mp4", "bikes.mp4", "fire.mp4"):
        (tmp_path / "films" / name).symlink_to(shared / "data" / name)
    return str(tmp_path / "films")


MEL, WAVE = {"audio": "mel", "fps": 8.0, "gray": True}, {"audio": "wave", "fps": 20.0, "skip": 3, "fit": "pad"}


@pytest.mark.parametrize("options", [{"audio": "mel"}, MEL, WAVE])
def test_what_is_read_is_what_ingest_stores(options, films, tmp_path):
    dataset = Files(films, size=16, **options)
    frames, sound = {k: v for k, v in options.items() if k != "audio"}, IngestOptions(audio=options["audio"])
    how = {"preprocessing": Preprocessing(16, **frames), "options": sound}
    stored = ClipFolder(str(ingest([films], tmp_path / "clips", **how, quiet=True)))
    assert dataset.lengths.tolist() == stored.lengths.tolist()
    assert (dataset.frame_shape, dataset.fps, dataset.streams) == (stored.frame_shape, stored.fps, stored.streams)
    assert dataset.streams["audio"] == (64 if options["audio"] == "mel" else 16_000 * 3 / 20)
    heard = []
    for i, length in enumerate(dataset.lengths.tolist()):
        whole, wanted = dataset.read(i), stored.read(i)
        np.testing.assert_array_equal(whole.frames, wanted.frames)
        for key in ("audio", "audio_mask"):
            assert (whole.streams[key].dtype, len(whole.streams[key])) == (np.float32, length)
            np.testing.assert_array_equal(whole.streams[key], wanted.streams[key])
        heard.append(float(whole.streams["audio_mask"].mean()))
        start, stop = length // 3, length // 2
        part = dataset.read(i, start, stop)
        np.testing.assert_array_equal(part.frames, whole.frames[start:stop])
        np.testing.assert_array_equal(part.streams["audio"], whole.streams["audio"][start:stop])
    assert heard[0] > 0.9
    assert heard[1] == 0  # Bikes have no sound.


def test_real_films_at_random(films, shared, tmp_path):
    dataset = Files(films, size=[24, 32])
    whole = [dataset.read(i).frames for i in range(3)]
    random = np.random.default_rng(0)
    for _ in range(25):
        i = int(random.integers(3))
        start = int(random.integers(len(whole[i])))
        stop = int(random.integers(start + 1, min(start + 4, len(whole[i])) + 1))
        np.testing.assert_array_equal(dataset.read(i, start, stop).frames, whole[i][start:stop])


def test_threads_share_a_dataset(write_movie, tmp_path, numbers):
    for name in "abc":
        write_movie(f"{name}.mp4", 40)
    dataset = Files(str(tmp_path), size=[24, 48], fit="stretch")
    asked = [(int(i), int(s)) for i, s in np.random.default_rng(0).integers(0, (3, 37), (60, 2))]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda each: numbers(dataset.read(each[0], each[1], each[1] + 3).frames), asked))
    assert found == [[start, start + 1, start + 2] for _, start in asked]


def test_memory_is_that_of_the_frames_asked_for(tmp_path):
    """Of an array of 400 MB."""
    array = np.lib.format.open_memmap(tmp_path / "a.npy", "w+", np.uint8, (2000, 256, 256, 3))
    array[1999] = 9
    del array
    tracemalloc.start()
    dataset = Files(str(tmp_path / "a.npy"), size=8)
    assert values(dataset.read(0, 1990, 2000)) == [0] * 9 + [9]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8e6


def test_memory_is_not_that_of_the_decoded_film(shared):
    """Of 250 frames of 640 x 272, 65 MB as they are decoded, none is kept."""
    code = f"""
import resource
from latentseq_plugins.datasets.files import Files
dataset = Files({str(shared / "data" / "bikes.mp4")!r}, size=8)
dataset.read(0, 0, 30)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert dataset.read(0).frames.shape == (250, 8, 8, 3)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(run.stdout) < 30_000  # Kilobytes.


NOTHING = "There is no footage: expected videos, folders of images, or arrays. "


def test_an_empty_folder(tmp_path):
    assert refused(lambda: Files(str(tmp_path))) == f"{NOTHING}The folders are empty."


def test_a_folder_of_other_things(tmp_path):
    (tmp_path / "papers").mkdir()
    for name in ("b.txt", "a.TXT", "notes", ".hidden.mp4"):
        (tmp_path / "papers" / name).touch()
    assert refused(lambda: Files(str(tmp_path / "papers"))) == (
        f"{NOTHING}Skipped: papers/a.TXT: .TXT is not a known type of video, image or array file. "
        "papers/b.txt: .txt is not a known type of video, image or array file. "
        "papers/notes: A file without a suffix is not a known type of video, image or array file."
    )


NO_FILM = (
    "{0} cannot be read as a video: its content is of no known video format, or its end is missing. "
    "Expected a file such as MP4, MKV, WebM or AVI; copy or export it again, or remove it."
)


def test_one_bad_movie_among_good_ones_is_named(write_movie, tmp_path):
    write_movie("films/a.mp4")
    (tmp_path / "films" / "b.mp4").write_text("hello")
    assert refused(lambda: Files(str(tmp_path / "films"))) == (
        f"films/b.mp4 cannot be used. {NO_FILM.format('films/b.mp4')} `latentseq ingest` skips such files."
    )


def test_a_bad_movie_alone_is_named(tmp_path):
    (tmp_path / "b.mp4").write_text("hello")
    assert refused(lambda: Files(str(tmp_path / "b.mp4"))) == (f"{NOTHING}Skipped: b.mp4: {NO_FILM.format('b.mp4')}")


def test_a_frame_that_is_damaged_is_an_error_when_it_is_read(write, tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    for i in range(3):
        Image.fromarray(noise).save(tmp_path / f"{i}.png")
    path = tmp_path / "1.png"
    path.write_bytes(path.read_bytes()[:5000])
    dataset = Files(str(tmp_path), size=8)
    assert dataset.read(0, 2, 3).frames.shape == (1, 8, 8, 3)
    assert refused(lambda: dataset.read(0)).startswith(f"{path} cannot be read as an image: ")


def test_mixed_sizes(write, tmp_path):
    write("shot/1.png", 0)
    write("shot/2.png", 0, size=(16, 12))
    assert refused(lambda: Files(str(tmp_path / "shot"))) == (
        f"{NOTHING}Skipped: shot: shot/1.png is 12 x 16 (h x w) and shot/2.png is 16 x 12; expected one size in a "
        "clip. Put images of different sizes into different folders, or resize them."
    )


def test_an_image_that_cannot_be_read(write, tmp_path):
    write("1.png", 0)
    (tmp_path / "2.png").write_text("hello")
    assert "2.png cannot be read as an image" in refused(lambda: Files(str(tmp_path)))


def test_nothing_there(tmp_path):
    assert refused(lambda: Files(str(tmp_path / "none.mp4")), UsageError) == (
        f"There is no file or folder {tmp_path / 'none.mp4'}. Check the path."
    )


def test_ranges(write_movie):
    path = str(write_movie("a.mp4", 10))
    assert refused(lambda: Files(path).read(0, 5, 11), UsageError) == (
        "Frames 5 to 10 of clip 0 were requested; it has frames 0 to 9."
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fit": "zoom"}, "Option fit is 'zoom'; expected 'crop', 'pad' or 'stretch'."),
        ({"fps": 0}, "Option fps is 0; expected frames a second, above 0 and at most 1000."),
        ({"skip": 0}, "Option skip is 0; expected 1 to keep every frame, 3 to keep every third."),
        ({"audio": "mp3"}, "Option audio is 'mp3'; expected 'mel', 'wave' or 'none'."),
        ({"size": "64"}, "files: option size is '64'; expected list[int] | int."),
    ],
)
def test_bad_options(options, message, tmp_path):
    assert refused(lambda: Files.from_config({"path": str(tmp_path), **options}), UsageError) == message
