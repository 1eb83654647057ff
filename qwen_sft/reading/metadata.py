"""What a trace says about a run as a whole, under one set of names: `qwen-sft convert --where` asks for these."""

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any, cast

from qwen_sft.sample import Message

NAMES: dict[str, str] = {
    "reward": "reward",
    "score": "reward",
    "success": "success",
    "is_success": "success",
    "resolved": "success",
    "passed": "success",
    "win": "success",
    "is_correct": "success",
    "model": "model",
    "model_name": "model",
    "model_id": "model",
    "task_id": "task_id",
    "instance_id": "task_id",
    "cost": "cost",
    "total_cost": "cost",
    "total_cost_usd": "cost",
    "finish_reason": "finish_reason",
    "stop_reason": "finish_reason",
    "modelId": "model",
    "modelVersion": "model",
    "finishReason": "finish_reason",
    "stopReason": "finish_reason",
}
"""Fields of traces, and what they are called in a sample's metadata. Where two mean the same the first one counts."""

_LIMIT = "generate it again with a higher limit, or take the record out"
_FILTER = "take the record out: what a filter left of an answer is not what the model said"
_FAILURE = "generate it again, or take the record out"

TRUNCATED: dict[str, str] = {
    # the limit of tokens; "length" is OpenAI's, "limit" llama.cpp's, "max_output_tokens" the Responses API's
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length", "max_length", "limit"), _LIMIT),
    **dict.fromkeys(("model_context_window_exceeded", "error_limit"), _LIMIT),
    # OpenAI, Azure, Bedrock; Anthropic's "refusal" is a classifier that stops the stream. OpenAI's refusals, which the
    # model ended itself, have the reason "stop".
    **dict.fromkeys(("content_filter", "content_filtered", "guardrail_intervened", "refusal", "sensitive"), _FILTER),
    # Gemini and Cohere
    **dict.fromkeys(("safety", "recitation", "language", "blocklist", "prohibited_content", "spii"), _FILTER),
    **dict.fromkeys(("model_armor", "image_safety", "image_recitation", "error_toxic"), _FILTER),
    # the server, or a caller who went away: vLLM and SGLang "abort", OpenRouter and Cohere "error", Gemini "OTHER"
    **dict.fromkeys(("error", "abort", "aborted", "cancelled", "user_cancel", "timeout", "OTHER"), _FAILURE),
    **dict.fromkeys(("insufficient_system_resource", "network_error", "engine_overloaded"), _FAILURE),
    # a call that the server could not read
    **dict.fromkeys(("malformed_function_call", "malformed_tool_use", "malformed_model_output"), _FAILURE),
    **dict.fromkeys(("malformed_response", "unexpected_tool_call", "too_many_tool_calls"), _FAILURE),
    # "unfinished" is ours, for a stream without an end; "incomplete" is the status of an item of the Responses API;
    # Anthropic's "pause_turn" is an answer that goes on in the next
    **dict.fromkeys(("unfinished", "incomplete", "pause_turn"), _FAILURE),
}
"""Values of `finish_reason` of an answer that was cut off, and what to do; see `remedy` on how they are written."""

CONFLICTING = "conflicting_labels"
"""Where a sample's metadata name the label, `success` or `reward`, that the trace has twice: one says that the run
succeeded, the other that it failed."""

_VERDICTS = ("success", "reward")
_WORDS: dict[str, bool] = {
    **dict.fromkeys(("true", "yes", "y", "t", "success", "successful", "succeeded"), True),
    **dict.fromkeys(("passed", "pass", "resolved", "correct", "won"), True),
    **dict.fromkeys(("false", "no", "n", "f", "failure", "fail", "failed", "unsuccessful"), False),
    **dict.fromkeys(("unresolved", "incorrect", "lost"), False),
}
_TASK = "task_id"
_LONGEST = 256  # characters; a longer text is content, not a label


def metadata(*sources: Any, without: Collection[str] = ()) -> dict[str, Any]:
    """The labels in some objects of a record, the first object that has one winning.

    A label is a text of up to 256 characters, a number or a boolean. Those of NAMES come under their common name, all
    others under their own.

    Args:
        sources: objects of the record; anything else counts as empty.
        without: fields that are no labels, such as the conversation's id. A task's id always is one: it may name the
            conversation, and says too which others are of the same task.
    """
    made: dict[str, Any] = {}
    for source in sources:
        if not isinstance(source, Mapping):
            continue
        for key, value in cast("Mapping[Any, Any]", source).items():  # it came from JSON
            if isinstance(key, str) and (key not in without or key == _TASK) and _is_label(value):
                name = NAMES.get(key, key)
                if name not in made:
                    made[name] = value
                elif _contradict(name, made[name], value):
                    made.setdefault(CONFLICTING, name)
    return made


def merged(own: Mapping[str, Any], labels: Mapping[str, Any]) -> dict[str, Any]:
    """Labels under those that stand under a sample's own `metadata`, which come as they are and win."""
    made = {**labels, **own}
    if remedy(labels.get("finish_reason")) is not None:  # that an answer was cut off is not outvoted
        made["finish_reason"] = labels["finish_reason"]
    against = next((name for name in _VERDICTS if _contradict(name, own.get(name), labels.get(name))), None)
    if against is not None:
        made.setdefault(CONFLICTING, against)
    return made


def verdict(name: str, value: Any) -> bool | None:
    """Whether a label says that a run succeeded; None if it says nothing of that.

    A number says so if it is above 0, a text if it is such a number or, for `success`, one of a few words.
    """
    if name not in _VERDICTS:
        return None
    if isinstance(value, str):
        word = value.strip().lower()
        if name == "success" and word in _WORDS:
            return _WORDS[word]
        try:
            value = float(word)
        except ValueError:
            return None
    return value > 0 if isinstance(value, int | float) and not math.isnan(value) else None


def _contradict(name: str, one: Any, other: Any) -> bool:
    said = {verdict(name, one), verdict(name, other)}
    return said == {True, False}


def _is_label(value: Any) -> bool:
    if isinstance(value, str):
        return 0 < len(value) <= _LONGEST
    return isinstance(value, bool | int | float)


def remedy(finish_reason: Any) -> str | None:
    """What to do about an answer that was cut off, by its finish reason; None for one that the model ended itself.

    Upper and lower case, hyphens and underscores are the same, and so is a member of an enum in Python's spelling:
    "MAX_TOKENS", "content-filter", "FinishReason.SAFETY". Only "OTHER" must be Gemini's: the Vercel AI SDK says "other"
    of every reason that it does not know.
    """
    if not isinstance(finish_reason, str):
        return None
    name = finish_reason.rpartition(".")[2]
    return TRUNCATED.get(name) or TRUNCATED.get(name.lower().replace("-", "_"))


def cut_off(messages: Sequence[Message], finish_reason: Any) -> list[Message]:
    """The turns of one answer; where its reason says that it was cut off, the last of the model's holds that reason."""
    made = list(messages)
    at = next((i for i in reversed(range(len(made))) if made[i].get("role") == "assistant"), None)
    if at is not None and remedy(finish_reason):
        made[at] = {**made[at], "finish_reason": finish_reason}
    return made
