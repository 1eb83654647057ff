"""Sessions as trees: turns that were taken back and asked anew, and what of it becomes a sample.

Coding agents log each turn with its parent. Where a user goes back and asks again, the log holds both ways, and each
way from a root to a leaf is what a model saw: a sample of its own.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from qwen_sft.format import Conversation, Event, Reading
from qwen_sft.reading.chat import sample
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.story import JOINED, Story, refused
from qwen_sft.sample import Message, Path

UNANSWERED = "a prompt that was never answered"
BEHIND_GAP = "a turn behind one whose beginning is not in this record"


@dataclass(eq=False, slots=True)
class Turn:
    """A user's turn, or an answer with the results of its calls.

    Attributes:
        parent: the turn before it; None for a root.
        restarts: True for one that follows on what was there before, with another history (a compaction).
        story: its messages.
        labels: what holds for a sample that ends with it, such as its finish_reason.
        missing: the name of a line that it rests on and that the record does not hold; None if it holds all of them.
    """

    parent: "Turn | None"
    restarts: bool = False
    story: Story = field(default_factory=Story)
    labels: dict[str, Any] = field(default_factory=dict[str, Any])
    missing: str | None = None

    @property
    def answers(self) -> bool:
        """True if a model speaks in it."""
        return any(message.get("role") == "assistant" for message in self.story.messages)


@dataclass(eq=False, slots=True)
class Answer:
    """One answer of a model whose pieces, and the results of its calls, stand in a log in any order."""

    turn: Turn
    pieces: list[tuple[Path, Message]] = field(default_factory=list[tuple[Path, Message]])
    results: list[tuple[Path, Message]] = field(default_factory=list[tuple[Path, Message]])

    def tell(self, reason: str = JOINED) -> None:
        """Makes the turn of it: the pieces joined, and behind them the results."""
        story = self.turn.story
        called: dict[str | None, Message] = {}
        for place, piece in self.pieces:
            name = call_id(piece)
            if name is not None and called.get(name) == piece:
                story.merge(place, "repeats a call")
            else:
                story.join(place, piece, reason)
            called[name] = piece
        answered: dict[str | None, Message] = {}
        for place, result in self.results:
            name = result.get("tool_call_id")
            if name is not None and answered.get(name) == result:
                story.merge(place, "repeats a result")
            else:
                story.keep(place, result)
            answered[name] = result
        self.pieces, self.results = [], []


def call_id(piece: Message) -> str | None:
    """The id of the first call of a turn."""
    found: Any = next((one.get("id") for one in piece.get("tool_calls", [])), None)
    return found if isinstance(found, str) else None


@dataclass(eq=False, slots=True)
class Thread:
    """One conversation of a session while it is read, its own or a sub-agent's.

    Attributes:
        name: of its samples.
        turns: what was said so far, in order.
        tip: the turn that was said last.
        linked: True once a line of it has a parent that is known.
        labels: metadata of its samples.
    """

    name: str | None = None
    turns: list[Turn] = field(default_factory=list[Turn])
    tip: Turn | None = None
    linked: bool = False
    labels: dict[str, Any] = field(default_factory=dict[str, Any])
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

    def say(self, parent: Turn | None, *, restarts: bool = False) -> Turn:
        """A new turn behind the one that the log names."""
        self._restarts = restarts
        return self._grow(parent, step=True)

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


class Tree:
    """A session whose lines name themselves (`uuid`) and their parents (`parentUuid`), and its sub-agents.

    A sub-agent's lines have an `agentId`, or `isSidechain` and a parent that has it. A turn whose parent the record
    does not hold was said in a context that we do not know: it becomes no sample, nor does what stands behind it.

    Args:
        name: of the session.
    """

    def __init__(self, name: str | None) -> None:
        self._name = name
        self._threads: dict[str | None, Thread] = {}
        self._lines: dict[str, tuple[Thread, Turn | None]] = {}
        self._gaps: dict[str, str] = {}  # lines that are no turns, and the line above them that is not there
        self._gap: str | None = None  # above the line that is being read
        self._n_turns = 0  # of its conversation, before it

    def thread(self, line: dict[str, Any]) -> Thread:
        """The conversation that a line belongs to."""
        agent: Any = line.get("agentId") if line.get("isSidechain") else line.get("parent_tool_use_id")
        if not isinstance(agent, str):
            agent = self._beside(line) if line.get("isSidechain") is True else None
        if agent not in self._threads:
            self._threads[agent] = Thread("/".join(filter(None, (self._name, agent))) or None)
        return self._threads[agent]

    def _beside(self, line: dict[str, Any]) -> str:
        """The name of the sub-agent of a line that has none: its parent's, or the last one where that is not there."""
        above: Any = line.get("parentUuid")
        side = [name for name in self._threads if name is not None]
        thread, _ = self._lines.get(above, (None, None)) if isinstance(above, str) else (None, None)
        found = next((name for name in side if self._threads[name] is thread), side[-1] if above and side else None)
        return found or f"sidechain-{len(side) + 1}"

    def parent(self, line: dict[str, Any], thread: Thread, *, is_prompt: bool) -> Turn | None:
        """The turn that a line follows: the last one where it names none, or one of a line that is not there.

        Only a prompt begins a conversation anew by naming none, and only where other lines do name their parents.
        """
        above: Any = line.get("parentUuid")
        self._n_turns = len(thread.turns)
        self._gap = None
        if isinstance(above, str) and not line.get("isCompactSummary"):
            self._gap = self._gaps.get(above) if above in self._lines else above
        if isinstance(above, str) and above in self._lines and self._lines[above][0] is thread:
            thread.linked = True
            return self._lines[above][1]
        return None if is_prompt and "parentUuid" in line and above is None and thread.linked else thread.tip

    def told(self, line: dict[str, Any], thread: Thread, turn: Turn | None) -> None:
        """Lines whose parent is this one follow that turn."""
        name: Any = line.get("uuid")
        if isinstance(name, str):
            self._lines[name] = (thread, turn)
        if self._gap is None:
            return
        begun = thread.turns[self._n_turns :]
        if not begun and turn is not None and line.get("type") == "assistant":
            begun = [turn]  # another piece of it
        for one in begun:
            one.missing = None if one.restarts else self._gap  # a compaction's summary is what it rests on
        if not begun and isinstance(name, str):
            self._gaps[name] = self._gap

    def reading(self, aside: list[Event], labels: Sequence[Any] = ()) -> Reading:
        """The samples of all conversations; `aside` is what became of the lines that are in none, `labels` theirs."""
        made: list[Conversation] = []
        aside = list(aside)
        cut: list[Turn] = []
        for thread in self._threads.values():
            for turn in thread.turns:
                if turn.missing in self._lines:  # it stands below its child
                    turn.missing = None
            cut += [turn for turn in thread.turns if turn.missing is not None and turn.story.origins]
            found, rest = conversations(thread.turns, thread.name, metadata(thread.labels, *labels))
            made += found
            aside += rest
        if not made and cut:
            fix = "give the whole session, its lines in order and in one file"
            return refused(cut[0].story.origins[0], _gap(cut[0].missing), fix)
        if not made:
            return refused((), "no line of the session is a model's answer", "leave the session out")
        return Reading(made, aside)


