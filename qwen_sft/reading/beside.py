"""What a row says beside its list of turns: the system prompt before them, and the answer that they lead to."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from qwen_sft.format import Event
from qwen_sft.reading.chat import message
from qwen_sft.sample import Message, Path, is_list, is_object
from qwen_sft.text.normalize import text

SYSTEMS = ("system", "system_prompt", "instructions")
"""Columns with a system prompt."""

ANSWERS = ("response", "completion", "output", "answer")
"""Columns with the last answer: a text, a message or a list of messages."""

_SAID_ABOVE = "repeats what the turns say"
_REFERENCE = "answer"  # in rows with a whole conversation it is what the answer should come to


@dataclass(frozen=True, slots=True)
class Beside:
    """The turns of a row together with what stands beside them.

    Attributes:
        messages, origins: of the whole conversation.
        aside: the columns that are no turn of it.
        columns: those that are told, and are no labels therefore.
        has_texts: True if a message is made of a column that is a text, in which no field of a message can be named.
    """

    messages: list[Message]
    origins: list[Path]
    aside: list[Event] = field(default_factory=list[Event])
    columns: frozenset[str] = frozenset()
    has_texts: bool = False


def places_before(row: Any) -> list[Path]:
    """The places of the system prompts beside the turns."""
    return [(key,) for key in _prompts(row)] if is_object(row) else []


def _prompts(row: dict[str, Any]) -> list[str]:
    return [key for key in SYSTEMS if _is_prompt(key, row.get(key))]


def _is_prompt(key: str, given: Any) -> bool:
    said = text(given)
    return bool(said.strip()) if isinstance(said, str) else bool(given) and key == SYSTEMS[0]


def places_behind(row: Any) -> list[Path]:
    """The places of the answers beside the turns: a text, a message, or each message of a list."""
    return [place for key in ANSWERS for place, _ in _answer(row, key)] if is_object(row) else []


def _answer(row: dict[str, Any], key: str) -> list[tuple[Path, Message]]:
    given: Any = row.get(key)
    if isinstance(given, str):
        return [((key,), {"role": "assistant", "content": given})] if given.strip() else []
    if is_object(given):
        return [((key,), message({"role": "assistant", **given}))] if _is_message(given) else []
    if not is_list(given) or not all(is_object(one) and isinstance(one.get("role"), str) for one in given):
        return []
    return [((key, i), message(one)) for i, one in enumerate(given)]


def _is_message(given: dict[str, Any]) -> bool:
    if "role" in given:
        return isinstance(given["role"], str)
    return isinstance(given.get("content"), str) or is_list(given.get("tool_calls"))


def with_beside(row: dict[str, Any], messages: Sequence[Message], origins: Sequence[Path], *, answers: bool) -> Beside:
    """The conversation of a row: its turns, a system prompt before them if they have none, and the answer behind them.

    What the turns say already is merged. Another system prompt, or another answer than the one that they end with, has
    no place in the conversation: it is dropped, and lost.

    Args:
        row: that holds the turns.
        messages: that the turns come to.
        origins: their places.
        answers: whether to look for answers too.
    """
    before, aside = _prompt(row, [one.get("content") for one in messages if one.get("role") == "system"])
    made = [*(message for _, message in before), *messages]
    places = [*(place for place, _ in before), *origins]
    has_texts = bool(before)
    for key in ANSWERS if answers else ():
        told = _answer(row, key)
        if told and _ends_with(made, [one for _, one in told]):
            aside += [Event(place, "merged", _SAID_ABOVE) for place, _ in told]
        elif told and made and made[-1].get("role") == "assistant":
            reason = f"another answer, in {key!r}, than the one that the turns end with"
            aside += [Event(place, "dropped", reason, loses=key != _REFERENCE) for place, _ in told]
        elif told:
            made += [one for _, one in told]
            places += [place for place, _ in told]
            has_texts = has_texts or isinstance(row[key], str)
    kept = {*places, *(event.path for event in aside if event.fate == "merged")}
    columns = {str(place[0]) for place in kept if place and place[0] in (*SYSTEMS, *ANSWERS)}
    return Beside(made, places, aside, frozenset(columns), has_texts)


def _prompt(row: dict[str, Any], known: Sequence[Any]) -> tuple[list[tuple[Path, Message]], list[Event]]:
    """The first system prompt beside the turns, unless these have one, and what becomes of the others."""
    kept: list[tuple[Path, Message]] = []
    aside: list[Event] = []
    for key in _prompts(row):
        said = text(row[key])
        told = [*known, *(message.get("content") for _, message in kept)]
        if not told:
            kept.append(((key,), {"role": "system", "content": said}))
        elif any(_bare(said) == _bare(one) for one in told):
            aside.append(Event((key,), "merged", _SAID_ABOVE))
        else:
            aside.append(Event((key,), "dropped", "another system prompt than that of the turns", loses=True))
    return kept, aside


def _bare(content: Any) -> Any:
    return content.strip() if isinstance(content, str) else content


def _ends_with(messages: Sequence[Message], told: Sequence[Message]) -> bool:
    """True if the last messages are these; the text of a lone answer may leave out what its turn says before it."""
    tail = messages[-len(told) :]
    if len(told) == 1 and tail and tail[0].get("role") == told[0].get("role") == "assistant":
        (said,) = told
        above, content = tail[0].get("content"), said.get("content")
        if set(said) == {"role", "content"} and isinstance(above, str) and isinstance(content, str):
            return above.strip().endswith(content.strip())
    gist = ("role", "content", "tool_calls")
    spelled = [[[_bare(one.get(key)) for key in gist] for one in some] for some in (tail, told)]
    return spelled[0] == spelled[1]
