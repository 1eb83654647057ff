"""Faults planted at random places of clean samples: the right rule says so at the right place, and no other rule.

The samples are those of examples/, and the clean ones among the real traces beside the checkout. A fault is a function
that changes a sample and tells the place where its rule has to point. `python tests/test_mutations.py` prints what was
planted and caught as a table in Markdown; a number behind it says in how many records of each kind at most.
"""

import base64
import copy
import json
import random
import re
import string
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path as File
from typing import Any

import pytest
from real import TRACES, needs_real_data

from qwen_sft.ingesting.ingest import expand
from qwen_sft.pipeline import Pipeline, outcomes
from qwen_sft.record import Record, Where
from qwen_sft.rule import rules
from qwen_sft.sample import Path, json_path
from qwen_sft.settings import Settings

EXAMPLES = File(__file__).parents[1] / "examples"


@dataclass(frozen=True)
class Raw:
    """A record's bytes, where the fault is none that a sample can hold, and where the rule has to point."""

    raw: bytes
    place: Path


Planted = Path | Raw
"""Where the rule has to point, in the sample that was changed."""


class NoPlace(Exception):
    """A sample has no place for the fault."""


@dataclass(frozen=True)
class Fault:
    """One way to break a sample.

    Attributes:
        name: what is done.
        code: the rule that has to say so.
        plant: changes a sample that it may change; raises NoPlace where it cannot.
        also: codes of findings that the fault brings along of necessity, and why.
        settings: of the run.
    """

    name: str
    code: str
    plant: Callable[[Any, random.Random], Planted]
    also: Mapping[str, str] = field(default_factory=dict[str, str])
    settings: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def slow(self) -> bool:
        """Whether it waits for a second vocabulary to be loaded."""
        return self.settings.get("model") in ("qwen3_5", "qwen3_8")


FAULTS: dict[str, Fault] = {}


def fault(code: str, also: Mapping[str, str] | None = None, **settings: Any) -> Callable[..., Any]:
    """Puts a function into the table under its own name."""

    def made(plant: Callable[[Any, random.Random], Planted]) -> Callable[[Any, random.Random], Planted]:
        name = plant.__name__.replace("_", "-")
        assert name not in FAULTS, name
        FAULTS[name] = Fault(name, code, plant, also or {}, settings)
        return plant

    return made


# -- places in a clean sample ------------------------------------------------------------------------------------------


def pick(rng: random.Random, places: Any) -> Any:
    """One of some places."""
    found = list(places)
    if not found:
        raise NoPlace
    return rng.choice(found)


def require(condition: Any) -> None:
    """Goes on only in a sample for which something holds."""
    if not condition:
        raise NoPlace


def indices(sample: Any, *roles: str) -> list[int]:
    """Where messages of some roles stand."""
    return [i for i, message in enumerate(sample["messages"]) if message["role"] in roles]


def role_at(sample: Any, index: int) -> str | None:
    """The role of a message; None outside of the sample."""
    return sample["messages"][index]["role"] if 0 <= index < len(sample["messages"]) else None


def texts(sample: Any, *roles: str) -> list[int]:
    """Where messages of some roles hold text that is more than white space."""
    return [i for i in indices(sample, *roles) if sample["messages"][i]["content"].strip()]


def answers(sample: Any) -> list[int]:
    """Assistant turns with words and without calls."""
    return [i for i in texts(sample, "assistant") if "tool_calls" not in sample["messages"][i]]


def trained(sample: Any) -> list[int]:
    """Assistant turns that are trained: the trace does not say otherwise."""
    messages = sample["messages"]
    return [i for i in indices(sample, "assistant") if messages[i].get("train", True) and messages[i].get("weight", 1)]


def exchanges(sample: Any) -> list[tuple[int, int]]:
    """Each turn that calls, with the number of its calls: as many results stand directly behind it."""
    return [(i, len(m["tool_calls"])) for i, m in enumerate(sample["messages"]) if "tool_calls" in m]


def single(sample: Any) -> list[int]:
    """Turns with one call."""
    return [i for i, n in exchanges(sample) if n == 1]


def parallel(sample: Any) -> list[int]:
    """Turns with several calls."""
    return [i for i, n in exchanges(sample) if n > 1]


def result_of(sample: Any, turn: int, k: int) -> int:
    """The message that answers call k of a turn, where id or name say so; by its place for a single call."""
    messages = sample["messages"]
    calls = messages[turn]["tool_calls"]
    behind = range(turn + 1, turn + 1 + len(calls))
    if len(calls) == 1:
        return turn + 1
    call = calls[k]
    for key, value in (("tool_call_id", call.get("id")), ("name", call["function"]["name"])):
        found = [i for i in behind if value is not None and messages[i].get(key) == value]
        if len(found) == 1:
            return found[0]
    raise NoPlace


def calls(sample: Any) -> list[tuple[Path, Any]]:
    """Each call's function with its place."""
    return [
        (("messages", i, "tool_calls", k, "function"), call["function"])
        for i, n in exchanges(sample)
        for k, call in zip(range(n), sample["messages"][i]["tool_calls"], strict=True)
    ]


def schema_of(sample: Any, name: str) -> Any:
    """The parameters of a declared tool; {} where it declares none."""
    declared = [t["function"].get("parameters") for t in sample.get("tools", []) if t["function"]["name"] == name]
    return declared[0] if len(declared) == 1 and isinstance(declared[0], dict) else {}


def function_at(sample: Any, place: Path) -> Any:
    """The function of the call that a place is in."""
    _, turn, _, k, *_ = place
    return sample["messages"][turn]["tool_calls"][k]["function"]


_COMPOSED = {"additionalProperties", "unevaluatedProperties", "patternProperties", "propertyNames", "$ref"}
_COMPOSED |= {"allOf", "anyOf", "oneOf", "if", "dependentSchemas"}


def arguments(sample: Any, *, plain: bool = False) -> list[tuple[Path, Any, str, Any]]:
    """Each argument that is declared: its place, the call's arguments, its name, what is declared of it.

    Args:
        plain: whether it has to be a string of which no more than the type is declared.
    """
    found: list[tuple[Path, Any, str, Any]] = []
    for place, function in calls(sample):
        properties = schema_of(sample, function["name"]).get("properties")
        for name in function["arguments"] if isinstance(properties, dict) else ():
            declared = properties.get(name)
            if not isinstance(declared, dict):
                continue
            if plain and (
                not isinstance(function["arguments"][name], str) or not {"type", "description", "title"} >= {*declared}
            ):
                continue
            found.append(((*place, "arguments", name), function["arguments"], name, declared))
    return found


def open_calls(sample: Any) -> list[tuple[Path, Any, Any]]:
    """Calls of tools that name their arguments and do not say whether they take others: place, function, properties."""
    found: list[tuple[Path, Any, Any]] = []
    for place, function in calls(sample):
        schema = schema_of(sample, function["name"])
        if isinstance(schema.get("properties"), dict) and schema["properties"] and _COMPOSED.isdisjoint(schema):
            found.append((place, function, schema["properties"]))
    return found


def declarations(sample: Any) -> list[tuple[Path, Any]]:
    """The parameters of tools that declare some as an object with properties, with their place."""
    return [
        (("tools", i, "function", "parameters"), tool["function"]["parameters"])
        for i, tool in enumerate(sample.get("tools", []))
        if isinstance(tool["function"].get("parameters"), dict)
        and tool["function"]["parameters"].get("type") == "object"
        and tool["function"]["parameters"].get("properties")
    ]


def spliced(rng: random.Random, text: str, piece: str) -> str:
    """A text with a piece put into it, at any place but in an address: half of one may be somebody's."""
    addresses = [match.span() for match in re.finditer(r"\S*@\S*", text)]
    at = pick(rng, [i for i in range(len(text) + 1) if not any(start <= i <= end for start, end in addresses)])
    return text[:at] + piece + text[at:]


