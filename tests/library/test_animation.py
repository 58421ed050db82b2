"""Image files with several pictures as footage: their times, their pictures as shown, and each decoded only once."""

import hashlib
import zlib
from pathlib import Path

import numpy as np
import pytest
from ingesting import ingest
from PIL import Image, TiffImagePlugin, WebPImagePlugin

from latentseq.errors import DataError
from latentseq.media.animation import Animation, is_animation
from latentseq.media.footage import rows_of
from latentseq.media.levels import Levels
from latentseq.media.preprocessing import Preprocessing
from latentseq.storage.frames import ClipFolder

COLOURS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]
DURATIONS = [40, 80, 20, 100]
SAME = Preprocessing((8, 12))


def _save(path: Path, frames: list[Image.Image], **options: object) -> Path:
    frames[0].save(path, save_all=True, append_images=frames[1:], lossless=True, **options)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return _save(tmp_path / "a.webp", [Image.new("RGB", (12, 8), c) for c in COLOURS], duration=DURATIONS)


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that gets an entry for each frame that the decoder is asked for."""
    calls: list[int] = []
    advance = WebPImagePlugin.WebPImageFile._get_next

    def counted(self):
        calls.append(1)
        return advance(self)

    monkeypatch.setattr(WebPImagePlugin.WebPImageFile, "_get_next", counted)
    return calls


def _shown(animation: Animation, numbers: list[int]) -> list[tuple[int, ...]]:
    return [tuple(picture.frame(SAME)[3, 5].tolist()) for picture in animation.walk(np.array(numbers))]


def test_what_an_animation_says_of_itself(path, decoded):
    animation = Animation(path)
    assert (animation.path, animation.kind, animation.detail) == (path, "animation", "WebP")
    assert (animation.timed, animation.size, animation.gray, animation.sound) == (True, (8, 12), False, False)
    np.testing.assert_allclose(animation.times, [0, 0.04, 0.12, 0.14])
    assert animation.times.dtype == np.float64
    assert animation.end == pytest.approx(0.24)
    assert animation.breaks.tolist() == []
    assert animation.digest() == hashlib.sha256(path.read_bytes()).hexdigest()
    assert not decoded


def test_every_frame_is_its_picture(path):
    frames = [picture.frame(SAME) for picture in Animation(path).walk(np.arange(4))]
    for frame, colour in zip(frames, COLOURS, strict=True):
        assert frame.shape == (8, 12, 3)
        assert frame.dtype == np.uint8
        np.testing.assert_array_equal(frame, np.broadcast_to(np.array(colour), (8, 12, 3)))


def test_numbers_repeat_and_are_left_out(path):
    animation = Animation(path)
    assert _shown(animation, [0, 0, 2, 3, 3]) == [COLOURS[i] for i in (0, 0, 2, 3, 3)]
    first, second = animation.walk(np.array([1, 1]))
    assert first is second
    assert _shown(animation, []) == []


def test_a_picture_outlives_the_walk(path):
    pictures = list(Animation(path).walk(np.arange(4)))
    assert [tuple(picture.frame(SAME)[0, 0].tolist()) for picture in pictures] == COLOURS
    gray = pictures[1].frame(Preprocessing((4, 6), gray=True))
    assert gray.shape == (4, 6, 1)
    assert set(gray.ravel().tolist()) == {round(0.587 * 255)}


def test_walking_on_decodes_on(path, decoded):
    animation = Animation(path)
    _shown(animation, [0, 1])
    _shown(animation, [2, 3])
    assert len(decoded) == 4
    assert _shown(animation, [1]) == [COLOURS[1]]  # Going back starts again at the first frame.
    assert len(decoded) == 6


def test_two_walks_at_once(path):
    animation = Animation(path)
    pairs = zip(animation.walk(np.arange(4)), animation.walk(np.arange(4)), strict=True)
    assert all((a.frame(SAME) == b.frame(SAME)).all() for a, b in pairs)


def test_another_has_a_decoder_of_its_own(path, decoded):
    animation = Animation(path)
    _shown(animation, [0, 1])
    other = animation.another()
    assert _shown(other, [0, 1]) == COLOURS[:2]
    other.close()
    assert _shown(animation, [2, 3]) == COLOURS[2:]
    assert len(decoded) == 6
    assert other.times is animation.times


def test_a_closed_animation_opens_again(path):
    animation = Animation(path)
    animation.close()
    _shown(animation, [2])
    animation.close()
    assert _shown(animation, [1, 2]) == COLOURS[1:3]


def test_a_changed_part_lies_over_the_frame_before(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (8, 12, 3), np.uint8)
    changed = noise.copy()
    changed[2:4, 4:8] = 255 - changed[2:4, 4:8]
    path = _save(tmp_path / "a.webp", [Image.fromarray(noise), Image.fromarray(changed)], duration=50)
    first, second = (picture.frame(SAME) for picture in Animation(path).walk(np.arange(2)))
    np.testing.assert_array_equal(first, noise)
    np.testing.assert_array_equal(second, changed)


def test_what_is_transparent_is_black(tmp_path):
    frames = [Image.new("RGBA", (12, 8), (255, 255, 255, alpha)) for alpha in (0, 51, 255)]
    path = _save(tmp_path / "a.webp", frames, duration=50)
    assert _shown(Animation(path), [0, 1, 2]) == [(0, 0, 0), (51, 51, 51), (255, 255, 255)]


def test_a_frame_of_no_duration_is_shown_a_tenth_of_a_second(path):
    content = path.read_bytes()
    at = content.index(b"ANMF") + 8 + 12
    path.write_bytes(content[:at] + bytes(3) + content[at + 3 :])
    animation = Animation(path)
    np.testing.assert_allclose(animation.times, [0, 0.1, 0.18, 0.2])
    assert animation.end == pytest.approx(0.3)


def test_what_is_an_animation(path, tmp_path):
    assert is_animation(path)
    assert is_animation(path.rename(tmp_path / "b.WEBP"))
    content = (tmp_path / "b.WEBP").read_bytes()
    (tmp_path / "a.gif").write_bytes(content)
    (tmp_path / "cut.webp").write_bytes(content[: len(content) // 2])
    (tmp_path / "text.webp").write_text("hello")
    Image.new("RGB", (4, 4)).save(tmp_path / "still.webp")
    frames = [Image.new("RGB", (4, 4), c) for c in COLOURS]
    frames[0].save(tmp_path / "other.webp", "PNG", save_all=True, append_images=frames[1:])
    for name in ("a.gif", "cut.webp", "text.webp", "still.webp", "other.webp", "none.webp"):
        assert not is_animation(tmp_path / name), name


def test_a_damaged_frame(path):
    content = path.read_bytes()
    at = content.rindex(b"VP8L") + 8
    path.write_bytes(content[: at + 5] + b"\xff" * (len(content) - at - 5))
    animation = Animation(path)
    assert _shown(animation, [0, 1, 2]) == COLOURS[:3]
    with pytest.raises(DataError) as caught:
        _shown(animation, [3])
    assert str(caught.value) == (
        f"{path} is damaged at frame 3: it lists 4 frames, and this one cannot be decoded. "
        "Copy or export the file again."
    )
    assert _shown(animation, [2]) == [COLOURS[2]]


def test_a_truncated_file(path):
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(DataError, match=f"^{path} cannot be read as an image: "):
        Animation(path)


def test_a_file_that_vanishes(path):
    animation = Animation(path)
    path.unlink()
    with pytest.raises(DataError) as caught:
        _shown(animation, [0])
    assert str(caught.value) == f"{path} cannot be read as an image: expected a regular file. Check the path."


def test_a_picture_that_is_no_animation(tmp_path):
    path = tmp_path / "a.webp"
    Image.new("RGB", (4, 4)).save(path)
    with pytest.raises(DataError) as caught:
        Animation(path)
    assert str(caught.value) == (
        f"{path} cannot be read as an animation: it lists 1 frame and 0 durations; expected one duration for each "
        "frame. Export it again."
    )
    Image.new("RGB", (4, 4)).save(path, "PNG")
    with pytest.raises(DataError) as caught:
        Animation(path)
    assert str(caught.value) == f"{path} is a PNG file; expected WEBP, because of its suffix. Rename it."


def test_a_canvas_that_would_fill_the_memory(path):
    content = bytearray(path.read_bytes())
    at = content.index(b"VP8X") + 12
    content[at : at + 6] = (7999).to_bytes(3, "little") * 2
    path.write_bytes(content)
    with pytest.raises(DataError) as caught:
        Animation(path)
    assert str(caught.value) == (
        f"{path} is 8000 x 8000 (h x w), 64000000 pixels; expected at most 50000000. "
        "Make it smaller with another program first."
    )


def _pictures(mode: str = "RGB") -> list[Image.Image]:
    return [Image.new("RGB", (12, 8), c).convert(mode) for c in COLOURS]


@pytest.mark.parametrize("hidden", [False, True])
@pytest.mark.parametrize("name", ["a.png", "a.apng", "A.PNG"])
def test_every_frame_of_an_animated_png_is_shown_as_long_as_it_says(name, hidden, tmp_path):
    """A picture for viewers without animation is not a frame."""
    frames = [Image.new("RGB", (12, 8), (9, 9, 9))] * hidden + _pictures()
    path = tmp_path / name
    frames[0].save(path, "PNG", save_all=True, append_images=frames[1:], duration=DURATIONS, default_image=hidden)
    assert is_animation(path)
    animation = Animation(path)
    assert (animation.detail, animation.timed, animation.size) == ("PNG", True, (8, 12))
    np.testing.assert_allclose(animation.times, [0, 0.04, 0.12, 0.14])
    assert animation.end == pytest.approx(0.24)
    assert _shown(animation, [0, 1, 2, 3]) == COLOURS
    assert _shown(animation, [1]) == [COLOURS[1]]


def test_what_is_transparent_in_an_animated_png_is_black(tmp_path):
    frames = [Image.new("RGBA", (12, 8), (255, 255, 255, alpha)) for alpha in (0, 51, 255)]
    path = tmp_path / "a.png"
    frames[0].save(path, save_all=True, append_images=frames[1:], duration=50, disposal=1)
    assert _shown(Animation(path), [0, 1, 2]) == [(0, 0, 0), (51, 51, 51), (255, 255, 255)]


def test_an_animated_png_that_lists_more_frames_than_it_has(tmp_path):
    path = tmp_path / "a.png"
    _pictures()[0].save(path, save_all=True, append_images=_pictures()[1:], duration=50)
    content = path.read_bytes()
    at = content.index(b"acTL") + 4
    head = b"acTL" + (9).to_bytes(4, "big") + content[at + 4 : at + 8]
    path.write_bytes(content[: at - 4] + head + zlib.crc32(head).to_bytes(4, "big") + content[at + 12 :])
    with pytest.raises(DataError) as caught:
        Animation(path)
    assert str(caught.value) == (
        f"{path} cannot be read as an animation: it lists 9 frames and 4 durations; expected one duration for each "
        "frame. Export it again."
    )


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_every_page_of_a_tiff_is_a_frame(mode, tmp_path):
    path = tmp_path / "a.tif"
    _pictures(mode)[0].save(path, save_all=True, append_images=_pictures(mode)[1:])
    assert is_animation(path)
    stack = Animation(path)
    remark = "its 4 pages do not say when they are shown; taken to be 25 a second without --fps"
    assert (stack.remark, stack.detail) == (remark, f"TIFF, {remark}")
    assert (stack.timed, stack.seekable) == (False, True)
    np.testing.assert_allclose(stack.times, [0, 0.04, 0.08, 0.12])
    expected = [tuple(np.asarray(picture.convert("RGB"))[0, 0].tolist()) for picture in _pictures(mode)]
    assert _shown(stack, [0, 1, 2, 3]) == expected
    assert _shown(stack, [2]) == [expected[2]]
    assert rows_of(stack, Preprocessing((8, 12), fps=10)).numbers.tolist() == [0, 1, 2, 3]


def test_pages_of_12_bits_are_not_black(tmp_path):
    path = tmp_path / "a.tif"
    pages = [Image.fromarray(np.full((12, 16), value, np.uint16)) for value in (0, 2048, 4095)]
    pages[0].save(path, save_all=True, append_images=pages[1:])
    with pytest.raises(DataError) as caught:
        Animation(path)
    assert "has 16 bits, in which white is 65535" in str(caught.value)
    assert "--range 0..4095 if it has 12 bits" in str(caught.value)
    stack = Animation(path, Levels(0, 4095))
    assert stack.reading == "TIFF of more than 8 bits, values 0..4095 from black to white"
    assert [pixel[0] for pixel in _shown(stack, [0, 1, 2])] == [0, 128, 255]
    assert stack.digest() != Animation(path, Levels(0, 65535)).digest()


def _tiff_with_preview(path: Path) -> None:
    preview = TiffImagePlugin.ImageFileDirectory_v2()
    preview[254] = 1
    with TiffImagePlugin.AppendingTiffWriter(path, True) as file:
        _pictures()[0].save(file, "TIFF")
        file.newFrame()
        Image.new("RGB", (6, 4)).save(file, "TIFF", tiffinfo=preview)


def test_a_tiff_of_one_picture_and_its_preview_is_an_image(tmp_path):
    _tiff_with_preview(tmp_path / "a.tif")
    with Image.open(tmp_path / "a.tif") as image:
        assert image.n_frames == 2
    assert not is_animation(tmp_path / "a.tif")
    _pictures()[0].save(tmp_path / "b.tif")
    assert not is_animation(tmp_path / "b.tif")


def test_pages_of_two_sizes(tmp_path):
    path = tmp_path / "a.tif"
    _pictures()[0].save(path, save_all=True, append_images=[Image.new("RGB", (6, 4))])
    with pytest.raises(DataError) as caught:
        Animation(path)
    assert str(caught.value) == (
        f"{path} has a page of 8 x 12 (h x w), and its page 2 is 4 x 6; expected one size in a clip. "
        "Save pages of different sizes in different files."
    )


def test_ingestion_takes_all_pictures_of_a_file_and_says_what_it_does(tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    for name, options in (("a.tif", {}), ("b.png", {"duration": 40})):
        _pictures()[0].save(folder / name, save_all=True, append_images=_pictures()[1:], **options)
    _pictures()[0].save(folder / "c.png")
    assert ingest([folder], tmp_path / "out", size=8) == tmp_path / "out"
    told = "in/a.tif: its 4 pages do not say when they are shown; taken to be 25 a second without --fps."
    assert told in capsys.readouterr().err.splitlines()
    clips = ClipFolder(str(tmp_path / "out"))
    assert clips.lengths.tolist() == [4, 4, 1]
