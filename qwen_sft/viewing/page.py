"""A sample as HTML: the same in a report, in a file of `show --html`, and in what `view` serves.

Traces are hostile text: all of it is escaped (`qwen_sft.text.element`), and each page's policy lets run only the one
script beside this file, which reads the page and sends nothing. Without it everything can still be read.
"""

import base64
import hashlib
import json
from collections.abc import Sequence
from functools import cache
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING

from qwen_sft import __version__
from qwen_sft.finding import Diagnostic
from qwen_sft.parser import Parsed
from qwen_sft.text.element import Html, el, joined, safe
from qwen_sft.tokens import GENERATED, Kind
from qwen_sft.viewing.json_text import marked_json, spelled
from qwen_sft.viewing.sheet import PAGE, Bounds, Called, Said, Sheet, Talk

if TYPE_CHECKING:
    from qwen_sft.showing.view import Stretch, Token, Turn, View

GLYPHS = {
    Kind.SCAFFOLD: "·",
    Kind.SYSTEM: "◆",
    Kind.TOOLS: "▦",
    Kind.USER: "●",
    Kind.RESULT: "▣",
    Kind.HEADER: "▷",
    Kind.PREFILL: "▸",
    Kind.REASONING: "≈",
    Kind.CONTENT: "¶",
    Kind.CALL: "ƒ",
    Kind.STOP: "■",
    Kind.AFTER: "⏎",
}
"""A mark for each kind, so that none is told by colour alone."""

_SPEAKS = {"system": "◆", "user": "●", "assistant": "¶", "tool": "▣"}
_MOST_STRETCHES = 4_000
_LONG, _LONG_LINES = 4_000, 40  # a text that scrolls
_LEAST = 24  # tokens of a stretch that are shown where a page is full
_LEAST_PROMPT = 600  # characters of it likewise

POLICY = "base-uri 'none'; form-action 'none'"

KEYS = (
    ("j k", "next and previous finding"),
    ("n p", "next and previous sample"),
    ("← →", "tokens, where one is chosen"),
)


@cache
def asset(name: str) -> str:
    """A file beside this one: the style sheet or the script."""
    return Path(__file__).with_name(name).read_text(encoding="utf-8")


