"""The rows that everything is measured on: a real agent's tool-calling conversations, many times, never twice alike.

With the project's shared data beside the checkout the conversations are 29 runs of tau-bench's airline agent; without
it they are made up in that shape. `Rows.source` says which. Every copy gets its own names, ids and numbers, the same
ones throughout a conversation, and a message that has none gets a reference of its own: no cache of whole messages can
help anybody but for the system prompt and the tools, which are the same in every row of a real set, too.

`varied` writes a file of any size from records of many formats, under the same rule.
"""

import json
import random
import re
import string
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

TRACES = Path(__file__).resolve().parents[2] / "shared/data/traces/tau-bench"

Row = dict[str, Any]
"""`messages` in OpenAI's shape, arguments as objects, and `tools`."""


@dataclass(frozen=True)
class Rows:
    """Rows to measure with, and where their conversations come from. They are made one by one, whenever asked for."""

    source: str
    n_rows: int
    row: Callable[[int], Row]

    def write(self, path: Path, n_rows: int | None = None) -> Path:
        """Writes the first rows as JSON Lines."""
        with path.open("wb") as file:
            for number in range(self.n_rows if n_rows is None else n_rows):
                file.write(orjson.dumps(self.row(number), option=orjson.OPT_APPEND_NEWLINE))
        return path


def rows(n_rows: int, seed: int = 0) -> Rows:
    """So many rows, the same ones for the same seed."""
    files = sorted(TRACES.glob("gpt-4o-airline*.json"))
    if files:
        names = ", ".join(file.name for file in files)
        source = f"tau-bench, {names}: real conversations with new names, ids and numbers"
        originals = [_conversation(run["traj"]) for file in files for run in orjson.loads(file.read_bytes())]
    else:
        source = "made up in the shape of tau-bench's airline runs (its traces are not beside this checkout)"
        originals = [_made_up(random.Random(f"{seed} {index}")) for index in range(29)]
    tools = _declared(originals)

    def row(number: int) -> Row:
        messages = _copy(originals[number % len(originals)], random.Random(f"{seed}/{number}"))
        return {"messages": messages, "tools": tools}

    return Rows(source, n_rows, row)


def _conversation(trajectory: list[Row]) -> list[Row]:
    """A run's messages with their arguments as objects."""
    messages: list[Row] = []
    for given in trajectory:
        message: Row = {"role": given["role"], "content": given["content"] or ""}
        if calls := given.get("tool_calls"):
            message["tool_calls"] = [_call(c["id"], c["function"]["name"], c["function"]["arguments"]) for c in calls]
        if given["role"] == "tool":
            message |= {"tool_call_id": given["tool_call_id"], "name": given["name"]}
        messages.append(message)
    return messages


def _call(call_id: str, name: str, arguments: str) -> Row:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": orjson.loads(arguments)}}


# -- tools ------------------------------------------------------------------------------------------------------------


def _declared(conversations: list[list[Row]]) -> list[Row]:
    """The tools that the conversations call, with every parameter that a call gives."""
    seen: dict[str, list[Row]] = {}
    for message in (message for messages in conversations for message in messages):
        for call in message.get("tool_calls", []):
            seen.setdefault(call["function"]["name"], []).append(call["function"]["arguments"])
    return [
        {
            "type": "function",
            "function": {
                "name": name,
                "description": f"Does what its name says: {name.replace('_', ' ')}.",
                "parameters": _schema(seen[name]),
            },
        }
        for name in sorted(seen)
    ]


def _schema(values: list[Any]) -> Row:
    """A JSON Schema that admits some values."""
    types = sorted({_TYPES[type(value)] for value in values})
    if "number" in types and "integer" in types:
        types.remove("integer")
    made: Row = {"type": types[0] if len(types) == 1 else types}
    objects = [value for value in values if isinstance(value, dict)]
    if objects:
        keys = dict.fromkeys(key for value in objects for key in value)
        made["properties"] = {key: _schema([value[key] for value in objects if key in value]) for key in keys}
        made["required"] = [key for key in keys if all(key in value for value in objects)]
    items = [item for value in values if isinstance(value, list) for item in value]
    if items:
        made["items"] = _schema(items)
    return made


_TYPES = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    dict: "object",
    list: "array",
    type(None): "null",
}

# -- variation --------------------------------------------------------------------------------------------------------

