"""What one rendering of a template may use: time, text, lists, numbers; and what must ask before it makes them."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import monotonic
from typing import Any, cast

import jinja2

MAX_ITEMS = 1_000_000
"""Items of a list that a template may make; `range` stops at 100,000 by itself."""

MAX_BITS = 100_000
"""Bits of a number that a template may make."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one rendering may use.

    Attributes:
        seconds: how long it may run. The slowest official template prints a conversation of 2,000 turns in 1.5.
        characters: how long the text may be, and each text on the way to it. A context of a million tokens is about
            four million characters.
        work: characters and list items that all operations may make together: a template that builds its text piece by
            piece copies it once per piece.
    """

    seconds: float = 10.0
    characters: int = 1 << 25
    work: int = 1 << 30


DEFAULT_LIMITS = Limits()


class LimitError(jinja2.TemplateRuntimeError):
    """The template runs too long or makes too much."""


class Budget:
    """What a rendering has used so far, against its limits."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self.deadline = monotonic() + limits.seconds
        self.left = limits.work

    def tick(self) -> None:
        """Called at each turn of a loop, by each macro and before each call."""
        if monotonic() > self.deadline:
            raise LimitError(f"it runs longer than {self.limits.seconds:g} seconds")

    def charge(self, n_made: int) -> None:
        """Called by everything that makes text or lists, with their length."""
        self.left -= n_made
        if n_made > self.limits.characters or self.left < 0:
            raise LimitError(f"it makes texts of more than {self.limits.characters} characters")

    def measure(self, value: Any) -> None:
        """Stops what would be too long as text: a template can put one list into another many times over."""
        waiting = [value]
        n_items = n_characters = 0
        while waiting:
            one = waiting.pop()
            if isinstance(one, str):
                n_characters += len(one)
            elif isinstance(one, Mapping):
                for pair in cast("Mapping[Any, Any]", one).items():
                    waiting += pair
            elif isinstance(one, list | tuple | set | frozenset):
                waiting += cast("list[Any]", one)
            n_items += 1
            if n_items + len(waiting) > MAX_ITEMS:
                raise LimitError(f"it prints a value of more than {MAX_ITEMS} items")
        self.charge(n_characters)


# -- What can make something large: each check stands before an operation and has its arguments ------------------------

WIDE_FORMAT = re.compile(r"\{[^{}]*:[^{}]*(\d{5}|\{)")
"""In a format string: a width or precision of five digits, or one that is given as an argument."""

_WIDE_PERCENT = re.compile(r"%(\([^)]*\))?[^%a-zA-Z]*(\*|\d{5})")


def _no_check(_budget: Budget, *_args: Any, **_kwargs: Any) -> None:
    pass


def check_items(n_items: int) -> None:
    if n_items > MAX_ITEMS:
        raise LimitError(f"it makes a list of more than {MAX_ITEMS} items")


def _check_times(budget: Budget, left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        if left.bit_length() + right.bit_length() > MAX_BITS:
            raise LimitError(f"it makes a number of more than {MAX_BITS} bits")
        return
    for many, times in ((left, right), (right, left)):
        if isinstance(times, int) and isinstance(many, str | bytes | list | tuple):
            n_made = len(cast("str", many)) * times
            if isinstance(many, list | tuple):
                check_items(n_made)
            budget.charge(max(n_made, 0))


def _check_power(_budget: Budget, left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() * right > MAX_BITS:
        raise LimitError(f"it makes a number of more than {MAX_BITS} bits")


def _check_percent(budget: Budget, left: Any, right: Any) -> None:
    if isinstance(left, str | bytes):
        form = left if isinstance(left, str) else left.decode("latin-1")
        if _WIDE_PERCENT.search(form):
            raise LimitError(f"it formats by {left!r:.60}, which sets a width that is given or large")
        budget.measure(right)
        longest = max((len(one) for one in _strings(right)), default=20)
        budget.charge(len(form) + form.count("%") * longest)


def _strings(value: Any) -> list[str]:
    values = cast("tuple[Any, ...]", value) if isinstance(value, tuple) else (value,)
    return [one for one in values if isinstance(one, str)]


OPERATOR_CHECKS: dict[str, Callable[..., None]] = {
    "+": _no_check,
    "*": _check_times,
    "**": _check_power,
    "%": _check_percent,
}


def _check_width(budget: Budget, text: Any, width: Any = 0, *_args: Any, **kwargs: Any) -> None:
    lines = text.count("\n") + text.count("\t") + 1 if isinstance(text, str) else 1
    for given in (width, *kwargs.values()):
        n_made = len(given) if isinstance(given, str) else given if isinstance(given, int) else 0
        budget.charge(max(n_made, 0) * lines)


def _check_replace(budget: Budget, text: Any, old: Any = "", new: Any = "", *_args: Any, **_kw: Any) -> None:
    budget.charge(len(str(text)) + str(text).count(str(old)) * len(str(new)))


def _check_join(budget: Budget, items: Any, between: Any = "", *_args: Any, **_kwargs: Any) -> None:
    if isinstance(items, list | tuple):
        items = cast("list[Any]", items)
        budget.measure(items)
        budget.charge(len(items) * len(str(between)))


def _check_int(budget: Budget, _value: Any, *args: Any, **kwargs: Any) -> None:
    for given in (*args, *kwargs.values()):
        if (isinstance(given, int) and abs(given) > 10_000) or (isinstance(given, str) and len(given) > 10_000):
            raise LimitError(f"it asks for {given!r:.40} where something small will do")
    budget.tick()


def _check_format(budget: Budget, form: Any, *args: Any, **kwargs: Any) -> None:
    _check_percent(budget, form, (*args, *kwargs.values()))


def _check_sum(budget: Budget, items: Any, *args: Any, **kwargs: Any) -> None:
    del items
    if any(not isinstance(given, int | float | str) for given in (*args, *kwargs.values())):
        raise LimitError("it sums up lists")
    budget.tick()


def _check_value(budget: Budget, value: Any, *args: Any, **kwargs: Any) -> None:
    _check_int(budget, value, *args, **kwargs)
    budget.measure(value)


FILTER_CHECKS: dict[str, Callable[..., None]] = {
    "batch": _check_int,
    "center": _check_width,
    "format": _check_format,
    "indent": _check_width,
    "join": _check_join,
    "replace": _check_replace,
    "round": _check_int,
    "slice": _check_int,
    "string": _check_value,
    "sum": _check_sum,
    "tojson": _check_value,
}


_METHOD_CHECKS: dict[str, Callable[..., None]] = {
    "center": _check_width,
    "expandtabs": _check_width,
    "ljust": _check_width,
    "replace": _check_replace,
    "rjust": _check_width,
    "to_bytes": _check_int,
    "zfill": _check_width,
}


def check_method(budget: Budget, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    name: str = method.__name__
    if name == "join":
        _check_join(budget, args[0] if args else (), method.__self__)
    elif name == "translate":
        raise LimitError("it translates characters into texts of any length")
    elif name in _METHOD_CHECKS:
        _METHOD_CHECKS[name](budget, method.__self__, *args, **kwargs)
