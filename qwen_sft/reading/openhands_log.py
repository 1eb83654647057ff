"""The events of OpenHands' logs, in both versions, and the conversations that they come to.

In version 0 an event is an `action` with `args` or an `observation` with `content`, and `tool_call_metadata` tells
which call of which answer it was; in version 1 it has a `kind`. Calls of one answer are events of their own and become
one turn again. A condensation takes events away and puts a summary in: what follows is another sample, in which nothing
that was told before is trained. What an observation adds to its content before the model sees it (an exit code, say) is
not logged.

Source: openhands/events of All-Hands-AI/OpenHands, openhands/sdk/event of OpenHands/software-agent-sdk.
"""

from typing import Any, cast

from qwen_sft.format import Event, Reading
from qwen_sft.reading.branches import Answer, Thread, Turn, conversations, untrained
from qwen_sft.reading.chat import message
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.story import refused
from qwen_sft.sample import Message, Path, is_list, is_object, value_at
from qwen_sft.text.normalize import call, text

_BESIDE = frozenset({"thought", "blocking", "confirmation_state", "is_confirmed", "hidden", "security_risk"})
_SILENT = frozenset(
    {"agent_state_changed", "change_agent_state", "condensation_request", "loop_recovery", "null", "pause", "recall"}
    | {"resume", "server_ready", "start", "stop", "success"}
)
_NO_LABELS = frozenset({"instruction", "id", "error", "timestamp"})


def entries(record: Any) -> list[tuple[Path, Any]]:
    """The events of a log and their places; old logs hold pairs of an action and its observation."""
    history: Any = record.get("history") if is_object(record) else record
    if not is_list(history):
        return [((), record)]
    root: Path = () if is_list(record) else ("history",)
    found: list[tuple[Path, Any]] = []
    for i, one in enumerate(history):
        found += [((*root, i, j), part) for j, part in enumerate(one)] if is_list(one) and one else [((*root, i), one)]
    return found


