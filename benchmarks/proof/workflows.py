"""Made-up agent work: find the station of a place, then ask for its forecast, then answer. Deterministic by its seed.

The names of the tools, of their arguments and of the fields of their results change from task to task, and so do the
places, the stations and the weather: a model that does it right has read them where they stand. Some tasks ask about
two places (parallel calls), some are greetings that need no tool. What the tests ask is held out: places, tool names
and greetings are made of two or three words each, and some combinations of them are in no training trace.

A tiny model copies tokens, not words, and Qwen's for `Port` behind a quote is another than that behind a space. So what
has to be copied never stands behind a space.
"""

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import cycle, product
from typing import Any, Literal

Kind = Literal["chain", "parallel", "greeting"]
Message = dict[str, Any]
Call = tuple[str, dict[str, Any]]

THOUGHTS = ("I need the station.", "Now the forecast.", "I can answer.", "No tool is needed.")
HELD_OUT = 8
"""One combination of words in so many is kept for the test."""

_PLACES = (
    "Port Lake North South West East New Old San Fort Mount Saint Grand Green Red Black White Silver Golden Blue Stone "
    "High Long Upper Lower Bright Rock Clear Great Little",
    "Anna Harbor River Valley Falls Hill Field Park Point Creek Grove Haven Ridge Forest Cross Bridge Mills Springs "
    "Beach Island Garden Cove Meadow Canyon Rapids Heights Corner Market Bay Gate",
)
_FINDERS = ("find get search fetch locate query", "station site sensor point")
_FORECASTERS = ("show read check load", "weather report summary conditions")
_PLACE_ARGUMENTS = ["city", "place", "town", "location"]
_STATION_ARGUMENTS = ["station", "id", "code", "key"]
_SKY_FIELDS = ["sky", "state", "view"]
_HEAT_FIELDS = ["high", "temperature", "degrees"]
_SKIES = ["clear", "dry", "warm", "cold", "cool", "gray", "dark", "rain", "snow", "wind", "storm", "ice"]
_LETTERS = "ABCDEFGHKLMNPRSTVWXZ"
_ASKS = (
    'What is the weather in "{}"?',
    'Forecast for "{}", please.',
    'Tell me the weather in "{}".',
    'How will it be in "{}" today?',
    'I am going to "{}". What is the weather?',
    'Weather in "{}"?',
    'Is it nice in "{}" now?',
    'Please check "{}" for me.',
)
_ASKS_BOTH = (
    'What is the weather in "{}" and in "{}"?',
    'Compare "{}" with "{}".',
    'Forecast for "{}" and "{}", please.',
    'Is it better in "{}" or in "{}"?',
)
_GREETINGS = (
    "Hi Hello Hey Greetings Welcome Thanks Sorry Bye",
    "there friend all everyone team folks guys people",
    "morning evening day night week time year start",
)
_REPLY = "Hello! Ask me about the weather of any place."


@dataclass(frozen=True, slots=True)
class Task:
    """One thing that a user wants, with the tools for it and what they know.

    Attributes:
        kind: chain (two dependent calls), parallel (two chains at once), greeting (no call).
        prompt: what the user says.
        finder: name of the tool from place to station, of its argument, and of the field of its result.
        forecaster: name of the tool from station to weather, of its argument (the finder's field), and of both fields
            of its result: the sky's and the heat's.
        tools: both, declared as the chat template gets them, in either order.
        stations: station by place; what the task asks of is all that the tools know.
        weather: sky and degrees by station.
    """

    kind: Kind
    prompt: str
    finder: tuple[str, str, str]
    forecaster: tuple[str, str, str, str]
    tools: tuple[dict[str, Any], ...]
    stations: dict[str, str]
    weather: dict[str, tuple[str, int]]

    def finds(self) -> list[Call]:
        """The calls of the first turn, in the order in which the user names the places."""
        return [(self.finder[0], {self.finder[1]: place}) for place in self.stations]

    def forecasts(self) -> list[Call]:
        """The calls of the second turn, which nobody can make before the results of the first."""
        return [(self.forecaster[0], {self.forecaster[1]: station}) for station in self.stations.values()]

    def answers(self) -> list[str]:
        """What the answer says of each place."""
        seen = ((place, *self.weather[station]) for place, station in self.stations.items())
        return [f'{place}: "{sky}", {degrees} degrees.' for place, sky, degrees in seen]

    def execute(self, call: Call) -> str:
        """What the tools answer, as JSON; a call that they do not understand gets an error, as from any API."""
        name, arguments = call
        if name == self.finder[0]:
            station = self.stations.get(str(_only(arguments, self.finder[1])))
            return json.dumps({self.finder[2]: station} if station else {"error": "no such place"})
        if name == self.forecaster[0]:
            weather = self.weather.get(str(_only(arguments, self.forecaster[1])))
            fields = self.forecaster[2:]
            return json.dumps(dict(zip(fields, weather, strict=True)) if weather else {"error": "no such station"})
        return json.dumps({"error": "no such tool"})


def _only(arguments: Any, key: str) -> Any:
    """The value of the only argument; None where there is another one, or it has another name."""
    return arguments[key] if isinstance(arguments, dict) and list(arguments) == [key] else None


