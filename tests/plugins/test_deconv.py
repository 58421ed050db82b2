"""The decoder of transposed convolutions: the promises of a decoder, and maps that fit."""

import numpy as np
import pytest

from latentseq.errors import DataError, UsageError
from latentseq.testing import DecoderPromises
from latentseq_plugins.decoders.deconv import Deconv


@pytest.mark.jax
class TestDeconv(DecoderPromises):
    def make(self):
        return Deconv([6], [16, 16, 1], widths=[8, 16])


@pytest.mark.slow
class TestDeconvOfMaps(DecoderPromises):
    def make(self):
        return Deconv([4, 4, 5], [16, 16, 1], widths=[8, 16])


class TestDeconvOfMapsToAnOddSizeInColour(DecoderPromises):
    def make(self):
        return Deconv([3, 4, 7], [21, 27, 3], widths=[4, 8, 8])


def message(*args, **kwargs):
    with pytest.raises(UsageError) as error:
        Deconv(*args, **kwargs)
    return str(error.value)


def test_a_map_has_to_be_what_the_layers_double_to_the_frame():
    assert message([8, 8, 16], [64, 64, 1], widths=[8, 8]) == (
        "deconv: 2 widths need a map of 16 x 16 positions for frames of 64 x 64; the map has 8 x 8. Use 3 widths for "
        "this map."
    )
    assert message([5, 8, 16], [64, 48, 1], widths=[8, 8]) == (
        "deconv: 2 widths need a map of 16 x 12 positions for frames of 64 x 48; the map has 5 x 8. Use a map of "
        "that size, or other widths."
    )


def test_what_makes_no_network_is_refused():
    assert message([4, 4], [16, 16, 1]) == (
        "deconv: latent_shape is [4, 4]; expected (d,) for a vector or (height, width, channels) for a map."
    )
    assert message([4], [16, 16]) == (
        "deconv: output_shape is [16, 16]; expected (height, width, channels) of frames."
    )
    assert message([4], [16, 16, 1], widths=[]) == (
        "deconv: widths is []; expected at least one width, each 1 or more."
    )


def test_latents_of_another_shape_are_refused():
    with pytest.raises(DataError) as error:
        Deconv([6], [16, 16, 1], widths=[4]).decode(np.zeros((2, 5), np.float32))
    assert str(error.value) == "z has shape (2, 5); expected (n, 6)."