class Log:
    """The events of a log while they are put together."""

    def __init__(self, record: Any) -> None:
        self._record = record
        self._thread = Thread()
        self._aside: list[Event] = []
        self._tools: Any = None
        self._answers: list[Answer] = []
        self._open: dict[Any, Answer] = {}  # by the name of the answer
        self._calls: dict[Any, tuple[Answer, Any]] = {}  # by a call's id, or the action's number: and the tool's name
        self._seen: list[tuple[list[Any], Turn]] = []  # what the model sees next: names of events, and their turn

    def read(self) -> Reading:
        """The samples, and the fate of every event."""
        for place, event in entries(self._record):
            if not is_object(event):
                self._drop(place, "no event")
            elif isinstance(event.get("kind"), str):
                self._second(place, event, event["kind"])
            elif isinstance(event.get("observation"), str):
                self._observation(place, event, event["observation"])
            else:
                self._action(place, event, event.get("action"), _fields(event, "args"))
        for answer in self._answers:
            answer.tell()
        fields: dict[str, Any] = self._record if is_object(self._record) else {}
        cost = {"cost": value_at(fields, ("metrics", "accumulated_cost"))}
        run = fields if "history" in fields else {}
        labels = metadata(self._thread.labels, cost, run.get("test_result"), run, without=_NO_LABELS)
        name: Any = run.get("instance_id")
        made, rest = conversations(self._thread.turns, name if isinstance(name, str) else None, labels, self._tools)
        if not made:
            return refused((), "no event is an answer of a model", "leave the log out")
        return Reading(made, [*self._aside, *rest])

    def _drop(self, place: Path, reason: str, *, loses: bool = False) -> None:
        self._aside.append(Event(place, "dropped", reason, loses))

    def _keep(self, place: Path, event: dict[str, Any], message: Message) -> None:
        turn = self._thread.go_on()
        turn.story.keep(place, message)
        self._seen.append(([event.get("id")], turn))

    def _say(self, place: Path, event: dict[str, Any], name: Any, said: Message, called: Any, key: Any) -> None:
        """A call, which is a turn with the others of the answer that has this name."""
        answer = self._open.get(name) if isinstance(name, str) else None
        if answer is None:
            answer = Answer(self._thread.go_on())
            self._answers.append(answer)
            self._seen.append(([], answer.turn))
            if isinstance(name, str):
                self._open[name] = answer
        else:
            said = {"role": "assistant", "content": ""}
        answer.pieces.append((place, {**said, "tool_calls": [called]} if called else said))
        self._name(answer, event)
        if isinstance(key, str | int):
            self._calls[key] = (answer, value_at(called, ("function", "name")))

    def _result(self, place: Path, event: dict[str, Any], key: Any, content: Any, *, has_id: bool = True) -> None:
        """The result of the call of this id, or of the action of this number."""
        message: Message = {"role": "tool", "content": text(content)}
        if has_id and isinstance(key, str):
            message["tool_call_id"] = key
        answer, name = self._calls.get(key, (None, None)) if isinstance(key, str | int) else (None, None)
        if isinstance(name, str):
            message["name"] = name
        if answer is None:
            return self._keep(place, event, message)
        answer.results.append((place, message))
        return self._name(answer, event)

    def _name(self, answer: Answer, event: dict[str, Any]) -> None:
        """An answer goes by the names of all of its events; what a condensation took over has its names already."""
        for names, turn in reversed(self._seen):
            if turn is answer.turn:
                names.append(event.get("id"))
                return

    def _action(self, place: Path, event: dict[str, Any], action: Any, args: dict[str, Any]) -> None:
        if not isinstance(action, str):
            return self._drop(place, "no event")
        is_user = event.get("source") == "user"
        told = _fields(event, "tool_call_metadata")
        if action == "condensation":
            first, last = args.get("forgotten_events_start_id"), args.get("forgotten_events_end_id")
            gone = set(range(first, last + 1)) if isinstance(first, int) and isinstance(last, int) else set[Any]()
            self._condense(place, event, args, gone)
        elif action == "system":
            self._tools = self._tools or args.get("tools")
            self._keep(place, event, {"role": "system", "content": text(args.get("content"))})
        elif action == "message":
            content: Any = args.get("content") or ""
            images: Any = args.get("image_urls")
            if is_list(images) and images:
                pictures = [{"type": "image_url", "image_url": {"url": url}} for url in images]
                content = [{"type": "text", "text": content}, *pictures]
            self._keep(place, event, {"role": "user" if is_user else "assistant", "content": content})
        elif told:
            said = value_at(told, ("model_response", "choices"))
            self._called(place, event, told, value_at(said, (0, "message")))
        elif event.get("source") == "agent" and action not in _SILENT:
            given = {key: value for key, value in args.items() if key not in _BESIDE}
            thought: Any = args.get("thought")
            said = {"role": "assistant", "content": thought if isinstance(thought, str) else ""}
            self._say(place, event, None, cast("Message", said), call(action, given), event.get("id"))
        else:
            self._drop(place, f"an action {action!r} that is no turn", loses=action in ("run", "run_ipython"))
        return None

    def _called(self, place: Path, event: dict[str, Any], told: dict[str, Any], said: Any) -> None:
        """An action that was a call of an answer, which the event holds."""
        key = told.get("tool_call_id")
        answer = message({**said, "role": "assistant"}) if is_object(said) else None
        listed: Any = answer.pop("tool_calls", []) if answer else []
        found = [one for one in listed if is_object(one) and one.get("id") == key] if is_list(listed) else []
        given = {name: value for name, value in _fields(event, "args").items() if name not in _BESIDE}
        called = found[0] if found else call(told.get("function_name"), given, key)
        model: Any = value_at(told, ("model_response", "model"))
        if isinstance(model, str):
            self._thread.labels.setdefault("model", model)
        name = value_at(told, ("model_response", "id"))
        self._say(place, event, name, answer or {"role": "assistant", "content": ""}, called, key)

    def _observation(self, place: Path, event: dict[str, Any], kind: str) -> None:
        key = _fields(event, "tool_call_metadata").get("tool_call_id")
        cause = event.get("cause")
        if isinstance(key, str):
            self._result(place, event, key, event.get("content"))
        elif kind not in _SILENT and isinstance(cause, int) and cause in self._calls:
            self._result(place, event, cause, event.get("content"), has_id=False)
        elif kind == "error" and event.get("content"):
            self._keep(place, event, {"role": "user", "content": text(event["content"])})
        else:
            knows = kind == "recall" and bool(_fields(event, "extras").get("microagent_knowledge"))
            self._drop(place, f"an observation {kind!r} that answers no call", loses=knows or kind not in _SILENT)

    def _second(self, place: Path, event: dict[str, Any], kind: str) -> None:
        """An event of version 1."""
        if kind == "SystemPromptEvent":
            self._tools = self._tools or event.get("tools")
            parts = [event[key] for key in ("system_prompt", "dynamic_context") if is_object(event.get(key))]
            self._keep(place, event, {"role": "system", "content": text(parts)})
        elif kind == "MessageEvent" and is_object(event.get("llm_message")):
            said: dict[str, Any] = event["llm_message"]
            more: Any = event.get("extended_content")
            parts = [*said["content"], *more] if is_list(said.get("content")) and is_list(more) else said.get("content")
            self._keep(place, event, message({**said, "content": parts}))
        elif kind == "ActionEvent":
            given = _fields(event, "tool_call")
            function: Any = given.get("function") if is_object(given.get("function")) else given
            key = event.get("tool_call_id") or given.get("id")
            said = {"role": "assistant", "content": event.get("thought"), "reasoning": event.get("reasoning_content")}
            called = call(function.get("name") or event.get("tool_name"), function.get("arguments"), key)
            self._say(place, event, event.get("llm_response_id"), message(said), called, key)
        elif kind == "Condensation":
            self._condense(place, event, event, set())
        elif kind in ("ObservationEvent", "UserRejectObservation", "AgentErrorEvent"):
            told = _fields(event, "observation")
            rejected: Any = f"Action rejected: {event.get('rejection_reason')}" if "rejection_reason" in event else None
            content = told.get("content", told.get("output", event.get("error", rejected)))
            self._result(place, event, event.get("tool_call_id"), content)
        else:
            self._drop(place, f"an event {kind!r} that is no turn")

    def _condense(self, place: Path, event: dict[str, Any], given: dict[str, Any], gone: set[Any]) -> None:
        """What the model sees from here on: what is not forgotten, none of which is trained again, and a summary."""
        for answer in self._answers:
            answer.tell()
        named: Any = given.get("forgotten_event_ids")
        gone |= {one for one in named if isinstance(one, str | int)} if is_list(named) else set()
        summary, offset = given.get("summary"), given.get("summary_offset")
        n_before = offset if isinstance(offset, int) else 0
        kept = [
            (names, turn) for names, turn in self._seen if not any(n in gone for n in names if isinstance(n, str | int))
        ]
        self._thread.restart()
        self._seen = []
        told = not isinstance(summary, str) or not summary
        if told:
            self._drop(place, "a condensation: what follows is a conversation of its own")
        for names, turn in kept:
            if not told and n_before <= 0:
                told = True
                self._keep(place, event, {"role": "user", "content": summary})
            n_before -= len(names)
            copy = self._thread.go_on()
            for origin, one in zip(turn.story.origins, turn.story.messages, strict=True):
                copy.story.keep(origin, untrained(one))
            self._seen.append((names, copy))
        if not told:
            self._keep(place, event, {"role": "user", "content": summary})


def _fields(event: dict[str, Any], key: str) -> dict[str, Any]:
    found: Any = event.get(key)
    return found if is_object(found) else {}
