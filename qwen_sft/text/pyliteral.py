"""Python literals as JSON values, read by a grammar of their own: nothing is executed, and the work is linear.

Dictionaries, lists, tuples, strings, numbers, True, False and None, and JSON's true, false and null. What is not
exactly one JSON value (a set, a key that stands twice, a float that overflows, half of a surrogate pair) is none.
"""

import re
import unicodedata
from collections.abc import Callable
from math import isfinite
from typing import Any

from qwen_sft.sample import MOST_NESTED

_WORDS: dict[str, Any] = {"True": True, "False": False, "None": None, "true": True, "false": False, "null": None}
_TOKEN = re.compile(
    r"""
      (?P<string> \"{3}(?:[^"\\]|\\.|"(?!""))*+\"{3} | '{3}(?:[^'\\]|\\.|'(?!''))*+'{3}
                | "(?:[^"\\\n]|\\.)*+" | '(?:[^'\\\n]|\\.)*+' )
    | (?P<number> -?(?:[0-9]++(?:\.[0-9]*+)?|\.[0-9]++)(?:[eE][+-]?[0-9]++)?(?!\w) )
    | (?P<word> [A-Za-z_]++(?!\w) )
    | (?P<mark> [][(){},:=] )
    """,
    re.VERBOSE | re.DOTALL,
)
_INTEGER = re.compile(r"-?(?:0|[1-9][0-9]*)")
_ESCAPE = re.compile(
    r"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|N\{([^{}]{1,99})\}|(.))", re.DOTALL
)
_SINGLE = {
    "\n": "",
    "\\": "\\",
    "'": "'",
    '"': '"',
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
} | {"v": "\v"}
_NOT_FINISHED = "xuUN"  # an escape of these needs what _ESCAPE did not find


def literal(text: str) -> Any:
    """The JSON value that a text is as a Python literal.

    Raises:
        ValueError: it is none.
    """
    reader = Reader(text)
    value = reader.value()
    reader.end()
    return value


class Reader:
    """Reads a text from left to right; each method raises ValueError where something else stands."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def skips(self, mark: str) -> bool:
        """Whether the next character but white space is this one; then it is behind us."""
        self._skip_space()
        if self._text.startswith(mark, self._at):
            self._at += len(mark)
            return True
        return False

    def takes(self, pattern: re.Pattern[str]) -> str:
        """What a pattern matches behind white space."""
        self._skip_space()
        found = pattern.match(self._text, self._at)
        if found is None:
            raise ValueError(f"something else stands at {self._at}")
        self._at = found.end()
        return found[0]

    def listed(self, closing: str, item: Callable[[], None]) -> bool:
        """Reads items parted by commas up to a closing mark; True if there was a comma."""
        has_comma = False
        while not self.skips(closing):
            item()
            if not self.skips(","):
                if not self.skips(closing):
                    raise ValueError(f"no {closing!r} at {self._at}")
                break
            has_comma = True
        return has_comma

    def end(self) -> None:
        """Nothing but white space may follow."""
        self._skip_space()
        if self._at < len(self._text):
            raise ValueError(f"something is left at {self._at}")

    def value(self, depth: int = 0) -> Any:
        """One literal."""
        if depth > MOST_NESTED:
            raise ValueError("it is nested too deep")
        self._skip_space()
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            raise ValueError(f"no literal at {self._at}")
        self._at = found.end()
        token = found[0]
        match found.lastgroup:
            case "string":
                return _string(token)
            case "number":
                return _number(token)
            case "word" if token in _WORDS:
                return _WORDS[token]
            case "mark" if token == "{":
                return self._object(depth + 1)
            case "mark" if token in "[(":
                return self._array(token, depth + 1)
            case _:
                raise ValueError(f"{token[:32]!r} is no literal")

    def _array(self, opening: str, depth: int) -> Any:
        made: list[Any] = []
        has_comma = self.listed("]" if opening == "[" else ")", lambda: made.append(self.value(depth)))
        return made[0] if opening == "(" and len(made) == 1 and not has_comma else made

    def _object(self, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {}

        def item() -> None:
            key = self.value(depth)
            if not isinstance(key, str) or key in made or not self.skips(":"):
                raise ValueError(f"no key of its own at {self._at}")
            made[key] = self.value(depth)

        self.listed("}", item)
        return made

    def _skip_space(self) -> None:
        while self._at < len(self._text) and self._text[self._at] in " \t\r\n":
            self._at += 1


def _number(token: str) -> Any:
    if _INTEGER.fullmatch(token):
        return int(token)
    if token.lstrip("-").isdigit():
        raise ValueError(f"{token[:32]!r} has zeros before it")
    value = float(token)
    if not isfinite(value):
        raise ValueError(f"{token[:32]!r} is no number of JSON")
    return value


def _string(token: str) -> str:
    n_quotes = 3 if token.startswith(('"""', "'''")) else 1
    made = _ESCAPE.sub(_unescaped, token[n_quotes:-n_quotes])
    made.encode("utf-8")  # UnicodeEncodeError, a ValueError: half of a surrogate pair is no text
    return made


def _unescaped(found: re.Match[str]) -> str:
    octal, *hexes, name, single = found.groups()
    if octal:
        return chr(int(octal, 8))
    code = next((code for code in hexes if code), None)
    if code:
        return chr(int(code, 16))
    if name:
        try:
            return unicodedata.lookup(name)
        except KeyError as error:
            raise ValueError(f"no character is named {name!r}") from error
    if single in _NOT_FINISHED:
        raise ValueError("an escape without its digits")
    return _SINGLE.get(single, "\\" + single)
