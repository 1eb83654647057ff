"""Conversations with a server: a call, its result, an answer; each judged, and what comes of all of them."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from qwen_sft.asking.request import NO_OPTIONS, Options
from qwen_sft.errors import ServerError
from qwen_sft.parser import ServerName, Wire
from qwen_sft.probing.answer import Answer, streamed_answer, whole_answer
from qwen_sft.probing.fault import MODEL, SERVER, Fault
from qwen_sft.probing.judge import calls_in, judge_calls, judge_end, value_of
from qwen_sft.probing.prompt import Compared
from qwen_sft.probing.task import TOOLS, Choice, Task, tasks
from qwen_sft.probing.wire import Broken, Client, Reply, TimedOut
from qwen_sft.sample import is_list, is_object, is_too_deep
from qwen_sft.serving.server import REASONING_FLAGS, serving

GIVE_UP = 2
"""Conversations in a row without any answer, behind which no other is begun."""

NO_ANSWER = frozenset({"timed-out", "no-answer", "server-error"})
"""Faults behind which nothing is known of the server but that it does not answer."""

CALL_KINDS = frozenset(
    {"wrong-parser", "call-as-json", "call-lost", "call-in-reasoning", "broken-call", "leaked-text", "no-tool-parser"}
)
"""Faults that say something of calls, though none was extracted."""


@dataclass(frozen=True, slots=True)
class Asked:
    """How the server is asked.

    Attributes:
        model: its name at the server.
        n: how many conversations.
        choices: the ways in which requests name their tool.
        named_choices: the user asked for these ways, so that a server that refuses one is at fault.
        stream: each request is sent a second time as a stream.
        max_tokens: how many tokens an answer may have.
        options: of the chat template.
        wire: how the model writes its calls, if that is known.
        reasoning_parser: vLLM's name for what reads its reasoning, if that is known.
    """

    model: str
    n: int
    choices: Sequence[Choice]
    named_choices: bool = False
    stream: bool = False
    max_tokens: int = 2048
    options: Options = field(default_factory=lambda: NO_OPTIONS)
    wire: str | None = None
    reasoning_parser: str | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """What came of one conversation.

    Attributes:
        number: counted from 1.
        task: what it was about.
        choice: how its first request named the tool.
        answered: the server gave an answer to the first request.
        called: calls came back.
        extracted: they are the ones that were asked for, as the API says.
        accepted: the server took calls and results back; None if it never came to that.
        told: the last answer held what the tools gave back; None if there was none.
        faults: whatever was wrong.
    """

    number: int
    task: str
    choice: Choice
    answered: bool
    called: bool
    extracted: bool
    accepted: bool | None
    told: bool | None
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class Server:
    """What a server says of itself.

    Attributes:
        name: vllm or sglang; None where it is something else.
        owner: the `owned_by` of its models, whatever it is; "" where it does not say.
        models: the names that it serves; empty where it does not say.
    """

    name: ServerName | None
    owner: str
    models: tuple[str, ...]

    def flags(self, wire: str | None) -> str:
        """What to serve a model with whose calls are written so; of both servers where we do not know which it is."""
        names: list[ServerName] = ["vllm", "sglang"] if self.name is None else [self.name]
        each = {name: serving(name).flags(wire or "hermes", None) for name in names}
        if wire is None:
            each = {name: f"{flags} or {serving(name).parser('qwen3_coder').flags[0]}" for name, flags in each.items()}
        told = each[self.name] if self.name else "; ".join(f"{_TITLES[name]}: {each[name]}" for name in names)
        return told if wire else f"{told}, as the model writes its calls, see: qwen-sft models"

    def reasoning(self, parser: str | None) -> str:
        """What this server calls a reasoning parser."""
        return REASONING_FLAGS[self.name or "vllm"].get(parser or "qwen3", "qwen3")


_TITLES = {"vllm": "vLLM", "sglang": "SGLang"}


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of all.

    Attributes:
        server: what it says of itself.
        asked: how it was asked.
        conversations: those that were held.
        prompts: compared with ours; empty where no model of ours was named.
        notes: what could not be checked, and why.
    """

    server: Server
    asked: Asked
    conversations: Sequence[Conversation]
    prompts: Sequence[Compared]
    notes: Sequence[str]

    @property
    def n_well(self) -> int:
        """Conversations without any fault."""
        return sum(not each.faults for each in self.conversations)

    @property
    def blamed(self) -> list[Fault]:
        """The faults that are the server's, those of its prompts too."""
        prompts = [Fault("prompt-differs", f"{each.name}: {each.says}") for each in self.prompts if each.same is False]
        found = [fault for each in self.conversations for fault in each.faults if fault.blame == "server"]
        return [*prompts, *found]

    @property
    def is_empty(self) -> bool:
        """True if no answer says anything of how calls are served."""
        return not any(
            each.called or any(fault.kind in CALL_KINDS for fault in each.faults) for each in self.conversations
        )

    def fix(self, fault: Fault) -> str:
        """How to mend it, at this server."""
        flags = self.server.flags(fault.wire or self.asked.wire)
        text = {**SERVER, **MODEL}[fault.kind].replace("{flags}", flags)
        return text.replace("{reasoning}", self.server.reasoning(self.asked.reasoning_parser))


