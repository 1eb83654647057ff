"""The Jinja environment of chat templates: transformers' own, and bounded in time and memory.

A template is code from a stranger. It runs in Jinja's immutable sandbox, sees nothing but its arguments, and is stopped
when it runs too long or makes too much text. Nothing here needs signals or a second process: the compiled template asks
for the time at each turn of a loop and at each call, and whatever can make something large out of something small asks
first how large. So one expression can take about a second, and only comparing lists that the template has built of one
another can take longer.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from time import monotonic
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

MAX_ITEMS = 1_000_000
"""Items of a list that a template may make; `range` stops at 100,000 by itself."""

MAX_BITS = 100_000
"""Bits of a number that a template may make."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What one rendering may use.

    Attributes:
        seconds: how long it may run. The slowest official template prints a conversation of 2,000 turns in 1.5.
        characters: how long the text may be, and each text on the way to it. A context of a million tokens is about
            four million characters.
        work: characters and list items that all operations may make together: a template that builds its text piece by
            piece copies it once per piece.
    """

    seconds: float = 10.0
    characters: int = 1 << 25
    work: int = 1 << 30


DEFAULT_LIMITS = Limits()


class LimitError(jinja2.TemplateRuntimeError):
    """The template runs too long or makes too much."""


class ChatContext(Context):
    """The names that a template sees, and what it has used so far."""

    def __init__(self, environment: "ChatEnvironment", *rest: Any, **more: Any) -> None:
        super().__init__(environment, *rest, **more)
        self.limits = environment.limits
        self.deadline = monotonic() + self.limits.seconds
        self.left = self.limits.work

    def tick(self) -> None:
        """Called at each turn of a loop, by each macro and before each call."""
        if monotonic() > self.deadline:
            raise LimitError(f"it runs longer than {self.limits.seconds:g} seconds")

    def charge(self, n_made: int) -> None:
        """Called by everything that makes text or lists, with their length."""
        self.left -= n_made
        if n_made > self.limits.characters or self.left < 0:
            raise LimitError(f"it makes texts of more than {self.limits.characters} characters")

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

    def measure(self, value: Any) -> None:
        """Stops what would be too long as text: a template can put one list into another many times over."""
        waiting = [value]
        n_items = n_characters = 0
        while waiting:
            one = waiting.pop()
            if isinstance(one, str):
                n_characters += len(one)
            elif isinstance(one, Mapping):
                for pair in cast("Mapping[Any, Any]", one).items():
                    waiting += pair
            elif isinstance(one, list | tuple | set | frozenset):
                waiting += cast("list[Any]", one)
            n_items += 1
            if n_items + len(waiting) > MAX_ITEMS:
                raise LimitError(f"it prints a value of more than {MAX_ITEMS} items")
        self.charge(n_characters)


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
        for name, check in _FILTER_CHECKS.items():
            self.filters[name] = _checked(self.filters[name], check)
        names = cast("dict[str, Any]", self.globals)  # jinja2 types it by its own defaults
        del names["lipsum"]
        names.update(raise_exception=_raise_exception, strftime_now=_strftime_now, dict=_Dict(), namespace=_Held)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        _OPERATOR_CHECKS[operator](context, left, right)
        made: Any = super().call_binop(context, operator, left, right)
        if isinstance(made, str):
            context.charge(len(made))
        elif isinstance(made, list | tuple):
            _check_items(len(cast("list[Any]", made)))
        return cast("object", made)

    # Jinja prefixes the names, so that a template may call something with an argument named `self`.
    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        __context.tick()
        if isinstance(getattr(__obj, "__self__", None), str | bytes | int):
            _check_method(__context, __obj, args, kwargs)
        return super().call(__context, __obj, *args, **kwargs)

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        made = super().wrap_str_format(value)
        if made is not None and _WIDE_FORMAT.search(value.__self__):
            raise LimitError(f"it formats by {value.__self__!r:.60}, which sets a width that is given or large")
        return made


# -- What can make something large -------------------------------------------------------------------------------------

_WIDE_FORMAT = re.compile(r"\d{5}|:[^{}]*\{")
_WIDE_PERCENT = re.compile(r"%[^%a-zA-Z]*(\*|\d{5})")


def _no_check(_context: ChatContext, *_args: Any, **_kwargs: Any) -> None:
    pass


def _check_items(n_items: int) -> None:
    if n_items > MAX_ITEMS:
        raise LimitError(f"it makes a list of more than {MAX_ITEMS} items")


def _check_times(context: ChatContext, left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int):
        if left.bit_length() + right.bit_length() > MAX_BITS:
            raise LimitError(f"it makes a number of more than {MAX_BITS} bits")
        return
    for many, times in ((left, right), (right, left)):
        if isinstance(times, int) and isinstance(many, str | bytes | list | tuple):
            n_made = len(cast("str", many)) * times
            if isinstance(many, list | tuple):
                _check_items(n_made)
            context.charge(max(n_made, 0))


def _check_power(_context: ChatContext, left: Any, right: Any) -> None:
    if isinstance(left, int) and isinstance(right, int) and left.bit_length() * right > MAX_BITS:
        raise LimitError(f"it makes a number of more than {MAX_BITS} bits")


def _check_percent(context: ChatContext, left: Any, right: Any) -> None:
    if isinstance(left, str | bytes):
        form = left if isinstance(left, str) else left.decode("latin-1")
        if _WIDE_PERCENT.search(form):
            raise LimitError(f"it formats by {left!r:.60}, which sets a width that is given or large")
        context.measure(right)
        longest = max((len(one) for one in _strings(right)), default=20)
        context.charge(len(form) + form.count("%") * longest)


def _strings(value: Any) -> list[str]:
    values = cast("tuple[Any, ...]", value) if isinstance(value, tuple) else (value,)
    return [one for one in values if isinstance(one, str)]


_OPERATOR_CHECKS: dict[str, Callable[..., None]] = {
    "+": _no_check,
    "*": _check_times,
    "**": _check_power,
    "%": _check_percent,
}


def _check_width(context: ChatContext, text: Any, width: Any = 0, *_args: Any, **kwargs: Any) -> None:
    lines = text.count("\n") + text.count("\t") + 1 if isinstance(text, str) else 1
    for given in (width, *kwargs.values()):
        n_made = len(given) if isinstance(given, str) else given if isinstance(given, int) else 0
        context.charge(max(n_made, 0) * lines)


def _check_replace(context: ChatContext, text: Any, old: Any = "", new: Any = "", *_args: Any, **_kw: Any) -> None:
    context.charge(len(str(text)) + str(text).count(str(old)) * len(str(new)))


def _check_join(context: ChatContext, items: Any, between: Any = "", *_args: Any, **_kwargs: Any) -> None:
    if isinstance(items, list | tuple):
        items = cast("list[Any]", items)
        context.measure(items)
        context.charge(len(items) * len(str(between)))


def _check_int(context: ChatContext, _value: Any, *args: Any, **kwargs: Any) -> None:
    for given in (*args, *kwargs.values()):
        if (isinstance(given, int) and abs(given) > 10_000) or (isinstance(given, str) and len(given) > 10_000):
            raise LimitError(f"it asks for {given!r:.40} where something small will do")
    context.tick()


def _check_format(context: ChatContext, form: Any, *args: Any, **kwargs: Any) -> None:
    _check_percent(context, form, (*args, *kwargs.values()))


def _check_sum(context: ChatContext, items: Any, *args: Any, **kwargs: Any) -> None:
    del items
    if any(not isinstance(given, int | float | str) for given in (*args, *kwargs.values())):
        raise LimitError("it sums up lists")
    context.tick()


def _check_value(context: ChatContext, value: Any, *args: Any, **kwargs: Any) -> None:
    _check_int(context, value, *args, **kwargs)
    context.measure(value)


_FILTER_CHECKS: dict[str, Callable[..., None]] = {
    "batch": _check_int,
    "center": _check_width,
    "format": _check_format,
    "indent": _check_width,
    "join": _check_join,
    "replace": _check_replace,
    "round": _check_int,
    "slice": _check_int,
    "string": _check_value,
    "sum": _check_sum,
    "tojson": _check_value,
}


def _checked(filter_: Callable[..., Any], check: Callable[..., None]) -> Callable[..., Any]:
    """The filter behind its check; it needs the context, so Jinja cannot run it while it compiles."""
    needs = getattr(getattr(filter_, "jinja_pass_arg", None), "name", "")

    @pass_context
    def checked(context: ChatContext, *args: Any, **kwargs: Any) -> Any:
        check(context, *args, **kwargs)
        return filter_(context.eval_ctx, *args, **kwargs) if needs == "eval_context" else filter_(*args, **kwargs)

    return checked


_METHOD_CHECKS: dict[str, Callable[..., None]] = {
    "center": _check_width,
    "expandtabs": _check_width,
    "ljust": _check_width,
    "replace": _check_replace,
    "rjust": _check_width,
    "to_bytes": _check_int,
    "zfill": _check_width,
}


def _check_method(context: ChatContext, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    name: str = method.__name__
    if name == "join":
        _check_join(context, args[0] if args else (), method.__self__)
    elif name == "translate":
        raise LimitError("it translates characters into texts of any length")
    elif name in _METHOD_CHECKS:
        _METHOD_CHECKS[name](context, method.__self__, *args, **kwargs)


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
