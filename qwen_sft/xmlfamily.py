"""What the templates with XML calls (parser `qwen3_coder`) share: Qwen3-Coder and its successor, and Qwen3.5 to 3.8.

A call is `<tool_call>` with a tag for each parameter. The two groups instruct the model in the same words. Coders
declare their tools in XML too and print no reasoning; the others declare them as JSON lines, trim every text and open
each turn after the last query with a think block.
"""

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass
from typing import Any

from qwen_sft.chatml import HEADER, START, STOP, arguments_of, end, result, text_of, tojson, turn, unknown_role
from qwen_sft.errors import TemplateError
from qwen_sft.family import Run
from qwen_sft.sample import Message, Tool, ToolCall, is_list, is_object
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

    def serialize(self, messages: Sequence[Message], tools: Sequence[Tool]) -> list[Span]:
        """The official template's text, as spans."""
        spans = self._system(messages, tools)
        first = 1 if messages and messages[0].get("role") == "system" else 0
        for index, message in enumerate(messages):
            match message.get("role"):
                case "system" if index == 0:
                    pass
                case "system":
                    spans += turn(Kind.SYSTEM, index, "system", text_of(message, index))
                case "user":
                    spans += turn(Kind.USER, index, "user", text_of(message, index))
                case "assistant":
                    spans += self._assistant(message, index)
                case "tool":
                    opens = index > first and messages[index - 1].get("role") != "tool"
                    spans += self._result(messages, index, opens=opens)
                case _:
                    raise unknown_role(message, index)
        return spans

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

    def _result(self, messages: Sequence[Message], index: int, *, opens: bool) -> list[Span]:
        """One result in the user turn that it shares with its neighbours, as `chatml.result` or with its own edges."""
        if not self.newline_after_result:
            return result(messages, index, opens=opens)
        closes = index + 1 == len(messages) or messages[index + 1].get("role") != "tool"
        return [
            Span(Kind.SCAFFOLD, index, f"{START}user\n<tool_response>\n" if opens else "<tool_response>\n"),
            Span(Kind.RESULT, index, text_of(messages[index], index)),
            Span(Kind.SCAFFOLD, index, f"\n</tool_response>\n{STOP}\n" if closes else "\n</tool_response>\n"),
        ]


# -- Qwen3.5 to 3.8: tools as JSON lines, everything trimmed, reasoning ------------------------------------------------


