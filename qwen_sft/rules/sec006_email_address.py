"""SEC006 email-address."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule


@rule(code="SEC006", name="email-address", severity="info", since="0.1.0", stage="sample", traits=("e-mail address",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """A sample holds e-mail addresses.

    What it catches: addresses in messages, arguments, results and declarations of tools; told once a sample, with how
        many different ones there are. Addresses under the domains that are kept for examples (`example.com`, `.test`,
        `.invalid`), senders that no one answers (`noreply@`) and `git@` of a repository are none.

    Why it matters: an address names a person, who has not been asked. Results of real systems, commits and web pages
        are full of them.

    Fix: --redact puts `user1@example.com` in its place, the same for the same address in the whole sample.

    Bad:
        {"messages": [
          {"role": "user", "content": "Write to jane.doe@gmail.com."},
          {"role": "assistant", "content": "Done."}]}

    Good:
        {"messages": [
          {"role": "user", "content": "Write to jane.doe@example.com."},
          {"role": "assistant", "content": "Done."}]}

    Source: RFC 5321 (the form that is in use of it), RFC 2606 and RFC 6761 (names for examples).
    """
    found = transcript.secrets.get("e-mail address", [])
    if found:
        path, secret, _ = found[0]
        more = f", and {len(found) - 1} more in this sample" if len(found) > 1 else ""
        yield Finding(path, f"this text holds an e-mail address: {secret.shown}{more}", "take it out with --redact")
