"""Templates render as transformers renders them, and a hostile one is stopped by name of what it does."""

import time
from contextlib import suppress
from functools import cache

import pytest
from hypothesis import given, settings
from real import MODELS, SOURCES, conversations, needs_real_data, official_template
from strategies import samples, served_samples

from qwen_sft.errors import ModelError, TemplateError
from qwen_sft.templating.bounds import Limits
from qwen_sft.templating.template import Template

NAMES = sorted(file.parent.name for file in MODELS.glob("*/tokenizer_config.json"))
USER = [{"role": "user", "content": "Hi"}]
QUICK = Limits(seconds=0.3)


@cache
def template_of(name):
    return Template(official_template(name))


def by_transformers(source, messages, tools, **options):
    module = pytest.importorskip("transformers.utils.chat_template_utils")
    (text,), _ = module.render_jinja_template(
        conversations=[messages], tools=tools or None, chat_template=source, **options
    )
    return text


@needs_real_data
@pytest.mark.parametrize("name", NAMES)
def test_real_traces_render_as_in_transformers(name):
    source = official_template(name)
    template = Template(source)
    n_compared = 0
    for origin in SOURCES:
        for conversation in conversations(origin)[:40]:
            messages, tools = conversation.sample["messages"], conversation.sample.get("tools", [])
            for prompt in (False, True):
                try:
                    ours = template.render(messages, tools, add_generation_prompt=prompt)
                except TemplateError:
                    continue
                assert ours == by_transformers(source, messages, tools, add_generation_prompt=prompt)
                n_compared += 1
    assert n_compared >= 100


@needs_real_data
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=60, deadline=None)
@given(sample=samples() | served_samples())
def test_generated_samples_render_as_in_transformers_or_fail_as_there(name, sample):
    source, tools = official_template(name), sample.get("tools", [])
    try:
        ours = template_of(name).render(sample["messages"], tools)
    except TemplateError:
        with pytest.raises(Exception):  # noqa: B017  # jinja2 lets through whatever Python raises
            by_transformers(source, sample["messages"], tools)
    else:
        assert ours == by_transformers(source, sample["messages"], tools)


SAME_AS_TRANSFORMERS = {
    "tojson": "{{ {'b': 1, 'a': '<é>'} | tojson }}{{ [1, 2] | tojson(indent=2) }}",
    "tojson sorted": "{{ {'b': 1, 'a': 2} | tojson(sort_keys=true, separators=(',', ':')) }}",
    "documents": "{{ documents is defined }}{{ documents is none }}{{ tools is none }}",
    "continue": "{% for i in range(9) %}{% if i == 3 %}{% continue %}{% endif %}{{ i }}{% endfor %}",
    "break": "{% for i in range(9) %}{% if i > 5 %}{% break %}{% endif %}{{ i }}{% endfor %}",
    "cycler": "{% set c = cycler(1, 2) %}{{ c.next() }}{{ c.next() }}",
    "joiner": "{% set j = joiner(',') %}{{ j() }}{{ j() }}{{ dict(a=1).a }}",
    "namespace": "{% set ns = namespace(x=1) %}{% for i in range(3) %}{% set ns.x = ns.x + i %}{% endfor %}{{ ns.x }}",
    "generation": "{% for m in messages %}{% generation %}{{ m.content }}\n{% endgeneration %}{% endfor %}",
    "macro": "{% macro f(x, y=2) %}[{{ x }}{{ y }}{{ caller() if caller else '' }}]{% endmacro %}{{ f(1) }}"
    "{% call f(3) %}!{% endcall %}",
    "set block": "{% set x | upper %}a{{ messages[0].content }}{% endset %}{{ x }}",
    "filter block": "{% filter lower %}ABC{% endfilter %}",
    "recursive": "{% for x in [1, [2, [3]]] recursive %}{{ loop(x) if x is sequence else x }}{% endfor %}",
    "digits in a format": "{{ 'No. 123456: {}'.format(1) }}{{ 'No. 123456: %s' % 1 }}",
    "joined": "{{ 'a' ~ 1 ~ none ~ true }}{{ '%s-%5.1f' % ('x', 2.5) }}",
    "format": "{{ '{}-{:>4}'.format('a', 'b') }}{{ '%s' | format(3) }}",
    "filters": "{{ [3, 1, 2] | sort | join('-') }}{{ ' a ' | trim }}{{ 'a b' | title }}",
    "wide filters": "{{ 'a\nb' | indent(2) }}{{ 'abc' | center(9) }}{{ 2.567 | round(1) }}",
    "alias": "{{ messages | map(attribute='thinking') | list | length }}",
    "escape": "{{ '<' | e }}{{ ('<' | safe) + '>' }}",
    "space": "  {% if true %}\n  a\n  {% endif %}\n{{- ' b' }}\n",
}