def look(client: Client) -> Server:
    """What a server says of itself.

    Raises:
        ServerError: it cannot be asked, or there is no such API.
    """
    reply = client.get("/models")
    data: Any = reply.value()
    listed: Any = data.get("data") if is_object(data) else None
    if reply.status == 200 and not is_list(listed):
        what = f"{reply.kind or 'no content type'}: {client.quote(reply.text.strip(), 80)}"
        raise ServerError(
            f"{client.base_url}/models is no list of models ({what}); --base-url must be that of an OpenAI-compatible "
            "API, which ends with /v1 as a rule"
        )
    models = [one for one in listed if is_object(one)] if is_list(listed) else []
    names = tuple(name for one in models if isinstance(name := one.get("id"), str))
    owner: Any = next((one.get("owned_by") for one in models), "")
    owner = owner if isinstance(owner, str) else ""
    known = cast("ServerName", owner) if owner in _TITLES else None
    return Server(known, client.quote.hide(owner), names)


def probe(
    client: Client,
    server: Server,
    asked: Asked,
    prompts: Sequence[Compared] = (),
    each: Callable[[Conversation], None] = lambda _: None,
) -> Outcome:
    """Holds the conversations, one behind the other.

    Args:
        each: called with each conversation when it has ended.

    Raises:
        ServerError: the server cannot be asked, does not serve the model, or never answered.
    """
    prober = _Prober(client, server, asked)
    done: list[Conversation] = []
    refused: dict[str, int] = {}
    silent = 0
    for number, (task, choice) in enumerate(tasks(asked.n, asked.choices), start=1):
        one = prober.converse(number, task, choice)
        if isinstance(one, Fault):
            refused[one.says] = refused.get(one.says, 0) + 1
            continue
        done.append(one)
        each(one)
        silent = 0 if one.answered or one.faults[0].kind not in NO_ANSWER else silent + 1
        if silent == GIVE_UP and number < asked.n:
            prober.notes.append(
                f"{asked.n - number} of {asked.n} conversations were not begun: {GIVE_UP} in a row got no answer"
            )
            break
    if done and all(not one.answered and one.faults[0].kind in NO_ANSWER for one in done):
        raise ServerError(f"{client.base_url} gave no answer: {done[0].faults[0].says}")
    notes = [f"the prompts were not compared: {each.says}" for each in prompts if each.same is None]
    for says, n in refused.items():
        notes.append(f"{'1 conversation' if n == 1 else f'{n} conversations'}: {says}")
    return Outcome(server, asked, tuple(done), tuple(prompts), tuple(dict.fromkeys([*notes, *prober.notes])))


