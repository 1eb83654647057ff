"""What to check of a chat template before training: a row for each line of the usual checklist.

Template identity, special-token ids, role order, call ids, parser round trip, prefix stability, generation prompt. A
template is asked what it does (`probe`); what it should do is what a server needs to read its own text back.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from jinja2.nodes import Name

from qwen_sft.errors import TemplateError, UsageError
from qwen_sft.family import Family
from qwen_sft.proving.battery import BATTERY, WEATHER, Turn
from qwen_sft.proving.probe import Behaviour, probe
from qwen_sft.proving.served import Served
from qwen_sft.sample import is_list, is_object
from qwen_sft.serving.parse import differences, parse_turn
from qwen_sft.serving.server import serving
from qwen_sft.settings import Settings
from qwen_sft.templating.sandbox import ChatEnvironment, Limits
from qwen_sft.templating.template import ARGUMENTS
from qwen_sft.text.normalize import decode_json
from qwen_sft.text.quote import quoted
from qwen_sft.tokenizing.tokenizer import AddedToken

Status = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the checklist: what was looked at, how it is, and what was found."""

    name: str
    status: Status
    says: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What a template prints around every answer.

    Attributes:
        prompt: what it appends with add_generation_prompt=True; None if that is no suffix, or the template fails.
        stop: the token behind an assistant's words, from which the turn ends; None if there is none.
        options: names that it reads beside messages, tools and special tokens.
    """

    prompt: str | None
    stop: str | None
    options: tuple[str, ...]


def facts_of(served: Served, options: Mapping[str, Any]) -> Facts:
    """What a template prints around every answer."""
    asked: list[Turn] = [{"role": "user", "content": "wasked"}]
    told: list[Turn] = [*asked, {"role": "assistant", "content": "wtold"}]
    prompt = stop = None
    try:
        before, after = (served.render(asked, [], prompted, options) for prompted in (False, True))
        prompt = after[len(before) :] if after.startswith(before) and after != before else None
    except TemplateError:
        pass
    try:
        found = _STOP.search(served.render(told, [], False, options).rpartition("wtold")[2])
        stop = found[0] if found else None
    except TemplateError:
        pass
    return Facts(prompt, stop, option_names(served))


_STOP = re.compile(r"<[|｜][^<>\s]+[|｜]>|</s>|<end_of_turn>|<eos>")


def option_names(served: Served) -> tuple[str, ...]:
    """The names that a template reads beside messages, tools and special tokens; a family says them itself."""
    if served.template is None:
        return served.family.options if served.family else ()
    # Jinja also counts a name as undeclared that only some branch sets.
    tree = ChatEnvironment(Limits()).parse(served.template.source)
    own = ARGUMENTS | {name.name for name in tree.find_all(Name) if name.ctx == "store"}
    return tuple(sorted(n for n in served.template.variables if n not in own and not n.endswith("_token")))


def checklist(served: Served, families: Mapping[str, Family], settings: Settings) -> list[Row]:
    """The rows of a template.

    Args:
        families: by name, to tell official templates.
        settings: the template's options, and whose parsers read its calls back.
    """
    options = settings.chat_template_kwargs
    seen = {shape.name: probe(shape, served.render, served.encode, options) for shape in BATTERY}
    facts = facts_of(served, options)
    return [
        _identity(served, seen, families, options),
        *_special_tokens(served, facts, seen),
        _roles(seen),
        _call_ids(seen),
        _round_trip(served, facts, settings),
        *_prefixes(seen),
        _prompt(facts),
    ]


# -- template identity ------------------------------------------------------------------------------------------------


def _identity(
    served: Served, seen: Mapping[str, Behaviour], families: Mapping[str, Family], options: Mapping[str, Any]
) -> Row:
    name = "template identity"
    if served.template is None:
        return Row(name, "ok", f"{served.name} names the family: our serializer stands in for its official template")
    if served.family is not None:
        return Row(name, "ok", f"official template of {served.family.name}")
    distances = {family.name: _distance(seen, family, options) for family in families.values()}
    nearest = min(distances, key=lambda each: distances[each], default=None)
    if nearest is None:
        return Row(name, "warning", "nobody's official template")
    return Row(
        name,
        "warning",
        f"nobody's official template; nearest is {nearest}, which prints {distances[nearest]} of {len(seen)} shapes "
        "otherwise; compare it with the official file: qwen-sft template diff",
    )


def _distance(seen: Mapping[str, Behaviour], family: Family, options: Mapping[str, Any]) -> int:
    """How many shapes a family's serializer prints otherwise than a template does; what it refuses does not count."""
    other = Served(family.name, None, family, None, None, None)
    taken = [(one, probe(one.shape, other.render, None, options)) for one in seen.values()]
    return sum(mine.text != theirs.text for mine, theirs in taken if not theirs.refused)


