"""Recording: rows and their frames, the same bytes for the same seed, and environments that cannot be recorded."""

import json
import subprocess
import sys

import gymnasium
import numpy as np
import pytest
from gymnasium import spaces

from latentseq.commands.record import record
from latentseq.errors import UsageError
from latentseq.storage.frames import ClipFolder

SPACES = {
    "discrete": spaces.Discrete(4, start=2),
    "box": spaces.Box(-1, 1, (2, 3), np.float32),
    "many": spaces.MultiDiscrete([2, 3], start=[0, 5]),
    "binary": spaces.MultiBinary(5),
    "tuple": spaces.Tuple([spaces.Discrete(2)]),
}
COUNTER = "LatentseqTest/Counter-v0"


class Counter(gymnasium.Env):
    """Draws its state: the step in red, a number of the seed in green, and the bytes of the last action in blue.

    Step n is rewarded with n. It draws into one array, and warns of everything.
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 60}  # noqa: RUF012
    closed = 0

    def __init__(self, render_mode, space="discrete", length=12, draws="picture", cut_off=0):
        gymnasium.logger.warn("made")
        self.action_space, self.observation_space = SPACES[space], spaces.Discrete(1)
        self.length, self.cut_off, self.draws = length, cut_off, draws
        self.picture = np.zeros((4, 16, 3), np.uint8)
        self.render_mode = render_mode

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.steps, self.number = 0, self.np_random.integers(256)
        self.picture[...] = 0
        self.picture[..., 1] = self.number
        return 0, {}

    def step(self, action):
        assert action in self.action_space
        gymnasium.logger.warn("stepped")
        self.steps += 1
        self.picture[..., 0] = self.steps
        told = np.ravel(action).astype(np.float32).view(np.uint8)
        self.picture[..., 2].reshape(-1)[: len(told)] = told
        return 0, float(self.steps), self.steps == self.length, self.steps == self.cut_off, {}

    def render(self):
        if self.draws == "missing":
            raise gymnasium.error.DependencyNotInstalled("pygame is not installed, run `pip install pygame`")
        return {"picture": self.picture, "nothing": None, "floats": self.picture / 255}[self.draws]

    def close(self):
        type(self).closed += 1


class NeverDrawn(gymnasium.Env):
    """Refuses a render mode without a message, as many environments do."""

    metadata = {"render_modes": ["ansi"]}  # noqa: RUF012

    def __init__(self, render_mode=None):
        if render_mode not in (None, *self.metadata["render_modes"]):
            raise AssertionError


@pytest.fixture(autouse=True)
def registered():
    """Registers the environments of these tests during each test."""
    gymnasium.register(COUNTER, Counter)
    gymnasium.register("LatentseqTest/NeverDrawn-v0", NeverDrawn)
    Counter.closed = 0
    yield
    for name in (COUNTER, "LatentseqTest/NeverDrawn-v0"):
        del gymnasium.registry[name]


def counted(out, clip=0, **how):
    """A recording of the counter: the steps drawn, the actions drawn, and the streams."""
    record(COUNTER, out, quiet=True, **how)
    frames, streams = ClipFolder(str(out)).read(clip)
    told = np.ascontiguousarray(frames[..., 2]).reshape(len(frames), -1).view(np.float32)
    return frames[:, 0, 0, 0].tolist(), told, streams


def manifest(out):
    return json.loads((out / "manifest.json").read_text())


def refused(*args, **how):
    with pytest.raises(UsageError) as caught:
        record(*args, quiet=True, **how)
    return str(caught.value)


def test_row_i_of_the_actions_leads_to_frame_i_plus_1(tmp_path):
    steps, told, streams = counted(tmp_path / "out", episodes=1)
    assert steps == list(range(13))
    chosen = streams["action"].argmax(1)
    np.testing.assert_array_equal(streams["action"][:-1], np.eye(4)[chosen[:-1]])
    assert not streams["action"][-1].any()
    # The first of the four actions is called 2.
    np.testing.assert_array_equal(told[1:, 0], chosen[:-1] + 2)
    assert len(set(chosen[:-1])) > 1


def test_the_reward_and_the_end_belong_to_the_frame_that_came_with_them(tmp_path):
    _, _, streams = counted(tmp_path / "out", episodes=1)
    assert streams["reward"][:, 0].tolist() == list(range(13))
    assert streams["done"][:, 0].tolist() == [0] * 12 + [1]
    assert {key: array.dtype for key, array in streams.items()} == dict.fromkeys(streams, np.float32)


@pytest.mark.parametrize(
    ("how", "frames", "done"),
    [
        ({"steps": 5}, 5, 0),
        ({"steps": 12}, 12, 0),
        ({"steps": 13}, 13, 1),
        ({"steps": 1}, 1, 0),
        ({"env_options": {"cut_off": 7}}, 8, 0),
        ({"env_options": {"max_episode_steps": 4}}, 5, 0),
        ({"env_options": {"cut_off": 12}}, 13, 1),
    ],
)
def test_an_episode_that_is_cut_off_is_not_done(how, frames, done, tmp_path):
    steps, _, streams = counted(tmp_path / "out", episodes=1, **how)
    assert steps == list(range(frames))
    assert streams["done"][:, 0].tolist() == [0] * (frames - 1) + [done]
    assert not streams["action"][-1].any()
    assert (streams["action"][:-1].sum(1) == 1).all()


def test_an_action_is_held_and_its_rewards_are_added(tmp_path):
    steps, told, streams = counted(tmp_path / "out", episodes=1, repeat=5)
    assert steps == [0, 5, 10, 12]
    assert streams["reward"][:, 0].tolist() == [0, 1 + 2 + 3 + 4 + 5, 6 + 7 + 8 + 9 + 10, 11 + 12]
    assert streams["done"][:, 0].tolist() == [0, 0, 0, 1]
    np.testing.assert_array_equal(told[1:, 0], streams["action"].argmax(1)[:-1] + 2)
    assert manifest(tmp_path / "out")["fps"] == 12


def one_hot(told):
    return np.concatenate([np.eye(2)[told[:, 0].astype(int)], np.eye(3)[told[:, 1].astype(int) - 5]], 1)


@pytest.mark.parametrize(
    ("space", "width", "expected"),
    [("box", 6, lambda told: told[:, :6]), ("many", 5, one_hot), ("binary", 5, lambda told: told[:, :5])],
)
def test_other_actions(space, width, expected, tmp_path):
    _, told, streams = counted(tmp_path / "out", episodes=1, env_options={"space": space})
    assert streams["action"].shape == (13, width)
    np.testing.assert_array_equal(streams["action"][:-1], expected(told[1:]))
    assert not streams["action"][-1].any()
    assert len(np.unique(streams["action"], axis=0)) > 2
    assert manifest(tmp_path / "out")["streams"] == {"action": width, "reward": 1, "done": 1}


def test_the_same_seed_writes_the_same_bytes(tree, tmp_path):
    for name, seed in (("one", 7), ("again", 7), ("other", 8)):
        record(COUNTER, tmp_path / name, episodes=3, seed=seed, quiet=True)
    assert tree(tmp_path / "one") == tree(tmp_path / "again")
    one, other = (ClipFolder(str(tmp_path / name)) for name in ("one", "other"))
    clips = [one.read(i) for i in range(3)] + [other.read(0)]
    for array in ([c.frames[0] for c in clips], [c.streams["action"] for c in clips]):
        assert len({a.tobytes() for a in array}) == 4


def test_an_episode_does_not_depend_on_those_around_it(tmp_path):
    few, many = counted(tmp_path / "few", episodes=1), counted(tmp_path / "many", episodes=4)
    np.testing.assert_array_equal(few[1], many[1])


def test_the_manifest_says_what_was_recorded(tmp_path):
    assert record(COUNTER, tmp_path / "out", episodes=2, steps=5, seed=3, quiet=True) == tmp_path / "out"
    about = manifest(tmp_path / "out")
    assert {key: value for key, value in about.items() if key not in ("clips", "shards", "seal")} == {
        "format": "latentseq-clips/1",
        "frame_shape": [4, 16, 3],
        "fps": 60,
        "streams": {"action": 4, "reward": 1, "done": 1},
        "source": {
            "dataset": "record",
            "config": {
                "env": COUNTER,
                "env_options": {},
                "episodes": 2,
                "steps": 5,
                "size": [4, 16],
                "fit": "crop",
                "gray": False,
                "repeat": 1,
                "seed": 3,
            },
        },
    }
    assert ClipFolder(str(tmp_path / "out")).lengths.tolist() == [5, 5]


@pytest.mark.parametrize(("size", "shape"), [("4x6", (4, 6)), (8, (8, 8)), (None, (4, 16))])
@pytest.mark.parametrize("gray", [False, True])
def test_frames_are_prepared_as_those_of_a_film(size, shape, gray, tmp_path):
    record(COUNTER, tmp_path / "out", episodes=1, size=size, gray=gray, fit="stretch", quiet=True)
    frames = ClipFolder(str(tmp_path / "out")).read(0).frames
    assert frames.shape == (13, *shape, 1 if gray else 3)
    if not gray:
        assert frames[:, -1, -1, 0].tolist() == list(range(13))


def test_more_frames_than_are_written_at_a_time(tmp_path):
    steps, _, _ = counted(tmp_path / "out", episodes=2, env_options={"length": 150}, clip=1)
    assert steps == list(range(151))


def test_it_is_quiet_and_closes_what_it_opened(tmp_path, recwarn, capfd):
    record(COUNTER, tmp_path / "out", episodes=1, quiet=True)
    assert (Counter.closed, len(recwarn), capfd.readouterr()) == (1, 0, ("", ""))
    refused(COUNTER, tmp_path / "other", env_options={"draws": "nothing"})
    assert Counter.closed == 2
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"episodes": 0}, "episodes is 0; expected 1 or more."),
        ({"steps": 0}, "steps is 0; expected 1 or more."),
        ({"repeat": -1}, "repeat is -1; expected 1 or more."),
        ({"seed": -1}, "seed is -1; expected a whole number from 0 to 2147483647."),
        (
            {"size": "0"},
            "Option size is [0, 0]; expected a side or [height, width] in pixels, each from 1 to 8192, such",
        ),
        ({"fit": "bend"}, "Option fit is 'bend'; expected 'crop', 'pad' or 'stretch'."),
        (
            {"env_options": {"length": {1}}},
            "The options of the environment are {'length': {1}}; expected JSON values, because they are stored "
            "with the clips. Object of type set is not JSON serializable.",
        ),
        (
            {"env_options": {"size": 3}},
            f"The environment '{COUNTER}' cannot be created with the options {{\"size\": 3}}: Counter.__init__() got "
            "an unexpected keyword argument 'size'. Expected one that draws pictures (render mode rgb_array), and "
            "options that it accepts.",
        ),
        (
            {"env_options": {"space": "tuple"}},
            f"The action space of the environment '{COUNTER}' is Tuple(Discrete(2)); expected Box, Discrete, "
            "MultiBinary or MultiDiscrete. Choose another environment, or wrap this one.",
        ),
        (
            {"env_options": {"draws": "nothing"}},
            f"The environment '{COUNTER}' draws nothing; expected pictures (h, w, 3) uint8 in render mode "
            "rgb_array. Choose another environment.",
        ),
        (
            {"env_options": {"draws": "floats"}},
            f"The environment '{COUNTER}' draws (4, 16, 3) float64; expected pictures (h, w, 3) uint8 in render "
            "mode rgb_array. Choose another environment.",
        ),
        (
            {"env_options": {"draws": "missing"}},
            f"The environment '{COUNTER}' cannot be drawn: pygame is not installed, run `pip install pygame`.",
        ),
    ],
)
def test_what_cannot_be_recorded(how, message, tmp_path):
    assert refused(COUNTER, tmp_path / "out", **how).startswith(message)
    assert not list(tmp_path.iterdir())


UNKNOWN = "Expected the name of a Gymnasium environment with its version, such as 'ALE/MsPacman-v5'."


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (
            "ALE/MsPackman-v5",
            f"There is no environment 'ALE/MsPackman-v5'. Did you mean 'ALE/MsPacman-v5'? {UNKNOWN}",
        ),
        ("ALE/MsPacman", f"There is no environment 'ALE/MsPacman'. Did you mean 'ALE/MsPacman-v5'? {UNKNOWN}"),
        ("a film.mp4", f"There is no environment 'a film.mp4'. {UNKNOWN}"),
        ("", f"There is no environment ''. {UNKNOWN}"),
        (
            "nobodys_module:Game-v0",
            "The module 'nobodys_module' of the environment 'nobodys_module:Game-v0' cannot be imported: No module "
            "named 'nobodys_module'. Check its name, or install it.",
        ),
        (
            "LatentseqTest/NeverDrawn-v0",
            "The environment 'LatentseqTest/NeverDrawn-v0' cannot be created: AssertionError. Expected one that "
            "draws pictures (render mode rgb_array), and options that it accepts.",
        ),
    ],
)
def test_an_environment_that_is_not_there(env, message, tmp_path):
    assert refused(env, tmp_path / "out") == message
    assert not list(tmp_path.iterdir())


def test_an_environment_that_a_module_registers(install, tmp_path):
    text = f"import gymnasium\ngymnasium.register('Mine-v0', gymnasium.spec({COUNTER!r}).entry_point)\n"
    install("mine", {}, my_games=text)
    record("my_games:Mine-v0", tmp_path / "out", episodes=1, quiet=True)
    assert manifest(tmp_path / "out")["source"]["config"]["env"] == "Mine-v0"
    del gymnasium.registry["Mine-v0"]


@pytest.mark.parametrize("missing", ["gymnasium", "ale_py"])
def test_without_the_extra_it_says_what_to_install(missing, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, missing, None)
    assert refused("ALE/MsPacman-v5", tmp_path / "out") == (
        "Recording 'ALE/MsPacman-v5' needs Gymnasium and ale-py, which cannot be imported: "
        f"import of {missing} halted; None in sys.modules. "
        'Install them with: pip install "latentseq[gym]"'
    )


def test_other_environments_need_no_emulator(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "ale_py", None)
    record(COUNTER, tmp_path / "out", episodes=1, quiet=True)
    assert manifest(tmp_path / "out")["source"]["config"]["env"] == COUNTER


def test_an_existing_folder_is_kept(tmp_path, tree):
    record(COUNTER, tmp_path / "out", episodes=1, quiet=True)
    before = tree(tmp_path)
    exists = f"{tmp_path / 'out'} exists already. Choose another name, or replace it with --overwrite."
    assert refused(COUNTER, tmp_path / "out") == exists
    refused(COUNTER, tmp_path / "out", overwrite=True, env_options={"draws": "nothing"})
    assert tree(tmp_path) == before
    record(COUNTER, tmp_path / "out", episodes=2, overwrite=True, quiet=True)
    assert len(ClipFolder(str(tmp_path / "out")).lengths) == 2


PACMAN = {"red": (200, 72, 72), "pink": (198, 89, 179), "cyan": (84, 184, 153), "orange": (180, 122, 48)}
"""Colours of the ghosts; two of them take turns to be drawn."""


def test_ms_pacman(tmp_path, tree):
    how = {"episodes": 2, "steps": 120, "seed": 5, "quiet": True}
    for name in ("one", "again"):
        record("ALE/MsPacman-v5", tmp_path / name, **how)
    assert tree(tmp_path / "one") == tree(tmp_path / "again")
    clips = ClipFolder(str(tmp_path / "one"))
    assert clips.lengths.tolist() == [120, 120]
    assert (clips.frame_shape, clips.fps) == ((210, 160, 3), 30)
    names = manifest(tmp_path / "one")["actions"]
    assert names == ["NOOP", "UP", "RIGHT", "LEFT", "DOWN", "UPRIGHT", "UPLEFT", "DOWNRIGHT", "DOWNLEFT"]
    assert clips.streams == {"action": 9, "reward": 1, "done": 1}
    for i in range(2):
        frames, streams = clips.read(i)
        assert streams["action"].sum(1).tolist() == [1] * 119 + [0]
        assert streams["reward"].sum() >= 10
        assert all((frames == colour).all(-1).any() for colour in PACMAN.values())
        assert (frames[60:-1] != frames[61:]).any((1, 2, 3)).mean() > 0.9
    assert (clips.read(0).frames != clips.read(1).frames).any()


def test_an_option_of_the_emulator(tmp_path):
    options = {"frameskip": 1, "full_action_space": True}
    record("ALE/MsPacman-v5", tmp_path / "out", episodes=1, steps=3, size=64, env_options=options, quiet=True)
    about = manifest(tmp_path / "out")
    assert (about["frame_shape"], about["streams"]["action"], len(about["actions"])) == ([64, 64, 3], 18, 18)
    assert about["source"]["config"]["env_options"] == options
    assert refused("ALE/MsPacman-v5", tmp_path / "other", env_options={"mode": 99}) == (
        "The environment 'ALE/MsPacman-v5' cannot be created with the options {\"mode\": 99}: Invalid game mode "
        "requested. Expected one that draws pictures (render mode rgb_array), and options that it accepts."
    )


def test_actions_of_a_joystick_have_no_names(tmp_path):
    options = {"continuous": True}
    record("ALE/MsPacman-v5", tmp_path / "out", episodes=1, steps=3, env_options=options, quiet=True)
    about = manifest(tmp_path / "out")
    assert (about["streams"]["action"], "actions" in about) == (3, False)


def test_the_emulator_says_nothing(tmp_path):
    call = f"record('ALE/MsPacman-v5', {str(tmp_path / 'out')!r}, episodes=1, steps=2, quiet=True)"
    code = f"import sys\nfrom latentseq import record\n{call}\nsys.exit('keras' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")


def test_the_extra_is_imported_only_when_it_is_used():
    code = "import sys, latentseq.commands.record\nsys.exit('gymnasium' in sys.modules or 'ale_py' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