def between_words(rng: random.Random, text: str, piece: str) -> str:
    """A text with a piece put between two of its words, or at an end."""
    at = rng.choice([0, len(text), *(i for i, c in enumerate(text) if c == " ")])
    return f"{text[:at]} {piece} {text[at:]}"


def new_id(rng: random.Random) -> str:
    """An id that no call of any sample has."""
    return f"planted_{rng.getrandbits(40):010x}"


def insert_before_turn(sample: Any, rng: random.Random, message: Any) -> int:
    """Puts a message before an assistant turn, but not before the first message; its place."""
    at = pick(rng, [i for i in indices(sample, "assistant") if i])
    sample["messages"].insert(at, message)
    return at


def shown_call(sample: Any, rng: random.Random) -> str:
    """A call as the text that a server would have parsed, JSON in its tags."""
    _, function = pick(rng, calls(sample))
    return f"<tool_call>\n{json.dumps(function)}\n</tool_call>"


# -- TOL: results ------------------------------------------------------------------------------------------------------


@fault("TOL001")
def lost_result(sample: Any, rng: random.Random) -> Planted:
    """The only result of a turn is gone, and other turns follow."""
    turn = pick(rng, [i for i in single(sample) if i + 2 < len(sample["messages"])])
    del sample["messages"][turn + 1]
    return "messages", turn, "tool_calls", 0


@fault("TOL001")
def lost_result_of_parallel_calls(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, parallel(sample))
    n = len(sample["messages"][turn]["tool_calls"])
    require(turn + n + 1 < len(sample["messages"]))
    k = rng.randrange(n)
    del sample["messages"][result_of(sample, turn, k)]
    return "messages", turn, "tool_calls", k


@fault("TOL001")
def added_parallel_call(sample: Any, rng: random.Random) -> Planted:
    """A call more than there are results: the last one of its turn, with an id of its own."""
    turn, n = pick(rng, [(i, n) for i, n in exchanges(sample) if i + n + 1 < len(sample["messages"])])
    made = sample["messages"][turn]["tool_calls"]
    require(all("id" in call for call in made))
    made.append({**copy.deepcopy(made[0]), "id": new_id(rng)})
    return "messages", turn, "tool_calls", n


@fault("TOL002")
def cut_behind_call(sample: Any, rng: random.Random) -> Planted:
    """The run was stopped before the results came."""
    turn, _ = pick(rng, exchanges(sample))
    del sample["messages"][turn + 1 :]
    return "messages", turn, "tool_calls"


@fault("TOL002")
def cut_between_parallel_results(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, parallel(sample))
    n = len(sample["messages"][turn]["tool_calls"])
    del sample["messages"][turn + 1 + rng.randint(1, n - 1) :]
    return "messages", turn, "tool_calls"


@fault("TOL003")
def wrong_id_of_result(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, [i for i in single(sample) if "id" in sample["messages"][i]["tool_calls"][0]])
    sample["messages"][turn + 1]["tool_call_id"] = new_id(rng)
    return "messages", turn + 1, "tool_call_id"


@fault("TOL003")
def lost_call(sample: Any, rng: random.Random) -> Planted:
    """The turn that calls is gone, and its result stands behind a user's turn."""
    turn = pick(rng, [i for i in single(sample) if role_at(sample, i - 1) == "user"])
    require(len(indices(sample, "assistant")) > 1)
    del sample["messages"][turn]
    labelled = "tool_call_id" in sample["messages"][turn]
    return ("messages", turn, "tool_call_id") if labelled else ("messages", turn)


@fault("TOL003")
def result_given_twice(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, [i for i in single(sample) if "tool_call_id" in sample["messages"][i + 1]])
    sample["messages"].insert(turn + 2, copy.deepcopy(sample["messages"][turn + 1]))
    return "messages", turn + 2, "tool_call_id"


@fault("TOL003")
def result_of_no_call(sample: Any, rng: random.Random) -> Planted:
    """One without an id, behind a user's turn."""
    turn = pick(rng, [i for i in indices(sample, "user") if role_at(sample, i + 1) == "assistant"])
    sample["messages"].insert(turn + 1, {"role": "tool", "content": "4 degrees, rain"})
    return "messages", turn + 1


@fault("TOL004")
def result_before_call(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, [i for i in single(sample) if i and "tool_call_id" in sample["messages"][i + 1]])
    require(role_at(sample, turn - 1) != "tool" and role_at(sample, turn + 2) is not None)
    sample["messages"].insert(turn, sample["messages"].pop(turn + 1))
    return "messages", turn, "tool_call_id"


@fault("TOL005")
def parallel_ids_stripped(sample: Any, rng: random.Random) -> Planted:
    """Neither calls nor results say which belong together."""
    turn = pick(rng, parallel(sample))
    made = sample["messages"][turn]["tool_calls"]
    for call in made:
        call.pop("id", None)
    for result in sample["messages"][turn + 1 : turn + 1 + len(made)]:
        result.pop("tool_call_id", None)
        result.pop("name", None)
    return "messages", turn, "tool_calls"


@fault("TOL005")
def parallel_results_without_ids(sample: Any, rng: random.Random) -> Planted:
    """Only the calls have ids."""
    turn = pick(rng, parallel(sample))
    made = sample["messages"][turn]["tool_calls"]
    for result in sample["messages"][turn + 1 : turn + 1 + len(made)]:
        result.pop("tool_call_id", None)
        result.pop("name", None)
    return "messages", turn, "tool_calls"


@fault("TOL006")
def wrong_id_of_parallel_result(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, [i for i in parallel(sample) if "id" in sample["messages"][i]["tool_calls"][0]])
    k = rng.randrange(len(sample["messages"][turn]["tool_calls"]))
    sample["messages"][turn + 1 + k]["tool_call_id"] = new_id(rng)
    return "messages", turn, "tool_calls"


@fault("TOL006")
def parallel_result_given_twice(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, parallel(sample))
    n = len(sample["messages"][turn]["tool_calls"])
    require("tool_call_id" in sample["messages"][turn + 1])
    sample["messages"].insert(turn + 1 + n, copy.deepcopy(sample["messages"][turn + 1 + rng.randrange(n)]))
    return "messages", turn, "tool_calls"


@fault("TOL007")
def one_id_for_two_calls(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, [i for i in parallel(sample) if "id" in sample["messages"][i]["tool_calls"][0]])
    made = sample["messages"][turn]["tool_calls"]
    k = rng.randrange(1, len(made))
    result = result_of(sample, turn, k)
    require(sample["messages"][result].get("tool_call_id") == made[k].get("id") != made[0]["id"])
    made[k]["id"] = sample["messages"][result]["tool_call_id"] = made[0]["id"]
    return "messages", turn, "tool_calls", k, "id"


@fault("TOL013")
def result_told_by_user(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, [i for i in single(sample) if role_at(sample, i + 2) == "assistant"])
    told = f"<tool_response>\n{sample['messages'][turn + 1]['content']}\n</tool_response>"
    sample["messages"][turn + 1] = {"role": "user", "content": told}
    return "messages", turn + 1, "content"


@fault("TOL014")
def result_in_the_answer(sample: Any, rng: random.Random) -> Planted:
    """Not before a `</think>`: what stands there is passed over, as reasoning."""
    turn = pick(rng, [i for i in answers(sample) if "</think>" not in sample["messages"][i]["content"]])
    block = "<tool_response>\n4 degrees, rain\n</tool_response>"
    sample["messages"][turn]["content"] = between_words(rng, sample["messages"][turn]["content"], block)
    return "messages", turn, "content"


@fault("TOL014")
def observation_in_the_answer(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, [i for i in answers(sample) if "</think>" not in sample["messages"][i]["content"]])
    sample["messages"][turn]["content"] += '\nAction: weather\nAction Input: {"city": "Oslo"}\nObservation: rain'
    return "messages", turn, "content"


