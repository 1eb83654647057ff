"""SEC001 private-key."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.secret import times
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule


@rule(code="SEC001", name="private-key", severity="error", since="0.1.0", stage="sample", traits=("private key",))
def check(transcript: Transcript) -> Iterator[Finding]:
    r"""A text holds a private key.

    What it catches: the lines between `-----BEGIN ... PRIVATE KEY-----` and its end, also of OpenSSH and PGP, where
        they are base64 of what begins as a key does. A block of three dots, as in a manual, is none; a block that was
        cut off, or that has line numbers, is one.

    Why it matters: a model that was trained on a key can be made to recite it, and whoever reads the data set has it.

    Fix: --redact puts `[private key 1]` in its place. A key that was in a trace has been seen: replace it by another.

    Bad:
        {"messages": [
          {"role": "user", "content": "Show me the key."},
          {"role": "assistant", "content": "-----BEGIN PRIVATE KEY-----\nMIIBOgIBAAJBAKj34GkxFhD90vcNLYLInFEX6Ppy1t"}]}

    Good:
        {"messages": [
          {"role": "user", "content": "What does a key look like?"},
          {"role": "assistant", "content": "-----BEGIN RSA PRIVATE KEY-----\n...\n-----END RSA PRIVATE KEY-----"}]}

    Source: RFC 7468 (textual encodings of keys), RFC 8017 and RFC 5958 (their first bytes), OpenSSH's PROTOCOL.key.
    """
    for path, secret, n in transcript.secrets.get("private key", []):
        whose = f"{secret.of} " if secret.of else ""
        says = f"this text holds a private key ({whose}{len(secret.text)} characters){times(n)}"
        yield Finding(path, says, "replace the key by another where it is in use, and take it out with --redact")
