"""The rows of published data sets: which layout a row has, and the pieces that several layouts share.

A layout is known by its columns, and a row may have those of several: the first one in LAYOUTS counts.
"""

import json
from collections.abc import Callable
from typing import Any

from qwen_sft.reading.chat import dialogue, has_role, keys_of
from qwen_sft.reading.story import Story
from qwen_sft.sample import Message, Path, is_list, is_object, is_too_deep
from qwen_sft.text.normalize import decoded, tools

LABELLED_APART = ("tools", "functions", "system", "prompt", "completion", "id", "conversations", "messages")
"""Columns that are no labels of a row, even where they hold a short text."""

UNREAD_CALLS = "unread_calls"
"""A label: how many turns look like calls in the row's dialect and have no exact reading, so that they stay text."""

BLOCK_TYPES = ("text", "reasoning", "tool_call", "tool_calls", "tool_result", "tool_response", "tools", "image_url")
"""Types of LLaMA-Factory's blocks of content, {type, value}."""

TOOLACE_DECLARES = "Here is a list of functions in JSON format that you can invoke:"
"""What stands before the tools in ToolACE's system prompt."""

_RESULT_KEYS = frozenset({"name", "content", "results", "tool_call_id"})
_SWIFT_ROLES = frozenset({"tool_call", "tool_response"})
_SWIFT_FIELDS = ("loss", "loss_scale")
_DIALOGUES = ("messages", "conversations", "traj")


def _glaive(row: dict[str, Any]) -> bool:
    chat: Any = row.get("chat")
    if not isinstance(chat, str) or not isinstance(row.get("system", ""), str):
        return False
    return chat.lstrip().startswith(("USER:", "ASSISTANT:", "FUNCTION RESPONSE:"))


def _toolace(row: dict[str, Any]) -> bool:
    return isinstance(row.get("system"), str) and TOOLACE_DECLARES in row["system"] and _speaks(row, "from")


def _xlam(row: dict[str, Any]) -> bool:
    if is_object(row.get("responses_create_params")):
        return is_list(row.get("expected_answers")) and not row.get("response")
    return isinstance(row.get("query"), str) and "answers" in row and "tools" in row and not _has_turns(row)


def _alpaca(row: dict[str, Any]) -> bool:
    return isinstance(row.get("instruction"), str) and isinstance(row.get("output"), str) and not _has_turns(row)


def _prompt_completion(row: dict[str, Any]) -> bool:
    if "chosen" in row and "rejected" in row:
        return not _has_turns(row)
    return "prompt" in row and "completion" in row and all(_is_said(row[key]) for key in ("prompt", "completion"))


def _is_said(value: Any) -> bool:
    """True for a text, or a list whose first element is a message with a role."""
    return isinstance(value, str) or (is_list(value) and bool(value) and is_object(value[0]) and "role" in value[0])


def _agent_columns(row: dict[str, Any]) -> bool:
    return "harness" in row and "session_id" in row and "messages" in row and ("trace" in row or "file_path" in row)


def _llama_factory(row: dict[str, Any]) -> bool:
    turns: Any = row.get("messages", row.get("chosen_messages"))
    first: Any = turns[0] if is_list(turns) and turns else None
    content: Any = first.get("content") if is_object(first) and "role" in first else None
    block: Any = content[0] if is_list(content) and content else None
    return is_object(block) and "value" in block and block.get("type") in BLOCK_TYPES


def _verl(row: dict[str, Any]) -> bool:
    labelled = "data_source" in row or is_object(row.get("reward_model"))
    if _speaks(row, "role") and "messages" in row:
        return ("enable_thinking" in row and "model" not in row) or (labelled and "extra_info" in row)
    return labelled and _is_said(row.get("prompt"))


def _ms_swift(row: dict[str, Any]) -> bool:
    if isinstance(row.get("query"), str) and isinstance(row.get("response"), str):
        return not _has_turns(row)
    turns: Any = row.get("messages")
    if not is_list(turns) or not _speaks(row, "role"):
        return False
    return not keys_of(turns).isdisjoint(_SWIFT_FIELDS) or has_role(turns, _SWIFT_ROLES)


LAYOUTS: dict[str, Callable[[dict[str, Any]], bool]] = {
    "toolace": _toolace,
    "glaive": _glaive,
    "xlam": _xlam,
    "prompt_completion": _prompt_completion,
    "alpaca": _alpaca,
    "agent_columns": _agent_columns,
    "llama_factory": _llama_factory,
    "ms_swift": _ms_swift,
    "verl": _verl,
}
"""The layouts, by the name of the format that reads them, in the order in which they are asked."""


