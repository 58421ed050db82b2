"""Record episodes of Gymnasium environments as a folder of clips with frames, actions and rewards."""

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
from latentseq.data.splits import check_hold_out
from latentseq.errors import LatentseqError, PluginError, UsageError, cause_of, did_you_mean, is_fault, retry_message
from latentseq.media.footage import DEFAULT_FPS
from latentseq.media.images import prepare
from latentseq.media.preprocessing import Preprocessing
from latentseq.storage.folders import output_folder
from latentseq.storage.frames import FORMAT, chosen
from latentseq.storage.shards import MANIFEST, ShardWriter
from latentseq.training.watch import Watcher

MAX_FPS = 1e6
"""Highest frame rate that a folder of clips can store, in frames per second."""
CHUNK = 64
"""Number of frames that are written at a time."""


class _Row(NamedTuple):
    """One frame, (h, w, c) uint8, and the streams that belong to it, (f,) float32 each."""

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
    hold_out: str | None = None,
    seed: int = 0,
    overwrite: bool = False,
    quiet: bool = False,
) -> Path:
    """Record a random policy in an environment, one clip for each episode.

    Frames are the pictures that the environment draws, and not the observations of its player. Row i of each stream
    belongs to frame i. ``action`` is chosen after frame i and leads to frame i + 1; it is zero at the last frame of
    an episode. ``reward`` (width 1) is received with frame i. ``done`` (width 1) is 1 if the episode ends by itself
    at frame i, and 0 if it is cut off there.

    A discrete action is stored as one-hot, several discrete actions as one-hots one after another, a box is
    flattened, and binary actions are stored unchanged.

    Args:
        env: registered name, such as ``ALE/MsPacman-v5``; ``module:Name-v0`` imports the module first.
        out: path of the folder of clips to write.
        episodes: number of episodes.
        steps: number of frames after which an episode is cut off.
        size: height and width of frames, ``64`` or ``48x64`` (h x w); by default the environment's own.
        fit: crop, pad or stretch.
        gray: store one gray channel.
        repeat: number of environment steps for which an action is repeated. Only the last of them gives a frame, and
            their rewards are added up.
        env_options: options of the environment by name.
        hold_out: what to hold out for validation and test: ``clips``, which are whole episodes, or the ``ends`` of
            all episodes. None stands for ``ends`` below 20 episodes, and ``clips`` otherwise.
        seed: random seed for the environment and the policy; the same seed writes the same bytes.
        overwrite: replace an earlier result.
        quiet: show no progress.

    Returns:
        ``out``.

    Raises:
        UsageError: the environment, its options, a number or the output is not valid, or Gymnasium is not installed.
        PluginError: the environment fails, or returns an invalid reward or frame rate.
        TryAgainError: the disk is full.
    """
    out = Path(out)
    options = dict(env_options or {})
    check_seed(seed)
    check_hold_out(hold_out)
    for name, number in (("episodes", episodes), ("steps", steps), ("repeat", repeat)):
        if number < 1:
            raise UsageError(f"{name} is {number}; expected 1 or more.")
    _check_json(options)
    preprocessing = Preprocessing(1 if size is None else size, fit, gray)
    with output_folder(out, MANIFEST, overwrite=overwrite) as folder, _open_environment(env, options) as environment:
        width, fps = _action_width(environment, env), _fps(environment, env)
        if size is None:
            with _running(env, "reset"):
                environment.reset(seed=seed)
            h, w = _draw(environment, env).shape[:2]
            preprocessing = Preprocessing((h, w), fit, gray)

        def look() -> np.ndarray:
            # Copied, because an environment may draw into the same array every time.
            return np.array(prepare(_draw(environment, env), preprocessing))

        writer = ShardWriter(folder)
        with contextlib.closing(Watcher("record", quiet=quiet)) as watcher:
            for i in range(episodes):
                rows, length = _play(environment, env, look, [seed, i], steps, repeat), 0
                while chunk := list(itertools.islice(rows, CHUNK)):
                    columns = zip(_Row._fields, zip(*chunk, strict=True), strict=True)
                    writer.add({key: np.stack(column) for key, column in columns})
                    length += len(chunk)
                    watcher.update((i + length / steps) / episodes, f"episode {i + 1}, {length} frames")
                writer.end_clip(length, split=None)
        config = {
            "env": environment.spec.id,
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
            **chosen(hold_out),
            **_action_names(environment, env),
        )
    return out


def _check_json(options: Mapping[str, Any]) -> None:
    """Check that options can be stored in the manifest.

    Raises:
        UsageError: a value is not JSON.
    """
    try:
        json.dumps(options, allow_nan=False)
    except (TypeError, ValueError) as cause:
        raise UsageError(
            f"The options of the environment are {options!r}; expected JSON values, because they are stored with the "
            f"clips. {cause}."
        ) from cause


