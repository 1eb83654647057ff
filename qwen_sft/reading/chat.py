"""The Chat Completions message, which many formats hold inside their own record, and the list that it stands in."""

from collections.abc import Set
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from typing import Any, Literal

from qwen_sft.finding import Finding
from qwen_sft.reading.metadata import remedy
from qwen_sft.sample import Message, Path, Sample, is_list, is_object, value_at
from qwen_sft.text.glance import shared
from qwen_sft.text.markup import declares_tools
from qwen_sft.text.normalize import REASONING_KEYS, call, decode_json, reasoning, text, tools, with_reasoning

ALIASES = {"developer": "system", "function": "tool"}
"""Roles of the same API under other names, and what they are called in a sample."""

SPEAKERS = {
    "human": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "function_call": "assistant",
    "tool_call": "assistant",
    "observation": "tool",
    "function_response": "tool",
    "tool_response": "tool",
}
"""Who speaks in ShareGPT's `from`, and what that is called in a sample; every other name stays what it is."""

CALLERS = ("function_call", "tool_call")
"""The speakers whose words are calls."""

SAID = ("refusal", "audio")
"""What a model can say beside `content`; each has a field of its own in the message."""

ITEM_TYPES = frozenset({"function_call", "function_call_output", "custom_tool_call", "reasoning"})
"""Types of Responses API items that have no role: a list with one of them is no list of chat messages."""

THOUGHTS = ("thinking_blocks", "reasoning_details")
"""Fields with the pieces of a turn's reasoning: LiteLLM's blocks, which are Anthropic's, and OpenRouter's."""

TRAINS = ("loss", "loss_mask", "trainable", "training")
"""Fields that say of a turn if it is trained, as `train` does: ms-swift's, verl's, tinker-cookbook's, axolotl's."""

_REASONED = (*REASONING_KEYS, *THOUGHTS)
_PIECES = {"thinking": "thinking", "reasoning.text": "text", "reasoning.summary": "summary"}
_SEALED = ("redacted_thinking", "reasoning.encrypted")
_CALLS = ("tool_calls", "function_call")
_ENDS = ("finish_reason", "stop_reason", "finishReason", "stopReason")
"""Where logs of answers say of each why it ended."""

_RARE = frozenset({*SAID, *_REASONED, "function_call", "error", "train", *TRAINS, "weight", *_ENDS})
"""Fields of a message, beside those that most have, that make a difference to ours."""

_LIST_KEYS = ("messages", "conversations", "traj")


@dataclass(frozen=True, slots=True)
class Dialogue:
    """The list of turns in a record: the place where it stands, and the key under which a turn names its speaker.

    Every record has at most one, so formats that ask for different places or speakers never recognise the same record.
    Where a second list of turns stands beside it, that one is its `twin`, and must say the same.
    """

    root: Path
    turns: list[Any]
    speaker: Literal["role", "from"]
    twin: "Dialogue | None" = None

    @property
    def places(self) -> list[Path]:
        """The place of each turn in the record."""
        return [(*self.root, i) for i in range(len(self.turns))]

    @property
    def declares_tools(self) -> bool:
        """True if the tools are declared as text in the system turn."""
        return _declares_tools(self)

    @property
    def fault(self) -> Finding | None:
        """Why the turns cannot be read: one is no object, or a second list of turns says another thing."""
        for i, given in enumerate(self.turns):
            if not is_object(given):
                says = f"a turn is {type(given).__name__}, not an object"
                return Finding((*self.root, i), says, "write {role, content}")
        if self.twin and _gists(self) != _gists(self.twin):
            says = f"{self.root[-1]!r} and {self.twin.root[-1]!r} hold different turns"
            return Finding(self.twin.root, says, "take one of the two out of the record")
        return None


def _gists(found: Dialogue) -> list[Any]:
    """Who says what in a list of turns."""
    made: list[Any] = []
    for given in found.turns:
        one: Message = (message(given) if found.speaker == "role" else spoken(given)) if is_object(given) else {}
        said: Any = one.get("content")
        calls = [call.get("function") if is_object(call) else call for call in _calls_of(one)]
        made.append((one.get("role"), said.strip() if isinstance(said, str) else said, calls))
    return made


@shared
def _declares_tools(found: Dialogue) -> bool:
    return declares_tools(found.turns, found.speaker, "content" if found.speaker == "role" else "value")


