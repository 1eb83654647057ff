"""Gemini's generateContent, at Google AI and on Vertex: contents of parts, in camelCase or snake_case.

A call's id is optional: calls without ids are paired by position. A result may stand in the model's own turn. What a
function returned is an object: its JSON is the result's text, and the text itself where the object is nothing but
{"output": text}, which Google's documents give as the form, {"result": text} or {"content": text}. Code that Google
ran (`executableCode`) and what it printed are a call of `code_execution` and its result where one follows the other;
the results of its other tools (`toolCall`: a web search, say) are not in the trace, so these are dropped as lost.
Signatures are no words of the model. A streamed answer is a list of answers, each with the next parts.
"""

from collections.abc import Sequence
from typing import Any

from qwen_sft.api import Api, Turns
from qwen_sft.blocks import (
    Block,
    builtin,
    empty_answer,
    function,
    listed,
    no_object,
    places,
    refusal,
    tell,
    turns,
    written,
)
from qwen_sft.delta import UNFINISHED, failure
from qwen_sft.finding import Finding
from qwen_sft.geminiparts import CALL, Parts
from qwen_sft.metadata import metadata
from qwen_sft.normalize import ID_KEYS, call
from qwen_sft.sample import Path, is_list, is_object
from qwen_sft.story import Story

_ROLES = {"model": "assistant", "function": "user", "tool": "user", None: "user"}
_SYSTEM = ("systemInstruction", "system_instruction")
_RESULT = ("functionResponse", "function_response")
_CODE = ("executableCode", "executable_code")
_PRINTED = ("codeExecutionResult", "code_execution_result")
_HOSTED = ("toolCall", "tool_call", "toolResponse", "tool_response")
_FILES = ("inlineData", "inline_data", "fileData", "file_data")
_SIGNATURE = ("thoughtSignature", "thought_signature")
_DECLARED = ("functionDeclarations", "function_declarations")
_SCHEMA = ("parametersJsonSchema", "parameters_json_schema", "parameters")
_REASON = ("finishReason", "finish_reason")
_PARTS = ("text", *CALL, *_RESULT, *_CODE, *_PRINTED, *_HOSTED, *_FILES, *_SIGNATURE)
_PLAIN_RESULTS = ("output", "result", "content")
_NO_LABELS = frozenset({*ID_KEYS, *_SYSTEM, "cachedContent"})


def _field(given: Any, keys: Sequence[str]) -> Any:
    """What an object holds under the first of some spellings that it has."""
    return next((given[key] for key in keys if key in given), None) if is_object(given) else None


# -- recognising -------------------------------------------------------------------------------------------------------


def is_request(body: Any) -> bool:
    """Contents, each with parts that name no type."""
    contents: Any = body.get("contents") if is_object(body) else None
    if not is_list(contents) or not contents or not all(is_object(c) and is_list(c.get("parts")) for c in contents):
        return False
    parts = [part for content in contents for part in content["parts"]]
    return bool(parts) and all(is_object(part) and "type" not in part for part in parts) and _is_part(parts[0])


def _is_part(part: dict[str, Any]) -> bool:
    return any(key in part for key in _PARTS)


def is_response(body: Any) -> bool:
    """Candidates, or why the prompt was blocked."""
    return _candidates(body) != [] or isinstance(_blocked(body), str)


def _candidates(body: Any) -> list[Any]:
    listed_: Any = body.get("candidates") if is_object(body) else None
    if not is_list(listed_) or not listed_ or not all(map(is_object, listed_)):
        return []
    first: Any = listed_[0].get("content")
    known = "parts" in first or first.get("role") == "model" if is_object(first) else _field(listed_[0], _REASON)
    return listed_ if known else []


def _blocked(body: Any) -> Any:
    feedback: Any = body.get("promptFeedback") if is_object(body) else None
    return feedback.get("blockReason") if is_object(feedback) else None


def is_event(value: Any) -> bool:
    """An answer, or a chunk with nothing but numbers."""
    if is_response(value):
        return True
    return is_object(value) and is_object(value.get("usageMetadata")) and isinstance(value.get("modelVersion"), str)


