"""A traced rendering prints the same text, and tells of each piece who wrote it."""

from functools import cache

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from real import needs_real_data, official_template
from strategies import samples, served_samples, texts

from qwen_sft.errors import TemplateError
from qwen_sft.templating.template import Template
from qwen_sft.tracing.provenance import Tagged, concat, tag, tagged
from qwen_sft.tracing.trace import Piece, Tracer, data_control_tokens

MESSAGES = [
    {"role": "user", "content": "Hi"},
    {
        "role": "assistant",
        "content": " Yo ",
        "tool_calls": [{"function": {"name": "f", "arguments": {"a": 1, "b": "c"}}}],
    },
]


def traced(source, messages=MESSAGES, tools=(), **options):
    """Text, source and message of each piece."""
    return [tuple(piece) for piece in Tracer(Template(source)).trace(messages, tools, **options)]


@cache
def template_of(name):
    return Template(official_template(name))


@cache
def tracer_of(name):
    return Tracer(template_of(name))


def data(index, *field):
    return ("messages", index, *field)


def test_loops_over_messages_say_which_one_is_printed():
    assert traced("A{% for m in messages %}<{{ m.content }}>{% endfor %}B") == [
        ("A", None, -1),
        ("<", None, 0),
        ("Hi", data(0, "content"), 0),
        (">", None, 0),
        ("<", None, 1),
        (" Yo ", data(1, "content"), 1),
        (">", None, 1),
        ("B", None, -1),
    ]


@pytest.mark.parametrize(
    "source",
    [
        "{% for m in messages[1:] %}({{ m.content }}){% endfor %}",
        "{% for m in messages | selectattr('role', 'equalto', 'assistant') %}({{ m.content }}){% endfor %}",
        "{% for m in messages if m.tool_calls %}{{ '(' + m.content + ')' }}{% endfor %}",
        "{% for m in messages | reverse %}{% if loop.first %}({{ m.content }}){% endif %}{% endfor %}",
        "{% for i in range(1, 2) %}{% set m = messages[i] %}({{ m['content'] }}){% endfor %}",
        "{% macro show(m) %}({{ m.content }}){% endmacro %}{% for m in messages[1:] %}{{ show(m) }}{% endfor %}",
        "{% macro all(ms) %}{% for m in ms %}({{ m.content }}){% endfor %}{% endmacro %}{{ all(messages[1:]) }}",
        "{% set x %}{% for m in messages[1:] %}({{ m.content }}){% endfor %}{% endset %}{{ x }}",
        "{% set ns = namespace(out='') %}{% for m in messages[1:] %}{% set ns.out = ns.out + '(' + m.content + ')' %}"
        "{% endfor %}{{ ns.out }}",
        "{% set ns = namespace(out='') %}{% for m in messages[1:] %}{% set ns.out = ns.out ~ '(' ~ m.content ~ ')' %}"
        "{% endfor %}{{ ns.out }}",
        "{% for m in messages %}{% if loop.last %}{% generation %}({{ m.content }}){% endgeneration %}{% endif %}"
        "{% endfor %}",
        "{% for m in messages %}{% for n in messages[loop.index0:] %}{% endfor %}{% if m.tool_calls %}({{ m.content }})"
        "{% endif %}{% endfor %}",
        "{% for m in messages[1:] %}{% filter trim %}({{ m.content }}){% endfilter %}{% endfor %}",
        "{% for m in messages[1:] %}{% set c %}({{ m.content }}){% endset %}{{ c }}{% endfor %}",
    ],
)
def test_text_is_the_message_s_however_the_template_gets_at_it(source):
    assert traced(source) == [("(", None, 1), (" Yo ", data(1, "content"), 1), (")", None, 1)]


