"""latentseq record: a folder of clips that the other commands take."""

import json

PACMAN = ["record", "ALE/MsPacman-v5"]
SHORT = ["--episodes", 2, "--steps", 12, "--size", "16x20", "--fit", "stretch", "--gray"]


def test_what_is_recorded_can_be_trained_on(honest, cli, tmp_path):
    clips = tmp_path / "clips"
    answer = cli(*PACMAN, clips, *SHORT, "--repeat", 2, "--env-option", "frameskip=1", "--seed", 3)
    assert answer == (0, f"{clips}\n", "")
    about = json.loads((clips / "manifest.json").read_text())
    assert about["source"]["config"] == {
        "env": "ALE/MsPacman-v5",
        "env_options": {"frameskip": 1},
        "episodes": 2,
        "steps": 12,
        "size": [16, 20],
        "fit": "stretch",
        "gray": True,
        "repeat": 2,
        "seed": 3,
    }
    assert (about["frame_shape"], about["fps"]) == ([16, 20, 1], 15)
    quick = ["--encoder", "honest-encoder", "--steps", 2]
    assert cli("train-ae", clips, tmp_path / "ae", *quick) == (0, f"{tmp_path / 'ae'}\n", "")


def test_an_existing_result_is_kept_until_it_is_asked_to_be_replaced(cli, refused, tmp_path):
    out = tmp_path / "out"
    assert cli(*PACMAN, out, *SHORT).code == 0
    message = f"{out} exists already. Choose another name, or replace it with --overwrite."
    assert refused(2, *PACMAN, out, *SHORT) == message
    assert cli(*PACMAN, out, *SHORT, "--overwrite", "--quiet") == (0, f"{out}\n", "")


def test_an_environment_that_is_not_there(refused, tmp_path):
    assert refused(2, "record", "ALE/Pacmann-v5", tmp_path / "out") == (
        "There is no environment 'ALE/Pacmann-v5'. Did you mean 'ALE/Pacman-v5'? Expected the name of a "
        "Gymnasium environment with its version, such as 'ALE/MsPacman-v5'."
    )


def test_an_option_that_is_no_setting(refused, tmp_path):
    assert refused(2, *PACMAN, tmp_path / "out", "--env-option", "frameskip").startswith(
        "The setting 'frameskip' is not KEY=VALUE."
    )