# -- requests and answers ----------------------------------------------------------------------------------------------


def body_places(body: Any) -> list[Path]:
    """Each part of the system instruction, of the contents and of the candidates."""
    made: list[Path] = []
    key = next((key for key in _SYSTEM if key in body), None)
    if key and body[key]:
        parts: Any = body[key].get("parts") if is_object(body[key]) else None
        made += [(key, "parts", i) for i in range(len(parts) if is_list(parts) else 0)] or [(key,)]
    made += places(("contents",), "parts", body.get("contents"))
    for i, candidate in enumerate(_candidates(body)):
        content: Any = candidate.get("content")
        parts = content.get("parts") if is_object(content) else None
        made += [("candidates", i, "content", "parts", j) for j in range(len(parts) if is_list(parts) else 0)]
    return made


def asked(body: Any) -> Turns:
    """The system instruction and the contents."""
    contents: Any = body.get("contents")
    if not is_list(contents):
        return refusal(("contents",), "no list of contents", "write {contents: [{role, parts}]}")
    story = Story()
    key = next((key for key in _SYSTEM if key in body), None)
    if key and body[key]:
        given: Any = body[key]
        parts = listed((key,), "parts", given) if is_object(given) else [((key,), given)]
        if is_object(given) and "parts" not in given:
            parts = [((key,), given)]
        tell(story, "system", [_block(place, part, "system") for place, part in parts])
    for i, content in enumerate(contents):
        if not is_object(content):
            return no_object(("contents", i), content)
        role: Any = content.get("role")
        role = _ROLES.get(role, role) if role is None or isinstance(role, str) else role
        tell(story, role, _blocks(listed(("contents", i), "parts", content), role))
    declared, own = _tools(body.get("tools"))
    return turns(story, declared, {**metadata(body, without=_NO_LABELS), **builtin(own)})


def answered(body: Any) -> list[Turns]:
    """The parts of each candidate that has any."""
    made: list[Turns] = []
    reasons = [_blocked(body)]
    for i, candidate in enumerate(_candidates(body)):
        content: Any = candidate.get("content")
        parts: Any = content.get("parts") if is_object(content) else None
        reasons.append(_field(candidate, _REASON))
        if not is_list(parts) or not parts:
            continue
        story = Story()
        root: Path = ("candidates", i, "content", "parts")
        tell(story, "assistant", _blocks([((*root, j), part) for j, part in enumerate(parts)], "assistant"))
        labels = metadata({"finish_reason": reasons[-1]}, {"model": body.get("modelVersion")})
        made.append(turns(story, None, labels))
    return made or [empty_answer((), next(filter(None, reasons), None))]


def _tools(declared: Any) -> tuple[Any, list[Any]]:
    """The declared functions, and the names of the tools that Google runs."""
    if is_object(declared):
        declared = [declared]
    if not is_list(declared):
        return declared, []
    kept: list[Any] = []
    own: list[Any] = []
    for tool in declared:
        functions: Any = _field(tool, _DECLARED)
        if is_list(functions):
            kept += [function(one, _field(one, _SCHEMA)) if is_object(one) else one for one in functions]
        elif not is_object(tool):
            kept.append(tool)
        own += [key for key in tool if key not in _DECLARED] if is_object(tool) else []
    return kept, own


def _blocks(parts: Sequence[tuple[Path, Any]], role: Any) -> list[Block]:
    """What each part of a turn is: code with what it printed behind it is a call with its result."""
    made: list[Block] = []
    for i, (place, part) in enumerate(parts):
        before, after = parts[i - 1][1] if i else None, parts[i + 1][1] if i + 1 < len(parts) else None
        code, printed = _field(part, _CODE), _field(part, _PRINTED)
        if role == "assistant" and is_object(code) and is_object(_field(after, _PRINTED)):
            given = {key: code[key] for key in ("language", "code") if key in code}
            made.append(Block(place, "call", call("code_execution", given, code.get("id"))))
        elif role == "assistant" and is_object(printed) and is_object(_field(before, _CODE)):
            told: Any = printed.get("output") or printed.get("outcome")
            made.append(Block(place, "result", _result(written(told), None, printed.get("id"))))
        else:
            made.append(_block(place, part, role))
    return made


