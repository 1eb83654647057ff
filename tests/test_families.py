"""Every serializer is its official template: same text, same tokens, on real traces and on generated samples."""

import hashlib
from functools import cache
from itertools import pairwise

import jinja2
import pytest
from depth import THOROUGH, examples, some
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from real import MODELS, SOURCES, conversations, needs_real_data, official_template
from strategies import samples, served_samples

from qwen_sft.encoding.model import load_model, think_block
from qwen_sft.encoding.render import encode, renderings
from qwen_sft.errors import TemplateError
from qwen_sft.family import Family, Plan, Run, families
from qwen_sft.parser import parsers
from qwen_sft.serving.oracle import disagreements
from qwen_sft.serving.parse import differences, parse_turn
from qwen_sft.templating.plan import minimal_plan
from qwen_sft.templating.reasoning import inlined
from qwen_sft.templating.template import Template, fingerprints
from qwen_sft.tokenizing.tokenizer import Tokenizer, load_tokenizer
from qwen_sft.tokenizing.vocabulary import tokenizer_json

FAMILIES = list(families().values())
by_family = pytest.mark.parametrize("family", FAMILIES, ids=[family.name for family in FAMILIES])
by_source = pytest.mark.parametrize("source", SOURCES)

VALUES = {
    "enable_thinking": (True, False),
    "preserve_thinking": (True, False),
    "reasoning_effort": ("xhigh", "medium", "low"),
}
"""The values that the official templates mean an option to have."""

ODD_VALUES = (None, 0, 1, "", "false", "high", ["low"])

MODES = [
    pytest.param(family, options, id="-".join([family.name, *(f"{name}={value}" for name, value in options.items())]))
    for family in FAMILIES
    for options in [{}, *({name: value} for name in family.options for value in VALUES[name])]
]
by_mode = pytest.mark.parametrize(("family", "options"), MODES)
by_mode_of_thinking = pytest.mark.parametrize(("family", "options"), [one for one in MODES if one.values[0].options])


def any_options(family, odd=()):
    """Options that the template understands, none to all of them."""
    return st.fixed_dictionaries({}, optional={name: st.sampled_from((*VALUES[name], *odd)) for name in family.options})


def any_requests(family):
    """The options of the request for each of eight messages: often the same, or the same but for thinking."""
    some = any_options(family)
    toggled = st.builds(
        lambda options, thinks: [options | {"enable_thinking": one} for one in thinks],
        some,
        st.lists(st.booleans(), min_size=8, max_size=8),
    )
    alike = some.map(lambda options: [options] * 8)
    return alike | (toggled if "enable_thinking" in family.options else alike) | st.lists(some, min_size=8, max_size=8)


@cache
def tokenizer_of(family: Family) -> Tokenizer:
    return load_tokenizer(tokenizer_json(family.vocabulary))


@cache
def template_of(family: Family) -> Template:
    return Template(official_template(family.name))


@cache
def transformers_tokenizer(vocabulary: str):
    """transformers' own tokenizer, from the model's folder, `tokenizers` underneath."""
    from transformers import PreTrainedTokenizerFast

    official = MODELS / vocabulary / "tokenizer.json"
    file = official if official.is_file() else tokenizer_json(vocabulary)
    return PreTrainedTokenizerFast(tokenizer_file=str(file))


def dialogues():
    """Samples with several queries, several turns for each, and all that may be odd about a think block."""
    call = {"type": "function", "function": {"name": "f", "arguments": {}}}
    asked = st.sampled_from(["Hello", "Hello", "<tool_response>\n4\n</tool_response>"])
    said = st.sampled_from(
        ["Yes.", "Yes.", "", "\nYes.", "<think>", "<think>\nHm.\n</think>\n\nYes.", "Hm.</think>Yes."]
    )
    assistant = st.fixed_dictionaries(
        {"role": st.just("assistant"), "content": said},
        optional={"reasoning_content": st.sampled_from(["Hm.", "Hm.", "", "\n"]), "tool_calls": st.just([call])},
    )
    user = st.fixed_dictionaries({"role": st.just("user"), "content": asked})
    tool = st.fixed_dictionaries({"role": st.just("tool"), "content": st.just("4")})
    system = st.fixed_dictionaries({"role": st.just("system"), "content": st.just("Be kind.")})
    rest = st.lists(assistant | assistant | user | tool, min_size=1, max_size=7)
    return st.builds(lambda first, rest: {"messages": [first, *rest]}, system | user, rest)


