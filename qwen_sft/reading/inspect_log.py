"""Inspect's messages, their long texts put back from the attachments that they refer to."""

import re
from typing import Any

from qwen_sft.reading.story import Story
from qwen_sft.sample import Message, Path, is_list, is_object
from qwen_sft.text.normalize import call, text

_PROTOCOLS = ("attachment://", "tc://")
_REFERENCE = re.compile(r"(?:attachment|tc)://[0-9a-f]{32}")
_RAW_ARGUMENTS = re.compile(r"Error parsing the following tool call arguments:\n\n(.*)\n\nError details: ", re.DOTALL)
_TOOL_FIELDS = ("name", "description", "parameters")


class Attachments:
    """The texts of one sample that stand elsewhere as references, and its messages read with them."""

    def __init__(self, sample: dict[str, Any]) -> None:
        transcript: Any = sample.get("transcript")
        holders: list[Any] = [sample.get("attachments"), transcript.get("content") if is_object(transcript) else None]
        self.texts: dict[str, str] = {
            key: value for one in holders if is_object(one) for key, value in one.items() if isinstance(value, str)
        }

    def key(self, given: Any) -> Any:
        """What tells a message from others: its id; without one, what it says (reasoning is often left out later)."""
        if not is_object(given):
            return repr(given)
        if isinstance(given.get("id"), str):
            return given["id"]
        story = Story()
        self.tell(story, (), given, parts=False)
        return repr([{**message, "reasoning_content": ""} for message in story.messages])

    def tell(self, story: Story, place: Path, given: Any, *, parts: bool) -> None:
        """Adds a message to a story; with `parts`, the parts of its content are events of their own."""
        if not is_object(given):
            story.keep(place, {"role": "unknown", "content": given})
            return
        content = self.resolved(given.get("content"))
        if given.get("role") != "assistant":
            story.keep(place, _other(given, content))
        else:
            self._tell_assistant(story, place, given, content, parts)
        for k in range(len(content) if is_list(content) and parts else 0):
            story.merge((*place, "content", k), "a part of its message")

    def _tell_assistant(self, story: Story, place: Path, given: dict[str, Any], content: Any, parts: bool) -> None:
        pieces: list[Message] = []
        if isinstance(given.get("reasoning"), str) and given["reasoning"]:
            pieces.append({"role": "assistant", "content": "", "reasoning_content": given["reasoning"]})
        rest: list[Any] = []
        for k, part in enumerate(content if is_list(content) else [content]):
            if not is_object(part) or part.get("type") != "reasoning":
                rest.append(part)
                continue
            thought: Any = part.get("summary") if part.get("redacted") else part.get("reasoning")
            if isinstance(thought, str) and thought:
                if rest:
                    pieces.append({"role": "assistant", "content": text(rest)})
                    rest = []
                pieces.append({"role": "assistant", "content": "", "reasoning_content": thought})
            elif parts:
                hidden = bool(part.get("redacted"))
                story.drop((*place, "content", k), "reasoning that is encrypted or empty", loses=hidden)
        last: Message = {"role": "assistant", "content": text(rest) if is_list(content) else text(content)}
        listed: Any = self.resolved(given.get("tool_calls"))
        if listed:
            last["tool_calls"] = [_tool_call(one) for one in listed] if is_list(listed) else listed
        for k, piece in enumerate([*pieces, last]):
            if k == 0:
                story.keep(place, piece)
            elif piece.get("content") != "" or "tool_calls" in piece or "reasoning_content" in piece:
                story.join(place, piece)

    def lacks(self, value: Any) -> bool:
        """True if a value refers to a text that the sample does not hold."""
        if isinstance(value, str):
            return _REFERENCE.fullmatch(value) is not None and self.resolved(value) == value
        items: list[Any] = list(value.values()) if is_object(value) else value if is_list(value) else []
        return any(self.lacks(item) for item in items)

    def resolved(self, value: Any) -> Any:
        """A value whose references to attachments are the texts themselves."""
        if isinstance(value, str):
            protocol = next(filter(value.startswith, _PROTOCOLS), None)
            return self.texts.get(value.removeprefix(protocol), value) if protocol else value
        if is_list(value):
            return [self.resolved(item) for item in value]
        return {key: self.resolved(item) for key, item in value.items()} if is_object(value) else value

    def tools(self, event: dict[str, Any]) -> Any:
        listed: Any = self.resolved(event.get("tools"))
        if not is_list(listed):
            return listed
        return [{k: one[k] for k in _TOOL_FIELDS if k in one} if is_object(one) else one for one in listed]


def _other(given: dict[str, Any], content: Any) -> Message:
    made: Message = {"role": given.get("role", ""), "content": text(content)}
    if made["role"] == "tool":
        error: Any = given.get("error")
        if made["content"] == "" and is_object(error) and isinstance(error.get("message"), str):
            made["content"] = error["message"]
        if given.get("tool_call_id") not in (None, ""):
            made["tool_call_id"] = given["tool_call_id"]
        if given.get("function") not in (None, ""):
            made["name"] = given["function"]
    return made


def _tool_call(given: Any) -> Any:
    if not is_object(given) or not isinstance(given.get("function"), str):
        return given
    said: Any = given.get("arguments")
    fault: Any = given.get("parse_error")
    if isinstance(fault, str) and fault:
        raw = _RAW_ARGUMENTS.match(fault)
        said = said or (raw[1] if raw else fault)
    return call(given["function"], said, given.get("id"))
