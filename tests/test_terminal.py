"""What reaches a terminal: nothing that steers it, and colour only where somebody looks."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qwen_sft.text.terminal import in_colour, one_line, printable, styled

STEERING = "\x00\x07\x08\x0b\x0c\r\x1b\x7f\x80\x9b\x9f"
STEERING += "\u061c\u200e\u200f\u2028\u2029\u202a\u202e\u2066\u2069\ud800\udfff\U000e0041"


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_steering_characters_become_their_escapes():
    assert printable("\x1b[31mred\r\u202e\x9b1m\ud800\U000e0041") == r"\x1b[31mred\r\u202e\x9b1m\ud800\U000e0041"
    for character in STEERING:
        assert printable(character) == character.encode("unicode_escape").decode("ascii")


def test_words_newlines_and_tabs_stay():
    text = "a\tb\nc é 俱乐部 \U0001f600 \U0001f468\u200d\U0001f469 \\x1b"
    assert printable(text) == text
    assert one_line(text) == text.replace("\t", "\\t").replace("\n", "\\n")


@given(st.text(st.characters() | st.sampled_from(STEERING)))
def test_no_text_steers_a_terminal(text: str):
    shown = printable(text)
    assert not set(shown) & set(STEERING)
    assert all(character >= " " or character in "\n\t" for character in shown)
    assert printable(shown) == shown
    shown.encode()
    assert len(one_line(text).splitlines()) <= 1


def test_colour_is_for_terminals_whose_user_wants_it(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert in_colour(Terminal())
    assert not in_colour(io.StringIO())
    monkeypatch.setenv("NO_COLOR", "")
    assert in_colour(Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not in_colour(Terminal())


def test_style_is_put_around_text_or_left_out():
    assert styled("x", "error", True) == "\x1b[1;31mx\x1b[0m"
    assert styled("x", "error", False) == "x"