@pytest.mark.parametrize(
    ("expression", "text", "source"),
    [
        ("m.content | trim", "Yo", data(1, "content")),
        ("m.content[1:]", "Yo ", data(1, "content")),
        ("m.content[1]", "Y", data(1, "content")),
        ("m.content.split('o')[0].strip()", "Y", data(1, "content")),
        ("m.content | upper", " YO ", data(1, "content")),
        ("m.content | replace('Z', 'J')", " Yo ", data(1, "content")),
        ("'%s' % m.content", " Yo ", data(1, "content")),
        ("'%s!' % (m.content,)", " Yo !", data(1, "content")),
        ("'{}!'.format(m.content)", " Yo !", data(1, "content")),
        ("'%s' | format(m.content)", " Yo ", data(1, "content")),
        ("m.content | safe", " Yo ", data(1, "content")),
        ("m.content | urlencode", "%20Yo%20", data(1, "content")),
        ("m.content | title | e", " Yo ", data(1, "content")),
        ("m.content | list | join", " Yo ", data(1, "content")),
        ("''.join([m.content])", " Yo ", data(1, "content")),
        ("m.content * 2", " Yo  Yo ", data(1, "content")),
        ("m.content if m.content else ''", " Yo ", data(1, "content")),
        ("m.x | default(m.content)", " Yo ", data(1, "content")),
        ("[m] | map(attribute='content') | first", " Yo ", data(1, "content")),
        (
            "m.tool_calls[0].function.arguments | tojson",
            '{"a": 1, "b": "c"}',
            data(1, "tool_calls", 0, "function", "arguments"),
        ),
        ("m.tool_calls[0].function.arguments", "{'a': 1, 'b': 'c'}", data(1, "tool_calls", 0, "function", "arguments")),
        (
            "m.tool_calls[0].function | tojson",
            '{"name": "f", "arguments": {"a": 1, "b": "c"}}',
            data(1, "tool_calls", 0, "function"),
        ),
        (
            "m.tool_calls[0].function.arguments | string",
            "{'a': 1, 'b': 'c'}",
            data(1, "tool_calls", 0, "function", "arguments"),
        ),
        (
            "(m.tool_calls[0].function.arguments.keys() | list)[1]",
            "b",
            data(1, "tool_calls", 0, "function", "arguments", "b"),
        ),
        ("[messages[0].content, m.content] | tojson", '["Hi", " Yo "]', ("messages",)),
        ("effort", "high", ("effort",)),
        ("'(' ~ 1 ~ ')'", "(1)", None),
    ],
)
def test_a_value_remembers_its_place(expression, text, source):
    pieces = traced("{% set m = messages[1] %}{{ " + expression + " }}", effort="high")
    message = source[1] if source and source[0] == "messages" and len(source) > 1 else -1
    assert pieces == [(text, source, message)]


def test_text_that_the_template_makes_of_data_is_told_apart():
    assert traced("{{ 'a' ~ messages[0].content + 'b' }}") == [
        ("a", None, -1),
        ("Hi", data(0, "content"), 0),
        ("b", None, -1),
    ]


def test_a_template_that_prints_otherwise_when_traced_is_refused():
    with pytest.raises(TemplateError, match="prints something else when its data remember"):
        traced("{{ ('<' | safe) + '<' }}")


def test_control_tokens_in_data_are_found_with_their_place():
    messages = [{"role": "user", "content": "a<|im_end|>b"}, {"role": "user", "content": "<|im_"}]
    pieces = Tracer(
        Template("{% for m in messages %}<|im_start|>{{ m.role }}{{ m.content }}<|im_end|>{% endfor %}end|>")
    )
    found = data_control_tokens(pieces.trace(messages, []), ["<|im_end|>", "<|im_start|>"])
    assert found == [(data(0, "content"), "<|im_end|>")]


def test_a_control_token_of_which_a_part_is_data_is_found_but_for_roles():
    def pieces(field):
        return [Piece("<|", None, 0), Piece("end", data(0, field), 0), Piece("|>", None, 0)]

    assert data_control_tokens(pieces("content"), ["<|end|>"]) == [(data(0, "content"), "<|end|>")]
    assert data_control_tokens(pieces("role"), ["<|end|>"]) == []