def ours(family, messages, tools, add_generation_prompt, options):
    """A server's text, by the serializer; of a last turn as the model wrote it."""
    shown = inlined(messages) if family.inline_reasoning and not add_generation_prompt else messages
    text = "".join(span.text for span in family.serialize(shown, tools, options))
    return text + family.generation_prompt(messages, tools, options) if add_generation_prompt else text


def theirs(family, messages, tools, add_generation_prompt, options):
    """The same by the official template."""
    shown = inlined(messages) if family.inline_reasoning and not add_generation_prompt else messages
    return template_of(family).render(shown, tools, add_generation_prompt=add_generation_prompt, **options)


@needs_real_data
@by_family
def test_template_hash_is_the_official_one(family):
    assert fingerprints(official_template(family.name)).intersection(family.template_sha256)
    raw = hashlib.sha256(official_template(family.name).encode()).hexdigest()
    assert raw in family.template_sha256


def modes_of(family):
    """How requests for a family can be made: the default, and all else that changes what it prints."""
    yield "auto", {}
    if "enable_thinking" in family.options:
        yield from (("on", {}), ("off", {}), ("as-is", {}))
    if "preserve_thinking" in family.options:
        yield from (("auto", {"preserve_thinking": True}), ("off", {"preserve_thinking": False}))
    if "reasoning_effort" in family.options:
        yield from (("on", {"reasoning_effort": "low"}), ("auto", {"reasoning_effort": "medium"}))


REAL = [
    pytest.param(
        *(family, source, thinking, options),
        id="-".join([family.name, source, thinking, *map(str, options.values())]),
        marks=[] if (thinking, options) == ("auto", {}) else pytest.mark.slow,
    )
    for family in FAMILIES
    for source in SOURCES
    for thinking, options in modes_of(family)
]
N_SAMPLES = {"tau-bench": 29, "llama-factory": 300, "nemo-gym": 60, "tinker-cookbook": 110}


@needs_real_data
@pytest.mark.parametrize(("family", "source", "thinking", "options"), REAL)
def test_real_traces_have_the_ids_of_transformers_and_the_mask_of_the_oracle(family, source, thinking, options):
    """0 differences: text and ids against apply_chat_template, mask against the server's view turn by turn."""
    reference = transformers_tokenizer(family.vocabulary)
    template = official_template(family.name)
    model = load_model(family.name, families(), options=options, thinking=thinking)

    def render(messages, tools, add_generation_prompt, options):
        shown = inlined(messages) if family.inline_reasoning and not add_generation_prompt else messages
        try:
            return reference.apply_chat_template(
                *(shown, tools or None),
                chat_template=template,
                tokenize=False,
                add_generation_prompt=add_generation_prompt,
                **options,
            )
        except jinja2.TemplateError as error:
            raise TemplateError(str(error)) from error

    n_samples = 0
    for conversation in some(conversations(source), 6):
        messages, tools = model.prepared(conversation.sample["messages"]), conversation.sample.get("tools", [])
        options_of = model.options_of(messages)
        try:
            runs = family.plan(messages, tools, options_of).runs
            rows = renderings(messages, tools, runs, family, model.tokenizer, options_of=options_of)
        except TemplateError as refusal:
            text_only = "is list; this template prints only text" in str(refusal)
            if not text_only:
                with pytest.raises(TemplateError):
                    render(messages, tools, False, model.bare)
            continue
        tokens = encode(rows, model.tokenizer)
        for rendering, row in zip(rows, tokens, strict=True):
            shown = messages[: rendering.n_messages]
            text = render(shown, tools, False, options_of(row.turns[-1]))
            ids = reference(text, add_special_tokens=False)["input_ids"]
            if row.input_ids.tolist() != ids:
                # Only where the last turn would melt into its prompt: it is encoded apart from that, as served.
                assert row.straddling == (row.turns[-1],)
                assert row.input_ids[: row.regions[-1][0] - 1].tolist() == ids[: row.regions[-1][0] - 1]
                assert model.tokenizer.decode(row.input_ids) == model.tokenizer.decode(ids)
        assert not disagreements(
            messages,
            tools,
            tokens,
            render=render,
            options_of=options_of,
            tokenizer=model.tokenizer,
            stops=model.stops,
            empty_reasoning=family.empty_reasoning,
        )
        n_samples += bool(tokens)
    n_refused = 20 if source == "nemo-gym" else 0
    assert n_samples >= (N_SAMPLES.get(source, 2) - n_refused if THOROUGH else 1)


