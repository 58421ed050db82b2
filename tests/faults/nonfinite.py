"""Numbers that are not finite: in a loss, a gradient, a validation, in data. Training stops within a step."""

import json
from pathlib import Path

import numpy as np
from harness import Fault, expect
from stock import SQUARES, TRUST, Recipe, Stock

from latentseq.training.checkpoint import Checkpoints

SAYS = {
    "loss": "The loss became inf.",
    "gradient": "The gradient of fragile/up/kernel (model) was not finite.",
    "validation": "The validation loss was nan in every epoch",
}
HOW = ("loss", "gradient", "loss", "gradient", "validation", "data")
STEPS = 12


def broken(stock: Stock, where: Path, number: int, random: np.random.Generator) -> int:
    """One way to break, at a step at random."""
    how = HOW[number % len(HOW)]
    if how == "data":
        return _data(stock, where, number)
    at = int(random.integers(2, STEPS - 1))
    out = where / "broken" / "out"
    made = _training(out, at, how)
    outcome = stock.run_recipe(made, out)
    told = f"{how} that is not finite in step {at}"
    expect(outcome.code == 65 and SAYS[how] in outcome.err, told, outcome)
    if how != "validation":
        kept = f"Training stopped at step {at} of 'main'. {SAYS[how]} The weights of step {at - 1} are saved."
        expect(kept in outcome.err, told, outcome)
        same = where / "clean" / "out"
        clean = stock.run_recipe(
            _training(same, 0, how), same, Fault(at=at - 1, action="SIGINT", ops=frozenset({"take"}))
        )
        expect(clean.code == 130, "the clean run", clean)
        expect(_weights(out, at - 1) == _weights(same, at - 1), f"{told}: other weights are kept")
    again = stock.run_recipe(made._replace(after=(*made.after, "--learning-rate=1e-6")), out)
    expect(again.code == 0, f"{told}: with a lower learning rate", again)
    expect((out / "artifact.json").is_file(), f"{told}: no artifact")
    return 1


def _training(out: Path, at: int, how: str) -> Recipe:
    out.parent.mkdir(exist_ok=True)
    options = ("--encoder=fragile", f"--set=at={at}", f'--set=how="{how}"', f"--steps={STEPS}")
    return Recipe(("train-ae", *SQUARES), options, True)


def _weights(out: Path, step: int) -> dict[str, bytes]:
    """What a checkpoint has of the network's own arrays; numbers that count are no weights."""
    saved = Checkpoints(out / "checkpoints", "main").load()
    expect(saved is not None, "there is no checkpoint")
    assert saved is not None
    expect(json.loads(saved.progress["json"])["step"] == step, f"the checkpoint is not of step {step}")
    arrays = {k: v for k, v in saved.tensors.items() if k.startswith("state/") and v.ndim}
    expect(len(arrays) >= 8 and all(np.isfinite(v).all() for v in arrays.values()), "weights are not finite")
    return {k: v.tobytes() for k, v in arrays.items()}


def _data(stock: Stock, where: Path, number: int) -> int:
    """Latents with a value that is not finite."""
    value = ("nan", "inf", "-inf")[number // len(HOW) % 3]
    encoder, z, out = where / "ae", where / "z", where / "lstm"
    trained = Recipe(("train-ae", *SQUARES), ("--encoder=nan-encoder", f'--set=value="{value}"', "--steps=2"), True)
    expect(stock.run_recipe(trained, encoder).code == 0, "the encoder")
    encoded = stock.run_recipe(Recipe(("encode", *SQUARES, encoder), TRUST), z)
    expect(encoded.code == 0, "encode", encoded)
    options = ("--dynamics=lstm", "--set=units=8", "--set=layers=1", "--length=6", "--steps=4", *TRUST)
    outcome = stock.run_recipe(Recipe(("train-lstm", z, encoder), options, True), out)
    expect(outcome.code == 65, f"latents with {value}", outcome)
    expect("mean" in outcome.err and "finite" in outcome.err, f"latents with {value}", outcome)
    expect(not (out / "artifact.json").exists(), "there is a model")
    return 1
