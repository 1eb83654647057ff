"""SRC006 lossy-event."""

from collections.abc import Iterator

from qwen_sft.finding import Finding
from qwen_sft.rule import Source, rule


@rule(code="SRC006", name="lossy-event", severity="warning", since="0.1.0", stage="record")
def check(source: Source) -> Iterator[Finding]:
    """Something that the model saw or said is left out of the sample.

    What it catches: an event of the record that held words or calls and that has no place in a chat message. Events
        that the model never saw, such as timings and costs, are left out without this warning; the manifest of a build
        counts them all.

    Why it matters: the model is trained on a conversation with a hole. An answer that rests on what is missing teaches
        it to make such answers up.

    Fix: put what the event holds into a message before you export, or take the record out.

    Bad:
        {"input": [{"role": "user", "content": "When is the next solar eclipse?"}],
         "output": [
           {"type": "web_search_call", "id": "ws_1", "status": "completed",
            "action": {"type": "search", "query": "next solar eclipse"}},
           {"type": "message", "role": "assistant", "content": "On 12 August 2026."}]}

    Good:
        {"input": [{"role": "user", "content": "What is 12 times 12?"}],
         "output": [{"type": "message", "role": "assistant", "content": "144"}]}

    Source: the law of a reading in `qwen_sft/format.py`: an event is kept, merged or dropped for a reason.
    """
    if source.reading is None:
        return
    for event in source.reading.aside:
        if event.fate == "dropped" and event.loses:
            fix = "put what it holds into a message where you have its words, or take the record out"
            yield Finding(event.path, f"left out: {event.reason}", fix)
