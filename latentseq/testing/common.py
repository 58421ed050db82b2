"""The building blocks of promises: the decorator, and the checks that break a promise.

Checks do not use ``assert``, so a kit works under ``python -O``. They do not import pytest, so a kit works with any
test runner that calls ``test_`` methods.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any
from unittest import SkipTest

import numpy as np
import numpy.typing as npt

from latentseq.arrays import State


class PromiseBroken(AssertionError):
    """A plugin breaks a promise. The message is the promise, followed by what the plugin did."""


def promise(test: Callable[[Any], None]) -> Callable[[Any], None]:
    """Make a test method a promise. Its docstring is the numbered sentence that starts every failure message.

    An unexpected error of the plugin also breaks the promise, and is the cause of the ``PromiseBroken``. A
    ``SkipTest`` is passed on: it means that the promise does not apply.
    """
    sentence = _sentence(test)

    @functools.wraps(test)
    def checked(self: Any) -> None:
        try:
            test(self)
        except PromiseBroken as broken:
            raise PromiseBroken(f"Promise {sentence} {broken}") from None
        except SkipTest:
            raise
        except Exception as cause:
            raise PromiseBroken(f"Promise {sentence} The plugin raised {_description(cause)}.") from cause

    return checked


def promises(kind: type) -> dict[str, str]:
    """The promises of a kit, in order: method name -> numbered sentence."""
    return {name: _sentence(getattr(kind, name)) for name in sorted(dir(kind)) if name.startswith("test_")}


def require(condition: bool, message: str) -> None:
    """Break the current promise unless the condition is true.

    Args:
        condition: requirement of the promise.
        message: what the plugin did instead; the author reads it after the promise.

    Raises:
        PromiseBroken: the condition is false.
    """
    if not condition:
        raise PromiseBroken(message)


def require_array(
    array: Any, what: str, shape: tuple[int, ...], *, dtype: npt.DTypeLike = np.float32, unit: bool = False
) -> None:
    """Require a finite NumPy array of a shape and dtype; if ``unit``, with values in [0, 1].

    Raises:
        PromiseBroken: the array is different.
    """
    require(isinstance(array, np.ndarray), f"{what} is a {type(array).__name__}; expected a NumPy array.")
    require(array.shape == shape, f"{what} has shape {array.shape}; expected {shape}.")
    require(array.dtype == dtype, f"{what} has dtype {array.dtype}; expected {np.dtype(dtype)}.")
    require(bool(np.isfinite(array).all()), f"{what} has values that are not finite.")
    low, high = array.min(), array.max()
    require(not unit or (low >= 0 and high <= 1), f"{what} ranges from {low:.4g} to {high:.4g}; expected [0, 1].")


def require_close(array: np.ndarray, expected: np.ndarray, what: str, tolerance: float) -> None:
    """Require arrays that are equal within ``tolerance`` times the largest expected value, or times 1 if it is less.

    Raises:
        PromiseBroken: the shapes or the values differ.
    """
    require(array.shape == expected.shape, f"{what}: the shapes {array.shape} and {expected.shape} differ.")
    allowed = tolerance * max(1.0, float(np.abs(expected).max(initial=0)))
    difference = float(np.abs(array.astype(np.float64) - expected).max(initial=0))
    require(difference <= allowed, f"{what} differ by {difference:.3g}; allowed {allowed:.3g}.")


def require_same(array: np.ndarray, expected: np.ndarray, what: str) -> None:
    """Require arrays of the same shape, dtype and bytes.

    Raises:
        PromiseBroken: the arrays differ.
    """
    same = array.shape == expected.shape and array.dtype == expected.dtype and array.tobytes() == expected.tobytes()
    require(same, f"{what} do not have the same bytes.")


def require_error(kinds: tuple[type[Exception], ...], call: Callable[[], Any], what: str) -> None:
    """Require that the call raises one of ``kinds``.

    Raises:
        PromiseBroken: the call raises another error, or none.
    """
    expected = " or ".join(kind.__name__ for kind in kinds)
    try:
        call()
    except kinds:
        return
    except Exception as other:
        raise PromiseBroken(f"{what} raised {_description(other)}; expected {expected}.") from other
    raise PromiseBroken(f"{what} was accepted; expected {expected}.")


def frozen(array: np.ndarray) -> np.ndarray:
    """A read-only copy of an array."""
    array = array.copy()
    array.flags.writeable = False
    return array


def copied(arrays: Mapping[str, np.ndarray]) -> State:
    """Copies of arrays."""
    return {name: np.array(array) for name, array in arrays.items()}


def _sentence(test: Callable[..., Any]) -> str:
    return " ".join((test.__doc__ or test.__name__).split())


def _description(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).rstrip('.')}"
