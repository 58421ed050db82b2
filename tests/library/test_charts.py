"""Charts: their lines are checked by colour, and no global state of matplotlib is changed."""

import io
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from latentseq.drawing.charts import curve_chart, error_by_horizon, training_chart
from latentseq.errors import UsageError

ROWS = [{"epoch": i, "loss": 100 / i, "val_loss": 120 / i} for i in range(1, 9)]
ERRORS = {"model": [10.0, 20.0, 30.0, 40.0], "copy_last": [50.0, 60.0, 70.0, 80.0], "black": [90.0] * 4}
MODEL, VALIDATION = (0xD9, 0x69, 0x0F), (0x2F, 0x6D, 0xB3)


def pixels(png: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(png)) as image:
        assert image.format == "PNG"
        return np.array(image.convert("RGB"))


def drawn(picture: np.ndarray, rgb: tuple[int, int, int]) -> np.ndarray:
    return np.argwhere((picture == rgb).all(-1))


def test_a_panel_for_every_stage_and_one_for_the_errors() -> None:
    one, two = pixels(training_chart({"a": ROWS}, {})), pixels(training_chart({"a": ROWS, "b": ROWS}, ERRORS))
    assert one.shape[0] == two.shape[0] and 2.5 < two.shape[1] / one.shape[1] < 3.1
    third = two.shape[1] // 3
    assert [bool(len(drawn(two[:, i * third : (i + 1) * third], VALIDATION))) for i in range(3)] == [
        True,
        True,
        False,
    ]
    assert drawn(two, MODEL)[:, 1].min() > 2 * third


def test_the_model_rises_to_the_right_and_a_loss_falls() -> None:
    for picture, rgb, sign in (
        (pixels(error_by_horizon({"model": [1, 2, 3, 4, 5]}, ylabel="error")), MODEL, -1),
        (pixels(training_chart({"a": ROWS}, {})), VALIDATION, 1),
    ):
        y, x = drawn(picture, rgb).T
        inside = x < x.min() + 0.7 * (x.max() - x.min())
        assert np.corrcoef(x[inside], sign * y[inside])[0, 1] > 0.8


def test_floors_are_lighter_than_models() -> None:
    strong = pixels(error_by_horizon({"a": [1.0, 2.0]}, ylabel="error"))
    light = pixels(error_by_horizon({"a": [1.0, 2.0]}, ylabel="error", floors=("a",)))
    assert len(drawn(strong, MODEL)) and not len(drawn(light, MODEL))


def test_every_curve_is_labelled_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn_figures, save = [], Figure.savefig
    monkeypatch.setattr(Figure, "savefig", lambda self, *a, **k: (drawn_figures.append(self), save(self, *a, **k)))
    close = {"model": [1.0, 4.0, 40.0], "other": [2.0, 5.0, 41.0], "copy_last": [3.0, 9.0, 39.0], "black": [90.0] * 3}
    training_chart({"a": ROWS}, close)
    (figure,) = drawn_figures
    losses = {name: [row[key] for row in ROWS] for name, key in (("training", "loss"), ("validation", "val_loss"))}
    for ax, curves in zip(figure.axes, (losses, close), strict=True):
        texts, places = {text.get_text(): text for text in ax.texts}, []
        assert len(ax.lines) == len(ax.texts) == len(curves)
        for name, values in curves.items():
            (line,) = (each for each in ax.lines if list(each.get_ydata()) == values)
            text = texts[name.replace("_", " ")]
            end = line.get_xydata()[-1]
            assert tuple(text.xy) == tuple(end)
            if name in ("model", "other", "validation"):
                assert text.get_color() == line.get_color()
            places.append(text.get_window_extent())
            across, up = ax.transData.transform(end)
            assert across < places[-1].x0 < across + 20 and places[-1].x1 < figure.bbox.x1
            assert abs((places[-1].y0 + places[-1].y1) / 2 - up) < 40
        assert len({line.get_color() for line in ax.lines}) == len(curves)
        assert not any(a.overlaps(b) for i, a in enumerate(places) for b in places[:i])


def test_the_same_input_gives_the_same_bytes() -> None:
    assert training_chart({"a": ROWS}, ERRORS) == training_chart({"a": ROWS}, ERRORS)
    assert b"Software" not in training_chart({"a": ROWS}, {})


@pytest.mark.parametrize(
    "rows",
    [
        [],
        [{"epoch": 1, "loss": 1.0}],
        [{"epoch": 0, "val_loss": 9.0}],
        [{"epoch": 0, "val_loss": 9.0}, {"epoch": 1, "loss": 1.0, "val_loss": 2.0}],
        [{"epoch": 1, "loss": 1.0, "val_loss": None}, {"epoch": 2, "loss": float("nan"), "val_loss": 2.0}],
        [{"epoch": 1, "loss": -5.0, "val_loss": -4.0}, {"epoch": 2, "loss": 0.0, "val_loss": float("inf")}],
        [{"epoch": i, "loss": 10.0**-i, "val_loss": 1e6} for i in range(1, 9)],
    ],
)
def test_awkward_histories_are_drawn(rows: list[dict], recwarn: pytest.WarningsRecorder) -> None:
    assert pixels(training_chart({"main": rows}, {"model": [], "b": [float("nan"), 1.0]})).std() > 0
    assert not recwarn.list


def test_a_curve_and_its_marks_are_where_they_belong() -> None:
    values = np.zeros(101)
    values[[0, 25, 75]] = np.nan, 40, 100
    picture = pixels(curve_chart(values, times=np.arange(len(values)) / 10, marks=[75, 25], ylabel="nats"))
    curve, marks = (drawn(picture, rgb) for rgb in (VALIDATION, MODEL))
    left, right = curve[:, 1].min(), curve[:, 1].max()  # Frames 1 and 100.
    for frame in (25, 75):
        place = left + (right - left) * (frame - 1) / 99
        assert len(marks[abs(marks[:, 1] - place) < 4]) > 20
    peak = curve[abs(curve[:, 1] - (left + (right - left) * 74 / 99)) < 6]
    low = curve[abs(curve[:, 1] - (left + (right - left) * 24 / 99)) < 6]
    floor = curve[:, 0].max()
    assert (floor - low[:, 0].min()) / (floor - peak[:, 0].min()) == pytest.approx(0.4, abs=0.05)


def test_marks_close_together_and_a_curve_of_one_number_are_drawn(recwarn: pytest.WarningsRecorder) -> None:
    values, times = np.arange(50.0), np.arange(50) / 25
    few, many = (pixels(curve_chart(values, times=times, marks=m, ylabel="nats")) for m in ([9], range(20)))
    assert len(drawn(many, MODEL)) > 3 * len(drawn(few, MODEL))
    assert pixels(curve_chart(np.array([np.nan, 3.0]), times=times[:2], marks=[1], ylabel="nats")).std() > 0
    assert not recwarn.list


def test_nothing_to_chart() -> None:
    for draw in (lambda: training_chart({}, {}), lambda: error_by_horizon({}, ylabel="error")):
        with pytest.raises(UsageError) as caught:
            draw()
        assert str(caught.value) == ("There is nothing to chart; expected at least one stage or one curve of errors.")


def test_pyplot_is_never_imported() -> None:
    code = "import sys; from latentseq.drawing.charts import *; training_chart({}, {'a': [1]}); print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "matplotlib.figure" in modules and "matplotlib.pyplot" not in modules
