"""LLaMA-Factory's own messages (its v1 core): content is a list of blocks {type, value}, tools are a JSON string.

A block of type `tool_call` is a call as JSON; `reasoning` is the turn's reasoning. The blocks of a type are printed one
behind the other with nothing between them. One tool's turn may hold the results of all calls, as a JSON list of
{name, content}. `loss_weight` says how much a turn is trained. Preference rows have
`chosen_messages` and `rejected_messages`, and no one answer.
"""

from typing import Any

from qwen_sft.format import Format, Reading
from qwen_sft.reading.chat import message, spoken
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.rows import LABELLED_APART, has_layout, results_apart
from qwen_sft.reading.story import Story, refused
from qwen_sft.sample import Message, Path, is_list, is_object
from qwen_sft.text.normalize import sample_id

_RESULTS = ("tool_result", "tool_response")
_ORDER = {"reasoning": 0, "text": 1, "tool_call": 2}
_PART = "part of the turn whose first block stands before it"


def recognises(record: Any) -> bool:
    """Messages whose content is a list of {type, value}."""
    return has_layout(record, "llama_factory")


def _turns(record: Any) -> list[Any]:
    turns: Any = record.get("messages")
    return turns if is_list(turns) else []


def events(record: Any) -> list[Path]:
    """Each block of each message; a message without blocks is one event."""
    return [place for i, turn in enumerate(_turns(record)) for place, _ in _blocks(turn, ("messages", i))]


def _blocks(turn: Any, place: Path) -> list[tuple[Path, Any]]:
    content: Any = turn.get("content") if is_object(turn) else None
    if not is_list(content) or not content:
        return [(place, None)]
    return [((*place, "content", j), block) for j, block in enumerate(content)]


def read(record: Any) -> Reading:
    """One sample: a message for each message, and for each result of a tool's turn."""
    if "messages" not in record:
        says = "a preference row has two answers and no one target"
        return refused(("chosen_messages",), says, "name the one to train on `messages`")
    story = Story()
    for i, turn in enumerate(_turns(record)):
        if not is_object(turn):
            return refused(("messages", i), f"a turn is {type(turn).__name__}, not an object", "write {role, content}")
        _tell(story, turn, ("messages", i))
    return story.reading(record.get("tools"), sample_id(record), metadata(record, without=LABELLED_APART))


def _tell(story: Story, turn: dict[str, Any], place: Path) -> None:
    blocks = _blocks(turn, place)
    role: Any = turn.get("role")
    weight: Message = {} if turn.get("loss_weight") is None else {"weight": turn["loss_weight"]}
    if role == "tool" and all(_kind(block) in _RESULTS for _, block in blocks):
        for at, block in blocks:
            story.keep(at, message({"role": "tool", "content": block.get("value")}) | weight)
        return
    for first, piece in _messages(role, turn, blocks):
        for made in results_apart(piece, story.messages[-1] if story.messages else None):
            story.keep(first, made | weight)
    for at, _ in blocks:
        story.merge(at, _PART)


def _messages(role: Any, turn: dict[str, Any], blocks: list[tuple[Path, Any]]) -> list[tuple[Path, Message]]:
    """The turn's messages, each with its first block: one, unless a block stands behind what a turn says after it."""
    if blocks[0][1] is None:
        return [(blocks[0][0], message(turn))]
    groups: list[list[tuple[Path, Any]]] = [[]]
    reached = 0
    for at, block in blocks:
        rank = _ORDER.get(_kind(block), reached)
        if rank < reached:
            groups.append([])
        reached = rank
        groups[-1].append((at, block))
    return [(group[0][0], _one(role, [block for _, block in group])) for group in groups]


def _kind(block: Any) -> str:
    kind: Any = block.get("type") if is_object(block) else None
    return kind if isinstance(kind, str) else ""


def _one(role: Any, blocks: list[Any]) -> Message:
    told: dict[str, list[Any]] = {"text": [], "reasoning": [], "tool_call": []}
    other = False
    for block in blocks:
        kind = _kind(block)
        is_known = kind in told and (kind == "tool_call" or isinstance(block.get("value"), str))
        other = other or not is_known or (kind != "text" and role != "assistant")
        if is_known:
            told[kind].append(block.get("value"))
    if other:  # an image, say: a rule reports what is no text
        return message({"role": role, "content": [_part(block) for block in blocks]})
    made = message({"role": role, "content": "".join(told["text"])})
    if told["reasoning"]:
        made["reasoning_content"] = "".join(told["reasoning"])
    said = [spoken({"from": "tool_call", "value": value}) for value in told["tool_call"]]
    calls = [call for one in said for call in one.get("tool_calls", [])]
    if calls:
        made["tool_calls"] = calls
    return made


def _part(block: Any) -> Any:
    is_text = _kind(block) == "text" and isinstance(block.get("value"), str)
    return {"type": "text", "text": block["value"]} if is_text else block


FORMAT = Format(
    name="llama_factory",
    title="LLaMA-Factory v1: messages whose content is blocks {type: text|reasoning|tool_call, value}",
    recognises=recognises,
    events=events,
    read=read,
    fields=frozenset({"messages", "chosen_messages"}),
)
