"""Promises of all plugins: configuration (C1 to C4), and the state of plugins that learn (C5 to C9)."""

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
    """Promises of plugins and datasets. A test class only has to implement ``make``."""

    _shared: ClassVar[dict[str, Any]]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        """Give every test class its own dict of what its promises share: one instance and one training."""
        super().__init_subclass__(**kwargs)
        cls._shared = {}

    @abstractmethod
    def make(self) -> C:
        """Build a new, small instance, with the same configuration in every call."""

    def instance(self) -> C:
        """One instance from ``make``, shared by all promises and never trained."""
        if "instance" not in self._shared:
            self._shared["instance"] = self.make()
        return self._shared["instance"]

    def again(self, **changes: Any) -> C:
        """Build another instance of the same configuration, with ``changes`` if there are any."""
        return type(self.instance()).from_config({**self.instance().get_config(), **changes})

    @promise
    def test_c01_name_and_description(self) -> None:
        """C1: name and description are non-empty strings of one line."""
        for key in ("name", "description"):
            value = getattr(self.instance(), key, None)
            valid = isinstance(value, str) and bool(value.strip()) and "\n" not in value
            require(valid, f"The {key} is {value!r}.")

    @promise
    def test_c02_config_is_json(self) -> None:
        """C2: get_config returns a value for every keyword of the constructor, and survives JSON unchanged."""
        config, keywords = self.instance().get_config(), self.instance().keywords()
        others = [k for k, p in keywords.items() if p.kind in (p.VAR_KEYWORD, p.VAR_POSITIONAL, p.POSITIONAL_ONLY)]
        require(not others, f"The constructor takes {others}; expected only arguments that have a keyword.")
        require(
            set(config) == set(keywords), f"get_config has {sorted(config)}; the keywords are {sorted(keywords)}."
        )
        again = json.loads(json.dumps(config, allow_nan=False))
        require(again == config, f"The configuration is {config}; after JSON it is {again}.")

    @promise
    def test_c03_config_builds_the_same(self) -> None:
        """C3: from_config(get_config()) builds an instance with the same configuration."""
        config = self.instance().get_config()
        again = self.again().get_config()
        require(again == config, f"The configuration is {config}; that of the new instance is {again}.")

    @promise
    def test_c04_unknown_keyword(self) -> None:
        """C4: An unknown keyword raises a UsageError."""
        require_error((UsageError,), lambda: self.again(no_such_option=1), "The keyword no_such_option")


class PluginPromises(ConfigurablePromises[P]):
    """Promises of plugins that learn and are saved: encoders, decoders, dynamics and predictors.

    Attributes:
        steps: number of training steps in the kit, with batches of 16.
        tolerance: largest difference of float32 results, relative to the largest value if that is above 1.
    """

    steps: ClassVar[int] = 30
    tolerance: ClassVar[float] = 1e-5

    @abstractmethod
    def source(self, model: P) -> Source:
        """A small set of generated training data that fits the model."""

    @abstractmethod
    def answers(self, model: P) -> dict[str, np.ndarray]:
        """The model's outputs for fixed inputs, by a name for messages."""

    def trained(self) -> P:
        """One instance after a short training, shared by all promises."""
        if "trained" not in self._shared:
            model = self.make()
            trainer = RunTrainer(None, steps=self.steps, batch_size=16, seed=0)
            self._shared["history"] = model.fit(self.source(model), trainer)
            self._shared["trained"] = model
        return self._shared["trained"]

    def require_history(self) -> None:
        """Require that ``fit`` returned a History."""
        self.trained()
        kind = type(self._shared["history"])
        require(issubclass(kind, History), f"fit returned a {kind.__name__}; expected a History.")

    @promise
    def test_c05_state_comes_back(self) -> None:
        """C5: A new instance with the same configuration gives the same outputs after it loads the saved state."""
        model = self.trained()
        fresh = self.again()
        with tempfile.TemporaryDirectory() as folder:
            model.save_state(Path(folder))
            fresh.load_state(Path(folder))
        before, after = self.answers(model), self.answers(fresh)
        require(
            set(after) == set(before), f"The outputs are {sorted(after)}; before saving they were {sorted(before)}."
        )
        for what, array in before.items():
            require_close(after[what], array, f"{what} before saving and after loading", self.tolerance)

    @promise
    def test_c06_state_is_stable(self) -> None:
        """C6: Saving twice writes the same files with the same bytes."""
        first, second = _files(self.trained()), _files(self.trained())
        changed = sorted(name for name in first.keys() | second.keys() if first.get(name) != second.get(name))
        require(not changed, f"These files differ: {changed}.")

    @promise
    def test_c07_state_is_not_pickled(self) -> None:
        """C7: The saved state contains no pickle: no pickled files, no object arrays and no .keras archives."""
        for name, data in _files(self.trained()).items():
            require(not _executable(name, data), f"{name} contains Python objects; save arrays and JSON instead.")

    @promise
    def test_c08_missing_state(self) -> None:
        """C8: load_state raises a DataError, or the OSError of the missing file, if the folder lacks the files."""
        if not _files(self.trained()):
            raise SkipTest("This plugin has no state to save.")
        fresh = self.again()
        with tempfile.TemporaryDirectory() as folder:
            require_error((DataError, OSError), lambda: fresh.load_state(Path(folder)), "An empty folder")

    @promise
    def test_c09_presets(self) -> None:
        """C9: Every preset maps keywords to JSON values, and works with every shape that the defaults accept."""
        plugin, config = type(self.instance()), self.instance().get_config()
        needed = {k: config[k] for k, p in plugin.keywords().items() if p.default is p.empty}
        for name, options in plugin.presets.items():
            require(
                json.loads(json.dumps(dict(options))) == options,
                f"The preset {name!r} is {options}, which JSON changes.",
            )
            try:
                plugin.from_config({**needed, **options})
            except UsageError as cause:
                _skip_where_defaults_do_not_fit(plugin, needed)
                raise PromiseBroken(f"The preset {name!r} raised a UsageError: {cause}") from cause


def _skip_where_defaults_do_not_fit(plugin: type[Plugin], needed: dict[str, Any]) -> None:
    try:
        plugin.from_config(needed)
    except UsageError as cause:
        raise SkipTest(f"The defaults do not build an instance here: {cause}") from cause


def _files(model: Plugin) -> dict[str, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        model.save_state(Path(folder))
        paths = sorted(p for p in Path(folder).rglob("*") if p.is_file())
        return {str(p.relative_to(folder)): p.read_bytes() for p in paths}


def _executable(name: str, data: bytes) -> bool:
    """Whether reading the file could run code: a pickle, an array of objects, or an archive that contains one."""
    if name.endswith((".pkl", ".pickle", ".joblib", ".keras")):
        return True
    if data.startswith(b"PK") and zipfile.is_zipfile(io.BytesIO(data)):
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return any(_executable(member, archive.read(member)) for member in archive.namelist())
    try:
        if data.startswith(b"\x93NUMPY"):
            np.load(io.BytesIO(data), allow_pickle=False)
            return False
        # The first byte alone proves nothing, since a safetensors file may start with it too.
        return data.startswith(b"\x80") and sum(1 for _ in pickletools.genops(data)) > 1
    except ValueError:
        return data.startswith(b"\x93NUMPY")
