"""What a model is asked to do: a call whose every argument is known, and a result that it must pass on."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from qwen_sft.errors import UsageError
from qwen_sft.sample import Tool

Choice = Literal["auto", "required", "named"]
CHOICES: tuple[Choice, ...] = ("auto", "required", "named")
"""How a request names the tool: not at all, some tool, this one."""


@dataclass(frozen=True, slots=True)
class Task:
    """One thing to do with tools.

    Attributes:
        name: what it is about, for people.
        words: what the user says.
        calls: the (name, arguments) that this asks for, in order.
        results: what comes back, one text for each call.
        values: what the final answer must hold, one for each call.
    """

    name: str
    words: str
    calls: tuple[tuple[str, dict[str, Any]], ...]
    results: tuple[str, ...]
    values: tuple[str, ...]


def _tool(name: str, description: str, properties: dict[str, Any]) -> Tool:
    parameters = {"type": "object", "properties": properties, "required": list(properties)}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": parameters}}


TOOLS: Sequence[Tool] = (
    _tool(
        "get_weather",
        "Makes a weather forecast and gives its id.",
        {
            "city": {"type": "string", "description": "Name of the city."},
            "days": {"type": "integer", "description": "How many days."},
        },
    ),
    _tool(
        "book_room",
        "Books a meeting room and gives the number of the booking.",
        {
            "room": {"type": "string", "description": "Name of the room."},
            "people": {"type": "integer", "description": "How many people."},
            "projector": {"type": "boolean", "description": "Whether a projector is needed."},
        },
    ),
    _tool(
        "convert_amount",
        "Converts an amount of money and gives the number of the receipt.",
        {
            "amount": {"type": "number", "description": "How much."},
            "source": {"type": "string", "description": "Currency code that it is in."},
            "target": {"type": "string", "description": "Currency code that it should be in."},
        },
    ),
    _tool(
        "save_note",
        "Saves a note and gives its key.",
        {
            "title": {"type": "string", "description": "The title."},
            "tags": {"type": "array", "items": {"type": "string"}, "description": "Some tags."},
            "author": {
                "type": "object",
                "properties": {"name": {"type": "string"}, "level": {"type": "integer"}},
                "required": ["name", "level"],
                "description": "Who wrote it.",
            },
        },
    ),
)
"""Declared in every request, in the key order in which servers print them."""

_CITIES = ("Oslo", "Kraków", "Lima", "São Paulo", "Reykjavík", "Hanoi", "Tromsø")
_ROOMS = ("Amber", "Birch", "Cedar", "Delta", "Ebony")
_MONEY = (("EUR", "PLN"), ("USD", "JPY"), ("GBP", "CHF"))
_TITLES = ('R&D "Q3" < plan', "Line one, line two", "It's 100% done", "a\\b and c/d")


def _spelled(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _weather(k: int, part: int) -> tuple[dict[str, Any], str]:
    at = 2 * k + part
    return {"city": _CITIES[at % len(_CITIES)], "days": at % 9 + 2}, f"WX-{1000 + 7919 * (at + 1) % 9000}"


def _one(name: str, words: str, arguments: dict[str, Any], field: str, value: str) -> Task:
    asked = ", ".join(f"{key} {_spelled(one)}" for key, one in arguments.items())
    said = f"Call the tool {name} with {asked}. Then tell me {words}, as it is."
    return Task(name, said, ((name, arguments),), (_spelled({field: value, "status": "ok"}),), (value,))


def _forecast(k: int) -> Task:
    arguments, value = _weather(k, 0)
    return _one("get_weather", "the id of the forecast", arguments, "forecast_id", value)


def _booking(k: int) -> Task:
    arguments = {"room": _ROOMS[k % len(_ROOMS)], "people": k % 11 + 3, "projector": k % 2 == 0}
    return _one("book_room", "the number of the booking", arguments, "booking", f"BK-{1000 + 6007 * (k + 1) % 9000}")


def _receipt(k: int) -> Task:
    source, target = _MONEY[k % len(_MONEY)]
    arguments = {"amount": k * 10 + 12.5, "source": source, "target": target}
    value = f"RC-{1000 + 4877 * (k + 1) % 9000}"
    return _one("convert_amount", "the number of the receipt", arguments, "receipt", value)


def _note(k: int) -> Task:
    author = {"name": "Ana" if k % 2 else "Bo", "level": k % 5 + 1}
    arguments = {"title": _TITLES[k % len(_TITLES)], "tags": ["red", f"t{k}"], "author": author}
    return _one("save_note", "the key of the note", arguments, "key", f"NT-{1000 + 3391 * (k + 1) % 9000}")


def _two_forecasts(k: int) -> Task:
    made = [_weather(k, part) for part in (0, 1)]
    first, second = (f"city {_spelled(one['city'])} and days {one['days']}" for one, _ in made)
    return Task(
        "get_weather twice",
        f"Call the tool get_weather twice, both calls in one turn: once with {first}, once with {second}. "
        "Then tell me the ids of both forecasts, as they are.",
        tuple(("get_weather", one) for one, _ in made),
        tuple(_spelled({"forecast_id": value, "status": "ok"}) for _, value in made),
        tuple(value for _, value in made),
    )


_KINDS = (_forecast, _booking, _two_forecasts, _receipt, _note)


def tasks(n: int, choices: Sequence[Choice] = CHOICES) -> Iterator[tuple[Task, Choice]]:
    """The first n tasks with the way each names its tool: auto as often as the others together; always the same ones.

    A request that names its tool can make one call only, so it gets one forecast where the turn would be two.
    """
    cycle: list[Choice] = []
    for one in choices:
        if one != "auto":
            cycle.extend(("auto", one) if "auto" in choices else (one,))
    if not cycle:
        cycle.append("auto")
    for k in range(n):
        choice = cycle[k % len(cycle)]
        kind = _KINDS[k % len(_KINDS)]
        yield (_forecast if kind is _two_forecasts and choice == "named" else kind)(k), choice


def choices_of(text: str) -> tuple[Choice, ...]:
    """The ways that a list such as `auto,named` names, in our order.

    Raises:
        UsageError: there is no such way.
    """
    named = [each.strip() for each in text.split(",") if each.strip()]
    unknown = next((each for each in named if each not in CHOICES), None)
    if unknown is not None or not named:
        raise UsageError(f"--tool-choice is {text!r}; it can be {', '.join(CHOICES)}, or some of them with commas")
    return tuple(each for each in CHOICES if each in named)
