"""Chat templates: read from a model folder, told apart by hash, and rendered as transformers renders them.

A template is code from a stranger: it runs in Jinja's immutable sandbox and sees nothing but the messages.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NoReturn, cast

import jinja2
from jinja2.ext import Extension
from jinja2.nodes import CallBlock, Node
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from qwen_sft.errors import ModelError, TemplateError
from qwen_sft.sample import Message, Tool


def fingerprints(source: str) -> set[str]:
    """The sha256 of a template with one final newline, and without.

    Files and configs differ by that newline, and Jinja takes it off.
    """
    bare = source.removesuffix("\n")
    return {hashlib.sha256(text.encode()).hexdigest() for text in (bare, bare + "\n")}


def _tojson(value: Any, ensure_ascii: bool = False, indent: int | None = None, **options: Any) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **options)


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)


class _Generation(Extension):
    """`{% generation %} ... {% endgeneration %}`: renders what it holds; we find the trained text by other means."""

    tags = {"generation"}  # noqa: RUF012  # the attribute's type is jinja2's

    def parse(self, parser: Parser) -> Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller: Any) -> str:
        return caller()


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
    )
    environment.filters["tojson"] = _tojson
    functions: dict[str, Any] = {"raise_exception": _raise_exception, "strftime_now": _strftime_now}
    cast("dict[str, Any]", environment.globals).update(functions)  # jinja2 types it by its own defaults
    return environment


class Template:
    """A compiled chat template.

    Args:
        source: the Jinja text.

    Raises:
        ModelError: it is no Jinja.
    """

    def __init__(self, source: str) -> None:
        self.source = source
        self.fingerprints = fingerprints(source)
        try:
            self._compiled = _environment().from_string(source)
        except jinja2.TemplateSyntaxError as error:
            raise ModelError(f"the chat template is no Jinja: line {error.lineno}: {error.message}") from error

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], *, add_generation_prompt: bool = False, **options: Any
    ) -> str:
        """The text that transformers' `apply_chat_template(..., tokenize=False)` gives for the same arguments.

        Raises:
            TemplateError: the template rejects these messages, or stumbles over them.
        """
        try:
            return self._compiled.render(
                messages=messages, tools=tools or None, add_generation_prompt=add_generation_prompt, **options
            )
        except (jinja2.TemplateError, TypeError, ValueError, AttributeError, LookupError, ArithmeticError) as error:
            raise TemplateError(f"{type(error).__name__}: {error}") from error
