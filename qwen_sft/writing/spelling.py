"""JSON text that comes back as it was, from any reader of JSON and from the one that `datasets` uses for `Json`.

`datasets` reads its `Json` columns with the ujson in pandas, which multiplies and adds in floats: it makes
0.7000000000000001 of 0.7, and 71.19910899999999 of 71.199109. It reads integers from -2^63 to 2^64-1 and stops at
others. Another spelling of the same float reads exactly (0.0007e3, 0.71199109e2), and that one is written.
"""

import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from functools import lru_cache
from typing import Any

import orjson

from qwen_sft.sample import is_list, is_object

_LEAST, _MOST = -(1 << 63), (1 << 64) - 1
_PADS = 4  # zeros that may be added: with them each of 330,000 floats from 1e-300 up had a spelling (2026-11-21)


def json_text(value: Any) -> str:
    """A JSON value as text in one line: keys in their order, numbers as they are, integers of any size."""
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # an integer beyond 64 bits, or half of a surrogate pair
        return json.dumps(value, separators=(",", ":"))


def datasets_text(value: Any) -> str:
    """A JSON value as text that `datasets` reads back as it is.

    Raises:
        ValueError: it holds a number that no spelling brings back; the message says which.
    """
    return "".join(_pieces(value))


def unreadable(value: Any) -> str | None:
    """Why `datasets` could not read a JSON value back as it is; None if it can."""
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if is_object(one):
            waiting += one.values()
        elif is_list(one):
            waiting += one
        elif isinstance(one, int) and not _LEAST <= one <= _MOST:
            return f"it holds the integer {_shortened(one)}, and `datasets` reads 64 bits"
        elif isinstance(one, float) and spelled(one) is None:
            return f"it holds the number {one!r}, of which `datasets` makes another"
    return None


def _shortened(number: int) -> str:
    text = str(number)
    return text if len(text) <= 40 else f"{text[:20]}… of {len(text)} digits"


def _pieces(value: Any) -> list[str]:
    """The text of a value in pieces; only what holds a float is walked through."""
    if isinstance(value, float):
        text = spelled(value)
        if text is None:
            raise ValueError(f"no spelling of {value!r} is read back by datasets")
        return [text]
    if is_object(value):
        made: list[str] = []
        for key, inner in value.items():
            made += [",", json_text(key), ":", *_pieces(inner)]
        return ["{", *made[1:], "}"]
    if is_list(value):
        made = []
        for inner in value:
            made += [",", *_pieces(inner)]
        return ["[", *made[1:], "]"]
    return [json_text(value)]


def spelled(number: float) -> str | None:
    """A spelling of a float that every reader of JSON takes for it, ujson too; None where there is none."""
    return _spelled(repr(number))


@lru_cache(maxsize=1 << 16)
def _spelled(plain: str) -> str | None:
    # By its text: -0.0 and 0.0 are equal.
    read, number = _ujson(), float(plain)
    if _reads(read, plain, number):
        return plain
    sign, digits, exponent = Decimal(plain).as_tuple()
    if not isinstance(exponent, int):  # infinite, or no number
        return None
    for made in _spellings("".join(map(str, digits)), exponent):
        text = f"{'-' if sign else ''}{made}"
        if repr(float(text)) == plain and _reads(read, text, number):
            return text
    return None


def _spellings(digits: str, exponent: int) -> Iterator[str]:
    """Spellings of digits * 10^exponent: the point at each place, zeros behind, then zeros before them."""
    for n_zeros in range(_PADS + 1):
        padded, shift = digits + "0" * n_zeros, exponent - n_zeros
        for split in range(len(padded) + 1):
            power = shift + len(padded) - split
            yield f"{padded[:split].lstrip('0') or '0'}.{padded[split:] or '0'}" + (f"e{power}" if power else "")
    for n_zeros in range(1, _PADS + 1):
        yield f"0.{'0' * n_zeros}{digits}e{exponent + len(digits) + n_zeros}"


def _reads(read: Callable[[str], Any], text: str, number: float) -> bool:
    try:
        return repr(read(text)) == repr(number)  # by repr: -0.0 equals 0.0
    except ValueError:
        return False


def _ujson() -> Callable[[str], Any]:
    """The reader of JSON that `datasets` uses; loading pandas takes 0.3 s, which other writers need not pay."""
    import pandas.io.json  # pyright: ignore[reportMissingTypeStubs, reportUnusedImport]

    loads: Any = getattr(pandas.io.json, "ujson_loads")  # noqa: B009  # not in pandas' stubs
    return loads
