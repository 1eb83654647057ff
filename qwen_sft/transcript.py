"""A sample with what rules ask of it again and again, computed once: which result answers which call."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from qwen_sft.sample import Message, Sample, Tool, ToolCall
from qwen_sft.settings import Settings


@dataclass(frozen=True, slots=True)
class Exchange:
    """An assistant turn with calls, and the tool messages directly behind it.

    Attributes:
        turn: index of the assistant message.
        calls: its calls, in order.
        results: indices of the tool messages that directly follow it.
        answers: for each call the index of the message that answers it, or None.
        unmatched: those of `results` that answer none of the calls.
    """

    turn: int
    calls: list[ToolCall]
    results: list[int]
    answers: list[int | None]
    unmatched: list[int]


class Transcript:
    """A sample and the pairing of its calls and results.

    Pairing is within a turn, because ids are reused across turns in a quarter of real traces: results with an id answer
    the first open call of that id; results without one answer the open calls in order.
    """

    def __init__(self, sample: Sample, settings: Settings) -> None:
        self.sample = sample
        self.settings = settings
        self.messages: list[Message] = sample.get("messages", [])
        self.tools: list[Tool] = sample.get("tools", [])

    @cached_property
    def exchanges(self) -> list[Exchange]:
        """Every assistant turn that calls, in order."""
        return [
            self._exchange(i)
            for i, message in enumerate(self.messages)
            if message.get("role") == "assistant" and message.get("tool_calls")
        ]

    def _exchange(self, turn: int) -> Exchange:
        calls = self.messages[turn].get("tool_calls", [])
        end = turn + 1
        while end < len(self.messages) and self.messages[end].get("role") == "tool":
            end += 1
        results = list(range(turn + 1, end))
        answers: list[int | None] = [None] * len(calls)
        unmatched: list[int] = []
        without_id: list[int] = []
        for result in results:
            wanted = self.messages[result].get("tool_call_id")
            if wanted is None:
                without_id.append(result)
                continue
            open_calls = [k for k, call in enumerate(calls) if call.get("id") == wanted and answers[k] is None]
            if open_calls:
                answers[open_calls[0]] = result
            elif any("id" in call for call in calls):
                unmatched.append(result)
            else:
                without_id.append(result)
        for result in without_id:
            if None in answers:
                answers[answers.index(None)] = result
            else:
                unmatched.append(result)
        return Exchange(turn, calls, results, answers, unmatched)

    @cached_property
    def stray_results(self) -> list[int]:
        """Indices of tool messages that do not stand behind a turn with calls."""
        placed = {result for exchange in self.exchanges for result in exchange.results}
        return [i for i, m in enumerate(self.messages) if m.get("role") == "tool" and i not in placed]

    @cached_property
    def trailing(self) -> Exchange | None:
        """The last exchange if it ends the sample with a call that has no result; else None."""
        if not self.exchanges:
            return None
        last = self.exchanges[-1]
        ends = last.turn + len(last.results) == len(self.messages) - 1
        return last if ends and None in last.answers and not last.unmatched else None

    @cached_property
    def turns(self) -> list[int]:
        """Indices of the assistant messages."""
        return [i for i, message in enumerate(self.messages) if message.get("role") == "assistant"]

    @cached_property
    def declared(self) -> dict[str, Any]:
        """The parameters' JSON Schema of each declared tool, by its name; None where it declares none."""
        named: dict[str, Any] = {}
        for tool in self.tools:
            function = tool.get("function", {})
            if "name" in function:
                named.setdefault(function["name"], function.get("parameters"))
        return named