_NAMES = (
    *("Amara", "Bjorn", "Chiara", "Dmitri", "Esra", "Farouk", "Greta", "Hiro", "Ines", "Jomo", "Katya", "Lars"),
    *("Mwangi", "Nadia", "Oskar", "Priya", "Quentin", "Rosa", "Sven", "Tariq", "Ulrike", "Vera", "Wanda", "Xiomara"),
    *("Okafor", "Lindgren", "Moretti", "Volkov", "Demir", "Haddad", "Schulz", "Tanaka", "Costa", "Kimani", "Petrova"),
)
_USER_ID = re.compile(r"\b([a-z]+)_([a-z]+)_\d{4}\b")
_CODE = re.compile(r"\b(?=[A-Z0-9]*[A-Z])(?=[A-Z0-9]*\d)[A-Z0-9]{6}\b|\bcall_\w+|\d{2,}")


def _copy(messages: list[Row], random: random.Random) -> list[Row]:
    """The conversation with other names, ids and numbers; its system prompt stays."""
    found = {name for match in _USER_ID.finditer(json.dumps(messages)) for name in match.groups()}
    chosen = random.sample(_NAMES, min(len(found), len(_NAMES)))
    people = dict(zip(sorted(found), chosen, strict=False))
    known: dict[str, str] = {name: new.lower() for name, new in people.items()}
    known |= {name.capitalize(): new for name, new in people.items()}
    anyone = re.compile("|".join([*(rf"(?<![A-Za-z]){name}(?![a-z])" for name in known), _CODE.pattern]))

    def new(match: re.Match[str]) -> str:
        old = match[0]
        if old not in known:
            known[old] = "call_" + _like("x" * 24, random) if old.startswith("call_") else _like(old, random)
        return known[old]

    return [
        message if message["role"] == "system" else _with_reference(message, _walk(message, anyone, new), random)
        for message in messages
    ]


def _walk(value: Any, pattern: re.Pattern[str], new: Callable[[re.Match[str]], str]) -> Any:
    match value:
        case str():
            return pattern.sub(new, value)
        case bool():
            return value
        case int() if value > 9:
            return int(pattern.sub(new, str(value)))
        case dict():
            return {key: _walk(item, pattern, new) for key, item in value.items()}
        case list():
            return [_walk(item, pattern, new) for item in value]
        case _:
            return value


def _like(text: str, random: random.Random) -> str:
    """Other characters of the same kinds; a first digit that is not 0 does not become 0."""
    made = [
        random.choice(string.digits if character.isdigit() else getattr(string, f"ascii_{_case(character)}"))
        for character in text
    ]
    if text[0] in "123456789" and made[0] == "0":
        made[0] = "7"
    return "".join(made)


def _case(character: str) -> str:
    return "uppercase" if character.isupper() else "lowercase"


def _with_reference(before: Row, after: Row, random: random.Random) -> Row:
    if before["content"] and before["content"] == after["content"]:
        after["content"] += f" (ref {_like('A1B2C3', random)})"
    return after


# -- a conversation of our own ----------------------------------------------------------------------------------------

_POLICY = (
    "You may look up, book, change or cancel a reservation for the customer who owns it.",
    "Before any change, list what you are about to do and ask the customer for an explicit yes.",
    "Call one tool at a time, and do not answer the customer in the turn in which you call one.",
    "Refuse what this policy does not allow, and do not offer information that no tool has given you.",
    "A fare that includes a change can be changed once without a fee until a day before departure.",
    "Bags beyond the allowance are charged for each passenger and each leg of the journey.",
)
_TOOL_NAMES = ("get_customer", "get_booking", "search_trips", "change_booking", "cancel_booking", "compute_price")


def _made_up(random: random.Random) -> list[Row]:
    """A conversation with a customer: a long policy, questions, calls with JSON results of several hundred tokens."""
    policy = "# Policy\n\n" + "\n".join(f"- {_POLICY[i % len(_POLICY)]}" for i in range(72))
    messages: list[Row] = [{"role": "system", "content": policy}]
    user = f"{random.choice(_NAMES)}_{random.choice(_NAMES)}_{random.randint(1000, 9999)}".lower()
    for _ in range(random.randint(3, 10)):
        booking = _like("A1B2C3", random)
        messages.append({"role": "user", "content": f"I am {user}. Please look at booking {booking}; {_words(random)}"})
        for _ in range(random.randint(0, 2)):
            arguments = {"user_id": user, "booking_id": booking, "n_bags": random.randint(0, 4)}
            call = {"name": random.choice(_TOOL_NAMES), "arguments": arguments}
            call_id = "call_" + _like("x" * 24, random)
            messages.append(
                {
                    "role": "assistant",
                    "content": "",
                    "tool_calls": [{"id": call_id, "type": "function", "function": call}],
                }
            )
            result = json.dumps([dict(_leg(random)) for _ in range(random.randint(1, 9))])
            messages.append({"role": "tool", "tool_call_id": call_id, "name": call["name"], "content": result})
        messages.append(
            {"role": "assistant", "content": f"Booking {booking}: {_words(random)} Shall I go on (yes/no)?"}
        )
    return messages


