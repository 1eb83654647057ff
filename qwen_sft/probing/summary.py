"""What a probe found: in lines for people, and as one document for programs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from qwen_sft import __version__
from qwen_sft.probing.fault import Fault
from qwen_sft.probing.run import Conversation, Outcome

NOTHING = "nothing was checked: no answer made a call, so nothing is known of how the server reads them"


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a summary.

    Attributes:
        style: of its first word, as in `qwen_sft.text.terminal`; "" for none.
    """

    text: str
    style: str = ""


@dataclass(frozen=True, slots=True)
class Seen:
    """A kind of fault, and where it was found."""

    first: Fault
    where: Conversation | None
    n: int


def exit_code(outcome: Outcome, min_rate: float) -> int:
    """0 if all is well, 1 for faults, 3 if no answer says anything of calls.

    Args:
        min_rate: the share of conversations that must be without a fault; those of the server are never forgiven.
    """
    if outcome.blamed:
        return 1
    if outcome.is_empty:
        return 3
    return int(outcome.n_well / len(outcome.conversations) < min_rate)


def seen(outcome: Outcome) -> list[Seen]:
    """Each kind of fault once, those of the server first, in the order in which they were found."""
    found: dict[tuple[str, bool], Seen] = {}
    for each in outcome.prompts:
        if each.same is False:
            old = found.get(("prompt-differs", False))
            first = old.first if old else Fault("prompt-differs", f"{each.name}: {each.says}")
            found["prompt-differs", False] = Seen(first, None, old.n + 1 if old else 1)
    for conversation in outcome.conversations:
        for key, fault in {(fault.kind, fault.in_stream): fault for fault in reversed(conversation.faults)}.items():
            old = found.get(key)
            found[key] = Seen(old.first, old.where, old.n + 1) if old else Seen(first=fault, where=conversation, n=1)
    return sorted(found.values(), key=lambda one: one.first.blame == "model")


def summary(outcome: Outcome, base_url: str) -> Iterator[Line]:
    """The summary, line by line; what a server sent stands in it as it was, without the key."""
    held = outcome.conversations
    owner = f" ({outcome.server.owner})" if outcome.server.owner else ""
    yield Line(f"{base_url} serves {outcome.asked.model!r}{owner}")
    yield Line(f"{_n(len(held), 'conversation')}: {outcome.n_well} without a fault")
    yield Line(f"  calls extracted                {_extracted(outcome)}")
    taken = [each.accepted for each in held if each.accepted is not None]
    told = [each.told for each in held if each.told is not None]
    yield Line(f"  calls and results taken back   {_share(taken)}")
    yield Line(f"  answers with the tools' values {_share(told)}")
    if outcome.prompts:
        same = [each for each in outcome.prompts if each.same]
        by = ", ".join(dict.fromkeys(each.by for each in same))
        yield Line(
            f"  prompts as ours                {len(same)} of {len(outcome.prompts)}{f', by {by}' if by else ''}"
        )
    for one in seen(outcome):
        fault, style = one.first, "error" if one.first.blame == "server" else "warning"
        yield Line(f"{style} {fault.kind}: {_place(one)}", style)
        yield Line(f"    {fault.says}")
        yield Line(f"    fix: {outcome.fix(fault)}")
    for note in outcome.notes:
        yield Line(f"not checked: {note}")
    if outcome.is_empty and not outcome.blamed:
        yield Line(NOTHING)


def document(outcome: Outcome, base_url: str, code: int) -> dict[str, Any]:
    """The same for programs; as schemas/probe.schema.json has it."""
    return {
        "qwen_sft": __version__,
        "base_url": base_url,
        "model": outcome.asked.model,
        "server": outcome.server.owner or None,
        "exit_code": code,
        "n_conversations": len(outcome.conversations),
        "n_well": outcome.n_well,
        "extracted": {
            choice: {"n": sum(each.extracted for each in some), "of": len(some)}
            for choice, some in _by_choice(outcome).items()
        },
        "faults": [
            {
                "kind": one.first.kind,
                "blame": one.first.blame,
                "n": one.n,
                "first": None if one.where is None else one.where.number,
                "in_stream": one.first.in_stream,
                "says": one.first.says,
                "fix": outcome.fix(one.first),
            }
            for one in seen(outcome)
        ],
        "prompts": [
            {"name": each.name, "same": each.same, "by": each.by or None, "says": each.says or None}
            for each in outcome.prompts
        ],
        "conversations": [
            {
                "number": each.number,
                "task": each.task,
                "tool_choice": each.choice,
                "answered": each.answered,
                "extracted": each.extracted,
                "accepted": each.accepted,
                "told": each.told,
                "faults": [fault.kind for fault in each.faults],
            }
            for each in outcome.conversations
        ],
        "notes": list(outcome.notes),
    }


def _by_choice(outcome: Outcome) -> dict[str, list[Conversation]]:
    """The conversations by how they named the tool."""
    found: dict[str, list[Conversation]] = {choice: [] for choice in outcome.asked.choices}
    for each in outcome.conversations:
        found[each.choice].append(each)
    return {choice: some for choice, some in found.items() if some}


def _extracted(outcome: Outcome) -> str:
    by = _by_choice(outcome)
    every = [each.extracted for some in by.values() for each in some]
    parts = [f"{choice} {_share([each.extracted for each in some])}" for choice, some in by.items()]
    return _share(every) + (f": {', '.join(parts)}" if len(parts) > 1 else "")


def _share(each: list[bool]) -> str:
    return f"{sum(each)} of {len(each)}" if each else "-"


def _place(one: Seen) -> str:
    if one.where is None:
        return _n(one.n, "prompt")
    stream = " as a stream" if one.first.in_stream else ""
    first = f"{one.where.number} ({one.where.task}, {one.where.choice}){stream}"
    return f"in conversation {first}" if one.n == 1 else f"in {one.n} conversations, first in {first}"


def _n(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"
