"""What users call to train something that predicts frames; a command of the CLI."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from latentseq.data import check_frame_shape, check_seed, check_streams, open_data
from latentseq.errors import UsageError
from latentseq.latent_predictor import LatentPredictor
from latentseq.media.preprocessing import Preprocessing
from latentseq.previews import continuations
from latentseq.runs import asked_for, check_out, is_finished, training_folder
from latentseq.storage.artifact import read_artifact, save_artifact
from latentseq.storage.folders import CACHE, RUN
from latentseq.storage.frames import ClipFolder, write_clips
from latentseq.training.batches import check_windows, clip_source
from latentseq.training.trainer import Trainer
from latentseq.training.watch import Watcher
from latentseq.workflow import best_of, load_predictor


def train(
    data: str | Path,
    out: str | Path,
    *,
    predictor: str = "latent",
    from_: str | Path | None = None,
    tune: str = "dynamics,decoder,encoder",
    data_options: Mapping[str, Any] | None = None,
    allow_plugins: Sequence[str] = (),
    length: int | None = None,
    stride: int = 1,
    epochs: int | None = None,
    steps: int | None = None,
    max_minutes: float | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> Path:
    """Train a predictor on the error of the frames that it imagines.

    Args:
        data: DATA; files are decoded as those that the model was trained on.
        out: folder of the run.
        predictor: ``latent``: an encoder and dynamics together.
        from_: run folder of train-lstm or of this command, whose parts are tuned.
        tune: which parts are trained, with commas between: dynamics, decoder, encoder. The others stay as they are.
        data_options: the dataset's keywords.
        allow_plugins: names of plugins that the parts may be, beside the built-in ones.
        length: frames of a training window; 30 where None, or as many as the clips have.
        stride: frames from one window's start to the next.
        epochs: budget in epochs.
        steps: budget in batches.
        max_minutes: budget in wall time of the training loop; 10 where no budget is given.
        batch_size: in place of the predictor's own.
        learning_rate: in place of the predictor's own.
        seed: of order and noise.
        resume: go on with a run that was interrupted; a run of ``epochs`` or ``steps`` ends in the same bytes as one
            that never was. The budget and the learning rate may be others. Where there is nothing to go on with, it
            starts afresh.
        overwrite: replace an earlier run.
        quiet: show no progress.

    Returns:
        ``out``, a run folder like that of train-lstm: the dynamics, and the encoder in it.

    Raises:
        LatentseqError: data, model, options or the output do not fit.
    """
    asked, out = asked_for("train", locals()), Path(out)
    check_seed(seed)
    check_windows(length, stride)
    if predictor != LatentPredictor.name:
        raise UsageError(f"--predictor is {predictor!r}; expected {LatentPredictor.name!r}.")
    if from_ is None:
        raise UsageError(
            "A latent predictor is tuned, and --from does not say which. Give the run folder of train-lstm, as in "
            "--from runs/lstm."
        )
    if is_finished(out, asked, resume=resume, overwrite=overwrite):
        return out
    check_out(out, RUN, overwrite, data, from_, resume=resume)
    start = read_artifact(Path(from_)).allow(allow_plugins)
    prepared = Preprocessing.from_json(start.preprocessing)
    dataset = open_data(data, options=data_options, preprocessing=prepared)
    model = load_predictor(from_, allow_plugins=allow_plugins)
    check_frame_shape(dataset, model.input_shape, f"the model in {from_}")
    model.tune = tuple(part.strip() for part in tune.split(",") if part.strip())
    model.check_tune()
    check_streams(dataset, model.conditions, f"The model in {from_}")
    trainer = Trainer(
        out,
        epochs=epochs,
        steps=steps,
        max_minutes=max_minutes,
        batch_size=batch_size,
        learning_rate=learning_rate,
        seed=seed,
        resume=resume,
        watcher=Watcher(predictor, quiet=quiet),
    )
    with training_folder(out, asked, resume=resume, overwrite=overwrite) as folder:
        if dataset.slow:
            write_clips(dataset, folder / CACHE, Watcher("decode", quiet=quiet))
            dataset = ClipFolder(str(folder / CACHE))
        trainer.of = dataset.fingerprint()
        trainer.preview = lambda: continuations(model, dataset)
        history = model.fit(clip_source(dataset, model.conditions, length, stride), trainer)
        training = {"data": dataset.fingerprint(), "seed": seed, "from": start.fingerprint, "tuned": list(model.tune)}
        about: dict[str, Any] = {
            "preprocessing": start.preprocessing,
            "training": training | {"best": best_of(history)},
        }
        (folder / "encoder").mkdir(exist_ok=True)
        save_artifact(model.encoder, "encoders", folder / "encoder", **about)
        save_artifact(model.dynamics, "dynamics", folder, **about)
    return out