@needs_real_data
@by_family
@settings(max_examples=examples(150), deadline=None)
@given(data=st.data(), sample=samples(), prompt=st.booleans())
def test_serializer_is_the_template_or_refuses(family, data, sample, prompt):
    """On any sample that the schema admits: the template's exact text, or a TemplateError, never another text."""
    messages, tools = sample["messages"], sample.get("tools", [])
    options = data.draw(any_options(family, ODD_VALUES))
    try:
        text = ours(family, messages, tools, prompt, options)
    except TemplateError:
        return
    assert text == theirs(family, messages, tools, prompt, options)


@needs_real_data
@by_mode
@settings(max_examples=examples(150), deadline=None)
@given(sample=served_samples(), prompt=st.booleans())
def test_serializer_is_the_template(family, options, sample, prompt):
    check_serializer(family, sample, prompt, options)


@needs_real_data
@by_mode_of_thinking
@settings(max_examples=examples(100), deadline=None)
@given(data=st.data(), sample=served_samples(), prompt=st.booleans())
def test_serializer_is_the_template_with_any_options(family, options, data, sample, prompt):
    """All options together, with the values that nobody means among them."""
    check_serializer(family, sample, prompt, data.draw(any_options(family, ODD_VALUES)) | options)


def check_serializer(family, sample, prompt, options):
    messages, tools = sample["messages"], sample.get("tools", [])
    try:
        text = theirs(family, messages, tools, prompt, options)
    except TemplateError:
        with pytest.raises(TemplateError):
            ours(family, messages, tools, prompt, options)
    else:
        assert ours(family, messages, tools, prompt, options) == text


@needs_real_data
@by_mode
@by_source
def test_serializer_is_the_template_on_real_traces(family, options, source):
    n_compared = 0
    for conversation in conversations(source):
        messages, tools = conversation.sample["messages"], conversation.sample.get("tools", [])
        if any(not isinstance(message["content"], str) for message in messages):
            with pytest.raises(TemplateError, match="is list; this template prints only text"):
                ours(family, messages, tools, True, options)
            continue
        check_serializer(family, conversation.sample, True, options)
        n_compared += 1
    assert n_compared >= {"tau-bench": 20, "llama-factory": 200, "nemo-gym": 20, "tinker-cookbook": 100}.get(source, 2)


@needs_real_data
@by_mode
@settings(max_examples=examples(60), deadline=None)
@given(sample=samples() | served_samples())
def test_our_environment_renders_what_transformers_renders(family, options, sample):
    from transformers.utils.chat_template_utils import render_jinja_template

    messages, tools = sample["messages"], sample.get("tools", [])
    try:
        text = template_of(family).render(messages, tools, add_generation_prompt=True, **options)
    except TemplateError:
        return
    reference, _ = render_jinja_template(
        conversations=[messages],
        tools=tools or None,
        chat_template=official_template(family.name),
        add_generation_prompt=True,
        **options,
    )
    assert [text] == reference


def check_plan(family, messages, tools, options_of, render):
    """The plan has the runs and the untrained turns that asking the template for each turn gives."""
    wanted = minimal_plan(
        messages,
        tools,
        options_of,
        render=lambda *request: render(family, *request),
        stops=["<|im_end|>"],
        empty_reasoning=family.empty_reasoning,
    )
    plan = family.plan(messages, tools, options_of)
    assert (plan.runs, set(plan.untrained)) == (wanted.runs, set(wanted.untrained))
    return plan


def speaks_twice(messages):
    """True if the assistant speaks twice in a row: QwQ's plan leaves the second turn out."""
    return any(one["role"] == next_one["role"] == "assistant" for one, next_one in pairwise(messages))


@by_family
@settings(max_examples=examples(400), deadline=None)
@given(data=st.data(), sample=served_samples() | dialogues())
def test_plan_is_minimal(family, data, sample):
    """As few rows as the serializer, asked for every turn, allows; whatever mix of options the turns are asked with."""
    messages = sample["messages"]
    assume(not (family.inline_reasoning and speaks_twice(messages)))
    requests = data.draw(any_requests(family))
    check_plan(family, messages, sample.get("tools", []), requests.__getitem__, ours)


