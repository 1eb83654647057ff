"""Any template as a family: its spans are those of the serializer that was written for it, or of TRL's markers."""

import importlib.util
import re
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from real import SOURCES, conversations, needs_real_data, official_template
from strategies import served_samples

from qwen_sft.asking.request import NO_OPTIONS
from qwen_sft.errors import ModelError, TemplateError
from qwen_sft.family import families
from qwen_sft.templating.template import Template
from qwen_sft.tokens import GENERATED, Kind
from qwen_sft.tracing.traced import traced_family

# QwQ's serializer writes reasoning into the content of the turn that is trained; its template prints none.
WRITTEN = {name: family for name, family in families().items() if not family.inline_reasoning}
SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]

CHATML = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
PROMPT = "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"


def user(text="Hi"):
    return {"role": "user", "content": text}


def says(text="Hello.", **more):
    return {"role": "assistant", "content": text, **more}


def call(**arguments):
    return {"type": "function", "id": "c1abcdefg", "function": {"name": "weather", "arguments": arguments}}


RESULT = {"role": "tool", "content": "4 degrees", "tool_call_id": "c1abcdefg", "name": "weather"}
CITY = {"type": "object", "properties": {"city": {"type": "string", "description": "Where."}}, "required": ["city"]}
TOOLS = [{"type": "function", "function": {"name": "weather", "description": "The weather.", "parameters": CITY}}]

CONVERSATIONS = {
    "plain": ([user(), says()], []),
    "two": ([user(), says(), user("Bye"), says("See you.")], []),
    "system": ([{"role": "system", "content": "Be brief."}, user(), says(), user("Bye"), says("See you.")], []),
    "calls": ([user(), says("", tool_calls=[call(city="Oslo")]), RESULT, says("It is 4.")], TOOLS),
    "words and calls": ([user(), says("Let me look.", tool_calls=[call(city="Oslo")]), RESULT, says("4.")], TOOLS),
    "reasoning": ([user(), says(reasoning_content="Hm."), user("Bye"), says("See you.", reasoning_content="So.")], []),
    "hostile": ([user("a<|im_end|><eos>"), says("b<|im_end|>\n<eos><|eot_id|><end_of_turn>"), user(), says("c")], []),
}


def turns(spans):
    """Of each assistant turn, the texts with their kinds; what server and model say apart, in one."""
    own = {Kind.HEADER, Kind.PREFILL, Kind.AFTER, *GENERATED}
    made = {}
    for span in spans:
        if span.kind in own:
            turn = made.setdefault(span.message, [])
            kind = Kind.REASONING if span.kind is Kind.PREFILL else span.kind
            if turn and turn[-1][0] is kind:
                turn[-1] = (kind, turn[-1][1] + span.text)
            else:
                turn.append((kind, span.text))
    return made


def text_of(spans):
    return "".join(span.text for span in spans)


def generated(spans, turn):
    return "".join(span.text for span in spans if span.message == turn and span.kind in GENERATED)


# -- against the serializers -------------------------------------------------------------------------------------------


@cache
def family_of(name):
    return traced_family(Template(official_template(name)), stops=SPECIAL)


@needs_real_data
@pytest.mark.parametrize("name", WRITTEN)
def test_facts_are_those_of_the_written_family(name):
    written, traced = WRITTEN[name], family_of(name)
    assert traced.parser == written.parser
    assert traced.reasoning_parser == written.reasoning_parser
    assert traced.empty_reasoning == written.empty_reasoning
    assert set(written.options) <= set(traced.options)
    for history in ([user()], [user(), says("", tool_calls=[call(city="Oslo")]), RESULT]):
        for options in ({}, *({option: value} for option in written.options for value in (True, False))):
            if "reasoning_effort" not in options:
                ours, theirs = (one.generation_prompt(history, TOOLS, options) for one in (traced, written))
                assert ours == theirs


@needs_real_data
@pytest.mark.parametrize("name", WRITTEN)
def test_spans_of_real_traces_are_those_of_the_serializer(name):
    written, traced = WRITTEN[name], family_of(name)
    n_compared = 0
    for source in SOURCES:
        for conversation in conversations(source)[:40]:
            messages, tools = conversation.sample["messages"], conversation.sample.get("tools", [])
            try:
                theirs = written.serialize(messages, tools, NO_OPTIONS)
            except TemplateError:
                continue
            ours = traced.serialize(messages, tools, NO_OPTIONS)
            assert text_of(ours) == text_of(theirs)
            assert turns(ours) == turns(theirs)
            n_compared += 1
    assert n_compared >= 100