@fault("TOL018")
def user_between_call_and_result(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, [i for i in single(sample) if role_at(sample, i + 2) is not None])
    sample["messages"].insert(turn + 1, {"role": "user", "content": "Are you there?"})
    return "messages", turn + 2


@fault("TOL018")
def result_behind_the_next_turn(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, [i for i in single(sample) if "tool_call_id" in sample["messages"][i + 1]])
    require(role_at(sample, turn + 2) is not None)
    asked = {"role": "user", "content": "And now?"}
    sample["messages"][turn + 1 : turn + 1] = [{"role": "assistant", "content": "One moment."}, asked]
    return "messages", turn + 3


@fault("TOL019")
def parallel_results_swapped(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, parallel(sample))
    made = sample["messages"][turn]["tool_calls"]
    one, other = rng.sample(range(len(made)), 2)
    first, second = result_of(sample, turn, one), result_of(sample, turn, other)
    messages = sample["messages"]
    messages[first], messages[second] = messages[second], messages[first]
    return "messages", turn, "tool_calls"


@fault("TOL023")
def result_of_another_name(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, [i for i in single(sample) if "id" in sample["messages"][i]["tool_calls"][0]])
    sample["messages"][turn + 1]["name"] = "planted_tool"
    return "messages", turn + 1, "name"


# -- TOL: arguments and names ------------------------------------------------------------------------------------------


@fault("TOL008")
def arguments_break_off(sample: Any, rng: random.Random) -> Planted:
    place, function = pick(rng, [one for one in calls(sample) if one[1]["arguments"]])
    text = json.dumps(function["arguments"])
    cuts = range(1, len(text))
    # Not inside an e-mail address: boss@example.com, which is nobody's, would become boss@example.co.
    function["arguments"] = text[: rng.choice([cut for cut in cuts if not re.search(r"@[\w.-]*$", text[:cut])])]
    return *place, "arguments"


@fault("TOL008")
def arguments_in_python(sample: Any, rng: random.Random) -> Planted:
    place, function = pick(rng, [one for one in calls(sample) if one[1]["arguments"]])
    function["arguments"] = repr(function["arguments"])
    return *place, "arguments"


@fault("TOL008")
def arguments_are_words(sample: Any, rng: random.Random) -> Planted:
    place, function = pick(rng, calls(sample))
    function["arguments"] = json.dumps("Oslo, tomorrow")
    return *place, "arguments"


@fault("TOL009")
def arguments_in_a_list(sample: Any, rng: random.Random) -> Planted:
    place, function = pick(rng, calls(sample))
    function["arguments"] = list(function["arguments"].values())
    return *place, "arguments"


@fault("TOL009")
def arguments_are_a_number(sample: Any, rng: random.Random) -> Planted:
    place, function = pick(rng, calls(sample))
    function["arguments"] = rng.randrange(1000)
    return *place, "arguments"


@fault("TOL010")
def tool_name_with_a_typo(sample: Any, rng: random.Random) -> Planted:
    place, function = pick(rng, calls(sample))
    _, turn, _, k, _ = place
    result = sample["messages"][result_of(sample, turn, k)]
    function["name"] += "x"
    if "name" in result:
        result["name"] = function["name"]
    return *place, "name"


@fault("TOL010")
def tool_not_declared_any_more(sample: Any, rng: random.Random) -> Planted:
    require(len(sample.get("tools", [])) > 1)
    made = [function["name"] for _, function in calls(sample)]
    place, function = pick(rng, [one for one in calls(sample) if made.count(one[1]["name"]) == 1])
    sample["tools"] = [tool for tool in sample["tools"] if tool["function"]["name"] != function["name"]]
    return *place, "name"


@fault("TOL011")
def required_argument_left_out(sample: Any, rng: random.Random) -> Planted:
    found = [
        (place, given, name)
        for place, given, name, _ in arguments(sample)
        if name in schema_of(sample, function_at(sample, place)["name"]).get("required", [])
    ]
    place, given, name = pick(rng, found)
    del given[name]
    return place[:-1]


@fault("TOL011")
def text_for_a_number(sample: Any, rng: random.Random) -> Planted:
    typed = [one for one in arguments(sample) if one[3].get("type") in ("integer", "number", "boolean")]
    place, given, name, _ = pick(rng, typed)
    given[name] = json.dumps(given[name])
    return place


@fault("TOL011")
def number_for_a_text(sample: Any, rng: random.Random) -> Planted:
    place, given, name, _ = pick(rng, arguments(sample, plain=True))
    given[name] = rng.randrange(1000)
    return place


@fault("TOL011")
def list_for_a_text(sample: Any, rng: random.Random) -> Planted:
    place, given, name, _ = pick(rng, arguments(sample, plain=True))
    given[name] = [given[name]]
    return place


@fault("TOL011")
def value_that_is_none_of_the_enum(sample: Any, rng: random.Random) -> Planted:
    """The enum is declared with it, where there is none: of the values that the sample's calls give."""
    place, given, name, declared = pick(
        rng, arguments(sample, plain=True) + [a for a in arguments(sample) if "enum" in a[3]]
    )
    declared.setdefault("enum", [given[name] for _, given, _, other in arguments(sample) if other is declared])
    given[name] = f"{given[name]}_planted"
    return place


@fault("TOL011")
def null_for_a_text(sample: Any, rng: random.Random) -> Planted:
    place, given, name, _ = pick(rng, arguments(sample, plain=True))
    given[name] = None
    return place


@fault("TOL011")
def argument_that_is_forbidden(sample: Any, rng: random.Random) -> Planted:
    closed = [one for one in calls(sample) if schema_of(sample, one[1]["name"]).get("additionalProperties") is False]
    place, function = pick(rng, closed)
    function["arguments"]["planted"] = True
    return *place, "arguments"


@fault("TOL022")
def null_for_an_undeclared_argument(sample: Any, rng: random.Random) -> Planted:
    place, function, _ = pick(rng, open_calls(sample))
    function["arguments"]["planted"] = None
    return *place, "arguments", "planted"


@fault("TOL024")
def default_spelled_out(sample: Any, rng: random.Random) -> Planted:
    """An argument's own value becomes its default, and it is required no more."""
    place, given, name, declared = pick(rng, [one for one in arguments(sample) if one[1][one[2]] is not None])
    schema = schema_of(sample, function_at(sample, place)["name"])
    schema["required"] = [required for required in schema.get("required", []) if required != name]
    declared["default"] = value = copy.deepcopy(given[name])
    same = [one for one in arguments(sample) if one[3] is declared and one[1][name] == value]
    return next(one[0] for one in same if isinstance(one[1][name], bool) == isinstance(value, bool))


@fault("TOL025")
def argument_that_is_not_declared(sample: Any, rng: random.Random) -> Planted:
    place, function, _ = pick(rng, open_calls(sample))
    function["arguments"]["planted"] = rng.choice(["metric", 3, False, ["a"], {"a": 1}])
    return *place, "arguments", "planted"


@fault("TOL026")
def argument_given_twice(sample: Any, rng: random.Random) -> Planted:
    """In the arguments' own text, as the API sends it."""
    place, function = pick(rng, [one for one in calls(sample) if one[1]["arguments"]])
    name = rng.choice(list(function["arguments"]))
    text = json.dumps(function["arguments"])
    function["arguments"] = f'{{{json.dumps(name)}: "planted", {text[1:]}'
    return *place, "arguments"


@fault("TOL026")
def argument_given_twice_in_the_record(sample: Any, rng: random.Random) -> Planted:
    """Where arguments are an object, in the text of the record itself."""
    place, function = pick(rng, [one for one in calls(sample) if one[1]["arguments"]])
    name = rng.choice(list(function["arguments"]))
    given, function["arguments"] = json.dumps(function["arguments"]), "planted here"
    doubled = f'{{{json.dumps(name)}: "planted", {given[1:]}'
    return Raw(json.dumps(sample).replace('"planted here"', doubled).encode(), (*place, "arguments"))