@needs_real_data
@by_family
@settings(max_examples=examples(100), deadline=None)
@given(data=st.data(), sample=served_samples() | dialogues())
def test_plan_is_minimal_for_the_official_template(family, data, sample):
    messages = sample["messages"]
    assume(not (family.inline_reasoning and speaks_twice(messages)))
    requests = data.draw(any_requests(family))
    check_plan(family, messages, sample.get("tools", []), requests.__getitem__, theirs)


def thinks_where_it_reasons(family, messages):
    """The options of the requests where each turn is asked for with thinking as it has reasoning."""
    if "enable_thinking" not in family.options:
        return lambda _: {}
    return lambda turn: {"enable_thinking": bool(messages[turn].get("reasoning_content"))}


@needs_real_data
@by_family
@by_source
def test_plan_is_minimal_on_real_traces(family, source):
    n_runs = 0
    for conversation in conversations(source)[:40]:
        messages, tools = conversation.sample["messages"][:30], conversation.sample.get("tools", [])
        if any(not isinstance(one["content"], str) for one in messages):
            continue
        for options_of in (thinks_where_it_reasons(family, messages), lambda _: {}):
            if not (family.inline_reasoning and speaks_twice(messages)):
                n_runs += len(check_plan(family, messages, tools, options_of, theirs).runs)
    assert n_runs > 1


def user(content="And?"):
    return {"role": "user", "content": content}


def assistant(content="Yes.", **more):
    return {"role": "assistant", "content": content, **more}


THOUGHT = {"reasoning_content": "Hm."}
RESULT = {"role": "tool", "content": "4"}
AGENT = [
    *(user(), assistant(**THOUGHT), RESULT, assistant(), RESULT, assistant(**THOUGHT)),
    *(user(), assistant(), RESULT, assistant(**THOUGHT)),
]
"""Two queries; the assistant's turns are 1, 3, 5 and 7, 9, and it reasons in 1, 5 and 9."""


@pytest.mark.parametrize(
    ("name", "runs", "mixed"),
    [
        ("qwen2_5", [(1, 3, 5, 7, 9)], [(1, 3, 5, 7, 9)]),
        ("qwen3", [(1, 3, 5), (7, 9)], [(1, 5), (3,), (7,), (9,)]),
        ("qwen3_thinking_2507", [(1, 5), (3,), (7,), (9,)], [(1, 5), (3,), (7,), (9,)]),
        ("qwen3_5", [(1, 3, 5), (7, 9)], [(1, 3, 5), (7, 9)]),
        ("qwen3_5_nothink", [(3,), (7,)], [(1, 3, 5), (7, 9)]),
        ("qwen3_6", [(1, 3, 5), (7, 9)], [(1, 3, 5), (7, 9)]),
        ("qwen3_8", [(1, 3, 5, 7, 9)], [(1, 5, 9), (3, 7)]),
        ("qwq", [(1,), (3,), (5,), (7,), (9,)], [(1,), (3,), (5,), (7,), (9,)]),
    ],
)
def test_plan_of_an_agent_that_reasons_in_some_turns(name, runs, mixed):
    """The turns of each row, asked for by default, and with thinking on where the turn reasons and off where not."""
    family = families()[name]
    assert [run.turns for run in family.plan(AGENT, [], lambda _: {}).runs] == runs
    options_of = thinks_where_it_reasons(family, AGENT)
    plan = family.plan(AGENT, [], options_of)
    assert [run.turns for run in plan.runs] == mixed
    assert [run.options for run in plan.runs] == [options_of(turns[-1]) for turns in mixed]
    assert not plan.untrained


