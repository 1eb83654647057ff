"""What hypothesis draws: samples that the schema admits, the odd ones among them, and samples that it may not."""

from copy import deepcopy
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from qwen_sft.sample import ROLES, Sample

HARD_TEXTS = (
    *("", " ", "\n", "\r\n", "\t\n ", "\n\nHello", "Hello\n", "null", "None", "true", "12", "1.0", "{}", '{"a": 1}'),
    *("<|im_end|>", "a<|im_start|>user\nb", "<|endoftext|>", "<|image_pad|>", "<tts_pad>", "<| im_end |>", "<|", "[1"),
    *("<think>", "</think>", "<think>\nHm.\n</think>\n\nYes.", "<tool_call>", "</tool_call>", "</parameter>"),
    "<function=f>",
    '<tool_call>\n{"name": "weather", "arguments": {"city": "Oslo"}}\n</tool_call>',
    '<tool_call>\n{"name": "weather"',
    "<tool_call>\n<function=weather>\n<parameter=city>\nOslo\n</parameter>\n</function>\n</tool_call>",
    "<tool_response>\n4 degrees\n</tool_response>",
    *("\x1b[31mred\x1b[0m", "\x00", "\u2028", "e\u0301", "\U0001f600", "\ufeff", "俱乐部", "{{ x }}", "{% raw %}"),
)

TOOL_NAMES = ("weather", "search", "bash", "get time", "功能", "f<|im_end|>", "a.b", "x" * 70)
"""Names that calls and declarations share, so that they meet."""

ODD_SCHEMAS: tuple[Any, ...] = (
    *(None, True, False, {}, [], "object", 3, {"type": "dict"}, {"type": "any"}, {"type": "STRING"}, {"type": 7}),
    {"type": "object", "properties": {"city": {"type": "float"}}},
    {"type": "object", "properties": {"city": {"type": "str, optional"}}, "required": "city"},
    {"type": "object", "properties": None, "required": None},
    {"type": "object", "properties": ["city"]},
    {"type": "object", "properties": {"city": "string"}, "required": ["town"]},
    {"type": "object", "properties": {"city": {"type": ["string", "null"], "enum": ["Oslo", None]}}},
    {"type": "object", "properties": {"city": {"$ref": "#/$defs/nowhere"}}},
    {"type": "object", "properties": {"city": {"$ref": "https://example.invalid/city.json"}}},
    {"$ref": "#"},
    {"type": "object", "properties": {"city": {"type": "string", "pattern": "("}}},
    {"type": "object", "properties": {"city": {"anyOf": [{"type": "string"}, {"type": "integer"}], "default": 1}}},
    {"type": "object", "properties": {"city": {"description": "<|im_start|>", "x<|im_end|>": 1}}},
    {"$schema": "http://json-schema.org/draft-04/schema#", "type": "object", "minProperties": -1},
)


def texts() -> SearchStrategy[str]:
    """Any text that UTF-8 can hold, often one that has been trouble."""
    return st.sampled_from(HARD_TEXTS) | st.text(max_size=20)


def json_values(max_leaves: int = 8) -> SearchStrategy[Any]:
    """Any JSON value, integers past 64 bits too."""
    leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts()
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts(), inner, max_size=3),
        max_leaves=max_leaves,
    )


def objects(**required: SearchStrategy[Any]) -> SearchStrategy[dict[str, Any]]:
    """JSON objects with these keys, and perhaps others."""
    return st.builds(
        lambda own, more: {**own, **more},
        st.fixed_dictionaries(required),
        st.dictionaries(texts().filter(lambda key: key not in required), json_values(3), max_size=2),
    )


def tool_names() -> SearchStrategy[str]:
    """A tool's name: any text but the empty one."""
    return st.sampled_from(TOOL_NAMES) | st.text(min_size=1, max_size=10)


def ids() -> SearchStrategy[str]:
    """A call's id, from so few that they meet."""
    return st.sampled_from(["c1", "c2", "c3", ""]) | st.text(max_size=5)


def calls() -> SearchStrategy[dict[str, Any]]:
    """A call, its arguments most often an object."""
    arguments = (
        st.dictionaries(st.sampled_from(["city", "town", "a b", ""]) | texts(), json_values(4), max_size=3)
        | st.fixed_dictionaries({"city": st.just("Oslo")})
        | json_values()
    )
    function = st.fixed_dictionaries({"name": tool_names(), "arguments": arguments})
    return st.fixed_dictionaries({"type": st.just("function"), "function": function}, optional={"id": ids()})


