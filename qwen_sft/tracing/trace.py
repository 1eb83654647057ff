"""A chat template, rendered so that each piece of the text tells who wrote it.

The template is compiled a second time. Its data are texts that remember where they come from (`provenance`); loops say
which message they are at; what the template prints takes the mark of that message. What it prints must be what it
prints without all this: `Tracer.trace` compares.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import wraps
from typing import Any, NamedTuple, cast

from jinja2.compiler import Frame
from jinja2.nodes import Assign, For, Name, Node, Output
from markupsafe import Markup

from qwen_sft.errors import TemplateError
from qwen_sft.sample import Message, Path, Tool, json_path
from qwen_sft.templating.sandbox import ChatCodeGenerator, ChatContext, ChatEnvironment
from qwen_sft.templating.template import Template, compile_template, new_context, run
from qwen_sft.tracing.provenance import Mark, Tagged, add, blend, concat, join, tag, tagged


class Piece(NamedTuple):
    """Text that one source wrote.

    Attributes:
        text: never empty.
        source: where it stands in the request, such as ("messages", 3, "content") or ("enable_thinking",); for a value
            printed as a whole, the value's place; () if it was made of values that lie apart. None if the template
            wrote it.
        message: index of the message that it was printed for: the one that the template's loops were at, outside of
            loops the one that it is data of; -1 for none.
    """

    text: str
    source: Path | None
    message: int


class Tracer:
    """A template that can be traced.

    Args:
        template: compiled a second time here.
    """

    def __init__(self, template: Template) -> None:
        self._template = template
        self._compiled = compile_template(template.source, _TracedEnvironment(template.limits))

    def trace(
        self,
        messages: Sequence[Message],
        tools: Sequence[Tool],
        *,
        add_generation_prompt: bool = False,
        **options: Any,
    ) -> list[Piece]:
        """The template's text in pieces, of which neighbours differ in source or message.

        Raises:
            TemplateError: as `Template.render`; or the template prints something else when it is traced.
        """
        # First, so that what the template complains about is not our tagged text.
        untraced = self._template.render(messages, tools, add_generation_prompt=add_generation_prompt, **options)
        plain = self._template.arguments(messages, tools, add_generation_prompt=add_generation_prompt, **options)
        arguments = plain | {name: tag(value, (name,)) for name, value in options.items()}
        arguments |= {name: tag(plain[name], (name,)) for name in ("messages", "tools")}
        context = new_context(self._compiled, arguments)
        assert isinstance(context, _TracedContext)  # its environment makes no other
        context.index_of = {id(message): index for index, message in enumerate(arguments["messages"])}
        pieces = _merged(_runs(run(self._compiled, context), context))
        if "".join([piece.text for piece in pieces]) != untraced:
            raise TemplateError("the chat template prints something else when its data remember where they come from")
        return pieces


def data_control_tokens(pieces: Iterable[Piece], tokens: Sequence[str]) -> list[tuple[Path, str]]:
    """The control tokens that the template did not write itself: the place of the data that did, and the token.

    A token counts if any of its characters is data, other than the role that a template writes into a turn's header.
    """
    text = ""
    sources: list[tuple[int, Path | None]] = []
    for piece in pieces:
        text += piece.text
        sources.append((len(text), piece.source))
    found: list[tuple[int, Path, str]] = []
    for token in tokens:
        at = text.find(token) if token else -1
        while at >= 0:
            start = 0
            for end, source in sources:
                if source is not None and source[-1:] != ("role",) and start < at + len(token) and at < end:
                    found.append((at, source, token))
                    break
                start = end
            at = text.find(token, at + 1)
    return [(source, token) for _, source, token in sorted(found, key=lambda one: one[0])]


def described(source: Path) -> str:
    """Where a piece of data stands, for a message."""
    return json_path(source) if source else "several places"


def _runs(chunks: Iterator[str], context: "_TracedContext") -> Iterator[Piece]:
    """Each run of what is printed, with its source and the message that the loops are at."""
    for chunk in chunks:
        message = context.message
        if type(chunk) is not Tagged:
            if chunk:
                yield Piece(chunk, None, message)
            continue
        text, at = str.__str__(chunk), 0
        for n, mark in chunk.runs:
            piece = text[at : at + n]
            at += n
            if isinstance(mark, int):
                yield Piece(piece, None, mark)
            else:
                yield Piece(piece, mark, _message_of(mark) if message < 0 else message)


def _message_of(source: Path | None) -> int:
    """The message that a place is in; -1 for none."""
    if source is None or len(source) < 2 or source[0] != "messages":
        return -1
    return int(source[1])


def _merged(pieces: Iterator[Piece]) -> list[Piece]:
    """The pieces, neighbours of one source and message as one."""
    made: list[Piece] = []
    text: list[str] = []
    source, message = None, -1
    for piece in pieces:
        if text and (piece.source != source or piece.message != message):
            made.append(Piece("".join(text), source, message))
            text = []
        text.append(piece.text)
        _, source, message = piece
    if text:
        made.append(Piece("".join(text), source, message))
    return made


class _TracedContext(ChatContext):
    """Knows which message the loops are at.

    Attributes:
        message: its index; -1 for none.
        index_of: each message's index by its identity.
    """

    def __init__(self, *rest: Any, **more: Any) -> None:
        super().__init__(*rest, **more)
        self.message = -1
        self.index_of: dict[int, int] = {}

    def enter(self, outer: int, items: Iterable[Any]) -> None:
        """A turn of a loop begins.

        Args:
            outer: the message that the loop itself stands in; still the one if no item is a message.
            items: the values of the loop's variables.
        """
        self.message = next((self.index_of[id(one)] for one in items if id(one) in self.index_of), outer)

    def assigned(self, value: Any) -> None:
        """A variable was set in a loop: a loop over numbers is at the first message that it reads."""
        if self.message < 0:
            self.message = self.index_of.get(id(value), -1)

    def mark(self) -> Mark:
        """What the template's own text is marked with."""
        return self.message if self.message >= 0 else None

    def text(self, value: Any) -> str:
        if isinstance(value, str):
            return value
        text = super().text(value)
        return blend(text, value) if isinstance(value, list | tuple | Mapping) else text

    def noted(self, value: Any) -> str:
        """A value that is printed into a block, from which it is printed again later."""
        text = self.text(value)
        return text if type(text) is Tagged else tagged(text, self.mark())

    def concat(self, parts: Iterable[str]) -> str:
        made = concat(parts, self.mark())
        self.charge(len(made))
        return made


