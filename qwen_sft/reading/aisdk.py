"""Messages of the Vercel AI SDK: ModelMessages, as a model gets them, and UIMessages, as an application stores them."""

from collections.abc import Iterable
from typing import Any

import msgspec

from qwen_sft.reading.chat import joined
from qwen_sft.reading.story import Story
from qwen_sft.sample import Message, Path, is_list, is_object
from qwen_sft.text.normalize import call, decoded, text

_UI_PARTS = frozenset({"text", "reasoning", "step-start", "file", "source-url", "source-document", "dynamic-tool"})
_MODEL_PARTS = frozenset({"tool-call", "tool-result"})


def is_ui_message(given: Any) -> bool:
    """A role and parts, each of which has a type: `tool-<name>`, or `text` with a `text`."""
    if not is_object(given) or not isinstance(given.get("role"), str):
        return False
    parts: Any = given.get("parts")
    return is_list(parts) and bool(parts) and all(_is_ui_part(part) for part in parts[:1])


def _is_ui_part(part: Any) -> bool:
    kind: Any = part.get("type") if is_object(part) else None
    if not isinstance(kind, str):
        return False
    if kind in ("text", "reasoning"):
        return isinstance(part.get("text"), str)
    return kind in _UI_PARTS or (kind.startswith("tool-") and ("toolCallId" in part or "toolInvocation" in part))


def is_model_message(given: Any) -> bool:
    """A role and a content that holds a call or a result of the SDK."""
    content: Any = given.get("content") if is_object(given) else None
    return (
        is_list(content)
        and isinstance(given.get("role"), str)
        and any(
            is_object(part) and part.get("type") in ("tool-call", "tool-result") and "toolCallId" in part
            for part in content
        )
    )


def places(at: Path, given: Any) -> list[Path]:
    """The place of each part of a message; its own place where it has none."""
    if not is_object(given):
        return [at]
    for key in ("parts", "content"):
        parts: Any = given.get(key)
        if is_list(parts) and parts:
            return [(*at, key, k) for k in range(len(parts))]
    return [at]


def tell(story: Story, at: Path, given: Any, *, own: bool = True) -> None:
    """Adds a message to a story; with `own` False its parts are no events, all of it came from `at`."""
    here = places(at, given) if own else [at]
    if not is_object(given):
        story.keep(at, {"role": "unknown", "content": given})
        return
    role: Any = given.get("role")
    key = "parts" if is_list(given.get("parts")) and given["parts"] else "content"
    parts: Any = given.get(key)
    if not is_list(parts) or not parts:
        content: Any = given.get("content")
        story.keep(at, {"role": role, "content": text(content)})
        return
    where = here if own else [at] * len(parts)
    if role == "assistant":
        _tell_assistant(story, where, parts)
    elif role == "tool":
        for place, part in zip(where, parts, strict=True):
            story.keep(place, _result(part))
    else:
        _tell_other(story, where, role, parts)


def _tell_other(story: Story, where: list[Path], role: Any, parts: list[Any]) -> None:
    kept: list[Any] = []
    first: Path | None = None
    for place, part in zip(where, parts, strict=True):
        if _is_for_page(part):
            story.drop(place, "data for the page, not for the model")
            continue
        kept.append({"type": "text", "text": part["text"]} if _is_text(part) else part)
        if first is None:
            first = place
            story.keep(place, {"role": role, "content": ""})
        else:
            story.merge(place, "a part of its message")
    if first is not None:
        story.messages[-1] = {"role": role, "content": text(kept)}


def _is_text(part: Any) -> bool:
    return is_object(part) and part.get("type") == "text" and isinstance(part.get("text"), str)


def _is_for_page(part: Any) -> bool:
    kind: Any = part.get("type") if is_object(part) else None
    return isinstance(kind, str) and kind.startswith(("data-", "source"))


def _tell_assistant(story: Story, where: list[Path], parts: list[Any]) -> None:
    """Parts between two `step-start` are one turn, whose results come behind it; a provider's own results at once."""
    begun = len(story.messages)
    waiting: list[tuple[Path, Message]] = []

    def answer() -> None:
        for place, result in waiting:
            story.keep(place, result)
        waiting.clear()

    for place, part in zip(where, parts, strict=True):
        kind: Any = part.get("type") if is_object(part) else None
        if kind == "step-start":
            answer()
            begun = len(story.messages)
            story.drop(place, "marks where a step begins")
            continue
        if _is_for_page(part):
            story.drop(place, "data for the page, not for the model")
            continue
        piece, result = _piece(part, kind)
        if piece is not None:
            whole = joined(story.messages[-1], piece) if len(story.messages) > begun else None
            if whole is None:
                story.keep(place, piece)
            else:
                story.messages[-1] = whole
                if result is None:
                    story.merge(place, "a part of its turn")
        if result is not None:
            waiting.append((place, result))
            if piece is None or part.get("providerExecuted"):
                answer()
        elif piece is None:
            story.drop(place, "reasoning that is encrypted or empty", loses=bool(part.get("providerMetadata")))
    answer()


