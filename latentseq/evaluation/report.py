"""The results of an evaluation as text tables and as curves for a chart."""

from collections.abc import Mapping, Sequence
from typing import Any

_COLUMNS = {
    "mse": "MSE",
    "mae": "MAE",
    "psnr": "PSNR",
    "ssim": "SSIM",
    "ssim_range_2": "SSIM/2",
    "sharp_diff": "sharp diff",
}
_DIGITS = {"psnr": 2, "ssim": 3, "ssim_range_2": 3, "sharp_diff": 2, "sharpness": 2}
_PARTS = {"reconstruction": "reconstruction", "one_step": "one-step", "drift": "drift"}
_ENSEMBLE = {
    **{f"best_{key}": f"best {title}" for key, title in _COLUMNS.items()},
    "crps": "CRPS",
    "spread": "spread",
    "skill": "skill",
    "ratio": "ratio",
}

Rows = list[tuple[str, list[str]]]
"""The rows of a table: label and cells."""


def curves(metrics: Mapping[str, Any]) -> dict[str, list[float]]:
    """Squared error by step, for the models, their reconstructions and the floors.

    Args:
        metrics: metrics that ``measure`` computed.

    Returns:
        Curves by label, one value for each step of the horizon.
    """
    models = metrics["models"]
    lines = {name: scores["prediction"] for name, scores in models.items()}
    for name, scores in models.items():
        if _has_encoder(scores):
            lines["reconstruction" if len(models) == 1 else f"{name} reconstruction"] = scores["reconstruction"]
    return {name: scores["mse"]["by_horizon"] for name, scores in {**lines, **metrics["floors"]}.items()}


def text(metrics: Mapping[str, Any], costs: Mapping[str, Any]) -> str:
    """Format the tables of an evaluation: errors, their sources, costs, densities and samples.

    Args:
        metrics: metrics that ``measure`` computed.
        costs: costs by model: ``frames_per_second`` and, if available, ``training_seconds`` and
            ``peak_memory_bytes``.
    """
    tables = [_protocol(metrics["protocol"]), _errors(metrics), _attribution(metrics), _costs(metrics, costs)]
    return "\n\n".join([*tables, *filter(None, [_densities(metrics), _samples(metrics)])])


def _protocol(protocol: Mapping[str, Any]) -> str:
    windows, clips = protocol["windows"], protocol["clips"]
    return (
        f"{protocol['data']['name']}: {windows} windows of {clips} clips ({protocol['split']}), "
        f"{protocol['context']} frames seen, {protocol['horizon']} predicted; "
        "MSE and MAE summed over pixels, all means over frames and windows"
    )


def _errors(metrics: Mapping[str, Any]) -> str:
    steps = _steps(metrics)
    rows: Rows = []

    def add(label: str, scores: Mapping[str, Any]) -> None:
        cells = [_cell(scores[key]["mean"], _DIGITS.get(key, 1)) for key in (*_COLUMNS, "sharpness")]
        rows.append((label, cells + [_cell(scores["mse"]["by_horizon"][i], 1) for i in steps]))

    for name, scores in metrics["models"].items():
        add(name, scores["prediction"])
        if _has_encoder(scores):
            add("  reconstruction, the ceiling", scores["reconstruction"])
        if "linear_in_z" in scores:
            add("  linear in Z", scores["linear_in_z"])
        for stream, ways in scores.get("streams", {}).items():
            for way, changed in ways.items():
                add(f"  {stream} {way}", changed)
    for name, scores in metrics["floors"].items():
        add(name.replace("_", " "), scores)
    return _grid("", [*_COLUMNS.values(), "sharpness", *(f"MSE at {i + 1}" for i in steps)], rows)


def _attribution(metrics: Mapping[str, Any]) -> str:
    rows: Rows = []
    for name, scores in metrics["models"].items():
        parts, total = scores["attribution"], scores["prediction"]["mse"]
        cells = [*(parts[key]["mean"] for key in _PARTS), total["mean"]]
        rows.append((name, [_cell(value, 1) for value in cells]))
        for i in _steps(metrics):
            cells = [*(parts[key]["by_horizon"][i] for key in _PARTS), total["by_horizon"][i]]
            rows.append((f"  at {i + 1}", [_cell(value, 1) for value in cells]))
    return _grid("where the MSE comes from", [*_PARTS.values(), "sum"], rows)


def _costs(metrics: Mapping[str, Any], costs: Mapping[str, Any]) -> str:
    rows: Rows = []
    for name, scores in metrics["models"].items():
        cost, parameters = costs.get(name, {}), scores["parameters"]
        seconds, memory = cost.get("training_seconds"), cost.get("peak_memory_bytes")
        cells = [
            "-" if parameters is None else f"{parameters:,}",
            "-" if seconds is None else f"{seconds / 60:.1f} min",
            "-" if memory is None else f"{memory / 2**30:.2f} GiB",
            _cell(cost.get("frames_per_second"), 0),
        ]
        rows.append((name, cells))
    return _grid("what it costs", ["parameters", "training", "its memory", "frames/s"], rows)


def _densities(metrics: Mapping[str, Any]) -> str | None:
    steps, rows = _steps(metrics), []
    for name, scores in metrics["models"].items():
        for who, bits in scores.get("bits_per_dimension", {}).items():
            cells = [bits["mean"], *(bits["by_horizon"][i] for i in steps)]
            rows.append((name if who == "model" else f"  {who}", [_cell(value, 3) for value in cells]))
    return _grid("bits per dimension of Z", ["mean", *(f"at {i + 1}" for i in steps)], rows) if rows else None


def _samples(metrics: Mapping[str, Any]) -> str | None:
    rows: Rows = []
    for name, scores in metrics["models"].items():
        if "ensemble" in scores:
            ensemble = scores["ensemble"]
            digits = {f"best_{key}": n for key, n in _DIGITS.items()} | {"spread": 3, "skill": 3, "ratio": 2}
            rows.append((name, [_cell(ensemble[key]["mean"], digits.get(key, 1)) for key in _ENSEMBLE]))
    protocol = metrics["protocol"]
    title = f"{protocol['samples']} samples at temperature {protocol['temperature']:g}"
    return _grid(title, list(_ENSEMBLE.values()), rows) if rows else None


def _has_encoder(scores: Mapping[str, Any]) -> bool:
    """Whether the model has an encoder; without one, reconstruction has no error."""
    return bool(scores["reconstruction"]["mse"]["mean"])


def _steps(metrics: Mapping[str, Any]) -> list[int]:
    """Indices of the first, the middle and the last step."""
    horizon = metrics["protocol"]["horizon"]
    return sorted({0, (horizon - 1) // 2, horizon - 1})


def _cell(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _grid(title: str, columns: Sequence[str], rows: Rows) -> str:
    """Format a table with labels aligned left and numbers aligned right."""
    left = max(len(label) for label in [title, *(label for label, _ in rows)])
    widths = [max(map(len, column)) for column in zip(columns, *(cells for _, cells in rows), strict=True)]
    lines = [(title, columns), *rows]
    return "\n".join(
        f"{label:{left}}" + "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
        for label, cells in lines
    )
