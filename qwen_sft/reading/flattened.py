"""Chat flattened into a span's attributes: OpenLLMetry's `gen_ai.prompt.{i}.content`, OpenInference's
`llm.input_messages.{i}.message.content`. A limit of the exporter may leave out any of them.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from qwen_sft.api import Turns
from qwen_sft.reading.recorded import answered, asked, decoded
from qwen_sft.sample import is_list, is_object
from qwen_sft.text.normalize import text

PROMPTS = (("gen_ai.prompt", "gen_ai.completion"), ("llm.prompts", "llm.completions"))
"""What OpenLLMetry's attributes of messages begin with: those of the request, those of the answer."""

INFERENCE = ("llm.input_messages", "llm.output_messages")
"""The same of OpenInference."""

Found = tuple[Turns | None, list[Turns] | None, Any]
"""What was asked, what was answered, and the tools as they were declared."""


class MissingError(Exception):
    """A message of a list has no place among the attributes."""


def is_under(key: str, prefixes: Sequence[str]) -> bool:
    """True for an attribute of one of these names, or inside of one."""
    return any(key == prefix or key.startswith(prefix + ".") for prefix in prefixes)


def turn(body: dict[str, Any]) -> dict[str, Any]:
    """A message of Chat Completions, from attributes; a tool's result may have its call's id as `id`."""
    made = {key: body[key] for key in ("role", "content", "name", "tool_call_id", "parts") if key in body}
    if "content" in made:
        made["content"] = _parts(made["content"])
    if calls := decoded(body.get("tool_calls")):
        made["tool_calls"] = calls
    if "id" in body and not calls and "tool_call_id" not in made:
        made["tool_call_id"] = body["id"]
    return made


def _parts(content: Any) -> Any:
    """Content, or its parts where it is the JSON of some."""
    found = decoded(content)
    return found if is_list(found) and found and all(map(_is_part, found)) else content


def _is_part(part: Any) -> bool:
    return is_object(part) and any(key in part for key in ("type", "text", "toolUse", "toolResult"))


def prompts(attributes: dict[str, Any], prompt: str, completion: str) -> Found:
    """OpenLLMetry: {prompt}.{i}.role, .content, .tool_calls.{j}.name, .arguments, .id."""
    request = [_flat_turn(one) for one in _indexed(attributes, prompt)]
    said = [{"role": "assistant", **_flat_turn(one)} for one in _indexed(attributes, completion)]
    functions = [_function(one) for one in _indexed(attributes, "llm.request.functions")]
    return asked(request) if request else Turns(), answered(said), functions


def _flat_turn(given: dict[str, Any]) -> dict[str, Any]:
    made = turn({key: value for key, value in given.items() if key not in ("id", "tool_calls")})
    calls = given.get("tool_calls")
    if is_object(calls):
        made["tool_calls"] = _in_order(calls)
    for key in ("finish_reason", "reasoning", "reasoning_content"):
        if given.get(key):
            made[key] = given[key]
    if isinstance(given.get("role"), str) and "tool_call_id" in made and made["role"] == "user":
        made["role"] = "tool"
    return made


def _function(given: dict[str, Any]) -> dict[str, Any]:
    parameters = next((given[key] for key in ("parameters", "input_schema", "arguments") if key in given), None)
    made = {key: given[key] for key in ("name", "description") if key in given}
    return {**made, "parameters": decoded(parameters)} if parameters is not None else made


