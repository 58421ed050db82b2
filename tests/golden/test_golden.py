"""Folders that earlier versions wrote: they are read, and give the numbers that they gave then."""

import json
from pathlib import Path

import numpy as np
import pytest
from golden_numbers import MODELS, numbers

import latentseq
from latentseq.commands.show import show
from latentseq.commands.verify import verify
from latentseq.storage.latents import LatentFolder

FOLDERS = sorted(path.parent for path in Path(__file__).parent.glob("*/numbers.json"))
RUNS = ("ae", "map", *MODELS)
"""Run folders in each of them."""


@pytest.fixture(params=FOLDERS, ids=lambda path: path.name, scope="module")
def folder(request) -> Path:
    return request.param


def test_there_are_golden_folders():
    assert [path.name for path in FOLDERS] == ["first", "second"]


def test_its_numbers_are_the_same(folder):
    wanted, found = json.loads((folder / "numbers.json").read_text()), numbers(folder)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        parts = value if isinstance(value, dict) else {"": value}
        for part, array in parts.items():
            got = found[name][part] if part else found[name]
            np.testing.assert_allclose(got, array, atol=2e-4, err_msg=f"{name} {part}")


def test_its_latents_are_those_of_its_encoder(folder):
    clip = latentseq.open_data(folder / "clips").read(0)
    for latents, run in (("z", "mixture"), ("zmap", "convlstm")):
        view = latentseq.load_predictor(folder / run).latent_view
        assert view is not None
        stored = LatentFolder(folder / latents).read(0, 0, len(clip.frames))["mean"]
        np.testing.assert_allclose(view.encoder.encode(clip.frames / np.float32(255)).mean, stored, atol=1e-5)


@pytest.mark.parametrize("name", ["clips", "z", *RUNS])
def test_it_is_shown_and_verified(folder, name):
    assert show(folder / name)
    assert verify(folder / name)
