"""Base classes of plugins made of Keras networks, whose weights are stored in plain files."""

import contextlib
import inspect
import typing
from abc import abstractmethod
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from latentseq.backend import check_backend
from latentseq.configurable import Plugin
from latentseq.storage.tensors import load_tensors, save_tensors

check_backend(keras.config.backend())
WEIGHTS = "weights.safetensors"
CHUNK = 64
"""Largest number of rows that are run at once."""
FLOAT, EPSILON, IMAGES = "float32", 1e-7, "channels_last"
"""Settings of Keras that models are built and run under. They are the defaults of Keras."""


@contextlib.contextmanager
def own_settings() -> Iterator[None]:
    """Give Keras our settings within a block, and the user's settings back afterwards.

    Keras has settings for the whole process: the dtype of numbers and layers, and the order of an image's axes. Users
    may have changed them for other work, in ``keras.json`` or in a notebook. Our models do not depend on that. A
    layer with a dtype of its own, such as ``mixed_bfloat16``, keeps it.
    """
    config = keras.config
    policy = config.dtype_policy()
    before = config.floatx(), config.epsilon(), config.image_data_format()
    if (policy.name, *before) == (FLOAT, FLOAT, EPSILON, IMAGES):
        yield
        return
    try:
        _configure(FLOAT, FLOAT, EPSILON, IMAGES)
        yield
    finally:
        _configure(policy, *before)


def _configure(policy: object, floatx: str, epsilon: float, images: str) -> None:
    config = keras.config
    config.set_floatx(floatx)
    config.set_epsilon(epsilon)
    config.set_image_data_format(images)
    config.set_dtype_policy(policy)


class KerasPlugin(Plugin):
    """A plugin whose state is the weights of its ``networks``.

    Weights are stored by path, ``network/layer/variable``, so every network and every layer needs a name. Keras
    numbers layers without a name, so another instance would have other paths.

    The constructor and all methods and properties of a subclass run under latentseq's own settings of Keras.
    """

    def __init_subclass__(cls, **options: Any) -> None:
        """Wrap the methods and properties of the subclass, in which networks are built and called."""
        super().__init_subclass__(**options)
        for name, member in list(vars(cls).items()):
            if inspect.isfunction(member):
                setattr(cls, name, own_settings()(member))
            elif isinstance(member, property):
                getter = own_settings()(member.fget) if member.fget else None
                setattr(cls, name, property(getter, member.fset, member.fdel, member.__doc__))

    @property
    @abstractmethod
    def networks(self) -> dict[str, keras.Model]:
        """The networks that hold everything learned, by name. The names are part of the files, so they must stay."""

    def count_parameters(self) -> int | None:
        """Number of weights of all networks."""
        return sum(network.count_params() for network in self.networks.values())

    def save_state(self, folder: Path) -> None:
        """See ``Plugin.save_state``."""
        save_tensors({k: keras.ops.convert_to_numpy(v) for k, v in self._weights().items()}, folder / WEIGHTS)

    def load_state(self, folder: Path) -> None:
        """See ``Plugin.load_state``."""
        weights = self._weights()
        expected = {k: (tuple(v.shape), str(v.dtype)) for k, v in weights.items()}
        for key, tensor in load_tensors(folder / WEIGHTS, expected, self.optional_weights()).items():
            weights[key].assign(tensor)

    def optional_weights(self) -> set[str]:
        """Keys of weights that files of earlier versions lack. Such weights keep their initial values."""
        return set()

    def _weights(self) -> dict[str, Any]:
        return {f"{n}/{w.path}": w for n, network in self.networks.items() for w in network.weights}


class LossNetwork(keras.Model):
    """A network that computes its own loss from what ``call`` returns.

    ``call`` takes a whole batch (``Batch``), which holds the targets as well.
    """

    @abstractmethod
    def loss_of(self, results: Any, training: bool = True) -> Any:
        """The loss, a scalar tensor.

        Args:
            results: what ``call`` returned.
            training: False in validation.
        """

    @typing.final
    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Compute the loss; Keras calls this in training and validation."""
        return self.loss_of(y_pred, training)


def swish(x: Any) -> Any:
    """The activation x * sigmoid(x).

    TensorFlow keeps the gradient function of its own ``swish`` in a table of the process for good, together with the
    graph around it, so every model that was ever traced would stay in memory.

    References:
        Ramachandran, Zoph & Le, Searching for Activation Functions, arXiv 1710.05941.
    """
    return x * keras.ops.sigmoid(x)


def in_chunks(run: Callable[[np.ndarray], Any], x: np.ndarray) -> list[np.ndarray]:
    """Run rows through a compiled function, a chunk at a time.

    A chunk is filled up to a power of two, so that few shapes are compiled and a single row stays cheap.

    Args:
        run: compiled function, such as ``predict_on_batch`` of a model: (m, ...) to a tensor or a list of tensors,
            (m, ...) each.
        x: (n, ...), at least one row.

    Returns:
        The outputs of ``run``, a list of arrays (n, ...). It has one array if ``run`` returns a single tensor.
    """
    parts = []
    for start in range(0, len(x), CHUNK):
        part = x[start : start + CHUNK]
        rows = np.minimum(np.arange(1 << (len(part) - 1).bit_length()), len(part) - 1)
        outputs = run(part[rows])
        outputs = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        parts.append([np.asarray(o)[: len(part)] for o in outputs])
    return [np.concatenate(column) for column in zip(*parts, strict=True)]
