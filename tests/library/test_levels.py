"""Black and white of pictures with more than 8 bits: values are scaled, and dark pictures are refused."""

from fractions import Fraction

import av
import numpy as np
import pytest
from ingesting import ingest
from PIL import Image

from latentseq.errors import DataError, UsageError
from latentseq.media.arrayfile import ArrayFile
from latentseq.media.images import ImageFolder
from latentseq.media.levels import parse_range
from latentseq.media.preprocessing import Preprocessing
from latentseq.storage.frames import ClipFolder

SAME = Preprocessing((16, 20), gray=True)


def _pictures(most: int, dtype: str = "uint16") -> np.ndarray:
    """Three pictures from 0 to ``most``."""
    return np.broadcast_to(np.linspace(0, most, 20), (3, 16, 20)).astype(dtype)


def _images(folder, pictures):
    folder.mkdir()
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(folder / f"{number}.{'tiff' if picture.dtype.kind == 'f' else 'png'}")
    return folder, sorted(folder.iterdir())


def _dark(name: object, most: int, bits: int) -> str:
    top = 2**bits - 1
    return (
        f"{name} has 16 bits, in which white is 65535, but the 3 pictures that were checked have values of at most "
        f"{most}: it would become dark or black. Set the values of black and white: --range 0..{top} if it has "
        f"{bits} bits, or --range 0..65535 if it is meant to be dark (in commands other than ingest: --data-set "
        f"range=0..{top})."
    )


@pytest.mark.parametrize(("most", "bits"), [(255, 8), (256, 10), (1023, 10), (4095, 12), (16383, 14), (1, 8)])
def test_sixteen_bits_that_would_be_dark_are_asked_about(most, bits, tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, _pictures(most))
    with pytest.raises(DataError) as caught:
        ArrayFile(path)
    assert str(caught.value) == _dark(path, most, bits)
    folder, files = _images(tmp_path / "png", _pictures(most))
    with pytest.raises(DataError) as caught:
        ImageFolder(folder, files)
    assert str(caught.value) == _dark(folder, most, bits)


@pytest.mark.parametrize(
    ("most", "text", "white"), [(4095, "0..4095", 255), (1023, "0..1023", 255), (4095, "0..65535", 16)]
)
def test_a_range_says_what_is_white(most, text, white, tmp_path):
    np.save(tmp_path / "a.npy", _pictures(most))
    _images(tmp_path / "png", _pictures(most))
    for name in ("a.npy", "png"):
        out = tmp_path / f"out-{name}"
        ingest([tmp_path / name], out, range=text, quiet=True)
        frames = ClipFolder(str(out)).read(0).frames
        assert (frames[..., 0, 0].max(), frames.max()) == (0, white)
        # Half of the way from black to white is half as bright.
        assert abs(int(frames[0, 0, 10, 0]) - white * 10 / 19) <= 1
        assert f"values {text} from black to white" in ClipFolder(str(out)).sources[0]["reading"]


@pytest.mark.parametrize(("most", "bits"), [(4095, 12), (200, 8)])
def test_colours_of_sixteen_bits(most, bits, tmp_path):
    """Pillow only returns the upper 8 of 16 bits, which would leave 0 levels of 8 bits and 16 levels of 12."""
    values = np.zeros((3, 16, 20, 3), np.uint16)
    values[:, :, 10:, 1] = most
    folder = tmp_path / "png"
    folder.mkdir()
    for number, picture in enumerate(values):
        codec = av.CodecContext.create("png", "w")
        codec.width, codec.height, codec.pix_fmt, codec.time_base = 20, 16, "rgb48be", Fraction(1, 25)
        frame = av.VideoFrame.from_ndarray(picture, "rgb48le").reformat(format="rgb48be")
        (folder / f"{number}.png").write_bytes(b"".join(bytes(p) for p in [*codec.encode(frame), *codec.encode()]))
    files = sorted(folder.iterdir())
    with pytest.raises(DataError) as caught:
        ImageFolder(folder, files)
    assert str(caught.value) == _dark(folder, most, bits)
    footage = ImageFolder(folder, files, parse_range(f"0..{most}"))
    frame = next(footage.walk(np.array([2]))).frame(Preprocessing((16, 20)))
    np.testing.assert_array_equal(frame, (values[2] // most * 255).astype(np.uint8))


def test_sixteen_bits_that_are_used_are_taken_and_black_is_black(tmp_path):
    np.save(tmp_path / "a.npy", _pictures(20_000))
    footage = ArrayFile(tmp_path / "a.npy")
    assert footage.reading.endswith("gray, values 0..65535 from black to white")
    np.save(tmp_path / "black.npy", _pictures(0))
    assert not next(ArrayFile(tmp_path / "black.npy").walk(np.array([0]))).frame(SAME).any()


@pytest.mark.parametrize(("text", "low", "high"), [("0..255", 0, 255), ("-1..1", -1, 1), ("0.5..2.5", 0.5, 2.5)])
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
def test_floats_of_any_range(text, low, high, dtype, tmp_path):
    values = (low + (high - low) * np.linspace(0, 1, 20)).astype(dtype)
    np.save(tmp_path / "a.npy", np.broadcast_to(values, (3, 16, 20)))
    footage = ArrayFile(tmp_path / "a.npy", None, None, parse_range(text))
    frame = next(footage.walk(np.array([1]))).frame(SAME)
    np.testing.assert_allclose(frame[0, :, 0], np.linspace(0, 255, 20), atol=1)


def test_values_outside_of_the_range(tmp_path):
    path = tmp_path / "a.npy"
    np.save(path, _pictures(5000))
    with pytest.raises(DataError) as caught:
        next(ArrayFile(path, None, None, parse_range("0..4095")).walk(np.array([1]))).frame(SAME)
    assert str(caught.value) == (
        f"Picture 1 of {path} has values from 0 to 5000; expected values from 0 to 4095, as --range says. Set the "
        "values of black and white with --range, such as --range 0..255 (in commands other than ingest: --data-set "
        "range=0..255)."
    )
    folder, files = _images(tmp_path / "tiff", _pictures(255, "float32"))
    with pytest.raises(
        DataError, match=f"^{files[0]} has values from 0 to 255; expected floats from 0 to 1. Set the"
    ):
        next(ImageFolder(folder, files).walk(np.array([0]))).frame(SAME)
    white = next(ImageFolder(folder, files, parse_range("0..255")).walk(np.array([0]))).frame(SAME)
    assert white.max() == 255


def test_eight_bits_have_no_other_range(tmp_path):
    np.save(tmp_path / "a.npy", _pictures(255, "uint8"))
    footage = ArrayFile(tmp_path / "a.npy", None, None, parse_range("0..4095"))
    assert next(footage.walk(np.array([0]))).frame(SAME).max() == 255
    assert footage.digest() == ArrayFile(tmp_path / "a.npy").digest()
    np.save(tmp_path / "b.npy", _pictures(4095))
    digests = {ArrayFile(tmp_path / "b.npy", None, None, parse_range(t)).digest() for t in ("0..4095", "0..65535")}
    assert len(digests) == 2


@pytest.mark.parametrize("text", ["", "4095", "0-4095", "1..1", "4095..0", "0..x", "nan..1"])
def test_a_range_that_is_none(text):
    with pytest.raises(UsageError) as caught:
        parse_range(text)
    assert str(caught.value) == (
        f"--range is {text!r}; expected the values of black and white, the lower one first, such as 0..4095 for 12 "
        "bits, 0..1 or -1..1."
    )