def _gap(name: str | None) -> str:
    return f"what was said before is not in this record: no line has the uuid {name!r} that it names as parent"


@dataclass(frozen=True, slots=True)
class Branch:
    """A way from a root to a leaf; `abandoned` if the user left it for another one."""

    turns: list[Turn]
    abandoned: bool


def branches(turns: Sequence[Turn]) -> list[Branch]:
    """The ways from the roots to the leaves, in the order in which the leaves were said."""
    last_child = {turn.parent: turn for turn in turns if not turn.restarts}
    order = {turn: number for number, turn in enumerate(turns)}
    parents = {turn.parent for turn in turns}
    found: list[Branch] = []
    for leaf in turns:
        if leaf in parents:
            continue
        way: list[Turn] = []
        turn: Turn | None = leaf
        while turn is not None:
            way.append(turn)
            turn = turn.parent
        way.reverse()
        newest = last_child.get(None, way[0])
        left = any(not one.restarts and last_child[one.parent] is not one for one in way[1:])
        found.append(Branch(way, left or order[newest] > order[way[0]]))
    return found


def conversations(
    turns: Sequence[Turn], name: str | None, given: dict[str, Any], declared: Any = None
) -> tuple[list[Conversation], list[Event]]:
    """A sample for each branch with an answer of its own, and the fate of the events that are no message.

    What several branches share is trained in the last of them: in the others its answers have `train: false`. The
    first sample has the name, the others the name and a number. A branch that was left has the label
    `branch: abandoned`. A turn that rests on one that is missing is left out, and so is what stands behind it.
    """
    made: list[Conversation] = []
    aside = {event.path: event for turn in turns for event in turn.story.aside}
    cut: dict[Turn, str | None] = {}  # and the missing one, until an event tells of it
    for turn in turns:  # parents stand before their children
        if turn.missing is None and turn.parent not in cut:
            continue
        gap = turn.missing or (cut.get(turn.parent) if turn.parent else None)
        for place in turn.story.origins:
            event = Event(place, "dropped", _gap(gap) if gap else BEHIND_GAP, loses=gap is not None)
            aside.setdefault(place, event)
            gap = None
        cut[turn] = gap
    turns = [turn for turn in turns if turn not in cut]
    waiting = _unanswered(turns)
    for turn in waiting:
        for place in turn.story.origins:
            aside.setdefault(place, Event(place, "dropped", UNANSWERED))
    told: set[Turn] = set()
    for branch in reversed(branches([turn for turn in turns if turn not in waiting])):
        messages: list[Message] = []
        origins: list[Path] = []
        for turn in branch.turns:
            messages += map(untrained, turn.story.messages) if turn in told else turn.story.messages
            origins += turn.story.origins
        told.update(branch.turns)
        labels = {**given, **branch.turns[-1].labels, **({"branch": "abandoned"} if branch.abandoned else {})}
        made.append(Conversation(sample(messages, declared, name, labels), origins))
    made.reverse()
    for number, conversation in enumerate(made[1:], start=2):
        if name is not None:
            conversation.sample["id"] = f"{name}#{number}"
    kept = {place for conversation in made for place in conversation.origins}
    return made, [event for event in aside.values() if event.path not in kept]


def _unanswered(turns: Sequence[Turn]) -> set[Turn]:
    """The turns of branches that have no answer of their own."""
    ways = branches(turns)
    n_ways = Counter(turn for branch in ways for turn in branch.turns)
    found: set[Turn] = set()
    for branch in ways:
        own = [turn for turn in branch.turns if n_ways[turn] == 1]
        if not any(turn.answers for turn in own):
            found.update(own)
    return found


def untrained(message: Message) -> Message:
    """The message as a part of what the model reads, which is trained elsewhere."""
    return {**message, "train": False} if message.get("role") == "assistant" else message
