"""Exporting, previewing and verifying, as they are typed."""

import json

import av
import numpy as np
import pytest
from PIL import Image

from latentseq.storage.atomic import write_sealed

SQUARES = ["moving-squares", "--data-set", "count=3", "--data-set", "length=12", "--data-set", "size=16"]


@pytest.mark.parametrize("format", ["gif", "mp4", "npy", "png", "tfrecord", "webp"])
def test_every_format_is_one_line_away(format, cli, tmp_path):
    out = tmp_path / "out"
    answer = cli("export", *SQUARES, out, "--format", format)
    assert (answer.code, answer.out) == (0, f"{out}\n"), answer
    about = json.loads((out / "export.json").read_text())
    assert (about["format"], about["clips"], about["frames"], about["fps"]) == (format, 3, 36, 25.0)
    assert len(list(out.iterdir())) == {"npy": 2, "tfrecord": 2}.get(format, 4)


def test_videos_are_what_one_gets(cli, tmp_path):
    assert cli("export", *SQUARES, tmp_path / "out", "--quiet") == (0, f"{tmp_path / 'out'}\n", "")
    for i in range(3):
        with av.open(tmp_path / "out" / f"clip-0000{i}.mp4") as film:
            assert len(list(film.decode(video=0))) == 12


def test_a_movie_is_exported_and_read_again(cli, write_movie, numbers, tmp_path):
    film = write_movie("film.mp4", frames=30)
    size = ["--data-set", "size=[24, 48]"]
    assert cli("export", film, tmp_path / "arrays", "--format", "npy", *size, "--quiet").code == 0
    array = np.load(tmp_path / "arrays" / "clips.npy")
    assert array.shape == (1, 30, 24, 48, 3)
    assert numbers(array[0]) == list(range(30))


def test_an_existing_export_is_kept_until_it_is_asked_to_be_replaced(refused, cli, tmp_path):
    line = ["export", *SQUARES, tmp_path / "out", "--quiet"]
    assert cli(*line).code == 0
    assert (
        refused(2, *line)
        == f"{tmp_path / 'out'} exists already. Choose another name, or replace it with --overwrite."
    )
    assert cli(*line, "--overwrite").code == 0
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "thesis.tex").write_text("years of work")
    assert refused(2, "export", *SQUARES, tmp_path / "thesis", "--overwrite") == (
        f"{tmp_path / 'thesis'} exists and was not written by this command (it holds no export.json), so it is not "
        "replaced. Choose another name, or remove it yourself."
    )


def test_what_cannot_be_exported(refused, runs, tmp_path):
    assert refused(2, "export", *SQUARES, tmp_path / "out", "--format", "mp5") == (
        "format is 'mp5'; expected one of gif, mp4, npy, png, tfrecord and webp. Did you mean 'mp4'?"
    )
    assert "holds latents" in refused(65, "export", runs / "z", tmp_path / "out")
    for name in ("moving-square", "x" * 300):
        assert "no dataset of that name" in refused(2, "preview", name)
        assert "no dataset of that name" in refused(2, "export", name, tmp_path / "out")


def test_a_preview(cli, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert cli("preview", *SQUARES) == (0, "moving-squares-preview.png\n", "")
    with Image.open(tmp_path / "moving-squares-preview.png") as image:
        assert image.format == "PNG"
        # Three rows and ten columns of frames of 64 pixels or more.
        assert image.height > 3 * 64
        assert image.width > 10 * 64
    line = ["preview", *SQUARES, "other.png"]
    assert cli(*line) == (0, "other.png\n", "")
    assert refused(2, *line) == "other.png exists already. Choose another name, or replace it with --overwrite."
    assert cli(*line, "--overwrite").code == 0


def test_what_is_whole_and_what_is_not(cli, refused, runs, tmp_path):
    answer = cli("verify", runs)
    assert (answer.code, answer.err) == (0, "")
    lines = [line.split("  ")[0] for line in answer.out.splitlines()]
    assert {"ae/artifact.json", "z/manifest.json", "lstm/artifact.json", "lstm/encoder/artifact.json"} <= set(lines)
    assert cli("encode", "moving-squares", *SQUARES[1:], runs / "ae", tmp_path / "z").code == 0
    shard = next((tmp_path / "z").glob("*.h5"))
    shard.write_bytes(shard.read_bytes()[:-1])
    assert refused(65, "verify", tmp_path) == (
        f"{tmp_path} is not as it was written. {shard} is damaged: its SHA-256 has changed. "
        "Copy the folder again, or make it again."
    )


def test_show_tells_sources_a_line_each(cli, runs, tmp_path):
    out = tmp_path / "z"
    assert cli("encode", "moving-squares", *SQUARES[1:], runs / "ae", out).code == 0
    manifest = json.loads((out / "manifest.json").read_text())
    manifest["skipped"] = [{"path": f"[red]{i}.mp4", "reason": "It is empty."} for i in range(2)]
    write_sealed(out / "manifest.json", manifest)
    lines = [line.rstrip() for line in cli("show", out).out.splitlines()]
    assert lines[-2].split(maxsplit=1) == ["skipped", "[red]0.mp4: It is empty."]
    assert lines[-1].strip() == "[red]1.mp4: It is empty."
