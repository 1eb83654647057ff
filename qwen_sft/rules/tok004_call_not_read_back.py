"""TOK004 call-not-read-back."""

from collections.abc import Iterator

from qwen_sft.finding import Finding, Severity
from qwen_sft.rule import Encoded, rule


@rule(code="TOK004", name="call-not-read-back", severity="error", since="0.1.0", stage="tokens")
def check(encoded: Encoded) -> Iterator[Finding]:
    """The server would not read a turn's calls back as the sample has them.

    What it catches: a turn that is rendered for the model and, parsed by the server's tool-call parser, comes back with
        another call, other arguments, other types or other words beside the calls; also a turn without calls in which
        the server reads one. The server is the one of `--serve`:
        its parser for JSON calls (`hermes` on vLLM, `qwen` on SGLang) or for XML calls (`qwen3_coder`), as it reads in
        that version. XML carries no types: what no schema types is read as a string. A number that is only spelled
        otherwise, such as 1.0 read as 1, is a warning, and so are other words beside the calls.

    Why it matters: the model is taught a call that cannot reach the tool. The parsers fail silently: the call turns
        into text, or an argument into another value.

    Fix: as the finding says: declare the argument's type in the tool's schema, take markup such as `</parameter>` out
        of values, name the version of the server that you run, or choose a model whose format can carry the value.

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

    Source: the tool-call parsers of vLLM 0.19 to 0.33 and SGLang 0.5.20 to 0.5.23; `qwen_sft/parsers/` is held to
        recorded outputs of them.
    """
    for turn, difference in encoded.unparsed:
        harmless = difference.spelling or difference.path[0] == "content"  # the call itself arrives as it is
        severity = Severity.WARNING if harmless else None
        calls = difference.path[0] == "tool_calls"
        if calls or (difference.path[0] == "content" and encoded.transcript.messages[turn].get("tool_calls")):
            yield Finding(("messages", turn, *difference.path), difference.says, difference.fix, severity)