class _Prober:
    """Conversations with one server, and what must be remembered from one to the next."""

    def __init__(self, client: Client, server: Server, asked: Asked) -> None:
        self._client, self._server, self._asked = client, server, asked
        self._quote = client.quote
        self._given: dict[str, int] = {}
        """The ids of calls, with the conversation that each was given in."""
        self._is_settled = False
        """It was found out whether an id that comes again also comes again within one conversation."""
        self._wire: Wire | None = None
        self._has_looked = False
        self._is_blank = False
        self.notes: list[str] = []

    def converse(self, number: int, task: Task, choice: Choice) -> Conversation | Fault:
        """One conversation, to its end or as far as it goes.

        A fault alone if the server takes no such tool_choice, and nobody insisted on it.
        """
        messages: list[dict[str, Any]] = [{"role": "user", "content": task.words}]
        request = self._request(messages, task, choice)
        answer = self._ask(request, choice)
        if isinstance(answer, Fault):
            if answer.kind == "tool-choice-refused" and not self._asked.named_choices:
                return answer
            return Conversation(number, task.name, choice, False, False, False, None, None, (answer,))
        quote = self._quote
        faults = [self._seen_through(fault, messages, choice) for fault in judge_calls(answer, task, choice, quote)]
        extracted = bool(answer.calls) and all(fault.kind in _BESIDE for fault in faults)
        if self._asked.stream:
            streamed = self._ask({**request, "stream": True}, choice)
            found = [streamed]
            if isinstance(streamed, Answer):
                found = judge_calls(streamed, task, choice, quote, in_stream=True)
            faults += _of_streams(cast("list[Fault]", found), faults)  # an answer has been judged
        faults += self._ids(answer, number, messages, task)
        accepted = told = None
        if answer.calls:
            history, values = _continued(messages, answer, task)
            accepted, told, ended = self._end(history, values)
            faults += ended
        return Conversation(
            number, task.name, choice, True, bool(answer.calls), extracted, accepted, told, tuple(dict.fromkeys(faults))
        )

    def _end(self, history: list[dict[str, Any]], values: Sequence[str]) -> tuple[bool, bool | None, list[Fault]]:
        """Whether the server took the history, whether the answer to it tells the values, and the faults."""
        request = self._request(history)
        answer = self._ask(request)
        if isinstance(answer, Fault):
            if answer.kind == "request-refused":
                answer = Fault("result-refused", f"calls and results were sent back: {answer.says}")
            return False, None, [answer]
        faults = judge_end(answer, values, self._quote)
        told = not any(fault.kind not in _BESIDE for fault in faults)
        if self._asked.stream:
            streamed = self._ask({**request, "stream": True})
            found = [streamed]
            if isinstance(streamed, Answer):
                found = judge_end(streamed, values, self._quote, in_stream=True)
            faults += _of_streams(cast("list[Fault]", found), faults)
        return True, told, faults

    def _ids(self, answer: Answer, number: int, messages: list[dict[str, Any]], task: Task) -> list[Fault]:
        """The fault of ids that were given before, if they come again within one conversation too."""
        ids = [call.id for call in answer.calls if isinstance(call.id, str) and call.id]
        again = next((each for each in ids if self._given.get(each, number) != number), None)
        self._given.update(dict.fromkeys(ids, number))
        if again is None or self._is_settled:
            return []
        self._is_settled = True
        history, values = _continued(messages, answer, task)
        history += [
            {"role": "assistant", "content": " and ".join(values)},
            {"role": "user", "content": task.words.replace("Call", "Once more, call", 1)},
        ]
        later = self._ask(self._request(history))
        if not isinstance(later, Answer) or not later.calls:
            self.notes.append(
                "whether ids are unique within a conversation: they come again in others, and a later turn made no call"
            )
            return []
        repeated = next((call.id for call in later.calls if call.id in ids), None)
        if repeated is None:
            return []
        says = f"a later call of the same conversation got the id of an earlier one, {self._quote(repeated)}"
        return [Fault("id-repeated", says)]

    def _seen_through(self, fault: Fault, messages: list[dict[str, Any]], choice: Choice) -> Fault:
        """A fault of lost calls, with how the model writes them: asked once, without the parser in between."""
        if fault.kind != "call-lost":
            return fault
        if not self._has_looked:
            self._has_looked = True
            answer = self._ask({**self._request(messages), "tool_choice": "none"})
            if isinstance(answer, Answer):
                self._wire = calls_in(answer.content)
                self._is_blank = not answer.content.strip() and not answer.reasoning.strip()
        if self._is_blank:  # without a parser in between too
            kind = "no-call" if choice == "auto" else "tool-choice-ignored"
            return Fault(kind, f"no call came: what the model generated shows nothing ({fault.says})")
        if self._wire is None:
            return fault
        mark = "<function=" if self._wire == "qwen3_coder" else "<tool_call>{"
        says = f"{fault.says}; with tool_choice 'none' the text holds '{mark}'"
        return replace(fault, says=says, wire=self._wire)

    # -- requests -----------------------------------------------------------------------------------------------------

    def _request(
        self, messages: list[dict[str, Any]], task: Task | None = None, choice: Choice = "auto"
    ) -> dict[str, Any]:
        asked = self._asked
        request: dict[str, Any] = {"model": asked.model, "messages": messages, "tools": list(TOOLS)}
        request |= {"temperature": 0, "max_tokens": asked.max_tokens}
        if asked.options:
            request["chat_template_kwargs"] = dict(asked.options)
        if choice == "required":
            request["tool_choice"] = "required"
        elif choice == "named" and task is not None:
            request["tool_choice"] = {"type": "function", "function": {"name": task.calls[0][0]}}
        return request  # auto is what the API takes tools without a tool_choice for

    def _ask(self, request: dict[str, Any], choice: Choice = "auto") -> Answer | Fault:
        """The answer to one request, or why there is none.

        Raises:
            ServerError: the server cannot be asked, or does not serve the model.
        """
        in_stream = bool(request.get("stream"))
        try:
            reply = self._client.post("/chat/completions", request)
        except TimedOut as error:
            return Fault("timed-out", str(error), in_stream=in_stream)
        except Broken as error:
            return Fault("no-answer", str(error), in_stream=in_stream)
        if reply.status == 200:
            read = streamed_answer if in_stream else whole_answer
            return read(reply, self._quote)
        return replace(self._refused(reply, choice), in_stream=in_stream)

    def _refused(self, reply: Reply, choice: Choice) -> Fault:
        message = reply.message()
        answers = f"answers {reply.status}: {self._quote(message, 300)}"
        if reply.status == 404:
            raise ServerError(self._not_found(message))
        if reply.status >= 500 or reply.status in (408, 429):
            return Fault("server-error", f"it {answers}")
        if "--tool-call-parser" in message or "--enable-auto-tool-choice" in message:
            return Fault("no-tool-parser", f"as it was started it takes no tools: it {answers}")
        if choice != "auto" and "tool_choice" in message:
            return Fault("tool-choice-refused", f"it does not take tool_choice '{choice}': it {answers}")
        return Fault("request-refused", f"it {answers}")

    def _not_found(self, message: str) -> str:
        said = f" (it says {self._quote(message)})" if message else ""
        name, models = self._asked.model, self._server.models
        if name in models or not models:
            return (
                f"{self._client.base_url}/chat/completions answers 404{said}; --base-url must be that of an "
                "OpenAI-compatible API, which ends with /v1 as a rule"
            )
        listed = ", ".join(self._quote(each) for each in models[:10])
        more = f" and {len(models) - 10} more" if len(models) > 10 else ""
        return f"no model {name!r} at {self._client.base_url}; it serves {listed}{more}{said}"