@contextlib.contextmanager
def _open_environment(env: str, options: Mapping[str, Any]) -> Iterator[Any]:
    """Create the environment, and close it at the end. Warnings of Gymnasium and the emulator are not shown.

    Raises:
        UsageError: the environment does not exist, or cannot be created with these options.
        PluginError: the environment fails.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        name = _register(env)
        import gymnasium

        try:
            # The checker is off, because it fails for environments that work.
            environment = gymnasium.make(name, render_mode="rgb_array", disable_env_checker=True, **options)
        except BaseException as cause:  # Environments are third-party code, and can raise anything.
            if not is_fault(cause):
                raise
            reason = str(cause).partition(" was raised from the environment creator")[0] or type(cause).__name__
            reason = cause_of(cause) if isinstance(cause, SystemExit) else reason
            suffix = f" with the options {json.dumps(options)}" if options else ""
            raise UsageError(
                f"The environment {env!r} cannot be created{suffix}: {reason.rstrip('.')}. "
                "Expected one that draws pictures (render mode rgb_array), and options that it accepts."
            ) from cause
        try:
            yield environment
        except BaseException:
            with contextlib.suppress(Exception):  # The first error is the one to report.
                environment.close()
            raise
        with _running(env, "close"):
            environment.close()


@contextlib.contextmanager
def _running(env: str, step: str) -> Iterator[None]:
    """Run code of an environment, and report its exceptions as faults of the environment.

    Args:
        env: name of the environment.
        step: name of the method or attribute that is used, such as reset or step.

    Raises:
        UsageError: the environment needs a package that is not installed.
        PluginError: the environment fails.
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
            or (isinstance(cause, Exception) and retry_message(cause))
        ):
            raise
        raise PluginError(
            f"The environment {env!r} fails in its {step}: {cause_of(cause)}. That is a fault of the environment: "
            "update it, use other options, or choose another one."
        ) from cause


def _register(env: str) -> str:
    """Import the module that registers an environment, and return the environment's registered name.

    Raises:
        UsageError: there is no environment of that name, or its module cannot be imported.
        PluginError: the module fails while it is imported.
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
            "Expected the name of a Gymnasium environment with its version, such as 'ALE/MsPacman-v5'."
        )
    return name


def _action_width(environment: Any, env: str) -> int:
    """Number of values in an action.

    Raises:
        UsageError: the actions do not have a fixed number of values.
        PluginError: the environment has no action space.
    """
    from gymnasium import spaces

    with _running(env, "action_space"):
        space = environment.action_space
    if not isinstance(space, (spaces.Box, spaces.Discrete, spaces.MultiBinary, spaces.MultiDiscrete)):
        raise UsageError(
            f"The action space of the environment {env!r} is {space}; expected Box, Discrete, MultiBinary or "
            "MultiDiscrete. Choose another environment, or wrap this one."
        )
    return spaces.flatdim(space)


def _fps(environment: Any, env: str) -> float:
    """Frames per second that the environment states, or else ``DEFAULT_FPS``.

    Raises:
        PluginError: the environment states an invalid frame rate.
    """
    with _running(env, "metadata"):
        fps = environment.metadata.get("render_fps")
    fps = DEFAULT_FPS if fps is None else fps
    if not isinstance(fps, (int, float, np.number)) or not 0 < fps <= MAX_FPS:
        raise PluginError(
            f"The environment {env!r} has the render_fps {fps!r}; expected a number above 0 and at most "
            f"{MAX_FPS:g}. That is a fault of the environment: update it, or choose another one."
        )
    return float(fps)


def _reward(value: Any, env: str) -> float:
    """The reward of a step as a float.

    Raises:
        PluginError: the reward is not a finite number.
    """
    if np.size(value) == 1 and np.asarray(value).dtype.kind in "buif" and np.isfinite(value).all():
        return float(np.asarray(value).item())
    raise PluginError(
        f"The environment {env!r} returned the reward {value!r}; expected a finite number. That is a fault of the "
        "environment: update it, or choose another one."
    )


def _action_names(environment: Any, env: str) -> dict[str, list[str]]:
    """Names of the actions for the manifest, if the environment names all of them."""
    get_names = getattr(environment.unwrapped, "get_action_meanings", None)
    with _running(env, "get_action_meanings"):
        names = [str(name) for name in get_names()] if get_names else []
    return {"actions": names} if len(names) == getattr(environment.action_space, "n", None) else {}


def _draw(environment: Any, env: str) -> np.ndarray:
    """Picture that the environment draws now: (h, w, 3) uint8.

    Raises:
        UsageError: the environment draws no picture, or one of another type.
    """
    with _running(env, "render"):
        picture = environment.render()
    if isinstance(picture, np.ndarray) and picture.dtype == np.uint8 and picture.ndim == 3 and picture.shape[2] == 3:
        return picture
    description = "nothing" if picture is None else f"a {type(picture).__name__}"
    if isinstance(picture, np.ndarray):
        description = f"{picture.shape} {picture.dtype}"
    raise UsageError(
        f"The environment {env!r} draws {description}; expected pictures (h, w, 3) uint8 in render mode rgb_array. "
        "Choose another environment."
    )


def _play(
    environment: Any, env: str, look: Callable[[], np.ndarray], entropy: list[int], steps: int, repeat: int
) -> Iterator[_Row]:
    """Play one episode with a random policy.

    Args:
        environment: the environment.
        env: name of the environment.
        look: function that returns the current frame.
        entropy: seed of the episode.
        steps: number of frames after which the episode is cut off.
        repeat: number of environment steps for which an action is repeated.
    """
    from gymnasium import spaces

    env_seed, policy_seed = (int(state) >> 1 for state in np.random.SeedSequence(entropy).generate_state(2))
    with _running(env, "reset"):
        environment.reset(seed=env_seed)
        environment.action_space.seed(policy_seed)
    no_action = np.zeros(spaces.flatdim(environment.action_space), np.float32)
    reward, terminated, ended = 0.0, False, False
    for i in range(steps):
        frame, outcome = look(), (np.array([reward], np.float32), np.array([terminated], np.float32))
        if ended or i == steps - 1:
            yield _Row(frame, no_action, *outcome)
            return
        action = environment.action_space.sample()
        yield _Row(frame, spaces.flatten(environment.action_space, action).astype(np.float32), *outcome)
        reward = 0.0
        for _ in range(repeat):
            with _running(env, "step"):
                _, value, terminated, truncated, _ = environment.step(action)
                terminated, ended = bool(terminated), bool(terminated or truncated)
            reward += _reward(value, env)
            if ended:
                break
