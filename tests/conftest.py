"""What tests of every root share."""

import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import av
import numpy as np
import pytest

MovieWriter = Callable[..., Path]
TESTS = Path(__file__).parent
SEVERAL_PLUGINS = ("test_example_plugins.py", "test_floors_as_predictors.py")
"""Files in ``plugins/`` with kits of more than one plugin."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Try the presets of a plugin in one of its kits, and in the others in ``make test-all`` only."""
    tried = set()
    for item in items:
        if item.path.parent.name != "plugins" or item.path.name in SEVERAL_PLUGINS or "slow" in item.keywords:
            continue
        if item.name.startswith("test_c09"):
            if item.path in tried:
                item.add_marker("slow")
            tried.add(item.path)


@pytest.fixture
def shared() -> Path:
    """The folder of sample videos and digits beside the repository."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not folder.is_dir():
        pytest.skip("needs ../shared, which a clone does not have")
    return folder


def _bars(number: int, height: int, width: int) -> np.ndarray:
    """A picture that says its number: twelve upright bars, bit 0 on the left, white for 1. (h, w, 3) uint8."""
    bits = (number >> np.arange(12)) & 1
    columns = np.repeat(bits, width // 12)
    return np.broadcast_to((columns * 255).astype(np.uint8)[None, :, None], (height, width, 3)).copy()


@pytest.fixture
def numbers() -> Callable[[np.ndarray], list[int]]:
    """Reads the numbers in frames of bars (t, h, w, c), whatever their size."""

    def read(frames: np.ndarray) -> list[int]:
        w = frames.shape[2]
        middles = [int((bar + 0.5) * w / 12) for bar in range(12)]
        bits = frames[:, frames.shape[1] // 2, middles, 0] > 127
        return (bits @ (1 << np.arange(12))).tolist()

    return read


@pytest.fixture
def write_movie(tmp_path: Path) -> MovieWriter:
    """Writes a movie whose frame i shows the number i in bars."""

    def write(
        name: str,
        frames: int = 40,
        *,
        codec: str = "libx264",
        fps: int = 25,
        size: tuple[int, int] = (48, 96),
        options: dict[str, str] | None = None,
        container: dict[str, str] | None = None,
        keyframes: int = 12,
    ) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with av.open(str(path), "w", options=container or {}) as file:
            stream = file.add_stream(codec, rate=fps, options=options or {})
            stream.height, stream.width = size
            stream.pix_fmt = "yuv420p"
            stream.codec_context.gop_size = keyframes
            for i in range(frames):
                file.mux(stream.encode(av.VideoFrame.from_ndarray(_bars(i, *size), "rgb24")))
            file.mux(stream.encode())
        return path

    return write


def _distribution(site: Path, name: str, entry_points: Mapping[str, Mapping[str, str]]) -> None:
    """Write the metadata of an installed distribution: entry points by group (without ``latentseq.``) and name."""
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = []
    for group, points in entry_points.items():
        lines += [f"[latentseq.{group}]", *(f"{key} = {value}" for key, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join([*lines, ""]))


@pytest.fixture
def install(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., None]]:
    """Installs a distribution that is its metadata and a few modules, given as text, for the length of a test."""
    installed: list[str] = []

    def one(name: str, entry_points: Mapping[str, Mapping[str, str]], **modules: str) -> None:
        site = tmp_path_factory.mktemp("site")
        _distribution(site, name, entry_points)
        for module, text in modules.items():
            (site / f"{module}.py").write_text(text)
            installed.append(module)
        monkeypatch.syspath_prepend(str(site))

    yield one
    for module in installed:
        sys.modules.pop(module, None)


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Registers the honest plugins and the tutorial's, which are NumPy: whole runs without Keras, in a moment."""
    site = tmp_path_factory.mktemp("site")
    points = {
        "datasets": {"honest-dataset": "honest_plugins:HonestDataset"},
        "dynamics": {"honest-dynamics": "honest_plugins:HonestDynamics"},
        "encoders": {"honest-encoder": "honest_plugins:HonestEncoder", "numpy-pca": "numpy_pca:NumpyPCA"},
    }
    _distribution(site, "honest", points)
    with pytest.MonkeyPatch.context() as monkeypatch:
        for folder in (site, TESTS / "library", TESTS.parent / "docs" / "examples" / "numpy-pca"):
            monkeypatch.syspath_prepend(str(folder))
        yield


@pytest.fixture
def tree() -> Callable[[Path], dict[str, bytes | None]]:
    """Reads a folder whole, hidden files included: what is compared to say that nothing was written or lost."""

    def read(folder: Path) -> dict[str, bytes | None]:
        paths = sorted(folder.rglob("*"))
        return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in paths}

    return read
