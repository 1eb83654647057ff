"""MSG015 harness-text."""

import re
from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule
from qwen_sft.text.quote import quoted

_PROMPT = 160

_SENTENCE = re.compile(
    r"\s*(?:API Error: |\[Request interrupted by user|Invalid API key · |Claude AI usage limit reached\|"
    r"|litellm\.\w+Error: "
    r"|Exit due to (?:cost limit|context window|total execution time|multiple consecutive)"
    r"|(?:No response requested\.|Prompt is too long|Credit balance is too low)\s*$)"
)

_BLOCK = re.compile(
    r"^<(system-reminder|environment_context|user_instructions|local-command-stdout|command-name|command-message"
    r"|user-prompt-submit-hook|turn_aborted|permissions instructions)>.*?</\1>",
    re.MULTILINE | re.DOTALL,
)


@rule(code="MSG015", name="harness-text", severity="warning", since="0.1.0", stage="sample", heuristic=True)
def check(transcript: Transcript) -> Iterator[Finding]:
    """An assistant turn holds text that its harness wrote.

    What it catches: heuristic: an assistant's text that is one of the sentences that coding agents and their servers
        put in place of an answer ("API Error: ...", "Prompt is too long", "Exit due to cost limit"); that holds one of
        the blocks that they put into prompts (`<system-reminder>`, `<environment_context>`); or that repeats the first
        160 characters of the sample's own system message.

    Why it matters: the turn is trained in full. The model learns to say that its server has failed, to make up its
        own reminders, or to recite its prompt.

    Fix: take the turn out, or the block out of it. If the run failed there, end the sample before it.

    Bad:
        {"messages": [
          {"role": "user", "content": "Fix the test."},
          {"role": "assistant", "content": "API Error: 529 Overloaded"}]}

    Good:
        {"messages": [
          {"role": "user", "content": "What did the server say?"},
          {"role": "assistant", "content": "It said: API Error: 529 Overloaded"}]}

    Source: the session logs of Claude Code and Codex CLI, and the exit messages of SWE-agent.
    """
    prompt = _prompt(transcript)
    for path, text in transcript.said:
        sentence = _SENTENCE.match(text)
        block = _BLOCK.search(text) if "</" in text else None
        if sentence:
            yield Finding(path, f"this is the harness's sentence: {quoted(text.strip())}", "take the turn out")
        elif block:
            yield Finding(path, f"the turn holds the harness's block '<{block[1]}>'", "take the block out")
        elif prompt and prompt in text:
            yield Finding(path, f"the turn repeats the system message: {quoted(prompt)}", "take the turn out")


def _prompt(transcript: Transcript) -> str:
    """The beginning of the system message; empty where it is too short to be told from a chance."""
    first = transcript.messages[0]
    content = first.get("content")
    if first.get("role") != "system" or not isinstance(content, str):
        return ""
    beginning = content.strip()[:_PROMPT]
    return beginning if len(beginning) == _PROMPT else ""
