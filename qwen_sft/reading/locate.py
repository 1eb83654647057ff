"""Where in a record stands what a finding in a sample is about, for formats whose events are no messages of ours.

A message there is put together from several events, such as reasoning, text and calls, and only the first of them is
known as its origin. Here the one that is meant is looked for among them by what it holds: a call by its id and name, a
text by its words, a tool by its name. Where nothing, or no single thing, fits, the origin is all that can be named.
"""

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from qwen_sft.sample import Path, is_list, is_object, is_same, value_at

_ARGUMENTS = ("arguments", "input", "args", "parameters")
_DECLARED = ("parameters", "input_schema", "inputSchema", "parametersJsonSchema", "description")
_MOST_NODES = 20_000
"""Values that are looked at for one finding: the place is a help to people, and must not cost more than the check."""


_MOST_BEHIND = 20


def located(data: Any, events: Sequence[Path], origins: Sequence[Path], message: Any, path: Path) -> Path:
    """The place in a record of a place in one of its messages, which may have any shape.

    Args:
        data: the record.
        events: the places of its events, in order.
        origins: for each message of the sample the place of its first event.
        path: the place in the sample: ("messages", index, ...).
    """
    match path:
        case ("messages", int() as index, "tool_calls", *rest):
            k = rest[0] if rest and isinstance(rest[0], int) else 0
            found = _call(data, events, origins, index, message, k)
            return origins[index] if found is None else _inside(data, found, rest[1:])
        case ("messages", int() as index, ("content" | "reasoning_content") as field, *_):
            said: Any = value_at(message, (field,))
            look = _text if isinstance(said, str) else _part
            return look(data, _own(events, origins, index), said) or origins[index]
        case ("messages", int() as index, *_):
            return origins[index]
        case _:
            return ()


def declaration(data: Any, tool: Any, inside: Sequence[str | int]) -> Path:
    """The place in a record of a place inside a declared tool; that of the record where the tool cannot be found."""
    name = value_at(tool, ("function", "name"))
    for path, value in _values(data, ()) if isinstance(name, str) and name else ():
        if is_object(value) and value.get("name") == name and any(key in value for key in _DECLARED):
            steps = list(inside[1:] if inside[:1] == ["function"] else inside)
            if steps[:1] == ["parameters"]:
                steps[0] = next((key for key in _DECLARED if key in value), "parameters")
            return _along(data, path, steps)
    return ("tools",) if is_object(data) and "tools" in data else ()


def _along(data: Any, place: Path, steps: Sequence[str | int]) -> Path:
    """As far as there is something."""
    for step in steps:
        if value_at(data, (*place, step)) is None:
            break
        place = (*place, step)
    return place


def _call(data: Any, events: Sequence[Path], origins: Sequence[Path], index: int, message: Any, k: int) -> Path | None:
    calls: Any = value_at(message, ("tool_calls",))
    names: list[Any] = [value_at(call, ("function", "name")) for call in (calls if is_list(calls) else ())]
    if k >= len(names):
        return None
    name, ident = names[k], value_at(calls[k], ("id",))
    own = _own(events, origins, index)
    named = list(_holders(data, own, name))
    if isinstance(ident, str) and ident:
        further = _holders(data, _behind(events, own), name)  # between two calls of one turn may stand a result
        for path, holder in chain(named, further):
            if _has(value_at(data, path), ident) or _has(holder, ident):
                return path
    same = [n for n, other in enumerate(names) if other == name]
    if len(named) == len(same):
        return named[same.index(k)][0]
    texts = [path for place in own for path, value in _values(value_at(data, place), place) if _names(value, name)]
    if len(texts) == len(same):
        return texts[same.index(k)]
    return texts[0] if len(texts) == 1 else None


def _own(events: Sequence[Path], origins: Sequence[Path], index: int) -> list[Path]:
    """The events that a message may have come from: from its origin up to that of the next message."""
    try:
        start = events.index(origins[index])
    except ValueError:  # an origin that is no event of its own, such as a field of one
        return [origins[index]]
    others = set(origins) - {origins[index]}
    stop = next((n for n in range(start + 1, len(events)) if events[n] in others), len(events))
    return list(events[start:stop])


def _behind(events: Sequence[Path], own: Sequence[Path]) -> Sequence[Path]:
    """The next events behind a message's own ones."""
    start = events.index(own[-1]) + 1 if own[-1] in events else len(events)
    return events[start : start + _MOST_BEHIND]


def _holders(data: Any, places: Sequence[Path], name: Any) -> Iterator[tuple[Path, Any]]:
    """The objects under some places that have a name as a value, each with the object around it; messages are none."""
    for place in places:
        around: dict[Path, Any] = {}
        for path, value in _values(value_at(data, place), place):
            if is_object(value):
                around[path] = value
                if isinstance(name, str) and "role" not in value and _has(value, name):
                    yield path, around.get(path[:-1])


def _has(value: Any, text: str) -> bool:
    return is_object(value) and any(isinstance(one, str) and one == text for one in value.values())


def _names(value: Any, name: Any) -> bool:
    """True for a text that holds calls as JSON."""
    return isinstance(value, str) and isinstance(name, str) and f'"{name}"' in value


def _inside(data: Any, place: Path, rest: Sequence[str | int]) -> Path:
    """As far as a place inside our call ("function", "arguments", ...) can be followed inside the record's."""
    found: Any = value_at(data, place)
    if not is_object(found):  # a text
        return place
    match rest:
        case ("function", "name"):
            key = next((key for key in ("name", "tool_name", "toolName", "tool") if key in found), None)
            return place if key is None else (*place, key)
        case ("function", "arguments", *steps):
            key = next((key for key in _ARGUMENTS if key in found), None)
            if key is None:
                return place
            return _along(data, (*place, key), steps)
        case _:
            return place


def _text(data: Any, places: Sequence[Path], said: str) -> Path | None:
    """The place of a text, or of the longest piece of it; None where none of its words stand alone."""
    best: Path | None = None
    longest = 0
    wanted = said.strip()
    for place in places:
        for path, value in _values(value_at(data, place), place):
            if isinstance(value, str) and longest < len(piece := value.strip()) <= len(wanted) and piece in wanted:
                best, longest = path, len(piece)
    return best if longest * 2 >= len(wanted) else None


def _part(data: Any, places: Sequence[Path], parts: Any) -> Path | None:
    """The place of the first part of some content that is no text; None where there is none, or it reads otherwise."""
    listed = parts if is_list(parts) else []
    part = next((one for one in listed if is_object(one) and not isinstance(one.get("text"), str)), None)
    if part is None:
        return None
    places_and_values = (one for place in places for one in _values(value_at(data, place), place))
    return next((path for path, value in places_and_values if value is part or is_same(value, part)), None)


def _values(value: Any, place: Path) -> Iterator[tuple[Path, Any]]:
    """A value and all below it, in the order of the text."""
    rest: list[tuple[Path, Any]] = [(place, value)]
    for _ in range(_MOST_NODES):
        if not rest:
            return
        path, item = rest.pop()
        yield path, item
        if is_object(item):
            rest += [((*path, key), item[key]) for key in reversed(item)]
        elif is_list(item):
            rest += [((*path, n), item[n]) for n in reversed(range(len(item)))]
