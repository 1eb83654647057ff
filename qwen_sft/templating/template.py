"""Chat templates: read from a model folder, told apart by hash, and rendered as transformers renders them.

A template is code from a stranger: it runs in Jinja's immutable sandbox, bounded in time and size (see `sandbox`).
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.meta import find_undeclared_variables

from qwen_sft.errors import ModelError, TemplateError
from qwen_sft.sample import Message, Tool
from qwen_sft.templating.bounds import DEFAULT_LIMITS, LimitError, Limits
from qwen_sft.templating.sandbox import ChatContext, ChatEnvironment

MAX_SOURCE = 1 << 20
"""Characters of a template; the largest that we know of has 24,000."""

ARGUMENTS = frozenset({"messages", "tools", "documents", "add_generation_prompt"})
"""What every template is given."""

# What a template can run into: bad data, its own mistakes, and Python's bounds on depth and memory.
_FAILURES = (
    jinja2.TemplateError,
    TypeError,
    ValueError,
    AttributeError,
    LookupError,
    ArithmeticError,
    RuntimeError,
    MemoryError,
)

_REASONING = ("reasoning_content", "thinking", "reasoning")
_NOTES = frozenset({"train", "weight", "finish_reason"})  # fields of ours, which no server knows


def fingerprints(source: str) -> set[str]:
    """The sha256 of a template with one final newline, and without.

    Files and configs differ by that newline, and Jinja takes it off.
    """
    bare = source.removesuffix("\n")
    return {hashlib.sha256(text.encode()).hexdigest() for text in (bare, bare + "\n")}


def compile_template(source: str, environment: ChatEnvironment) -> jinja2.Template:
    """The template as code.

    Raises:
        ModelError: it is no Jinja, or too large or too deep to compile.
    """
    if len(source) > MAX_SOURCE:
        raise ModelError(f"the chat template has {len(source)} characters, more than {MAX_SOURCE}")
    try:
        return environment.from_string(source)
    except jinja2.TemplateSyntaxError as error:
        raise ModelError(f"the chat template is no Jinja: line {error.lineno}: {error.message}") from error
    # Jinja's parser recurses, and Python's compiler allows 20 nested loops.
    except (SyntaxError, RecursionError, ValueError, TypeError, ArithmeticError, MemoryError) as error:
        raise ModelError(f"the chat template cannot be compiled: {type(error).__name__}: {error}") from error


class Template:
    """A compiled chat template.

    Args:
        source: the Jinja text.
        special_tokens: `bos_token`, `eos_token` and the like, by name, as the tokenizer's configuration sets them.
        limits: what one rendering may use.

    Attributes:
        source: as given.
        special_tokens: as given.
        limits: as given.
        fingerprints: see there.
        variables: the names that the template reads from its arguments, such as `messages` and `enable_thinking`.

    Raises:
        ModelError: the template is no Jinja, or too large or too deep to compile.
    """

    def __init__(
        self, source: str, special_tokens: Mapping[str, str] = MappingProxyType({}), limits: Limits = DEFAULT_LIMITS
    ):
        self.source = source
        self.special_tokens = dict(special_tokens)
        self.limits = limits
        environment = ChatEnvironment(limits)
        self._compiled = compile_template(source, environment)
        self.fingerprints = fingerprints(source)
        self.variables = _variables(environment.parse(source)) - set(environment.globals)

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, add_generation_prompt: bool = False, **options: Any
    ) -> str:
        """The text that transformers' `apply_chat_template(..., tokenize=False)` gives for the same arguments.

        Raises:
            TemplateError: the template rejects these messages, stumbles over them, or runs into its limits.
        """
        arguments = self.arguments(messages, tools, add_generation_prompt=add_generation_prompt, **options)
        return "".join(run(self._compiled, new_context(self._compiled, arguments)))

    def arguments(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, add_generation_prompt: bool, **options: Any
    ) -> dict[str, Any]:
        """What transformers hands to a template.

        Reasoning is under all names that any template reads, as in transformers since 5.0.
        """
        return {
            "documents": None,
            **self.special_tokens,
            **options,
            "messages": [_with_reasoning(_without_notes(message)) for message in messages],
            "tools": list(tools) or None,
            "add_generation_prompt": add_generation_prompt,
        }


def _variables(parsed: nodes.Template) -> frozenset[str]:
    """The names that a template reads before it sets them, if it does.

    Jinja counts those that are set in one branch and read in another; a name that the template sets is an argument only
    if it asks whether that is given: `{% if effort is not defined %}{% set effort = "high" %}{% endif %}`.
    """
    own = {name.name for name in parsed.find_all(nodes.Name) if name.ctx == "store"}
    tests = [test.node for test in parsed.find_all(nodes.Test) if test.name in ("defined", "undefined")]
    defaults = [one.node for one in parsed.find_all(nodes.Filter) if one.name in ("default", "d")]
    asked = {node.name for node in (*tests, *defaults) if isinstance(node, nodes.Name)}
    parameters = {name.name for name in parsed.find_all(nodes.Name) if name.ctx == "param"}
    return frozenset(find_undeclared_variables(parsed)) - (own - asked) - parameters


def new_context(compiled: jinja2.Template, arguments: dict[str, Any]) -> ChatContext:
    """What one rendering knows and may still use."""
    context = compiled.new_context(arguments)
    assert isinstance(context, ChatContext)  # its environment makes no other
    return context


def _without_notes(message: Mapping[str, Any]) -> Mapping[str, Any]:
    """A message as a server has it: a template that prints whole messages as JSON would show what is said about it."""
    if _NOTES.isdisjoint(message):
        return message
    return {key: value for key, value in message.items() if key not in _NOTES}


def _with_reasoning(message: Mapping[str, Any]) -> Mapping[str, Any]:
    for name in _REASONING:
        reasoning = message.get(name)
        if reasoning is not None:
            return {"thinking": reasoning, **message, "reasoning_content": reasoning}
    return message


def run(compiled: jinja2.Template, context: ChatContext) -> Iterator[str]:
    """The chunks of text that a template prints, as it prints them.

    Raises:
        TemplateError: as `Template.render`.
    """
    n_left = context.limits.characters
    try:
        for chunk in compiled.root_render_func(context):
            n_left -= len(chunk)
            if n_left < 0:
                raise LimitError(f"it prints more than {context.limits.characters} characters")
            yield chunk
    except LimitError as error:
        raise TemplateError(f"the chat template was stopped: {error}") from error
    except _FAILURES as error:
        raise TemplateError(f"{type(error).__name__}: {error}") from error
