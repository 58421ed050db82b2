"""What a dynamics network has before its first training step: statistics, a linear part, and units."""

import numpy as np
from keras import ops

from latentseq.arrays import Source, Windows
from latentseq.networks.autoregression import fit_autoregression, standard_batches
from latentseq.networks.recurrent import DynamicsNetwork
from latentseq.networks.statistics import WINDOWS, measure_range, measure_statistics
from latentseq.protocols import Trainer

LEAST_UNIT = 0.01
"""Smallest unit of latents, differences and outputs, in standardised units."""
LEAST_CONDITION = 1e-6
"""Smallest unit of a condition."""


def fit_start(
    network: DynamicsNetwork, source: Source, conditions: tuple[str, ...], trainer: Trainer
) -> float | None:
    """Fit everything that is measured before training, and set the first outputs.

    Args:
        network: the network.
        source: windows of ``mean`` (b, t, *latent_shape), ``log_var`` if the head needs it, and the conditions.
        conditions: names of the side streams that drive the model, in alphabetical order.
        trainer: trainer of the run, which shows what the network starts from.

    Returns:
        Squared error of free steps at the start, on validation windows; None if it was not measured.
    """
    head = network.head
    gain = source.gain if head.squared else None
    offset, scale, step = measure_statistics(source.train, posterior=head.needs_posterior, gain=gain)
    network.offset.assign(offset)
    network.scale.assign(scale)
    fit_range(network, source.train)
    error, share = _fit_linear(network, source, conditions, trainer)
    usual = np.sqrt(np.square(step).reshape(-1, head.d).mean(axis=0))
    network.input_unit.assign(_input_unit(network, source.train, conditions, usual))
    # The first forecasts lie around their base, as far off as a usual step; without a base, around the mean.
    distance = np.maximum(usual * share, LEAST_UNIT) if share else np.ones(head.d)
    network.output_layer.start(head.first_bias(distance), head.units(distance))
    return error


def fit_range(network: DynamicsNetwork, windows: Windows, at_most: int = WINDOWS) -> None:
    """Measure the range of latents on at most ``at_most`` windows."""
    offset, scale = (ops.convert_to_numpy(x) for x in (network.offset, network.scale))
    reach = measure_range(windows, offset, scale, at_most)
    for weight, value in zip(network.range_weights, reach, strict=True):
        weight.assign(value)


def _fit_linear(
    network: DynamicsNetwork, source: Source, conditions: tuple[str, ...], trainer: Trainer
) -> tuple[float | None, float]:
    """Fit the linear part.

    Returns:
        The error at the start, if it was measured, and its root as a share of that of repeating the last latent: 1
        where this is what the network starts from, 0 if it starts from the mean.
    """
    linear, share = network.linear, 1.0 if network.residual else 0.0
    if linear is None:
        return None, share
    linear.kernel.assign(np.zeros(linear.kernel.shape))
    linear.bias.assign(np.zeros(linear.bias.shape))
    offset, scale = (ops.convert_to_numpy(x) for x in (network.offset, network.scale))
    fit = fit_autoregression(source, offset, scale, network.burn_in, conditions)
    if fit is None:
        return None, share
    better = fit.error < fit.last_error
    errors = f"{fit.error:.4g} with linear autoregression, {fit.last_error:.4g} when the last latent is repeated"
    start = "autoregression" if better else "the last latent" if network.residual else "the mean"
    trainer.say(f"squared error of free steps on validation data: {errors}; training starts from {start}")
    if not better:
        return fit.last_error if network.residual else None, share
    model = fit.model if network.residual else fit.model.absolute()
    linear.kernel.assign(model.kernel)
    linear.bias.assign(model.bias)
    return fit.error, float(fit.error / fit.last_error) ** 0.5


def _input_unit(
    network: DynamicsNetwork, windows: Windows, conditions: tuple[str, ...], step: np.ndarray
) -> np.ndarray:
    """Units of the inputs, (2 d + f,): one for latents, one for their differences, and one for each condition.

    A unit is the root mean square of its inputs. Channels keep their sizes relative to each other, since small ones
    are mostly noise.
    """
    offset, scale = (ops.convert_to_numpy(x) for x in (network.offset, network.scale))
    squares, n = np.zeros(1), 0
    for z, streams in standard_batches(windows, WINDOWS, offset, scale, conditions):
        rows = np.concatenate([z, streams], axis=-1)
        rows = rows.reshape(-1, rows.shape[-1])
        squares, n = squares + np.square(rows).sum(axis=0), n + len(rows)
    d = len(step)
    latents, conditions_ = np.split(np.sqrt(squares / n), [d])
    same = [np.full(d, np.sqrt(np.square(part).mean())) for part in (latents, step)]
    return np.concatenate([np.maximum(np.concatenate(same), LEAST_UNIT), np.maximum(conditions_, LEAST_CONDITION)])