@shared
def dialogue(record: Any) -> Dialogue | None:
    """The turns of a record: the record itself, or under the first of `messages`, `conversations`, `traj` that has any.

    Turns are {role, content} or {from, value}: the first one that is either decides. None if there are no such turns.
    """
    roots: list[Path] = [(key,) for key in _LIST_KEYS if key in record] if is_object(record) else [()]
    found: Dialogue | None = None
    for root in reversed(roots):
        turns = value_at(record, root)
        speaker = _speaker(turns) if is_list(turns) else None
        if speaker:
            found = Dialogue(root, turns, speaker, twin=found)
    return found


@shared
def _speaker(turns: list[Any]) -> Literal["role", "from"] | None:
    if "type" in keys_of(turns) and any(map(_is_item, turns)):
        return None
    for given in turns:
        if is_object(given) and isinstance(given.get("role"), str):
            return "role"
        if is_object(given) and isinstance(given.get("from"), str) and "value" in given:
            return "from"
    return None


def _is_item(given: Any) -> bool:
    if not is_object(given) or "role" in given:
        return False
    return isinstance(given.get("type"), str) and given["type"] in ITEM_TYPES


_NO_KEYS = frozenset[str]()
_CONTENT, _ROLE = itemgetter("content"), itemgetter("role")


@shared
def keys_of(turns: list[Any]) -> Set[str]:
    """The keys that any turn of a list has: what they lack, no turn has, which spares a look at each of them."""
    try:
        return _NO_KEYS.union(*turns)  # ten times as fast as a loop; what a turn that is text adds is no key of ours
    except TypeError:  # a turn is no object
        return _NO_KEYS.union(*filter(is_object, turns))


@shared
def have_parts(turns: list[Any]) -> bool:
    """True if the content of any turn of a list is a list."""
    try:
        return list in set(map(type, map(_CONTENT, turns)))
    except (KeyError, TypeError, IndexError):  # a turn has no content, or is no object
        return any(is_object(given) and is_list(given.get("content")) for given in turns)


def has_role(turns: list[Any], roles: frozenset[str]) -> bool:
    """True if any turn of a list has one of some roles."""
    try:
        return not roles.isdisjoint(map(_ROLE, turns))
    except (KeyError, TypeError, IndexError):  # a turn has no role, or is no object, or its role is none
        return any(is_object(given) and given.get("role") in tuple(roles) for given in turns)


def message(given: dict[str, Any]) -> Message:
    """One message of a sample, from one message of the API, its older spellings and its reasoning aliases.

    A role that is no string stays what it is, and so do calls that are no objects: the schema rule names them. What a
    model said beside its content (SAID) becomes a part of the content under its own type, for rules to report. Why the
    message ended is kept where that says that it was cut off.
    """
    content: Any = given.get("content")
    if not isinstance(content, str):
        given = _thought_apart(given)
        content = text(given.get("content"))
    role: Any = given.get("role")
    role = ALIASES.get(role, role) if isinstance(role, str) else role
    made: Message = {"role": role, "content": content}
    if len(given) == 2 and "role" in given and "content" in given:  # most messages have no more
        return made
    fields = given.keys()
    if _RARE.isdisjoint(fields):  # most others
        if "tool_calls" in given and (asked := calls(given)):
            made["tool_calls"] = asked
        if isinstance(role, str) and role.lower() == "tool":
            _name_call(made, given)
        return made
    said: list[Any] = []
    if not fields.isdisjoint(SAID):
        said = [{"type": key, key: given[key]} for key in SAID if not _is_blank(given.get(key))]
    if said:
        made["content"] = [*_parts(content), *said]
    if role == "assistant" and not fields.isdisjoint(_REASONED):
        made = with_reasoning(made, _reasoning(given) or _thoughts(given))
    made_calls: Any = None if fields.isdisjoint(_CALLS) else calls(given)
    if made_calls:
        made["tool_calls"] = made_calls
    if isinstance(role, str) and role.lower() == "tool":  # in capitals it is reported, and keeps what names its call
        _name_call(made, given)
        if content in ("", []) and "error" in fields:
            made["content"] = _failure(given["error"])
    if given.get("train") is not None:
        made["train"] = given["train"]
    if not fields.isdisjoint(TRAINS):
        made = _with_training(made, given)
    if given.get("weight") is not None:
        made["weight"] = given["weight"]
    if role == "assistant" and not fields.isdisjoint(_ENDS):
        reason: Any = next((given[key] for key in _ENDS if remedy(given.get(key))), None)
        if reason is not None:
            made["finish_reason"] = reason
    return made