@pytest.mark.parametrize(
    ("name", "messages", "turn", "reason"),
    [
        (
            "qwen3_5",
            [{"role": "system", "content": "Be kind."}, assistant("Hello!"), user(), assistant()],
            1,
            "the template prints no prompt for it: no user has asked anything yet",
        ),
        (
            "qwen3_8",
            [user(), assistant(), {"role": "system", "content": "Be kind."}, user(), assistant()],
            4,
            "the template prints no prompt for it: messages[2] is a system message that does not come first",
        ),
        (
            "qwen3_5_nothink",
            [user(), assistant(), user(), assistant(**THOUGHT)],
            3,
            r"its prompt ends with '<think>\n\n</think>\n\n', and the template prints the turn without that",
        ),
        (
            "qwen3_thinking_2507",
            [{"role": "system", "content": "Be kind."}, assistant("Hello!"), user(), assistant()],
            1,
            r"its prompt ends with '<think>\n', and the template prints the turn without that",
        ),
        (
            "qwq",
            [user(), assistant("\nYes."), assistant()],
            2,
            "it follows a turn of the assistant, which its prompt shows otherwise than history does",
        ),
        (
            "qwq",
            [user(), assistant(), user(), assistant("Hm.</think>Yes.")],
            3,
            r"its prompt ends with '<think>\n', and its content ends a think block without that",
        ),
    ],
)
def test_a_turn_that_nobody_could_ask_for_is_not_trained_and_the_others_are(name, messages, turn, reason):
    plan = families()[name].plan(messages, [], lambda _: {})
    assert dict(plan.untrained) == {turn: reason}
    trained = {one for run in plan.runs for one in run.turns}
    assert trained == {i for i, one in enumerate(messages) if i and one["role"] == "assistant"} - {turn}


def test_a_closed_prompt_may_follow_another_turn_of_the_assistant():
    """The turn contradicts its prompt, though the turn before it begins as that prompt does."""
    family = families()["qwen3_5_nothink"]
    plan = check_plan(family, [user(), assistant(), assistant(**THOUGHT)], [], lambda _: {}, ours)
    assert (plan.runs, [*plan.untrained]) == ((Run((1,), {}),), [2])


def test_a_prompt_may_end_where_the_calls_begin():
    """The prompt `<think>` and newline, of which the template prints the newline in front of the calls."""
    call = {"type": "function", "function": {"name": "f", "arguments": {}}}
    turn = assistant("<think>", reasoning_content="", tool_calls=[call])
    family = families()["qwen3_thinking_2507"]
    plan = check_plan(family, [{"role": "system", "content": "Be kind."}, turn], [], lambda _: {}, ours)
    assert plan == Plan((Run((1,), {}),))


def test_a_first_message_is_in_no_row():
    for family in FAMILIES:
        plan = family.plan([assistant(), user()], [], lambda _: {})
        assert (plan.runs, plan.untrained) == ((), {})


def test_unknown_effort_is_refused():
    with pytest.raises(TemplateError) as error:
        families()["qwen3_8"].serialize([user()], [], {"reasoning_effort": "high"})
    assert str(error.value) == "reasoning_effort is 'high'; this template knows xhigh, medium, low"


def test_inlined_reasoning_stands_in_the_last_turn_alone():
    before = [assistant(**THOUGHT), user()]
    assert inlined(before) is before
    assert inlined([*before, assistant("\nYes.", **THOUGHT)]) == [*before, assistant("<think>\nHm.\n</think>\n\nYes.")]
    assert inlined([*before, assistant()]) == [*before, assistant("<think>\n\n</think>\n\nYes.")]
    carried = [*before, assistant("<think>\nSo.\n</think>\n\nYes.", **THOUGHT)]
    assert inlined(carried) == carried


WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string"}, "days": {"type": "integer"}, "units": {"type": "array"}},
        },
    },
}


@by_family
@pytest.mark.parametrize(
    "arguments",
    [{"city": "Oslo"}, {}, {"city": "東京 – ‘quoted’\nline", "days": 3}, {"units": ["C", None, {"a": 1.5}], "days": 0}],
)
def test_parser_gives_the_calls_back(family, arguments):
    message = {
        "role": "assistant",
        "content": "Let me look.",
        "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": arguments}}],
    }
    history = [user("Weather?")]
    turn = ours(family, [*history, message], [WEATHER], False, {})
    said = turn.removeprefix(ours(family, history, [WEATHER], True, {})).removesuffix("<|im_end|>\n")
    thinking = think_block(family, {}) != "closed" if family.reasoning_parser else None
    parser = next(
        one for one in parsers().values() if one.server == "vllm" and one.before is None and family.parser in one.flags
    )
    parsed = parse_turn(said, [WEATHER], parser=parser, thinking=thinking, reasoning_parser=family.reasoning_parser)
    assert differences([("weather", arguments)], parsed) == []
