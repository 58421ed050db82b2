"""What is held out of data without splits: whole clips, or the ends of all clips."""

import json

import gymnasium
import numpy as np
import pytest
from ingesting import numbered, take, write_array
from test_batches import Frames, items, latent_folder
from test_recording import COUNTER, Counter
from test_splits import PARTS

from latentseq.arrays import Latents
from latentseq.commands.ingest import ingest
from latentseq.commands.record import record
from latentseq.data.crops import Crops
from latentseq.data.open import open_data
from latentseq.data.splits import FEW_CLIPS, split_ranges
from latentseq.data.windows import frame_source, latent_source
from latentseq.errors import DataError, UsageError
from latentseq.evaluation.protocol import Protocol
from latentseq.ingestion.prepare import prepare
from latentseq.ingestion.recipe import IngestOptions
from latentseq.storage.frames import ClipFolder, write_clips
from latentseq.storage.latents import LatentFolder, write_latents
from latentseq.training.watch import Watcher


def held(lengths, hold_out=None, split=None):
    """{part: [(clip, start, stop), …]} of ranges that are not empty."""
    found = split_ranges(np.array(lengths), None if split is None else np.array(split), hold_out)
    return {part: [tuple(row) for row in found[part].tolist() if row[1] < row[2]] for part in PARTS}


ENDS = {"train": [(0, 0, 32), (1, 0, 80), (2, 0, 24)], "test": [(0, 32, 36), (1, 80, 90), (2, 24, 27)]}
ENDS["validation"] = [(0, 36, 40), (1, 90, 100), (2, 27, 30)]
CLIPS = {"train": [(0, 0, 40)], "test": [(1, 0, 100)], "validation": [(2, 0, 30)]}


def test_the_ends_of_a_few_clips_are_held_out_and_whole_ones_of_many():
    assert held([40, 100, 30]) == held([40, 100, 30], "ends") == ENDS
    assert held([40, 100, 30], "clips") == CLIPS
    for count in (FEW_CLIPS - 1, FEW_CLIPS):
        assert held([50] * count) == held([50] * count, "ends" if count < 20 else "clips")
    assert held([50] * 30, "ends")["validation"] == [(i, 45, 50) for i in range(30)]


def test_fewer_than_three_clips_are_always_cut_in_time():
    assert held([40, 100], "clips") == held([40, 100]) == {part: rows[:2] for part, rows in ENDS.items()}


@pytest.mark.parametrize("hold_out", [None, "clips", "ends"])
def test_splits_of_its_own_come_first(hold_out):
    split = ["validation", "train", "test"]
    wanted = {"validation": [(0, 0, 40)], "train": [(1, 0, 100)], "test": [(2, 0, 30)]}
    assert held([40, 100, 30], hold_out, split) == wanted


def test_a_clip_that_is_too_short_for_two_frames_of_each_is_for_training():
    # Of 16 frames, frames 13 to 15 are the end: one for test, two for validation.
    assert held([16, 20, 5], "ends") == {
        "train": [(0, 0, 16), (1, 0, 16), (2, 0, 5)],
        "test": [(1, 16, 18)],
        "validation": [(1, 18, 20)],
    }


def test_where_every_clip_is_too_short_whole_ones_are_held_out_or_the_last_frame():
    assert held([9, 5, 8], "ends") == held([9, 5, 8], "clips")
    assert held([9, 5, 8])["validation"] == [(2, 0, 8)]
    assert held([2]) == {"train": [(0, 0, 1)], "test": [], "validation": [(0, 1, 2)]}
    assert held([4, 3]) == {"train": [(0, 0, 3), (1, 0, 2)], "test": [], "validation": [(0, 3, 4), (1, 2, 3)]}
    assert held([1]) == {"train": [(0, 0, 1)], "test": [], "validation": []}


@pytest.mark.parametrize("hold_out", [None, "clips", "ends"])
@pytest.mark.parametrize("lengths", [[1], [2], [3, 1], [17, 40, 3], [9] * 12, [33] * 25])
def test_every_frame_is_in_exactly_one_part(lengths, hold_out):
    found = held(lengths, hold_out)
    frames = [(clip, t) for part in PARTS for clip, start, stop in found[part] for t in range(start, stop)]
    assert sorted(frames) == [(i, t) for i, length in enumerate(lengths) for t in range(length)]


def test_a_single_short_clip_trains_an_encoder():
    source = frame_source(Frames([2]))
    assert (len(source.train), len(source.validation)) == (1, 1)