_BESIDE = frozenset({"reasoning-in-content", "stream-cut", "stream-no-index", "stream-repeats"})
"""Faults beside which an answer can still hold what it should."""


def _of_streams(streamed: Sequence[Fault], whole: Sequence[Fault]) -> list[Fault]:
    """The faults of a stream that the whole answer to the same request has not.

    What the model did otherwise, at temperature 0, is the stream's fault where the whole answer was right.
    """
    kinds = {fault.kind for fault in whole}
    new = [
        replace(fault, kind="stream-broken-arguments") if fault.kind == "arguments-not-json" else fault
        for fault in streamed
        if fault.kind not in kinds
    ]
    if whole:
        return [fault for fault in new if fault.blame == "server"]
    return [
        fault
        if fault.blame == "server"
        else Fault("stream-differs", f"the whole answer was right, and of the stream: {fault.says}", in_stream=True)
        for fault in new
    ]


def _continued(
    messages: list[dict[str, Any]], answer: Answer, task: Task
) -> tuple[list[dict[str, Any]], tuple[str, ...]]:
    """The conversation with an answer's calls and their results, and the values in these."""
    left = list(range(len(task.calls)))
    values: list[str] = []
    calls: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for k, call in enumerate(answer.calls):
        sent: Any = {} if call.arguments is None or is_too_deep(call.arguments) else call.arguments
        arguments = sent if isinstance(sent, str) else json.dumps(sent)
        name = call.name if isinstance(call.name, str) else ""
        mine = call.id if isinstance(call.id, str) and call.id else f"call_{k}"
        calls.append({"id": mine, "type": "function", "function": {"name": name, "arguments": arguments}})
        same = [at for at in left if task.calls[at][0] == name]
        exact = [at for at in same if value_of(arguments)[0] == task.calls[at][1]]
        at = (exact or same or [None])[0]
        content = '{"status": "nothing is known of this"}'
        if at is not None:
            left.remove(at)
            content = task.results[at]
            values.append(task.values[at])
        results.append({"role": "tool", "tool_call_id": mine, "content": content})
    said: dict[str, Any] = {"role": "assistant", "content": answer.content or None, "tool_calls": calls}
    if answer.reasoning_name is not None:  # templates print it again while the same request goes on
        said[answer.reasoning_name] = answer.reasoning
    return [*messages, said, *results], tuple(values)
