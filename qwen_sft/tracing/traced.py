"""A family for any chat template: spans from a traced rendering, and the facts that a few small conversations show.

What is trained follows from two things that can be seen without knowing the template: which text it prints for which
message, and which of that it was given. A template that mixes them so that this cannot be told is refused, and says
why.
"""

import json
import re
from collections.abc import Sequence
from typing import Any

from qwen_sft.asking.request import NO_OPTIONS, Options, OptionsOf
from qwen_sft.errors import ModelError, TemplateError
from qwen_sft.family import Family, Plan
from qwen_sft.sample import Message, Tool, is_object
from qwen_sft.templating.history import EMPTY_REASONING
from qwen_sft.templating.plan import minimal_plan
from qwen_sft.templating.template import ARGUMENTS, Template
from qwen_sft.tokens import Kind, Span
from qwen_sft.tracing.trace import Piece, Tracer
from qwen_sft.tracing.turns import spans_of

_USER: Message = {"role": "user", "content": "Weather?"}
_SAYS: Message = {"role": "assistant", "content": "Sunny."}
_REASONS: Message = {"role": "assistant", "content": "Sunny.", "reasoning_content": "Hm."}
_CALLS: Message = {
    "role": "assistant",
    "content": "",
    "tool_calls": [
        {"type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}, "id": "c1abcdefg"}
    ],
}
_RESULT: Message = {"role": "tool", "content": "4 degrees", "tool_call_id": "c1abcdefg", "name": "weather"}
_PARAMETERS = {"type": "object", "properties": {"city": {"type": "string", "description": "Where."}}}
_TOOL: Tool = {
    "type": "function",
    "function": {"name": "weather", "description": "The weather.", "parameters": _PARAMETERS},
}


class _Traced:
    """What a family needs, computed from a template."""

    def __init__(self, template: Template, stops: Sequence[str]) -> None:
        self.template = template
        self.stops = tuple(stops)
        self._tracer = Tracer(template)
        self._headers: dict[str, tuple[str, ...]] = {}

    def serialize(
        self, messages: Sequence[Message], tools: Sequence[Tool], options: Options = NO_OPTIONS, /
    ) -> list[Span]:
        """The template's text, as spans.

        Raises:
            TemplateError: the template rejects the messages, or its text cannot be told apart; see `turns`.
        """
        return spans_of(self.trace(messages, tools, options), messages, self.stops, self._headers_of(options))

    def trace(self, messages: Sequence[Message], tools: Sequence[Tool], options: Options) -> list[Piece]:
        """The template's text in pieces that tell who wrote them."""
        return self._tracer.trace(messages, tools, **options)

    def render(
        self, messages: Sequence[Message], tools: Sequence[Tool], add_generation_prompt: bool, options: Options
    ) -> str:
        """The template's text."""
        return self.template.render(messages, tools, add_generation_prompt=add_generation_prompt, **options)

    def generation_prompt(self, messages: Sequence[Message], tools: Sequence[Tool], options: Options, /) -> str:
        """What the template appends with add_generation_prompt=True.

        Raises:
            TemplateError: it does not append, but prints the history in another way.
        """
        history = self.render(messages, tools, False, options)
        prompt = self.render(messages, tools, True, options)
        if not prompt.startswith(history):
            raise TemplateError("with add_generation_prompt=True the chat template prints the history in another way")
        return prompt[len(history) :]

    def plan(self, messages: Sequence[Message], tools: Sequence[Tool], options_of: OptionsOf, /) -> Plan:
        """The fewest renderings that serve every turn; see `minimal_plan`."""
        return minimal_plan(
            messages,
            tools,
            options_of,
            render=self.render,
            stops=self.stops,
            empty_reasoning=self.empty_reasoning,
        )

    def _headers_of(self, options: Options) -> tuple[str, ...]:
        """How an assistant's turn may begin: the prompts behind a question and behind a result, but for think tags."""
        key = json.dumps(dict(options), sort_keys=True, default=str)
        if key not in self._headers:
            found: set[str] = set()
            for history in ([_USER], [_USER, _CALLS, _RESULT]):
                try:
                    found.add(self.generation_prompt(history, [], options).partition("<think>")[0])
                except TemplateError:
                    continue  # a template need not know tools
            self._headers[key] = tuple(sorted(found - {""}, key=len, reverse=True))
        return self._headers[key]

    def probe(self, turn: Message, kind: Kind, tools: Sequence[Tool] = ()) -> str:
        """What the template prints of a kind in a turn; "" where it cannot print that turn."""
        try:
            spans = self.serialize([_USER, turn], tools)
        except TemplateError:
            return ""
        return "".join(span.text for span in spans if span.message == 1 and span.kind is kind)

    @property
    def prompt(self) -> str:
        """The generation prompt of a first answer; "" where the template cannot print that."""
        try:
            return self.generation_prompt([_USER], [], NO_OPTIONS)
        except TemplateError:
            return ""

    @property
    def empty_reasoning(self) -> str:
        """The empty think block, if the template writes it into a last turn and the prompt does not."""
        writes = "<think>" not in self.prompt and self.probe(_SAYS, Kind.REASONING) == EMPTY_REASONING
        return EMPTY_REASONING if writes else ""


def traced_family(template: Template, *, stops: Sequence[str], name: str = "traced") -> Family:
    """The family of one template that no hand-written family knows.

    Args:
        stops: control tokens that may end a turn; the last one that the template writes behind a turn's data does.
        name: of the family.

    Raises:
        ModelError: the template cannot even be told apart where a user asks and the assistant answers.
    """
    traced = _Traced(template, stops)
    try:
        traced.serialize([_USER, _SAYS], [])
        traced.generation_prompt([_USER], [], NO_OPTIONS)
    except TemplateError as error:
        raise ModelError(f"what this chat template trains cannot be proven: {error}") from error
    thinks = "<think>" in traced.prompt or "<think>" in traced.probe(_REASONS, Kind.REASONING)
    return Family(
        name=name,
        title="a chat template that no family knows, traced",
        models=(),
        template_sha256=tuple(sorted(template.fingerprints)),
        vocabulary="",
        parser=_parser(traced.probe(_CALLS, Kind.CALL, [_TOOL])),
        serialize=traced.serialize,
        generation_prompt=traced.generation_prompt,
        plan=traced.plan,
        reasoning_parser="qwen3" if thinks else None,
        options=tuple(sorted(one for one in template.variables - ARGUMENTS if not one.endswith("_token"))),
        empty_reasoning=traced.empty_reasoning,
    )


def _parser(call: str) -> str | None:
    """The name of the parser that reads a call of `weather` back, as the template writes it."""
    if "<function=weather>" in call and "<parameter=city>" in call:
        return "qwen3_coder"
    written = re.search(r"<tool_call>(.*)</tool_call>", call, re.DOTALL)
    if written is None:
        return None
    try:
        parsed: Any = json.loads(written[1])
    except ValueError:
        return None
    return "hermes" if is_object(parsed) and {"name", "arguments"} <= parsed.keys() else None
