"""The battery of message shapes, and what is said of a template that drops, repeats, rewrites or crashes."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest

from qwen_sft.errors import TemplateError
from qwen_sft.proving.battery import BATTERY, Shape
from qwen_sft.proving.probe import Behaviour, Refused, Render, marked, probe
from qwen_sft.templating.template import Template
from tests.real import needs_real_data, official_template

SHAPES = {shape.name: shape for shape in BATTERY}

SMALL = """\
{%- for message in messages %}
{%- if message.role == 'tool' %}{{- '[result]' + message.content|string + '[end]' }}
{%- elif message.role == 'system' and not loop.first %}
{%- elif message.role == 'developer' %}{{- raise_exception('no developers here') }}
{%- else %}
{{- '[' + message.role + ']' + (message.content or '')|trim }}
{%- for call in message.tool_calls or [] %}{{- '[call]' + call.function.arguments|tojson }}{% endfor %}
{{- '[end]' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '[assistant]' }}{% endif %}"""


def renders(source: str) -> Render:
    template = Template(source)

    def render(messages: Sequence[Any], tools: Sequence[Any], prompted: bool, options: Mapping[str, Any]) -> str:
        return template.render(messages, tools, add_generation_prompt=prompted, **options)

    return render


def characters(text: str) -> list[int]:
    return [ord(character) for character in text]


def ask(name: str, source: str = SMALL, encode: Callable[[str], list[int]] | None = characters) -> Behaviour:
    return probe(SHAPES[name], renders(source), encode)


# -- the battery ------------------------------------------------------------------------------------------------------


def test_battery_has_shapes_of_every_group_under_names_of_their_own():
    assert len(SHAPES) == len(BATTERY)
    assert Counter(shape.group for shape in BATTERY) == {
        "roles": 19,
        "content": 20,
        "calls": 20,
        "arguments": 17,
        "results": 11,
        "reasoning": 23,
        "control": 9,
        "tools": 20,
    }


def test_every_datum_has_a_word_of_its_own():
    for shape in BATTERY:
        request, words = marked(shape)
        text = json.dumps(request, ensure_ascii=False)
        assert "@" not in text
        for own in words.values():
            assert [text.count(word) for word in own] == [2 if word == "wsameq" else 1 for word in own], shape.name


def test_marking_leaves_the_shape_as_it_is():
    before = json.dumps(SHAPES["call ids"].messages)
    request, words = marked(SHAPES["call ids"])
    assert json.dumps(SHAPES["call ids"].messages) == before
    assert request["messages"][1]["tool_calls"][0]["id"] == request["messages"][2]["tool_call_id"] == "wsameq"
    assert list(words.values()) == [["w000q"], ["wsameq"], ["w001q"], ["wsameq"], ["w002q"], ["w003q"]]


# -- what is said -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("user, assistant", "rendered"),
        ("system first", "rendered"),
        ("system late", "drops messages[2].content"),
        ("developer first", "crashes: TemplateError: no developers here"),
        ("no messages", "rendered"),
        ("white space around user", "trims messages[0].content"),
        ("white space around result", "rendered"),
        ("call ids", "drops messages[1].tool_calls[0].id, messages[2].tool_call_id"),
        ("name of the result's tool", "drops messages[2].name"),
        ("arguments", "rendered"),
        ("arguments nested", "rendered"),
        ("arguments not ASCII", "rendered"),
        ("argument with lines and quotes", "rendered"),
        ("argument that is JSON", "rendered"),
        ("argument null", "rendered"),
        ("arguments a JSON string", "prints as a JSON string messages[1].tool_calls[0].function.arguments"),
        ("result an object", "prints as Python messages[2].content"),
        ("result of parts", "prints as Python messages[2].content"),
        ("result None", "prints as Python messages[2].content"),
        ("result a number", "rendered"),
        ("user content of one part", "prints as Python messages[0].content"),
        ("reasoning and content", "drops messages[1].reasoning_content"),
    ],
)
def test_what_became_of_each_datum_is_said_by_its_place(name: str, says: str):
    assert ask(name).says == says


def test_literals_in_python_spelling_and_those_left_out_are_told():
    source = "{% set given = messages[1].tool_calls[0].function.arguments %}{{ given.city }} {{ given.days }}"
    place = "messages[1].tool_calls[0].function.arguments.days"
    rest = "drops messages[0].content, messages[2].content, messages[3].content"
    assert ask("argument true", source).says == f"{rest}; prints as Python {place}"
    assert ask("argument null", source).says == f"{rest}; prints as Python {place}"
    without = source.replace("{{ given.days }}", "")
    assert ask("argument true", without).fates == {
        "drops": ("messages[0].content", "messages[2].content", "messages[3].content", place)
    }


def test_what_is_printed_twice_or_rewritten_is_told():
    twice = "{% for m in messages %}{{ m.content }}{{ m.content }}{% endfor %}"
    assert ask("user, assistant", twice).says == "prints twice messages[0].content, messages[1].content"
    escaped = "{% for m in messages %}{{ m.content|replace('ï', '&iuml;') }}{% endfor %}"
    assert ask("not ASCII", escaped).says == "changes messages[1].content"


def test_options_of_the_shape_win_over_those_of_the_run():
    source = "{% for m in messages %}{{ m.content }}{{ m.reasoning_content }}{% endfor %}{{ enable_thinking }}"
    seen = probe(SHAPES["thinking off, no reasoning"], renders(source), None, {"enable_thinking": True})
    assert seen.text is not None
    assert seen.text.endswith("False")


def test_refusal_of_a_serializer_is_no_crash_of_the_template():
    def refuses(*_request: Any) -> str:
        raise Refused("content is None")

    def crashes(*_request: Any) -> str:
        raise TemplateError("TypeError: None")

    shape = SHAPES["user"]
    assert (probe(shape, refuses).says, probe(shape, refuses).refused) == ("refused: content is None", True)
    assert (probe(shape, crashes).says, probe(shape, crashes).refused) == ("crashes: TypeError: None", False)


# -- prefixes ---------------------------------------------------------------------------------------------------------


def test_prompts_that_begin_the_text_are_stable():
    seen = ask("three queries")
    assert (seen.turns, seen.unstable_text, seen.unstable_tokens) == ((1, 3, 5), (), ())
    assert ask("three queries", encode=None).unstable_tokens is None


def test_turn_whose_prompt_the_text_does_not_have_is_named():
    opened = SMALL.replace("{{- '[assistant]' }}", "{{- '[assistant]<think>' }}")
    seen = ask("three queries", opened)
    assert (seen.unstable_text, seen.unstable_tokens) == ((1, 3, 5), (1, 3, 5))


def test_turn_whose_prompt_cannot_be_rendered_is_unstable():
    lone = "{% if messages|length < 2 %}{{ raise_exception('too short') }}{% endif %}"
    lone += "{% for m in messages %}{{ m.content }}{% endfor %}"
    assert ask("user, assistant", lone).unstable_text == (1,)


def test_prefix_in_text_may_break_in_tokens():
    def merges(text: str) -> list[int]:
        return [ord(character) for character in text.replace("]w", "\x00")]

    seen = ask("user, assistant", encode=merges)
    assert (seen.unstable_text, seen.unstable_tokens) == ((), (1,))


# -- the official templates -------------------------------------------------------------------------------------------

_FAMILIES = ("qwen2_5", "qwen3", "qwen3_first_revision", "qwen3_instruct_2507", "qwen3_thinking_2507", "qwen3_vl")
_XML = ("qwen3_coder", "qwen3_coder_next", "qwen3_5", "qwen3_5_nothink", "qwen3_6", "qwen3_8")
_NEW = ("qwen3_5", "qwen3_5_nothink", "qwen3_6", "qwen3_8")
_CONCATENATION = 'crashes: TypeError: can only concatenate str (not "{}") to str'
_NO_PAIRS = "crashes: TypeError: Can only get item pairs from a mapping."
_ARGUMENTS = "messages[1].tool_calls[0].function.arguments"


def known() -> list[tuple[str, str, str]]:
    """Family, shape, and what must be said, as it was found by running transformers (facts of November 2026)."""
    rows: list[tuple[str, str, str]] = []
    for family in (*_FAMILIES, *_XML):
        rows.append((family, "call ids", "drops messages[1].tool_calls[0].id, messages[2].tool_call_id"))
        rows.append((family, "name of the result's tool", "drops messages[2].name"))
        rows.append((family, "user, assistant", "rendered"))
        rows.append((family, "parallel calls", "rendered"))
    for family in ("qwen3", "qwen3_instruct_2507", "qwen3_thinking_2507"):
        rows.append((family, "user content of one part", "drops messages[0].content[0].text"))
        rows.append((family, "result an object", "drops messages[2].content.degrees"))
    for family in ("qwen2_5", "qwen3_coder", "qwen3_coder_next"):
        rows.append((family, "user content of one part", _CONCATENATION.format("list")))
        rows.append((family, "assistant content None", _CONCATENATION.format("NoneType")))
        rows.append((family, "result of parts", "prints as Python messages[2].content"))
        rows.append((family, "result an object", "prints as Python messages[2].content"))
    for family in ("qwen3_vl", *_NEW):
        rows.append((family, "user content of one part", "rendered"))
    for family in _XML:
        rows.append((family, "arguments a JSON string", _NO_PAIRS))
    rows.append(("qwen2_5", "arguments a JSON string", f"prints as a JSON string {_ARGUMENTS}"))
    rows.append(("qwen3", "arguments a JSON string", "rendered"))
    for family in ("qwen3_coder", "qwen3_5", "qwen3_5_nothink"):
        rows.append((family, "argument null", f"prints as Python {_ARGUMENTS}.days"))
        rows.append((family, "argument true", f"prints as Python {_ARGUMENTS}.days"))
    for family in ("qwen3_coder_next", "qwen3_6", "qwen3_8"):
        rows.append((family, "argument null", "rendered"))
        rows.append((family, "argument true", "rendered"))
    for family in ("qwen2_5", "qwen3", "qwen3_vl"):
        rows.append((family, "developer first", "drops messages[0].content"))
    for family in ("qwen3_coder", "qwen3_coder_next"):
        rows.append((family, "developer first", "rendered"))
    rows.append(("qwen3_vl", "system late", "drops messages[2].content"))
    for family in _NEW:
        rows.append((family, "developer first", "crashes: TemplateError: Unexpected message role."))
        rows.append((family, "system late", "crashes: TemplateError: System message must be at the beginning."))
        rows.append((family, "system only", "crashes: TemplateError: No user query found in messages."))
        rows.append((family, "white space around user", "trims messages[0].content"))
        rows.append((family, "result an object", "crashes: TemplateError: Unexpected content type."))
    for family in ("qwen2_5", "qwen3_instruct_2507", "qwen3_vl", "qwen3_coder", "qwen3_coder_next"):
        rows.append((family, "reasoning and content", "drops messages[1].reasoning_content"))
    for family in ("qwen3", "qwen3_thinking_2507", "qwen3_5", "qwen3_6"):
        rows.append((family, "reasoning and content", "rendered"))
        rows.append((family, "reasoning before an earlier query", "drops messages[1].reasoning_content"))
    rows.append(("qwen3_6", "reasoning preserved", "rendered"))
    rows.append(("qwen3_8", "reasoning before an earlier query", "rendered"))
    rows.append(
        ("qwen3_coder", "tool with a list of types", "prints as Python tools[0].function.parameters.properties.at.type")
    )
    return rows


@needs_real_data
@pytest.mark.parametrize(("family", "name", "says"), known())
def test_official_template_does_what_is_known_of_it(family: str, name: str, says: str):
    assert ask(name, official_template(family), None).says == says


@needs_real_data
@pytest.mark.parametrize(
    ("family", "names"),
    [
        *((family, set[str]()) for family in ("qwen2_5", "qwen3_instruct_2507", "qwen3_vl", "qwen3_coder_next")),
        ("qwen3", {"assistants in a row", "thinking off, two queries", "thinking off, reasoning"}),
    ],
)
def test_official_template_breaks_prefixes_in_these_shapes_only(family: str, names: set[str]):
    render = renders(official_template(family))
    assert {one.shape.name for one in (probe(shape, render) for shape in BATTERY) if one.unstable_text} == names


@needs_real_data
def test_edited_template_that_drops_schema_keys_is_told():
    shape: Shape = SHAPES["tool with extra keys"]
    dropped = probe(shape, renders(official_template("custom_coder_template"))).fates["drops"]
    assert {"tools[0].function.strict", "tools[0].function.parameters.additionalProperties"} <= set(dropped)