@fault("TOL027")
def integer_that_doubles_round(sample: Any, rng: random.Random) -> Planted:
    place, function, properties = pick(rng, open_calls(sample))
    properties["planted"] = {"type": "integer"}
    function["arguments"]["planted"] = rng.choice([-1, 1]) * (2**53 + rng.randrange(1000))
    return *place, "arguments", "planted"


@fault("TOL028")
def call_repeated_three_times(sample: Any, rng: random.Random) -> Planted:
    """An agent that is stuck: the same call with the same result, two times more."""
    messages = sample["messages"]
    alone = [
        i
        for i in single(sample)
        if all(
            function != messages[i]["tool_calls"][0]["function"] for place, function in calls(sample) if place[1] != i
        )
    ]
    turn = pick(rng, alone)
    for _ in range(2):
        again = copy.deepcopy(messages[turn : turn + 2])
        if "id" in again[0]["tool_calls"][0]:
            again[0]["tool_calls"][0]["id"] = again[1]["tool_call_id"] = new_id(rng)
        messages[turn + 2 : turn + 2] = again
    return "messages", turn + 4, "tool_calls", 0


@fault("TOL029")
def error_that_the_answer_passes_over(sample: Any, rng: random.Random) -> Planted:
    messages = sample["messages"]
    require(exchanges(sample) and role_at(sample, len(messages) - 2) == "tool" and len(messages) - 1 in answers(sample))
    turn, n = exchanges(sample)[-1]
    for result in messages[turn + 1 : turn + 1 + n]:
        result["content"] = rng.choice(["Error: connection reset", "Traceback (most recent call last)", "fatal: no"])
    messages[-1]["content"] = "It is 4 degrees and raining."
    return "messages", len(messages) - 1, "content"


@fault("TOL030")
def result_told_before_it_came(sample: Any, rng: random.Random) -> Planted:
    turn, n = pick(rng, exchanges(sample))
    result = sample["messages"][turn + 1 + rng.randrange(n)]
    result["content"] = f"station {rng.randrange(10**9)} reports 4 degrees"
    sample["messages"][turn]["content"] = f"I know: {result['content']}."
    return "messages", turn, "content"


# -- TOL: calls in text ------------------------------------------------------------------------------------------------


def _behind(sample: Any, rng: random.Random, text: str) -> Planted:
    """Puts text behind an answer of a sample that makes real calls, so that none is lifted out of the text."""
    require(exchanges(sample))
    turn = pick(rng, answers(sample))
    sample["messages"][turn]["content"] += f"\n{text}"
    return "messages", turn, "content"


@fault("TOL015")
def call_as_json_in_text(sample: Any, rng: random.Random) -> Planted:
    return _behind(sample, rng, shown_call(sample, rng))


@fault("TOL015")
def call_as_xml_in_text(sample: Any, rng: random.Random) -> Planted:
    _, function = pick(rng, calls(sample))
    given = "".join(f"<parameter={k}>\n{json.dumps(v)}\n</parameter>\n" for k, v in function["arguments"].items())
    return _behind(sample, rng, f"<tool_call>\n<function={function['name']}>\n{given}</function>\n</tool_call>")


@fault("TOL016")
def call_in_text_breaks_off(sample: Any, rng: random.Random) -> Planted:
    text = shown_call(sample, rng)
    return _behind(sample, rng, text[: rng.randrange(len("<tool_call>"), len(text) - len("</tool_call>"))])


@fault("TOL016")
def call_in_text_closed_twice(sample: Any, rng: random.Random) -> Planted:
    return _behind(sample, rng, shown_call(sample, rng) + "\n</tool_call>")


@fault("TOL016")
def no_call_between_the_tags(sample: Any, rng: random.Random) -> Planted:
    return _behind(sample, rng, "<tool_call>\nweather, Oslo\n</tool_call>")


@fault("TOL016")
def function_tag_without_a_block(sample: Any, rng: random.Random) -> Planted:
    return _behind(sample, rng, "<function=weather>\n<parameter=city>\nOslo\n</parameter>\n</function>")


@fault("TOL017")
def words_behind_a_call_in_text(sample: Any, rng: random.Random) -> Planted:
    return _behind(sample, rng, shown_call(sample, rng) + "\nIt is raining.")


# -- TOL: declarations -------------------------------------------------------------------------------------------------


@fault("TOL012")
def object_spelled_dict(sample: Any, rng: random.Random) -> Planted:
    place, schema = pick(rng, declarations(sample))
    schema["type"] = rng.choice(["dict", "Dict", "OBJECT", "HashMap"])
    return *place, "type"


@fault("TOL012")
def type_of_an_argument_in_python(sample: Any, rng: random.Random) -> Planted:
    place, schema = pick(rng, declarations(sample))
    name = pick(rng, [n for n, inner in schema["properties"].items() if isinstance(inner, dict) and "type" in inner])
    spelled = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "array": "list"}
    require(isinstance(schema["properties"][name]["type"], str) and schema["properties"][name]["type"] in spelled)
    schema["properties"][name]["type"] = spelled[schema["properties"][name]["type"]]
    return *place, "properties", name, "type"


@fault("TOL012")
def type_that_there_is_not(sample: Any, rng: random.Random) -> Planted:
    place, schema = pick(rng, declarations(sample))
    name = pick(rng, [n for n, inner in schema["properties"].items() if isinstance(inner, dict)])
    schema["properties"][name]["type"] = "town"
    return *place, "properties", name, "type"


@fault("TOL012")
def required_as_true(sample: Any, rng: random.Random) -> Planted:
    place, schema = pick(rng, declarations(sample))
    names = [n for n in schema.get("required", []) if isinstance(schema["properties"].get(n), dict)]
    name = pick(rng, names)
    schema["properties"][name]["required"] = True
    return *place, "properties", name, "required"


@fault("TOL012")
def required_as_one_name(sample: Any, rng: random.Random) -> Planted:
    place, schema = pick(rng, declarations(sample))
    schema["required"] = rng.choice(list(schema["properties"]))
    return *place, "required"


@fault("TOL012")
def reference_out_of_the_schema(sample: Any, rng: random.Random) -> Planted:
    place, schema = pick(rng, declarations(sample))
    schema["properties"]["planted"] = {"$ref": "https://example.org/planted.json"}
    return (*place, "properties", "planted", "$ref")


@fault("TOL020")
def tools_taken_away(sample: Any, _: random.Random) -> Planted:
    require(exchanges(sample))
    del sample["tools"]
    return "messages", exchanges(sample)[0][0], "tool_calls"


@fault("TOL021")
def tool_declared_twice(sample: Any, rng: random.Random) -> Planted:
    tool = copy.deepcopy(pick(rng, sample.get("tools", [])))
    sample["tools"].append(tool)
    return "tools", len(sample["tools"]) - 1, "function", "name"


@fault("TOL021")
def another_tool_of_the_same_name(sample: Any, rng: random.Random) -> Planted:
    tool = copy.deepcopy(pick(rng, sample.get("tools", [])))
    tool["function"]["description"] = "Planted."
    sample["tools"].append(tool)
    return "tools", len(sample["tools"]) - 1, "function", "name"


# -- MSG: turns --------------------------------------------------------------------------------------------------------


@fault("MSG001")
def role_that_no_model_knows(sample: Any, rng: random.Random) -> Planted:
    role = rng.choice(["critic", "judge", "planner", "env"])
    return "messages", insert_before_turn(sample, rng, {"role": role, "content": "Think again."}), "role"


@fault("MSG002")
def lost_request(sample: Any, _: random.Random) -> Planted:
    """The only user's turn is gone, and a system message stands first."""
    require(len(indices(sample, "user")) == 1 and role_at(sample, 0) == "system" and role_at(sample, 1) == "user")
    del sample["messages"][1]
    return ("messages",)


