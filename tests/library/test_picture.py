"""Drawings, checked by their pixels. Every frame here is one flat colour that occurs nowhere else."""

import numpy as np
import pytest

from latentseq.drawing.picture import BLANK, GENERATED, PRIMED, Row, animation, moments, sheet
from latentseq.errors import DataError, UsageError


def colour(row: int, t: int) -> tuple[int, int, int]:
    return (10 + 40 * row, 250 - 2 * t, 3 + t)


def flat(row: int, length: int, size: int = 8, start: int = 0) -> np.ndarray:
    frames = np.empty((length, size, size, 3), np.uint8)
    for t in range(length):
        frames[t] = colour(row, start + t)
    return frames


def block(picture: np.ndarray, rgb: tuple[int, int, int]) -> tuple[int, int, int, int] | None:
    """Top, left, height, width of the one full rectangle of a colour."""
    where = np.argwhere((picture == rgb).all(-1))
    if not len(where):
        return None
    (top, left), (bottom, right) = where.min(0), where.max(0)
    high, wide = int(bottom - top + 1), int(right - left + 1)
    assert len(where) == high * wide, "not a full rectangle"
    return int(top), int(left), high, wide


def shown(picture: np.ndarray, row: int, length: int) -> list[int]:
    """Time steps of a row whose colour occurs in the picture."""
    codes = np.unique(picture.astype(np.uint32) @ np.array([65536, 256, 1], np.uint32))
    return [t for t in range(length) if np.dot(colour(row, t), (65536, 256, 1)) in codes]


def found(picture: np.ndarray, rgb: tuple[int, int, int]) -> tuple[int, int, int, int]:
    place = block(picture, rgb)
    assert place is not None, f"{rgb} is not in the picture"
    return place


def three(length: int = 12, size: int = 8) -> list[Row]:
    return [Row(f"row {i}", flat(i, length, size), generated=i == 2) for i in range(3)]