def inference(attributes: dict[str, Any]) -> Found:
    """OpenInference: {prefix}.{i}.message.role, .content, .contents.{k}, .tool_calls.{j}.tool_call."""
    given, said = ([_inference_turn(one) for one in _indexed(attributes, prefix)] for prefix in INFERENCE)
    parameters: Any = decoded(attributes.get("llm.invocation_parameters"))
    parameters = parameters if is_object(parameters) else {}
    if parameters.get("system") and not any(one.get("role") == "system" for one in given):
        given = [{"role": "system", "content": parameters["system"]}, *given]
    declared = [_tool(one) for one in _indexed(attributes, "llm.tools")] or parameters.get("tools")
    request, listed = asked(given) if given else Turns(), [{**one, "role": "assistant"} for one in said]
    if parameters.get("n") == len(listed) > 1:
        each = [answered(one) for one in listed]
        return request, None if None in each else [turns for one in each if one for turns in one], declared
    return request, answered(listed), declared


def _inference_turn(given: dict[str, Any]) -> dict[str, Any]:
    given = _inner(given, "message")
    made: dict[str, Any] = {
        key: given[key] for key in ("role", "name", "tool_call_id", "finish_reason") if key in given
    }
    items = [_inner(one, "message_content") for one in _in_order(given.get("contents"))]
    thoughts = [one["text"] for one in items if one.get("type") == "reasoning" and isinstance(one.get("text"), str)]
    parts = [one for one in items if one.get("type") != "reasoning" or one.get("text") is None]
    made["content"] = text(parts) if parts else given.get("content", "")
    if thoughts:
        made["reasoning_content"] = "\n".join(thoughts)
    calls = [_inner(one, "tool_call") for one in _in_order(given.get("tool_calls"))]
    if calls:
        made["tool_calls"] = calls
    elif given.get("function_call_name"):
        older = {"name": given["function_call_name"], "arguments": given.get("function_call_arguments_json")}
        made["function_call"] = older
    if made.get("tool_call_id") and made.get("role") == "user":  # a result of Anthropic's, as its block
        made["role"] = "tool"
    return made


def _inner(given: Any, key: str) -> dict[str, Any]:
    inner: Any = given.get(key) if is_object(given) else None
    return inner if is_object(inner) else given if is_object(given) else {}


def _tool(given: dict[str, Any]) -> Any:
    inner = _inner(given, "tool")
    whole = decoded(inner.get("json_schema"))
    if is_object(whole) and ("name" in whole or "function" in whole or "input_schema" in whole or len(inner) == 1):
        return whole
    named = {key: inner[key] for key in ("name", "description") if key in inner}
    return {**named, "parameters": whole} if whole is not None else named


def _indexed(attributes: dict[str, Any], prefix: str) -> list[dict[str, Any]]:
    """The objects of a flattened list, in order.

    Raises:
        MissingError: one of them is not there.
    """
    tree: dict[str, Any] = {}
    for key, value in attributes.items():
        if not key.startswith(prefix + "."):
            continue
        *steps, last = key[len(prefix) + 1 :].split(".")
        node = tree
        for step in steps:
            below: Any = node.setdefault(step, {})
            if not is_object(below):
                raise MissingError
            node = below
        if last in node:
            raise MissingError
        node[last] = value
    if not tree and is_list(whole := decoded(attributes.get(prefix))):
        return [_nested(one) for one in whole if is_object(one)]
    return _in_order(tree)


def _nested(given: dict[str, Any]) -> dict[str, Any]:
    """An object of a list that was not flattened, its own keys still with dots."""
    made: dict[str, Any] = {}
    for key, value in given.items():
        made[key.rpartition(".")[2]] = (
            [_nested(one) if is_object(one) else one for one in value] if is_list(value) else value
        )
    return made


def _in_order(given: Any) -> list[Any]:
    """The values of a tree's node under 0, 1, 2, ...; a list as it is."""
    if is_list(given):
        return given
    if not is_object(given):
        return []
    numbered = dict(_numbered(given))
    if sorted(numbered) != list(range(len(numbered))):
        raise MissingError
    found = [numbered[i] for i in range(len(numbered))]
    return [one for one in found if is_object(one)]


def _numbered(given: dict[str, Any]) -> Iterator[tuple[int, Any]]:
    for key, value in given.items():
        if key.isascii() and key.isdigit():
            yield int(key), value
