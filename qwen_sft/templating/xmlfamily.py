"""What the templates with XML calls (parser `qwen3_coder`) share: Qwen3-Coder and its successor, and Qwen3.5 to 3.8.

A call is `<tool_call>` with a tag for each parameter. The two groups instruct the model in the same words. Coders
declare their tools in XML too and print no reasoning; the others declare them as JSON lines, trim every text and open
each turn after the last query with a think block.
"""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from qwen_sft.asking.request import NO_OPTIONS, Options, OptionsOf
from qwen_sft.errors import TemplateError
from qwen_sft.family import NO_PROMPT, Plan
from qwen_sft.sample import Message, Tool, ToolCall, is_list, is_object
from qwen_sft.templating.chatml import (
    HEADER,
    START,
    STOP,
    arguments_of,
    conversation,
    end,
    result,
    text_of,
    tojson,
    tool_lines,
)
from qwen_sft.templating.history import EMPTY_REASONING, OPEN_REASONING, Forms, plan_by_forms
from qwen_sft.templating.plan import minimal_plan
from qwen_sft.tokens import Kind, Span

TOOLS_BEFORE = "# Tools\n\nYou have access to the following functions:\n\n<tools>"
TOOLS_AFTER = (
    "\n</tools>\n\nIf you choose to call a function ONLY reply in the following format with NO suffix:\n\n"
    "<tool_call>\n<function=example_function_name>\n<parameter=example_parameter_1>\nvalue_1\n</parameter>\n"
    "<parameter=example_parameter_2>\nThis is the value for the second parameter\nthat can span\nmultiple lines\n"
    "</parameter>\n</function>\n</tool_call>\n\n<IMPORTANT>\nReminder:\n"
    "- Function calls MUST follow the specified format: an inner <function=...></function> block must be nested within "
    "<tool_call></tool_call> XML tags\n"
    "- Required parameters MUST be specified\n"
    "- You may provide optional reasoning for your function call in natural language BEFORE the function call, "
    "but NOT after\n"
    "- If there is no function call available, answer the question like normal with your current knowledge and do not "
    "tell the user about function calls\n</IMPORTANT>"
)

Printer = Callable[[Any], str]
"""A JSON value to the text that stands between two tags."""


def as_json(value: Any) -> str:
    """Strings as they are, the rest as JSON: `true`, `null`."""
    return value if isinstance(value, str) else tojson(value)


def as_python(value: Any) -> str:
    """Strings as they are, objects and lists as JSON, other values as Python prints them: `True`, `None`.

    No parser reads `None` back as null, and `True` only where the schema says boolean (TOK004).
    """
    return tojson(value) if is_object(value) or is_list(value) else str(value)


def calls_of(message: Message, index: int, printed: Printer) -> str:
    """A turn's calls, a newline between them; "" if it has none."""
    return "\n".join(_call(call, index, printed) for call in message.get("tool_calls", []))


def _call(call: ToolCall, index: int, printed: Printer) -> str:
    parameters = "".join(
        f"<parameter={key}>\n{printed(value)}\n</parameter>\n" for key, value in arguments_of(call, index).items()
    )
    return f"<tool_call>\n<function={call['function']['name']}>\n{parameters}</function>\n</tool_call>"


# -- Coders: tools in XML, no reasoning --------------------------------------------------------------------------------

CODER_SYSTEM = "You are Qwen, a helpful AI assistant that can interact with a computer to solve tasks."


