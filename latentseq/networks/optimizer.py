"""The optimiser of every fit: Adam that takes no step on gradients that are not finite."""

import math
from typing import Any

import keras
from keras import ops

ALL_GOOD = -1


class GuardedAdam(keras.optimizers.Adam):
    """Adam that changes neither weights nor moments if a gradient is not finite, and tells which gradient it was.

    References:
        Kingma & Ba, Adam: A Method for Stochastic Optimization, arXiv 1412.6980.
    """

    def build(self, variables: list[Any]) -> None:
        """See ``keras.optimizers.Optimizer.build``."""
        if not self.built:
            first = keras.initializers.Constant(ALL_GOOD)
            self.broken = self.add_variable((), initializer=first, dtype="int32", name="broken")
        super().build(variables)

    def scale_loss(self, loss: Any) -> Any:
        """See ``keras.optimizers.Optimizer.scale_loss``; a loss that is not finite becomes NaN, as do its gradients.

        The gradients of such a loss may be finite, as those of a sum with an infinite term. No step is taken on them.
        """
        loss = super().scale_loss(loss)
        return loss * ops.where(ops.isfinite(loss), ops.ones_like(loss), ops.full_like(loss, math.nan))

    def apply(self, grads: list[Any], trainable_variables: list[Any] | None = None) -> None:
        """See ``keras.optimizers.Optimizer.apply``; the gradients are checked before they are clipped.

        A weight that the loss does not depend on gets a gradient of zero. An example is the variance of a posterior
        in a loss that uses only the mean.
        """
        if not self.built:
            self.build(trainable_variables or [])
        variables = trainable_variables or self._trainable_variables
        grads = [ops.zeros_like(v) if g is None else g for g, v in zip(grads, variables, strict=True)]
        finite = ops.stack([ops.all(ops.isfinite(g)) for g in grads])
        first = ops.cast(ops.argmin(ops.cast(finite, "int32")), "int32")
        self.broken.assign(ops.where(ops.all(finite), ALL_GOOD, first))
        super().apply(grads, trainable_variables)

    def assign_add(self, variable: Any, value: Any) -> None:
        """Add to a weight or a moment if all gradients of this step are finite."""
        super().assign_add(variable, self._if_good(value))

    def assign_sub(self, variable: Any, value: Any) -> None:
        """Subtract from a weight or a moment if all gradients of this step are finite."""
        super().assign_sub(variable, self._if_good(value))

    def broken_gradient(self) -> int | None:
        """Index of the first gradient of the last step that was not finite; None if all were finite."""
        number = int(self.broken)
        return None if number == ALL_GOOD else number

    def _if_good(self, value: Any) -> Any:
        return ops.where(ops.equal(self.broken, ALL_GOOD), value, ops.zeros_like(value))