def _name_call(made: Message, given: dict[str, Any]) -> None:
    """Takes what names the call that a tool's message answers."""
    if given.get("tool_call_id") not in (None, ""):
        made["tool_call_id"] = given["tool_call_id"]
    if given.get("name") not in (None, ""):
        made["name"] = given["name"]


def _is_blank(value: Any) -> bool:
    """True for nothing, and for an object of nothing: servers written in Go send every field, {"name": "", ...}."""
    return not (any(value.values()) if is_object(value) else value)


def _thought_apart(given: dict[str, Any]) -> dict[str, Any]:
    """The message with reasoning that its content begins with, as Mistral's do, in a field of its own.

    A part of it is {"type": "thinking", "thinking": [{"type": "text", "text"}]}; its pieces follow each other as they
    are. Any other spelling, or reasoning behind text, stays in the content.
    """
    content: Any = given.get("content")
    if not is_list(content) or _reasoning(given):
        return given
    thoughts: list[str] = []
    for part in content:
        pieces: Any = part.get("thinking") if is_object(part) and part.get("type") == "thinking" else None
        if not is_list(pieces) or not all(is_object(one) and isinstance(one.get("text"), str) for one in pieces):
            break
        thoughts.append("".join(one["text"] for one in pieces))
    return {**given, "content": content[len(thoughts) :], "reasoning": "".join(thoughts)} if thoughts else given


def _parts(content: Any) -> list[Any]:
    if content == "":
        return []
    if is_list(content):
        return content
    return [{"type": "text", "text": content}] if isinstance(content, str) else [content]


def _reasoning(given: dict[str, Any]) -> Any:
    """The reasoning, from text or a list of text parts; a list of anything else stays, for the schema rule to name."""
    found = reasoning(given)
    if found:
        return found
    return next((text(v) for k in ("reasoning_content", "reasoning") if is_list(v := given.get(k)) and v), "")


def _thoughts(given: dict[str, Any]) -> Any:
    """The reasoning in THOUGHTS, its pieces one below the other; "" if there is none that can be read.

    A summary counts only where no piece is the text itself. Neighbours of one `index` are pieces of a stream, and
    follow each other as they are. What is encrypted, or a signature, says nothing. A list with any other piece stays,
    for the schema rule to name.
    """
    listed: Any = next((given[key] for key in THOUGHTS if given.get(key)), "")
    if not is_list(listed):
        return listed
    told: list[tuple[str, Any, str]] = []
    for piece in listed:
        kind: Any = piece.get("type") if is_object(piece) else None
        said: Any = piece.get(_PIECES[kind]) if isinstance(kind, str) and kind in _PIECES else None
        if isinstance(said, str):
            told.append((kind, piece.get("index"), said))
        elif kind not in _SEALED and (kind not in tuple(_PIECES) or said is not None):
            return listed
    told = [one for one in told if one[0] != "reasoning.summary"] or told
    if not told:
        return ""
    made = told[0][2]
    for (_, before, _), (_, index, said) in pairwise(told):
        made += said if index is not None and index == before else f"\n{said}"
    return made


def _failure(error: Any) -> Any:
    """What a tool's message without content says instead: the error's message, or the error, if that is a text."""
    said: Any = error.get("message") if is_object(error) else error
    return said if isinstance(said, str) else ""


def _with_training(made: Message, given: dict[str, Any]) -> Message:
    """The message with what TRAINS say: no if one of them, or its `train`, does; what is no yes and no no stays."""
    said: list[Any] = [given[key] for key in ("train", *TRAINS) if given.get(key) is not None]
    odd: list[Any] = [value for value in said if not isinstance(value, bool | int | float) or value not in (0, 1)]
    if said:
        made["train"] = odd[0] if odd else all(said)
    return made


def spoken(given: dict[str, Any]) -> Message:
    """One message of a sample, from a ShareGPT turn {from, value}.

    The value of one of CALLERS is a call {name, arguments} as JSON, or a list of them. One that is not becomes the call
    itself, which the schema rule names.
    """
    speaker: Any = given.get("from")
    role: Any = SPEAKERS.get(speaker, speaker) if isinstance(speaker, str) else speaker
    fields: dict[str, Any] = {**given, "role": role, "content": given.get("value")}
    if speaker in CALLERS:
        fields |= {"content": None, "tool_calls": _called(given.get("value")), "function_call": None}
    return message(fields)