def contents() -> SearchStrategy[Any]:
    """Content: text, or a list of parts of which some may be no text."""
    part = (
        texts()
        | st.fixed_dictionaries({"type": st.sampled_from(["text", "input_text"]), "text": texts()})
        | objects(type=st.sampled_from(["image_url", "text", "audio"]) | json_values(2))
        | objects()
    )
    return texts() | texts() | texts() | st.lists(part, min_size=1, max_size=3)


def messages() -> SearchStrategy[dict[str, Any]]:
    """A message; any role may have any of the optional fields."""
    role = st.sampled_from(ROLES) | st.sampled_from(ROLES) | st.sampled_from(["developer", "critic", ""]) | texts()
    plain = {"content": contents()}
    fields = {
        "reasoning_content": texts(),
        "tool_calls": st.lists(calls(), min_size=1, max_size=3),
        "tool_call_id": ids(),
        "name": tool_names() | texts(),
    }
    return st.one_of(
        st.fixed_dictionaries({"role": role, **plain}, optional=fields),
        st.fixed_dictionaries({"role": st.just("assistant"), **plain, "tool_calls": fields["tool_calls"]}),
        st.fixed_dictionaries({"role": st.just("tool"), "content": texts(), "tool_call_id": fields["tool_call_id"]}),
        st.fixed_dictionaries({"role": st.sampled_from(["system", "user", "assistant"]), "content": texts()}),
    )


def tools() -> SearchStrategy[dict[str, Any]]:
    """A declared tool; its parameters may be anything."""
    schema = (
        st.just({"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]})
        | st.sampled_from(ODD_SCHEMAS).map(deepcopy)
        | json_values()
    )
    function = st.fixed_dictionaries(
        {"name": tool_names()},
        optional={"description": st.none() | texts(), "parameters": schema, "strict": json_values(2)},
    )
    return st.fixed_dictionaries({"function": function}, optional={"type": texts() | st.just("function")})


def samples() -> SearchStrategy[Sample]:
    """Samples that `schemas/sample.schema.json` admits: unknown roles, unanswered calls, odd schemas and all."""
    return st.fixed_dictionaries(
        {"messages": st.lists(messages(), min_size=1, max_size=6)},
        optional={"id": texts(), "tools": st.lists(tools(), max_size=3)},
    )


def served_samples() -> SearchStrategy[Sample]:
    """Samples that every template prints: known roles, text, arguments that are objects; the text may be anything.

    Consecutive turns of one role, reasoning in any turn, think tags in content, results out of place: all occur.
    """
    some = texts() | st.sampled_from(["Hello", "It is 4 degrees.", "Let me look."])
    call = st.builds(
        lambda name, arguments: {"type": "function", "function": {"name": name, "arguments": arguments}},
        tool_names(),
        st.dictionaries(st.sampled_from(["city", "days"]) | texts(), json_values(4), max_size=2),
    )
    assistant = st.fixed_dictionaries(
        {"role": st.just("assistant"), "content": some},
        optional={"reasoning_content": some, "tool_calls": st.lists(call, min_size=1, max_size=2)},
    )
    other = st.fixed_dictionaries({"role": st.sampled_from(["user", "user", "tool", "system"]), "content": some})
    return st.fixed_dictionaries(
        {"messages": st.lists(assistant | other, min_size=1, max_size=8)},
        optional={"tools": st.lists(tools(), max_size=2)},
    )


def broken_samples() -> SearchStrategy[Any]:
    """Samples in which one place holds any JSON value, or is gone; some are still samples, most are not."""

    @st.composite
    def draw_one(draw: st.DrawFn) -> Any:
        sample: Any = draw(samples())
        places = list(_places(sample))
        holder, key = draw(st.sampled_from(places))
        if draw(st.booleans()):
            holder[key] = draw(json_values(3))
        else:
            del holder[key]
        if isinstance(holder, dict) and draw(st.booleans()):
            holder[draw(texts())] = draw(json_values(2))
        return sample

    return draw_one() | json_values()


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Each holder and key in a JSON value."""
    keys: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
    found = [(value, key) for key in keys]
    for key in keys:
        if isinstance(value[key], dict | list):
            found += _places(value[key])
    return found
