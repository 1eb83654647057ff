"""SCH001 invalid-shape."""

import json
from collections.abc import Callable, Iterator
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Any

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule
from qwen_sft.sample import Sample

_MOST_ERRORS = 5
_LONGEST = 160

_FIXES = {
    "required": "add it",
    "additionalProperties": "take it out",
    "minItems": "put something in, or take it out",
    "minLength": "put something in, or take it out",
}


@rule(code="SCH001", name="invalid-shape", severity="error", since="0.1.0", stage="sample")
def check(transcript: Transcript) -> Iterator[Finding]:
    """A sample does not have the shape of a sample.

    What it catches: whatever `schemas/sample.schema.json` does not admit: a message without a role, content that is a
        number, a call without a name, tools that are no list. The first five faults are named. The other rules do not
        look at such a sample.

    Why it matters: a chat template asks for fields by name, and an absent one is often printed as nothing or as
        `None`. What comes out is a training row that looks like any other.

    Fix: give the message, call or tool the fields that the schema names.

    Bad:
        {"messages": [{"role": "user", "content": "Hi"}, {"content": "Hello."}]}

    Bad:
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": {"answer": "Hello."}}]}

    Good:
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]}

    Source: `schemas/sample.schema.json`, JSON Schema draft 2020-12.
    """
    if not _validator()(transcript.sample):
        yield from _faults(transcript.sample) or [
            Finding((), "this is no sample", "give it the shape of schemas/sample.schema.json")
        ]


def _faults(sample: Sample) -> list[Finding]:
    """What is wrong, in words; empty where a value nests too deep for Python to print."""
    try:
        errors: list[Any] = list(islice(_explainer()(sample), _MOST_ERRORS))
    except RecursionError:
        return []
    fix = "give it the shape of schemas/sample.schema.json"
    return [Finding(tuple(e.absolute_path), _shorter(e.message), _FIXES.get(e.validator, fix)) for e in errors]


def _shorter(message: str) -> str:
    """Both ends of a long message: it begins with the value, and ends with what is wrong with it."""
    return message if len(message) <= _LONGEST else f"{message[: _LONGEST // 2]} … {message[-_LONGEST // 2 :]}"


# Two libraries hold one schema: jsonschema-rs answers in 5 µs and cannot print every value that Python holds (it raises
# on a lone surrogate); jsonschema takes 500 µs, and is asked only for a sample that the first refuses.
@cache
def _validator() -> Callable[[Any], bool]:
    import jsonschema_rs

    return jsonschema_rs.validator_for(_schema()).is_valid


@cache
def _explainer() -> Callable[[Any], Iterator[Any]]:
    from jsonschema import Draft202012Validator

    explainer: Any = Draft202012Validator(_schema())  # jsonschema's own types are partly unknown
    return explainer.iter_errors


def _schema() -> Any:
    return json.loads(files("schemas").joinpath("sample.schema.json").read_text(encoding="utf-8"))