@pytest.mark.parametrize("source", SAME_AS_TRANSFORMERS.values(), ids=SAME_AS_TRANSFORMERS.keys())
def test_the_environment_is_transformers_own(source):
    messages = [*USER, {"role": "assistant", "content": "Yo", "reasoning_content": "Hm"}]
    assert Template(source).render(messages, []) == by_transformers(source, messages, [])


GROWS = (
    "{%% set ns = namespace(x=%s) %%}{%% for i in range(60) %%}{%% set ns.x = %s %%}{%% endfor %%}{{ ns.x | length }}"
)
TIMES_40 = "{% set ns = namespace(x=[1]) %}{% for i in range(40) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}"

STOPPED = {
    "loops in loops": ("{% for a in range(90000) %}{% for b in range(90000) %}{% endfor %}{% endfor %}", "longer than"),
    "a macro that calls itself twice": (
        "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(90) }}",
        "longer than",
    ),
    "a filter in a loop": (
        "{% for a in range(90000) %}{{ range(90000) | map('string') | list | length }}{% endfor %}",
        "longer than",
    ),
    "a macro that calls itself": ("{% macro f(n) %}{{ f(n + 1) }}{% endmacro %}{{ f(1) }}", "RecursionError"),
    "a huge text": ("{{ 'a' * 10**10 }}", "more than 33554432 characters"),
    "a huge list": ("{{ [1] * 10**10 }}", "list of more than 1000000 items"),
    "much output": ("{% for i in range(90000) %}{{ 'a' * 9000 }}{% endfor %}", "prints more than 33554432 characters"),
    "doubling by +": (GROWS % ("'a'", "ns.x + ns.x"), "more than 33554432"),
    "doubling by ~": (GROWS % ("'a'", "ns.x ~ ns.x"), "more than 33554432"),
    "doubling by join": (GROWS % ("'a'", "[ns.x, ns.x] | join"), "more than 33554432"),
    "doubling by replace": (GROWS % ("'a'", "ns.x.replace('a', 'aa')"), "more than 33554432"),
    "doubling by %": (GROWS % ("'a'", "'%s%s' % (ns.x, ns.x)"), "more than 33554432"),
    "doubling a list": (GROWS % ("[1]", "ns.x + ns.x"), "list of more than 1000000 items"),
    "doubling by a block": (
        "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set y %}{{ ns.x }}{{ ns.x }}{% endset %}"
        "{% set ns.x = y %}{% endfor %}",
        "more than 33554432",
    ),
    "a power": ("{{ 10 ** 999999 }}", "number of more than"),
    "squares of squares": (
        "{% set ns = namespace(x=3) %}{% for i in range(60) %}{% set ns.x = ns.x * ns.x %}{% endfor %}",
        "number of more than",
    ),
    "a wide format": ("{{ '{:>1000000000}'.format(1) }}", "width"),
    "a given width": ("{{ '{:{}}'.format(1, 10**9) }}", "width"),
    "a wide %": ("{{ '%1000000000d' % 1 }}", "width"),
    "a given width of %": ("{{ '%*d' % (10**9, 1) }}", "width"),
    "a named width of %": ("{{ '%(x)1000000000d' % {'x': 1} }}", "width"),
    "a wide filter": ("{{ 'a' | center(10**10) }}", "more than 33554432"),
    "a wide method": ("{{ 'a'.ljust(10**10) }}", "more than 33554432"),
    "a wide number": ("{{ (5).to_bytes(10**10, 'big') }}", "something small"),
    "a list in lists": (TIMES_40 + "{{ ns.x }}", "more than 1000000 items"),
    "a list in lists as JSON": (TIMES_40 + "{{ ns.x | tojson }}", "more than 1000000 items"),
    "a list in lists as text": (TIMES_40 + "{{ (ns.x | string) | length }}", "more than 1000000 items"),
    "one text many times": ("{{ (['a' * 1000000] * 100000) | join }}", "texts of more than"),
    "many batches": ("{{ [1] | batch(10**10, 'x') | list }}", "something small"),
    "many slices": ("{{ [1] | slice(10**10) | list }}", "something small"),
    "much precision": ("{{ 1 | round(10**9, 'ceil') }}", "something small"),
    "a sum of lists": ("{{ ([[1] * 1000] * 1000) | sum(start=[]) | length }}", "sums up lists"),
    "translation": ("{{ 'a'.translate({97: 'b' * 1000}) }}", "translates"),
    "a wide range": ("{{ range(10**10) }}", "Range too big"),
}


