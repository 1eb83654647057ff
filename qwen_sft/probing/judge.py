"""What is wrong with one answer, and whether the server or the model is to blame."""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from qwen_sft.parser import Wire, parsers
from qwen_sft.probing.answer import Answer, Call
from qwen_sft.probing.fault import Fault
from qwen_sft.probing.task import TOOLS, Choice, Task
from qwen_sft.probing.wire import Quote
from qwen_sft.sample import is_list, is_object, is_same

MARKS = ("<tool_call>", "<function=", "</tool_call>", "</function>")
"""What calls are written with, in the formats of Qwen models."""

FEW_TOKENS = 8
"""An answer of no more tokens than these may be empty."""

_NAMES = frozenset(str(tool.get("function", {}).get("name")) for tool in TOOLS)
_WORD = re.compile(r"[^0-9a-z]+")
_ONCE = re.compile(r"<(?:tool_call>\s*\{|function=)")


def judge_calls(answer: Answer, task: Task, choice: Choice, quote: Quote, *, in_stream: bool = False) -> list[Fault]:
    """The faults of an answer that should make the calls of a task; none if it makes exactly these, as the API says.

    Args:
        in_stream: the answer was assembled from a stream.
    """
    found = [*answer.faults, *_reasoning_in_content(answer, quote)]
    wanted = task.calls[:1] if choice == "named" else task.calls
    if not answer.calls:
        found.append(_no_call(answer, choice, quote))
    else:
        found += _shapes(answer.calls, quote)
        found += _leaks(answer, quote)
        if not any(fault.kind.startswith("arguments-") for fault in found):
            found += _compared(answer, wanted, choice, quote)
        is_told = not (in_stream and answer.finish is None)  # that the stream was cut
        if choice == "auto" and is_told and answer.finish not in ("tool_calls", "length"):
            found.append(Fault("finish-reason", f"calls came with finish_reason {quote(answer.finish)}"))
    return [replace(fault, in_stream=in_stream or fault.in_stream) for fault in dict.fromkeys(found)]


def judge_end(answer: Answer, values: Sequence[str], quote: Quote, *, in_stream: bool = False) -> list[Fault]:
    """The faults of an answer that should hold what the tools gave back; none if it does, and calls no more."""
    found = [*answer.faults, *_reasoning_in_content(answer, quote)]
    lacking = [value for value in values if not _holds(answer.content, value)]
    if lacking and not answer.calls:
        found.append(_no_value(answer, lacking, quote))
    elif lacking:
        says = f"the model called {quote(answer.calls[0].name)} again where the results were to be told"
        found.append(Fault("called-again", says))
    return [replace(fault, in_stream=in_stream or fault.in_stream) for fault in dict.fromkeys(found)]


def _no_value(answer: Answer, lacking: Sequence[str], quote: Quote) -> Fault:
    leaked = _leaked_call(answer.content, quote)
    if leaked is not None:
        return leaked
    if answer.finish == "length":
        return _cut_off(answer)
    if not answer.content.strip() and all(_holds(answer.reasoning, value) for value in lacking):
        return Fault("answer-in-reasoning", f"the whole answer came as reasoning: {quote(answer.reasoning)}")
    if _lost(answer):
        return _call_lost(answer)
    said = quote(answer.content.strip()) if answer.content.strip() else "nothing"
    return Fault("no-value", f"the answer lacks {lacking[0]}, which the tool gave back: the model said {said}")


def _cut_off(answer: Answer) -> Fault:
    n = "" if answer.n_tokens is None else f" after {answer.n_tokens} tokens"
    return Fault("cut-off", f"the answer was cut off{n}, before it was complete")


def _holds(text: str, value: str) -> bool:
    """True if a text holds a value, whatever dashes, spaces or markup stand in it."""
    return _WORD.sub("", value.casefold()) in _WORD.sub("", text.casefold())


# -- no call ----------------------------------------------------------------------------------------------------------


