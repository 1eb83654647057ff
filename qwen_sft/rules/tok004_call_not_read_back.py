"""TOK004 call-not-read-back."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.rule import Encoded, rule


@rule(code="TOK004", name="call-not-read-back", severity="error", since="0.1.0", stage="tokens")
def check(encoded: Encoded) -> Iterator[Finding]:
    """The server would not read a call back as the sample has it.

    What it catches: a call that is rendered for the model and, parsed by the server's tool-call parser (`hermes` for
        JSON calls, `qwen3_coder` for XML calls), comes back with another name, other arguments or other types, or not
        at all. Where the tool declares no parameters XML carries no types, and values that are no strings come back as
        strings.

    Why it matters: the model is taught a call that cannot reach the tool. The parsers fail silently: the call turns
        into text, or an argument into another value.

    Fix: declare the argument's type in the tool's schema, take markup such as `</parameter>` out of values, or choose
        a model whose format can carry the value.

    Bad (model=qwen3-coder-next):
        {"messages": [
          {"role": "user", "content": "Write a closing tag into notes.txt."},
          {"role": "assistant", "content": null, "tool_calls": [{"id": "c1", "type": "function", "function": {
            "name": "write", "arguments": {"text": "ends with </parameter> and goes on"}}}]},
          {"role": "tool", "tool_call_id": "c1", "content": "ok"},
          {"role": "assistant", "content": "Done."}],
         "tools": [{"type": "function", "function": {"name": "write", "description": "Writes a note.",
          "parameters": {"type": "object", "properties": {"text": {"type": "string"}}, "required": ["text"]}}}]}

    Good (model=qwen3-coder-next):
        {"messages": [
          {"role": "user", "content": "Weather in Oslo?"},
          {"role": "assistant", "content": null, "tool_calls": [
            {"id": "c9", "type": "function", "function": {"name": "weather", "arguments": {"city": "Oslo"}}}]},
          {"role": "tool", "tool_call_id": "c9", "content": "4 degrees, rain"},
          {"role": "assistant", "content": "It is 4 degrees and raining."}],
         "tools": [{"type": "function", "function": {"name": "weather", "description": "The weather now.",
          "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}}}]}

    Source: vLLM 0.33's parsers `hermes` and `qwen3_coder`, which our tests hold `qwen_sft.parse` to.
    """
    for path, difference in encoded.unparsed:
        fix = "declare the argument's type, take markup out of the value, or choose a model with JSON calls"
        yield Finding(path, difference, fix)
