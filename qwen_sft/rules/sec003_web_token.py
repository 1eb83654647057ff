"""SEC003 web-token."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.secret import times
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule


@rule(code="SEC003", name="web-token", severity="warning", since="0.1.0", stage="sample", traits=("web token",))
def check(transcript: Transcript) -> Iterator[Finding]:
    """A text holds a signed JSON Web Token.

    What it catches: three parts of base64 with dots between, where the first is the JSON of a header with an algorithm
        and the second a JSON object. Unsigned tokens are none, nor is the example of jwt.io.

    Why it matters: until it expires, whoever has the token is the user that it names; and its second part can be read
        by anyone, with names and addresses in it.

    Fix: --redact puts `[web token 1]` in its place.

    Bad:
        {"messages": [
          {"role": "user", "content": "Decode eyJhbGciOiJIUzI1NiJ9.eyJ1c2VyIjoiamFuZSJ9.c2lnbmF0dXJlLW9mLXRo."},
          {"role": "assistant", "content": "It names a user, jane."}]}

    Good:
        {"messages": [
          {"role": "user", "content": "What does a token look like?"},
          {"role": "assistant", "content": "eyJhbGciOi....eyJ1c2VyI....signature"}]}

    Source: RFC 7519 and RFC 7515.
    """
    for path, secret, n in transcript.secrets.get("web token", []):
        says = f"this text holds a web token {secret.of}: {secret.shown}{times(n)}"
        yield Finding(path, says, "take it out with --redact")
