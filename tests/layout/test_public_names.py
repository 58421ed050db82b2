"""What ``latentseq`` exports: every name resolves, and type checkers see the same names."""

import ast
from pathlib import Path

import pytest

import latentseq

TREE = ast.parse(Path(latentseq.__file__).read_text())


def typed_names():
    """The names that type checkers see, with the module that each comes from."""
    block = next(node for node in TREE.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    return {name.name: str(node.module) for node in block.body for name in node.names}


def test_type_checkers_see_the_exported_names():
    assert typed_names() == latentseq._HOME
    assert sorted(latentseq.__all__) == sorted(latentseq._HOME)
    assert set(latentseq.__all__) <= set(dir(latentseq))


@pytest.mark.parametrize("name", latentseq.__all__)
def test_an_exported_name_resolves(name):
    assert getattr(latentseq, name) is not None


def test_a_name_that_is_not_exported_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'latentseq' has no attribute 'nothing'"):
        latentseq.nothing  # noqa: B018
