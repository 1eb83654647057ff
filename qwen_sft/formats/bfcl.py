"""Berkeley Function-Calling Leaderboard tasks with their answers: {id, question, function, ground_truth}.

BFCL keeps prompts and answers in two files whose ids match, and a record here is both of them:

    jq -sc 'group_by(.id)[] | add' BFCL_v4_multiple.json possible_answer/BFCL_v4_multiple.json > merged.jsonl

An answer lists the values that are acceptable: the first one is taken, and an optional argument whose first one is ""
is left out. Multi-turn answers are Python calls, one list for each turn of `question`; they are read off the syntax
tree, never run, with positional arguments named after the declared parameters in their order. The calls have no
results: this is call supervision.

Source: gorilla, berkeley-function-call-leaderboard (bfcl_eval/data, eval_checker/ast_eval/ast_checker.py).
"""

import ast
from typing import Any

from qwen_sft.finding import Finding
from qwen_sft.format import Format, Reading
from qwen_sft.reading.chat import message
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.story import Story, refused
from qwen_sft.sample import Path, ToolCall, is_list, is_object, value_at
from qwen_sft.text.normalize import call, sample_id

_JOIN = "join prompts and answers by id: jq -sc 'group_by(.id)[] | add' PROMPTS possible_answer/PROMPTS"
_TURN = "a call of the turn that begins before it"
_LONGEST = 100_000  # characters of one Python call


def recognises(record: Any) -> bool:
    """A `question` of turns with its functions or classes, or an `id` with a list as `ground_truth` and little else."""
    if not is_object(record) or "id" not in record:
        return False
    if _is_question(record.get("question")):
        return any(key in record for key in ("function", "involved_classes", "initial_config", "ground_truth"))
    return set(record) == {"id", "ground_truth"} and is_list(record["ground_truth"])


def _is_question(value: Any) -> bool:
    first: Any = value[0] if is_list(value) and value else None
    first = first[0] if is_list(first) and first else first
    return is_object(first) and isinstance(first.get("role"), str)


def _asked(record: Any) -> list[list[Path]]:
    """The places of the messages of each turn."""
    question: Any = record.get("question") if is_object(record) else None
    if not is_list(question):
        return []
    if question and not is_list(question[0]):
        return [[("question", i) for i in range(len(question))]]
    return [[("question", i, j) for j in range(len(turn))] for i, turn in enumerate(question) if is_list(turn)]


def _answers(record: Any) -> list[list[Path]]:
    """The places of the calls of each turn."""
    truth: Any = record.get("ground_truth") if is_object(record) else None
    if not is_list(truth):
        return []
    if truth and all(is_list(turn) for turn in truth):
        return [[("ground_truth", i, j) for j in range(len(turn))] for i, turn in enumerate(truth)]
    return [[("ground_truth", i) for i in range(len(truth))]]


def events(record: Any) -> list[Path]:
    """Each message of the question and each call of the answer."""
    return [place for turn in (*_asked(record), *_answers(record)) for place in turn]


def read(record: Any) -> Reading:
    """One sample: the calls of a turn are one assistant turn."""
    asked, answers = _asked(record), _answers(record)
    if not asked or not any(asked):
        return refused(("ground_truth",), "an answer without its question", _JOIN)
    if not any(answers):
        return refused((), "a question without its answer (ground_truth)", _JOIN)
    if len(asked) != len(answers):
        return refused(("ground_truth",), f"{len(answers)} answers for {len(asked)} turns of the question", _JOIN)
    schemas = _parameters(record.get("function"))
    story = Story()
    for messages, calls in zip(asked, answers, strict=True):
        for place in messages:
            given: Any = value_at(record, place)
            if not is_object(given):
                return refused(place, "a message is not an object", "write {role, content}")
            story.keep(place, message(given))
        made: list[ToolCall] = []
        for place in calls:
            one = _call(place, value_at(record, place), schemas)
            if isinstance(one, Finding):
                return Reading(refusal=one)
            made.append(one)
        if made:
            story.keep(calls[0], {"role": "assistant", "content": "", "tool_calls": made})
        for place in calls[1:]:
            story.merge(place, _TURN)
    labels = metadata({"task_id": record.get("id")}, record, without=("id",))
    return story.reading(record.get("function"), sample_id(record), labels)


