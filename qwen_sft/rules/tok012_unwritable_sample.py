"""TOK012 unwritable-sample."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.rule import Encoded, rule
from qwen_sft.writer import DEFAULT, shown, writer_named


@rule(code="TOK012", name="unwritable-sample", severity="error", since="0.1.0", stage="tokens")
def check(encoded: Encoded) -> Iterator[Finding]:
    """The format of `--writer` cannot hold the sample, or its trainer would read another one.

    What it catches: with `llama_factory`, messages of one side behind each other, which LLaMA-Factory leaves out with a
        line in its log, and words that hold the tag it looks for; with `llama_factory` and `ms_swift`, parts that are
        not text; with `trl` and `trl_prompt_completion`, numbers that `datasets` does not read back: integers beyond 64
        bits, floats next to zero. `parquet` and the other writers hold every sample.

    Why it matters: a sample that a trainer leaves out, or reads otherwise, is one that nobody misses.

    Fix: as the finding says, or use a writer of tokens (`parquet`, `hf`, `axolotl_tokenized`), which hold every sample.

    Bad (model=qwen3, writer=llama_factory):
        {"messages": [
          {"role": "user", "content": "Hello!"},
          {"role": "assistant", "content": "Hello."},
          {"role": "assistant", "content": "What can I do for you?"}]}

    Bad (model=qwen3, writer=trl, ignore=TOL027):
        {"messages": [
          {"role": "user", "content": "Like post 18446744073709551616."},
          {"role": "assistant", "content": "", "tool_calls": [
            {"type": "function", "function": {"name": "like", "arguments": {"post": 18446744073709551616}}}]},
          {"role": "tool", "content": "done"},
          {"role": "assistant", "content": "I liked it."}],
         "tools": [{"type": "function", "function": {"name": "like", "parameters": {
           "type": "object", "properties": {"post": {"type": "integer"}}}}}]}

    Good (model=qwen3, writer=llama_factory):
        {"messages": [
          {"role": "user", "content": "Hello!"},
          {"role": "assistant", "content": "Hello. What can I do for you?"}]}

    Source: `SharegptDatasetConverter` of LLaMA-Factory 0.9.5; the `Json` feature of datasets 5.2; `_check_messages` of
        ms-swift 4.6.
    """
    name = encoded.transcript.settings.writer
    if name == DEFAULT or not encoded.rows:
        return
    why = writer_named(name).refuses(shown(encoded.conversation.sample, encoded.rows))
    if why is not None:
        yield Finding((), f"{name} cannot hold it: {why}", "mend that, or name a writer that holds it: parquet, hf")
