"""TOL008 arguments-not-json."""

import json
from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule
from qwen_sft.text.quote import quoted


@rule(code="TOL008", name="arguments-not-json", severity="error", since="0.1.0", stage="sample", traits=("calls",))
def check(transcript: Transcript) -> Iterator[Finding]:
    r"""A call's arguments are text that is not a JSON object.

    What it catches: arguments that are still a string after the format has read the record: a text that breaks off,
        holds a raw line break inside a string, is Python instead of JSON, or is JSON of a mere text.

    Why it matters: the templates of Qwen3-Coder and later ones refuse such a row; Qwen2.5 prints it as a quoted
        string and Qwen3 as it stands. The model would learn calls that no server can parse.

    Fix: repair the arguments at their source; if the model was cut off at a limit, take the turn out.

    Bad:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{\"city\": \"Os"}}]},
          {"role": "tool", "tool_call_id": "c1", "content": "Error: bad arguments"},
          {"role": "assistant", "content": "That failed."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]}

    Good:
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": "", "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "tool_call_id": "c1", "content": "4 degrees, rain"},
          {"role": "assistant", "content": "It is 4 degrees and raining."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
           "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]}

    Source: the Qwen chat templates, given `arguments` as a string; truncated arguments occur where a turn reaches
        its token limit.
    """
    for exchange in transcript.exchanges:
        for k, call in enumerate(exchange.calls):
            given = call.get("function", {}).get("arguments")
            if isinstance(given, str):
                yield Finding(
                    ("messages", exchange.turn, "tool_calls", k, "function", "arguments"),
                    f"{quoted(given)} {_fault(given)}",
                    "write the arguments as a JSON object, or take the turn out",
                )


def _fault(text: str) -> str:
    """Why a text is no JSON object, with the character, from 0, where reading stops."""
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        where = f"at character {error.pos} of {len(text)}"
        if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated"):
            return f"breaks off {where}: {error.msg}"
        return f"is no JSON {where}, at {quoted(text[error.pos : error.pos + 20])}: {error.msg}"
    except (ValueError, RecursionError):  # an integer of more than 4,300 digits; brackets that nest too deep
        return "is no JSON that can be read"
    if isinstance(value, dict):  # the format did not take it: what is left are characters that no UTF-8 holds
        return "holds half of a surrogate pair, or nests too deep"
    return f"is JSON of a {type(value).__name__}, not of an object"