@pytest.mark.parametrize(("source", "says"), STOPPED.values(), ids=STOPPED.keys())
def test_hostile_template_is_stopped(source, says):
    start = time.process_time()
    with pytest.raises(TemplateError, match=says):
        Template(source, limits=QUICK if says == "longer than" else Limits()).render(USER, [])
    assert time.process_time() - start < 5


UNSAFE = {
    "a class": "{{ ''.__class__.__mro__ }}",
    "globals": "{{ raise_exception.__globals__['json'] }}",
    "format": "{{ '{0.__class__.__mro__}'.format('') }}",
    "attr": "{{ (''|attr('__class__')).mro() }}",
    "changes messages": "{{ messages.append(1) }}",
    "changes a message": "{{ messages[0].update(role='x') }}",
    "an underscore in a namespace": "{% set ns = namespace(_x=1) %}",
    "a dunder in a namespace": "{% set ns = namespace() %}{% set ns.__class__ = 1 %}",
    "include": "{% include '/etc/passwd' %}",
    "import": "{% import 'os' as os %}",
    "extends": "{% extends 'x' %}",
    "lipsum": "{{ lipsum() }}",
    "what it is not given": "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
}


@pytest.mark.parametrize("source", UNSAFE.values(), ids=UNSAFE.keys())
def test_template_sees_nothing_but_its_arguments(source):
    messages = [{"role": "user", "content": "Hi"}]
    with suppress(TemplateError):
        assert "object" not in Template(source).render(messages, [])
    assert messages == [{"role": "user", "content": "Hi"}]


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("{% if %}", "line 1"),
        ("{{ x | random }}", "No filter named 'random'"),
        ("{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}", "RecursionError"),
        ("{% for i in x %}" * 30 + "{% endfor %}" * 30, "nested blocks"),
        ("{{ 1" + "0" * 5000 + " }}", "cannot be compiled"),
        ("a" * (1 << 21), "characters, more than 1048576"),
    ],
)
def test_what_is_no_template_is_refused(source, says):
    with pytest.raises(ModelError, match=says):
        Template(source)


def test_what_the_template_complains_of_is_said():
    with pytest.raises(TemplateError, match="TemplateError: Only users"):
        Template("{{ raise_exception('Only users') }}").render(USER, [])


def test_special_tokens_are_given_as_far_as_they_are_set():
    source = "{{ bos_token }}|{{ eos_token is defined }}|{{ pad_token }}"
    assert Template(source, {"bos_token": "<s>"}).render(USER, [], pad_token="x") == "<s>|False|x"


def test_variables_are_what_a_request_may_set():
    source = (
        "{% macro f(x) %}{{ x }}{% endmacro %}{% for m in messages %}{% if m.a %}{% set y = 1 %}{% endif %}{{ y }}"
        "{% endfor %}{% if effort is not defined %}{% set effort = 'high' %}{% endif %}{{ effort }}"
        "{{ strftime_now('') }}"
        "{{ enable_thinking | default(true) }}{{ date_string }}"
    )
    assert Template(source).variables == {"messages", "effort", "enable_thinking", "date_string"}


def test_template_sees_nothing_of_what_is_said_about_a_message():
    noted = {"role": "assistant", "content": "a", "train": False, "weight": 0.5, "finish_reason": "length"}
    assert Template("{{ messages | tojson }}").render([noted], []) == '[{"role": "assistant", "content": "a"}]'
