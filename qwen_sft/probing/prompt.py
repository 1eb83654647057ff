"""Whether a server makes the same prompt of a request as we do: by ids where it tells them, else by number."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qwen_sft.asking.request import Options
from qwen_sft.encoding.model import Model
from qwen_sft.errors import InputError, TemplateError
from qwen_sft.probing.task import TOOLS, tasks
from qwen_sft.probing.wire import Client, Reply
from qwen_sft.sample import Message, ToolCall, is_list, is_object

ECHO = {"return_token_ids": True, "return_prompt_token_ids": True}
"""What asks for the ids of the prompt: vLLM since 0.10.2, SGLang since 0.5.13."""

_AROUND = 24


@dataclass(frozen=True, slots=True)
class Compared:
    """One prompt of the server's beside ours.

    Attributes:
        name: which.
        same: whether they are; None where that could not be told.
        by: what was compared; "" where nothing was.
        says: how they differ, or why they could not be compared; "" where they are the same.
    """

    name: str
    same: bool | None
    by: str
    says: str = ""


def conversations() -> dict[str, list[Message]]:
    """The histories whose prompts are compared: of a first turn, behind results, and of a later turn."""
    (first, _), (_, _), (two, _) = tasks(3)
    asked: list[Message] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": two.words}]
    calls: list[ToolCall] = [
        {"id": f"call_{i}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for i, (name, arguments) in enumerate(two.calls)
    ]
    told: list[Message] = [*asked, {"role": "assistant", "content": "One moment.", "tool_calls": calls}]
    for i, result in enumerate(two.results):
        told.append({"role": "tool", "tool_call_id": f"call_{i}", "content": result})
    later: list[Message] = [*told, {"role": "assistant", "content": " and ".join(two.values)}]
    later.append({"role": "user", "content": first.words})
    return {"first turn": asked, "behind two results": told, "later turn": later}


def sent(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """The messages as the API takes them: arguments as a JSON text."""
    made: list[dict[str, Any]] = []
    for message in messages:
        one: dict[str, Any] = {**message}
        if "tool_calls" in one:
            one["tool_calls"] = [
                {**call, "function": {**call["function"], "arguments": _told(call["function"]["arguments"])}}
                for call in one["tool_calls"]
            ]
        made.append(one)
    return made


def compare_prompts(
    client: Client, served: str, model: Model, options: Options, *, max_tokens: int = 2048
) -> list[Compared]:
    """Each of `conversations` as the server renders it, beside the rendering of a model of ours.

    Args:
        served: the model's name at the server.
        options: of the chat template; sent with the request too.
        max_tokens: how many tokens an answer may have, where one token will not do.

    Raises:
        ServerError: the server cannot be asked at all.
    """
    asked: dict[str, Any] = {"model": served, "tools": list(TOOLS)}
    if options:
        asked["chat_template_kwargs"] = dict(options)
    made: list[Compared] = []
    for name, messages in conversations().items():
        body = {**asked, "messages": sent(messages)}
        made.append(_compare(client, body, model, options, name, messages, max_tokens))
    return made


def _compare(
    client: Client,
    body: Mapping[str, Any],
    model: Model,
    options: Options,
    name: str,
    messages: Sequence[Message],
    max_tokens: int,
) -> Compared:
    try:
        text = model.server(messages, TOOLS, True, options)
    except TemplateError as error:
        return Compared(name, None, "", f"the chat template of {model.name} refuses it: {error}")
    ours: list[int] = model.tokenizer.encode(text).tolist()
    # `transformers serve` fails where a call is cut off, as it is behind one token.
    replies: list[Callable[[], Reply]] = [
        lambda: client.post("/chat/completions", {**body, "temperature": 0, "max_tokens": 1, **ECHO}),
        lambda: client.ask("POST", f"{client.root}/tokenize", {**body, "add_generation_prompt": True}),
        lambda: client.post("/chat/completions", {**body, "temperature": 0, "max_tokens": max_tokens}),
    ]
    number: int | None = None
    said = ""
    for ask in replies:
        if number is not None and ask is replies[-1]:
            break
        reply = ask()
        if reply.status != 200:
            said = said or f"{reply.status}: {client.quote(reply.message())}"
            continue
        ids, n = echoed(reply.value())
        if ids is not None:
            return _by_ids(name, model, ours, ids)
        number = n if number is None else number
    if number is None:
        why = f" ({said})" if said else ""
        return Compared(name, None, "", f"the server tells neither the ids of its prompt nor how many they are{why}")
    if number != len(ours):
        return Compared(name, False, "length", f"the server's prompt has {number} tokens, ours {len(ours)}")
    return Compared(name, True, "length")


def echoed(body: Any) -> tuple[list[int] | None, int | None]:
    """The ids of the prompt in an answer, and how many they are; None where it does not say.

    vLLM has them beside the choices, `/tokenize` under `tokens`, SGLang in the choice or in `sglext`.
    """
    if not is_object(body):
        return None, None
    choices: Any = body.get("choices")
    choice: Any = choices[0] if is_list(choices) and choices else None
    places: list[Any] = [body.get("prompt_token_ids"), body.get("tokens")]
    for holder, key in ((choice, "prompt_token_ids"), (body.get("sglext"), "input_ids")):
        places.append(holder.get(key) if is_object(holder) else None)
    usage: Any = body.get("usage")
    number: Any = usage.get("prompt_tokens") if is_object(usage) else None
    for ids in places:
        if is_list(ids) and ids and all(type(each) is int for each in ids):
            return ids, len(ids)
    return None, number if type(number) is int else None


def _by_ids(name: str, model: Model, ours: Sequence[int], theirs: Sequence[int]) -> Compared:
    if list(ours) == list(theirs):
        return Compared(name, True, "ids")
    at = next((i for i, (a, b) in enumerate(zip(ours, theirs, strict=False)) if a != b), min(len(ours), len(theirs)))
    texts = [_shown(model, ids, at) for ids in (ours, theirs)]
    if texts[0] == texts[1]:
        ids = [list(each[at : at + 3]) for each in (ours, theirs)]
        says = f"at token {at} the ids part: ours {ids[0]}, the server's {ids[1]}"
    else:
        says = f"at token {at} they part: ours {texts[0]}, the server's {texts[1]}"
    return Compared(name, False, "ids", says)


def _shown(model: Model, ids: Sequence[int], at: int) -> str:
    """The text of some tokens from where they part; the ids where they stand for nothing here."""
    some = ids[at : at + _AROUND]
    try:
        return repr(model.tokenizer.decode(some)) if some else "nothing more"
    except InputError:
        return f"ids {list(some[:3])}"


def _told(arguments: Mapping[str, Any]) -> str:
    return json.dumps(arguments, ensure_ascii=False)