def _block(place: Path, part: Any, role: Any) -> Block:
    """What one part is to a chat."""
    if isinstance(part, str):
        return Block(place, "text", part)
    called, returned = _field(part, CALL), _field(part, _RESULT)
    if is_object(called):
        return Block(place, "call", call(called.get("name"), called.get("args"), called.get("id")))
    if is_object(returned):
        text = _returned(returned.get("response"))
        files: Any = returned.get("parts")
        content: Any = [{"type": "text", "text": text}, *files] if is_list(files) and files else text
        return Block(place, "result", _result(content, returned.get("name"), returned.get("id")))
    if is_object(part) and isinstance(part.get("text"), str):
        is_thought = role == "assistant" and part.get("thought") is True and part["text"] != ""
        return Block(place, "reasoning" if is_thought else "text", part["text"])
    if role != "assistant" or _field(part, _FILES) is not None:
        return Block(place, "part", part)
    keys = sorted(key for key in part if key not in _SIGNATURE) if is_object(part) else [type(part).__name__]
    if not keys:
        return Block(place, "dropped", "a signature")
    return Block(place, "dropped", f"a part with {', '.join(keys)} has no place in a chat"[:200], loses=True)


def _returned(response: Any) -> str:
    if is_object(response) and len(response) == 1:
        (key,) = response
        if key in _PLAIN_RESULTS and isinstance(response[key], str):
            return response[key]
    return written(response)


def _result(content: Any, name: Any, call_id: Any) -> dict[str, Any]:
    given = {"tool_call_id": call_id, "name": name}
    return {"role": "tool", "content": content, **{key: v for key, v in given.items() if v not in (None, "")}}


# -- streams -----------------------------------------------------------------------------------------------------------


def continues(gathered: Sequence[Any], event: Any) -> bool:
    """A chunk with the responseId of those before it; without ids, whatever comes before the answer has ended."""
    known, given = gathered[0].get("responseId"), event.get("responseId")
    if known and given:
        return known == given
    return not any(_field(candidate, _REASON) for candidate in _candidates(gathered[-1]))


def whole(events: Sequence[Any]) -> Any:
    """The answer that some chunks come to. One with a call that was to go on is cut off, whatever its reason says."""
    body: dict[str, Any] = {}
    parts: dict[int, Parts] = {}
    reasons: dict[int, Any] = {}
    for event in filter(is_object, events):
        if event.get("error"):
            return Finding((), f"the stream ends in an error: {failure(event)}", "leave failed requests out")
        if event.get("responseId") and body.get("responseId") not in (None, event["responseId"]):
            return Finding((), "the stream holds chunks of several answers", "split it by the chunks' responseId")
        body |= {key: event[key] for key in ("responseId", "modelVersion", "promptFeedback") if event.get(key)}
        for candidate in _candidates(event):
            index: Any = candidate.get("index")
            index = index if isinstance(index, int) else 0
            content: Any = candidate.get("content")
            pieces: Any = content.get("parts") if is_object(content) else None
            state = parts.setdefault(index, Parts())
            for part in pieces if is_list(pieces) else []:
                state.add(part)
            reasons[index] = _field(candidate, _REASON) or reasons.get(index)
    if not parts and not _blocked(body):
        return Finding((), "the stream holds no answer", "record it again")
    made: list[Any] = []
    for index, state in sorted(parts.items()):
        content = {"role": "model", "parts": state.finished()}
        reason: Any = UNFINISHED if state.cut_off else reasons[index] or UNFINISHED
        made.append({"index": index, "content": content, "finishReason": reason})
    return {**body, "candidates": made}


API = Api(
    name="gemini",
    bare="contents",
    is_request=is_request,
    is_response=is_response,
    is_event=is_event,
    places=body_places,
    asked=asked,
    answered=answered,
    whole=whole,
    continues=continues,
)
