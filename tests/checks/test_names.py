"""Names from outside: what a terminal obeys, what looks like another name."""

import pytest

from mpl_keras.checks import arguments, names
from mpl_keras.commands import command


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("cat é 猫 😀.png", "cat é 猫 😀.png"),
        ("two\nlines", r"two\nlines"),
        ("back\rwards", r"back\rwards"),
        ("\x1b[31mred\x1b]0;title\x07", r"\x1b[31mred\x1b]0;title\x07"),
        ("\x9b31m", r"\x9b31m"),  # the same code in one character
        ("gpj.\u202etac", r"gpj.\u202etac"),  # from right to left
        ("\u2028line", r"\u2028line"),
        ("bytes \udcff\udce9", r"bytes \xff\xe9"),
        ("می\u200cخواهم", "می\u200cخواهم"),  # as Persian is written
    ],
)
def test_what_a_terminal_is_shown(name, shown):
    assert names.printable(name) == shown


def test_line_breaks_of_our_own_stay():
    assert names.printable("a\nb\x1b", keep="\n") == "a\nb\\x1b"


@pytest.mark.parametrize(
    ("first", "second"),
    [("é", "e\u0301"), ("Å", "\u212b"), ("ﬁt", "fit"), ("ab", "a\u200db")],
)
def test_names_that_look_alike_are_told_apart(first, second):
    shown = names.told_apart(f"x/{first}.png", f"x/{second}.png", "x/ü.png")
    assert len(set(shown)) == 3 and shown[2] == "x/ü.png"
    assert all(text.isascii() for text in shown[:2])
    assert names.quoted([first], [second]) == f"[{ascii(first)}]"
    assert names.quoted([first], ["other"]) == f"[{first!r}]"
    hint = names.did_you_mean(f"{first}abc", [f"{second}abc"])
    assert ascii(f"{second}abc") in hint


def test_no_error_holds_codes(capsys):
    text = "a\n\x1b[31m"
    error = arguments.ArgumentError("path", f"be {text}", text, note=text)
    assert "\x1b" not in str(error)
    assert "Received: path=a\\n\\x1b[31m" in str(error)
    with pytest.raises(SystemExit):
        command.Command("name", "About.").stop(text)
    assert "\x1b" not in capsys.readouterr().err


def test_hints_take_no_note_of_case():
    for name, known in ("RESNET", "ResNet50"), ("Digits", "digits"):
        hint = names.did_you_mean(name, [known, "unlike"])
        assert hint == f" (did you mean {known!r}?)"