def hashed(text: str) -> str:
    """How a content security policy names a style or a script that stands in the page."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def document(title: str, head: Sequence[Html], *body: Html) -> str:
    """A whole page."""
    metas = [
        el("meta", charset="utf-8"),
        *head,
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="referrer", content="no-referrer"),
        el("title", title.replace("\n", " ")),
    ]
    page = el("html", el("head", joined(metas)), Html("\n"), el("body", *body), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


def page(sheet: Sheet) -> str:
    """A sample as one self-contained file, which loads nothing."""
    style, script = asset("sample.css") + asset("view.css"), asset("view.js")
    policy = f"default-src 'none'; style-src {hashed(style)}; script-src {hashed(script)}; {POLICY}"
    head = [el("meta", http_equiv="Content-Security-Policy", content=policy), el("style", Html(style))]
    body = [*sample_body(sheet, Html("")), el("script", Html(script))]
    return document(sheet.title, head, *body)


def sample_body(sheet: Sheet, beside: Html) -> list[Html]:
    """What stands in the body of a page that shows one sample.

    Args:
        beside: links to other samples, if there are any.
    """
    facts = [
        el("li", fact, class_=f"fact {fact}" if fact in ("passes", "rejected") else "fact") for fact in sheet.facts
    ]
    if sheet.findings:
        n = len(sheet.findings)
        facts.append(el("li", f"{n:,} finding{'' if n == 1 else 's'}", class_="fact found"))
    top = el("header", beside, el("h1", sheet.title), el("ul", *facts, class_="facts"), class_="top")
    main = el("main", sample(sheet, PAGE), tabindex="-1")
    return [top, el("div", _outline(sheet), main, class_="sides"), footer()]


def footer(told: Sequence[tuple[str, str]] = KEYS) -> Html:
    """What keys do, and who made the page."""
    keys = [el("span", *(el("kbd", key) for key in pair.split()), f" {what}") for pair, what in told]
    return el("footer", el("p", *keys, class_="keys"), el("p", f"qwen-sft {__version__}"))


def _outline(sheet: Sheet) -> Html:
    """The turns and parts of a page, as links."""
    items: list[Html] = []
    for number, talk in enumerate(sheet.talks, start=1):
        found = _by_message(sheet, number - 1)
        for n, said in enumerate(talk.said[: PAGE.n_turns]):
            here = found.get(said.message, [])
            marks = [el("b", "!" * min(len(here), 3), title=f"{len(here)} findings", class_="count")] if here else []
            label = el("span", _SPEAKS.get(said.role, "?"), class_="glyph", aria_hidden="true")
            name = said.role if said.message is None else f"{said.message} {said.role}"
            link = el("a", label, name, *marks, href=f"#m{number}-{n}")
            items.append(el("li", link, class_=f"r-{_role(said.role)}"))
    parts = [("findings", "Findings")] if sheet.findings else []
    parts += [("tokens", "Tokens")] if any(talk.views for talk in sheet.talks) else []
    parts += [("record", "Record")] if sheet.record is not None or sheet.text is not None else []
    links = [el("li", el("a", name, href=f"#{key}")) for key, name in parts]
    return el("nav", el("ul", *links, class_="parts"), el("ol", *items), aria_label="On this page", class_="outline")


def _role(role: str) -> str:
    return role if role in _SPEAKS else "other"


# -- the parts of a sample ---------------------------------------------------------------------------------------------


def sample(sheet: Sheet, bounds: Bounds, prefix: str = "", level: int = 2) -> Html:
    """A sample: findings, conversations, tokens, the record.

    Args:
        prefix: of all ids in it, where a page holds several samples.
        level: of its headings.
    """
    h = f"h{level}"
    parts: list[Html] = []
    if sheet.note:
        parts.append(el("p", sheet.note, class_="cut"))
    if sheet.findings:
        listed = [_listed(n, found, sheet, prefix) for n, found in enumerate(sheet.findings, start=1)]
        parts.append(el("section", el(h, "Findings", id=f"{prefix}findings"), el("ol", *listed, class_="findings")))
    several = len(sheet.talks) > 1
    left = [bounds.n_prompt]
    for number, talk in enumerate(sheet.talks, start=1):
        title = f"Conversation {number}" if several else "Conversation"
        name = [el("small", f" {talk.id}")] if several and talk.id else []
        found = _by_message(sheet, number - 1)
        turns = [
            _turn(said, talk, sheet, found.get(said.message, []), bounds, f"{prefix}m{number}-{n}", prefix, left)
            for n, said in enumerate(talk.said[: bounds.n_turns])
        ]
        if len(talk.said) > bounds.n_turns:
            turns.append(el("li", f"{len(talk.said) - bounds.n_turns:,} more turns are not shown", class_="cut"))
        said = el("ol", *turns, class_="turns") if turns else el("p", "It has no turns.", class_="cut")
        parts.append(el("section", el(h, title, *name), _tools(talk, bounds), said))
    if not sheet.talks:
        parts.append(el("p", "No conversation could be read in it.", class_="cut"))
    views = [(talk, view) for talk in sheet.talks for view in talk.views]
    if views:
        parts.append(_rows(views, bounds, h, prefix))
    if sheet.record is not None or sheet.text is not None:
        parts.append(_record(sheet, bounds, h, prefix))
    return el("div", joined(parts), class_="sample")


def _by_message(sheet: Sheet, talk: int) -> dict[int | None, list[int]]:
    """The numbers of the findings in each message of a conversation."""
    by: dict[int | None, list[int]] = {}
    for n, found in enumerate(sheet.findings, start=1):
        match found.sample_path:
            case ("messages", int() as index, *_) if _talk_of(found, sheet) == talk:
                by.setdefault(index, []).append(n)
            case _:
                pass
    return by


def _talk_of(found: Diagnostic, sheet: Sheet) -> int:
    """The number of the conversation that a finding is about: that of its id, else the first."""
    return next((n for n, one in enumerate(sheet.talks) if found.sample_id and one.id == found.sample_id), 0)


def _listed(number: int, found: Diagnostic, sheet: Sheet, prefix: str) -> Html:
    where: list[Html] = [el("code", found.json_path)]
    if sheet.marked[number - 1] is not None and sheet.record is not None:
        where = [el("a", el("code", found.json_path), href=f"#{prefix}r{number}")]
    head = el(
        "p",
        el("b", found.severity.value, class_=f"severity {found.severity.value}"),
        " ",
        el("code", found.code),
        f" {found.name} ",
        *where,
    )
    parts = [head, el("p", found.says), el("p", el("span", "fix: ", class_="dim"), found.fix)]
    shown = found.excerpt
    if shown is not None:
        cut = el("mark", shown.culprit) if shown.culprit else Html("")
        parts.insert(2, el("pre", safe(shown.before), cut, safe(shown.after), dir="auto"))
    return el("li", *parts, id=f"{prefix}f{number}", class_=f"finding {found.severity.value}", tabindex="-1")


def _turn(
    said: Said, talk: Talk, sheet: Sheet, found: Sequence[int], bounds: Bounds, name: str, prefix: str, left: list[int]
) -> Html:
    served = [(view, view.turns[said.message]) for view in talk.views if said.message in view.turns]
    who = [
        el("span", _SPEAKS.get(said.role, "?"), class_="glyph", aria_hidden="true"),
        el("b", said.role),
        el("code", said.place, class_="dim") if said.place else Html(""),
        el("span", "answers ", el("code", said.answers), class_="dim") if said.answers else Html(""),
        el("span", "trained", class_="trained") if served else Html(""),
    ]
    parts = [el("p", *who, class_="who")]
    for n in found:
        one = sheet.findings[n - 1]
        says = [el("b", one.severity.value, class_=f"severity {one.severity.value}"), f" {one.code} {one.says} "]
        parts.append(el("p", el("a", *says, href=f"#{prefix}f{n}"), class_="remark"))
    if said.reasoning:
        parts.append(
            el("details", el("summary", "reasoning"), _text(said.reasoning, bounds), open=True, class_="think")
        )
    if said.text:
        parts.append(_text(said.text, bounds))
    parts += [_call(one, bounds) for one in said.calls]
    parts += [_served(view, turn, said, bounds, left) for view, turn in served]
    return el("li", *parts, id=name, class_=f"turn r-{_role(said.role)}")


def _text(text: str, bounds: Bounds, class_: str = "text") -> Html:
    n = bounds.n_characters
    parts = [safe(text[:n])]
    if len(text) > n:
        parts.append(el("span", f"\n… {len(text):,} characters, {n:,} are shown", class_="cut"))
    return _pre(parts, class_, is_long=len(text) > _LONG or text.count("\n") > _LONG_LINES, dir="auto")


def _pre(parts: Sequence[str], class_: str, *, is_long: bool, **more: str) -> Html:
    """A text; a long one scrolls in its own box, which the keyboard must reach."""
    if is_long:
        return el("pre", *parts, class_=f"{class_} long", tabindex="0", role="group", aria_label="long text", **more)
    return el("pre", *parts, class_=class_, **more)


def _arguments(value: object) -> str:
    return value if isinstance(value, str) else spelled(value, indent=2)


def _call(one: Called, bounds: Bounds) -> Html:
    ident = el("code", one.id, class_="dim") if one.id else Html("")
    head = el("p", el("span", "ƒ", class_="glyph", aria_hidden="true"), "calls ", el("code", one.name), " ", ident)
    return el("div", head, _text(_arguments(one.arguments), bounds), class_="call")


def _tools(talk: Talk, bounds: Bounds) -> Html:
    if not talk.tools:
        return Html("")
    n = len(talk.tools)
    inner = _text("\n".join(spelled(one) for one in talk.tools), bounds)
    return el("details", el("summary", f"{n:,} tool{'' if n == 1 else 's'} offered"), inner, class_="offered")


# -- as the server has it ----------------------------------------------------------------------------------------------


def _served(view: "View", turn: "Turn", said: Said, bounds: Bounds, left: list[int]) -> Html:
    """The prompt of a turn, and its calls beside those that the server reads."""
    from qwen_sft.showing.view import prompt_line

    read = turn.read
    parts = [_beside(said, read, bounds)] if read is not None else []
    text = view.prompt(turn)
    room = min(bounds.n_characters * 4, max(_LEAST_PROMPT, left[0]))
    left[0] -= min(len(text), room)
    lost = len(text) - room
    note = [el("span", f"{lost:,} characters before are not shown: they are in the tokens below …\n", class_="cut")]
    shown = _pre(
        [*(note if lost > 0 else []), safe(text[-room:])], "text prompt", is_long=len(text) > _LONG, dir="auto"
    )
    parts.append(el("details", el("summary", f"the prompt: {prompt_line(turn)}"), shown))
    says = "as the server has it"
    if read is not None and (said.calls or read.calls):
        says += ": the calls are read back " + ("as they are" if _is_same(said, read) else "otherwise")
    tone = "served" if read is None or _is_same(said, read) else "served differs"
    return el("details", el("summary", says), *parts, class_=tone)


def _is_same(said: Said, read: Parsed) -> bool:
    return [_key(one.name, one.arguments) for one in said.calls] == [_key(*one) for one in read.calls]


def _key(name: str, arguments: object) -> tuple[str, str]:
    """A call to compare: 1 is not 1.0, the order of keys does not count."""
    try:
        return name, json.dumps(arguments, sort_keys=True)
    except (ValueError, TypeError, RecursionError):
        return name, spelled(arguments)


def _beside(said: Said, read: Parsed, bounds: Bounds) -> Html:
    """The calls of a turn beside those that are read back."""
    if not said.calls and not read.calls:
        told = [f"{what}: {text}" for what, text in (("reasoning", read.reasoning), ("content", read.content)) if text]
        return _text("\n".join(told) or "nothing", bounds, "text read")
    rows: list[Html] = [el("p", "the sample's call", class_="dim"), el("p", "read back from its tokens", class_="dim")]
    for ours, theirs in zip_longest(said.calls, read.calls):
        same = ours is not None and theirs is not None and _key(ours.name, ours.arguments) == _key(*theirs)
        left = "nothing" if ours is None else f"{ours.name} {_arguments(ours.arguments)}"
        right = "nothing" if theirs is None else f"{theirs[0]} {_arguments(theirs[1])}"
        rows += [
            _text(left, bounds),
            _text(f"{'=' if same else '≠'} {right}", bounds, "text" if same else "text other"),
        ]
    return el("div", *rows, class_="beside")


# -- tokens ------------------------------------------------------------------------------------------------------------


def _rows(views: "Sequence[tuple[Talk, View]]", bounds: Bounds, h: str, prefix: str) -> Html:
    kinds = sorted({stretch.kind for _, view in views for stretch in view.stretches})
    legend = [el("li", _glyph(kind), kind.name.lower(), class_=f"k-{kind.name.lower()}") for kind in kinds]
    key = el(
        "ul",
        el("li", el("span", "T", class_="gutter"), el("span", "trained", class_="on"), class_="ex"),
        el("li", el("span", "not trained", class_="off"), class_="ex"),
        *legend,
        class_="legend",
    )
    room = [bounds.n_all_tokens]
    names = [f"Row {n}: " if len(views) > 1 else "" for n in range(1, len(views) + 1)]
    made = [_row(name, talk, view, bounds, room) for name, (talk, view) in zip(names, views, strict=True)]
    return el("section", el(h, "Tokens", id=f"{prefix}tokens"), key, joined(made))


def _glyph(kind: Kind) -> Html:
    return el("span", GLYPHS[kind], class_="glyph", aria_hidden="true")


def _row(name: str, talk: Talk, view: "View", bounds: Bounds, room: list[int]) -> Html:
    from qwen_sft.showing.view import prompt_line

    row = view.row
    turns = ", ".join(map(str, row.turns))
    says = f"{name}{len(row.input_ids):,} tokens, {row.n_trained_tokens:,} trained, turns {turns}"
    places = {said.message: said.place or f"$.messages[{said.message}]" for said in talk.said}
    parts: list[Html] = []
    begun: set[int] = set()
    for stretch in view.stretches[:_MOST_STRETCHES]:
        turn = view.turns.get(stretch.message)
        if turn and stretch.kind in GENERATED and stretch.message not in begun:
            begun.add(stretch.message)
            parts.append(el("p", f"▲ {prompt_line(turn)}", class_="edge"))
        parts.append(_stretch(stretch, places.get(stretch.message, ""), bounds, room))
    left = sum(len(one.tokens) for one in view.stretches[_MOST_STRETCHES:])
    if left:
        parts.append(el("p", f"{left:,} more tokens are not shown", class_="cut"))
    inner = el("div", joined(parts), class_="tokens", tabindex="0", role="group", aria_label=f"Tokens of turns {turns}")
    return el("details", el("summary", says), inner, open=True)


def _stretch(stretch: "Stretch", place: str, bounds: Bounds, room: list[int]) -> Html:
    kind = stretch.kind.name.lower()
    trained = bool(stretch.weight)
    mark = "T" if stretch.weight == 1 else f"T×{stretch.weight:g}" if trained else ""
    most = min(bounds.n_tokens * (8 if trained else 1), max(_LEAST, room[0]))
    tokens = stretch.tokens
    lost = len(tokens) - most
    head, tail = (tokens, []) if lost <= 0 else (tokens[: most * 2 // 3], tokens[-(most // 3) :])
    room[0] -= len(head) + len(tail)
    shown = "".join(map(_token, head))
    if lost > 0:
        lost = len(tokens) - len(head) - len(tail)
        shown += el("span", f" … {lost:,} tokens are not shown … ", class_="cut")
        shown += "".join(map(_token, tail))
    return el(
        "div",
        el("span", mark, class_="gutter"),
        el("span", _glyph(stretch.kind), kind, class_="kind"),
        el("code", place, class_="at"),
        el("span", Html(shown), class_="run"),
        class_=f"st k-{kind} {'on' if trained else 'off'}",
    )


def _token(token: "Token") -> str:
    text = safe(token.text).replace("\n", "<i>⏎</i>\n").replace("\t", "<i>⇥</i>\t")
    return f'<span title="{token.id}">{text}</span>'


# -- the record --------------------------------------------------------------------------------------------------------


def _record(sheet: Sheet, bounds: Bounds, h: str, prefix: str) -> Html:
    if sheet.text is not None:
        inner = _text(sheet.text, bounds, "text json")
    else:
        shown = marked_json(sheet.record, sheet.marked, bounds.n_characters, bounds.n_record, f"{prefix}r")
        inner = _pre([shown], "text json", is_long=len(shown) > _LONG)
    body = el("details", el("summary", sheet.about), inner, open=True)
    return el("section", el(h, "Record", id=f"{prefix}record"), body)