def _piece(part: Any, kind: Any) -> tuple[Message | None, Message | None]:
    """The piece of the assistant's turn that a part is, and the result that it holds."""
    if _is_text(part):
        return {"role": "assistant", "content": part["text"]}, None
    if kind == "reasoning":
        said: Any = part.get("text", part.get("reasoning"))
        if not isinstance(said, str) or not said:
            return None, None
        return {"role": "assistant", "content": "", "reasoning_content": said}, None
    if kind == "tool-result":
        return None, _result(part)
    if kind == "tool-call":
        return _called(part.get("toolName"), part), None
    if kind == "tool-invocation" and is_object(part.get("toolInvocation")):
        inner: dict[str, Any] = part["toolInvocation"]
        return _called(inner.get("toolName"), inner), _result(inner) if inner.get("state") == "result" else None
    if isinstance(kind, str) and (kind.startswith("tool-") or kind == "dynamic-tool") and "toolCallId" in part:
        name: Any = part.get("toolName") if kind == "dynamic-tool" else kind.removeprefix("tool-")
        state: Any = part.get("state")
        result = None
        if state == "output-available":
            result = _answer(part, name, value_text(part.get("output")))
        elif state in ("output-error", "output-denied"):
            result = _answer(part, name, value_text(part.get("errorText", "Tool execution denied.")))
        return _called(name, part), result
    return {"role": "assistant", "content": [part]}, None


def _called(name: Any, part: dict[str, Any]) -> Message:
    given: Any = next((part[key] for key in ("input", "rawInput", "args") if part.get(key) is not None), None)
    return {"role": "assistant", "content": "", "tool_calls": [call(name, given, part.get("toolCallId"))]}


def tool_calls(listed: Any) -> list[Any]:
    """Calls as {toolCallId, toolName, input}; what is none stays as it is."""
    made: list[Any] = []
    for one in listed if is_list(listed) else []:
        turn: Any = _called(one.get("toolName"), one) if is_object(one) and "toolName" in one else {"tool_calls": [one]}
        made += turn["tool_calls"]
    return made


def _result(part: Any) -> Message:
    if not is_object(part):
        return {"role": "tool", "content": text([part])}
    if "output" not in part and "result" not in part:
        return _answer(part, part.get("toolName"), text([part]) if part.get("type") != "tool-result" else "")
    output: Any = part["output"] if "output" in part else part["result"]
    if "output" in part and is_object(output) and isinstance(output.get("type"), str):
        if output["type"] == "content":
            return _answer(part, part.get("toolName"), text(output.get("value")))
        output = output["value"] if "value" in output else output.get("reason", "Tool execution denied.")
    return _answer(part, part.get("toolName"), value_text(output))


def _answer(part: dict[str, Any], name: Any, content: Any) -> Message:
    made: Message = {"role": "tool", "content": content}
    if part.get("toolCallId") not in (None, ""):
        made["tool_call_id"] = part["toolCallId"]
    if name not in (None, ""):
        made["name"] = name
    return made


def value_text(value: Any) -> str:
    """A result as a model gets it: text, or compact JSON."""
    return value if isinstance(value, str) else "" if value is None else msgspec.json.encode(value).decode()


def declared(listed: Any) -> Any:
    """The tools in OpenAI's form: `inputSchema` is what the SDK calls `parameters`; None where none are given."""
    tools: Any = decoded(listed)
    if not is_list(tools) or not tools:
        return None
    return [_declared(decoded(tool)) for tool in tools]


def _declared(tool: Any) -> Any:
    if not is_object(tool) or "inputSchema" not in tool:
        return tool
    kept = {key: tool[key] for key in ("name", "description") if tool.get(key) is not None}
    schema: Any = tool["inputSchema"]
    inner: Any = schema.get("jsonSchema", schema) if is_object(schema) else schema
    return {"type": "function", "function": {**kept, "parameters": inner}}


def all_told(given: Iterable[Any]) -> list[Message]:
    """The turns that some messages come to."""
    story = Story()
    for one in given:
        tell(story, (), one, own=False)
    return story.messages


def answered(attributes: dict[str, Any]) -> list[Message]:
    """The answer that a span's attributes hold; none where they hold no word of it."""
    said: Any = attributes.get("ai.response.text") or attributes.get("ai.response.object") or ""
    made: Message = {"role": "assistant", "content": said}
    thought: Any = attributes.get("ai.response.reasoning")
    if isinstance(thought, str) and thought:
        made["reasoning_content"] = thought
    calls = tool_calls(decoded(attributes.get("ai.response.toolCalls")))
    if calls:
        made["tool_calls"] = calls
    return [made] if len(made) > 2 or said else []
