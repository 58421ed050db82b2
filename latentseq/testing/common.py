"""What every promise is made of: the decorator that numbers it, and the comparisons that break it.

Nothing here is a bare ``assert``, so a kit run under ``python -O`` still checks; and nothing imports pytest, so
a kit runs under any test runner that calls ``test_`` methods.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any
from unittest import SkipTest

import numpy as np
import numpy.typing as npt

from latentseq.arrays import State


class PromiseBroken(AssertionError):
    """A plugin does not keep a promise; the message says which, and what was found."""


def promise(test: Callable[[Any], None]) -> Callable[[Any], None]:
    """Make a method a promise: its docstring is the numbered sentence that every failure starts with.

    Any error that the plugin raises breaks the promise too, and stays the cause. A ``SkipTest`` passes through:
    it says that the promise does not apply.
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
            raise PromiseBroken(f"Promise {sentence} The plugin raised {_named(cause)}.") from cause

    return checked


def promises(kind: type) -> dict[str, str]:
    """The promises of a kit: method name -> numbered sentence, in order."""
    return {name: _sentence(getattr(kind, name)) for name in sorted(dir(kind)) if name.startswith("test_")}


def require(kept: bool, found: str) -> None:
    """Break the promise that is being checked, unless ``kept``.

    Raises:
        PromiseBroken: it is not kept; ``found`` is what the author reads after the promise.
    """
    if not kept:
        raise PromiseBroken(found)


def require_array(
    array: Any, what: str, shape: tuple[int, ...], *, dtype: npt.DTypeLike = np.float32, unit: bool = False
) -> None:
    """A NumPy array of that shape and dtype, finite, and in [0, 1] where ``unit``.

    Raises:
        PromiseBroken: it is not.
    """
    require(isinstance(array, np.ndarray), f"{what} is a {type(array).__name__}; expected a NumPy array.")
    require(array.shape == shape, f"{what} has shape {array.shape}; expected {shape}.")
    require(array.dtype == dtype, f"{what} has dtype {array.dtype}; expected {np.dtype(dtype)}.")
    require(bool(np.isfinite(array).all()), f"{what} holds values that are not finite.")
    low, high = array.min(), array.max()
    require(not unit or (low >= 0 and high <= 1), f"{what} ranges from {low:.4g} to {high:.4g}; expected [0, 1].")


def require_close(found: np.ndarray, wanted: np.ndarray, what: str, tolerance: float) -> None:
    """Equal to ``tolerance``, taken relative to the largest value where that is above 1.

    Raises:
        PromiseBroken: the shapes or the values differ.
    """
    require(found.shape == wanted.shape, f"{what}: the shapes {found.shape} and {wanted.shape} differ.")
    allowed = tolerance * max(1.0, float(np.abs(wanted).max(initial=0)))
    apart = float(np.abs(found.astype(np.float64) - wanted).max(initial=0))
    require(apart <= allowed, f"{what} differ by {apart:.3g}; allowed {allowed:.3g}.")


def require_same(found: np.ndarray, wanted: np.ndarray, what: str) -> None:
    """Equal to the last bit.

    Raises:
        PromiseBroken: they are not.
    """
    same = found.shape == wanted.shape and found.dtype == wanted.dtype and found.tobytes() == wanted.tobytes()
    require(same, f"{what} are not the same bytes.")


def require_error(kinds: tuple[type[Exception], ...], call: Callable[[], Any], what: str) -> None:
    """The call raises one of ``kinds``.

    Raises:
        PromiseBroken: it raises something else, or nothing.
    """
    expected = " or ".join(kind.__name__ for kind in kinds)
    try:
        call()
    except kinds:
        return
    except Exception as other:
        raise PromiseBroken(f"{what} raised {_named(other)}; expected {expected}.") from other
    raise PromiseBroken(f"{what} was accepted; expected {expected}.")


def frozen(array: np.ndarray) -> np.ndarray:
    """A copy that cannot be written."""
    array = array.copy()
    array.flags.writeable = False
    return array


def copied(arrays: Mapping[str, np.ndarray]) -> State:
    """Arrays that nobody else holds."""
    return {name: np.array(array) for name, array in arrays.items()}


def _sentence(test: Callable[..., Any]) -> str:
    return " ".join((test.__doc__ or test.__name__).split())


def _named(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error).rstrip('.')}"
