"""The Jinja environment of chat templates: transformers' own, and bounded in time and memory.

A template is code from a stranger. It runs in Jinja's immutable sandbox, sees nothing but its arguments, and is stopped
when it runs too long or makes too much text. Nothing here needs signals or a second process: the compiled template asks
for the time at each turn of a loop and at each call, and whatever can make something large out of something small asks
first how large (`bounds`). So one expression can take about a second, and only comparing lists that the template has
built of one another can take longer.
"""

import json
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, NoReturn, cast

import jinja2
from jinja2.compiler import CodeGenerator, Frame, optimizeconst
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension
from jinja2.nodes import CallBlock, Concat, For, Macro, Node
from jinja2.parser import Parser
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace, pass_context

from qwen_sft.templating.bounds import (
    FILTER_CHECKS,
    OPERATOR_CHECKS,
    WIDE_FORMAT,
    Budget,
    LimitError,
    Limits,
    check_items,
    check_method,
)


class ChatContext(Context, Budget):
    """The names that a template sees, and what it has used so far."""

    def __init__(self, environment: "ChatEnvironment", *rest: Any, **more: Any) -> None:
        Context.__init__(self, environment, *rest, **more)
        Budget.__init__(self, environment.limits)

    def concat(self, parts: Iterable[str]) -> str:
        """The text of a macro, a `{% set %}` block or a filter block."""
        parts = list(parts)
        self.charge(sum(map(len, parts)))
        return "".join(parts)

    def joined(self, parts: Iterable[Any]) -> str:
        """`a ~ b`."""
        return self.concat(map(self.text, parts))

    def text(self, value: Any) -> str:
        """A value as text, as `{{ value }}` prints it."""
        if not isinstance(value, str):
            self.measure(value)
        return str(value)


class ChatCodeGenerator(CodeGenerator):
    """Compiles loops and macros with a tick, and `~` and blocks with a charge."""

    def __init__(self, *rest: Any, **more: Any) -> None:
        super().__init__(*rest, **more)
        self._ticking: set[int] = set()

    def write_commons(self) -> None:
        super().write_commons()
        self.writeline("concat = context.concat")

    def visit_For(self, node: For, frame: Frame) -> None:  # the name is jinja2's
        self._ticking.add(id(node.body))
        super().visit_For(node, frame)

    def macro_body(self, node: Macro | CallBlock, frame: Frame) -> Any:
        self._ticking.add(id(node.body))
        return super().macro_body(node, frame)

    def blockvisit(self, nodes: Iterable[Node], frame: Frame) -> None:
        if id(nodes) in self._ticking:
            self.writeline("context.tick()")
        super().blockvisit(nodes, frame)

    @optimizeconst
    def visit_Concat(self, node: Concat, frame: Frame) -> None:  # the name is jinja2's
        self.write("context.joined((")
        for part in node.nodes:
            self.visit(part, frame)
            self.write(", ")
        self.write("))")

    def _output_child_pre(self, node: Any, frame: Frame, finalize: Any) -> None:
        del node, frame, finalize
        self.write("context.text(")


class _Generation(Extension):
    """`{% generation %} ... {% endgeneration %}`: renders what it holds; we find the trained text by other means."""

    tags = {"generation"}  # noqa: RUF012  # the attribute's type is jinja2's

    def parse(self, parser: Parser) -> Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return CallBlock(self.call_method("_body"), [], [], body).set_lineno(line)

    def _body(self, caller: Any) -> str:
        return caller()


class ChatEnvironment(ImmutableSandboxedEnvironment):
    """transformers' environment for chat templates, bounded.

    It lacks what prints at random (`lipsum`, `random`) and what only web pages need (`pprint`, `urlize`, `xmlattr`).
    """

    code_generator_class = ChatCodeGenerator
    context_class = ChatContext
    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self, limits: Limits) -> None:
        super().__init__(trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"])
        self.limits = limits
        for name in ("random", "pprint", "urlize", "xmlattr"):
            del self.filters[name]
        self.filters["tojson"] = _tojson
        for name, check in FILTER_CHECKS.items():
            self.filters[name] = _checked(self.filters[name], check)
        names = cast("dict[str, Any]", self.globals)  # jinja2 types it by its own defaults
        del names["lipsum"]
        names.update(raise_exception=_raise_exception, strftime_now=_strftime_now, dict=_Dict(), namespace=_Held)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        OPERATOR_CHECKS[operator](context, left, right)
        made: Any = super().call_binop(context, operator, left, right)
        if isinstance(made, str):
            context.charge(len(made))
        elif isinstance(made, list | tuple):
            check_items(len(cast("list[Any]", made)))
        return cast("object", made)

    # Jinja prefixes the names, so that a template may call something with an argument named `self`.
    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        __context.tick()
        if isinstance(getattr(__obj, "__self__", None), str | bytes | int):
            check_method(__context, __obj, args, kwargs)
        return super().call(__context, __obj, *args, **kwargs)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        made = super().wrap_str_format(value)
        if made is not None and WIDE_FORMAT.search(value.__self__):
            raise LimitError(f"it formats by {value.__self__!r:.60}, which sets a width that is given or large")
        return made


def _checked(filter_: Callable[..., Any], check: Callable[..., None]) -> Callable[..., Any]:
    """The filter behind its check; it needs the context, so Jinja cannot run it while it compiles."""
    needs = getattr(getattr(filter_, "jinja_pass_arg", None), "name", "")

    @pass_context
    def checked(context: ChatContext, *args: Any, **kwargs: Any) -> Any:
        check(context, *args, **kwargs)
        return filter_(context.eval_ctx, *args, **kwargs) if needs == "eval_context" else filter_(*args, **kwargs)

    return checked


# -- What transformers adds --------------------------------------------------------------------------------------------


def _tojson(
    value: Any, ensure_ascii: bool = False, indent: Any = None, separators: Any = None, sort_keys: bool = False
) -> str:
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _raise_exception(message: str) -> NoReturn:
    raise jinja2.TemplateError(message)


def _strftime_now(form: str) -> str:
    return datetime.now().strftime(form)


class _Dict:
    """`dict(...)` without the attributes of the class."""

    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args)


class _Held(Namespace):
    """`namespace(...)`, which holds no name that begins with an underscore."""

    def __init__(*args: Any, **kwargs: Any) -> None:  # `namespace(self=1)` is allowed
        self, values = args[0], dict(*args[1:], **kwargs)
        for name in values:
            _check_name(name)
        Namespace.__init__(self, values)

    def __setitem__(self, name: str, value: Any) -> None:
        _check_name(name)
        super().__setitem__(name, value)


def _check_name(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise SecurityError(f"a namespace holds no name that begins with an underscore, such as {name!r}")
