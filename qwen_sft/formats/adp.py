"""Agent Data Protocol: {id, content: [actions and observations]}, each with its `class_`.

An API action is a call; a code action is one too, of a tool named after its language with the code as its argument
(`bash` with a `command`). `description` is the thought in words before an action, `reasoning_content` the hidden one.
Actions without an observation between them are one turn. An observation of the environment answers the turn's next
open call, by its `tool_call_id` where it has one; with none open it is a user's turn, as ADP's own converters tell it.
A web observation is its fields as JSON. Only tools of code actions are declared: ADP keeps the others in Python source.

Source: neulab/agent-data-protocol, schema/.
"""

import json
from typing import Any

from qwen_sft.format import Format, Reading
from qwen_sft.reading.chat import joined, message
from qwen_sft.reading.command import BASH
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.story import JOINED, Story, refused
from qwen_sft.sample import Message, Path, is_list, is_object
from qwen_sft.text.normalize import call, sample_id

_ACTIONS = ("message_action", "api_action", "code_action")
_OBSERVATIONS = ("text_observation", "web_observation", "image_observation", "json_observation")
_SHELLS = ("bash", "sh", "shell")


def recognises(record: Any) -> bool:
    """A list of content whose first item names its class."""
    content: Any = record.get("content") if is_object(record) else None
    return is_list(content) and bool(content) and _kind(content[0]) is not None


def _kind(item: Any) -> str | None:
    kind: Any = item.get("class_") if is_object(item) else None
    return kind if kind in (*_ACTIONS, *_OBSERVATIONS) else None


def events(record: Any) -> list[Path]:
    """Each action and observation."""
    return [("content", i) for i in range(len(record["content"]))] if recognises(record) else []


def read(record: Any) -> Reading:
    """One sample."""
    story = Story()
    languages: list[str] = []
    n_open = 0
    for place, item in zip(events(record), record["content"] if is_object(record) else [], strict=True):
        kind = _kind(item)
        if kind is None:
            return refused(place, "an item is no action or observation of ADP 1", "give it a class_")
        if kind in _ACTIONS:
            turn = _action(item, kind)
            n_open = _keep(story, place, turn, n_open)
            languages += [_language(item)] if kind == "code_action" else []
        elif item.get("source") == "agent":
            n_open = _keep(story, place, message({"role": "assistant", "content": _seen(item, kind)}), n_open)
        elif n_open and (item.get("source") != "user" or item.get("tool_call_id")):
            turn = message({"role": "tool", "content": _seen(item, kind), "tool_call_id": item.get("tool_call_id")})
            story.keep(place, turn)
            n_open -= 1
        else:
            story.keep(place, message({"role": "user", "content": _seen(item, kind)}))
            n_open = 0
    tools = [_tool(language) for language in dict.fromkeys(languages)]
    labels = metadata(record.get("details"), record, without=("id",)) if is_object(record) else {}
    return story.reading(tools or None, sample_id(record), labels)


def _keep(story: Story, place: Path, turn: Message, n_open: int) -> int:
    """Keeps or joins a turn of the assistant; how many of its calls are open then."""
    whole = joined(story.messages[-1], turn) if story.messages else None
    n_calls = len(turn.get("tool_calls", []))
    if whole is None:
        story.keep(place, turn)
        return n_calls
    story.messages[-1] = whole
    story.merge(place, JOINED)
    return n_open + n_calls


def _action(item: dict[str, Any], kind: str) -> Message:
    thought: Any = item.get("description")
    content: Any = item.get("content") if kind == "message_action" else None
    texts = [text for text in (thought, content) if text not in (None, "")]
    says: Any = "\n".join(texts) if all(isinstance(text, str) for text in texts) else texts
    turn = message({"role": "assistant", "content": says, "reasoning_content": item.get("reasoning_content")})
    if kind == "api_action":
        turn["tool_calls"] = [call(item.get("function"), item.get("kwargs"), item.get("tool_call_id"))]
    elif kind == "code_action":
        language = _language(item)
        key = "command" if language == "bash" else "code"
        turn["tool_calls"] = [call(language, {key: item.get("content")}, item.get("tool_call_id"))]
    return turn


def _language(item: dict[str, Any]) -> str:
    given: Any = item.get("language")
    if given in _SHELLS:
        return "bash"
    return given if isinstance(given, str) and given else "code"


def _tool(language: str) -> Any:
    if language == "bash":
        return BASH
    schema = {"type": "object", "properties": {"code": {"type": "string"}}, "required": ["code"]}
    return {"name": language, "description": f"Execute {language} code", "parameters": schema}


def _seen(item: dict[str, Any], kind: str) -> Any:
    """What the agent was shown."""
    if kind == "text_observation":
        return item.get("content")
    if kind == "image_observation":
        return [{"type": "image", "image": item.get("content")}]
    image: Any = item.get("image_observation")
    held = {k: v for k, v in item.items() if k not in ("class_", "image_observation", "tool_call_id") and v is not None}
    text = json.dumps(held, ensure_ascii=False)
    return [{"type": "text", "text": text}, {"type": "image", "image": image}] if image else text


FORMAT = Format(
    name="adp",
    title="Agent Data Protocol: API, code and message actions with their observations",
    recognises=recognises,
    events=events,
    read=read,
    fields=frozenset({"content"}),
)
