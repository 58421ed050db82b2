"""Episodes of Gymnasium environments as a folder of clips: what was seen, what was done, what it earned."""

import contextlib
import importlib
import itertools
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from latentseq.data.open import check_seed
from latentseq.errors import LatentseqError, PluginError, UsageError, cause_of, did_you_mean, is_fault, not_now
from latentseq.media.footage import DEFAULT_FPS
from latentseq.media.images import prepare
from latentseq.media.preprocessing import Preprocessing
from latentseq.storage.folders import output_folder
from latentseq.storage.frames import FORMAT
from latentseq.storage.shards import MANIFEST, ShardWriter
from latentseq.training.watch import Watcher

MAX_FPS = 1e6
"""Frames a second that a folder of clips can say."""
CHUNK = 64
"""Frames written at a time."""


class _Row(NamedTuple):
    """One frame, (h, w, c) uint8, and what belongs to it, (f,) float32 each."""

    frames: np.ndarray
    action: np.ndarray
    reward: np.ndarray
    done: np.ndarray


def record(
    env: str,
    out: str | Path,
    *,
    episodes: int = 10,
    steps: int = 1000,
    size: str | int | None = None,
    fit: str = "crop",
    gray: bool = False,
    repeat: int = 1,
    env_options: Mapping[str, Any] | None = None,
    seed: int = 0,
    overwrite: bool = False,
    quiet: bool = False,
) -> Path:
    """Record a random policy in an environment, one clip an episode.

    Frames are what the environment draws, not what it lets its player observe. Row i of the streams belongs to frame
    i: ``action`` was chosen after it was seen and leads to frame i + 1, with zeros at the last frame of an episode;
    ``reward`` (width 1) was received with it; ``done`` (width 1) is 1 where the episode came to its own end with it,
    and 0 where it was cut off.

    A discrete action is one-hot, several of them are one-hot one after another, a box is flattened, and binary ones
    are as they are.

    Args:
        env: registered name, such as ``ALE/MsPacman-v5``; ``module:Name-v0`` imports the module first.
        out: a folder of clips.
        episodes: how many.
        steps: frames after which an episode is cut off.
        size: of the frames, ``64`` or ``48x64`` (h x w); the environment's own where None.
        fit: crop, pad or stretch.
        gray: one channel.
        repeat: steps of the environment that an action is held for; one frame each time, rewards added up.
        env_options: the environment's keywords.
        seed: of the environment and the policy; the same seed writes the same bytes.
        overwrite: replace an earlier result.
        quiet: show no progress.

    Returns:
        ``out``.

    Raises:
        UsageError: the environment, its options, a number or the output do not fit, or Gymnasium is not installed.
        PluginError: the environment fails, or gives what is no reward or no frame rate.
        TryAgainError: the disk is full.
    """
    out, options = Path(out), dict(env_options or {})
    check_seed(seed)
    for name, number in (("episodes", episodes), ("steps", steps), ("repeat", repeat)):
        if number < 1:
            raise UsageError(f"{name} is {number}; expected 1 or more.")
    _check_json(options)
    preprocessing = Preprocessing(1 if size is None else size, fit, gray)
    with output_folder(out, MANIFEST, overwrite=overwrite) as folder, _opened(env, options) as made:
        width, fps = _action_width(made, env), _fps(made, env)
        if size is None:
            with _running(env, "reset"):
                made.reset(seed=seed)
            h, w = _drawn(made, env).shape[:2]
            preprocessing = Preprocessing((h, w), fit, gray)

        def look() -> np.ndarray:
            # A copy, as an environment may draw into the same array every time.
            return np.array(prepare(_drawn(made, env), preprocessing))

        writer = ShardWriter(folder)
        with contextlib.closing(Watcher("record", quiet=quiet)) as watcher:
            for i in range(episodes):
                rows, length = _play(made, env, look, [seed, i], steps, repeat), 0
                while chunk := list(itertools.islice(rows, CHUNK)):
                    columns = zip(_Row._fields, zip(*chunk, strict=True), strict=True)
                    writer.add({key: np.stack(column) for key, column in columns})
                    length += len(chunk)
                    watcher.update((i + length / steps) / episodes, f"episode {i + 1}, {length} frames")
                writer.end_clip(length, split=None)
        config = {
            "env": made.spec.id,
            "env_options": options,
            "episodes": episodes,
            "steps": steps,
            "size": list(preprocessing.shape),
            "fit": fit,
            "gray": gray,
            "repeat": repeat,
            "seed": seed,
        }
        writer.close(
            format=FORMAT,
            frame_shape=list(preprocessing.frame_shape),
            fps=fps / repeat,
            streams={"action": width, "reward": 1, "done": 1},
            source={"dataset": "record", "config": config},
            **_action_names(made, env),
        )
    return out


