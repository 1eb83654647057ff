"""MSG020 answer-in-other-script."""

import re
from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.inspecting.transcript import Transcript
from qwen_sft.rule import rule

_SCRIPTS = {
    "Latin": "A-Za-zÀ-ÖØ-öø-ɏ",
    "Cyrillic": "Ѐ-ӿ",
    "Greek": "Ͱ-Ͽ",
    "Arabic": "ؠ-ي",
    "Hebrew": "א-ת",
    "Devanagari": "ऄ-ह",
    "Thai": "ก-ฮ",
    "Hangul": "가-힣",
    "Chinese or Japanese": "\u3041-\u30ff\u3400-\u9fff",
}
_LETTERS = {name: re.compile(f"[{letters}]") for name, letters in _SCRIPTS.items()}
_FEWEST = {"Chinese or Japanese": 8, "Hangul": 10}
"""Letters of a text that is long enough to tell; 24 in a script of letters that are no syllables or words."""
_LONGEST = 2_000  # characters that are looked at
_NO_WORDS = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`|https?://\S+|<[^<>]{1,200}>", re.DOTALL)
_OTHER = re.compile(
    r"translat|interpret|language|multilingual|bilingual|翻译|翻譯|译成|语言|語言|语|英文|中文|日文|俄文|перев|язык|"
    r"\b(?:english|chinese|mandarin|cantonese|japanese|korean|russian|ukrainian|arabic|hebrew|hindi|thai|greek|french|"
    r"german|spanish|portuguese|italian|urdu|persian|farsi)\b|по-|번역|언어|영어|中国語|英語|日本語",
    re.IGNORECASE,
)


@rule(
    code="MSG020",
    name="answer-in-other-script",
    severity="info",
    since="0.1.0",
    stage="sample",
    heuristic=True,
    marks=(r"[\xcd-\xd9]|\xe0[\xa4\xb8]|[\xe3-\xed]",),
)
def check(transcript: Transcript) -> Iterator[Finding]:
    """The answer is written in another script than the request.

    What it catches: heuristic: a turn without calls whose words are all in one script (Latin, Cyrillic, Chinese or
        Japanese, ...), behind a user's turn whose words are all in another. Code, addresses and tags do not count. Not
        where a message up to there speaks of a language or of translating, or holds a word in the answer's script.

    Why it matters: the model learns to drift into another language, which users of its deployment did not ask for.

    Fix: read the answer; take the sample out if nobody asked for that language.

    Bad:
        {"messages": [
          {"role": "user", "content": "How do I keep basil fresh for a week?"},
          {"role": "assistant", "content": "把罗勒放在一杯水里，室温保存，每天换水即可。"}]}

    Good:
        {"messages": [
          {"role": "user", "content": "How do I keep basil fresh for a week? Answer in Chinese."},
          {"role": "assistant", "content": "把罗勒放在一杯水里，室温保存，每天换水即可。"}]}

    Source: sets that were sampled from models of another main language.
    """
    messages = transcript.messages
    if all(isinstance(text := message.get("content"), str) and text.isascii() for message in messages):
        return
    asked = ""
    for index, message in enumerate(messages):
        text = message.get("content")
        if not isinstance(text, str):
            continue
        if message.get("role") == "user":
            asked = text
        elif message.get("role") == "assistant" and asked and not message.get("tool_calls"):
            if text.isascii() and asked.isascii():
                continue
            wanted, given = _script(asked), _script(text)
            if wanted and given and wanted != given and not _is_meant(transcript, index, given):
                says = f"the request is written in {wanted} letters, and this answer in {given} ones"
                yield Finding(("messages", index, "content"), says, "take the sample out if nobody asked for that")


def _script(text: str) -> str | None:
    """The script of a text's words; None if they are too few, or of several."""
    words = _NO_WORDS.sub(" ", text[:_LONGEST])
    counts = {name: len(letters.findall(words)) for name, letters in _LETTERS.items()}
    name = max(counts, key=lambda one: counts[one])
    alone = sum(counts.values()) == counts[name]
    return name if alone and counts[name] >= _FEWEST.get(name, 24) else None


def _is_meant(transcript: Transcript, index: int, script: str) -> bool:
    """True if something before a turn may ask for its script."""
    for message in transcript.messages[:index]:
        text = message.get("content")
        if not isinstance(text, str) or _OTHER.search(text) or _LETTERS[script].search(text):
            return True
    return False