def _no_call(answer: Answer, choice: Choice, quote: Quote) -> Fault:
    """Why an answer has no calls."""
    leaked = _leaked_call(answer.content, quote)
    if leaked is not None and not (leaked.kind == "broken-call" and answer.finish == "length"):
        return leaked
    if _is_json_call(answer.content):
        says = f"the calls came as JSON in the content, and tool_calls is empty: {quote(answer.content.strip())}"
        return Fault("call-as-json", says)
    if calls_in(answer.reasoning) is not None:
        at = answer.reasoning.find("<")
        return Fault("call-in-reasoning", f"the call stands in the reasoning: {quote(answer.reasoning[at:])}")
    if answer.finish == "length":
        return _cut_off(answer)
    if _lost(answer):
        return _call_lost(answer)
    said = quote(answer.content.strip()) if answer.content.strip() else "nothing"
    if choice == "auto":
        return Fault("no-call", f"the model made no call: it said {said}")
    asked = "some tool" if choice == "required" else "this tool"
    return Fault("tool-choice-ignored", f"the request demands {asked} and no call came: the model said {said}")


def _leaked_call(text: str, quote: Quote) -> Fault | None:
    """The fault of a text that holds a call, or what should be one; None if it holds no mark of one."""
    if not any(mark in text for mark in MARKS):
        return None
    wire = calls_in(text)
    start = _ONCE.search(text)
    at = start.start() if start is not None else min(text.find(mark) for mark in MARKS if mark in text)
    shown = quote(text[at:])
    if wire is None:
        return Fault("broken-call", f"the model tried a call that no parser reads: {shown}")
    mark = "<function=" if wire == "qwen3_coder" else "<tool_call>{"
    says = f"the text holds '{mark}' and tool_calls is empty: {shown}"
    return Fault("wrong-parser", says, wire=wire)


def calls_in(text: str) -> Wire | None:
    """How the calls in a text are written, if any parser of a server reads one that names one of our tools."""
    if not any(mark in text for mark in MARKS):
        return None
    for parser in parsers().values():
        if parser.recommended and parser.before is None:
            calls = parser.read(text, TOOLS, thinking=None).calls
            if any(name in _NAMES for name, _ in calls):
                return parser.wire
    return None


def _is_json_call(text: str) -> bool:
    """True for a text that is one call or a list of them, as constrained generation writes it."""
    try:
        value: Any = json.loads(text)
    except (ValueError, RecursionError):
        return False
    each: list[Any] = value if is_list(value) else [value]
    return bool(each) and all(is_object(one) and one.get("name") in _NAMES for one in each)


def _lost(answer: Answer) -> bool:
    """True if more was generated than came back: a parser took the text away and made nothing of it.

    A token of reasoning is taken for two bytes; most have more.
    """
    if answer.content.strip() or answer.n_tokens is None:
        return False
    return answer.n_tokens > FEW_TOKENS + len(answer.reasoning.encode(errors="replace")) // 2


def _call_lost(answer: Answer) -> Fault:
    beside = " but reasoning" if answer.reasoning else ""
    says = f"{answer.n_tokens} tokens were generated and nothing{beside} came back, as where a parser drops it"
    return Fault("call-lost", says)


def _reasoning_in_content(answer: Answer, quote: Quote) -> Iterator[Fault]:
    text = answer.content.lstrip()
    if "</think>" in text or text.startswith("<think>"):
        tag = "</think>" if "</think>" in text else "<think>"
        yield Fault("reasoning-in-content", f"the content holds '{tag}': {quote(text)}")


# -- calls ------------------------------------------------------------------------------------------------------------


def _shapes(calls: Sequence[Call], quote: Quote) -> Iterator[Fault]:
    """What is wrong with the calls of one answer, whatever was asked for."""
    seen: set[str] = set()
    for call in calls:
        if not isinstance(call.id, str) or not call.id:
            yield Fault("id-missing", f"a call has no id (it is {quote(call.id)})")
        elif call.id in seen:
            yield Fault("id-repeated", f"two calls of one answer have the id {quote(call.id)}")
        else:
            seen.add(call.id)
        if call.kind != "function":
            yield Fault("kind-missing", f"the type of a call is {quote(call.kind)}")
        yield from _arguments(call.arguments, quote)