# -- making tasks -----------------------------------------------------------------------------------------------------


def tasks(n: int, seed: int, *, held_out: bool, kinds: Sequence[Kind] | None = None) -> list[Task]:
    """So many tasks, the same ones for the same seed.

    Args:
        held_out: made of the combinations of words that are kept for the test; else of all others.
        kinds: of each task in turn; None for what training sees: half of them chains, a quarter parallel, a quarter
            greetings.
    """
    draw = random.Random(f"{seed} {held_out}")
    order = kinds or ("chain", "parallel", "chain", "greeting")
    known = combinations(_GREETINGS, " ", held_out)
    greetings = cycle(draw.sample(known, len(known)))  # none comes again before all were there
    return [_task(order[i % len(order)], draw, held_out, greetings) for i in range(n)]


def _task(kind: Kind, draw: random.Random, held_out: bool, greetings: Iterator[str]) -> Task:
    find, forecast = (draw.choice(combinations(pools, "_", held_out)) for pools in (_FINDERS, _FORECASTERS))
    place_argument, station_argument = draw.choice(_PLACE_ARGUMENTS), draw.choice(_STATION_ARGUMENTS)
    sky_field, heat_field = draw.choice(_SKY_FIELDS), draw.choice(_HEAT_FIELDS)
    tools = [_tool(find, place_argument), _tool(forecast, station_argument)]
    draw.shuffle(tools)
    n = {"chain": 1, "parallel": 2, "greeting": 0}[kind]
    places = draw.sample(combinations(_PLACES, " ", held_out), n)
    digits = draw.sample("0123456789", 2 * n)
    stations = [f"{letter}{digits.pop()}{digits.pop()}" for letter in draw.sample(_LETTERS, n)]
    weather = [(draw.choice(_SKIES), draw.randrange(10, 40)) for _ in stations]
    if kind == "greeting":
        opener, whom, time = next(greetings).split()
        prompt = f"{opener} {whom}, have a good {time}!"
    else:
        prompt = draw.choice(_ASKS if kind == "chain" else _ASKS_BOTH).format(*places)
    return Task(
        kind=kind,
        prompt=prompt,
        finder=(find, place_argument, station_argument),
        forecaster=(forecast, station_argument, sky_field, heat_field),
        tools=tuple(tools),
        stations=dict(zip(places, stations, strict=True)),
        weather=dict(zip(stations, weather, strict=True)),
    )


@cache
def combinations(pools: tuple[str, ...], joint: str, held_out: bool) -> tuple[str, ...]:
    """All combinations of a word from each pool: those kept for the test, or all others; the same ones in every run."""
    made = [joint.join(words) for words in product(*(pool.split() for pool in pools))]
    random.Random(0).shuffle(made)
    return tuple(words for n, words in enumerate(made) if (n % HELD_OUT == 0) is held_out)


def _tool(name: str, argument: str) -> dict[str, Any]:
    parameters = {"type": "object", "properties": {argument: {"type": "string"}}, "required": [argument]}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


# -- traces of tasks --------------------------------------------------------------------------------------------------


def trace(task: Task) -> dict[str, Any]:
    """The run of a task as a chat API logs it: each call in a turn of its own, each result in a message of its own."""
    messages: list[Message] = [{"role": "user", "content": task.prompt}]
    if task.kind == "greeting":
        messages.append({"role": "assistant", "reasoning_content": THOUGHTS[3], "content": _REPLY})
        return {"messages": messages, "tools": list(task.tools)}
    for thought, calls in zip(THOUGHTS, (task.finds(), task.forecasts()), strict=False):
        first = len(messages)
        made = [
            {"id": f"call_{first + n}", "type": "function", "function": {"name": name, "arguments": json.dumps(given)}}
            for n, (name, given) in enumerate(calls)
        ]
        messages.append({"role": "assistant", "reasoning_content": thought, "content": "", "tool_calls": made})
        for n, call in enumerate(calls):
            messages.append({"role": "tool", "tool_call_id": f"call_{first + n}", "content": task.execute(call)})
    answer = "\n".join(task.answers())
    messages.append({"role": "assistant", "reasoning_content": THOUGHTS[2], "content": answer})
    return {"messages": messages, "tools": list(task.tools)}


def merged(task: Task) -> dict[str, Any]:
    """The same run with calls, results and answer in one turn of the assistant, as text: the fault of the control.

    So a harness logs it that appends all it sees to one string.
    """
    told = trace(task)
    text = ""
    for message in told["messages"][1:]:
        if message["role"] == "tool":
            text += f"<tool_response>\n{message['content']}\n</tool_response>\n"
        for call in message.get("tool_calls", ()):
            said = {"name": call["function"]["name"], "arguments": json.loads(call["function"]["arguments"])}
            text += f"<tool_call>\n{json.dumps(said)}\n</tool_call>\n"
    first, last = told["messages"][1], told["messages"][-1]
    turn = {"role": "assistant", "reasoning_content": first["reasoning_content"], "content": text + last["content"]}
    return {**told, "messages": [told["messages"][0], turn]}
