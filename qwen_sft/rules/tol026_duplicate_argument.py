"""TOL026 duplicate-argument."""

import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

from qwen_sft.finding import Finding
from qwen_sft.rule import Source, rule
from qwen_sft.sample import Path, is_list, is_object, value_at
from qwen_sft.text.quote import quoted

_KEYS = ("arguments", "input", "args")
_MARKS = re.compile(rb'"(?:arguments|input|args)"')
_COLON = re.compile(r"\s*:\s*")


@rule(code="TOL026", name="duplicate-argument", severity="warning", since="0.1.0", stage="record")
def check(source: Source) -> Iterator[Finding]:
    r"""The arguments of a call hold a key twice.

    What it catches: in the record as it stands in its file, `arguments` in which an object has one key twice, as JSON
        or as a string of JSON; `input` (Anthropic) and `args` (Gemini) beside a `name` likewise, as JSON. Calls that
        stand as text, and arguments under another name, are not seen.

    Why it matters: readers keep the last value and say nothing. What is trained is then not what the model wrote, and
        what the tool took may have been the other value.

    Fix: find out which value was meant, and take the other out.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function",
             "function": {"name": "weather", "arguments": "{\"city\": \"Oslo\", \"city\": \"Bergen\"}"}}]},
          {"role": "tool", "tool_call_id": "c1", "content": "4 degrees, rain"},
          {"role": "assistant", "content": "It is 4 degrees and raining."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]}

    Good:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function",
             "function": {"name": "weather", "arguments": "{\"city\": \"Oslo\"}"}}]},
          {"role": "tool", "tool_call_id": "c1", "content": "4 degrees, rain"},
          {"role": "assistant", "content": "It is 4 degrees and raining."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]}

    Source: RFC 8259, section 4: the behaviour of software that receives names that are not unique is unpredictable.
    """
    record = source.record
    if record.fault is not None or record.cut or not _MARKS.search(record.raw):
        return
    text = record.raw.decode("utf-8", "replace")
    keys: list[str] = []
    decoder = json.JSONDecoder(object_pairs_hook=partial(_pairs, keys), strict=False)
    twice: list[tuple[int, str, bool]] = []
    for n, (start, elsewhere) in enumerate(sorted(_values(text))):
        if not elsewhere or text.startswith("{", start):
            _read(decoder, text, start)
        if keys:
            twice.append((n, keys[0], elsewhere))
            keys.clear()
    if not twice:
        return
    places = list(_places(record.data))
    for n, key, elsewhere in twice:
        place = places[n] if n < len(places) else ()
        if elsewhere and not isinstance(value_at(record.data, (*place[:-1], "name")), str):
            continue  # the body of a request, say
        says = f"the arguments of a call hold the key {quoted(key)} twice"
        yield Finding(place, says, "take the value out that was not meant")


def _values(text: str) -> Iterator[tuple[int, bool]]:
    """Where the value of a key that arguments may have begins, and whether the key is another than `arguments`."""
    for key in _KEYS:
        quoted_key = f'"{key}"'
        at = text.find(quoted_key)
        while at >= 0:
            at += len(quoted_key)
            if colon := _COLON.match(text, at):
                yield colon.end(), key != _KEYS[0]
            at = text.find(quoted_key, at)


def _pairs(keys: list[str], items: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; the first key that it has twice is added to `keys`."""
    made = dict(items)
    if len(made) < len(items):
        names = [name for name, _ in items]
        keys.append(next(name for k, name in enumerate(names) if name in names[:k]))
    return made


def _read(decoder: json.JSONDecoder, text: str, start: int) -> None:
    """Reads the JSON value at a place of a text, and the text of that."""
    try:
        value: Any = decoder.raw_decode(text, start)[0]
        if isinstance(value, str):
            decoder.raw_decode(value.lstrip())
    except (ValueError, RecursionError):  # it is no JSON, which TOL008 says, or it nests too deep
        return


def _places(value: Any) -> Iterator[Path]:
    """The place of everything in a record under a key that arguments may have, in the order of its text."""
    rest: list[tuple[Path, Any]] = [((), value)]
    while rest:
        place, item = rest.pop()
        if place and place[-1] in _KEYS:
            yield place
        if is_object(item):
            rest += [((*place, key), item[key]) for key in reversed(item)]
        elif is_list(item):
            rest += [((*place, k), item[k]) for k in reversed(range(len(item)))]