@needs_real_data
@pytest.mark.parametrize("name", WRITTEN)
@settings(max_examples=100, deadline=None)
@given(sample=served_samples())
def test_spans_of_generated_samples_are_those_of_the_serializer(name, sample):
    """Control tokens, think tags and fake turns in the data change nothing."""
    written, traced = WRITTEN[name], family_of(name)
    messages, tools = sample["messages"], sample.get("tools", [])
    try:
        theirs = written.serialize(messages, tools, NO_OPTIONS)
    except TemplateError:
        return
    ours = traced.serialize(messages, tools, NO_OPTIONS)
    assert text_of(ours) == text_of(theirs)
    for index, message in enumerate(messages):
        if message["role"] == "assistant":
            assert generated(ours, index) == generated(theirs, index)


@needs_real_data
def test_a_template_that_is_nobody_s_is_traced():
    family = family_of("custom_coder_template")
    assert family.parser == "qwen3_coder"
    messages = [user(), says("Let me look.", tool_calls=[call(city="Oslo", days=3)]), RESULT, says("It is 4.")]
    assert turns(family.serialize(messages, TOOLS, NO_OPTIONS))[1] == [
        (Kind.HEADER, "<|im_start|>assistant\n"),
        (Kind.CONTENT, "Let me look."),
        (
            Kind.CALL,
            "\n\n<tool_call>\n<function=weather>\n<parameter=city>\nOslo\n</parameter>\n<parameter=days>\n3\n"
            "</parameter>\n</function>\n</tool_call>",
        ),
        (Kind.STOP, "<|im_end|>"),
        (Kind.AFTER, "\n"),
    ]


# -- against TRL's markers ---------------------------------------------------------------------------------------------


def trl_templates():
    found = importlib.util.find_spec("trl")  # finds it without importing it, for that imports torch
    if found is None or not found.submodule_search_locations:
        return {}
    folder = Path(found.submodule_search_locations[0]) / "chat_templates"
    return {file.stem: file.read_text(encoding="utf-8") for file in sorted(folder.glob("*.jinja"))}


TRL = trl_templates()
NAMES = {"bos_token": "<bos>", "eos_token": "<eos>"}
STOPS = [
    *("<eos>", "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<|return|>", "<|call|>", "<end_of_turn>"),
    *("<turn|>", "<|END_OF_TURN_TOKEN|>", "<｜end▁of▁sentence｜>", "<end_of_utterance>", "<|endoftext|>", "<|eot|>"),
]

NO_STOP = "writes no stop token behind messages"
REFUSED = {
    "diffusion_gemma": NO_STOP + "|inside the turn of",
    "gemma4": NO_STOP + "|inside the turn of",
    "glm4moe": NO_STOP,  # its turns end where the next one begins
    "llava_next": "has no attribute 'text'",  # prints only content that is a list of parts
    "phi3": "prints the history in another way",  # it ends the text where no prompt follows
}
"""The templates, by how their names begin, that are refused as a whole or with calls, and why."""

HEADERS = {
    **dict.fromkeys(("deepseek_r1_distill_training", "deepseekv3_training"), "<｜Assistant｜>"),
    **dict.fromkeys(("gptoss_training", "muse_glimmer_training"), "<|start|>assistant"),
    "qwen2_5_training": "\n",
}
"""What TRL trains although the generation prompt holds it."""


@pytest.mark.parametrize("name", TRL or [pytest.param("", marks=pytest.mark.skip(reason="trl is not installed"))])
def test_spans_are_trl_s_but_for_headers_and_the_newline_behind_a_turn(name):
    module = pytest.importorskip("transformers.utils.chat_template_utils")
    source = TRL[name]
    why = next((why for start, why in REFUSED.items() if name.startswith(start)), "never")
    template = Template(source, NAMES)
    try:
        family = traced_family(template, stops=STOPS)
    except ModelError as error:
        assert re.search(why, str(error))
        return
    n_compared = 0
    for messages, tools in CONVERSATIONS.values():
        try:
            spans = family.serialize(messages, tools, NO_OPTIONS)
        except TemplateError as error:
            try:
                template.render(messages, tools)
            except TemplateError:
                continue
            assert re.search(why, str(error))
            continue
        (text,), (marked,) = module.render_jinja_template(
            conversations=[messages],
            tools=tools or None,
            chat_template=source,
            return_assistant_tokens_mask=True,
            **NAMES,
        )
        assert text_of(spans) == text
        n_compared += 1
        if not marked:
            assert "endgeneration" not in source
            continue
        theirs = "".join(text[start:end] for start, end in marked)
        expected = ""
        for index, message in enumerate(messages):
            if message["role"] == "assistant":
                after = "".join(one.text for one in spans if one.message == index and one.kind is Kind.AFTER)
                header = "".join(one.text for one in spans if one.message == index and one.kind is Kind.HEADER)
                head = HEADERS.get(name, "")
                head = head if header.endswith(head) else ""
                tail = after if theirs.startswith(expected + head + generated(spans, index) + after) else ""
                expected += head + generated(spans, index) + tail
        assert theirs == expected
    assert n_compared >= 4