def _check_json(options: Mapping[str, Any]) -> None:
    """Refuse options that could not be kept in the manifest.

    Raises:
        UsageError: they are not JSON.
    """
    try:
        json.dumps(options, allow_nan=False)
    except (TypeError, ValueError) as cause:
        raise UsageError(
            f"The options of the environment are {options!r}; expected values that JSON has, as they are kept with "
            f"the clips. {cause}."
        ) from cause


@contextlib.contextmanager
def _opened(env: str, options: Mapping[str, Any]) -> Iterator[Any]:
    """The environment, closed in the end; what Gymnasium and the emulator have to say is not said."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        name = _registered(env)
        import gymnasium

        try:
            # Without the checker: it fails where the environment itself would not.
            made = gymnasium.make(name, render_mode="rgb_array", disable_env_checker=True, **options)
        except BaseException as cause:  # An environment is anybody's code, and each refuses in a way of its own.
            if not is_fault(cause):
                raise
            reason = str(cause).partition(" was raised from the environment creator")[0] or type(cause).__name__
            reason = cause_of(cause) if isinstance(cause, SystemExit) else reason
            given = f" with the options {json.dumps(options)}" if options else ""
            raise UsageError(
                f"The environment {env!r} cannot be made{given}: {reason.rstrip('.')}. "
                "Expected one that draws pictures (render mode rgb_array), and options that it takes."
            ) from cause
        try:
            yield made
        except BaseException:
            with contextlib.suppress(Exception):  # The error that brought us here is the one worth telling.
                made.close()
            raise
        with _running(env, "close"):
            made.close()


@contextlib.contextmanager
def _running(env: str, step: str) -> Iterator[None]:
    """Run code of an environment: whatever that raises is a fault of the environment.

    Args:
        env: the name of the environment.
        step: what it is asked for: reset, step, render or close.

    Raises:
        UsageError: it needs a package that is not installed.
        PluginError: it fails.
        OSError: the machine could not do it now.
    """
    try:
        yield
    except BaseException as cause:
        from gymnasium.error import DependencyNotInstalled

        if isinstance(cause, DependencyNotInstalled):
            raise UsageError(f"The environment {env!r} cannot be drawn: {cause}.") from cause
        if (
            not is_fault(cause)
            or isinstance(cause, LatentseqError)
            or (isinstance(cause, Exception) and not_now(cause))
        ):
            raise
        raise PluginError(
            f"The environment {env!r} fails in its {step}: {cause_of(cause)}. That is a fault of the environment: "
            "update it, give it other options, or choose another one."
        ) from cause


def _registered(env: str) -> str:
    """The name that Gymnasium knows an environment by, once what registers it is imported.

    Raises:
        UsageError: there is none of that name, or what it needs cannot be imported.
        PluginError: the module that registers it fails.
    """
    module, _, name = env.rpartition(":")
    try:
        import gymnasium

        if not module and (env.startswith("ALE/") or env not in gymnasium.registry):
            import ale_py

            gymnasium.register_envs(ale_py)
            ale_py.ALEInterface.setLoggerMode(ale_py.LoggerMode.Error)
    except ImportError as cause:
        raise UsageError(
            f"Recording {env!r} needs Gymnasium and ale-py, which cannot be imported: {cause}. "
            'Install them with: pip install "latentseq[gym]"'
        ) from cause
    try:
        if module:
            importlib.import_module(module)
    except BaseException as cause:
        if not is_fault(cause):
            raise
        if not isinstance(cause, ImportError):
            raise PluginError(
                f"The module {module!r} of the environment {env!r} fails while it is imported: {cause_of(cause)}. "
                "That is a fault of the module: update it, or choose another environment."
            ) from cause
        raise UsageError(
            f"The module {module!r} of the environment {env!r} cannot be imported: {cause}. "
            "Check its name, or install it."
        ) from cause
    if name not in gymnasium.registry:
        raise UsageError(
            f"There is no environment {env!r}. {did_you_mean(name, gymnasium.registry)}"
            "Expected the name of one that Gymnasium knows, such as 'ALE/MsPacman-v5', with its version."
        )
    return name


def _action_width(made: Any, env: str) -> int:
    """How many numbers an action is.

    Raises:
        UsageError: actions that are no fixed number of numbers.
        PluginError: it has no actions.
    """
    from gymnasium import spaces

    with _running(env, "action_space"):
        space = made.action_space
    if not isinstance(space, (spaces.Box, spaces.Discrete, spaces.MultiBinary, spaces.MultiDiscrete)):
        raise UsageError(
            f"The actions of the environment {env!r} are {space}; expected a space of the kind Box, "
            "Discrete, MultiBinary or MultiDiscrete. Choose another environment, or wrap this one."
        )
    return spaces.flatdim(space)


def _fps(made: Any, env: str) -> float:
    """Frames a second, as the environment says it, or else the usual number.

    Raises:
        PluginError: what it says is no frame rate.
    """
    with _running(env, "metadata"):
        fps = made.metadata.get("render_fps")
    fps = DEFAULT_FPS if fps is None else fps
    if not isinstance(fps, (int, float, np.number)) or not 0 < fps <= MAX_FPS:
        raise PluginError(
            f"The environment {env!r} says that its render_fps is {fps!r}; expected a number above 0 and at most "
            f"{MAX_FPS:g}. That is a fault of the environment: update it, or choose another one."
        )
    return float(fps)


def _reward(earned: Any, env: str) -> float:
    """The reward of a step.

    Raises:
        PluginError: it is no finite number.
    """
    if np.size(earned) == 1 and np.asarray(earned).dtype.kind in "buif" and np.isfinite(earned).all():
        return float(np.asarray(earned).item())
    raise PluginError(
        f"The environment {env!r} gives the reward {earned!r}; expected a finite number. That is a fault of the "
        "environment: update it, or choose another one."
    )


def _action_names(made: Any, env: str) -> dict[str, list[str]]:
    """What the actions are called, where the environment says it of every one."""
    tell = getattr(made.unwrapped, "get_action_meanings", None)
    with _running(env, "get_action_meanings"):
        names = [str(name) for name in tell()] if tell else []
    return {"actions": names} if len(names) == getattr(made.action_space, "n", None) else {}


def _drawn(made: Any, env: str) -> np.ndarray:
    """What the environment draws now: (h, w, 3) uint8.

    Raises:
        UsageError: it draws nothing, or something else.
    """
    with _running(env, "render"):
        picture = made.render()
    if isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3:
        return picture
    found = "nothing" if picture is None else f"a {type(picture).__name__}"
    if isinstance(picture, np.ndarray):
        found = f"{picture.shape} {picture.dtype}"
    raise UsageError(
        f"The environment {env!r} draws {found}; expected pictures of (h, w, 3) uint8, by render mode rgb_array. "
        "Choose another environment."
    )


def _play(
    made: Any, env: str, look: Callable[[], np.ndarray], entropy: list[int], steps: int, repeat: int
) -> Iterator[_Row]:
    """One episode of a random policy."""
    from gymnasium import spaces

    env_seed, policy_seed = (int(state) >> 1 for state in np.random.SeedSequence(entropy).generate_state(2))
    with _running(env, "reset"):
        made.reset(seed=env_seed)
        made.action_space.seed(policy_seed)
    nothing = np.zeros(spaces.flatdim(made.action_space), np.float32)
    reward, terminated, over = 0.0, False, False
    for i in range(steps):
        frame, received = look(), (np.array([reward], np.float32), np.array([terminated], np.float32))
        if over or i == steps - 1:
            yield _Row(frame, nothing, *received)
            return
        action = made.action_space.sample()
        yield _Row(frame, spaces.flatten(made.action_space, action).astype(np.float32), *received)
        reward = 0.0
        for _ in range(repeat):
            with _running(env, "step"):
                _, earned, terminated, truncated, _ = made.step(action)
                terminated, over = bool(terminated), bool(terminated or truncated)
            reward += _reward(earned, env)
            if over:
                break