# -- special-token ids ------------------------------------------------------------------------------------------------

_CONTROL = re.compile(r"<\|[a-z0-9_]+\|>|</?(?:tool_call|tool_response|think)>")


def _special_tokens(served: Served, facts: Facts, seen: Mapping[str, Behaviour]) -> Iterator[Row]:
    name = "special-token ids"
    tokenizer = served.tokenizer
    if tokenizer is None:
        yield Row(name, "warning", "there is no tokenizer.json here, so no id could be checked")
    printed = _printed(seen)
    added: Mapping[str, AddedToken] = {} if tokenizer is None else tokenizer.added_tokens
    if tokenizer is not None:
        texts = [token for token in printed if token not in added and "|" in token]
        if texts:
            yield Row(name, "error", f"the template prints {', '.join(texts)}, which the tokenizer has no token for")
    if facts.stop is None:
        yield Row(name, "error", "the template writes no stop token behind an assistant's turn; nothing ends the turn")
        return
    for says in _stop_faults(served, facts.stop, added):
        yield Row(name, "error", says)
    if tokenizer is not None:
        ids = ", ".join(f"{token} {added[token].id}" for token in printed if token in added)
        plain = [token for token in printed if token not in added and "|" not in token]
        spelled = f"; several tokens each: {', '.join(plain)}" if plain else ""
        yield Row(name, "ok", f"stop token {facts.stop}; ids: {ids}{spelled}")


def _printed(seen: Mapping[str, Behaviour]) -> list[str]:
    """The control tokens that a template writes of itself."""
    found: dict[str, None] = {}
    for one in seen.values():
        given = json.dumps([one.shape.messages, one.shape.tools], ensure_ascii=False)
        found |= dict.fromkeys(token for token in _CONTROL.findall(one.text or "") if token not in given)
    return list(found)


def _stop_faults(served: Served, stop: str, added: Mapping[str, AddedToken]) -> Iterator[str]:
    """Where the stop token of the template is not what a server stops at."""
    end = (served.special_tokens or {}).get("eos_token")
    if served.special_tokens is not None and end != stop:
        yield f"turns end with {stop}, and tokenizer_config.json has eos_token {end!r}: a server would not stop there"
    config = None if served.folder is None else served.folder / "generation_config.json"
    if config is not None and config.is_file() and stop in added:
        ids = _end_ids(config)
        if ids and added[stop].id not in ids:
            yield (
                f"turns end with {stop} ({added[stop].id}), and generation_config.json has eos_token_id "
                f"{quoted(ids if len(ids) > 1 else ids[0])}: a server would not stop there"
            )