@dataclass(frozen=True, slots=True)
class CoderTemplate:
    """The template of the Coders, in which revisions differ in two things.

    Attributes:
        printed: how a value that is no string is printed, in calls and in declarations.
        newline_after_result: whether one stands behind each `</tool_response>`, before the turn ends, too.
    """

    printed: Printer
    newline_after_result: bool = False

    def serialize(
        self, messages: Sequence[Message], tools: Sequence[Tool], _options: Options = NO_OPTIONS, /
    ) -> list[Span]:
        """The official template's text, as spans."""
        first = 1 if messages and messages[0].get("role") == "system" else 0
        tool = partial(result, first=first, newline_after=self.newline_after_result)
        return self._system(messages, tools) + conversation(messages, self._assistant, tool=tool)

    def _system(self, messages: Sequence[Message], tools: Sequence[Tool]) -> list[Span]:
        given = bool(messages) and messages[0].get("role") == "system"
        if not given and not tools:
            return []
        spans = [
            Span(Kind.SCAFFOLD, -1, f"{START}system\n"),
            Span(Kind.SYSTEM, 0, text_of(messages[0], 0)) if given else Span(Kind.SYSTEM, -1, CODER_SYSTEM),
        ]
        if tools:
            spans += [
                Span(Kind.SCAFFOLD, -1, f"\n\n{TOOLS_BEFORE}"),
                Span(Kind.TOOLS, -1, "".join(self._tool(tool) for tool in tools)),
                Span(Kind.SCAFFOLD, -1, TOOLS_AFTER),
            ]
        return [*spans, Span(Kind.SCAFFOLD, -1, f"{STOP}\n")]

    def _tool(self, tool: Tool) -> str:
        function: dict[str, Any] = dict(tool.get("function", tool))
        text = f"\n<function>\n<name>{function.get('name', '')}</name>"
        if "description" in function:
            text += f"\n<description>{str(function['description']).strip()}</description>"
        text += "\n<parameters>"
        parameters = function.get("parameters")
        properties = parameters.get("properties") if is_object(parameters) else None
        for name, fields in properties.items() if is_object(properties) else ():
            text += f"\n<parameter>\n<name>{name}</name>"
            if is_object(fields) and "type" in fields:
                text += f"\n<type>{fields['type']}</type>"
            if is_object(fields) and "description" in fields:
                text += f"\n<description>{str(fields['description']).strip()}</description>"
            text += self._extra(fields, ("name", "type", "description")) + "\n</parameter>"
        text += self._extra(parameters, ("type", "properties")) + "\n</parameters>"
        return text + self._extra(function, ("type", "name", "description", "parameters")) + "\n</function>"

    def _extra(self, fields: Any, handled: Container[str]) -> str:
        """The keys that have no tag of their own."""
        if not is_object(fields):
            return ""
        return "".join(f"\n<{key}>{self.printed(value)}</{key}>" for key, value in fields.items() if key not in handled)

    def _assistant(self, message: Message, index: int) -> list[Span]:
        content = text_of(message, index)
        calls = calls_of(message, index, self.printed)
        spans = [Span(Kind.HEADER, index, HEADER)]
        if calls:
            content = content.strip()
        if content:
            spans.append(Span(Kind.CONTENT, index, content))
        if calls:
            spans.append(Span(Kind.CALL, index, f"\n\n{calls}" if content else calls))
        return [*spans, *end(index)]


# -- Qwen3.5 to 3.8: tools as JSON lines, everything trimmed, reasoning ------------------------------------------------


def thinks(options: Options) -> str:
    """The prompt opens a think block, unless the request turns thinking off."""
    return EMPTY_REASONING if options.get("enable_thinking") is False else OPEN_REASONING


def keeps_recent(_options: Options) -> bool:
    """A turn loses its think block once the user has asked again, whatever the request says."""
    return False