def test_validation_windows_have_the_median_length_so_that_they_are_of_several_clips(tmp_path):
    # The ends for validation have 3, 4, 5 and 30 items; the lower one of the two in the middle is 4.
    source = latent_source(latent_folder(tmp_path / "z", [30, 40, 50, 300]), 10)
    windows = items(source.validation)
    assert {len(window) for window in windows} == {4}
    assert [window[0] for window in windows][:4] == [1036, 2045, 2046, 3270]
    # A window for training never has an item of the held-out end of its clip.
    first = [24, 32, 40, 240]
    assert all(item % 1000 < first[item // 1000] for window in items(source.train) for item in window)


def test_crops_come_from_whole_clips_where_the_ends_are_too_short():
    ends = Crops(Frames([100, 100, 100]), 1, clip_length=10, count=100)
    assert ends._ranges["validation"].tolist() == [[0, 90, 100], [1, 90, 100], [2, 90, 100]]
    whole = Crops(Frames([40, 40, 40]), 1, clip_length=10, count=100)
    assert whole._ranges["validation"].tolist() == [[2, 0, 40]]


def test_an_evaluation_is_of_what_was_held_out():
    lengths = np.array([40, 100, 30])
    assert Protocol(1, 1).ranges(lengths, None, "clips").tolist() == [[1, 0, 100]]
    assert Protocol(1, 1).ranges(lengths, None).tolist() == [[0, 31, 36], [1, 79, 90], [2, 23, 27]]


class Means:
    """An encoder whose latent is the mean of the frame."""

    latent_shape = (1,)

    def encode(self, x):
        return Latents(x.mean((1, 2, 3))[:, None])


@pytest.fixture
def films(tmp_path):
    """Four films of 40 frames, in two folders."""
    for i in range(4):
        write_array(tmp_path / "in" / "ab"[i % 2] / f"{i}.npy", numbered(40, 16, 24, first=40 * i))
    return tmp_path / "in"


@pytest.mark.parametrize("hold_out", [None, "clips", "ends"])
def test_the_choice_goes_with_the_clips_and_their_latents(films, tmp_path, hold_out):
    taken = take(tmp_path / "clips", films, hold_out=hold_out)
    write_clips(taken.clips, tmp_path / "copy", Watcher(quiet=True))
    write_latents(taken.clips, Means(), "e" * 64, tmp_path / "z", Watcher(quiet=True))
    folders = taken.clips, ClipFolder(str(tmp_path / "copy")), LatentFolder(tmp_path / "z")
    assert [folder.hold_out for folder in folders] == [hold_out] * 3
    for name in ("clips", "copy", "z"):
        manifest = json.loads((tmp_path / name / "manifest.json").read_text())
        assert manifest.get("hold_out", "nothing") == (hold_out or "nothing")
    if hold_out == "clips":  # Of every folder the last film is held out.
        assert sorted(taken.clips.split) == ["test", "train", "train", "validation"]
    else:
        assert taken.clips.split is None
    files = open_data(films, options={"gray": True, "size": [16, 24], "hold_out": hold_out})
    assert files.hold_out == hold_out
    np.testing.assert_array_equal(files.split, taken.clips.split)


def test_the_choice_changes_the_fingerprint_and_no_shard(films, tmp_path):
    takes = [take(tmp_path / str(way), films, hold_out=way) for way in (None, "ends", "clips")]
    assert len({each.clips.fingerprint() for each in takes}) == 3
    assert len({tuple(each.shards()) for each in takes}) == 1
    options = {"gray": True, "size": [16, 24]}
    files = [open_data(films, options={**options, "hold_out": way}) for way in (None, "ends", "clips")]
    assert len({each.fingerprint() for each in files}) == 3


def test_commands_that_decode_files_themselves_take_the_choice(films, tmp_path):
    data = prepare(films, {"hold_out": "clips"}, out=tmp_path / "run").open(tmp_path / "cache", quiet=True)
    assert data.hold_out == "clips"
    assert sorted(data.split) == ["test", "train", "train", "validation"]


def test_a_recording_has_the_choice(tmp_path):
    gymnasium.register(COUNTER, Counter)
    record(COUNTER, tmp_path / "ends", episodes=3, hold_out="ends", quiet=True)
    assert ClipFolder(str(tmp_path / "ends")).hold_out == "ends"
    record(COUNTER, tmp_path / "default", episodes=3, quiet=True)
    assert "hold_out" not in json.loads((tmp_path / "default" / "manifest.json").read_text())
    with pytest.raises(UsageError, match="--hold-out is 'all'; expected 'clips' or 'ends'"):
        record(COUNTER, tmp_path / "all", hold_out="all")
    del gymnasium.registry[COUNTER]


def test_the_summary_says_what_is_held_out_and_how_to_change_it(films, tmp_path, capfd):
    def said(*sources, **options):
        ingest(sources, tmp_path / "out", options=IngestOptions(**options), overwrite=True)
        lines = capfd.readouterr().err.splitlines()
        return lines[next(i for i, line in enumerate(lines) if line.startswith("4 clips")) + 1 :]

    fifth = "The last fifth of every clip is held out: a tenth for testing, a tenth for validation."
    assert said(films) == [fifth, "`ingest --hold-out clips` holds out whole clips instead."]
    assert said(films, hold_out="clips") == [
        "held out for validation: 1 clip, from in/b",
        "held out for test: 1 clip, from in/a",
        "`ingest --hold-out ends` holds out the end of every clip instead.",
    ]
    (films / "a" / "0.npy").unlink()
    write_array(films / "a" / "0.npy", numbered(9, 16, 24))
    assert said(films)[0] == (
        "The last fifth of 3 of 4 clips is held out: a tenth for testing, a tenth for validation. The other clips "
        "are too short for that and are for training."
    )
    films.rename(tmp_path / "train")
    assert [line[:8] for line in said(tmp_path / "train")] == ["held out"], "Named splits are no choice."


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"hold_out": "all"}, "--hold-out is 'all'; expected 'clips' or 'ends'."),
        (
            {"hold_out": "ends", "crop": 8},
            "--hold-out does not apply to crops, nor to clips that share frames: parts of the footage are held out, "
            "so that no frame is on both sides. Leave it out.",
        ),
        (
            {"hold_out": "clips", "clip_length": 8, "stride": 2},
            "--hold-out does not apply to crops, nor to clips that share frames: parts of the footage are held out, "
            "so that no frame is on both sides. Leave it out.",
        ),
    ],
)
def test_choices_that_do_not_fit_are_refused(options, words):
    with pytest.raises(UsageError) as error:
        IngestOptions(**options)
    assert str(error.value) == words


def test_a_manifest_that_holds_out_something_else_is_refused(films, tmp_path):
    take(tmp_path / "clips", films)
    path = tmp_path / "clips" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "hold_out": "middles"}))
    with pytest.raises(DataError, match="hold_out is 'middles'; expected clips, ends or nothing"):
        ClipFolder(str(tmp_path / "clips"))