def _leg(random: random.Random) -> Iterator[tuple[str, Any]]:
    yield "trip", _like("AAA123", random)
    yield "from", _like("ABC", random)
    yield "to", _like("ABC", random)
    yield "date", f"2024-05-{random.randint(10, 28)}"
    yield "prices", {"economy": random.randint(60, 400), "business": random.randint(400, 2000)}
    yield "seats", {"economy": random.randint(0, 30), "business": random.randint(0, 12)}


def _words(random: random.Random) -> str:
    """A few sentences about the customer's wish."""
    return " ".join(random.choice(_POLICY) for _ in range(random.randint(1, 5)))


# -- records of many formats -------------------------------------------------------------------------------------------

SHARES = {
    "chat": 25,
    "swe-agent": 15,
    "claude-code-spotter": 10,
    "llama-factory": 10,
    "nemo-gym": 10,
    "tau-bench": 5,
    "pydantic-ai": 5,
}
"""Parts of a file that some groups of records get; every other group gets one part."""

_SLOT = re.compile(
    r"[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}"  # a session's or an event's own name
    r"|\b(?!19|20)\d{4,}\b"
    r"|(?<=[a-z] )[a-z]{6,}(?= [a-z])"  # a word in the middle of a sentence
)
_SHARED = ("tools", "functions", "system", "instructions")
_CUT = "\ue000"


@dataclass(frozen=True)
class _Template:
    """A record as text with slots: `texts` stand between them, one more than there are `slots`."""

    texts: list[str]
    slots: list[str]

    @classmethod
    def of(cls, lines: Sequence[Any]) -> "_Template":
        """The template of a record, a value a line; what the rows of a set share (SHARED, system messages) is fixed."""
        marked = "".join(orjson.dumps(_marked(line)).decode() + "\n" for line in lines)
        texts, slots = [""], list[str]()
        for k, piece in enumerate(marked.split(_CUT)):
            if k % 2:
                slots.append(piece)
                texts.append("")
            else:
                texts[-1] += piece
        return cls(texts, slots)

    def copy(self, words: Sequence[str], random: random.Random) -> bytes:
        """Another record of the same shape: each slot's text becomes another one, the same one everywhere in it."""
        known = {slot: _instead(slot, words, random) for slot in dict.fromkeys(self.slots)}
        made = [part for text, slot in zip(self.texts, self.slots, strict=False) for part in (text, known[slot])]
        return "".join([*made, self.texts[-1]]).encode()


def _marked(value: Any) -> Any:
    match value:
        case str():
            return _SLOT.sub(rf"{_CUT}\g<0>{_CUT}", value)
        case dict():
            fixed = value.get("role", value.get("from")) == "system"
            return {k: item if fixed or k in _SHARED else _marked(item) for k, item in value.items()}
        case list():
            return [_marked(item) for item in value]
        case _:
            return value


def _instead(slot: str, words: Sequence[str], random: random.Random) -> str:
    if slot.isalpha():
        return random.choice(words) if random.random() < 0.3 else slot
    return "".join(c if not c.isalnum() or (not c.isdigit() and c > "f") else _digit(c, random) for c in slot)


def _digit(digit: str, random: random.Random) -> str:
    return random.choice("123456789") if digit.isdigit() else random.choice("abcdef")


def varied(groups: Mapping[str, Iterable[Sequence[Any]]], path: Path, n_bytes: int, seed: int = 0) -> Path:
    """Writes records of some groups as JSON Lines until the file has so many bytes; no two records are alike.

    Args:
        groups: the records of each group, a value a line; `rows` come beside them, as the group "chat".
    """
    chat = rows(29, seed)
    groups = {**groups, "chat": [[chat.row(number)] for number in range(chat.n_rows)]}
    templates = {name: [_Template.of(lines) for lines in records] for name, records in groups.items() if records}
    words = sorted({slot for of in templates.values() for one in of for slot in one.slots if slot.isalpha()})
    written = dict.fromkeys(templates, 0)
    number = dict.fromkeys(templates, 0)
    n_left = n_bytes
    with path.open("wb") as file:
        while n_left > 0:
            name = min(templates, key=lambda one: written[one] / SHARES.get(one, 1))
            one = templates[name][number[name] % len(templates[name])]
            copy = one.copy(words, random.Random(f"{seed}/{name}/{number[name]}"))
            file.write(copy)
            number[name] += 1
            written[name] += len(copy)
            n_left -= len(copy)
    return path