@dataclass(frozen=True, slots=True)
class ThinkingTemplate:
    """The template of Qwen3.5 and later, in which revisions differ in five things.

    Attributes:
        printed: how an argument that is no string is printed.
        prefill: what the generation prompt holds behind the turn's header: an open think block, or an empty one.
        keeps_all: whether every turn shows its think block; if not, only turns after the user's last query do.
        effort: the words on reasoning effort in front of everything else in the system turn; None where the template
            has no such thing, and then it prints an empty system message.
        reads_tags: whether think tags in a turn's content are read as its reasoning where it has none of its own.
    """

    printed: Printer
    prefill: Callable[[Options], str] = thinks
    keeps_all: Callable[[Options], bool] = keeps_recent
    effort: Callable[[Options], str] | None = None
    reads_tags: bool = True

    def serialize(
        self, messages: Sequence[Message], tools: Sequence[Tool], options: Options = NO_OPTIONS, /
    ) -> list[Span]:
        """The official template's text, as spans.

        Raises:
            TemplateError: as the template does: no user asks anything, or a system message is not the first. Also where
                content is a list of parts, which the template would join.
        """
        trimmed: list[Message] = [{**one, "content": text_of(one, i).strip()} for i, one in enumerate(messages)]
        queries = [index for index, message in enumerate(trimmed) if _is_query(message, index)]
        if not queries:
            raise TemplateError("no user message asks anything; this template refuses to print such a conversation")
        late = _late_system(messages)
        if late is not None:
            raise TemplateError(f"messages[{late}] is a system message; this template prints only a first one")
        kept = 0 if self.keeps_all(options) else queries[-1]

        def assistant(message: Message, index: int) -> list[Span]:
            return self._assistant(message, index, shown=index >= kept)

        return self._system(trimmed[0], tools, options) + conversation(
            trimmed, assistant, tool=partial(result, first=0)
        )

    def generation_prompt(self, _messages: Sequence[Message], _tools: Sequence[Tool], options: Options, /) -> str:
        """The header, and an open think block or an empty one."""
        return HEADER + self.prefill(options)

    def _system(self, first: Message, tools: Sequence[Tool], options: Options) -> list[Span]:
        given = first.get("role") == "system"
        words = text_of(first, 0) if given else ""
        effort = self.effort(options) if self.effort else ""
        parts: list[list[Span]] = []
        if effort:
            parts.append([Span(Kind.SYSTEM, -1, effort)])
        if tools:
            parts.append(
                [
                    Span(Kind.SCAFFOLD, -1, TOOLS_BEFORE),
                    Span(Kind.TOOLS, -1, tool_lines(tools)),
                    Span(Kind.SCAFFOLD, -1, TOOLS_AFTER),
                ]
            )
        if words:
            parts.append([Span(Kind.SYSTEM, 0, words)])
        if not parts and (self.effort or not given):
            return []
        spans = [Span(Kind.SCAFFOLD, -1, f"{START}system\n")]
        for number, part in enumerate(parts):
            spans += [Span(Kind.SCAFFOLD, -1, "\n\n"), *part] if number else part
        return [*spans, Span(Kind.SCAFFOLD, -1, f"{STOP}\n")]

    def _assistant(self, message: Message, index: int, *, shown: bool) -> list[Span]:
        block, content = self._words(message, index)
        spans = [Span(Kind.HEADER, index, HEADER)]
        if shown:
            spans.append(Span(Kind.REASONING, index, block))
        if content:
            spans.append(Span(Kind.CONTENT, index, content))
        calls = calls_of(message, index, self.printed)
        if calls:
            spans.append(Span(Kind.CALL, index, f"\n\n{calls}" if content else calls))
        return [*spans, *end(index)]

    def _words(self, message: Message, index: int) -> tuple[str, str]:
        """A turn's think block and its content, both trimmed."""
        content = text_of(message, index).strip()
        reasoning = message.get("reasoning_content")
        if not isinstance(reasoning, str):
            reasoning = ""
            if self.reads_tags and "</think>" in content:
                reasoning = content.split("</think>")[0].split("<think>")[-1]
                content = content.split("</think>")[-1].lstrip("\n")
        return f"<think>\n{reasoning.strip()}\n</think>\n\n", content

    def plan(self, messages: Sequence[Message], tools: Sequence[Tool], options_of: OptionsOf, /) -> Plan:
        """Which turns share one rendering: see Planner."""
        turns = [i for i, message in enumerate(messages) if i and message.get("role") == "assistant"]
        keeps = {self.keeps_all(options_of(turn)) for turn in turns}
        if len(keeps) == 2:
            return minimal_plan(messages, tools, options_of, render=self._render, stops=(STOP,))

        def forms(message: Message, index: int, _asked: bool) -> Forms:
            block, content = self._words(message, index)
            return Forms(
                last=block + content, recent=block + content, old=block + content if True in keeps else content
            )

        return plan_by_forms(
            messages,
            options_of,
            asks=_is_query,
            forms=forms,
            prefill=self.prefill,
            frame=self.effort,
            refused=_refused(messages, turns),
        )

    def _render(
        self, messages: Sequence[Message], tools: Sequence[Tool], add_generation_prompt: bool, options: Options
    ) -> str:
        text = "".join([span.text for span in self.serialize(messages, tools, options)])
        return text + self.generation_prompt(messages, tools, options) if add_generation_prompt else text


def _is_query(message: Message, index: int) -> bool:
    """True for a user's message that asks: not for one that only wraps a tool's result."""
    if message.get("role") != "user":
        return False
    content = text_of(message, index).strip()
    return not (content.startswith("<tool_response>") and content.endswith("</tool_response>"))


def _late_system(messages: Sequence[Message]) -> int | None:
    """Index of the first system message that does not come first."""
    return next((i for i, message in enumerate(messages) if i and message.get("role") == "system"), None)


def _refused(messages: Sequence[Message], turns: Sequence[int]) -> dict[int, str]:
    """The turns in front of which the template refuses to print what has been said, with the reason."""
    asked = next((i for i, message in enumerate(messages) if _is_query(message, i)), len(messages))
    late = _late_system(messages)
    refused = {turn: f"{NO_PROMPT}: no user has asked anything yet" for turn in turns if turn < asked}
    if late is not None:
        why = f"{NO_PROMPT}: messages[{late}] is a system message that does not come first"
        refused |= {turn: why for turn in turns if turn > late}
    return refused
