"""SEC002 service-key."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.secret import times
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule


@rule(code="SEC002", name="service-key", severity="error", since="0.1.0", stage="sample", traits=("service key",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """A text holds a key for a service, such as those of AWS, GitHub, OpenAI, Anthropic or Hugging Face.

    What it catches: keys by the prefix that their issuer gives them: AWS, GitHub, GitLab, npm, PyPI, OpenAI, Anthropic,
        OpenRouter, DashScope, DeepSeek, Hugging Face, Groq, xAI, Google, Slack, Stripe (live keys), SendGrid. Those of
        GitHub and npm must have the right checksum; all others must look drawn at random, so that `AKIA...EXAMPLE` and
        `ghp_xxxx` are none. No service is asked whether a key is valid.

    Why it matters: a model that was trained on a key can be made to recite it, and whoever reads the data set has it.

    Fix: --redact puts `[service key 1]` in its place. A key that was in a trace has been seen: revoke it.

    Bad:
        {"messages": [
          {"role": "user", "content": "Call the API with sk-9f86d081884c7d659a2feaa0c55ad015."},
          {"role": "assistant", "content": "Done."}]}

    Good:
        {"messages": [
          {"role": "user", "content": "Call the API with sk-xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx."},
          {"role": "assistant", "content": "Done."}]}

    Source: the issuers' own pages on the form of their keys; GitHub, "Behind GitHub's new authentication token
        formats" (2021), for the checksum.
    """
    for path, secret, n in transcript.secrets.get("service key", []):
        says = f"this text holds a key of {secret.of}: {secret.shown}{times(n)}"
        yield Finding(path, says, "revoke the key, and take it out with --redact")
