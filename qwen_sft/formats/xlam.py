"""xLAM and APIGen rows: {query, tools, answers}, where the answers are calls; NeMo-Gym's xlam_fc rows too.

One query, one turn of calls and no results: the row teaches which calls to make. Tools and answers are JSON text or
lists. xLAM's tools have a dialect of their own: parameters stand without a schema around them, typed as Python would,
"str, optional". They are written as JSON Schema, the original stays in the metadata under `tools_original`. An argument
is required unless it is optional or has a default. APIGen-MT's rows are ShareGPT's.
"""

from typing import Any

from qwen_sft.api import Turns, apis
from qwen_sft.format import Format, Reading
from qwen_sft.reading.chat import spoken
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.rows import LABELLED_APART, has_layout
from qwen_sft.reading.story import Story, refused
from qwen_sft.sample import Path, is_list, is_object
from qwen_sft.text.normalize import decoded, sample_id, tools

_PARAMS = "responses_create_params"
_ANSWERS = ("answers", "expected_answers")
_NO_LABELS = (*LABELLED_APART, *_ANSWERS, "query", "agent_ref")
_LONGEST = 256  # characters of a type
_RESPONSES = apis()["responses"]
_SCHEMA_WORDS = frozenset({"type", "properties", "$schema", "$ref", "anyOf", "oneOf", "allOf", "enum", "required"})
_NAMES = {
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "list": "array",
    "tuple": "array",
    "set": "array",
    "dict": "object",
}


def recognises(record: Any) -> bool:
    """The columns query, tools and answers; or a NeMo-Gym request with `expected_answers` and no response."""
    return has_layout(record, "xlam")


def events(record: Any) -> list[Path]:
    """The query (or each message of the request), and the answers as one event."""
    if _PARAMS in record:
        asked = [(_PARAMS, *place) for place in _RESPONSES.places(record[_PARAMS])]
        return [*asked, ("expected_answers",)]
    return [("query",), ("answers",)]


def read(record: Any) -> Reading:
    """One sample: the query, and one turn with all of the calls."""
    key = "expected_answers" if _PARAMS in record else "answers"
    answers: Any = decoded(record[key])
    if answers == []:
        return refused((key,), "the answer is no call and no text", "leave it out, or give it a text")
    made = spoken({"from": "tool_call", "value": answers})
    if not is_list(answers) or not all(is_object(call) and "function" in call for call in made.get("tool_calls", [])):
        return refused((key,), "the answers are no list of {name, arguments}", "write them as JSON")
    story = Story()
    declared: Any = record.get("tools")
    if _PARAMS in record:
        asked = _RESPONSES.asked(record[_PARAMS])
        if asked.refusal:
            return Reading(refusal=asked.refusal)
        _tell(story, asked)
        declared = asked.tools
    else:
        story.keep(("query",), {"role": "user", "content": record["query"]})
    story.keep((key,), made)
    labels = metadata(record, without=_NO_LABELS)
    schemas = _in_schema(declared)
    if schemas is not None:
        labels["tools_original"] = decoded(declared)
    return story.reading(declared if schemas is None else schemas, sample_id(record), labels)


def _tell(story: Story, asked: Turns) -> None:
    for place, message in zip(asked.origins, asked.messages, strict=True):
        story.keep((_PARAMS, *place), message)
    for event in asked.aside:
        if event.fate == "merged":
            story.merge((_PARAMS, *event.path), event.reason)
        else:
            story.drop((_PARAMS, *event.path), event.reason, loses=event.loses)


def _in_schema(declared: Any) -> list[Any] | None:
    """The tools with JSON Schema for xLAM's parameters, in the nested form; None if none is in its dialect."""
    nested: Any = tools(declared)
    if not is_list(nested):
        return None
    made = [_tool(tool) for tool in nested]
    return made if made != nested else None


def _tool(tool: Any) -> Any:
    function: Any = tool.get("function") if is_object(tool) else None
    parameters: Any = function.get("parameters") if is_object(function) else None
    if not is_object(parameters) or _is_schema(parameters):
        return tool
    properties = {name: _property(given) for name, given in parameters.items()}
    required = [name for name, given in parameters.items() if _is_required(given)]
    schema = {"type": "object", "properties": properties, **({"required": required} if required else {})}
    return {**tool, "function": {**function, "parameters": schema}}


def _is_schema(parameters: dict[str, Any]) -> bool:
    """True unless each key is a parameter with a description of its own: a parameter may itself be called `type`."""
    values = parameters.values()
    if not values or not all(is_object(given) and isinstance(given.get("type", ""), str) for given in values):
        return True
    return _SCHEMA_WORDS.issuperset(parameters) and not all("type" in given for given in values)


def _is_required(given: dict[str, Any]) -> bool:
    return "default" not in given and "optional" not in given.get("type", "").lower()


def _property(given: dict[str, Any]) -> dict[str, Any]:
    """One parameter as JSON Schema; a type that we do not know stays as it is, for a rule to report."""
    spelling: Any = given.get("type")
    if not isinstance(spelling, str) or len(spelling) > _LONGEST:
        return given
    meant = _meant(spelling.removesuffix(", optional").strip())
    rest = {key: value for key, value in given.items() if key != "type"}
    return {**({"type": spelling} if meant is None else meant), **rest}


def _meant(spelling: str) -> dict[str, Any] | None:
    """The schema for a type in Python's spelling: str, List[int], Dict[str, Any], Optional[str], Union[int, str]."""
    name = spelling.strip()
    if name.lower() == "any":
        return {}
    outer, bracket, inner = name.partition("[")
    if not bracket:
        kind = _NAMES.get(name.lower())
        return {"type": kind} if kind else None
    if not inner.endswith("]"):
        return None
    parts = [_meant(part) for part in _parts(inner[:-1])]
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    match outer.lower():
        case "list" | "set" if len(known) == 1:
            return {"type": "array", **({"items": known[0]} if known[0] else {})}
        case "tuple":
            return {"type": "array"}
        case "dict" if len(known) == 2:
            return {"type": "object", **({"additionalProperties": known[1]} if known[1] else {})}
        case "optional" if len(known) == 1:
            return known[0]
        case "union":
            return {"anyOf": known}
        case _:
            return None


def _parts(inner: str) -> list[str]:
    """The types in brackets, parted by commas that stand in no inner brackets."""
    made, depth = [""], 0
    for character in inner:
        depth += (character == "[") - (character == "]")
        if character == "," and depth == 0:
            made.append("")
        else:
            made[-1] += character
    return made


FORMAT = Format(
    name="xlam",
    title="xLAM and APIGen: {query, tools, answers}, where the answers are calls; NeMo-Gym's xlam_fc",
    recognises=recognises,
    events=events,
    read=read,
    fields=frozenset({_PARAMS, "query"}),
)
