"""Sessions as trees: turns that were taken back and asked anew, and what of it becomes a sample.

Coding agents log each turn with its parent. Where a user goes back and asks again, the log holds both ways, and each
way from a root to a leaf is what a model saw: a sample of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from qwen_sft.chat import sample
from qwen_sft.format import Conversation, Event
from qwen_sft.sample import Message, Path
from qwen_sft.story import Story

UNANSWERED = "a prompt that was never answered"


@dataclass(eq=False, slots=True)
class Turn:
    """A user's turn, or an answer with the results of its calls.

    Attributes:
        parent: the turn before it; None for a root.
        restarts: True for a root that follows on what was there before, with a history of its own (a compaction).
        story: its messages.
        labels: what holds for a sample that ends with it, such as its finish_reason.
    """

    parent: "Turn | None"
    restarts: bool = False
    story: Story = field(default_factory=Story)
    labels: dict[str, Any] = field(default_factory=dict[str, Any])

    @property
    def answers(self) -> bool:
        """True if a model speaks in it."""
        return any(message.get("role") == "assistant" for message in self.story.messages)


@dataclass(eq=False, slots=True)
class Thread:
    """One conversation of a session while it is read: the turns so far, and the one that was said last (`tip`)."""

    turns: list[Turn] = field(default_factory=list[Turn])
    tip: Turn | None = None
    _restarts: bool = False
    _steps: set[Turn] = field(default_factory=set[Turn])

    def go_on(self, *, step: bool = True) -> Turn:
        """A new turn behind the last one; `step` is False for what a program adds to the conversation by itself."""
        return self._grow(self.tip, step)

    def ask(self, parent: Turn | None) -> Turn:
        """A user's prompt behind a turn; where others stand behind that already, they were left for this one.

        Turns that the program added by itself do not count: results of parallel calls have several parents.
        """
        between = self.tip
        while between is not None and between is not parent and between not in self._steps:
            between = between.parent
        return self._grow(self.tip if between is parent else parent, step=True)

    def restart(self) -> None:
        """What is said next has a history of its own."""
        self.tip = None
        self._restarts = True

    def _grow(self, parent: Turn | None, step: bool) -> Turn:
        turn = Turn(parent, restarts=self._restarts)
        self._restarts = False
        self.turns.append(turn)
        self.tip = turn
        if step:
            self._steps.add(turn)
        return turn


@dataclass(frozen=True, slots=True)
class Branch:
    """A way from a root to a leaf; `abandoned` if the user left it for another one."""

    turns: list[Turn]
    abandoned: bool


def branches(turns: Sequence[Turn]) -> list[Branch]:
    """The ways from the roots to the leaves, in the order in which the leaves were said."""
    last_child: dict[Turn | None, Turn] = {}
    for turn in turns:
        if not turn.restarts:
            last_child[turn.parent] = turn
    order = {turn: number for number, turn in enumerate(turns)}
    found: list[Branch] = []
    for leaf in turns:
        if leaf in last_child:
            continue
        way: list[Turn] = []
        turn: Turn | None = leaf
        while turn is not None:
            way.append(turn)
            turn = turn.parent
        way.reverse()
        newest = last_child.get(None, way[0])
        left = order[newest] > order[way[0]] or any(last_child[one.parent] is not one for one in way[1:])
        found.append(Branch(way, left))
    return found


def conversations(
    turns: Sequence[Turn], name: str | None, metadata: dict[str, Any]
) -> tuple[list[Conversation], list[Event]]:
    """A sample for each branch with an answer of its own, and the fate of the events that are no message.

    What several branches share is trained in the last of them: in the others its answers have `train: false`. The
    first sample has the name, the others the name and a number. A branch that was left has the label
    `branch: abandoned`.
    """
    made: list[Conversation] = []
    aside = {event.path: event for turn in turns for event in turn.story.aside}
    told: set[Turn] = set()
    for branch in reversed(branches(turns)):
        own = [turn for turn in branch.turns if turn not in told]
        if not any(turn.answers for turn in own):
            for turn in own:
                for place in turn.story.origins:
                    aside.setdefault(place, Event(place, "dropped", UNANSWERED))
            continue
        messages: list[Message] = []
        origins: list[Path] = []
        for turn in branch.turns:
            messages += map(_untrained, turn.story.messages) if turn in told else turn.story.messages
            origins += turn.story.origins
        told.update(own)
        labels = {**metadata, **branch.turns[-1].labels, **({"branch": "abandoned"} if branch.abandoned else {})}
        made.append(Conversation(sample(messages, None, name, labels), origins))
    made.reverse()
    for number, conversation in enumerate(made[1:], start=2):
        if name is not None:
            conversation.sample["id"] = f"{name}#{number}"
    return made, list(aside.values())


def _untrained(message: Message) -> Message:
    return {**message, "train": False} if message.get("role") == "assistant" else message