def _arguments(arguments: Any, quote: Quote) -> Iterator[Fault]:
    if not isinstance(arguments, str):
        what = "an object" if is_object(arguments) else quote(arguments)
        yield Fault("arguments-not-text", f"function.arguments is {what}, and no JSON text: {quote(arguments)}")
        return
    value, is_json = value_of(arguments)
    if not is_json:
        yield Fault("arguments-not-json", f"function.arguments is no JSON: {quote(arguments)}")
    elif isinstance(value, str) and is_object(value_of(value)[0]):
        yield Fault("arguments-encoded-twice", f"function.arguments is JSON within JSON: {quote(arguments)}")
    elif not is_object(value):
        yield Fault("arguments-not-object", f"function.arguments is JSON, and no object: {quote(arguments)}")


def value_of(text: str) -> tuple[Any, bool]:
    """The value of a JSON text, and whether it is one."""
    try:
        return json.loads(text), True
    except (ValueError, RecursionError):
        return None, False


def _leaks(answer: Answer, quote: Quote) -> Iterator[Fault]:
    """Call text that stands in the content beside calls that were read."""
    marks = [mark for mark in MARKS if mark in answer.content]
    if marks:
        at = answer.content.find(marks[0])
        yield Fault(
            "leaked-text", f"calls came, and the content still holds '{marks[0]}': {quote(answer.content[at:])}"
        )


def _compared(
    answer: Answer, wanted: Sequence[tuple[str, dict[str, Any]]], choice: Choice, quote: Quote
) -> Iterator[Fault]:
    """How the calls differ from those that were asked for, in whatever order they came."""
    made = [(call.name, value_of(call.arguments)[0]) for call in answer.calls]
    left = list(wanted)
    others: list[tuple[Any, Any]] = []
    for call in made:
        same = next((one for one in left if one[0] == call[0] and _is_exact(one[1], call[1])), None)
        if same is None:
            others.append(call)
        else:
            left.remove(same)
    for (name, arguments), (got_name, got) in zip(left, others, strict=False):
        if name != got_name:
            kind = "tool-choice-ignored" if choice == "named" else "wrong-call"
            yield Fault(kind, f"{name} was asked for, and {quote(got_name)} was called")
        elif is_object(got) and set(got) == set(arguments) and _is_spelled(arguments, got):
            yield Fault(
                "arguments-mistyped",
                f"the values are right and their types are not: {_told(arguments)} was asked for, {quote(got)} came",
            )
        else:
            yield Fault("wrong-call", f"{name} was asked for with {_told(arguments)}, and called with {quote(got)}")
    if len(left) > len(others):
        says = f"{len(wanted)} calls were asked for in one turn, and {len(made)} came"
        yield Fault("missing-call", says)
    if len(others) > len(left):
        yield Fault("extra-call", f"{_calls(len(wanted))} asked for, and {len(made)} came")


def _calls(n: int) -> str:
    return "1 call was" if n == 1 else f"{n} calls were"


def _told(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _is_exact(wanted: Any, got: Any) -> bool:
    """True for equal JSON; 42.0 is 42, and true is not 1."""
    return is_same(wanted, got) and _told(_rounded(wanted)) == _told(_rounded(got))


def _rounded(value: Any) -> Any:
    """A value in one spelling: keys in order, whole numbers as integers."""
    if is_object(value):
        return {key: _rounded(value[key]) for key in sorted(value)}
    if is_list(value):
        return [_rounded(one) for one in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _is_spelled(wanted: Any, got: Any) -> bool:
    """True if what came is what was asked for, but for values that came as the text that spells them."""
    if isinstance(got, str) and not isinstance(wanted, str):
        value, is_json = value_of(got.lower() if isinstance(wanted, bool) else got)
        return is_json and _is_exact(wanted, value)
    if is_object(wanted) and is_object(got):
        return set(wanted) == set(got) and all(_is_spelled(wanted[key], got[key]) for key in wanted)
    if is_list(wanted) and is_list(got):
        return len(wanted) == len(got) and all(_is_spelled(a, b) for a, b in zip(wanted, got, strict=True))
    return _is_exact(wanted, got)