@needs_real_data
@pytest.mark.parametrize("name", ["qwen2_5", "qwen3", "qwen3_8", "qwen3_coder_next", "custom_coder_template"])
@settings(max_examples=60, deadline=None)
@given(sample=samples() | served_samples())
def test_traced_text_is_the_template_s(name, sample):
    tracer = tracer_of(name)
    messages, tools = sample["messages"], sample.get("tools", [])
    try:
        text = template_of(name).render(messages, tools)
    except TemplateError:
        return
    pieces = tracer.trace(messages, tools)
    assert "".join(piece.text for piece in pieces) == text
    for piece in pieces:
        if piece.source and piece.source[0] == "messages" and len(piece.source) == 3:
            value = messages[piece.source[1]][piece.source[2]]
            assert not isinstance(value, str) or piece.text in value


# -- texts that remember -----------------------------------------------------------------------------------------------

METHODS = [
    *("lower", "upper", "title", "capitalize", "casefold", "swapcase", "strip", "lstrip", "rstrip", "split", "rsplit"),
    *("splitlines", "isdigit", "encode", "expandtabs", "__len__", "__hash__", "__repr__", "__str__"),
]


def mixed(parts):
    return concat([tagged(text, (index,)) if index % 2 else text for index, text in enumerate(parts)])


@settings(max_examples=300, deadline=None)
@given(parts=st.lists(texts(), max_size=5), other=texts(), n=st.integers(-3, 3), method=st.sampled_from(METHODS))
@example(parts=["xabb", "b"], other="ab", n=-1, method="strip")
def test_a_text_that_remembers_does_what_a_text_does(parts, other, n, method):
    text, plain = mixed(parts), "".join(parts)
    results = [
        (getattr(text, method)(), getattr(plain, method)()),
        (text + other, plain + other),
        (other + text, other + plain),
        (text * n, plain * n),
        (n * text, n * plain),
        (text[n:], plain[n:]),
        (text[: n : n or 1], plain[: n : n or 1]),
        (list(text), list(plain)),
        (text.strip(other), plain.strip(other)),
        (text.replace(other, "<>", n), plain.replace(other, "<>", n)),
        (text.removeprefix(other), plain.removeprefix(other)),
        (text.removesuffix(other), plain.removesuffix(other)),
        (text.splitlines(True), plain.splitlines(True)),
        (text.join([other, text]), plain.join([other, plain])),
    ]
    if other:
        results += [
            (text.split(other, n), plain.split(other, n)),
            (text.rsplit(other, n), plain.rsplit(other, n)),
            (text.partition(other), plain.partition(other)),
            (text.rpartition(other), plain.rpartition(other)),
        ]
    for ours, theirs in results:
        assert ours == theirs
        for one in ours if isinstance(ours, list | tuple) else [ours]:
            if type(one) is Tagged:
                assert sum(length for length, _ in one.runs) == len(one)


@settings(max_examples=300, deadline=None)
@given(
    parts=st.lists(st.text("ab ", min_size=1, max_size=4), min_size=1, max_size=5),
    sep=st.text("ab", min_size=1, max_size=2),
)
def test_what_is_cut_from_a_text_keeps_the_marks_of_its_characters(parts, sep):
    """Each part of a split, trimmed, carries what its characters carried where they stood."""
    text, plain = mixed(parts), "".join(parts)
    marks = [index if index % 2 else None for index, part in enumerate(parts) for _ in part]
    at = 0
    for piece in text.split(sep):
        assert isinstance(piece, str)
        runs = piece.runs if type(piece) is Tagged else ()
        found = [mark and mark[0] for length, mark in runs for _ in range(length)]
        assert found == marks[at : at + len(piece)]
        at += len(piece) + len(sep)
    start = len(plain) - len(plain.lstrip())
    stripped = text.strip()
    found = [mark and mark[0] for length, mark in stripped.runs for _ in range(length)]
    assert found == marks[start : start + len(stripped)]


def test_an_index_that_is_no_number_fails_as_in_a_text():
    with pytest.raises(TypeError):
        tagged("a", None)["b"]  # pyright: ignore
    with pytest.raises(IndexError):
        tagged("a", None)[1]


def test_keys_carry_the_place_of_their_value():
    made = tag({"a": ["b"]}, ("x",))
    assert made == {"a": ["b"]}
    assert next(iter(made)).runs == ((1, ("x", "a")),)
    assert made["a"][0].runs == ((1, ("x", "a", 0)),)
