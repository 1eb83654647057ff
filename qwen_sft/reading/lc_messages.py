"""LangChain's messages, however they were serialised: which one it is, and what it says in the order it was said."""

from typing import Any

from qwen_sft.reading.metadata import cut_off, metadata
from qwen_sft.sample import Message, Path, is_list, is_object
from qwen_sft.text.normalize import call, text

_ROLES = {
    "ai": "assistant",
    "human": "user",
    "system": "system",
    "developer": "system",
    "tool": "tool",
    "function": "tool",
}
_FLAT_FIELDS = frozenset(
    {"type", "content", "name", "id", "example", "tool_call_id", "status", "artifact", "additional_kwargs"}
    | {"response_metadata", "tool_calls", "invalid_tool_calls", "usage_metadata", "role", "tool_call_chunks"}
    | {"chunk_position"}
)
_CALL_BLOCKS = {"tool_use": "input", "tool_call": "args", "function_call": "arguments", "invalid_tool_call": "args"}
_PIECES = frozenset({"input_json_delta", "tool_call_chunk"})
_ENDS = ("finish_reason", "stop_reason", "stopReason", "finishReason", "done_reason")


def fields_of(given: Any) -> tuple[str, dict[str, Any], Path] | None:
    """The kind of a message (`ai`), its fields, and where in it they stand; None if it is no message of LangChain."""
    if not is_object(given):
        return None
    kind, inner, at = given.get("type"), given, Path()
    if given.get("lc") == 1 and kind == "constructor" and is_object(given.get("kwargs")):
        names: Any = given.get("id")
        kind, inner, at = names[-1] if is_list(names) and names else None, given["kwargs"], ("kwargs",)
    elif is_object(given.get("data")) and "content" in given["data"] and "content" not in given:
        inner, at = given["data"], ("data",)
    elif "content" not in given or ("role" in given and kind != "chat") or not given.keys() <= _FLAT_FIELDS:
        return None
    if not isinstance(kind, str) or not kind:
        return None
    if at != ("kwargs",) and kind != kind.lower() and not kind.endswith("MessageChunk"):
        return None
    short = kind.removesuffix("Chunk").removesuffix("Message").lower()
    return (short, inner, at) if short in _ROLES or short in ("chat", "remove") else None


def other(kind: str, fields: dict[str, Any]) -> Message:
    role: Any = _ROLES.get(kind, fields.get("role", kind))
    made: Message = {"role": role, "content": text(fields.get("content"))}
    if role == "tool":
        for key in ("tool_call_id", "name"):
            if fields.get(key) not in (None, ""):
                made[key] = fields[key]
    return made


def said(fields: dict[str, Any]) -> tuple[list[int], list[Message]]:
    """The pieces of an assistant's turn in their order, and which blocks hold encrypted reasoning."""
    calls = _calls(fields)
    lost: list[int] = []
    pieces: list[Message] = []
    thought = _thought(fields.get("additional_kwargs"))
    content: Any = fields.get("content")
    blocks: list[Any] = content if is_list(content) else [content] if content not in (None, "") else []
    if thought and not any(_block_thought(block) for block in blocks):
        pieces.append({"role": "assistant", "content": "", "reasoning_content": thought})
    run: list[Any] = []

    def end_text() -> None:
        if run:
            pieces.append({"role": "assistant", "content": text(list(run)) if is_list(content) else text(run[0])})
            run.clear()

    for k, block in enumerate(blocks):
        kind: Any = block.get("type") if is_object(block) else None
        found = _block_thought(block)
        if found is not None:
            end_text()
            if found:
                pieces.append({"role": "assistant", "content": "", "reasoning_content": found})
            elif block.get("data") or block.get("encrypted_content") or block.get("signature"):
                lost.append(k)
        elif isinstance(kind, str) and kind in _CALL_BLOCKS:
            end_text()
            own: Any = block.get("call_id") or block.get("id")
            said: Any = next((one for one in calls if own and is_object(one) and one.get("id") == own), None)
            if said is not None:
                calls.remove(said)
            elif not fields.get("tool_calls"):
                said = call(block.get("name"), block.get(_CALL_BLOCKS[kind]), own)
            if said is not None:
                pieces.append({"role": "assistant", "content": "", "tool_calls": [said]})
        elif not isinstance(kind, str) or kind not in _PIECES:
            run.append(block)
    end_text()
    if calls:
        pieces.append({"role": "assistant", "content": "", "tool_calls": calls})
    about: Any = fields.get("response_metadata")
    reason: Any = next((about[key] for key in _ENDS if about.get(key)), None) if is_object(about) else None
    return lost, cut_off(pieces or [{"role": "assistant", "content": ""}], reason)


def _block_thought(block: Any) -> str | None:
    """The text of a block of reasoning; "" if it has none, None if the block is something else."""
    kind: Any = block.get("type") if is_object(block) else None
    if kind not in ("thinking", "reasoning", "reasoning_content", "redacted_thinking"):
        return None
    values: list[Any] = [block.get(key) for key in ("thinking", "reasoning", "text", "summary", "reasoning_content")]
    for value in values:
        if is_object(value):
            value = value.get("text")
        if is_list(value):
            value = "\n".join(one["text"] for one in value if is_object(one) and isinstance(one.get("text"), str))
        if isinstance(value, str) and value:
            return value
    return ""


def _thought(extra: Any) -> str:
    """The reasoning that some providers' packages keep outside of the content."""
    if not is_object(extra):
        return ""
    for key in ("reasoning_content", "reasoning", "thinking"):
        value: Any = extra.get(key)
        if isinstance(value, str) and value:
            return value
        if is_object(value) and (found := _block_thought({**value, "type": "reasoning"})):
            return found
    return ""


def _calls(fields: dict[str, Any]) -> list[Any]:
    """The calls, also those whose arguments are no JSON, in the order in which the provider gave them."""
    extra: Any = fields.get("additional_kwargs")
    given: Any = extra.get("tool_calls") if is_object(extra) else None
    order = [repr(one.get("id")) for one in given if is_object(one)] if is_list(given) else []
    made: list[Any] = []
    for key in ("tool_calls", "invalid_tool_calls"):
        listed: Any = fields.get(key)
        for one in listed if is_list(listed) else []:
            exact = is_object(one) and "name" in one
            made.append(call(one["name"], one.get("args"), one.get("id")) if exact else one)
    if not made and is_list(given):
        for one in given:
            function: Any = one.get("function") if is_object(one) else None
            exact = is_object(function)
            made.append(call(function.get("name"), function.get("arguments"), one.get("id")) if exact else one)
    ids = [repr(one.get("id") if is_object(one) else None) for one in made]
    if sorted(order) == sorted(ids) and len(set(ids)) == len(ids):
        made = [made[ids.index(own)] for own in order]
    return made


def about(answers: list[dict[str, Any]]) -> tuple[Any, dict[str, Any]]:
    """The tools that a provider's answers repeat (Responses API), the model and why the last answer ended."""
    told: list[dict[str, Any]] = [given for one in answers if is_object(given := one.get("response_metadata"))]
    tools = next((given for one in reversed(told) if is_list(given := one.get("tools")) and given), None)
    last: dict[str, Any] = told[-1] if told else {}
    labels = metadata({key: last.get(key) for key in ("model_name", "model", "finish_reason", "stop_reason")})
    if tools is None:
        return None, labels
    functions = [one for one in tools if is_object(one) and one.get("type") == "function"]
    return functions, labels if len(functions) == len(tools) else {**labels, "tools_original": tools}
