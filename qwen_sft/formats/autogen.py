"""AutoGen: group chats of several agents (0.2, CaptainAgent), AgentChat messages (0.4) and an agent's model context.

In a chat each agent has its own view: what it said itself is the assistant's, what the others said is a user's. So a
chat gives a sample for each agent that a model speaks for. Quirks: the first message opens the chat under an agent's
name, though no model said it; code and its output are text; in AgentChat calls and results are events that only their
agent sees, a ThoughtEvent is the text beside calls or else reasoning, a ToolCallSummaryMessage tells the others the
results. Logs of Magentic-One have agents' names as roles: which of them a model speaks for is not recorded.
"""

from collections.abc import Sequence
from typing import Any

from qwen_sft.format import Conversation, Event, Format, Reading
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.story import Story, refused
from qwen_sft.sample import Message, Path, is_list, is_object, value_at
from qwen_sft.text.normalize import ID_KEYS, call, sample_id, text

_CHAT = frozenset({"TextMessage", "MultiModalMessage", "StopMessage", "HandoffMessage", "ToolCallSummaryMessage"})
_EVENTS = frozenset({"ToolCallRequestEvent", "ToolCallExecutionEvent", "ThoughtEvent"})
_SILENT = frozenset(
    {"ModelClientStreamingChunkEvent", "UserInputRequestedEvent", "SelectSpeakerEvent", "SelectorEvent"}
    | {"CodeGenerationEvent", "CodeExecutionEvent"}
)
_CONTEXT = frozenset({"SystemMessage", "UserMessage", "AssistantMessage", "FunctionExecutionResultMessage"})
_ROOTS: tuple[Path, ...] = ((), ("messages",), ("llm_context", "messages"), ("llm_messages",))
_NO_LABELS = frozenset(
    {*ID_KEYS, "question", "type", "source", "content", "is_correct", "question_ID", "created_at", "version"}
)


def _history(record: Any) -> list[Any] | None:
    """The turns of a group chat: those of the Who&When logs, or any with the agents' system prompts beside them."""
    listed: Any = record.get("history") if is_object(record) else None
    if not is_list(listed) or not listed or not is_object(listed[0]) or "role" not in listed[0]:
        return None
    named = is_object(record.get("system_prompt")) and isinstance(listed[0].get("name"), str)
    return listed if named or {"mistake_agent", "mistake_step"} <= record.keys() else None


def _is_message(given: Any) -> bool:
    kind: Any = given.get("type") if is_object(given) and "content" in given else None
    if not isinstance(kind, str):
        return False
    return (kind in _CHAT | _EVENTS | _SILENT and isinstance(given.get("source"), str)) or kind in _CONTEXT


def _listed(record: Any) -> tuple[Path, list[Any]] | None:
    if _is_message(record):
        return (), [record]
    for root in _ROOTS:
        listed = value_at(record, root)
        if is_list(listed) and listed and all(map(_is_message, listed)):
            return root, listed
    return None


def recognises(record: Any) -> bool:
    """A chat's `history` beside system prompts or a mistake, or messages of AutoGen's types with their `source`."""
    return _history(record) is not None or _listed(record) is not None


def joins(gathered: Sequence[Any], line: Any) -> bool:
    """A message follows a message."""
    return _is_message(line) and (not gathered or _is_message(gathered[0]))


def events(record: Any) -> list[Path]:
    """Each turn or message, and each agent's system prompt."""
    if (turns := _history(record)) is not None:
        prompts: Any = record.get("system_prompt")
        asked: list[Path] = [("system_prompt", name) for name in prompts] if is_object(prompts) else []
        return [*asked, *(("history", i) for i in range(len(turns)))]
    root, listed = _listed(record) or ((), [])
    return [root if given is record else (*root, i) for i, given in enumerate(listed)]


def read(record: Any) -> Reading:
    """A sample for each agent that a model speaks for; one for a model's context."""
    if (turns := _history(record)) is not None:
        return _read_history(record, turns)
    root, listed = _listed(record) or ((), [])
    places: list[Path] = [root if given is record else (*root, i) for i, given in enumerate(listed)]
    fields: dict[str, Any] = record if is_object(record) and root else {}
    labels = metadata(fields, without=_NO_LABELS)
    if any(given["type"] in _CONTEXT for given in listed):
        story = Story()
        for place, given in zip(places, listed, strict=True):
            _tell_context(story, place, given)
        return story.reading(fields.get("tools"), sample_id(fields), labels)
    return _read_chat(places, listed, labels, sample_id(fields))


def _read_history(record: dict[str, Any], turns: list[Any]) -> Reading:
    for i, turn in enumerate(turns):
        role: Any = turn.get("role") if is_object(turn) else None
        if role not in ("assistant", "user") or not isinstance(turn.get("name"), str):
            says = f"which agent a model speaks for is not recorded: a turn has the role {role!r}"[:160]
            return refused(("history", i), says, "leave it out, or give each turn a role (user, assistant) and a name")
    given: Any = record.get("system_prompt")
    prompts: dict[str, Any] = given if is_object(given) else {}
    spoken = {turn["name"] for turn in turns[1:] if turn["name"] in prompts or turn["role"] == "assistant"}
    labels = metadata({"task_id": record.get("question_ID")}, record, without=_NO_LABELS)
    if record.get("is_correct") in (True, False, "True", "False"):
        labels["success"] = record["is_correct"] in (True, "True")
    made: list[Conversation] = []
    for name in sorted(spoken, key=[turn["name"] for turn in turns].index):
        story = Story()
        if name in prompts:
            story.keep(("system_prompt", name), {"role": "system", "content": text(prompts[name])})
        for i, turn in enumerate(turns):
            said: Message = {
                "role": "assistant" if turn["name"] == name else "user",
                "content": text(turn.get("content")),
            }
            if i == 0 and turn["name"] == name:
                said["train"] = False  # it opens the chat: no model was asked for it
            story.keep(("history", i), said)
        made.append(story.conversation(None, _named(record, name), {**labels, "agent": name}))
    if not made:
        return refused(("history",), "no turn of the chat is one that a model was asked for", "leave it out")
    silent = [
        Event(("system_prompt", name), "dropped", "an agent that never speaks")
        for name in prompts
        if name not in spoken
    ]
    return Reading(made, silent)


