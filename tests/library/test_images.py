"""Image files of every format give the same frames, and the options that they share with video are checked."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from latentseq.errors import DataError, UsageError
from latentseq.media.images import ImageFolder, Still, image_size, is_image, natural_key, prepare, read_image
from latentseq.media.preprocessing import Preprocessing

# Red and green above blue and white. All corners differ, so a turn or a flip is visible.
CORNERS = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8)
PICTURE = CORNERS.repeat(8, axis=0).repeat(16, axis=1)  # (16, 32, 3)
SAME = Preprocessing((16, 32))


def _corners(frame: np.ndarray) -> np.ndarray:
    h, w = frame.shape[:2]
    return frame[[h // 4, h // 4, 3 * h // 4, 3 * h // 4], [w // 4, 3 * w // 4, w // 4, 3 * w // 4]].reshape(2, 2, -1)


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "jpg", "webp"])
def test_every_format_gives_the_picture(suffix, tmp_path):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(PICTURE).save(path, quality=100)
    assert image_size(path) == (16, 32)
    frame = read_image(path, SAME)
    assert frame.shape == (16, 32, 3)
    assert frame.dtype == np.uint8
    np.testing.assert_allclose(_corners(frame).astype(int), CORNERS.astype(int), atol=6)


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp"])
def test_the_orientation_is_applied(suffix, tmp_path):
    path, exif = tmp_path / f"a.{suffix}", Image.Exif()
    exif[0x0112] = 6  # Shown upright after a quarter turn clockwise.
    Image.fromarray(np.rot90(PICTURE)).save(path, quality=100, exif=exif)
    assert image_size(path) == (16, 32)
    np.testing.assert_allclose(_corners(read_image(path, SAME)).astype(int), CORNERS.astype(int), atol=6)


def test_a_palette_is_looked_up(tmp_path):
    Image.fromarray(PICTURE).quantize(8).save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png", SAME), PICTURE)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_black(mode, tmp_path):
    path = tmp_path / "a.png"
    if mode == "P":
        Image.fromarray(np.zeros((4, 4), np.uint8), "L").convert("P").save(path, transparency=0)
    else:
        colour = {"RGBA": (255, 255, 255, 0), "LA": (255, 0)}[mode]
        Image.new(mode, (4, 4), colour).save(path)
    assert read_image(path, Preprocessing((4, 4))).max() == 0


def test_half_transparent_white_is_half_as_bright(tmp_path):
    Image.new("RGBA", (4, 4), (255, 255, 255, 51)).save(tmp_path / "a.png")
    assert set(read_image(tmp_path / "a.png", Preprocessing((4, 4))).ravel().tolist()) == {51}


def test_sixteen_bits_are_scaled(tmp_path):
    values = np.array([[0, 257 * 10], [257 * 100, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "a.png")
    frame = read_image(tmp_path / "a.png", Preprocessing((2, 2), gray=True))
    assert frame[..., 0].tolist() == [[0, 10], [100, 255]]


def test_floats_are_taken_for_zero_to_one(tmp_path):
    Image.fromarray(np.array([[0, 0.2], [1, 0.5]], np.float32)).save(tmp_path / "a.tiff")
    frame = read_image(tmp_path / "a.tiff", Preprocessing((2, 2), gray=True))
    assert frame[..., 0].tolist() == [[0, 51], [255, 128]]


def test_cmyk_and_bilevel(tmp_path):
    Image.new("CMYK", (4, 4), (0, 0, 0, 0)).save(tmp_path / "a.jpg", quality=100)
    assert read_image(tmp_path / "a.jpg", Preprocessing((4, 4))).min() >= 250
    Image.new("1", (4, 4), 1).save(tmp_path / "b.png")
    assert read_image(tmp_path / "b.png", Preprocessing((4, 4))).min() == 255


def test_gray_is_the_luma(tmp_path):
    Image.new("RGB", (4, 4), (100, 200, 50)).save(tmp_path / "a.png")
    frame = read_image(tmp_path / "a.png", Preprocessing((4, 4), gray=True))
    assert frame.shape == (4, 4, 1)
    assert frame[0, 0, 0] == round(0.299 * 100 + 0.587 * 200 + 0.114 * 50)


def test_crop_pad_and_stretch(tmp_path):
    path = tmp_path / "a.png"
    picture = np.zeros((20, 40, 3), np.uint8)
    picture[:, 10:30] = 255  # The middle square is white.
    Image.fromarray(picture).save(path)
    assert read_image(path, Preprocessing((20, 20), "crop")).min() == 255
    padded = read_image(path, Preprocessing((40, 40), "pad"))
    assert padded[:10].max() == padded[30:].max() == 0
    np.testing.assert_array_equal(padded[10:30], picture)
    stretched = read_image(path, Preprocessing((20, 20), "stretch"))[10, :, 0]
    assert stretched[:4].max() == 0
    assert stretched[7:13].min() == 255


@pytest.mark.parametrize("height", range(1, 40, 3))
@pytest.mark.parametrize("width", range(1, 40, 5))
@pytest.mark.parametrize("fit", ["crop", "pad", "stretch"])
def test_every_shape_fits(height, width, fit):
    preprocessing = Preprocessing((7, 12), fit)
    h, w = preprocessing.scaled(height, width)
    frame = preprocessing.place(np.full((h, w, 3), 255, np.uint8))
    assert frame.shape == (7, 12, 3)
    assert (frame.min() == 255) or fit == "pad"
    assert frame[3, 5].min() == 255


def test_numbers_sort_as_numbers():
    names = ["b/1.png", "a/frame10.png", "a/frame2.png", "a/frame02b.png", "a10/1.png", "a2/1.png", "7.png"]
    assert [str(p) for p in sorted(map(Path, names), key=natural_key)] == [
        "7.png",
        "a/frame02b.png",
        "a/frame2.png",
        "a/frame10.png",
        "a2/1.png",
        "a10/1.png",
        "b/1.png",
    ]


def test_an_image_is_known_by_its_suffix():
    assert is_image(Path("a/B.PNG"))
    assert not is_image(Path("a.mp4"))


def test_text_is_no_image(tmp_path):
    path = tmp_path / "a.png"
    path.write_text("hello")
    for read in (image_size, lambda p: read_image(p, SAME)):
        with pytest.raises(DataError) as caught:
            read(path)
        assert str(caught.value) == (
            f"{path} cannot be read as an image: its content is of no known image format. "
            "Expected a JPEG, PNG, WebP, BMP or TIFF file; copy or export it again, or remove it."
        )


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tiff"])
def test_a_truncated_image(suffix, tmp_path):
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match=f"^{path} cannot be read as an image: .*copy or export it again"):
        read_image(path, SAME)


def test_no_such_image(tmp_path):
    with pytest.raises(
        DataError, match=r"none.png cannot be read as an image: expected a regular file. Check the path"
    ):
        image_size(tmp_path / "none.png")


def test_a_bomb(tmp_path):
    path = tmp_path / "bomb.png"
    Image.new("1", (8000, 8000)).save(path)
    with pytest.raises(DataError) as caught:
        image_size(path)
    assert str(caught.value) == (
        f"{path} is 8000 x 8000 (h x w), 64000000 pixels; expected at most 50000000. "
        "Make it smaller with another program first."
    )


def test_a_picture_in_memory_is_prepared_like_a_file(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), np.uint8)
    Image.fromarray(picture).save(tmp_path / "a.png")
    for preprocessing in (Preprocessing((8, 8)), Preprocessing((8, 8), "pad", gray=True), Preprocessing((20, 30))):
        expected = read_image(tmp_path / "a.png", preprocessing)
        np.testing.assert_array_equal(prepare(picture, preprocessing), expected)
        np.testing.assert_array_equal(prepare(Image.fromarray(picture), preprocessing), expected)
    small = Image.fromarray(picture).resize((15, 10), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(prepare(picture, Preprocessing((10, 15))), np.asarray(small))


def test_a_picture_that_fits_is_not_copied():
    assert prepare(PICTURE, SAME) is PICTURE
    gray = PICTURE[..., :1]
    np.testing.assert_array_equal(prepare(gray, SAME), np.concatenate([gray, gray, gray], axis=2))
    assert prepare(gray, Preprocessing((16, 32), gray=True)) is gray
    assert prepare(gray, Preprocessing((8, 16), gray=True)).shape == (8, 16, 1)


def test_a_fourth_channel_is_alpha_on_black():
    picture = np.full((4, 4, 4), 255, np.uint8)
    picture[..., 3] = 51
    assert set(prepare(picture, Preprocessing((4, 4))).ravel().tolist()) == {51}
    assert set(prepare(picture, Preprocessing((2, 2), gray=True)).ravel().tolist()) == {51}


def test_a_still_is_decoded_once_and_when_it_is_asked_for():
    decoded = []

    def decode():
        decoded.append(1)
        return PICTURE

    still = Still(decode)
    assert not decoded
    assert still.frame(SAME).shape == (16, 32, 3)
    assert still.frame(Preprocessing((4, 4), gray=True)).shape == (4, 4, 1)
    assert len(decoded) == 1


def _folder(folder: Path, pictures: list[Image.Image], suffix: str = "png") -> list[Path]:
    files = [folder / f"{i}.{suffix}" for i in range(len(pictures))]
    for file, picture in zip(files, pictures, strict=True):
        picture.save(file)
    return files


def test_a_folder_is_footage(tmp_path):
    files = _folder(tmp_path, [Image.new("RGB", (6, 4), (i, 0, 0)) for i in range(5)])
    footage = ImageFolder(tmp_path, files)
    assert (footage.path, footage.kind, footage.detail, footage.timed) == (tmp_path, "images", "PNG", False)
    assert (footage.size, footage.gray, footage.sound, footage.breaks.tolist()) == ((4, 6), False, False, [])
    np.testing.assert_allclose(footage.times, [0, 0.04, 0.08, 0.12, 0.16])
    assert footage.times.dtype == np.float64
    assert footage.end == 0.2
    pictures = list(footage.walk(np.array([0, 2, 2, 4])))
    assert [int(picture.frame(Preprocessing((4, 6))).max()) for picture in pictures] == [0, 2, 2, 4]
    assert pictures[1] is pictures[2]
    parts = b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)
    assert footage.digest() == hashlib.sha256(parts).hexdigest()
    footage.close()


@pytest.mark.parametrize(
    ("modes", "gray"),
    [(["1", "L", "I;16", "LA"], True), (["F", "I"], True), (["L", "RGB"], False), (["P"], False), (["CMYK"], False)],
)
def test_a_folder_is_gray_if_every_image_is(modes, gray, tmp_path):
    files = _folder(tmp_path, [Image.new(mode, (4, 4)) for mode in modes], "tiff")
    assert ImageFolder(tmp_path, files).gray is gray


def test_a_folder_of_several_formats(tmp_path):
    image = Image.new("L", (4, 4))
    files = _folder(tmp_path, [image]) + _folder(tmp_path, [image], "bmp")
    assert ImageFolder(tmp_path, files).detail == "BMP and PNG"


def test_sizes_are_compared_as_shown(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    files = [tmp_path / "a.png", tmp_path / "b.png"]
    Image.new("RGB", (6, 4)).save(files[0])
    Image.new("RGB", (4, 6)).save(files[1], exif=exif)
    assert ImageFolder(tmp_path, files).size == (4, 6)
    Image.new("RGB", (4, 6)).save(files[1])
    with pytest.raises(DataError) as caught:
        ImageFolder(tmp_path, files)
    assert str(caught.value) == (
        f"{files[0]} is 4 x 6 (h x w) and {files[1]} is 6 x 4; expected one size in a clip. "
        "Put images of different sizes into different folders, or resize them."
    )


def test_a_folder_without_images(tmp_path):
    with pytest.raises(DataError) as caught:
        ImageFolder(tmp_path, [])
    assert str(caught.value) == (
        f"{tmp_path} holds no images; expected files that end in .apng, .bmp, .jpeg, .jpg, .pgm, .png, .ppm, .tif, "
        ".tiff and .webp. Choose another folder."
    )


def test_a_damaged_image_is_found_when_its_frame_is_asked_for(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    files = _folder(tmp_path, [Image.fromarray(picture) for picture in noise])
    files[1].write_bytes(files[1].read_bytes()[:5000])
    good, bad = ImageFolder(tmp_path, files).walk(np.arange(2))
    np.testing.assert_array_equal(good.frame(Preprocessing((64, 64))), noise[0])
    with pytest.raises(DataError, match=f"^{files[1]} cannot be read as an image: .*copy or export it again"):
        bad.frame(Preprocessing((64, 64)))


def test_preprocessing_survives_json():
    preprocessing = Preprocessing((24, 48), "pad", True, skip=3)
    assert preprocessing.to_json() == {"size": [24, 48], "fit": "pad", "gray": True, "skip": 3, "fps": None}
    assert Preprocessing.from_json({**preprocessing.to_json(), "other": 25}) == preprocessing
    assert Preprocessing(64).frame_shape == (64, 64, 3)
    assert [Preprocessing(size).shape for size in (32, "48x64", [5, 6], None)] == [
        (32, 32),
        (48, 64),
        (5, 6),
        (64, 64),
    ]
    assert preprocessing.frame_shape == (24, 48, 1)
    with pytest.raises(DataError, match="'fit' is missing"):
        Preprocessing.from_json({"size": 64})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"size": 0},
            "Option size is [0, 0]; expected a side or [height, width] in pixels, each from 1 to 8192, "
            "such as 64 or [64, 96].",
        ),
        (
            {"size": [64]},
            "Option size is [64]; expected a side or [height, width] in pixels, each from 1 to 8192, "
            "such as 64 or [64, 96].",
        ),
        ({"size": 64, "fit": "zoom"}, "Option fit is 'zoom'; expected 'crop', 'pad' or 'stretch'."),
        ({"size": 64, "gray": 1}, "Option gray is 1; expected true or false."),
        ({"size": 64, "skip": 0}, "Option skip is 0; expected 1 to keep every frame, 3 to keep every third."),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(UsageError) as caught:
        Preprocessing(**options)
    assert str(caught.value) == message
