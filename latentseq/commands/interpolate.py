"""Decode paths through Z: between two frames or clips, in a loop, or a walk through several frames of the data.

On a straight line between two latents of a variational encoder, the middle is nearer to 0 than both ends. There is
no data there, since the mass of a normal distribution in many dimensions lies on a shell, and decoded frames are
faint. So if the encoder has a posterior, the path keeps the distance from 0 of its ends.

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
    """Interpolate between two frames in Z, and decode the path.

    A place is ``CLIP:FRAME``, or ``FRAME`` in the first clip (the first test clip, if the data has splits of its
    own). FRAME is a number or a time such as ``1.5s``.

    Args:
        model: run folder of an encoder, or of ``train_lstm``, whose encoder is used.
        data: path or name of the data; files are decoded as in the encoder's training.
        out: file to write; its suffix sets the format: .mp4, .gif, .webp, .png (contact sheet) or .npz (arrays).
        start: place of the first frame; None for the first frame of the first clip.
        end: place of the last frame; None for the last frame of the clip of ``start``.
        steps: number of steps from one frame of the data to the next; the path includes both frames.
        clips: let both ends advance: the result starts like the clip at ``start``, and turns into the clip at ``end``
            within ``steps`` frames.
        walk: instead of ``start`` and ``end``, number of random frames of the data to pass on a smooth curve.
        loop: return to the start, for endless playback: backwards on the same path, or on a closed curve for a walk.
        seed: random seed of the walk.
        data_options: keyword arguments of the dataset.
        allow_plugins: names of plugins that may be loaded in addition to the built-in ones.
        overwrite: replace an existing file.

    Returns:
        ``out``.

    Raises:
        LatentseqError: the model, the data, the places or the output is not valid.
    """
    out = Path(out)
    check_suffix(out)
    check_free(out, None, overwrite=overwrite)
    check_seed(seed)
    if steps < 2:
        raise UsageError(f"steps is {steps}; expected 2 or more, so that there is a frame between the ends.")
    if walk is not None and (start is not None or end is not None or clips):
        raise UsageError("--walk passes through random frames. Leave out --start, --end and --clips, or --walk.")
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

    def path(ends: list[np.ndarray]) -> np.ndarray:
        if walk is not None:
            return curve(np.concatenate(ends), steps, closed=loop)
        return between(ends[0], ends[1], steps, loop=loop)

    points = [each.mean for each in latents]
    z = path(points)
    if latents[0].log_var is not None:
        z = z * (path([distances(each) for each in points]) / distances(z))
    frames = encoder.decode(z)
    check_finite(frames, f"The encoder {encoder.name} decodes")
    label = "walk" if walk is not None else " to ".join(f"{clip}:{frame}" for clip, frame in places)
    write(out, [Row(label, frames)], border_at=None, fps=dataset.fps, arrays={"frames": frames, "latents": z})
    return out


def place(text: str | int, dataset: Dataset) -> tuple[int, int]:
    """Parse a place, ``CLIP:FRAME`` or ``FRAME``, where FRAME is a number or a time such as ``1.5s``.

    Returns:
        The numbers of the clip and the frame.

    Raises:
        UsageError: the text is not a place, or the frame does not exist.
    """
    match = re.fullmatch(r"(?:(\d+):)?(\d+|\d+(?:\.\d+)?s)", str(text).strip())
    if not match:
        raise UsageError(
            f"{text!r} is not a place; expected CLIP:FRAME such as 3:10, a frame of the first clip such as 10, or a "
            "time instead of the frame such as 3:1.5s."
        )
    clip = int(match[1]) if match[1] else first_clip(dataset)
    frame = parse_frames(match[2], dataset, clip, "The place")
    dataset.check_range(clip, frame, frame + 1)
    return clip, frame


def between(a: np.ndarray, b: np.ndarray, steps: int, *, loop: bool = False) -> np.ndarray:
    """Interpolate linearly from ``a`` to ``b`` in equal steps.

    Args:
        a: (1, *latent_shape) first end, or (steps + 1, *latent_shape) if it advances.
        b: second end, of the same shape.
        steps: number of steps from ``a`` to ``b``.
        loop: return to ``a`` on the same path.

    Returns:
        (steps + 1, *latent_shape) float32, or (2 steps, *latent_shape) for a loop. Item 0 is ``a`` and item ``steps``
        is ``b``; the last item of a loop is one step from ``a``.
    """
    share = np.linspace(0, 1, steps + 1, dtype=np.float32).reshape(-1, *[1] * (a.ndim - 1))
    z = (1 - share) * a + share * b
    return np.concatenate([z, z[-2:0:-1]]) if loop else z


def curve(points: np.ndarray, steps: int, *, closed: bool = False) -> np.ndarray:
    """Interpolate points with a smooth curve, a cubic spline.

    Args:
        points: (n, *latent_shape) points, with n >= 2.
        steps: number of steps from one point to the next.
        closed: return from the last point to the first.

    Returns:
        ((n - 1) steps + 1, *latent_shape) float32, or (n steps, *latent_shape) for a closed curve, whose last item is
        one step from the first.
    """
    from scipy.interpolate import CubicSpline

    if closed:
        points = np.concatenate([points, points[:1]])
    times = np.arange(len(points))
    spline = CubicSpline(times, points.astype(np.float64), bc_type="periodic" if closed else "natural")
    fine = np.arange((len(points) - 1) * steps + (not closed)) / steps
    return spline(fine).astype(np.float32)


def distances(z: np.ndarray) -> np.ndarray:
    """Distance of each latent from 0, and never 0 itself: (n, *latent_shape) -> (n, 1, ..., 1) float32."""
    squares = np.square(z).sum(axis=tuple(range(1, z.ndim)), keepdims=True)
    return np.sqrt(np.maximum(squares, np.finfo(np.float32).tiny))


def _encoder(folder: Path) -> Artifact:
    """The encoder of a run folder; for dynamics, the encoder that is stored with them."""
    artifact = read_artifact(folder)
    return read_encoder(folder) if artifact.group == "dynamics" else read_artifact(folder, "encoders")


def _random_places(dataset: Dataset, count: int, seed: int) -> list[tuple[int, int]]:
    """Draw clips and frames uniformly from all frames of the data, without replacement."""
    ends = np.cumsum(dataset.lengths)
    total = int(ends[-1])
    if not 2 <= count <= total:
        raise UsageError(f"walk is {count}; expected 2 to {total}, the number of frames of {dataset.name}.")
    indices = np.random.default_rng(seed).choice(total, count, replace=False)
    clips = np.searchsorted(ends, indices, side="right")
    return list(zip(clips.tolist(), (indices - ends[clips] + dataset.lengths[clips]).tolist(), strict=True))


def _latents(encoder: Encoder, dataset: Dataset, clip: int, frame: int, length: int) -> Latents:
    """Encode ``length`` frames of a clip.

    Raises:
        UsageError: the clip has fewer frames.
    """
    dataset.check_range(clip, frame, frame + length)
    return encoder.encode(to_float(dataset.read(clip, frame, frame + length).frames))
