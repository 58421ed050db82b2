"""Faults of an environment are reported as its faults, and nothing is written."""

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from latentseq.commands.record import record
from latentseq.errors import PluginError

FAULTY = "LatentseqTest/Faulty-v0"
UPDATE = "That is a fault of the environment: update it, or choose another one."
GIVES = "expected a finite number. " + UPDATE
RATE = "expected a number above 0 and at most 1e+06. " + UPDATE
LEFT = "it called sys.exit(1), but it should raise an exception"


class Faulty(gymnasium.Env):
    """An environment with one fault."""

    action_space, observation_space = spaces.Discrete(2), spaces.Discrete(1)

    def __init__(self, render_mode, fault="", fps=30):
        self.render_mode, self.fault = render_mode, fault
        self.metadata = {"render_modes": ["rgb_array"], "render_fps": fps}

    def _fail(self, where):
        if self.fault == where:
            raise ValueError("Something is wrong.")

    def reset(self, *, seed=None, options=None):
        self._fail("reset")
        return 0, {}

    def step(self, action):
        self._fail("step")
        if self.fault == "exit":
            raise SystemExit(1)
        reward = {"none": None, "text": "much", "nan": np.nan, "many": np.zeros(3)}.get(self.fault, 1)
        return (0, reward, False, False, {})[: 4 if self.fault == "four" else 5]

    def render(self):
        self._fail("render")
        return np.zeros((8, 8, 3), np.uint8)

    def close(self):
        self._fail("close")

    def get_action_meanings(self):
        self._fail("get_action_meanings")
        return ["left", "right"]


@pytest.fixture(autouse=True)
def registered():
    gymnasium.register(FAULTY, Faulty)
    yield
    del gymnasium.registry[FAULTY]


def refused(env, out, **options) -> str:
    with pytest.raises(PluginError) as caught:
        record(env, out, episodes=1, steps=4, env_options=options, quiet=True)
    assert not list(out.parent.iterdir())
    return str(caught.value)


@pytest.mark.parametrize("where", ["reset", "step", "render", "close", "get_action_meanings"])
def test_what_it_raises(where, tmp_path):
    assert refused(FAULTY, tmp_path / "out", fault=where) == (
        f"The environment '{FAULTY}' fails in its {where}: ValueError: Something is wrong. That is a fault of the "
        "environment: update it, use other options, or choose another one."
    )


@pytest.mark.parametrize(
    ("fault", "reason"), [("exit", LEFT), ("four", "ValueError: not enough values to unpack (expected 5, got 4)")]
)
def test_a_step_that_ends_the_process_or_gives_too_little(fault, reason, tmp_path):
    message = f"The environment '{FAULTY}' fails in its step: {reason}. That is a fault of the environment:"
    assert refused(FAULTY, tmp_path / "out", fault=fault).startswith(message)


@pytest.mark.parametrize(
    ("fault", "shown"), [("none", "None"), ("text", "'much'"), ("nan", "nan"), ("many", "array([0., 0., 0.])")]
)
def test_a_reward_that_is_no_number(fault, shown, tmp_path):
    message = f"The environment '{FAULTY}' returned the reward {shown}; {GIVES}"
    assert refused(FAULTY, tmp_path / "out", fault=fault) == message


@pytest.mark.parametrize("fps", [0, -5, "x", [1], 1e300])
def test_a_frame_rate_that_is_none(fps, tmp_path):
    message = f"The environment '{FAULTY}' has the render_fps {fps!r}; {RATE}"
    assert refused(FAULTY, tmp_path / "out", fps=fps) == message


@pytest.mark.parametrize(
    ("text", "reason"), [("import sys; sys.exit(1)", LEFT), ("1 / 0", "ZeroDivisionError: division by zero")]
)
def test_a_module_that_fails_while_it_is_imported(text, reason, install, tmp_path):
    install("faulty", {}, faulty_module=text)
    assert refused("faulty_module:Faulty-v0", tmp_path / "out") == (
        "The module 'faulty_module' of the environment 'faulty_module:Faulty-v0' fails while it is imported: "
        f"{reason}. That is a fault of the module: update it, or choose another environment."
    )


def test_termination_is_nobodys_fault(install, tmp_path):
    install("ending", {}, ending_module="import sys; sys.exit(143)")
    with pytest.raises(SystemExit) as caught:
        record("ending_module:Faulty-v0", tmp_path / "out", quiet=True)
    assert caught.value.code == 143
