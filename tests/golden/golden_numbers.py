"""What a folder of golden files gives: numbers that every later version has to give as well.

python tests/golden/golden_numbers.py FOLDER > FOLDER/numbers.json
"""

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

import latentseq

CONTEXT, STEPS = 6, 6
MODELS = ("mixture", "kl", "convlstm", "tuned", "unet")


def numbers(folder: Path) -> dict[str, Any]:
    """Numbers by name, as JSON.

    Args:
        folder: clips, latents (``z``, ``zmap``) and the runs in ``MODELS``.
    """
    dataset = latentseq.open_data(folder / "clips")
    clip = dataset.read(0)
    frames = clip.frames[None] / np.float32(255)
    results: dict[str, Any] = {
        "lengths": dataset.lengths.tolist(),
        "frame_shape": list(dataset.frame_shape),
        "clip": _summary(frames),
    }
    for name in MODELS:
        model = latentseq.load_predictor(folder / name)
        context = frames[:, :CONTEXT]
        forecast, _ = model.observe(context)
        results[name] = {
            "reconstruction": _summary(model.reconstruct(context)),
            "forecast": _summary(forecast),
            "rollout": _summary(model.predict(context, STEPS, temperature=0.0)),
        }
    return results


def _summary(array: np.ndarray) -> list[float]:
    """Mean, standard deviation, and 30 values, evenly spread."""
    flat = np.asarray(array, np.float64).ravel()
    values = flat[np.linspace(0, len(flat) - 1, 30).astype(int)]
    return [round(float(x), 6) for x in (flat.mean(), flat.std(), *values)]


if __name__ == "__main__":
    print(json.dumps(numbers(Path(sys.argv[1])), indent=1))
