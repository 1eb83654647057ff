"""SEC004 assigned-secret."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.secret import times
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule


@rule(
    code="SEC004",
    name="assigned-secret",
    severity="warning",
    since="0.1.0",
    stage="sample",
    heuristic=True,
    traits=("assigned secret",),
)
def check(transcript: Transcript) -> Iterator[Finding]:
    """A text gives a password, a secret or a key a value that looks random.

    What it catches: heuristic: a name such as `password`, `client_secret`, `api_key` or `access_token` with a value of
        16 characters or more behind `=` or `:`, or as an argument of that name, and `Authorization: Bearer`. The value
        has letters and digits, as mixed as chance mixes them (3.5 bits a character, 3 in hexadecimal), and is no UUID,
        no path and no filler.

    Why it matters: a model that was trained on a secret can be made to recite it, and whoever reads the data set has
        it.

    Fix: --redact puts `[assigned secret 1]` in its place, here and wherever else in the sample it stands. If the value
        was made for a test, ignore this rule.

    Bad:
        {"messages": [
          {"role": "user", "content": "Use client_secret = 'Zk8vQ2mX9rT4bN7wLs3d'."},
          {"role": "assistant", "content": "Done."}]}

    Good:
        {"messages": [
          {"role": "user", "content": "Use client_secret = os.environ['CLIENT_SECRET']."},
          {"role": "assistant", "content": "Done."}]}

    Source: the same idea as in detect-secrets and gitleaks: a keyword, and entropy.
    """
    for path, secret, n in transcript.secrets.get("assigned secret", []):
        says = f"this text assigns what looks like a secret: {secret.shown}{times(n)}"
        yield Finding(path, says, "take it out with --redact")