def _end_ids(config: Path) -> list[Any]:
    try:
        data: Any = decode_json(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    found: Any = data.get("eos_token_id") if is_object(data) else None
    return found if is_list(found) else [] if found is None else [found]


# -- role order and call ids ------------------------------------------------------------------------------------------

_ORDERS = (
    *("system late", "developer first", "unknown role", "users in a row", "assistants in a row", "assistant first"),
    *("result first", "results in a row", "system, assistant"),
)


def _roles(seen: Mapping[str, Behaviour]) -> Row:
    shown: list[str] = []
    lossy = False
    for name in _ORDERS:
        one = seen[name]
        what = ("refused" if one.refused else "crashes") if one.text is None else "drops it" if one.fates else "printed"
        lossy = lossy or bool(one.fates)
        shown.append(f"{name}: {what}")
    return Row("role order", "warning" if lossy else "ok", "; ".join(shown))


def _call_ids(seen: Mapping[str, Behaviour]) -> Row:
    name = "call ids"
    one, swapped = seen["call ids"], seen["parallel calls, results swapped"]
    if one.text is None:
        return Row(name, "error", f"a call with its result is not printed: {one.says}")
    lost = [place for place in one.fates.get("drops", ()) if place.endswith("id")]
    if not lost:
        return Row(name, "ok", "printed: a model can match results to calls")
    if any(place.endswith(".content") for place in one.fates.get("drops", ())):
        return Row(name, "error", "neither call ids nor results are printed")
    order = (
        "in the order of the messages" if swapped.text is not None and not swapped.fates else "not at all if swapped"
    )
    return Row(name, "ok", f"not printed: results are matched to calls by position, and printed {order}")


# -- parser round trip ------------------------------------------------------------------------------------------------

_KINDS: dict[str, Any] = {
    "text": "Zürich, 東京",
    "lines": 'say "hi"\n\tthen \\ go',
    "count": 12,
    "ratio": 1.5,
    "flag": True,
    "nothing": None,
    "items": ["a", 1, False],
    "where": {"near": {"by": "sea"}},
    "empty": "",
}
_TYPES = ("string", "string", "integer", "number", "boolean", "null", "array", "object", "string")
_TOOLS: list[Turn] = [
    {
        "type": "function",
        "function": {
            "name": "try_all",
            "description": "Takes one of each type.",
            "parameters": {
                "type": "object",
                "properties": {key: {"type": kind} for key, kind in zip(_KINDS, _TYPES, strict=True)},
            },
        },
    },
    *WEATHER,
]


def _round_trip(served: Served, facts: Facts, settings: Settings) -> Row:
    name = "parser round trip"
    calls: list[tuple[str, Any]] = [("try_all", _KINDS), ("get_weather", {"city": "Oslo"})]
    messages: list[Turn] = [
        {"role": "user", "content": "Try."},
        {
            "role": "assistant",
            "content": "",
            "reasoning_content": "I try.",
            "tool_calls": [
                {"id": f"call0000{i}", "type": "function", "function": {"name": tool, "arguments": given}}
                for i, (tool, given) in enumerate(calls)
            ],
        },
    ]
    try:
        prompt, text = (served.render(messages[:n], _TOOLS, n == 1, settings.chat_template_kwargs) for n in (1, 2))
    except TemplateError as error:
        return Row(name, "error", f"a turn with two calls is not printed: {error}")
    said = _behind(prompt, text)
    said = said.rpartition(facts.stop)[0] if facts.stop else said
    if prompt.rstrip().endswith("<think>") and "</think>" not in said:  # the template keeps no reasoning; a model would
        said = f"I try.\n</think>\n\n{said}"
    wire = _wire(served, said)
    if wire is None:
        return Row(name, "warning", "the calls are written as no known parser reads them; checked nothing")
    server = serving(settings.serve)
    reasoning_parser = _reasoning_parser(served, said + prompt)
    try:
        parser = server.parser(wire)
        flags = server.flags(wire, reasoning_parser)
    except UsageError as error:
        return Row(name, "error", str(error))
    thinking = None if reasoning_parser is None else not prompt.rstrip().endswith("</think>")
    parsed = parse_turn(said, _TOOLS, parser=parser, thinking=thinking, reasoning_parser=reasoning_parser)
    found = [each for each in differences(calls, parsed, tools=_TOOLS, parser=parser) if not each.spelling]
    says = f"{server}, {flags}"
    if any(len(each.path) < 3 for each in found):  # a whole call, not one of its arguments
        return Row(name, "error", f"{says}: {found[0].says}")
    if found:
        return Row(name, "warning", f"{says}: {'; '.join(each.says for each in found)}")
    return Row(name, "ok", f"{says}: gives back 2 calls with {len(_KINDS)} kinds of arguments")


def _behind(prompt: str, text: str) -> str:
    """What stands behind the prompt; where the text has another one, behind the last line that they share."""
    if text.startswith(prompt):
        return text[len(prompt) :]
    same = next((i for i, (a, b) in enumerate(zip(prompt, text, strict=False)) if a != b), 0)
    return text[text.rfind("\n", 0, same) + 1 :]


def _wire(served: Served, said: str) -> str | None:
    """How a template writes calls: as its family says, else as it looks."""
    if served.family is not None and served.family.parser is not None:
        return served.family.parser
    return "qwen3_coder" if "<function=" in said else "hermes" if "<tool_call>" in said else None


def _reasoning_parser(served: Served, text: str) -> str | None:
    """The reasoning parser that a server runs; for nobody's template, by whether it prints think blocks."""
    return served.family.reasoning_parser if served.family else "qwen3" if "</think>" in text else None


# -- prefixes and prompt ----------------------------------------------------------------------------------------------


def _prefixes(seen: Mapping[str, Behaviour]) -> Iterator[Row]:
    asked = [one for one in seen.values() if one.turns]
    for name, broken in (
        ("prefix in text", [one.shape.name for one in asked if one.unstable_text]),
        ("prefix in tokens", [one.shape.name for one in asked if one.unstable_tokens]),
    ):
        if name == "prefix in tokens" and all(one.unstable_tokens is None for one in asked):
            continue
        if broken:
            some = "; ".join(broken[:4]) + (f" and {len(broken) - 4} more" if len(broken) > 4 else "")
            says = f"a turn's prompt is not how the whole text begins in {len(broken)} of {len(asked)} shapes"
            yield Row(name, "warning", f"{says}, so such turns need rows of their own: {some}")
        else:
            yield Row(name, "ok", f"every turn's prompt is how the whole text begins, in {len(asked)} shapes")


def _prompt(facts: Facts) -> Row:
    name = "generation prompt"
    if facts.prompt is None:
        return Row(name, "error", "add_generation_prompt=True appends nothing; a model is never told to answer")
    block = facts.prompt.rstrip()
    thinks = "; it opens a think block" if block.endswith("<think>") else ""
    thinks = "; it closes the think block: the model does not think" if block.endswith("</think>") else thinks
    return Row(name, "ok", f"{facts.prompt!r}{thinks}")
