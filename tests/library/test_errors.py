"""The error tree: what kind of trouble has which exit code, and how names are listed in a sentence."""

import pytest

from latentseq import errors


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (errors.LatentseqError, 1),
        (errors.UsageError, 2),
        (errors.DataError, 65),
        (errors.PluginError, 70),
        (errors.TryAgainError, 75),
    ],
)
def test_every_kind_has_its_exit_code(kind, code):
    assert issubclass(kind, errors.LatentseqError)
    assert kind("Why.").exit_code == code
    assert str(kind("Why.")) == "Why."


def test_no_kind_is_another():
    kinds = errors.LatentseqError.__subclasses__()
    assert len({kind.exit_code for kind in kinds}) == len(kinds)
    assert not any(issubclass(a, b) for a in kinds for b in kinds if a is not b)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [([], "none"), (["b"], "b"), (["b", "a"], "a and b"), ({"c", "a", "b"}, "a, b and c"), (iter("ba"), "a and b")],
)
def test_names_are_listed_in_order(names, sentence):
    assert errors.listed(names) == sentence


@pytest.mark.parametrize(
    ("name", "hint"),
    [("movng-digits", "Did you mean 'moving-digits'? "), ("vae", "Did you mean 'vae'? "), ("zebra", ""), ("", "")],
)
def test_a_hint_is_given_where_a_name_is_close(name, hint):
    assert errors.did_you_mean(name, ["vae", "moving-digits", "moving-squares"]) == hint
