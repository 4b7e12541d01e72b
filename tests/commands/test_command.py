"""What all commands say of flags, and of words that belong to none."""

import pytest

from mpl_keras.commands import compare, preview, train, tune
from mpl_keras.commands.command import Command


def told(command, capsys, *arguments):
    with pytest.raises(SystemExit) as stopped:
        command.run(arguments)
    assert stopped.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--steps", "sixty"], "--steps must be an integer. Received: --st"),
        (["--steps=a: b"], "Received: --steps=a: b (mpl"),
        (["--rate=fast"], "--rate must be a number. Received: --rate=fast"),
        (["--seed=-1"], "--seed must be a non-negative integer. Received: --"),
        (["--loud=maybe"], "--loud must be given as --loud or --noloud. Rec"),
        (["--kind=smal"], "one of small, large (did you mean 'small'?). R"),
        (["--stepz=3"], "Unknown command line flag 'stepz'. Did you mean"),
    ],
)
def test_a_flag_says_what_it_must_be(arguments, words, capsys):
    command = Command("add", "Adds.")
    group = command.group("All")
    group.integer("steps", 1, "Steps")
    group.integer("seed", 0, "Seed", 0)
    group.float("rate", 1.0, "Rate")
    group.bool("loud", False, "Loud")
    group.choice("kind", "small", ["small", "large"], "Kind")
    text = told(command, capsys, *arguments)
    assert words in text and "base 10" not in text


@pytest.mark.parametrize("module", [train, compare, tune, preview])
def test_a_folder_without_its_flag(module, capsys, tmp_path):
    (tmp_path / "pics/labeled").mkdir(parents=True)
    pics = tmp_path / "pics"
    text = told(module.COMMAND, capsys, str(pics))
    assert f"(did you mean --dataset={pics}?)" in text
    assert "did you mean" not in told(module.COMMAND, capsys, "nosuch")


def test_a_folder_without_classes_is_previewed_by_another_flag(
    capsys, tmp_path
):
    text = told(preview.COMMAND, capsys, str(tmp_path))
    assert f"(did you mean --folder={tmp_path}?)" in text