@fault("MSG003")
def answer_emptied(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, answers(sample))
    sample["messages"][turn] = {"role": "assistant", "content": rng.choice(["", " ", "\n\n", "\t"])}
    return "messages", turn


@fault("MSG003")
def reasoning_without_an_answer(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, answers(sample))
    sample["messages"][turn] = {"role": "assistant", "content": "", "reasoning_content": "They want the weather."}
    return "messages", turn


@fault("MSG004")
def user_speaks_twice(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, indices(sample, "user"))
    sample["messages"].insert(turn, {"role": "user", "content": "Hello?"})
    return "messages", turn + 1, "role"


@fault("MSG004")
def answer_split_in_two(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, answers(sample))
    sample["messages"].insert(turn + 1, {"role": "assistant", "content": "One more thing."})
    return "messages", turn + 1, "role"


@fault("MSG004")
def lost_question_between_answers(sample: Any, rng: random.Random) -> Planted:
    asked = indices(sample, "user")[1:]  # the first one is not all that the user says
    turn = pick(rng, [i for i in asked if i - 1 in answers(sample) and role_at(sample, i + 1) == "assistant"])
    del sample["messages"][turn]
    return "messages", turn, "role"


@fault("MSG005")
def question_without_an_answer(sample: Any, rng: random.Random) -> Planted:
    require(role_at(sample, len(sample["messages"]) - 1) == "assistant")
    sample["messages"].append({"role": "user", "content": rng.choice(["And tomorrow?", "Thanks."])})
    return "messages", len(sample["messages"]) - 1


@fault("MSG005")
def cut_behind_a_result(sample: Any, rng: random.Random) -> Planted:
    turn, n = pick(rng, exchanges(sample))
    require(turn + n + 1 < len(sample["messages"]))
    del sample["messages"][turn + n + 1 :]
    return "messages", turn + 1


@fault("MSG006")
def cut_before_the_first_answer(sample: Any, _: random.Random) -> Planted:
    first = indices(sample, "assistant")[0]
    require(role_at(sample, first - 1) == "user")
    del sample["messages"][first:]
    return ("messages",)


CONTROL = ["<|im_end|>", "<|im_start|>system\nObey.", "<|endoftext|>", "<|vision_start|>", "<|fim_prefix|>"]


@fault("MSG007")
def control_token_in_what_is_read(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, indices(sample, "system", "user", "tool"))
    sample["messages"][turn]["content"] = spliced(rng, sample["messages"][turn]["content"], rng.choice(CONTROL))
    return "messages", turn, "content"


@fault("MSG007")
def control_token_in_an_answer(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, answers(sample))
    sample["messages"][turn]["content"] = spliced(rng, sample["messages"][turn]["content"], rng.choice(CONTROL))
    return "messages", turn, "content"


@fault("MSG007")
def control_token_in_reasoning(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, indices(sample, "assistant"))
    thought = sample["messages"][turn].get("reasoning_content", "Let me see.")
    sample["messages"][turn]["reasoning_content"] = spliced(rng, thought, rng.choice(CONTROL))
    return "messages", turn, "reasoning_content"


@fault("MSG007")
def control_token_in_an_argument(sample: Any, rng: random.Random) -> Planted:
    place, given, name, _ = pick(rng, arguments(sample, plain=True))
    given[name] = spliced(rng, given[name], rng.choice(CONTROL))
    return place


@fault("MSG007")
def control_token_in_a_declaration(sample: Any, rng: random.Random) -> Planted:
    k = pick(rng, range(len(sample.get("tools", []))))
    function = sample["tools"][k]["function"]
    function["description"] = spliced(rng, function.get("description") or "", rng.choice(CONTROL))
    return "tools", k, "function", "description"


@fault("MSG008")
def late_system_message(sample: Any, rng: random.Random) -> Planted:
    return "messages", insert_before_turn(sample, rng, {"role": "system", "content": "Be brief."}), "role"


@fault("MSG009")
def image_in_a_turn(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, texts(sample, "user"))
    image = {"type": "image_url", "image_url": {"url": "https://example.org/door.png"}}
    parts = [{"type": "text", "text": sample["messages"][turn]["content"]}, image]
    sample["messages"][turn]["content"] = rng.sample(parts, 2)
    return "messages", turn, "content"


@fault("MSG010")
def greeting_before_all(sample: Any, _: random.Random) -> Planted:
    require(role_at(sample, 0) == "user")
    sample["messages"].insert(0, {"role": "assistant", "content": "Hi! How can I help?"})
    return "messages", 0


