"""The kit itself: honest plugins keep every promise, and every wrong one breaks exactly the promise meant."""

import os
import subprocess
import sys
from unittest import SkipTest

import pytest
import wrong_datasets
import wrong_decoders
import wrong_encoders
import wrong_rolling
from honest_plugins import (
    FeatureEncoder,
    HonestDataset,
    HonestDecoder,
    HonestDynamics,
    HonestEncoder,
    HonestForecast,
    HonestPredictor,
    MapDynamics,
    MapEncoder,
    MeanDynamics,
)

from latentseq.protocols import Dataset, Decoder, Dynamics, Encoder
from latentseq.testing import (
    KINDS,
    DatasetPromises,
    DecoderPromises,
    DynamicsPromises,
    EncoderPromises,
    PredictorPromises,
    promises,
)
from latentseq.testing.common import PromiseBroken

FAR = 200
"""Steps of a long rollout, where many plugins are asked for one."""
WRONG = [
    plugin
    for module in (wrong_encoders, wrong_decoders, wrong_rolling, wrong_datasets)
    for plugin in vars(module).values()
    if isinstance(plugin, type) and "broken" in vars(plugin)
]


def kit_for(plugin):
    """A kit that makes a small instance."""
    if issubclass(plugin, Dataset):
        return type("Kit", (DatasetPromises,), {"make": lambda self: plugin()})
    if issubclass(plugin, Encoder):
        return type("Kit", (EncoderPromises,), {"make": lambda self: plugin(input_shape=(12, 10, 1))})
    if issubclass(plugin, Decoder):
        kit = {"make": lambda self: plugin(latent_shape=(6,), output_shape=(12, 10, 1))}
        return type("Kit", (DecoderPromises,), kit)
    if issubclass(plugin, Dynamics):
        return type("Kit", (DynamicsPromises,), {"far": FAR, "make": lambda self: plugin(latent_shape=(3,))})
    return type("Kit", (PredictorPromises,), {"far": FAR, "make": lambda self: plugin(input_shape=(12, 10, 1))})


def check(plugin):
    """Run every promise as a test runner does; the number of each that breaks, with its error."""
    kit, broken = kit_for(plugin), {}
    for name, sentence in promises(kit).items():
        try:
            getattr(kit(), name)()
        except SkipTest:
            continue
        except Exception as error:
            broken[sentence.split(":")[0]] = error
    return broken


class TestHonestEncoder(EncoderPromises):
    def make(self):
        return HonestEncoder(input_shape=(12, 10, 3))


class TestEncoderOfFeatures(EncoderPromises):
    def make(self):
        return FeatureEncoder(input_shape=(40,))


class TestEncoderOfMapsOfFeatures(EncoderPromises):
    def make(self):
        return FeatureEncoder(input_shape=(3, 4, 8))


class TestEncoderToMaps(EncoderPromises):
    def make(self):
        return MapEncoder(input_shape=(12, 10, 1))


class TestHonestDecoder(DecoderPromises):
    def make(self):
        return HonestDecoder(latent_shape=(6,), output_shape=(12, 10, 3))


class TestDecoderOfMaps(DecoderPromises):
    def make(self):
        return HonestDecoder(latent_shape=(2, 3, 4), output_shape=(12, 10, 1))


class TestHonestDynamics(DynamicsPromises):
    far = FAR

    def make(self):
        return HonestDynamics(latent_shape=(3,))


class TestDynamicsOfMaps(DynamicsPromises):
    far = FAR

    def make(self):
        return MapDynamics(latent_shape=(2, 2, 3))


class TestDrivenDynamics(DynamicsPromises):
    far = FAR

    def make(self):
        return HonestDynamics(latent_shape=(3,), conditions={"sound": 2, "action": 1})


class TestDeterministicDynamics(DynamicsPromises):
    far = FAR

    def make(self):
        return MeanDynamics(latent_shape=(5,))


class TestHonestPredictor(PredictorPromises):
    far = FAR

    def make(self):
        return HonestPredictor(input_shape=(12, 10, 3))


class TestDrivenPredictor(PredictorPromises):
    context, far = 3, FAR

    def make(self):
        return HonestPredictor(input_shape=(12, 10, 1), conditions={"sound": 2})


class TestHonestDataset(DatasetPromises):
    def make(self):
        return HonestDataset()


@pytest.mark.parametrize("plugin", WRONG, ids=lambda plugin: f"{plugin.broken}-{plugin.__name__}")
def test_a_wrong_plugin_breaks_the_promise_meant_and_no_other(plugin):
    broken, number = check(plugin), plugin.broken
    assert set(broken) == {number}, {n: str(e) for n, e in broken.items()}
    assert isinstance(broken[number], PromiseBroken)
    assert str(broken[number]).startswith(f"Promise {number}: ")
    assert str(broken[number]).endswith(".")


def test_every_promise_has_a_wrong_plugin():
    numbers = {sentence.split(":")[0] for kind in KINDS.values() for sentence in promises(kind).values()}
    assert {plugin.broken for plugin in WRONG} == numbers


def test_a_message_says_what_was_found_and_what_is_allowed():
    message = str(check(wrong_encoders.BatchStatistics)["E5"])
    found = message.removeprefix("Promise E5: encode is row by row: ").split(". ", 1)[1]
    assert found.startswith("The means of rows 0 to 2 alone and in a batch differ by 0.")
    assert "; allowed " in found


def test_the_promises_can_be_listed():
    command = [sys.executable, "-m", "latentseq.testing"]
    listing = subprocess.run([*command, "encoders"], capture_output=True, text=True, check=True).stdout
    assert listing.splitlines() == ["encoders", *(f"  {line}" for line in promises(EncoderPromises).values())]
    wrong = subprocess.run([*command, "encodrs"], capture_output=True, text=True, check=False)
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert wrong.stderr == (
        "error: There are no promises of 'encodrs'. Did you mean 'encoders'? "
        "Kinds are datasets, decoders, dynamics, encoders and predictors.\n"
    )


def test_the_kit_checks_under_optimisation_and_imports_no_framework():
    code = """
import sys, latentseq.testing as kit
heavy = {"keras", "tensorflow", "jax", "pytest"} & set(sys.modules)
class Wrong(kit.EncoderPromises):
    def make(self):
        from wrong_encoders import BatchStatistics
        return BatchStatistics(input_shape=(12, 10, 1))
try:
    Wrong().test_e05_encode_row_by_row()
except kit.PromiseBroken as broken:
    print(sorted(heavy), str(broken)[:10])
"""
    here = os.path.dirname(__file__)  # noqa: PTH120
    run = subprocess.run(
        [sys.executable, "-O", "-c", code], capture_output=True, text=True, env={**os.environ, "PYTHONPATH": here}
    )
    assert run.stdout.strip() == "[] Promise E5", run.stderr


@pytest.mark.parametrize(("offset", "bound", "kept"), [(-10, True, True), (-10, False, False), (10, True, False)])
def test_a_bound_of_the_likelihood_may_integrate_to_less_than_1(offset, bound, kept):
    shifted = type(
        "Shifted",
        (HonestForecast,),
        {"bound": bound, "log_prob": lambda self, z: HonestForecast.log_prob(self, z) + offset},
    )
    dynamics = type("ShiftedDynamics", (HonestDynamics,), {"observe": wrong_rolling.forecasting(shifted)})
    density = kit_for(dynamics)().test_d02_density
    if kept:
        density()
    else:
        with pytest.raises(PromiseBroken, match=r"^Promise D2: .* For item 0 the integral is about"):
            density()