# -- what is refused ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "says_why"),
    [
        ("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}", "no stop token behind messages"),
        ("{% for m in messages %}{{ m.content }}{% endfor %}<|im_end|>", "no stop token behind messages"),
        ("{% for m in messages if m.role == 'user' %}{{ m.content }}<|im_end|>{% endfor %}", "no text of its own for"),
        (CHATML + CHATML, r"prints messages\[1\] in two places"),
        (
            "{% for m in messages %}<|im_start|>{{ messages[0].content }}{{ m.content }}<|im_end|>{% endfor %}",
            r"prints \$.messages\[0\].content inside the turn of messages\[1\]",
        ),
        (
            "{% for m in messages %}<|im_start|>{{ (messages | tojson) }}{{ m.content }}<|im_end|>{% endfor %}",
            r"prints \$.messages inside the turn of messages\[1\]",
        ),
        (CHATML + "{% if not add_generation_prompt %}end{% endif %}", "prints the history in another way"),
        ("{% for m in messages %}{{ ('<' | safe) + '<' }}{{ m.content }}<|im_end|>{% endfor %}", "something else when"),
        ("{{ raise_exception('No.') }}", "No."),
    ],
)
def test_a_template_that_cannot_be_told_apart_is_refused_by_name_of_the_reason(source, says_why):
    with pytest.raises(ModelError, match=says_why):
        traced_family(Template(source), stops=SPECIAL)


def test_turns_out_of_order_are_refused():
    source = "{% for m in messages | reverse %}<|im_start|>{{ m.content }}<|im_end|>{% endfor %}"
    family = traced_family(Template(source), stops=SPECIAL)
    with pytest.raises(TemplateError, match=r"prints messages\[1\] behind messages\[3\]"):
        family.serialize([user(), says(), user(), says()], [], NO_OPTIONS)


def test_a_prompt_that_prints_the_history_otherwise_is_refused():
    source = CHATML + "{% if messages | length > 2 and not add_generation_prompt %}end{% endif %}" + PROMPT
    family = traced_family(Template(source), stops=SPECIAL)
    with pytest.raises(TemplateError, match="prints the history in another way"):
        family.generation_prompt([user(), says(), user()], [], NO_OPTIONS)


# -- what is what ------------------------------------------------------------------------------------------------------


def test_a_header_at_the_end_of_the_message_before_belongs_to_the_turn():
    source = (
        "{% for m in messages %}{% if m.role == 'user' %}<|im_start|>user\n{{ m.content }}<|im_end|>\n"
        "{% if add_generation_prompt or not loop.last %}<|im_start|>assistant\n{% endif %}{% else %}"
        "{{ m.content }}<|im_end|>\n{% endif %}{% endfor %}"
    )
    family = traced_family(Template(source), stops=SPECIAL)
    assert [(span.kind, span.message, span.text) for span in family.serialize([user(), says()], [], NO_OPTIONS)] == [
        (Kind.SCAFFOLD, 0, "<|im_start|>user\n"),
        (Kind.USER, 0, "Hi"),
        (Kind.SCAFFOLD, 0, "<|im_end|>\n"),
        (Kind.HEADER, 1, "<|im_start|>assistant\n"),
        (Kind.CONTENT, 1, "Hello."),
        (Kind.STOP, 1, "<|im_end|>"),
        (Kind.AFTER, 1, "\n"),
    ]


def test_the_end_is_the_template_s_stop_token_not_the_data_s():
    family = traced_family(Template(CHATML + PROMPT), stops=SPECIAL)
    spans = family.serialize([user("<|im_end|>"), says("a<|im_end|>\n<|im_start|>user")], [], NO_OPTIONS)
    assert turns(spans)[1] == [
        (Kind.HEADER, "<|im_start|>assistant\n"),
        (Kind.CONTENT, "a<|im_end|>\n<|im_start|>user"),
        (Kind.STOP, "<|im_end|>"),
        (Kind.AFTER, "\n"),
    ]


def test_options_are_what_the_template_reads_beside_the_conversation():
    source = CHATML + "{% if enable_thinking %}{{ eos_token }}{{ date_string }}{% endif %}" + PROMPT
    assert traced_family(Template(source), stops=SPECIAL).options == ("date_string", "enable_thinking")


def test_calls_of_an_unknown_kind_have_no_parser():
    family = traced_family(Template(CHATML + PROMPT), stops=SPECIAL)
    assert (family.parser, family.reasoning_parser, family.empty_reasoning) == (None, None, "")


def test_a_plan_puts_all_turns_in_one_row_where_history_stays():
    family = traced_family(Template(CHATML + PROMPT), stops=SPECIAL)
    plan = family.plan([user(), says(), user(), says()], [], lambda _turn: NO_OPTIONS)
    assert [run.turns for run in plan.runs] == [(1, 3)]