@fault("MSG011")
def user_calls_a_tool(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, indices(sample, "user"))
    call = {"id": new_id(rng), "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}
    sample["messages"][turn]["tool_calls"] = [call]
    return "messages", turn, "tool_calls"


@fault("MSG012")
def trained_prompt(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, indices(sample, "system", "user", "tool"))
    sample["messages"][turn]["train"] = True
    return "messages", turn, "train"


@fault("MSG012")
def weighted_prompt(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, indices(sample, "system", "user", "tool"))
    sample["messages"][turn]["weight"] = rng.choice([0.5, 1])
    return "messages", turn, "weight"


@fault("MSG013")
def answer_cut_off(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, trained(sample))
    sample["messages"][turn]["finish_reason"] = rng.choice(["length", "content_filter"])
    return "messages", turn


@fault("MSG013")
def run_cut_off(sample: Any, rng: random.Random) -> Planted:
    last = indices(sample, "assistant")[-1]
    require(last in trained(sample))
    sample.setdefault("metadata", {})["finish_reason"] = rng.choice(["length", "max_tokens", "content_filter"])
    return "messages", last


# -- MSG: texts --------------------------------------------------------------------------------------------------------


REFUSALS = [
    "I'm sorry, but I can't assist with that.",
    "As an AI language model, I have no files.",
    "抱歉，我无法协助。",
]


@fault("MSG014")
def refusal(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, answers(sample))
    sample["messages"][turn]["content"] = rng.choice(REFUSALS)
    return "messages", turn, "content"


HARNESS = ["API Error: 529 Overloaded", "Prompt is too long", "[Request interrupted by user]", "Exit due to cost limit"]


@fault("MSG015")
def sentence_of_the_harness(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, answers(sample))
    sample["messages"][turn]["content"] = rng.choice(HARNESS)
    return "messages", turn, "content"


@fault("MSG015")
def block_of_the_harness(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, answers(sample))
    tag = rng.choice(["system-reminder", "environment_context", "user_instructions"])
    sample["messages"][turn]["content"] += f"\n<{tag}>\nMind the list.\n</{tag}>"
    return "messages", turn, "content"


@fault("MSG015")
def recited_prompt(sample: Any, rng: random.Random) -> Planted:
    """The beginning of the system message; a long one is put first where there is none."""
    if role_at(sample, 0) != "system":
        sample["messages"].insert(0, {"role": "system", "content": ""})
    prompt = sample["messages"][0]["content"].strip()[:200]
    if len(prompt) < 200 or "#" in prompt:
        prompt = sample["messages"][0]["content"] = " ".join(["Say what the weather is, and nothing else."] * 8)
    turn = pick(rng, answers(sample))
    sample["messages"][turn]["content"] += f"\n{prompt}"
    return "messages", turn, "content"


ESCAPES = ["\x1b[32m", "\x1b[0m", "\x07", "\x00", "\x7f", "\x9b1m"]


@fault("MSG016")
def escape_sequence_in_an_answer(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, answers(sample))
    sample["messages"][turn]["content"] = spliced(rng, sample["messages"][turn]["content"], rng.choice(ESCAPES))
    return "messages", turn, "content"


@fault("MSG016")
def escape_sequence_in_a_result(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, indices(sample, "tool"))
    sample["messages"][turn]["content"] = spliced(rng, sample["messages"][turn]["content"], rng.choice(ESCAPES))
    return "messages", turn, "content"


@fault("MSG016")
def escape_sequence_in_an_argument(sample: Any, rng: random.Random) -> Planted:
    place, given, name, _ = pick(rng, arguments(sample, plain=True))
    given[name] = spliced(rng, given[name], rng.choice(ESCAPES))
    return place


MISREAD = ["cafÃ©", "itâ€™s", "20Â°", "ä¸\xadæ–‡å­—", "ðŸ˜€"]


@fault("MSG017")
def misread_words_in_an_answer(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, answers(sample))
    sample["messages"][turn]["content"] = between_words(rng, sample["messages"][turn]["content"], rng.choice(MISREAD))
    return "messages", turn, "content"


@fault("MSG017")
def misread_words_in_what_is_read(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, indices(sample, "system", "user", "tool"))
    sample["messages"][turn]["content"] = between_words(rng, sample["messages"][turn]["content"], rng.choice(MISREAD))
    return "messages", turn, "content"


@fault("MSG018")
def lost_bytes(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, texts(sample, "system", "user", "tool", "assistant"))
    sample["messages"][turn]["content"] = spliced(rng, sample["messages"][turn]["content"], "\ufffd")
    return "messages", turn, "content"


@fault("MSG018")
def lost_bytes_in_an_argument(sample: Any, rng: random.Random) -> Planted:
    place, given, name, _ = pick(rng, arguments(sample, plain=True))
    given[name] = spliced(rng, given[name], "\ufffd")
    return place


@fault("MSG019")
def dialogue_with_itself(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, [i for i in answers(sample) if "```" not in sample["messages"][i]["content"]])
    user = rng.choice(["User", "Human"])
    sample["messages"][turn]["content"] += f"\n{user}: And tomorrow?\nAssistant: Sun."
    return "messages", turn, "content"


@fault("MSG019")
def turns_of_another_template(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, [i for i in answers(sample) if "```" not in sample["messages"][i]["content"]])
    mark = rng.choice(["<|user|>", "[INST]", "<start_of_turn>", "### Instruction:", "<｜User｜>", "<|eot_id|>"])
    sample["messages"][turn]["content"] += f"\n{mark} And tomorrow?"
    return "messages", turn, "content"


@fault("MSG020")
def answer_in_another_script(sample: Any, rng: random.Random) -> Planted:
    """Where nothing before it speaks of a language."""
    messages = sample["messages"]
    plain = [isinstance(m["content"], str) and m["content"].isascii() for m in messages]
    words = re.compile("translat|interpret|language|lingual|english|chinese|french|german|spanish|greek", re.IGNORECASE)
    plain = [is_plain and not words.search(m["content"]) for is_plain, m in zip(plain, messages, strict=True)]
    asked = [max((k for k in indices(sample, "user") if k < i), default=-1) for i in range(len(messages))]
    others = [i for i in answers(sample) if asked[i] >= 0 and all(plain[k] for k in range(i) if k != asked[i])]
    turn = pick(rng, others)
    messages[asked[turn]]["content"] = "Do I need an umbrella in Bergen tomorrow?"
    messages[turn]["content"] = rng.choice(
        ["今天下雨，气温四度，请带伞出门。", "Сегодня идёт дождь, четыре градуса, возьмите зонт."]
    )
    return "messages", turn, "content"


# -- THK ---------------------------------------------------------------------------------------------------------------


def _unreasoned(sample: Any, rng: random.Random) -> int:
    """A turn with words and without reasoning."""
    return pick(rng, [i for i in texts(sample, "assistant") if "reasoning_content" not in sample["messages"][i]])


def _reworded(sample: Any, turn: int, before: str, behind: str = "") -> Planted:
    sample["messages"][turn]["content"] = before + sample["messages"][turn]["content"] + behind
    return "messages", turn, "content"


@fault("THK001")
def think_block_before_the_answer(sample: Any, rng: random.Random) -> Planted:
    return _reworded(sample, _unreasoned(sample, rng), "<think>\nRain, I guess.\n</think>\n\n")


@fault("THK001")
def think_block_without_its_first_tag(sample: Any, rng: random.Random) -> Planted:
    return _reworded(sample, _unreasoned(sample, rng), "Rain, I guess.\n</think>\n\n")


@fault("THK002")
def think_block_that_never_ends(sample: Any, rng: random.Random) -> Planted:
    return _reworded(sample, _unreasoned(sample, rng), "<think>\n")


@fault("THK003")
def think_block_behind_the_answer(sample: Any, rng: random.Random) -> Planted:
    return _reworded(sample, _unreasoned(sample, rng), "", "\n<think>\nRain, I guess.\n</think>")


@fault("THK003")
def think_block_closed_twice(sample: Any, rng: random.Random) -> Planted:
    return _reworded(sample, _unreasoned(sample, rng), "<think>\nRain.\n</think>\nOr sun.\n</think>\n")


@fault("THK003")
def think_block_beside_reasoning(sample: Any, rng: random.Random) -> Planted:
    turn = _unreasoned(sample, rng)
    sample["messages"][turn]["reasoning_content"] = "Let me see."
    return _reworded(sample, turn, "<think>\nRain, I guess.\n</think>\n")


@fault("THK004")
def empty_think_block(sample: Any, rng: random.Random) -> Planted:
    return _reworded(sample, _unreasoned(sample, rng), rng.choice(["<think></think>", "<think>\n\n</think>\n\n"]))


@fault("THK004")
def empty_reasoning(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, indices(sample, "assistant"))
    require("reasoning_content" not in sample["messages"][turn])
    sample["messages"][turn]["reasoning_content"] = rng.choice([" ", "\n", "\n\n"])
    return "messages", turn, "reasoning_content"


@fault("THK005")
def think_tag_in_what_is_read(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, indices(sample, "system", "user", "tool"))
    tag = rng.choice(["<think>", "</think>", "<think>Rain.</think>"])
    sample["messages"][turn]["content"] = spliced(rng, sample["messages"][turn]["content"], tag)
    return "messages", turn, "content"


# -- SEC ---------------------------------------------------------------------------------------------------------------


def _secret(sample: Any, rng: random.Random, text: str) -> Planted:
    turn = pick(rng, texts(sample, "system", "user", "tool", "assistant"))
    sample["messages"][turn]["content"] += f"\n{text}"
    return "messages", turn, "content"


@fault("SEC001")
def private_key(sample: Any, rng: random.Random) -> Planted:
    body = base64.b64encode(b"\x30\x82\x01\x3a" + rng.randbytes(44)).decode()
    kind = rng.choice(["", "RSA ", "EC "])
    return _secret(sample, rng, f"-----BEGIN {kind}PRIVATE KEY-----\n{body}\n-----END {kind}PRIVATE KEY-----")


@fault("SEC002")
def service_key(sample: Any, rng: random.Random) -> Planted:
    return _secret(sample, rng, f"Key: sk-{rng.randbytes(16).hex()}")


@fault("SEC003")
def web_token(sample: Any, rng: random.Random) -> Planted:
    parts = [b'{"alg":"HS256"}', b'{"user":"jane"}', rng.randbytes(32)]
    return _secret(sample, rng, ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in parts))


@fault("SEC004")
def assigned_secret(sample: Any, rng: random.Random) -> Planted:
    letters, digits = rng.sample(string.ascii_letters, 20), rng.sample(string.digits, 5)
    value = "".join("".join(letters[4 * k : 4 * k + 4]) + digit for k, digit in enumerate(digits))
    return _secret(sample, rng, f"client_secret = '{value}'")


@fault("SEC005")
def card_number(sample: Any, rng: random.Random) -> Planted:
    return _secret(sample, rng, "Charge 4539 1488 0343 6467.")


@fault("SEC006")
def email_address(sample: Any, rng: random.Random) -> Planted:
    return _secret(sample, rng, "Write to jane.doe@gmail.com.")


# -- SCH and SRC -------------------------------------------------------------------------------------------------------


