"""Ways through Z, decoded: from one frame or clip to another, round in a loop, or a walk through frames of the data.

A straight line between two latents of a variational encoder comes nearer to 0 than either, where there is no data:
a normal distribution in many dimensions is a shell, and pictures from inside of it are faint. So where the encoder
has a posterior, the way keeps the distance from 0 that its ends have.

References:
    White, Sampling Generative Networks, arXiv 1609.04468.
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from latentseq.arrays import Latents, check_finite, to_float
from latentseq.data.open import check_seed, parse_frames
from latentseq.drawing.picture import Row
from latentseq.drawing.writers import check_suffix, write
from latentseq.errors import UsageError
from latentseq.models.continuation import first_clip
from latentseq.models.run import data_for
from latentseq.protocols import Dataset, Encoder
from latentseq.storage.artifact import Artifact, read_artifact, read_encoder
from latentseq.storage.folders import check_free
from latentseq.training.watch import Watcher


def interpolate(
    model: str | Path,
    data: str | Path,
    out: str | Path,
    *,
    start: str | int | None = None,
    end: str | int | None = None,
    steps: int = 30,
    clips: bool = False,
    walk: int | None = None,
    loop: bool = False,
    seed: int = 0,
    data_options: Mapping[str, Any] | None = None,
    allow_plugins: Sequence[str] = (),
    overwrite: bool = False,
) -> Path:
    """Go from one frame to another in Z, and decode what lies between.

    A place is a frame of a clip, ``CLIP:FRAME``, or a frame of the first clip (the first for testing, where the data
    has splits of its own); a time such as ``1.5s`` may stand for the frame.

    Args:
        model: run folder of an encoder, or of ``train_lstm``, whose encoder is used.
        data: DATA; files are decoded as those that the encoder was trained on.
        out: a file; its suffix says what is written: .mp4, .gif, .webp, .png (contact sheet) or .npz (arrays).
        start: a place; the first frame of the first clip where None.
        end: a place; the last frame of the clip of ``start`` where None.
        steps: from one frame to the next one that is given; the first and the last picture are those two.
        clips: both ends move on: a clip that begins as the one at ``start``, and after ``steps`` frames has become
            the one at ``end``.
        walk: pass through so many frames of the data, chosen at random, on a smooth curve.
        loop: go on to where it began, as if there were no end: back the way it came, or a walk on a closed curve.
        seed: of the walk.
        data_options: the dataset's keywords.
        allow_plugins: names of plugins that the encoder may be, beside the built-in ones.
        overwrite: replace an earlier file.

    Returns:
        ``out``.

    Raises:
        LatentseqError: model, data, places or output do not fit.
    """
    out = Path(out)
    check_suffix(out)
    check_free(out, None, overwrite=overwrite)
    check_seed(seed)
    if steps < 2:
        raise UsageError(f"steps is {steps}; expected 2 or more, so that something lies between.")
    if walk is not None and (start is not None or end is not None or clips):
        raise UsageError("--walk chooses its frames itself. Leave --start, --end and --clips out, or --walk.")
    artifact = _encoder(Path(model)).allow(allow_plugins)
    dataset = data_for(artifact, data, data_options, watcher=Watcher("interpolate"))
    if walk is not None:
        places = _random_places(dataset, walk, seed)
    else:
        first = place(0 if start is None else start, dataset)
        last = place(end, dataset) if end is not None else (first[0], int(dataset.lengths[first[0]]) - 1)
        places = [first, last]
    encoder: Encoder = artifact.load()
    length = steps + 1 if clips else 1
    latents = [_latents(encoder, dataset, clip, frame, length) for clip, frame in places]

    def way(ends: list[np.ndarray]) -> np.ndarray:
        if walk is not None:
            return curve(np.concatenate(ends), steps, closed=loop)
        return between(ends[0], ends[1], steps, loop=loop)

    points = [each.mean for each in latents]
    z = way(points)
    if latents[0].log_var is not None:
        z = z * (way([distances(each) for each in points]) / distances(z))
    frames = encoder.decode(z)
    check_finite(frames, f"The encoder {encoder.name} decodes")
    label = "walk" if walk is not None else " to ".join(f"{clip}:{frame}" for clip, frame in places)
    write(out, [Row(label, frames)], border_at=None, fps=dataset.fps, arrays={"frames": frames, "latents": z})
    return out


def place(text: str | int, dataset: Dataset) -> tuple[int, int]:
    """Clip and frame of ``CLIP:FRAME`` or ``FRAME``, where FRAME may be a time such as ``1.5s``.

    Raises:
        UsageError: it is no place, or does not exist.
    """
    found = re.fullmatch(r"(?:(\d+):)?(\d+|\d+(?:\.\d+)?s)", str(text).strip())
    if not found:
        raise UsageError(
            f"The place {text!r} is none; expected CLIP:FRAME such as 3:10, a frame of the first clip such as 10, or "
            "a time in place of the frame such as 3:1.5s."
        )
    clip = int(found[1]) if found[1] else first_clip(dataset)
    frame = parse_frames(found[2], dataset, clip, "The place")
    dataset.check_range(clip, frame, frame + 1)
    return clip, frame


def between(a: np.ndarray, b: np.ndarray, steps: int, *, loop: bool = False) -> np.ndarray:
    """From ``a`` to ``b`` in equal steps on the straight line.

    Args:
        a: (1, *latent_shape), or (steps + 1, *latent_shape) where the end itself moves on.
        b: the same shape.
        steps: from one end to the other.
        loop: and back again.

    Returns:
        (steps + 1, *latent_shape) float32, or (2 steps, *latent_shape) of a loop: the first is ``a``, number
        ``steps`` is ``b``, and the last of a loop is one step from ``a``.
    """
    share = np.linspace(0, 1, steps + 1, dtype=np.float32).reshape(-1, *[1] * (a.ndim - 1))
    z = (1 - share) * a + share * b
    return np.concatenate([z, z[-2:0:-1]]) if loop else z


def curve(points: np.ndarray, steps: int, *, closed: bool = False) -> np.ndarray:
    """A smooth curve through points: a cubic spline, which has no corner anywhere.

    Args:
        points: (n, *latent_shape), n of 2 or more.
        steps: from one point to the next.
        closed: and on to the first again.

    Returns:
        ((n - 1) steps + 1, *latent_shape) float32, or (n steps, *latent_shape) of a closed one, whose last is one
        step from the first.
    """
    from scipy.interpolate import CubicSpline

    if closed:
        points = np.concatenate([points, points[:1]])
    times = np.arange(len(points))
    spline = CubicSpline(times, points.astype(np.float64), bc_type="periodic" if closed else "natural")
    fine = np.arange((len(points) - 1) * steps + (not closed)) / steps
    return spline(fine).astype(np.float32)


def distances(z: np.ndarray) -> np.ndarray:
    """How far each latent is from 0, above 0: (n, *latent_shape) -> (n, 1, ..., 1) float32."""
    squares = np.square(z).sum(axis=tuple(range(1, z.ndim)), keepdims=True)
    return np.sqrt(np.maximum(squares, np.finfo(np.float32).tiny))


def _encoder(folder: Path) -> Artifact:
    """The encoder in a run folder, or the one beside the dynamics in it."""
    artifact = read_artifact(folder)
    return read_encoder(folder) if artifact.group == "dynamics" else read_artifact(folder, "encoders")


def _random_places(dataset: Dataset, count: int, seed: int) -> list[tuple[int, int]]:
    """Clips and frames, each frame of the data as likely as any other, none twice."""
    ends = np.cumsum(dataset.lengths)
    total = int(ends[-1])
    if not 2 <= count <= total:
        raise UsageError(f"walk is {count}; expected 2 to {total}, the frames of {dataset.name}.")
    chosen = np.random.default_rng(seed).choice(total, count, replace=False)
    clips = np.searchsorted(ends, chosen, side="right")
    return list(zip(clips.tolist(), (chosen - ends[clips] + dataset.lengths[clips]).tolist(), strict=True))


def _latents(encoder: Encoder, dataset: Dataset, clip: int, frame: int, length: int) -> Latents:
    """The latents of ``length`` frames.

    Raises:
        UsageError: the clip has fewer.
    """
    dataset.check_range(clip, frame, frame + length)
    return encoder.encode(to_float(dataset.read(clip, frame, frame + length).frames))
