"""Every serializer is its official template: same text, same tokens, on real traces and on generated samples."""

import hashlib
from functools import cache

import pytest
from hypothesis import given, settings
from real import MODELS, SOURCES, conversations, needs_real_data, official_template
from strategies import samples, served_samples

from qwen_sft.errors import TemplateError
from qwen_sft.family import Family, families
from qwen_sft.oracle import disagreements
from qwen_sft.parse import differences, parse_turn
from qwen_sft.render import encode, renderings
from qwen_sft.template import Template, fingerprints
from qwen_sft.tokenizer import Tokenizer, load_tokenizer
from qwen_sft.tokens import GENERATED, Kind
from qwen_sft.vocabulary import tokenizer_json

FAMILIES = list(families().values())
by_family = pytest.mark.parametrize("family", FAMILIES, ids=[family.name for family in FAMILIES])
by_source = pytest.mark.parametrize("source", SOURCES)


@cache
def tokenizer_of(family: Family) -> Tokenizer:
    return load_tokenizer(tokenizer_json(family.vocabulary))


@cache
def template_of(family: Family) -> Template:
    return Template(official_template(family.name))


@cache
def transformers_tokenizer(family: Family):
    """transformers' own tokenizer with the official template, from the model's folder, `tokenizers` underneath."""
    from transformers import PreTrainedTokenizerFast

    official = MODELS / family.vocabulary / "tokenizer.json"
    file = official if official.is_file() else tokenizer_json(family.vocabulary)
    made = PreTrainedTokenizerFast(tokenizer_file=str(file))
    made.chat_template = official_template(family.name)
    return made


def text_of(family, sample):
    return "".join(span.text for span in family.serialize(sample["messages"], sample.get("tools", [])))


def serializer_of(family):
    """The serializer as a template: what the oracle asks when there is no real one."""

    def render(history, tools, add_generation_prompt):
        text = "".join(span.text for span in family.serialize(history, tools))
        return text + family.generation_prompt if add_generation_prompt else text

    return render


def unserved_turns(messages, tools, render):
    """The turns that no server could have been asked for: the template rejects or contradicts their prompt."""
    for index, message in enumerate(messages):
        if index and message["role"] == "assistant":
            try:
                prompt = render(messages[:index], tools, True)
                whole = render(messages[: index + 1], tools, False)
            except TemplateError:
                yield index
            else:
                if not whole.startswith(prompt):
                    yield index


@needs_real_data
@by_family
def test_template_hash_is_the_official_one(family):
    assert fingerprints(official_template(family.name)).intersection(family.template_sha256)
    raw = hashlib.sha256(official_template(family.name).encode()).hexdigest()
    assert raw in family.template_sha256


@needs_real_data
@by_family
@by_source
def test_real_traces_have_the_ids_of_transformers_and_the_mask_of_the_oracle(family, source):
    """0 differences: text and ids against apply_chat_template, mask against the server's view turn by turn."""
    reference = transformers_tokenizer(family)
    tokenizer = tokenizer_of(family)
    n_compared = 0
    for conversation in conversations(source):
        messages, tools = conversation.sample["messages"], conversation.sample.get("tools", [])
        if family.generation_prompt.endswith("</think>\n\n"):
            messages = [{k: v for k, v in one.items() if k != "reasoning_content"} for one in messages]
        try:
            rows = renderings(messages, tools, family, tokenizer)
        except TemplateError as refusal:
            text_only = "is list; this template prints only text" in str(refusal)
            assert text_only or [*unserved_turns(messages, tools, serializer_of(family))]
            continue
        tokens = encode(rows, tokenizer)
        for rendering, row in zip(rows, tokens, strict=True):
            shown = messages[: rendering.n_messages]
            text = reference.apply_chat_template(shown, tools=tools or None, tokenize=False)
            ids = reference(text, add_special_tokens=False)["input_ids"]
            if row.input_ids.tolist() != ids:
                # Only where the last turn begins with white space: it is encoded apart from the header, as served.
                last = row.turns[-1]
                first = next(s.text for s in rendering.spans if s.message == last and s.kind in GENERATED)
                assert first[0].isspace()
                assert row.input_ids[: row.regions[-1][0] - 1].tolist() == ids[: row.regions[-1][0] - 1]
                assert tokenizer.decode(row.input_ids) == tokenizer.decode(ids)
            n_compared += 1

        def render(history, tools, add_generation_prompt):
            return reference.apply_chat_template(
                history, tools=tools or None, tokenize=False, add_generation_prompt=add_generation_prompt
            )

        assert not disagreements(
            messages, tools, tokens, render=render, tokenizer=tokenizer, empty_reasoning=family.empty_reasoning
        )
    # Five of nemo-gym's samples reason inside their content, which a prompt with a closed think block refuses.
    n_rows = {"tau-bench": 29, "llama-factory": 300, "nemo-gym": 60, "tinker-cookbook": 120}
    n_rows |= {"nemo-gym": 45} if family.generation_prompt.endswith("</think>\n\n") else {}
    assert n_compared >= n_rows.get(source, 2)