class TestSheet:
    def test_rows_go_down_and_time_goes_right(self) -> None:
        picture = sheet(three(), border_at=5)
        assert picture.dtype == np.uint8 and picture.shape[2] == 3
        places = np.array([[found(picture, colour(r, t)) for t in range(12)] for r in range(3)])
        assert (places[..., 2:] == places[0, 0, 2]).all()
        assert 64 <= places[0, 0, 2] <= 128 and places[0, 0, 2] % 8 == 0
        assert (places[..., 0] == places[:, :1, 0]).all() and (np.diff(places[:, 0, 0]) > 64).all()
        assert (places[..., 1] == places[:1, :, 1]).all() and (np.diff(places[0, :, 1]) > 64).all()

    def test_the_border_stands_between_the_last_primed_and_the_first_generated_frame(self) -> None:
        picture = sheet(three(), border_at=5)
        top, bottom = found(picture, colour(0, 0))[0], sum(found(picture, colour(2, 0))[::2])
        line = np.flatnonzero((picture[top:bottom] == GENERATED).all((0, 2)))
        before, after = found(picture, colour(0, 4)), found(picture, colour(0, 5))
        assert len(line) >= 3
        assert before[1] + before[3] + 4 <= line.min() and line.max() + 4 < after[1]
        assert (picture == PRIMED).all(-1)[:top, : line.min()].any(), "the heading of what is primed"
        assert not (picture == PRIMED).all(-1)[:, line.max() :].any()

    def test_only_generated_rows_have_an_edge(self) -> None:
        picture = sheet(three(), border_at=5)
        above = [picture[found(picture, colour(r, 8))[0] - 3, found(picture, colour(r, 8))[1]] for r in range(3)]
        assert [tuple(pixel) == GENERATED for pixel in above] == [False, False, True]

    def test_without_a_border_nothing_is_marked(self) -> None:
        picture = sheet(three())
        assert not (picture == GENERATED).all(-1).any() and not (picture == PRIMED).all(-1).any()

    @pytest.mark.parametrize("border", [1, 2, 30, 97, 98, 99])
    def test_a_long_video_is_thinned_and_both_sides_of_the_border_stay(self, border: int) -> None:
        picture = sheet(three(100, 64), border_at=border)
        times = shown(picture, 0, 100)
        assert picture.shape[1] <= 2400 and len(times) >= 25
        assert {border - 1, border} <= set(times)
        assert len(set(np.diff(times)) - {1}) <= 1, "the same step everywhere but across the border"

    def test_every_nth(self) -> None:
        picture = sheet(three(12), border_at=5, every=3)
        assert shown(picture, 1, 12) == [1, 4, 5, 8, 11]

    def test_panels_get_smaller_before_frames_are_left_out(self) -> None:
        picture = sheet(three(25, 16), border_at=12)
        assert shown(picture, 2, 25) == list(range(25)) and picture.shape[1] <= 2400

    def test_large_frames_are_reduced_by_a_whole_factor(self) -> None:
        assert found(sheet(three(3, 512)), colour(0, 0))[2:] == (128, 128)

    def test_enlarging_repeats_pixels(self) -> None:
        checks = np.indices((8, 8)).sum(0)[None, :, :, None] % 2 * np.float32(1)
        picture = sheet([Row("a", checks), Row("b", flat(1, 1))])
        top, left, side, _ = found(picture, colour(1, 0))
        panel = picture[top - side - 14 : top - 14, left : left + side, 0]
        assert (panel == np.kron(checks[0, ..., 0] * 255, np.ones((side // 8, side // 8)))).all()

    def test_a_row_may_begin_later_and_end_earlier(self) -> None:
        rows = [Row("all", flat(0, 10)), Row("late", flat(1, 3, start=4), start=4)]
        picture = sheet(rows)
        for t in range(10):
            _, left, high, wide = found(picture, colour(0, t))
            top = found(picture, colour(1, 4))[0]
            expected = colour(1, t) if 4 <= t < 7 else BLANK
            assert (picture[top : top + high, left : left + wide] == expected).all()


class TestAnimation:
    def test_each_time_shows_its_frames_below_each_other(self) -> None:
        pictures = animation(three(), border_at=5)
        assert pictures.dtype == np.uint8 and len(pictures) == 12
        assert pictures.shape[1] % 2 == pictures.shape[2] % 2 == 0
        for t in (0, 4, 5, 11):
            places = np.array([found(pictures[t], colour(r, t)) for r in range(3)])
            assert (np.diff(places[:, 0]) > places[0, 2]).all() and len(set(places[:, 1])) == 1
            assert shown(pictures[t], 0, 12) == [t]

    def test_generated_panels_have_an_edge_from_the_border_on(self) -> None:
        pictures = animation(three(), border_at=5)
        top, left, high, wide = found(pictures[0], colour(2, 0))
        edge = np.zeros(pictures.shape[1:3], bool)
        edge[top - 3 : top + high + 3, left - 3 : left + wide + 3] = True
        edge[top : top + high, left : left + wide] = False
        marked = [(picture[edge] == GENERATED).all() for picture in pictures]
        assert marked == [t >= 5 for t in range(12)]
        first = found(pictures[9], colour(0, 9))
        assert tuple(pictures[9][first[0] - 2, first[1]]) != GENERATED

    def test_the_caption_says_which(self) -> None:
        pictures = animation(three(), border_at=5)
        heading = pictures[:, : found(pictures[0], colour(0, 0))[0] - 4]
        for t, strip in enumerate(heading):
            assert (strip == GENERATED).all(-1).any() == (t >= 5)
            assert (strip[:36] == PRIMED).all(-1).any() == (t < 5)
        assert len({strip.tobytes() for strip in heading}) == 12, "every time has its own number"

    def test_the_bar_grows_with_time(self) -> None:
        pictures = animation(three(), border_at=5)
        line = pictures[:, 46]
        filled = ((line == PRIMED).all(-1) | (line == GENERATED).all(-1)).sum(1)
        assert (np.diff(filled) > 0).all()
        assert filled[-1] >= pictures.shape[2] - 2 * 20 - 4

    @pytest.mark.parametrize(("rows", "size"), [(1, 8), (3, 64), (6, 64), (18, 64), (3, 512), (5, 100), (40, 32)])
    def test_it_fits(self, rows: int, size: int) -> None:
        many = [Row(f"future {i}", np.full((1, size, size, 1), 100 + i, np.uint8)) for i in range(rows)]
        picture = animation(many)[0]
        assert picture.shape[0] <= 900 and picture.shape[1] <= 1400
        for i in range(rows):
            _, _, high, wide = found(picture, (100 + i,) * 3)
            assert high == wide and (high % size == 0 or size % high == 0) and high >= 64

    def test_rows_go_on_in_a_second_column(self) -> None:
        many = [Row("x", np.full((1, 64, 64, 1), 100 + i, np.uint8)) for i in range(6)]
        places = np.array([found(animation(many)[0], (100 + i,) * 3) for i in range(6)])
        assert (places[:3, 1] == places[0, 1]).all() and (places[3:, 1] > places[0, 1] + places[0, 3]).all()
        assert (places[:3, 0] == places[3:, 0]).all()

    def test_a_row_that_begins_later_is_blank_and_without_an_edge(self) -> None:
        rows = [Row("all", flat(0, 10)), Row("late", flat(1, 4, start=6), start=6, generated=True)]
        pictures = animation(rows, border_at=5)
        top, left, high, wide = found(pictures[6], colour(1, 6))
        assert (pictures[5, top : top + high, left : left + wide] == BLANK).all()
        assert tuple(pictures[5, top - 2, left]) != GENERATED and tuple(pictures[6, top - 2, left]) == GENERATED

    def test_moments_are_the_same_one_at_a_time(self) -> None:
        rows = three(4)
        assert (np.stack(list(moments(rows, border_at=2))) == animation(rows, border_at=2)).all()

    def test_a_very_long_label_is_shortened(self) -> None:
        assert animation([Row("a label of very many words " * 20, flat(0, 1))]).shape[2] < 500

    def test_floats_and_one_channel(self) -> None:
        frames = np.array([0.0, 0.5, 2.0], np.float32).reshape(3, 1, 1, 1)
        pictures = animation([Row("grey", frames)])
        place = found(pictures[1], (128, 128, 128))
        assert tuple(pictures[0][place[:2]]) == (0, 0, 0) and tuple(pictures[2][place[:2]]) == (255, 255, 255)


@pytest.mark.parametrize("draw", [sheet, moments])
class TestWhatCannotBeDrawn:
    def fails(self, draw, kind, rows, message, **options) -> None:
        with pytest.raises(kind) as caught:
            draw(rows, **options)
        assert str(caught.value) == message

    def test_nothing(self, draw) -> None:
        message = "There is nothing to draw; expected at least one row with at least one frame."
        self.fails(draw, UsageError, [], message)
        self.fails(draw, UsageError, [Row("a", flat(0, 0))], message)

    def test_no_frames(self, draw) -> None:
        for shape in ((8, 8, 3), (2, 8, 8, 2)):
            message = f"Row 'a' has shape {shape}; expected (t, h, w, 1) or (t, h, w, 3)."
            self.fails(draw, DataError, [Row("a", np.zeros(shape, np.uint8))], message)

    def test_integers(self, draw) -> None:
        message = "Row 'a' has dtype int64; expected uint8 in 0..255 or floating point in [0, 1]."
        self.fails(draw, DataError, [Row("a", np.zeros((1, 8, 8, 1), np.int64))], message)

    def test_two_sizes(self, draw) -> None:
        rows = [Row("a", np.zeros((1, 8, 9, 1), np.uint8)), Row("b", np.zeros((1, 4, 5, 1), np.uint8))]
        message = "Row 'b' has frames of 5x4, row 'a' of 9x8; expected one size in a picture. Resize one of them."
        self.fails(draw, DataError, rows, message)

    def test_a_border_outside(self, draw) -> None:
        message = "The border is at frame 13; expected 0 to 12, the frames of the picture."
        self.fails(draw, UsageError, three(), message, border_at=13)

    def test_a_negative_start(self, draw) -> None:
        message = "Row 'a' starts at frame -1; expected 0 or later."
        self.fails(draw, UsageError, [Row("a", flat(0, 3), start=-1)], message)


def test_every_is_at_least_one() -> None:
    with pytest.raises(UsageError) as caught:
        sheet(three(), every=0)
    assert str(caught.value) == "every is 0; expected 1 (every frame) or more."