class _TracedCodeGenerator(ChatCodeGenerator):
    """Compiles loops, assignments and blocks so that the context knows which message they are at."""

    def __init__(self, *rest: Any, **more: Any) -> None:
        super().__init__(*rest, **more)
        self._loops: dict[int, tuple[str, list[str]]] = {}
        self._n_loops = 0
        self._in_block = False

    def visit_For(self, node: For, frame: Frame) -> None:
        outer = self.temporary_identifier()
        target = node.target
        names = [target] if isinstance(target, Name) else [*target.find_all(Name)]
        self._loops[id(node.body)] = (outer, [name.name for name in names])
        self._n_loops += 1
        self.writeline(f"{outer} = context.message")
        super().visit_For(node, frame)
        self.writeline(f"context.message = {outer}")
        self._n_loops -= 1

    def blockvisit(self, nodes: Iterable[Node], frame: Frame) -> None:
        if id(nodes) in self._loops:
            outer, names = self._loops[id(nodes)]
            self.writeline(f"context.enter({outer}, ({''.join(frame.symbols.ref(name) + ', ' for name in names)}))")
        super().blockvisit(nodes, frame)

    def visit_Assign(self, node: Assign, frame: Frame) -> None:  # the name is jinja2's
        super().visit_Assign(node, frame)
        if self._n_loops and isinstance(node.target, Name):
            self.writeline(f"context.assigned({frame.symbols.ref(node.target.name)})")

    def visit_Output(self, node: Output, frame: Frame) -> None:  # the name is jinja2's
        self._in_block = frame.buffer is not None
        super().visit_Output(node, frame)

    def _output_const_repr(self, group: Iterable[Any]) -> str:
        text = super()._output_const_repr(group)
        return f"context.noted({text})" if self._in_block else text

    def _output_child_pre(self, node: Any, frame: Frame, finalize: Any) -> None:
        del node, finalize
        self.write("context.text(" if frame.buffer is None else "context.noted(")


class _TracedEnvironment(ChatEnvironment):
    """Keeps marks where Jinja's own operations lose them."""

    code_generator_class = _TracedCodeGenerator
    context_class = _TracedContext

    def __init__(self, *rest: Any) -> None:
        super().__init__(*rest)
        self.filters = {name: _marking(one) for name, one in self.filters.items()}
        self.filters["safe"] = _safe
        self.filters["join"] = _marked_join(self.filters["join"])

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        marked = type(left) is Tagged or type(right) is Tagged
        if operator == "+" and marked and isinstance(left, str) and isinstance(right, str):
            made = add(left, right, context.message if context.message >= 0 else None)
            context.charge(len(made))
            return made
        made = super().call_binop(context, operator, left, right)
        return blend(made, (left, right)) if operator == "%" and type(made) is str else made

    def call(__self, __context: Any, __obj: Any, *args: Any, **kwargs: Any) -> Any:
        made = super().call(__context, __obj, *args, **kwargs)
        if type(made) is str and made:
            owner = getattr(__obj, "__self__", None)
            if isinstance(owner, str) and __obj.__name__ == "join" and isinstance(args[0], list | tuple):
                return join(owner, cast("list[str]", args[0]))
            return blend(made, (owner, args, kwargs))
        return made

    def wrap_str_format(self, value: Any) -> Callable[..., str] | None:
        made = super().wrap_str_format(value)
        return made and _marking(made, value.__self__)


def _marking(function: Callable[..., Any], owner: Any = None) -> Callable[..., Any]:
    """The function, whose result, if it is text that forgot where it comes from, is all data of its arguments."""

    @wraps(function)
    def marked(*args: Any, **kwargs: Any) -> Any:
        made = function(*args, **kwargs)
        if type(made) is str or type(made) is Markup:
            return blend(str(made), (owner, args, kwargs))
        return made

    return marked


def _marked_join(original: Callable[..., str]) -> Callable[..., str]:
    """The filter `join`, exact where it joins a plain list."""

    @wraps(original)
    def marked(context: Any, value: Any, between: str = "", attribute: Any = None) -> str:
        made = original(context, value, between, attribute)
        if attribute is None and isinstance(value, list | tuple):
            return join(context.text(between), map(context.text, cast("list[Any]", value)))
        return made

    return marked


def _safe(value: Any) -> Any:
    """The filter `safe`: nothing is escaped here, so nothing needs to be told apart."""
    return value if isinstance(value, str) else Markup(value)
