"""Messages of OpenTelemetry's GenAI conventions: {role, parts}, each part of a type of its own.

Parts are text, reasoning, tool_call and tool_call_response; those of other types (blob, file, uri) stay what they are.
"""

from typing import Any

from qwen_sft.reading.blocks import written
from qwen_sft.reading.chat import message
from qwen_sft.reading.story import Story
from qwen_sft.sample import Message, is_list, is_object
from qwen_sft.text.normalize import call, text


def has_parts(given: Any) -> bool:
    """True for a message whose parts have types."""
    parts: Any = given.get("parts") if is_object(given) else None
    return is_list(parts) and all(is_object(part) and isinstance(part.get("type"), str) for part in parts)


def tell(story: Story, given: dict[str, Any]) -> None:
    """Adds {role, parts}: parts are text, reasoning, tool_call and tool_call_response, in the order they were said."""
    role: Any = given.get("role")
    if not has_parts(given):
        story.keep((), message(given))
        return
    first, run = True, list[Any]()

    def add(piece: Message) -> None:
        nonlocal first
        (story.keep if first or role != "assistant" else story.join)((), piece)
        first = False

    def end_run() -> None:
        if run:
            add({"role": role, "content": text(list(run))})
            run.clear()

    for part in given["parts"]:
        kind: Any = part["type"]
        if kind == "reasoning" and role == "assistant" and isinstance(part.get("content"), str):
            end_run()
            add({"role": role, "content": "", "reasoning_content": part["content"]})
        elif kind == "tool_call":
            end_run()
            add({"role": role, "content": "", "tool_calls": [call(part.get("name"), _given(part), part.get("id"))]})
        elif kind == "tool_call_response":
            end_run()
            story.keep((), _result(part))
            first = False
        else:
            run.append({"type": "text", "text": part["content"]} if _is_text(part) else part)
    end_run()
    if first:
        add({"role": role, "content": ""})


def _is_text(part: dict[str, Any]) -> bool:
    return part["type"] == "text" and isinstance(part.get("content"), str)


def _given(part: dict[str, Any]) -> Any:
    return part["arguments"] if "arguments" in part else part.get("args")


def _result(part: dict[str, Any]) -> Message:
    returned: Any = next((part[key] for key in ("response", "result", "content") if key in part), None)
    made: Message = {"role": "tool", "content": written(returned)}
    if part.get("id") not in (None, ""):
        made["tool_call_id"] = part["id"]
    if part.get("name") not in (None, ""):
        made["name"] = part["name"]
    return made
