"""SEC005 card-number."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.secret import times
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule


@rule(
    code="SEC005",
    name="card-number",
    severity="warning",
    since="0.1.0",
    stage="sample",
    heuristic=True,
    traits=("card number",),
)
def check(transcript: Transcript) -> Iterator[Finding]:
    """A text holds the number of a payment card.

    What it catches: heuristic: 13 to 16 digits, together or in the groups that are printed on cards, that begin and
        are as long as the numbers of Visa, Mastercard, American Express, Discover, JCB or Diners Club, and whose check
        digit is right; also as a whole number in arguments. One in ten numbers of such a form has a right check digit
        by chance. The numbers that payment services publish for tests are none.

    Why it matters: it is personal data, and money. A model can be made to recite what it was trained on.

    Fix: --redact puts a number of the same length in its place that begins with a 9, which no issuer has.

    Bad:
        {"messages": [
          {"role": "user", "content": "Charge 4539 1488 0343 6467."},
          {"role": "assistant", "content": "Done."}]}

    Good:
        {"messages": [
          {"role": "user", "content": "Charge 4242 4242 4242 4242, and refund order 4539148803436468."},
          {"role": "assistant", "content": "Done."}]}

    Source: ISO/IEC 7812-1 (issuers and check digit).
    """
    for path, secret, n in transcript.secrets.get("card number", []):
        says = f"this text holds what looks like a card number ({secret.of}): {secret.shown}{times(n)}"
        yield Finding(path, says, "take it out with --redact")
