"""The optimiser of every fit: Adam that takes no step on gradients that are not finite."""

import math
from typing import Any

import keras
from keras import ops

ALL_GOOD = -1


class GuardedAdam(keras.optimizers.Adam):
    """Adam that leaves weights and moments as they are where a gradient is not finite, and says which it was.

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
        """See ``keras.optimizers.Optimizer.scale_loss``; a loss that is not finite has no gradient that is.

        Its derivatives may well be finite, as that of a sum with an infinite number in it; no step is taken on them.
        """
        loss = super().scale_loss(loss)
        return loss * ops.where(ops.isfinite(loss), ops.ones_like(loss), ops.full_like(loss, math.nan))

    def apply(self, grads: list[Any], trainable_variables: list[Any] | None = None) -> None:
        """See ``keras.optimizers.Optimizer.apply``; the gradients are looked at before they are clipped.

        A weight that the loss does not depend on, as that of a posterior's variance where only its mean is used, has
        a gradient of zero.
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
        """Add to a weight or a moment, if all gradients of this step are finite."""
        super().assign_add(variable, self._if_good(value))

    def assign_sub(self, variable: Any, value: Any) -> None:
        """Subtract from a weight or a moment, if all gradients of this step are finite."""
        super().assign_sub(variable, self._if_good(value))

    def broken_gradient(self) -> int | None:
        """Which of the gradients of the last step was not finite; None where all were."""
        number = int(self.broken)
        return None if number == ALL_GOOD else number

    def _if_good(self, value: Any) -> Any:
        return ops.where(ops.equal(self.broken, ALL_GOOD), value, ops.zeros_like(value))
