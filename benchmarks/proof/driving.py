"""Drives a model through tasks as an agent's harness does, and judges what it did.

A round: the model speaks, the server's parser (`qwen_sft.serving.parse`) reads calls in what it said, the tools execute
them, their results go back into the conversation. It ends with a turn that calls nothing, or with a wrong call.
"""

import json
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from workflows import Call, Message, Task

from qwen_sft.serving.parse import parse_turn
from qwen_sft.serving.server import serving

ROUNDS = 5
"""Most turns of the model in a run; a task needs three."""


@dataclass(frozen=True, slots=True)
class Said:
    """One turn as it was generated: the text up to the stop token, and whether that token came."""

    text: str
    stopped: bool


Say = Callable[[Sequence["Run"]], list[Said]]
"""The next turn of each of these conversations."""


@dataclass(slots=True)
class Run:
    """A task on its way.

    Attributes:
        messages: the conversation so far, as the chat template gets it.
        said: what the model generated, turn by turn.
        calls: what the server's parser read in each of these turns; the arguments are whatever JSON the model wrote.
        answer: the words of the last turn; None while the run goes on, and if it never came to its end.
    """

    task: Task
    messages: list[Message]
    said: list[Said] = field(default_factory=list[Said])
    calls: list[list[Call]] = field(default_factory=list[list[Call]])
    answer: str | None = None


def drive(tasks: Sequence[Task], say: Say) -> list[Run]:
    """The runs of tasks, which the model works on side by side."""
    runs = [Run(task, [{"role": "user", "content": task.prompt}]) for task in tasks]
    parser = serving("vllm").parser("hermes")
    going = runs
    for _ in range(ROUNDS):
        if not going:
            break
        for run, said in zip(going, say(going), strict=True):
            read = parse_turn(said.text, run.task.tools, parser=parser, thinking=True)
            run.said.append(said)
            run.calls.append(list(read.calls))
            if not read.calls and said.stopped:
                run.answer = read.content or ""
            # Without the newlines that servers leave around both: the template would print them before a call.
            _go_on(run, (read.content or "").strip(), (read.reasoning or "").strip())
        going = [run for run in going if run.said[-1].stopped and _on_track(run)]
    return runs


def _on_track(run: Run) -> bool:
    """Whether a run has made all calls that it should have by now, and no others; what comes behind a wrong one is not
    asked for: models that run on take the longest."""
    steps = [run.task.finds(), run.task.forecasts()]
    return bool(run.calls[-1]) and run.calls == steps[: len(run.calls)]


def _go_on(run: Run, content: str, reasoning: str) -> None:
    """Puts the model's turn and the results of its calls into the conversation."""
    first = len(run.messages)
    calls = [
        {"id": f"call_{first + n}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for n, (name, arguments) in enumerate(run.calls[-1])
    ]
    turn: Message = {"role": "assistant", "content": content, "reasoning_content": reasoning}
    run.messages.append({**turn, "tool_calls": calls} if calls else turn)
    for n, call in enumerate(run.calls[-1]):
        run.messages.append({"role": "tool", "tool_call_id": f"call_{first + n}", "content": run.task.execute(call)})


# -- what is right ----------------------------------------------------------------------------------------------------


def fault(run: Run) -> str | None:
    """The first thing that is wrong with a run; None where all is right.

    Right is a greeting that is answered without a call; else the calls of the first step, then those of the second with
    what the first gave, each with the right arguments and nothing beside them, then an answer that says of each place
    what the tools said of it.
    """
    task, calls = run.task, run.calls
    if task.kind == "greeting":
        return "calls a tool" if calls[0] else "never stops" if run.answer is None else None
    finds, forecasts = task.finds(), task.forecasts()
    if calls[0] != finds:
        early = calls[0][: len(finds)] == finds
        return "makes the second call before the first has its result" if early else "the first call is wrong"
    if calls[1:2] != [forecasts]:
        return "the second call is wrong"
    if calls[2:] != [[]] or run.answer is None:
        return "does not come to an end"
    missing = [words for words in task.answers() if words not in run.answer]
    return "the answer does not have the tool's values" if missing else None


@dataclass(frozen=True, slots=True)
class Score:
    """How many of some runs are right, and what is wrong with the others."""

    n_right: int
    n: int
    faults: dict[str, int]

    @property
    def all_right(self) -> bool:
        """True if there were runs, and nothing is wrong with any."""
        return self.n_right == self.n > 0

    def __str__(self) -> str:
        why = "; ".join(f"{n} {says}" for says, n in self.faults.items())
        return f"{self.n_right} of {self.n}" + (f" ({why})" if why else "")


def score(runs: Sequence[Run]) -> Score:
    """What became of runs."""
    faults = Counter(says for run in runs if (says := fault(run)) is not None)
    return Score(len(runs) - faults.total(), len(runs), dict(faults.most_common()))


def told(run: Run) -> str:
    """A run to read: every turn as it was generated, and every result."""
    said = iter(run.said)
    lines = [
        next(said).text if message["role"] == "assistant" else f"{message['role']}: {message['content']}"
        for message in run.messages
    ]
    return "\n".join([*lines, f"=> {fault(run) or 'right'}, {json.dumps(run.calls)}"])