def has_layout(row: Any, name: str) -> bool:
    """True if a row has this layout and none that is asked before it."""
    if not is_object(row) or not LAYOUTS[name](row):
        return False
    return not any(LAYOUTS[other](row) for other in list(LAYOUTS)[: list(LAYOUTS).index(name)])


def _has_turns(row: dict[str, Any]) -> bool:
    return any(is_list(row.get(key)) for key in _DIALOGUES)


def _speaks(row: dict[str, Any], key: str) -> bool:
    """True if the row has a list of turns that name their speaker so, and no tools as tagged text in the first."""
    found = dialogue(row)
    return found is not None and found.speaker == key and not found.declares_tools and found.root != ("traj",)


def tell_system(story: Story, row: dict[str, Any]) -> None:
    """The `system` prompt beside the turns, if there is one, is the first message."""
    if places_of_system(row):
        story.keep(("system",), {"role": "system", "content": row["system"]})


def places_of_system(row: dict[str, Any]) -> list[Path]:
    """The place of a `system` prompt beside the turns; none if it is empty."""
    return [("system",)] if row.get("system") not in (None, "") else []


def tell_history(story: Story, row: dict[str, Any]) -> bool:
    """The pairs of query and response in `history`, each an event of two messages; False if it holds anything else."""
    history: Any = row.get("history")
    if not is_list(history):
        return history is None
    for place, pair in zip(places_of_history(row), history, strict=True):
        if not is_list(pair) or len(pair) != 2 or not all(isinstance(text, str) for text in pair):
            return False
        for role, text in zip(("user", "assistant"), pair, strict=True):
            story.keep(place, {"role": role, "content": text})
    return True


def places_of_history(row: dict[str, Any]) -> list[Path]:
    """The place of each pair in `history`."""
    history: Any = row.get("history")
    return [("history", i) for i in range(len(history))] if is_list(history) else []


def results_apart(message: Message, asked: Message | None, *, named: bool = True) -> list[Message]:
    """A tool's turn as one message for each result, where it is a JSON list of one result for each call before it.

    A result is {name, content} or {name, results}; an id in it is left out, as the calls of such rows have none. What
    is no text is written as JSON. Any other turn comes back as it is.

    Args:
        asked: the message before it.
        named: whether each result must name its call.
    """
    text: Any = message.get("content")
    calls: Any = asked.get("tool_calls") if asked else None
    listed: Any = decoded(text) if message.get("role") == "tool" and isinstance(text, str) else None
    if not is_list(listed) or not is_list(calls) or len(listed) != len(calls) or not all(map(_is_result, listed)):
        return [message]
    if named and [_called(call) for call in calls] != [one["name"] for one in listed]:
        return [message]
    told = [(one["name"], one["results"] if "results" in one else one["content"]) for one in listed]
    return [
        {
            "role": "tool",
            "name": name,
            "content": said if isinstance(said, str) else json.dumps(said, ensure_ascii=False),
        }
        for name, said in told
    ]


def _called(call: Any) -> Any:
    function: Any = call.get("function") if is_object(call) else None
    return function.get("name") if is_object(function) else None


def _is_result(value: Any) -> bool:
    if not is_object(value) or not isinstance(value.get("name"), str) or not set(value) <= _RESULT_KEYS:
        return False
    return ("content" in value) != ("results" in value)


def json_at(text: str, at: int) -> tuple[Any, int]:
    """The JSON value that begins at a place of a text, and where it ends.

    Raises:
        ValueError: none begins there, or it nests too deep.
    """
    try:
        value, end = _DECODER.raw_decode(text, at)
    except RecursionError as error:
        raise ValueError("it is nested too deep") from error
    if is_too_deep(value):
        raise ValueError("it is nested too deep")
    return value, end


def _no_constant(word: str) -> Any:
    raise ValueError(f"{word} is no JSON")


_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def named_tools(declared: Any) -> list[Any] | None:
    """Declarations in the nested form, if each of them is a named function; None if any is not, or there are none."""
    nested: Any = tools(declared)
    if not is_list(nested) or not nested:
        return None
    functions = [tool.get("function") if is_object(tool) else None for tool in nested]
    named = all(is_object(function) and isinstance(function.get("name"), str) for function in functions)
    return nested if named else None
