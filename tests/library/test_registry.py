"""Plugins by name: what is installed, what is imported when, and what each kind of trouble is told as."""

import sys

import pytest

from latentseq import registry
from latentseq.errors import PluginError, UsageError

MODULE = """
from latentseq.protocols import Dataset


class Pond(Dataset):
    name, description = "pond", "Water."


class Cloud:
    pass
"""
HINT = "Install a plugin with pip; `latentseq plugins` lists all installed ones."


def refused(group, name, kind=UsageError):
    with pytest.raises(kind) as caught:
        registry.load(group, name)
    return str(caught.value)


def test_what_is_installed_is_listed_and_not_imported(install):
    install("ponds", {"datasets": {"pond": "pond_module:Pond"}, "encoders": {"pike": "pond_module:Pike"}})
    listed = {(row.group, row.name): row for row in registry.installed()}
    assert listed["datasets", "pond"] == ("datasets", "pond", "pond_module:Pond", "ponds", "1.0")
    assert listed["encoders", "pike"].distribution == "ponds"
    assert listed["encoders", "vae"].distribution == "latentseq"
    assert [row.group for row in registry.installed("datasets")] == ["datasets"] * len(registry.installed("datasets"))
    assert "pond_module" not in sys.modules


def test_a_plugin_is_loaded_by_its_name(install):
    install("ponds", {"datasets": {"pond": "pond_module:Pond"}}, pond_module=MODULE)
    assert registry.load("datasets", "pond").__name__ == "Pond"


def test_metadata_is_read_at_each_use(install):
    with pytest.raises(UsageError):
        registry.load("datasets", "pond")
    install("ponds", {"datasets": {"pond": "pond_module:Pond"}}, pond_module=MODULE)
    assert registry.load("datasets", "pond").name == "pond"


def test_an_unknown_name(install):
    known = sorted(row.name for row in registry.installed("datasets"))
    listed = f"{', '.join(known[:-1])} and {known[-1]}"
    assert refused("datasets", "moving-digit") == (
        f"No dataset is called 'moving-digit'. Did you mean 'moving-digits'? Installed: {listed}. {HINT}"
    )
    assert refused("datasets", "zzz") == f"No dataset is called 'zzz'. Installed: {listed}. {HINT}"
    assert refused("dynamics", "lstn").startswith("No dynamics is called 'lstn'. Did you mean 'lstm'? Installed: ")


def test_no_plugin_of_a_kind_at_all(monkeypatch):
    monkeypatch.setattr(registry, "entry_points", lambda **_: ())
    assert refused("predictors", "unet") == f"No predictor is called 'unet'. Installed: none. {HINT}"


def test_an_unknown_group():
    with pytest.raises(UsageError) as caught:
        registry.installed("encoder")
    assert str(caught.value) == (
        "'encoder' is not a kind of plugin. Did you mean 'encoders'? "
        "The kinds are datasets, decoders, dynamics, encoders and predictors."
    )


def test_two_claims_on_a_name(install):
    install("ponds", {"datasets": {"pond": "pond_module:Pond"}}, pond_module=MODULE)
    install("lakes", {"datasets": {"pond": "lake_module:Lake", "lake": "pond_module:Pond"}})
    assert refused("datasets", "pond") == (
        "2 plugins claim the dataset 'pond': lakes (lake_module:Lake) and ponds (pond_module:Pond). "
        "Uninstall or rename all but one."
    )
    assert registry.load("datasets", "lake").name == "pond"
    assert {row.distribution for row in registry.installed("datasets") if row.name == "pond"} == {"ponds", "lakes"}


def test_the_same_claim_twice_is_one(install):
    for _ in range(2):
        install("ponds", {"datasets": {"pond": "pond_module:Pond"}}, pond_module=MODULE)
    assert registry.load("datasets", "pond").name == "pond"
    assert [row.name for row in registry.installed("datasets")].count("pond") == 1


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("import a_module_that_is_missing", "ModuleNotFoundError: No module named 'a_module_that_is_missing'"),
        ("raise RuntimeError('no GPU')", "RuntimeError: no GPU"),
        ("x = 1", "AttributeError: module 'dry_module' has no attribute 'Pond'"),
        ("x = ", "SyntaxError: invalid syntax (dry_module.py, line 1)"),
        (
            "import sys; sys.exit(1)",
            "it called sys.exit(1), but it should raise an exception",
        ),
    ],
)
def test_a_plugin_that_does_not_import(text, cause, install):
    install("ponds", {"datasets": {"dry": "dry_module:Pond", "pond": "pond_module:Pond"}}, dry_module=text)
    install("more", {}, pond_module=MODULE)
    assert refused("datasets", "dry", PluginError) == (
        f"The dataset 'dry' (dry_module:Pond, from ponds 1.0) does not import: {cause}. "
        "Reinstall or remove that distribution; other plugins still work."
    )
    assert registry.load("datasets", "pond").name == "pond"
    assert registry.load("datasets", "moving-squares").name == "moving-squares"


def test_a_class_of_another_kind(install):
    install(
        "ponds",
        {"datasets": {"cloud": "pond_module:Cloud"}, "encoders": {"pond": "pond_module:Pond"}},
        pond_module=MODULE,
    )
    assert refused("datasets", "cloud", PluginError) == (
        "The dataset 'cloud' (pond_module:Cloud, from ponds 1.0) is <class 'pond_module.Cloud'>; "
        "expected a class derived from latentseq.Dataset."
    )
    assert refused("encoders", "pond", PluginError).endswith("expected a class derived from latentseq.Encoder.")


def test_what_is_no_class(install):
    install("ponds", {"datasets": {"word": "pond_module:__name__"}}, pond_module=MODULE)
    assert refused("datasets", "word", PluginError) == (
        "The dataset 'word' (pond_module:__name__, from ponds 1.0) is 'pond_module'; "
        "expected a class derived from latentseq.Dataset."
    )


@pytest.mark.parametrize(
    ("parameters", "named"),
    [("*args", "*args"), ("depth: int = 2, **other", "**other"), ("depth: int, size: int = 3, /", "depth and size")],
)
def test_a_constructor_that_takes_what_has_no_name(parameters, named, install):
    text = f"{MODULE}\nclass Open(Pond):\n    def __init__(self, {parameters}): pass\n"
    install("ponds", {"datasets": {"open": "open_module:Open"}}, open_module=text)
    assert refused("datasets", "open", PluginError) == (
        f"The dataset 'open' (open_module:Open, from ponds 1.0) takes {named} in its constructor; expected keywords "
        "with names only, because the keywords are the configuration. Ask the author of the plugin to name them."
    )


@pytest.mark.parametrize(("code", "error"), [(1, PluginError), (None, PluginError), (143, SystemExit)])
def test_a_constructor_that_ends_the_process(code, error, install):
    text = f"{MODULE}\nclass Leaver(Pond):\n    def __init__(self): raise SystemExit({code})\n"
    text += "Leaver.__abstractmethods__ = frozenset()\n"
    install("ponds", {"datasets": {"leaver": "leaver_module:Leaver"}}, leaver_module=text)
    with pytest.raises(error) as caught:
        registry.build("datasets", "leaver", None)
    if error is PluginError:
        assert str(caught.value) == (
            f"pond cannot be built: it called sys.exit({code}), but it should raise an exception. "
            "Update or remove the distribution that it comes from."
        )