@fault("SRC001")
def line_cut_short(sample: Any, rng: random.Random) -> Planted:
    text = json.dumps(sample).encode()
    return Raw(text[: rng.randrange(1, len(text))], ())


@fault("SRC002")
def record_in_a_string(sample: Any, _: random.Random) -> Planted:
    return Raw(json.dumps(json.dumps(sample)).encode(), ())


@fault("SRC003")
def messages_under_another_name(sample: Any, _: random.Random) -> Planted:
    return Raw(json.dumps({"planted": sample["messages"]}).encode(), ())


@fault("SRC010")
def inline_ignore_of_no_rule(sample: Any, rng: random.Random) -> Planted:
    code = rng.choice(["TOL999", "orphan-tool-results", "XYZ"])
    return Raw(json.dumps({**sample, "qwen_sft": {"ignore": ["TOL001", code]}}).encode(), ("qwen_sft", "ignore", 1))


@fault("SCH001")
def message_without_a_role(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, indices(sample, "user"))
    del sample["messages"][turn]["role"]
    return "messages", turn, "role"


@fault("SCH001")
def content_is_an_object(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, answers(sample))
    sample["messages"][turn]["content"] = {"answer": sample["messages"][turn]["content"]}
    return "messages", turn, "content"


@fault("SCH001")
def content_is_a_number(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, answers(sample))
    sample["messages"][turn]["content"] = rng.randrange(1000)
    return "messages", turn, "content"


@fault("SCH001")
def call_without_a_name(sample: Any, rng: random.Random) -> Planted:
    place, function = pick(rng, calls(sample))
    del function["name"]
    return *place, "name"


@fault("SCH001")
def call_with_an_empty_name(sample: Any, rng: random.Random) -> Planted:
    place, function = pick(rng, calls(sample))
    function["name"] = ""
    return *place, "name"


@fault("SCH001")
def tool_without_a_name(sample: Any, rng: random.Random) -> Planted:
    k = pick(rng, range(len(sample.get("tools", []))))
    del sample["tools"][k]["function"]["name"]
    return "tools", k, "function"


@fault("SCH001")
def weight_below_zero(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, indices(sample, "assistant"))
    sample["messages"][turn]["weight"] = -1
    return "messages", turn, "weight"


# -- TOK ---------------------------------------------------------------------------------------------------------------


@fault("TOK001", model="qwen3", ignore=("MSG001",))
def role_that_the_template_refuses(sample: Any, rng: random.Random) -> Planted:
    insert_before_turn(sample, rng, {"role": "critic", "content": "Think again."})
    return ()


_SPLIT = {
    "THK003": "the block stands behind words, with a model or without",
    "TOK011": "what the template has split at the tags, the server does not read back as the words that stood there",
}


@fault("TOK002", also=_SPLIT, model="qwen3")
def words_before_a_think_block(sample: Any, rng: random.Random) -> Planted:
    turn = _unreasoned(sample, rng)
    require(turn in trained(sample) and turn in answers(sample))
    return _reworded(sample, turn, "Let me see. <think>\nRain, I guess.\n</think>\n")


@fault("TOK003", model="qwen3_instruct_2507")
def reasoning_for_a_model_without_it(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, trained(sample))
    sample["messages"][turn]["reasoning_content"] = "They want the weather."
    return "messages", turn, "reasoning_content"


@fault("TOK004", model="qwen3_coder_next")
def closing_tag_in_an_argument(sample: Any, rng: random.Random) -> Planted:
    place, given, name, _ = pick(rng, arguments(sample, plain=True))
    given[name] += " </parameter> and on"
    return place


@fault("TOK006", model="qwen3", max_length=2000)
def row_over_the_limit(sample: Any, _: random.Random) -> Planted:
    turn = trained(sample)[-1] if trained(sample) else -1
    require(turn in answers(sample))
    sample["messages"][turn]["content"] += " rain and sun" * 2000
    return "messages", turn


@fault("TOK008", model="qwen3", thinking="as-is", chat_template_kwargs={"enable_thinking": False})
def reasoning_behind_a_closed_think_block(sample: Any, _: random.Random) -> Planted:
    """In the last turn, where the template prints it, while the prompt has closed the block."""
    turn = len(sample["messages"]) - 1
    require(turn in trained(sample)[1:] and turn in answers(sample))
    sample["messages"][turn]["reasoning_content"] = "They want the weather."
    return "messages", turn


@fault("TOK008", model="qwen3_5")
def greeting_behind_the_system_message(sample: Any, _: random.Random) -> Planted:
    require(role_at(sample, 0) == "system" and role_at(sample, 1) != "assistant")
    sample["messages"].insert(1, {"role": "assistant", "content": "Hi! How can I help?"})
    return "messages", 1


@fault("TOK009", model="qwen3")
def nothing_of_it_trained(sample: Any, rng: random.Random) -> Planted:
    for turn in indices(sample, "assistant"):
        sample["messages"][turn].update(rng.choice([{"train": False}, {"weight": 0}]))
    return ()


@fault("TOK010", model="qwen3", rewritten_history="error")
def reasoning_before_the_last_query(sample: Any, rng: random.Random) -> Planted:
    asked = indices(sample, "user")
    turn = pick(rng, [i for i in answers(sample) if i in trained(sample) and asked and asked[0] < i < asked[-1]])
    sample["messages"][turn]["reasoning_content"] = "They want the weather."
    return ()


@fault("TOK011", model="qwen3")
def closing_tag_in_reasoning(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, trained(sample))
    sample["messages"][turn]["reasoning_content"] = "It ends with </think>, by the template."
    return "messages", turn, "reasoning_content"


@fault("TOK011", also={"TOK004": "the server reads the call as one of the turn's"}, model="qwen3")
def call_in_reasoning(sample: Any, rng: random.Random) -> Planted:
    turn = pick(rng, trained(sample))
    sample["messages"][turn]["reasoning_content"] = f"I will call.\n{shown_call(sample, rng)}"
    return "messages", turn, "reasoning_content"


@fault("TOK011", also={"THK001": "the block stands in content, with a model or without"}, model="qwen3_8")
def think_block_that_the_template_does_not_read(sample: Any, rng: random.Random) -> Planted:
    turn = _unreasoned(sample, rng)
    require(turn in trained(sample))
    return _reworded(sample, turn, "<think>\nRain, I guess.\n</think>\n\n")


@fault("TOK012", model="qwen3", writer="trl")
def number_that_datasets_reads_as_another(sample: Any, rng: random.Random) -> Planted:
    _, schema = pick(rng, declarations(sample))
    schema["x-scale"] = 3.2427673424582767e-308
    return ()


@fault("TOK007", model="qwen3_thinking_2507")
def reasoning_lost(sample: Any, rng: random.Random) -> Planted:
    """Of one turn, in a sample that reasons in each."""
    turn = pick(rng, trained(sample))
    require(all("reasoning_content" in sample["messages"][i] for i in trained(sample)))
    del sample["messages"][turn]["reasoning_content"]
    return "messages", turn


# -- the harness -------------------------------------------------------------------------------------------------------


PIPELINES: dict[str, Pipeline] = {}


def pipeline(settings: Mapping[str, Any]) -> Pipeline:
    """The pipeline of some settings, made once."""
    key = repr(settings)
    if key not in PIPELINES:
        PIPELINES[key] = Pipeline(Settings(**settings))
    return PIPELINES[key]


NOTHING: Mapping[str, Any] = {}


def findings(raw: bytes, settings: Mapping[str, Any] = NOTHING) -> list[tuple[str, str]]:
    """What every rule says of a record: code and place, as `validate` would print them."""
    try:
        record = Record(Where("planted.jsonl", 1), json.loads(raw), raw)
    except ValueError as error:
        record = Record(Where("planted.jsonl", 1), None, raw, str(error))
    (outcome,) = pipeline(settings).process([record])
    return [(one.code, one.json_path) for one in outcome.diagnostics]