def _named(record: dict[str, Any], agent: str) -> str | None:
    own = sample_id(record) or record.get("question_ID")
    return f"{own}-{agent}" if isinstance(own, str) else None


def _read_chat(places: list[Path], listed: list[Any], labels: dict[str, Any], name: str | None) -> Reading:
    """A sample for each source that called a tool, thought, or used tokens."""
    agents = [one["source"] for one in listed if one["type"] in _EVENTS or is_object(one.get("models_usage"))]
    made: list[Conversation] = []
    aside: dict[Path, Event] = {}
    for agent in dict.fromkeys(agents):
        story = Story()
        for place, given in zip(places, listed, strict=True):
            _tell_chat(story, place, given, agent)
        aside |= {event.path: event for event in story.aside}
        several = len(set(agents)) > 1
        own = f"{name}-{agent}" if name and several else name
        made.append(story.conversation(None, own, {**labels, "agent": agent} if several else labels))
    if not made:
        return refused(
            (), "no message of the chat is a model's: none has tokens, calls or a thought", "record models_usage"
        )
    kept = {place for one in made for place in one.origins}
    merged = {path for path, event in aside.items() if event.fate == "merged"}
    told = [event for path, event in aside.items() if path not in kept]
    told += [Event(p, "dropped", "nothing that a model sees") for p in places if p not in kept | merged | aside.keys()]
    return Reading(made, told)


def _tell_chat(story: Story, place: Path, given: dict[str, Any], agent: str) -> None:
    kind, own, content = given["type"], given["source"] == agent, given["content"]
    if kind in _SILENT:
        story.drop(place, "an event that no model sees")
    elif not own:
        if kind in _CHAT:
            story.keep(place, {"role": "user", "content": text(content)})
    elif kind == "ToolCallSummaryMessage":
        story.merge(place, "repeats the results for the other agents")
    elif kind == "ToolCallExecutionEvent":
        _tell_results(story, place, content)
    elif kind == "ThoughtEvent":
        story.keep(place, {"role": "assistant", "content": "", "reasoning_content": content})
    else:
        _tell_said(story, place, content)


def _tell_said(story: Story, place: Path, content: Any, thought: Any = None) -> None:
    """An answer, or calls: a thought directly before calls is the text beside them, as AutoGen sends it back."""
    last: Any = story.messages[-1] if story.messages else {}
    calls = [_call(one) for one in content] if is_list(content) and all(map(_is_call, content)) and content else []
    made: Message = {"role": "assistant", "content": "" if calls else text(content)}
    if isinstance(thought, str) and thought:
        made["content" if calls else "reasoning_content"] = thought
    if calls:
        made["tool_calls"] = calls
        if last.keys() == {"role", "content", "reasoning_content"} and last["content"] == "":
            story.messages[-1] = {"role": "assistant", "content": last["reasoning_content"]}
    thinks = last.get("role") == "assistant" and last.get("content") == "" and "reasoning_content" in last
    if thinks and "tool_calls" not in last:
        story.join(place, made)
    else:
        story.keep(place, made)


def _is_call(one: Any) -> bool:
    return is_object(one) and "name" in one and "arguments" in one


def _call(one: dict[str, Any]) -> Any:
    return call(one["name"], one["arguments"], one.get("id"))


def _tell_results(story: Story, place: Path, content: Any) -> None:
    for one in content if is_list(content) else [content]:
        made: Message = {"role": "tool", "content": text(one.get("content") if is_object(one) else one)}
        if is_object(one) and one.get("call_id") not in (None, ""):
            made["tool_call_id"] = one["call_id"]
        if is_object(one) and one.get("name") not in (None, ""):
            made["name"] = one["name"]
        story.keep(place, made)
    if content == []:
        story.drop(place, "an event without results")


def _tell_context(story: Story, place: Path, given: dict[str, Any]) -> None:
    kind, content = given["type"], given["content"]
    if kind == "AssistantMessage":
        _tell_said(story, place, content, given.get("thought"))
    elif kind == "FunctionExecutionResultMessage":
        _tell_results(story, place, content)
    elif kind in ("SystemMessage", "UserMessage"):
        story.keep(place, {"role": "system" if kind == "SystemMessage" else "user", "content": text(content)})
    else:
        story.drop(place, "a message of the chat between messages of a model's context", loses=kind not in _SILENT)


FORMAT = Format(
    name="autogen",
    title="AutoGen: group chats with the agents' system prompts, AgentChat messages (0.4), model contexts",
    recognises=recognises,
    events=events,
    read=read,
    joins=joins,
)
