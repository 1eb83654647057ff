"""What a fix is: edits that take the findings of some rules out of a sample.

A file on the shelf `fixes/` defines one `Fix`. It says what to replace and changes nothing itself: what is reported is
therefore all that was changed, and the changes of a report, made one after the other, lead from the sample as read to
the sample as written.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.sample import Message, Path, Sample, is_object, json_path, value_at
from qwen_sft.shelf import shelf


class _Absent:
    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = _Absent()
"""Stands for no value: of a key that is not there, or is to be taken out. None is a value, JSON's null."""


@dataclass(frozen=True, slots=True)
class Edit:
    """One replacement in a sample.

    Attributes:
        path: the place of a value under a key; with `until`, of the first item of a run in a list.
        value: what comes there, or ABSENT; with `until`, the list of items that come there.
        until: the index behind the last item that is replaced.
    """

    path: Path
    value: Any
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One edit as it was made.

    Attributes:
        path, until: the place, in the sample after all changes before this one; see Edit.
        before: what stood there, or ABSENT.
        after: what stands there now, or ABSENT.
        fix: the name of the fix.
        codes: the codes of the findings for which it was asked.
    """

    path: Path
    until: int | None
    before: Any
    after: Any
    fix: str
    codes: tuple[str, ...]

    @property
    def json_path(self) -> str:
        """The place as JSONPath; a run of a list's items is a slice: `$.messages[2:4]`."""
        if self.until is None:
            return json_path(self.path)
        return f"{json_path(self.path[:-1])}[{self.path[-1]}:{self.until}]"


@dataclass(frozen=True, slots=True)
class Fix:
    """One way to mend a sample.

    Attributes:
        name: the file's name, with dashes.
        title: one line on what it does.
        codes: the rules whose findings it takes away; without such a finding it is not asked.
        safe: True if no word that a model is trained to say changes, but for what the file's docstring proves.
        edits: what to replace, given the sample and its findings of those codes; nothing where there is no exact way.
            The places do not overlap. Whatever it leaves unfixed, it leaves as it is, and once its edits are made it
            has no more of them.
    """

    name: str
    title: str
    codes: tuple[str, ...]
    safe: bool
    edits: Callable[[Transcript, Sequence[Finding]], Iterable[Edit]]


def in_turn(edits: Iterable[Edit]) -> list[Edit]:
    """The edits of one fix in an order in which each can be made after the other, at the place that it names.

    Values come before runs, and a list's last run before its first: what is still to be edited does not move then.
    """
    return sorted(edits, key=lambda e: (0, 0, 0) if e.until is None else (1, -len(e.path), -e.until))


def edited(sample: Sample, edits: Iterable[Edit]) -> Sample:
    """The sample after some edits, one after the other; the given one stays as it is."""
    made: Any = sample
    for edit in edits:
        if edit.until is None:
            made = _put(made, edit.path, edit.value)
        else:
            listed: Any = value_at(made, edit.path[:-1])
            start = cast("int", edit.path[-1])
            made = _put(made, edit.path[:-1], [*listed[:start], *edit.value, *listed[edit.until :]])
    return cast("Sample", made)  # fixes keep to its shape, which SCH001 checks again


def changes(sample: Sample, edits: Iterable[Edit], fix: str, codes: tuple[str, ...]) -> list[Change]:
    """The edits of a fix, in turn, with what stood in their places."""
    made: list[Change] = []
    for edit in edits:
        if edit.until is None:
            before = value_or_absent(sample, edit.path)
        else:
            before = value_at(sample, edit.path[:-1])[edit.path[-1] : edit.until]
        made.append(Change(edit.path, edit.until, before, edit.value, fix, codes))
    return made


def value_or_absent(value: Any, path: Path) -> Any:
    """What stands at a place; ABSENT where nothing does."""
    holder = value_at(value, path[:-1])
    if path and is_object(holder) and path[-1] not in holder:
        return ABSENT
    return value_at(value, path)


def _put(value: Any, path: Path, new: Any) -> Any:
    if not path:
        return new
    step, rest = path[0], path[1:]
    if is_object(value):
        if not rest and new is ABSENT:
            return {key: inner for key, inner in value.items() if key != step}
        return {**value, step: _put(value.get(cast("str", step)), rest, new)}
    made: list[Any] = list(value)
    made[cast("int", step)] = _put(made[cast("int", step)], rest, new)
    return made


# -- what several fixes ask for ----------------------------------------------------------------------------------------


def replaced(index: int, messages: Sequence[Message]) -> Edit:
    """One message becomes several."""
    return Edit(("messages", index), list(messages), until=index + 1)


def rearranged(messages: Sequence[Message], order: Sequence[int]) -> list[Edit]:
    """Some of the messages, in another order: one edit from the first to the last that is not in its place."""
    start = 0
    while start < len(order) and order[start] == start:
        start += 1
    end, last = len(order), len(messages)
    while end > start and order[end - 1] == last - 1:
        end, last = end - 1, last - 1
    return [Edit(("messages", start), [messages[i] for i in order[start:end]], until=last)] if last > start else []


def fixes() -> dict[str, Fix]:
    """The shelf `fixes/`, by name."""
    return shelf("fixes", Fix, lambda thing: thing.name)