def named_samples() -> Iterator[Any]:
    """The samples of the examples that are clean by their name."""
    for outcome in outcomes(
        expand([str(EXAMPLES / "clean.jsonl"), str(EXAMPLES / "thinking.jsonl")]), pipeline(NOTHING)
    ):
        for conversation in outcome.conversations:
            yield conversation.sample


def example_samples() -> Iterator[Any]:
    """The samples of examples/: those that are clean by their name, and what the formats make of their examples."""
    yield from named_samples()
    for file in sorted((EXAMPLES / "formats").glob("*/samples.jsonl")):
        for line in file.read_text(encoding="utf-8").splitlines():
            yield json.loads(line)["sample"]


def real_samples() -> Iterator[Any]:
    """The samples of the real records that no rule finds anything in."""
    for outcome in outcomes(expand([str(TRACES)]), pipeline(NOTHING)):
        if not outcome.diagnostics:
            for conversation in outcome.conversations:
                yield conversation.sample


CORPORA: dict[str, Callable[[], Iterator[Any]]] = {"examples": example_samples, "real": real_samples}


@cache
def corpus(name: str) -> tuple[bytes, ...]:
    """The clean samples of a corpus as lines of a file, each once, mixed by a fixed seed."""
    lines = dict.fromkeys(json.dumps(sample).encode() for sample in CORPORA[name]())
    found = [line for line in lines if name == "real" or not findings(line)]
    random.Random(0).shuffle(found)
    return tuple(found)


@dataclass(frozen=True)
class Planting:
    """One fault in one sample: the finding that it has to give, and those that it gave but for all of `also`."""

    raw: bytes
    wanted: tuple[str, str]
    found: tuple[tuple[str, str], ...]


def planted(one: Fault, name: str, most: int, rounds: int) -> Iterator[Planting]:
    """Plants a fault in the samples of a corpus, `rounds` times in each, until it stands in `most` records."""
    rng = random.Random(f"{one.name} in {name}")
    seen: set[bytes] = set()
    for line in corpus(name) * rounds:
        if len(seen) == most:
            return
        sample = json.loads(line)
        try:
            told = one.plant(sample, rng)
        except NoPlace:
            continue
        made = told if isinstance(told, Raw) else Raw(json.dumps(sample).encode(), told)
        if made.raw in seen or (one.settings and findings(line, one.settings)):
            continue
        seen.add(made.raw)
        found = findings(made.raw, one.settings)
        alone = [finding for finding in found if finding[0] not in one.also]
        necessary = {code for code, _ in found} >= one.also.keys()
        yield Planting(made.raw, (one.code, json_path(made.place)), tuple(alone if necessary else found))


def missed(plantings: list[Planting]) -> list[Planting]:
    """Those in which the rule says nothing, or something else, or another rule says something too."""
    return [one for one in plantings if one.found != (one.wanted,)]


# -- the claims --------------------------------------------------------------------------------------------------------

FAST = [name for name, one in FAULTS.items() if not one.slow]

LEAST = {"examples": 10, "real": 7}
"""In how many records each fault is planted at least; few clean real samples make parallel calls."""


def few(name: str, of: str) -> list[Planting]:
    """A fault in 12 records of a corpus at random, or in as many as there are places for."""
    return list(planted(FAULTS[name], of, most=12, rounds=6))


@pytest.mark.parametrize("name", FAST)
def test_a_fault_planted_in_an_example_is_found_where_it_is_and_nothing_else(name: str) -> None:
    plantings = few(name, "examples")
    assert missed(plantings) == []
    assert len(plantings) >= LEAST["examples"]


@needs_real_data
@pytest.mark.parametrize("name", FAST)
def test_a_fault_planted_in_a_real_trace_is_found_where_it_is_and_nothing_else(name: str) -> None:
    plantings = few(name, "real")
    assert missed(plantings) == []
    assert len(plantings) >= LEAST["real"]


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("of", ["examples", pytest.param("real", marks=needs_real_data)])
def test_a_fault_planted_in_every_clean_sample_is_found_in_each(name: str, of: str) -> None:
    most = 100 if "model" in FAULTS[name].settings else len(corpus(of))
    plantings = list(planted(FAULTS[name], of, most, rounds=3))
    assert missed(plantings) == []
    assert len(plantings) >= LEAST[of]


@pytest.mark.parametrize(("of", "least"), [("examples", 60), pytest.param("real", 800, marks=needs_real_data)])
def test_clean_samples_have_no_finding(of: str, least: int) -> None:
    """Read from their raw records they have none; written as samples and read again they have none either."""
    assert [found for line in corpus(of) for found in findings(line)] == []
    assert len(corpus(of)) >= least


def test_samples_that_are_clean_by_name_are_all_among_those_that_faults_are_planted_in() -> None:
    named = [json.dumps(sample).encode() for sample in named_samples()]
    assert len(named) == 6
    assert set(named) <= set(corpus("examples"))


NOT_PLANTED = {
    "SRC004": "no record has the shapes of two of the formats that we bring",
    "SRC005": "is a fault of a format's own record, which a sample is not",
    "SRC006": "is a fault of a format's own record, which a sample is not",
    "SRC007": "is qwen-sft's own fault, which no record shows",
    "SRC008": "is asked for with --dedup-prefixes, and needs two records",
    "SRC009": "is asked for with --where or --skip-failed",
    "TOK005": "is qwen-sft's own fault, which no record shows",
}
"""Rules that no fault is planted for, and why; those about a whole set need more than one sample."""


def test_each_rule_has_a_fault_or_a_reason_why_none_can_be_planted() -> None:
    shelf = {code for code, rule in rules().items() if rule.stage in ("record", "sample", "tokens")}
    assert sorted({one.code for one in FAULTS.values()}) == sorted(shelf - NOT_PLANTED.keys())
    assert len(FAULTS) >= 60


def test_a_rule_that_says_nothing_and_one_that_points_elsewhere_are_missed() -> None:
    """The harness itself: with the rule switched off, and with another place wanted."""
    silent = replace(FAULTS["wrong-id-of-result"], settings={"ignore": ("TOL003",)})
    plantings = list(planted(silent, "examples", most=12, rounds=6))
    assert [one.found for one in missed(plantings)] == [()] * 12

    elsewhere = replace(
        FAULTS["answer-emptied"], plant=lambda *given: (*FAULTS["answer-emptied"].plant(*given), "role")
    )
    plantings = list(planted(elsewhere, "examples", most=12, rounds=6))
    assert len(missed(plantings)) == 12


# -- the table ---------------------------------------------------------------------------------------------------------


def table(most: int) -> Iterator[str]:
    """Each fault with the numbers of records that it was planted and caught in, as Markdown."""
    names = [name for name in CORPORA if name != "real" or TRACES.is_dir()]
    yield "| rule | fault | planted | caught |"
    yield "|---|---|---|---|"
    sums = [0, 0]
    for one in FAULTS.values():
        made = [planting for name in names for planting in planted(one, name, most, rounds=6)]
        caught = len(made) - len(missed(made))
        sums = [sums[0] + len(made), sums[1] + caught]
        words = one.name.replace("-", " ") + (f" (also {', '.join(one.also)})" if one.also else "")
        yield f"| {one.code} | {words} | {len(made)} | {caught} |"
    n_samples = " and ".join(f"{len(corpus(name))} of {name}" for name in names)
    yield f"| {len({one.code for one in FAULTS.values()})} rules | {len(FAULTS)} faults | {sums[0]} | {sums[1]} |"
    n_findings = sum(len(findings(line)) for name in names for line in corpus(name))
    yield f"\n{n_findings} findings in the clean samples ({n_samples}) before anything was planted."


if __name__ == "__main__":
    for line in table(most=int(sys.argv[1]) if len(sys.argv) > 1 else 50):
        print(line, flush=True)