@needs_real_data
@by_family
@settings(max_examples=150, deadline=None)
@given(sample=samples())
def test_serializer_is_the_template_or_refuses(family, sample):
    """On any sample that the schema admits: the template's exact text, or a TemplateError, never another text."""
    try:
        ours = text_of(family, sample)
    except TemplateError:
        return
    assert ours == template_of(family).render(sample["messages"], sample.get("tools", []))


@needs_real_data
@by_family
@settings(max_examples=300, deadline=None)
@given(sample=served_samples())
def test_serializer_is_the_template(family, sample):
    try:
        theirs = template_of(family).render(sample["messages"], sample.get("tools", []))
    except TemplateError:
        with pytest.raises(TemplateError):
            text_of(family, sample)
    else:
        assert text_of(family, sample) == theirs


@needs_real_data
@by_family
@settings(max_examples=100, deadline=None)
@given(sample=samples() | served_samples())
def test_our_environment_renders_what_transformers_renders(family, sample):
    from transformers.utils.chat_template_utils import render_jinja_template

    messages, tools = sample["messages"], sample.get("tools", [])
    try:
        ours = template_of(family).render(messages, tools, add_generation_prompt=True)
    except TemplateError:
        return
    theirs, _ = render_jinja_template(
        conversations=[messages],
        tools=tools or None,
        chat_template=official_template(family.name),
        add_generation_prompt=True,
    )
    assert [ours] == theirs


def speaks_unasked(messages):
    """True if an assistant turn with a prompt stands before the user's first: there an open think block is a guess."""
    first = next((i for i, message in enumerate(messages) if message["role"] == "user"), len(messages))
    return any(message["role"] == "assistant" for message in messages[1:first])


@by_family
@settings(max_examples=300, deadline=None)
@given(sample=served_samples())
def test_rows_agree_with_the_server_turn_by_turn(family, sample):
    """Each turn with a prompt is trained once, behind exactly the ids that the server sends, and nothing else is."""
    messages, tools = sample["messages"], sample.get("tools", [])
    tokenizer, render = tokenizer_of(family), serializer_of(family)
    try:
        rows = encode(renderings(messages, tools, family, tokenizer), tokenizer)
    except TemplateError:
        assert [*unserved_turns(messages, tools, render)] or (family.opens_reasoning and speaks_unasked(messages))
        return
    assert not disagreements(
        messages, tools, rows, render=render, tokenizer=tokenizer, empty_reasoning=family.empty_reasoning
    )
    for row in rows:
        assert len(row.input_ids) == len(row.loss_mask) == len(row.kinds) == len(row.messages)
        trained_kinds = set(row.kinds[row.loss_mask].tolist())
        assert trained_kinds <= {int(kind) for kind in GENERATED}
        assert sum(end - start for start, end in row.regions) == row.n_trained_tokens


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
    spans = family.serialize([{"role": "user", "content": "Weather?"}, message], [WEATHER])
    said = "".join(span.text for span in spans if span.kind in GENERATED and span.kind is not Kind.STOP)
    parsed = parse_turn(said, [WEATHER], parser=family.parser, thinking=family.thinking)
    assert differences([("weather", arguments)], parsed) == []
