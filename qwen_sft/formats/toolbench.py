"""ToolBench (ToolLLaMA): the answers of its depth-first search, and the training rows {id, conversations} made of them.

An answer holds the conversation as growing lists (`answer_generation.train_messages`): one that a later list begins
with is repeated by that list and merged. Lists that no later one continues are branches; each is a sample of its own,
because a model saw it whole. `tree` logs every branch of the search, the dead ones too, and is not read. Calls are the
old `function_call`, results have the role `function`; there are no ids, and the last call, Finish, has no result.

In a training row the call stands in the assistant's text (Thought, Action, Action Input), and the tools in the system
text as a Python literal: both are lifted where they read exactly.

Source: ToolBench, toolbench/inference/Algorithms (train_messages) and preprocess/preprocess_toolllama_data.py (rows).
"""

import ast
import re
from typing import Any

from qwen_sft.format import Conversation, Event, Format, Reading
from qwen_sft.reading.chat import message
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.story import Story, refused
from qwen_sft.sample import Message, Path, is_list, is_object, value_at
from qwen_sft.text.normalize import call, sample_id

_LISTS: Path = ("answer_generation", "train_messages")
_ROLES = {"system": "system", "user": "user", "function": "tool", "assistant": "assistant"}
_ACTION = re.compile(
    r"\s*(?:Thought:(?P<thought>.*?)\n)?Action:(?P<name>[^\n]*)\nAction Input:(?P<input>.*)", re.DOTALL
)
_APIS = "Specifically, you have access to the following APIs: "
_LOOKED_AT = 20  # turns of a row
_LONGEST = 1_000_000  # characters of a Python literal that are parsed


def recognises(record: Any) -> bool:
    """An answer's `answer_generation` with the functions, or turns {from, value} with an Action and its input."""
    return _is_answer(record) or _is_row(record)


def _is_answer(record: Any) -> bool:
    made: Any = record.get("answer_generation") if is_object(record) else None
    return is_object(made) and ("train_messages" in made or "function" in made)


def _is_row(record: Any) -> bool:
    turns: Any = record.get("conversations") if is_object(record) else None
    if not is_list(turns):
        return False
    spoken = [turn for turn in turns[:_LOOKED_AT] if is_object(turn) and isinstance(turn.get("value"), str)]
    return any(t.get("from") == "assistant" and "\nAction Input:" in t["value"] for t in spoken)


def events(record: Any) -> list[Path]:
    """Each message of each list of an answer; each turn of a row."""
    if _is_row(record):
        return [("conversations", i) for i in range(len(record["conversations"]))]
    lists: Any = value_at(record, _LISTS)
    listed: list[Any] = lists if is_list(lists) else []
    return [(*_LISTS, i, j) for i, turns in enumerate(listed) if is_list(turns) for j in range(len(turns))]


def read(record: Any) -> Reading:
    """One sample of a row; of an answer one for each list that no later list continues."""
    return _row(record) if _is_row(record) else _answer(record)


def _answer(record: Any) -> Reading:
    lists: Any = value_at(record, _LISTS)
    if not is_list(lists) or not any(lists):
        return refused(_LISTS, "the search found no answer: there are no train_messages", "leave such records out")
    odd = _odd(lists)
    if odd is not None:
        return refused((*_LISTS, *odd), "a message is not an object in a list of messages", "write {role, content}")
    generation: dict[str, Any] = record["answer_generation"]
    labels = metadata({"win": record.get("win")}, {key: generation.get(key) for key in ("finish_type", "query_count")})
    made: list[Conversation] = []
    aside: list[Event] = []
    for i, turns in enumerate(lists):
        places: list[Path] = [(*_LISTS, i, j) for j in range(len(turns))]
        longer = next((k for k in range(i + 1, len(lists)) if lists[k][: len(turns)] == turns), None)
        if longer is not None or not turns:
            aside += [Event(place, "merged", f"repeated by train_messages[{longer}]") for place in places]
            continue
        story = Story()
        for place, given in zip(places, turns, strict=True):
            story.keep(place, message(given))
        made.append(story.conversation(generation.get("function"), sample_id(record), labels))
    return Reading(made, aside)


def _odd(lists: list[Any]) -> Path | None:
    for i, turns in enumerate(lists):
        if not is_list(turns):
            return (i,)
        for j, given in enumerate(turns):
            if not is_object(given):
                return (i, j)
    return None


def _row(record: dict[str, Any]) -> Reading:
    story = Story()
    tools: list[Any] | None = None
    for place, given in zip(events(record), record["conversations"], strict=True):
        if not is_object(given):
            return refused(place, "a turn is not an object", "write {from, value}")
        speaker, value = given.get("from"), given.get("value")
        role: Any = _ROLES.get(speaker, speaker) if isinstance(speaker, str) else speaker
        turn = message({"role": role, "content": value})
        if isinstance(value, str) and role == "assistant":
            turn = _lifted(value) or turn
        elif isinstance(value, str) and role == "system" and tools is None:
            tools, turn["content"] = _tools(value)
        story.keep(place, turn)
    labels = metadata(record, without=("id",))
    return story.reading(tools, sample_id(record), labels)


def _lifted(text: str) -> Message | None:
    """The turn with its action as a call; None where the text is not exactly one thought and one action."""
    found = _ACTION.fullmatch(text)
    if found is None or text.count("Action Input:") != 1 or not found["name"].strip():
        return None
    thought = (found["thought"] or "").strip()
    made = call(found["name"].strip(), found["input"].strip())
    return {"role": "assistant", "content": thought, "tool_calls": [made]}


def _tools(text: str) -> tuple[list[Any] | None, str]:
    """The tools of a system text and the rest of it; None and all of it where they are no Python literal."""
    before, found, literal = text.partition(_APIS)
    if not found or len(literal) > _LONGEST:
        return None, text
    try:
        tools: Any = ast.literal_eval(literal.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None, text
    named = is_list(tools) and all(is_object(tool) and isinstance(tool.get("name"), str) for tool in tools)
    return (tools, before.rstrip()) if named and tools else (None, text)


FORMAT = Format(
    name="toolbench",
    title="ToolBench: answers with growing train_messages, and training rows with Thought, Action and Action Input",
    recognises=recognises,
    events=events,
    read=read,
    fields=frozenset({"answer_generation", "conversations"}),
)
