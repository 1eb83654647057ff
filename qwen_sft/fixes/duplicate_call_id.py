"""Calls of one turn that share an id, with results that share it too.

Safe: no Qwen template prints an id. The pairs stay those that they are: the n-th result of an id answers its n-th call.
Where one of them has no result, or a result names another tool than its call, it cannot be told who answers whom.
"""

from collections.abc import Iterator, Sequence

from qwen_sft.finding import Finding
from qwen_sft.fix import Edit, Fix
from qwen_sft.inspecting.transcript import Exchange, Transcript


def _edits(transcript: Transcript, findings: Sequence[Finding]) -> Iterator[Edit]:
    turns = {int(finding.path[1]) for finding in findings}
    taken = {str(call["id"]) for exchange in transcript.exchanges for call in exchange.calls if "id" in call}
    taken.update(str(message["tool_call_id"]) for message in transcript.messages if "tool_call_id" in message)
    for exchange in transcript.exchanges:
        if exchange.turn in turns:
            yield from _renamed(transcript, exchange, taken)


def _renamed(transcript: Transcript, exchange: Exchange, taken: set[str]) -> Iterator[Edit]:
    ids = [call.get("id") for call in exchange.calls]
    for k, name in enumerate(ids):
        same = [j for j, other in enumerate(ids) if other == name]
        if name is None or k == same[0] or not all(_is_answered(transcript, exchange, j) for j in same):
            continue
        number = 2
        while f"{name}_{number}" in taken:
            number += 1
        taken.add(f"{name}_{number}")
        yield Edit(("messages", exchange.turn, "tool_calls", k, "id"), f"{name}_{number}")
        yield Edit(("messages", exchange.answers[k] or 0, "tool_call_id"), f"{name}_{number}")


def _is_answered(transcript: Transcript, exchange: Exchange, k: int) -> bool:
    answer = exchange.answers[k]
    if answer is None or transcript.messages[answer].get("tool_call_id") != exchange.calls[k].get("id"):
        return False
    called = exchange.calls[k]["function"]["name"]
    return transcript.messages[answer].get("name", called) == called


FIX = Fix(
    name="duplicate-call-id",
    title="gives calls of a turn that share an id, and their results, ids of their own",
    codes=("TOL007",),
    safe=True,
    edits=_edits,
)