def _parameters(declared: Any) -> dict[str, dict[str, Any]]:
    """The schema of each declared function's parameters."""
    listed: list[Any] = declared if is_list(declared) else [declared]
    named = [tool for tool in listed if is_object(tool) and isinstance(tool.get("name"), str)]
    return {tool["name"]: tool["parameters"] for tool in named if is_object(tool.get("parameters"))}


def _call(place: Path, answer: Any, schemas: dict[str, dict[str, Any]]) -> ToolCall | Finding:
    if isinstance(answer, str):
        made = _python_call(answer, schemas)
        if made is None:
            return Finding(
                place,
                f"{answer[:80]!r} is no call with an exact reading",
                "name each argument, or declare the function so that their order is known",
            )
        return made
    if is_object(answer) and len(answer) == 1:
        ((name, given),) = answer.items()
        if is_object(given):
            required: Any = schemas.get(name, {}).get("required")
            return call(name, _chosen(given, required if is_list(required) else []))
    return Finding(place, "an answer is no {function: {argument: [values]}}", "take the answers of possible_answer/")


def _chosen(given: dict[str, Any], required: list[Any]) -> dict[str, Any]:
    """The first acceptable value of each argument; one that may be left out ("" comes first) is left out."""
    made: dict[str, Any] = {}
    for name, values in given.items():
        first: Any = values[0] if is_list(values) and values else values
        if first == "" and name not in required and is_list(values):
            continue
        made[name] = _plain(first)
    return made


def _plain(value: Any) -> Any:
    """A value whose own members are acceptable values again: a dict of lists."""
    if is_list(value):
        return [_plain(item) if is_object(item) else item for item in value]
    if is_object(value) and value and all(is_list(member) for member in value.values()):
        return _chosen(value, [])
    return value


def _python_call(text: str, schemas: dict[str, dict[str, Any]]) -> ToolCall | None:
    """The call that a Python expression is: a dotted name, literal arguments, positional ones by the schema's order."""
    try:
        tree = ast.parse(text.strip(), mode="eval").body if len(text) <= _LONGEST else None
        if not isinstance(tree, ast.Call):
            return None
        name = ast.unparse(tree.func)
        if not all(part.isidentifier() for part in name.split(".")):
            return None
        ordered = list(_properties(schemas.get(name)))
        if len(tree.args) > len(ordered):
            return None
        given = [(ordered[i], ast.literal_eval(arg)) for i, arg in enumerate(tree.args)]
        given += [(str(keyword.arg), ast.literal_eval(keyword.value)) for keyword in tree.keywords]
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return None
    exact = len(dict(given)) == len(given) and all(keyword.arg for keyword in tree.keywords)
    values = [_json(value) for _, value in given]
    if not exact or not all(ok for ok, _ in values):
        return None
    return call(name, {key: value for (key, _), (_, value) in zip(given, values, strict=True)})


def _properties(schema: Any) -> dict[str, Any]:
    found: Any = value_at(schema, ("properties",))
    return found if is_object(found) else {}


def _json(value: Any) -> tuple[bool, Any]:
    """Whether a literal is a JSON value, and that value; a tuple is an array."""
    if value is None or isinstance(value, str | int | float):  # bool too
        return True, value
    if isinstance(value, list | tuple):
        members = [_json(item) for item in value]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
        return all(ok for ok, _ in members), [item for _, item in members]
    if is_object(value) and set(map(type, value)) <= {str}:
        members = [_json(item) for item in value.values()]
        return all(ok for ok, _ in members), dict(zip(value, (item for _, item in members), strict=True))
    return False, None


FORMAT = Format(
    name="bfcl",
    title="Berkeley Function-Calling Leaderboard tasks with their answers: {question, function, ground_truth}",
    recognises=recognises,
    events=events,
    read=read,
    fields=frozenset({"question", "ground_truth"}),
)
