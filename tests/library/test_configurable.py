"""The constructor's keywords are the configuration: what is taken, what is refused, and with which words."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import pytest

from latentseq.configurable import Configurable, _fits, with_parts
from latentseq.errors import UsageError


class Thing(Configurable):
    name = "thing"
    description = "Something with options."

    def __init__(
        self,
        path: str,
        sizes: list[int] = (1, 2),  # type: ignore[assignment]
        rate: float = 0.5,
        steps: int | None = None,
        flag: bool = False,
        widths: dict[str, int] | None = None,
    ):
        self.path, self.sizes, self.rate, self.steps, self.flag, self.widths = path, sizes, rate, steps, flag, widths


class Bare(Configurable):
    name = "bare"
    description = "Something without."


def refused(kind: type[Configurable], config: Mapping[str, Any]) -> str:
    with pytest.raises(UsageError) as caught:
        kind.from_config(config)
    return str(caught.value)


def test_the_keywords_come_in_order():
    assert list(Thing.keywords()) == ["path", "sizes", "rate", "steps", "flag", "widths"]
    assert list(Bare.keywords()) == []


def test_the_configuration_builds_the_same_again():
    thing = Thing("p", sizes=[3], rate=1, widths={"sound": 2})
    config = {"path": "p", "sizes": [3], "rate": 1, "steps": None, "flag": False, "widths": {"sound": 2}}
    assert thing.get_config() == config
    assert Thing.from_config(config).get_config() == config


def test_a_configuration_is_json():
    config = Thing(Path("a") / "b", sizes=(1, (2, 3)), widths={1: (4,)}).get_config()  # type: ignore[arg-type]
    assert config["path"] == "a/b"
    assert config["sizes"] == [1, [2, 3]]
    assert config["widths"] == {"1": [4]}


def test_what_has_no_options_is_built_from_none():
    assert isinstance(Bare.from_config({}), Bare)
    assert refused(Bare, {"path": 1}) == "bare has no option 'path'. Its options: none."


def test_an_unknown_option():
    assert refused(Thing, {"path": "p", "rte": 1}) == (
        "thing has no option 'rte'. Did you mean 'rate'? Its options: flag, path, rate, sizes, steps and widths."
    )
    assert refused(Thing, {"path": "p", "xyz": 1}) == (
        "thing has no option 'xyz'. Its options: flag, path, rate, sizes, steps and widths."
    )


def test_a_missing_option():
    assert refused(Thing, {"rate": 1}) == "thing needs the option path, which is missing."


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"rate": "fast"}, "thing: option rate is 'fast'; expected float."),
        ({"steps": 1.5}, "thing: option steps is 1.5; expected int | None."),
        ({"flag": 1}, "thing: option flag is 1; expected bool."),
        ({"sizes": [1, "2"]}, "thing: option sizes is [1, '2']; expected list[int]."),
        ({"widths": {"a": None}}, "thing: option widths is {'a': None}; expected dict[str, int] | None."),
        ({"path": 3}, "thing: option path is 3; expected str."),
    ],
)
def test_a_value_of_another_type(config, message):
    assert refused(Thing, {"path": "p", **config}) == message


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (1, int),
        (1, float),
        (0.5, float),
        (True, bool),
        ("a", str),
        (None, None),
        (None, int | None),
        (3, int | None),
        (3, list[int] | int),
        ([3], list[int] | int),
        ([], list[int]),
        ([1, 2], list[int]),
        ((1, 2), list[int]),
        ([1, 2], tuple[int, int]),
        ([1, 2, 3], tuple[int, ...]),
        ([], tuple[int, ...]),
        ([1, "a"], tuple[int, str]),
        ([[1], [2, 3]], list[list[int]]),
        ({"a": 1}, dict[str, int]),
        ({}, dict[str, int]),
        ("crop", Literal["crop", "pad"]),
        ({"any": [object]}, Any),
    ],
)
def test_what_fits(value, hint):
    assert _fits(value, hint)


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (True, int),
        (True, float),
        (1.0, int),
        ("1", int),
        (1, bool),
        (1, str),
        (None, int),
        (0, None),
        ("3", int | None),
        ("ab", list[str]),
        ([1.5], list[int]),
        ([True], list[int]),
        ([1, 2, 3], tuple[int, int]),
        ([1], tuple[int, int]),
        (["a", 1], tuple[int, str]),
        ({"a": "1"}, dict[str, int]),
        ([("a", 1)], dict[str, int]),
        ("stretch", Literal["crop", "pad"]),
    ],
)
def test_what_does_not_fit(value, hint):
    assert not _fits(value, hint)


class Whole(Configurable):
    name = "whole"
    description = "Something of parts."

    def __init__(self, size: int = 1, left_options: dict[str, int] | None = None, right_options: Any = None):
        self.size, self.left_options, self.right_options = size, left_options, right_options


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ({}, {}),
        ({"size": 2, "left_options": None}, {"size": 2, "left_options": None}),
        ({"left.a": 1, "right.b": [2], "left.c": 3}, {"left_options": {"a": 1, "c": 3}, "right_options": {"b": [2]}}),
        ({"left.a": 1, "left_options": {"a": 0, "b": 2}}, {"left_options": {"a": 1, "b": 2}}),
        ({"left_options": None, "left.a": 1}, {"left_options": {"a": 1}}),
        # Behind the first dot is the part's own affair: it may have parts too.
        ({"right.left.a": 1}, {"right_options": {"left.a": 1}}),
    ],
)
def test_dotted_options_are_gathered_by_part(given, wanted):
    assert with_parts(Whole, given) == wanted


@pytest.mark.parametrize(
    ("plugin", "key", "wanted"),
    [
        (
            Whole,
            "lift.a",
            "whole has no part 'lift' for the option lift.a. Did you mean 'left'? Its parts: left and right.",
        ),
        (Bare, "left.a", "bare has no part 'left' for the option left.a. Its parts: none."),
    ],
)
def test_an_option_of_no_part_is_refused(plugin, key, wanted):
    with pytest.raises(UsageError) as error:
        with_parts(plugin, {key: 1})
    assert str(error.value) == wanted
