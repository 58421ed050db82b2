"""A demo of all steps on generated clips of a bouncing digit: train, encode, predict and evaluate."""

from pathlib import Path
from typing import Any

from latentseq.commands.encode import encode
from latentseq.commands.train_ae import train_ae
from latentseq.commands.train_lstm import train_lstm
from latentseq.data.open import check_seed, open_data
from latentseq.drawing.writers import write
from latentseq.evaluation.protocol import Protocol
from latentseq.evaluation.report import curves
from latentseq.models.continuation import continue_clip, first_clip
from latentseq.models.measure import measure
from latentseq.models.run import load_predictor
from latentseq.storage.atomic import read_json, write_bytes, write_json
from latentseq.storage.folders import HISTORY, run_folder
from latentseq.storage.reading import as_written
from latentseq.training.budget import Budget
from latentseq.training.watch import Watcher, read_history

CONTINUATION = "continuation.gif"
"""File with the prediction; it is written last."""
CONTEXT = HORIZON = 10
"""Number of frames that the model sees, and that it predicts."""
CLIPS = 200
"""Number of test clips."""
DIGITS: dict[str, Any] = {
    "number": 1,
    "size": 24,
    "digit_size": 14,
    "speed": 1.5,
    "count": 10000,
    "held_out": CLIPS,
}
"""Options of the dataset."""
ENCODER: dict[str, Any] = {"latent_dim": 32, "widths": [32, 64, 128], "augment": False}
"""Options of the encoder."""
DYNAMICS: dict[str, Any] = {"head": "mse", "layers": 1, "units": 256, "free_steps": HORIZON}
"""Options of the dynamics."""
MINUTES = {"encoder": 0.12, "dynamics": 1.1}
"""Minutes of training; the whole demo takes less than two minutes on two cores."""


def demo(out: str | Path = "latentseq-demo", *, seed: int = 0, overwrite: bool = False, quiet: bool = False) -> Path:
    """Train on generated clips and write a prediction, its errors and the training curves.

    If the command was interrupted, running it again resumes it.

    Args:
        out: output folder.
        seed: random seed for data, weights and sampling noise.
        overwrite: replace an existing result.
        quiet: show no progress.

    Returns:
        ``out``, with continuation.gif, training.png, metrics.json, and the folders ae, latents and lstm.

    Raises:
        LatentseqError: the output cannot be written.
    """
    from latentseq.drawing.charts import training_chart  # Matplotlib takes a third of a second to import.

    check_seed(seed)
    out = Path(out)
    resume = not overwrite and not (out / CONTINUATION).exists()
    request = {"command": "demo", "seed": seed}
    with run_folder(out, request, last=CONTINUATION, overwrite=overwrite, resume=resume) as work:
        options = {**DIGITS, "seed": seed}
        common: dict[str, Any] = {"seed": seed, "resume": True, "quiet": quiet}
        train_ae(
            "moving-digits",
            work / "ae",
            encoder="conv-ae",
            options=ENCODER,
            data_options=options,
            budget=Budget(max_minutes=MINUTES["encoder"]),
            **common,
        )
        latents = work / "latents"
        encode("moving-digits", work / "ae", latents, data_options=options, overwrite=True, quiet=quiet)
        train_lstm(
            latents,
            work / "ae",
            work / "lstm",
            options=DYNAMICS,
            budget=Budget(max_minutes=MINUTES["dynamics"], batch_size=64, learning_rate=6e-3),
            **common,
        )
        dataset = open_data("moving-digits", options=options)
        predictor = load_predictor(work / "lstm")
        protocol = Protocol(CONTEXT, HORIZON, clips=CLIPS, seed=seed)
        metrics = measure({"model": predictor}, dataset, protocol, Watcher("measure", quiet=quiet)).metrics
        histories = {"encoder": work / "ae", "dynamics": work / "lstm"}
        # The loss of short windows, which dynamics train on first, is another one.
        stages = {
            name: [row for row in read_history(run / HISTORY) if row["stage"] == "main"]
            for name, run in histories.items()
        }
        lines = curves(metrics)
        others = [name for name in lines if name != "model"]
        write_bytes(work / "training.png", training_chart(stages, lines, floors=others))
        write_json(work / "metrics.json", metrics)
        clip = dataset.read(first_clip(dataset), 0, CONTEXT + HORIZON)
        continuation = continue_clip(predictor, clip, CONTEXT, HORIZON, samples=1, temperature=0.0, seed=seed)
        write(work / CONTINUATION, continuation.rows(), border_at=CONTEXT, fps=5, arrays={})
    return out


def table(out: str | Path) -> str:
    """Format the squared errors of the model and the floors at each predicted step as a table.

    Args:
        out: output folder of ``demo``.
    """
    metrics = read_json(Path(out) / "metrics.json", "the metrics of a demo")
    lines = [f"{'squared error at step':22}" + "".join(f"{i + 1:>7}" for i in range(HORIZON))]
    with as_written(Path(out)):
        errors = curves(metrics)
        lines += [f"{name.replace('_', ' '):22}" + "".join(f"{e:7.1f}" for e in errors[name]) for name in errors]
    return "\n".join(lines)