@dataclass(frozen=True, slots=True)
class ThinkingTemplate:
    """The template of Qwen3.5 and later, in which revisions differ in four things.

    Attributes:
        printed: how an argument that is no string is printed.
        prefill: what the generation prompt holds behind the turn's header: an open think block, or an empty one.
        effort: the words on reasoning effort in front of everything else in the system turn; "" for none.
        keeps_reasoning: whether every turn shows its think block. If not, only turns after the user's last query do,
            and think tags in a turn's content are read as its reasoning where it has none of its own.
    """

    printed: Printer
    prefill: str
    effort: str = ""
    keeps_reasoning: bool = False

    def serialize(self, messages: Sequence[Message], tools: Sequence[Tool]) -> list[Span]:
        """The official template's text, as spans.

        Raises:
            TemplateError: as the template does: no user asks anything, or a system message is not the first. Also where
                content is a list of parts, which the template would join.
        """
        trimmed: list[Message] = [{**one, "content": text_of(one, i).strip()} for i, one in enumerate(messages)]
        queries = [index for index, message in enumerate(trimmed) if _is_query(message)]
        if not queries:
            raise TemplateError("no user message asks anything; this template refuses to print such a conversation")
        spans = self._system(trimmed[0], tools)
        for index, message in enumerate(trimmed):
            match message.get("role"):
                case "system" if index == 0:
                    pass
                case "system":
                    raise TemplateError(f"messages[{index}] is a system message; this template prints only a first one")
                case "user":
                    spans += turn(Kind.USER, index, "user", text_of(message, index))
                case "assistant":
                    spans += self._assistant(message, index, shown=self.keeps_reasoning or index > queries[-1])
                case "tool":
                    opens = index > 0 and trimmed[index - 1].get("role") != "tool"
                    spans += result(trimmed, index, opens=opens)
                case _:
                    raise unknown_role(message, index)
        return spans

    def _system(self, first: Message, tools: Sequence[Tool]) -> list[Span]:
        given = first.get("role") == "system"
        words = text_of(first, 0) if given else ""
        parts: list[list[Span]] = []
        if self.effort:
            parts.append([Span(Kind.SYSTEM, -1, self.effort)])
        if tools:
            parts.append(
                [
                    Span(Kind.SCAFFOLD, -1, TOOLS_BEFORE),
                    Span(Kind.TOOLS, -1, "".join(f"\n{tojson(tool)}" for tool in tools)),
                    Span(Kind.SCAFFOLD, -1, TOOLS_AFTER),
                ]
            )
        if words:
            parts.append([Span(Kind.SYSTEM, 0, words)])
        if not parts and not given:
            return []
        spans = [Span(Kind.SCAFFOLD, -1, f"{START}system\n")]
        for number, part in enumerate(parts):
            spans += [Span(Kind.SCAFFOLD, -1, "\n\n"), *part] if number else part
        return [*spans, Span(Kind.SCAFFOLD, -1, f"{STOP}\n")]

    def _assistant(self, message: Message, index: int, *, shown: bool) -> list[Span]:
        reasoning, content = self._reasoning(message, index)
        spans = [Span(Kind.HEADER, index, HEADER)]
        if shown:
            block = f"<think>\n{reasoning}\n</think>\n\n"
            if block.startswith(self.prefill):
                spans.append(Span(Kind.PREFILL, index, self.prefill))
                block = block.removeprefix(self.prefill)
            if block:
                spans.append(Span(Kind.REASONING, index, block))
        if content:
            spans.append(Span(Kind.CONTENT, index, content))
        calls = calls_of(message, index, self.printed)
        if calls:
            spans.append(Span(Kind.CALL, index, f"\n\n{calls}" if content else calls))
        return [*spans, *end(index)]

    def _reasoning(self, message: Message, index: int) -> tuple[str, str]:
        """A turn's reasoning, trimmed, and its content, as the template sees them."""
        content = text_of(message, index)
        reasoning = message.get("reasoning_content")
        if isinstance(reasoning, str):
            return reasoning.strip(), content
        if self.keeps_reasoning or "</think>" not in content:
            return "", content
        before = content.split("</think>")[0].split("<think>")[-1]
        return before.strip(), content.split("</think>")[-1].lstrip("\n")

    def runs(self, messages: Sequence[Message]) -> list[Run]:
        """The fewest renderings in which every turn stands whole behind its own prompt.

        All turns may share one where the template keeps reasoning. Else a turn has its think block, which its prompt
        opens, only in a rendering that ends before the next query: the turns between two queries share one.

        Raises:
            TemplateError: a turn has no prompt, since nobody has asked yet, or reasons where its prompt says not to.
        """
        stretches: list[list[int]] = []
        for index, message in enumerate(messages):
            if message.get("role") == "user" and _is_query({**message, "content": text_of(message, index).strip()}):
                if not stretches or not self.keeps_reasoning:
                    stretches.append([])
            elif message.get("role") == "assistant" and index:
                if not stretches:
                    raise TemplateError(
                        f"messages[{index}] speaks before a user asks anything; this template prints no prompt for it"
                    )
                self._check_prompted(message, index)
                stretches[-1].append(index)
        return [Run(tuple(turns)) for turns in stretches if turns]

    def _check_prompted(self, message: Message, index: int) -> None:
        trimmed: Message = {**message, "content": text_of(message, index).strip()}
        reasoning, _ = self._reasoning(trimmed, index)
        if not f"<think>\n{reasoning}\n</think>\n\n".startswith(self.prefill):
            raise TemplateError(
                f"messages[{index}] reasons, and the prompt of this model has closed the think block already: "
                "take the reasoning out, or train the family that thinks"
            )


def _is_query(message: Message) -> bool:
    """True for a user's message that asks; its text is trimmed. Not one that only wraps a tool's result."""
    if message.get("role") != "user":
        return False
    content = message.get("content")
    return not (
        isinstance(content, str) and content.startswith("<tool_response>") and content.endswith("</tool_response>")
    )
