"""Promises of everything that is configured (C1 to C4), and of everything that learns (C5 to C9)."""

import io
import json
import pickletools
import tempfile
import zipfile
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar
from unittest import SkipTest

import numpy as np

from latentseq.arrays import Source
from latentseq.configurable import Configurable, Plugin
from latentseq.errors import DataError, UsageError
from latentseq.protocols import Decoder, Dynamics, Encoder, History, Predictor
from latentseq.testing.common import PromiseBroken, promise, require, require_close, require_error
from latentseq.training.trainer import RunTrainer

C = TypeVar("C", bound=Configurable)
P = TypeVar("P", bound=Encoder | Decoder | Dynamics | Predictor)


class ConfigurablePromises(ABC, Generic[C]):
    """What plugins and datasets have in common. A kit writes ``make`` and nothing else."""

    _kept: ClassVar[dict[str, Any]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give every kit its own place for what its promises share: one instance, one training."""
        super().__init_subclass__(**kwargs)
        cls._kept = {}

    @abstractmethod
    def make(self) -> C:
        """A new, small instance; the same configuration every time."""

    def made(self) -> C:
        """What ``make`` gave, made once for all promises and never trained."""
        if "made" not in self._kept:
            self._kept["made"] = self.make()
        return self._kept["made"]

    def again(self, **changes: Any) -> C:
        """A second instance of the same configuration, or of one with these changes."""
        return type(self.made()).from_config({**self.made().get_config(), **changes})

    @promise
    def test_c01_name_and_description(self) -> None:
        """C1: name and description are strings of one line, and not empty."""
        for key in ("name", "description"):
            value = getattr(self.made(), key, None)
            fine = isinstance(value, str) and bool(value.strip()) and "\n" not in value
            require(fine, f"Its {key} is {value!r}.")

    @promise
    def test_c02_config_is_json(self) -> None:
        """C2: The configuration is the constructor's keywords, and JSON gives it back unchanged."""
        config, keywords = self.made().get_config(), self.made().keywords()
        loose = [k for k, p in keywords.items() if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL, p.POSITIONAL_ONLY)]
        require(not loose, f"The constructor takes {loose}; expected keywords only, each by its own name.")
        require(set(config) == set(keywords), f"It is {sorted(config)}; the keywords are {sorted(keywords)}.")
        again = json.loads(json.dumps(config, allow_nan=False))
        require(again == config, f"It is {config}; JSON gives back {again}.")

    @promise
    def test_c03_config_builds_the_same(self) -> None:
        """C3: from_config(get_config()) builds an instance of the same configuration."""
        config = self.made().get_config()
        again = self.again().get_config()
        require(again == config, f"The configuration is {config}; what it builds has {again}.")

    @promise
    def test_c04_unknown_keyword(self) -> None:
        """C4: A keyword that does not exist is a UsageError."""
        require_error((UsageError,), lambda: self.again(no_such_option=1), "The option no_such_option")


class PluginPromises(ConfigurablePromises[P]):
    """What encoders, decoders, dynamics and predictors have in common: they learn, and are saved.

    Attributes:
        steps: training steps that the kit takes, of batches of 16.
        tolerance: how far float32 results may differ, relative to the largest value where that is above 1.
    """

    steps: ClassVar[int] = 30
    tolerance: ClassVar[float] = 1e-5

    @abstractmethod
    def source(self, model: P) -> Source:
        """Little generated data that fits the model."""

    @abstractmethod
    def answers(self, model: P) -> dict[str, np.ndarray]:
        """What the model says of fixed inputs, by a name for messages."""

    def trained(self) -> P:
        """An instance that has seen a little training, made once for all promises."""
        if "trained" not in self._kept:
            model = self.make()
            trainer = RunTrainer(None, steps=self.steps, batch_size=16, seed=0)
            self._kept["history"] = model.fit(self.source(model), trainer)
            self._kept["trained"] = model
        return self._kept["trained"]

    def require_history(self) -> None:
        """That ``fit`` returned a History."""
        self.trained()
        found = type(self._kept["history"])
        require(issubclass(found, History), f"fit returned a {found.__name__}; expected a History.")

    @promise
    def test_c05_state_comes_back(self) -> None:
        """C5: A new instance of the same configuration that loads the saved state answers the same."""
        model = self.trained()
        fresh = self.again()
        with tempfile.TemporaryDirectory() as folder:
            model.save_state(Path(folder))
            fresh.load_state(Path(folder))
        wanted, found = self.answers(model), self.answers(fresh)
        require(set(wanted) == set(found), f"It answers {sorted(found)}; before it was saved {sorted(wanted)}.")
        for what, array in wanted.items():
            require_close(found[what], array, f"After loading, {what} of before and now", self.tolerance)

    @promise
    def test_c06_state_is_stable(self) -> None:
        """C6: Saving twice gives the same files with the same bytes."""
        first, second = _saved(self.trained()), _saved(self.trained())
        changed = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
        require(not changed, f"These differ: {changed}.")

    @promise
    def test_c07_state_is_not_pickled(self) -> None:
        """C7: The state holds no pickle: no pickled file, no object arrays, no .keras archive."""
        for name, data in _saved(self.trained()).items():
            require(not _executable(name, data), f"{name} holds objects; save arrays and JSON.")

    @promise
    def test_c08_missing_state(self) -> None:
        """C8: load_state from a folder without the files raises a DataError, or the OSError of the missing file."""
        if not _saved(self.trained()):
            raise SkipTest("This plugin has no state to save.")
        fresh = self.again()
        with tempfile.TemporaryDirectory() as folder:
            require_error((DataError, OSError), lambda: fresh.load_state(Path(folder)), "An empty folder")

    @promise
    def test_c09_presets(self) -> None:
        """C9: Every preset that it names holds its keywords as JSON, and builds wherever its defaults do."""
        plugin, config = type(self.made()), self.made().get_config()
        needed = {k: config[k] for k, p in plugin.keywords().items() if p.default is p.empty}
        for name, options in plugin.presets.items():
            require(json.loads(json.dumps(dict(options))) == options, f"{name!r} is {options}, which is no JSON.")
            try:
                plugin.from_config({**needed, **options})
            except UsageError as cause:
                _skip_where_defaults_do_not_fit(plugin, needed)
                raise PromiseBroken(f"With {name!r}: {cause}") from cause


def _skip_where_defaults_do_not_fit(plugin: type[Plugin], needed: dict[str, Any]) -> None:
    try:
        plugin.from_config(needed)
    except UsageError as cause:
        raise SkipTest(f"Its defaults do not build: {cause}") from cause


def _saved(model: Plugin) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        model.save_state(Path(folder))
        paths = sorted(p for p in Path(folder).rglob("*") if p.is_file())
        return {str(p.relative_to(folder)): p.read_bytes() for p in paths}


def _executable(name: str, data: bytes) -> bool:
    """Whether reading the file could run code: a pickle, an array of objects, or an archive that holds one."""
    if name.endswith((".pkl", ".pickle", ".joblib", ".keras")):
        return True
    if data.startswith(b"PK") and zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return any(_executable(member, archive.read(member)) for member in archive.namelist())
    try:
        if data.startswith(b"\x93NUMPY"):
            np.load(io.BytesIO(data), allow_pickle=False)
            return False
        # The first byte alone proves nothing: a safetensors file may start with it too.
        return data.startswith(b"\x80") and sum(1 for _ in pickletools.genops(data)) > 1
    except ValueError:
        return data.startswith(b"\x93NUMPY")