def _called(value: Any) -> list[Any]:
    parsed: Any = value
    if isinstance(value, str):
        try:
            parsed = decode_json(value)
        except ValueError:
            return [value]
    listed: list[Any] = parsed if is_list(parsed) else [parsed]
    exact = all(is_object(c) and isinstance(c.get("name"), str) and set(c) <= {"name", "arguments"} for c in listed)
    return listed if listed and exact else [value]


def calls(given: dict[str, Any]) -> Any:
    """The calls of a message: `tool_calls`, nested or flat, and the older `function_call` if it says another one.

    A call without a name, or that is no object, stays as it was; so does a `tool_calls` that is no list.
    """
    listed: Any = given.get("tool_calls") or []
    if not is_list(listed):
        return listed
    made = [_call(item) for item in listed]
    older: Any = given.get("function_call")
    if not _is_blank(older):
        functions = [item["function"] for item in made if is_object(item) and "function" in item]
        only = _call(older)
        if not is_object(only) or only.get("function") not in functions:
            made.append(only)
    return made


def _call(item: Any) -> Any:
    if not is_object(item):
        return item
    function: Any = item.get("function")
    if is_object(function):
        return call(function.get("name"), function.get("arguments"), item.get("id"))
    name: Any = function if isinstance(function, str) else item.get("name")
    given: Any = item["arguments"] if "arguments" in item else item.get("args")
    return item if name is None else call(name, given, item.get("id"))


def joined(turn: Message, more: Message) -> Message | None:
    """The assistant's turn with a further piece of it; None where one turn cannot hold both exactly.

    A turn is reasoning, then text, then calls, and a piece must not come before what the turn has already: text behind
    a call stays a message of its own. Two texts, or two reasonings, are joined by a newline, as parts of content are.
    What the trace says about training is of the whole turn: pieces that differ in it stay apart. A turn with a piece
    that was cut off is one that was cut off.
    """
    said_calls = [*_calls_of(turn), *_calls_of(more)]
    if turn.get("role") != "assistant" or more.get("role") != "assistant" or not all(map(is_object, said_calls)):
        return None
    if _training(turn) != _training(more):
        return None
    has_calls, has_text = "tool_calls" in turn, turn.get("content") != ""
    if (has_calls and more.get("content") != "") or ((has_calls or has_text) and "reasoning_content" in more):
        return None
    texts: list[Any] = [piece.get("content") for piece in (turn, more) if piece.get("content") != ""]
    thoughts: list[Any] = [piece["reasoning_content"] for piece in (turn, more) if "reasoning_content" in piece]
    if any(len(some) > 1 and not all(isinstance(one, str) for one in some) for some in (texts, thoughts)):
        return None
    made: Message = {"role": "assistant", "content": _one(texts)}
    if thoughts:
        made["reasoning_content"] = _one(thoughts)
    if said_calls:
        made["tool_calls"] = said_calls
    made.update(_training(turn))
    for piece in (turn, more):
        if "finish_reason" in piece:
            made["finish_reason"] = piece["finish_reason"]
    return made


def _training(turn: Message) -> Message:
    """What the trace says about training the turn."""
    made: Message = {}
    if "train" in turn:
        made["train"] = turn["train"]
    if "weight" in turn:
        made["weight"] = turn["weight"]
    return made


def _calls_of(turn: Message) -> list[Any]:
    listed: Any = turn.get("tool_calls", [])
    return listed if is_list(listed) else [listed]


def _one(values: list[Any]) -> Any:
    return "\n".join(values) if len(values) > 1 else next(iter(values), "")


def sample(
    messages: list[Message], declared: Any = None, name: str | None = None, metadata: dict[str, Any] | None = None
) -> Sample:
    """A sample of these messages, with its tools, its id and its metadata where there are any.

    Args:
        declared: tools as the trace spells them (see normalize.tools).
    """
    made: Sample = {"messages": messages}
    nested = tools(declared)
    if nested:
        made["tools"] = nested
    if name is not None:
        made["id"] = name
    if metadata:
        made["metadata"] = metadata
    return made
