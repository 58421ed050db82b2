"""Files from strangers: refused with a word to the user; nothing is run, written or filled, and nobody waits."""

import json
from collections.abc import Iterator
from pathlib import Path

import hostile_json
import hostile_media
import hostile_models
import hostile_runs
import hostile_shards
import pytest
from hostile import MEGABYTES, SECONDS, Child, child

MODULES = {
    each.__name__: each for each in (hostile_json, hostile_shards, hostile_models, hostile_media, hostile_runs)
}
ALL = [(module, name) for module, each in MODULES.items() for name in each.CASES]


@pytest.fixture(scope="module")
def tried() -> Iterator[Child]:
    with child(*MODULES) as made:
        yield made


def tree(folder: Path) -> dict[str, object]:
    """What is in a folder: of files their bytes, of such as are too large for that their size."""
    found: dict[str, object] = {}
    for path in sorted(folder.rglob("*")):
        about = path.lstat()
        small = path.is_file() and not path.is_symlink() and about.st_size < 1 << 26
        found[str(path.relative_to(folder))] = path.read_bytes() if small else (about.st_mode, about.st_size)
    return found


@pytest.fixture
def own(tmp_path, monkeypatch):
    """Where the user is, beside what was given and what is somebody else's."""
    for name in ("own", "given", "victim"):
        (tmp_path / name).mkdir()
    (tmp_path / "victim" / "precious").write_text("years of work")
    monkeypatch.chdir(tmp_path / "own")
    return tmp_path


@pytest.mark.parametrize(("module", "name"), ALL, ids=[name for _, name in ALL])
def test_a_hostile_file(module, name, own, tried):
    case = MODULES[module].CASES[name]
    case.make(own / "given")
    before = tree(own)
    told = tried.ask(module, "use", name, str(own / "given"))
    assert "died" not in told, f"{told} after {SECONDS} s and {MEGABYTES} MB at most"
    found = told.get("error", told.get("answer"))
    if isinstance(case.error, int):
        code, said = told.get("answer", (None, str(told)))
        assert (code, "This is a defect" in said) == (case.error, False), said
    else:
        said = told.get("said", "")
        assert found == case.error, told
    assert case.words in said
    assert tree(own) == before, "Something was written or lost."
    assert not told["keras"]


def test_there_are_many():
    assert len({name for _, name in ALL}) == len(ALL) >= 60
    assert json.dumps([name for _, name in ALL])
