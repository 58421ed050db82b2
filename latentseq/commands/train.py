"""What users call to train something that predicts frames; a command of the CLI."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from latentseq import registry
from latentseq.commands.runs import asked_for, best_of, check_out, is_finished, training_folder
from latentseq.data.crops import Crops
from latentseq.data.mismatch import traits_of
from latentseq.data.open import check_seed, check_streams
from latentseq.data.windows import check_windows, clip_source
from latentseq.errors import UsageError, listed
from latentseq.ingestion.prepare import DEFAULTS, TrainingData, preprocessing_of
from latentseq.models.latent import LatentPredictor
from latentseq.models.run import data_for, load_predictor, write_cost
from latentseq.protocols import Dataset, Predictor
from latentseq.storage.artifact import ENCODER, Artifact, read_artifact, save_artifact
from latentseq.storage.folders import CACHE, RUN
from latentseq.storage.frames import ClipFolder, write_clips
from latentseq.training.previews import continuations
from latentseq.training.trainer import RunTrainer
from latentseq.training.watch import Watcher

TUNED = "dynamics,decoder,encoder"


def train(
    data: str | Path,
    out: str | Path,
    *,
    predictor: str = "latent",
    preset: str | None = None,
    options: Mapping[str, Any] | None = None,
    from_: str | Path | None = None,
    tune: str = TUNED,
    data_options: Mapping[str, Any] | None = None,
    size: str | int | None = None,
    fit: str = "crop",
    gray: bool = False,
    fps: float | None = None,
    skip: int = 1,
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
    """Train a predictor on frames.

    Args:
        data: DATA; a video or a folder of them is decoded once into OUT/cache, as ``ingest`` does.
        out: folder of the run.
        predictor: registered name. ``latent`` is an encoder and dynamics together, which are tuned on the error of
            the frames that they imagine.
        preset: tiny, cpu or gpu: options of the predictor's own choice; its defaults where None.
        options: the predictor's keywords.
        from_: of ``latent``: the run folder of train-lstm or of this command, whose parts are tuned.
        tune: of ``latent``: which parts are trained, with commas between. The others stay as they are.
        data_options: the dataset's keywords; those of ``ingest`` where files are decoded.
        size: of the frames that are decoded from files, ``64`` or ``48x64`` (h x w); 64 where None. These five are
            not for ``latent``, which takes files as its parts were trained.
        fit: crop, pad or stretch.
        gray: one channel.
        fps: frames a second, by presentation time.
        skip: keep every n-th frame.
        allow_plugins: names of plugins that the parts of ``latent`` may be, beside the built-in ones.
        length: frames of a training window; 30 where None, or as many as the clips have.
        stride: frames from one window's start to the next.
        epochs: budget in epochs.
        steps: budget in batches.
        max_minutes: budget in wall time of the training loop; 10 where no budget is given.
        batch_size: in place of the predictor's own.
        learning_rate: in place of the predictor's own.
        seed: of weights, order and noise.
        resume: go on with a run that was interrupted; a run of ``epochs`` or ``steps`` ends in the same bytes as one
            that never was. The budget and the learning rate may be others. Where there is nothing to go on with, it
            starts afresh.
        overwrite: replace an earlier run.
        quiet: show no progress.

    Returns:
        ``out``, all that ``sample`` and ``evaluate`` need.

    Raises:
        LatentseqError: data, model, options or the output do not fit.
    """
    arguments, out = locals(), Path(out)
    check_seed(seed)
    check_windows(length, stride)
    latent = predictor == LatentPredictor.name
    decoding = {"size": size, "fit": fit, "gray": gray, "fps": fps, "skip": skip}
    (_check_latent if latent else _check_other)(arguments, decoding)
    asked = asked_for("train", arguments, **({} if latent else {"group": "predictors", "plugin": predictor}))

    def same_data(model: Artifact) -> bool:
        if latent:
            found = data_for(model, data, data_options, watcher=Watcher(quiet=True)).fingerprint()
            return found == model.about["training"]["data"]
        given = TrainingData(data, out, data_options, decoding)
        return given.is_same(out / CACHE, model.about["training"]["data"])

    def same_start(model: Artifact) -> bool:
        return model.about["training"].get("from") == read_artifact(Path(str(from_))).fingerprint

    same = {"data": same_data, **({"from_": same_start} if latent else {})}
    if is_finished(out, asked, resume=resume, overwrite=overwrite, same=same):
        return out
    check_out(out, RUN, overwrite, data, *([from_] if from_ else []), resume=resume)
    begun: _Tuned | _Fresh
    if latent:
        begun = _Tuned(str(from_), tune, data, data_options, allow_plugins, Watcher(predictor, quiet=quiet))
    else:
        begun = _Fresh(predictor, asked["options"], seed, TrainingData(data, out, data_options, decoding))
    trainer = RunTrainer(
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
        dataset = begun.open(folder / CACHE, quiet=quiet)
        trainer.of = dataset.fingerprint()
        trainer.preview = lambda: continuations(begun.model, dataset)
        history = begun.model.fit(clip_source(dataset, begun.model.conditions, length, stride), trainer)
        begun.save(folder, dataset, {"data": dataset.fingerprint(), "seed": seed, "best": best_of(history)})
        write_cost(folder, trainer.history, *([from_] if from_ else []))
    return out


class _Fresh:
    """A predictor that begins with nothing."""

    model: Predictor

    def __init__(self, name: str, options: Mapping[str, Any], seed: int, data: TrainingData):
        known: dict[str, Any] = {"input_shape": list(data.frame_shape), "seed": seed}
        keyword = registry.load("predictors", name).keywords().get("conditions")
        if keyword is not None and keyword.default is keyword.empty:  # What it cannot do without, the data says.
            known["conditions"] = data.streams
        self.model = registry.build("predictors", name, options, **known)
        self._data = data

    def open(self, cache: Path, *, quiet: bool) -> Dataset:
        dataset = self._data.open(cache, quiet=quiet)
        check_streams(dataset, self.model.conditions, f"The predictor {self.model.name}")
        return dataset

    def save(self, folder: Path, dataset: Dataset, training: Mapping[str, Any]) -> None:
        # Trained on crops, a model of any size goes on to whole frames.
        seen = dataset.dataset if self.model.any_size and isinstance(dataset, Crops) else dataset
        save_artifact(
            self.model,
            "predictors",
            folder,
            preprocessing=preprocessing_of(seen).to_json(),
            training={**training, "footage": traits_of(dataset)},
        )


class _Tuned:
    """An encoder and dynamics that are trained already; they are stored as train-lstm stores them."""

    model: LatentPredictor

    def __init__(
        self,
        start: str,
        tune: str,
        data: str | Path,
        options: Mapping[str, Any] | None,
        allow_plugins: Sequence[str],
        watcher: Watcher,
    ):
        self._artifact: Artifact = read_artifact(Path(start)).allow(allow_plugins)
        self._dataset = data_for(self._artifact, data, options, watcher=watcher)
        model = load_predictor(start, allow_plugins=allow_plugins)
        if not isinstance(model, LatentPredictor):
            raise UsageError(
                f"{start} holds the predictor {model.name!r}; expected an encoder and dynamics. Give the run folder "
                "of train-lstm, or train the predictor anew."
            )
        self.model = model
        model.tune = tuple(part.strip() for part in tune.split(",") if part.strip())
        model.check_tune()
        check_streams(self._dataset, model.conditions, f"The model in {start}")

    def open(self, cache: Path, *, quiet: bool) -> Dataset:
        if not self._dataset.slow:
            return self._dataset
        write_clips(self._dataset, cache, Watcher("decode", quiet=quiet))
        return ClipFolder(str(cache))

    def save(self, folder: Path, dataset: Dataset, training: Mapping[str, Any]) -> None:
        about: dict[str, Any] = {
            "preprocessing": self._artifact.preprocessing,
            "training": {**training, "from": self._artifact.fingerprint, "tuned": list(self.model.tune)},
        }
        if self._artifact.footage:
            about["training"]["footage"] = self._artifact.footage
        (folder / ENCODER).mkdir(exist_ok=True)
        save_artifact(self.model.encoder, "encoders", folder / ENCODER, **about)
        save_artifact(self.model.dynamics, "dynamics", folder, **about)


def _check_latent(given: Mapping[str, Any], decoding: Mapping[str, Any]) -> None:
    """Refuse what is not for a latent predictor.

    Raises:
        UsageError: nothing to start from, or options that are not its own.
    """
    if given["from_"] is None:
        raise UsageError(
            "A latent predictor is tuned, and --from does not say which. Give the run folder of train-lstm, as in "
            "--from runs/lstm."
        )
    wrong = [k for k, v in decoding.items() if v != DEFAULTS[k]]
    wrong += [name for name, key in (("set", "options"), ("preset", "preset")) if given[key]]
    if wrong:
        raise UsageError(
            f"{listed(f'--{name}' for name in wrong)} is not for the predictor latent, whose parts are trained "
            "already. Leave it out, and give such options to train-ae and train-lstm."
        )


def _check_other(given: Mapping[str, Any], decoding: Mapping[str, Any]) -> None:
    """Refuse what is for a latent predictor only.

    Raises:
        UsageError: an option of it.
    """
    wrong = [
        f"--{k}" for k, v, default in (("from", given["from_"], None), ("tune", given["tune"], TUNED)) if v != default
    ]
    if wrong:
        raise UsageError(
            f"{listed(wrong)} is for the predictor latent, and --predictor is {given['predictor']!r}. Leave it out, "
            "or choose --predictor latent."
        )
