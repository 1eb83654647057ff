"""Gemini's generateContent, at Google AI and on Vertex: contents of parts, in camelCase or snake_case.

See reading.gemini_blocks on what the parts are. A streamed answer is a list of answers, each with the next parts.
"""

from collections.abc import Sequence
from typing import Any

from qwen_sft.api import Api, Turns
from qwen_sft.finding import Finding
from qwen_sft.reading.blocks import builtin, empty_answer, function, listed, no_object, places, refusal, tell, turns
from qwen_sft.reading.delta import UNFINISHED, failure
from qwen_sft.reading.gemini_blocks import Parts, block, blocks, field, is_part
from qwen_sft.reading.metadata import metadata
from qwen_sft.reading.story import Story
from qwen_sft.sample import Path, is_list, is_object
from qwen_sft.text.normalize import ID_KEYS

_ROLES = {"model": "assistant", "function": "user", "tool": "user", None: "user"}
_SYSTEM = ("systemInstruction", "system_instruction")
_DECLARED = ("functionDeclarations", "function_declarations")
_SCHEMA = ("parametersJsonSchema", "parameters_json_schema", "parameters")
_REASON = ("finishReason", "finish_reason")
_NO_LABELS = frozenset({*ID_KEYS, *_SYSTEM, "cachedContent"})


# -- recognising -------------------------------------------------------------------------------------------------------


def is_request(body: Any) -> bool:
    """Contents, each with parts that name no type."""
    contents: Any = body.get("contents") if is_object(body) else None
    if not is_list(contents) or not contents or not all(is_object(c) and is_list(c.get("parts")) for c in contents):
        return False
    parts = [part for content in contents for part in content["parts"]]
    return bool(parts) and all(is_object(part) and "type" not in part for part in parts) and is_part(parts[0])


def is_response(body: Any) -> bool:
    """Candidates, or why the prompt was blocked."""
    return _candidates(body) != [] or isinstance(_blocked(body), str)


def _candidates(body: Any) -> list[Any]:
    listed_: Any = body.get("candidates") if is_object(body) else None
    if not is_list(listed_) or not listed_ or not all(map(is_object, listed_)):
        return []
    first: Any = listed_[0].get("content")
    known = "parts" in first or first.get("role") == "model" if is_object(first) else field(listed_[0], _REASON)
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
        tell(story, "system", [block(place, part, "system") for place, part in parts])
    for i, content in enumerate(contents):
        if not is_object(content):
            return no_object(("contents", i), content)
        role: Any = content.get("role")
        role = _ROLES.get(role, role) if role is None or isinstance(role, str) else role
        tell(story, role, blocks(listed(("contents", i), "parts", content), role))
    declared, own = _tools(body.get("tools"))
    return turns(story, declared, {**metadata(body, without=_NO_LABELS), **builtin(own)})


def answered(body: Any) -> list[Turns]:
    """The parts of each candidate that has any."""
    made: list[Turns] = []
    reasons: list[Any] = [_blocked(body)]
    for i, candidate in enumerate(_candidates(body)):
        content: Any = candidate.get("content")
        parts: Any = content.get("parts") if is_object(content) else None
        reasons.append(field(candidate, _REASON))
        if not is_list(parts) or not parts:
            continue
        story = Story()
        root: Path = ("candidates", i, "content", "parts")
        tell(story, "assistant", blocks([((*root, j), part) for j, part in enumerate(parts)], "assistant"))
        labels = metadata({"finish_reason": reasons[-1]}, {"model": body.get("modelVersion")})
        made.append(turns(story, None, labels))
    return made or [empty_answer((), next((reason for reason in reasons if reason), None))]


def _tools(declared: Any) -> tuple[Any, list[Any]]:
    """The declared functions, and the names of the tools that Google runs."""
    if is_object(declared):
        declared = [declared]
    if not is_list(declared):
        return declared, []
    kept: list[Any] = []
    own: list[Any] = []
    for tool in declared:
        functions: Any = field(tool, _DECLARED)
        if is_list(functions):
            kept += [function(one, field(one, _SCHEMA)) if is_object(one) else one for one in functions]
        elif not is_object(tool):
            kept.append(tool)
        own += [key for key in tool if key not in _DECLARED] if is_object(tool) else []
    return kept, own


# -- streams -----------------------------------------------------------------------------------------------------------


def continues(gathered: Sequence[Any], event: Any) -> bool:
    """A chunk with the responseId of those before it; without ids, whatever comes before the answer has ended."""
    known, given = gathered[0].get("responseId"), event.get("responseId")
    if known and given:
        return known == given
    return not any(field(candidate, _REASON) for candidate in _candidates(gathered[-1]))


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
            reasons[index] = field(candidate, _REASON) or reasons.get(index)
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
    fields=frozenset({"contents", "candidates", "promptFeedback", "usageMetadata"}),
)
