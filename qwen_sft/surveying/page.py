"""The numbers as one page: a single file that loads nothing, runs nothing, and is read from the disk.

Traces are hostile text: it is escaped (`qwen_sft.text.element`), and the page's policy forbids scripts, frames,
images and requests; its one style sheet is named by its hash.
"""

from collections.abc import Callable, Sequence

from qwen_sft import __version__
from qwen_sft.inspecting.census import percent
from qwen_sft.rule import Page, rules
from qwen_sft.surveying.charts import Bar, Charts
from qwen_sft.surveying.cost import FORMULA, costs, hours, size_name
from qwen_sft.surveying.numbers import Example, Found, Numbers, ToolUse
from qwen_sft.surveying.spread import SHARES, Spread
from qwen_sft.text.element import Html, el, joined, safe, table
from qwen_sft.viewing.page import POLICY, asset, hashed, sample
from qwen_sft.viewing.sheet import EXTRACT

MOST_TOOLS, MOST_UNCALLED, MOST_PARAMETERS, MOST_FILES = 30, 20, 40, 30
"""Rows of the tables; the texts say how many more there are."""

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #ffffff; --dim: #59616b; --line: #d8dde3; --wash: #f4f6f8;
  --c1: #1a5fd0; --c2: #8a4fd0; --pale: #dbe7fb; --good: #14713a; --warn: #8a5200; --bad: #b42318; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8eaed; --paper: #15181c; --dim: #a3abb5; --line: #363c44;
  --wash: #1e2227; --c1: #6aa7ff; --c2: #c79bff; --pale: #27405f; --good: #6fd79b; --warn: #f0b35a; --bad: #ff8d80; } }
* { box-sizing: border-box; }
body { color: var(--ink); background: var(--paper); font: 16px/1.55 system-ui, sans-serif; margin: 0 auto;
  max-width: 64rem; padding: 1.5rem 1rem 4rem; overflow-wrap: anywhere; }
h1 { font-size: 1rem; font-weight: normal; color: var(--dim); margin: 0; }
h2 { font-size: 1.3rem; margin: 2.8rem 0 .3rem; border-top: 1px solid var(--line); padding-top: 1.2rem; }
h3 { font-size: 1.05rem; margin: 1.6rem 0 .2rem; }
p { margin: .4rem 0; max-width: 46rem; }
a { color: var(--c1); }
.verdict { font-size: 2rem; font-weight: 700; line-height: 1.2; margin: .2rem 0 .6rem; }
.good { color: var(--good); } .warn { color: var(--warn); } .bad { color: var(--bad); } .dim { color: var(--dim); }
.five { display: grid; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); gap: .8rem; margin: 1.2rem 0;
  padding: 0; }
.five > div { background: var(--wash); border: 1px solid var(--line); border-radius: .5rem; padding: .7rem .9rem; }
.five dt { color: var(--dim); font-size: .9rem; }
.five dd { margin: 0; font-size: 1.6rem; font-weight: 650; line-height: 1.3; }
.five .of { display: block; font-size: .85rem; font-weight: normal; color: var(--dim); }
nav { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; font-size: .93rem; }
.scroll { overflow-x: auto; } .scroll:focus-visible { outline: 2px solid var(--c1); }
table { border-collapse: collapse; margin: .8rem 0; font-size: .93rem; min-width: 24rem; }
caption { text-align: left; color: var(--dim); padding-bottom: .3rem; }
th, td { text-align: left; padding: .28rem .9rem .28rem 0; border-bottom: 1px solid var(--line); vertical-align: top;
  unicode-bidi: isolate; }
th { font-weight: 600; } tbody th { font-weight: normal; }
.n { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
svg { display: block; max-width: 100%; height: auto; margin: .8rem 0; overflow: visible; }
svg text { white-space: pre; }
summary { cursor: pointer; color: var(--c1); margin: .1rem 0; } summary:focus-visible { outline: 2px solid var(--c1); }
details > div { padding-left: 1rem; }
pre { background: var(--wash); border: 1px solid var(--line); border-radius: .4rem; padding: .5rem .7rem;
  margin: .3rem 0; font: 13px/1.55 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere;
  unicode-bidi: isolate; }
mark { background: none; color: var(--bad); font-weight: 700; text-decoration: underline; }
code { font: .92em ui-monospace, monospace; unicode-bidi: isolate; }
@media print { nav { display: none; }
  body { max-width: none; padding: 0; font-size: 11pt; } h2, h3 { break-after: avoid; }
  svg, tr, li, .five > div { break-inside: avoid; } details::details-content { content-visibility: visible; } }
"""

_PLACES = {
    "checked": "Checked",
    "findings": "Findings",
    "sources": "Sources",
    "lengths": "Lengths",
    "trained": "Trained",
    "calls": "Calls",
    "tools": "Tools",
    "arguments": "Arguments",
    "repeats": "Duplicates",
    "splits": "Splits",
    "cost": "Cost",
    "model": "Model",
    "samples": "Samples",
}

_SEVERITY = {"error": ("bad", "--bad"), "warning": ("warn", "--warn"), "info": ("dim", "--dim")}


def policy() -> str:
    """The page's content security policy: nothing but the one style sheet, by its hash."""
    return f"default-src 'none'; style-src {hashed(_style())}; {POLICY}"


def _style() -> str:
    return asset("sample.css") + _STYLE


def report_page(numbers: Numbers) -> str:
    """The page; without the package that draws its tables stand open, and it says that the charts are missing."""
    charts = Charts()
    parts: list[Callable[[Numbers, Charts], Html | None]] = [
        _reach,
        _findings,
        _sources,
        _lengths,
        _trained,
        _calls,
        _tools,
        _arguments,
        _repeats,
        _splits,
        _cost,
        _model,
        _samples,
    ]
    sections = [made for part in parts if (made := part(numbers, charts)) is not None]
    no_charts = "The charts are missing, their tables are here: vl-convert-python is not installed."
    title = f"{numbers.verdict}: {numbers.name}"
    head = [
        el("meta", charset="utf-8"),
        el("meta", http_equiv="Content-Security-Policy", content=policy()),
        el("meta", name="viewport", content="width=device-width, initial-scale=1"),
        el("meta", name="referrer", content="no-referrer"),
        el("title", title.replace("\n", " ")),
        el("style", Html(_style())),
    ]
    places = [(name, title) for name, title in _PLACES.items() if any(f'id="{name}"' in one for one in sections)]
    nav = el("nav", *(el("a", title, href=f"#{name}") for name, title in places), aria_label="Parts of this page")
    main = el(
        "main",
        *_top(numbers),
        nav,
        el("p", no_charts, class_="warn") if charts.missing else Html(""),
        joined(sections),
    )
    foot = el("footer", el("p", f"Made by qwen-sft {__version__}.", class_="dim"))
    page = el("html", el("head", joined(head)), Html("\n"), el("body", main, foot), lang="en")
    return f"<!DOCTYPE html>\n{page}\n"


# -- the first screen --------------------------------------------------------------------------------------------------


def _top(numbers: Numbers) -> list[Html]:
    what = "A check of traces" if numbers.about == "traces" else "A training set"
    tone = {0: "good", 1: "bad"}.get(numbers.code, "warn")
    mark = {0: "✓", 1: "✗"}.get(numbers.code, "–")
    five = [
        el("div", el("dt", _UNITS.get(name, name)), el("dd", value, el("span", of, class_="of")))
        for name, value, of in five_of(numbers)
    ]
    return [
        el("h1", f"{what}: ", el("code", numbers.name)),
        el("p", f"{mark} {numbers.verdict}", class_=f"verdict {tone}"),
        el("p", " ".join(numbers.sense)),
        el("dl", *five, class_="five"),
    ]


_UNITS = {"longest row": "tokens, longest row"}


def five_of(numbers: Numbers) -> list[tuple[str, str, str]]:
    """The five numbers that matter most: the name of each, the number, and what it is of."""
    told = [
        (
            "usable records" if numbers.about == "traces" else "records written",
            f"{numbers.n_written:,}",
            f"of {numbers.n_records:,}, {numbers.n_rejected:,} kept out",
        ),
        (
            "findings",
            f"{numbers.n_findings:,}",
            f"{many(sum(one.n_new > 0 for one in numbers.findings), 'kind')}, "
            + (many(numbers.n_errors, "error") if numbers.about == "traces" else "at build time"),
        ),
    ]
    if numbers.n_tokens is not None:
        trained = numbers.n_trained or 0
        share = f"{trained / numbers.n_tokens:.1%} of {numbers.n_tokens:,}" if numbers.n_tokens else "of none"
        told.append(("trained tokens", f"{trained:,}", share))
    else:
        told.append(("samples", f"{numbers.n_samples or 0:,}", "conversations"))
    told.append(_calls_number(numbers))
    if numbers.lengths is not None:
        limit = "no limit is known" if numbers.limit is None else f"limit {numbers.limit:,}, {numbers.n_over:,} over"
        told.append(("longest row", f"{numbers.lengths.most:,}", limit))
    elif numbers.n_rows is not None:
        told.append(("rows", f"{numbers.n_rows:,}", "conversations"))
    else:
        turns = numbers.turns or Spread()
        told.append(("assistant turns", f"{turns.total:,}", f"at most {turns.most:,} in a sample"))
    return told


def many(n: int, what: str) -> str:
    """So many of something, in words."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def _calls_number(numbers: Numbers) -> tuple[str, str, str]:
    of = many(numbers.n_tools, "tool") if numbers.tools is not None else "in all rows"
    return "tool calls", f"{numbers.n_calls or 0:,}", of


# -- parts of a page ---------------------------------------------------------------------------------------------------


def _section(name: str, title: str, *children: str) -> Html:
    return Html(f"\n{el('section', el('h2', title, id=name), *children, aria_labelledby=name)}")


def _keyed(chart: Html, says: str) -> Html:
    """A chart, and what its colours mean."""
    return Html(chart + el("p", says, class_="dim")) if chart and says else chart


def _behind(chart: Html, inner: Html, *, opened: bool = False) -> Html:
    """A chart with its table, which stands open where there is no chart."""
    return Html(chart + el("details", el("summary", "The numbers as a table"), inner, open=opened or not chart))


def _untold(numbers: Numbers, key: str) -> Html:
    return el("p", numbers.untold.get(key, "Nobody counted this."), class_="dim")


def _list(items: Sequence[str]) -> Html:
    return el("ul", *(el("li", item) for item in items))


def _reach(numbers: Numbers, _charts: Charts) -> Html:
    return _section(
        "checked",
        "What was checked",
        _list(numbers.checked) if numbers.checked else el("p", "Nothing."),
        el("h3", "What was not"),
        _list(numbers.not_checked) if numbers.not_checked else el("p", "Nothing was left out."),
    )


def _findings(numbers: Numbers, charts: Charts) -> Html:
    found = numbers.findings
    if not found:
        return _section("findings", "Findings", el("p", "None."))
    has_trend = any(one.n_baseline is not None for one in found)
    bars = [
        Bar(
            f"{one.code} {one.name}",
            one.n,
            many(one.n, one.severity) + (f", {_trend(one)}" if has_trend else ""),
            _SEVERITY[one.severity][1],
            one.n_new if has_trend else None,
        )
        for one in found
        if one.n
    ]
    more = f" The {len(bars) - 15:,} other kinds are in the table." if len(bars) > 15 else ""
    says = "; ".join(f"{bar.label} {bar.says}" for bar in bars[:15])
    chart = charts.bars("Findings by rule", says, bars[:15]) if bars else Html("")
    head = ["rule", "severity", "findings", *(["in the baseline", "new"] if has_trend else [])]
    rows = [
        [
            el("a", f"{one.code} {one.name}", href=f"#{one.code}"),
            el("span", one.severity, class_=_SEVERITY[one.severity][0]),
            f"{one.n:,}",
            *([f"{one.n_baseline or 0:,}", _trend(one)] if has_trend else []),
        ]
        for one in found
    ]
    listed = table("Findings by rule, errors first", head, rows, {2, 3, 4})
    each = joined([_rule(one) for one in found])
    intro = (
        "A record with an error stays out of a training set; warnings and infos are for you to judge."
        if numbers.about == "traces"
        else "What was found when the set was built; records with errors are not in it."
    )
    return _section(
        "findings",
        "Findings",
        el("p", intro + more),
        _behind(_keyed(chart, "Filled: new. Pale with an edge: known, in the baseline." if has_trend else ""), listed),
        el("h3", "What they mean"),
        each,
    )


def _trend(one: Found) -> str:
    gone = (one.n_baseline or 0) - (one.n - one.n_new)
    return f"+{one.n_new:,}" + (f", {gone:,} gone" if gone > 0 else "") if one.n_new or gone > 0 else "as before"


def _rule(one: Found) -> Html:
    rule = rules().get(one.code)
    page: Page | None = rule.page if rule else None
    guess = " This rule guesses: it may be no fault." if rule is not None and rule.heuristic else ""
    about = (
        [
            el("p", *_words(page.summary + guess)),
            el("p", el("b", "Why it matters: "), *_words(page.matters)),
            el("p", el("b", "How to mend it: "), *_words(page.fix)),
        ]
        if page
        else []
    )
    shown = [_example(example, one.code) for example in one.examples]
    none = [el("p", "All of them are in the baseline.", class_="dim")] if not shown and one.n and not one.n_new else []
    return el(
        "details",
        el(
            "summary",
            f"{one.code} {one.name}: ",
            el("span", many(one.n, one.severity), class_=_SEVERITY[one.severity][0]),
            f", {_trend(one)}" if one.n_baseline is not None else "",
        ),
        el("div", *about, *shown, *none, *([_rule_page(one.code, page)] if page else []), id=one.code),
    )  # the ids stand inside: a link to one opens what it stands in


def _rule_page(code: str, page: Page) -> Html:
    """The rest of a rule's page."""
    examples = [
        part
        for title, some in (("Bad", page.bad), ("Good", page.good))
        for one in some
        for part in (el("p", el("b", title)), el("pre", one.text))
    ]
    return el(
        "details",
        el("summary", f"The page of {code}"),
        el(
            "div",
            el("p", el("b", "What it catches: "), *_words(page.catches)),
            *examples,
            el("p", el("b", "Source: "), *_words(page.source)),
            id=f"{code}-page",
        ),
    )


def _words(text: str) -> list[Html]:
    """Text of ours, in which code stands between backticks."""
    return [el("code", part) if i % 2 else safe(part) for i, part in enumerate(text.split("`"))]


def _example(one: Example, code: str) -> Html:
    rule = el("a", code, href=f"#{code}-page")
    parts = [el("p", rule, " ", el("code", one.place), " ", el("code", one.path), ": ", one.says)]
    if one.excerpt is not None:
        before, culprit, after = one.excerpt
        parts.append(el("pre", before, *([el("mark", culprit)] if culprit else []), after, dir="auto"))
    parts.append(el("p", "Fix: ", *_words(one.fix), class_="dim"))
    return el("div", *parts)


def _sources(numbers: Numbers, charts: Charts) -> Html:
    has_events = any(one.n_events for one in numbers.formats)
    head = ["format", "records", "rejected"] if numbers.about == "traces" else ["format", "records"]
    head += ["events", "kept", "merged", "dropped"] if has_events else []
    rows: list[list[str]] = []
    for one in numbers.formats:
        row = [_format_name(one.name), f"{one.n_records:,}"]
        row += [f"{one.n_rejected:,}"] if numbers.about == "traces" else []
        events = (one.n_events, one.n_kept, one.n_merged, one.n_dropped)
        rows.append(row + ([f"{n:,}" for n in events] if has_events else []))
    parts = [
        el("p", "An event is a piece of a trace, such as a turn. Each is kept, merged into another, or dropped."),
        _behind(_events(numbers, charts), table("Records and events by format", head, rows)),
    ]
    if numbers.dropped_reasons:
        reasons = [[reason, f"{n:,}"] for reason, n in list(numbers.dropped_reasons.items())[:30]]
        reason_table = table("Why events were dropped", ["reason", "events"], reasons)
        n = sum(numbers.dropped_reasons.values())
        parts.append(el("details", el("summary", f"Why events were dropped ({n:,})"), reason_table))
    has_tokens = any(one.n_rows for one in numbers.files)
    is_traces = numbers.about == "traces"
    fates = ["rejected", "kept", "merged", "dropped"] if is_traces else []
    head = ["file", "records", *fates, *(["rows", "tokens"] if has_tokens else [])]
    files = [
        [
            el("code", one.name),
            f"{one.n_records:,}",
            *([f"{n:,}" for n in (one.n_rejected, one.n_kept, one.n_merged, one.n_dropped)] if is_traces else []),
            *([f"{one.n_rows:,}", f"{one.n_tokens:,}"] if has_tokens else []),
        ]
        for one in numbers.files[:MOST_FILES]
    ]
    left = numbers.n_files_more + max(0, len(numbers.files) - MOST_FILES)
    caption = f"Records by file{f'; {left:,} files with fewer records are not listed' if left else ''}"
    bars = [
        Bar(
            _ending(one.name),
            one.n_records,
            f"{one.n_records:,}" + (f", {one.n_rejected:,} rejected" if one.n_rejected and is_traces else ""),
            "--c1",
            one.n_records - one.n_rejected if is_traces else None,
        )
        for one in numbers.files[:15]
    ]
    chart = charts.bars("Records by file", "; ".join(f"{b.label} {b.says}" for b in bars), bars) if bars else Html("")
    chart = _keyed(chart, "Filled: usable records. Pale with an edge: rejected." if is_traces else "")
    parts += [el("h3", "Records by file"), _behind(chart, table(caption, head, files))] if files else []
    return _section("sources", "Sources and formats", *parts)


def _events(numbers: Numbers, charts: Charts) -> Html:
    """What became of the events, by format."""
    bars = [
        Bar(
            one.name,
            one.n_events,
            f"{one.n_events:,}: {one.n_kept:,} kept, {one.n_merged:,} merged, {one.n_dropped:,} dropped",
            "--c1",
            one.n_kept,
        )
        for one in numbers.formats
        if one.n_events
    ][:15]
    says = "; ".join(f"{bar.label} {bar.says}" for bar in bars)
    chart = charts.bars("Events by format", says, bars) if bars else Html("")
    return _keyed(chart, "Filled: kept. Pale with an edge: merged or dropped.")


def _ending(name: str) -> str:
    """The end of a file's name, in which names differ."""
    return name if len(name) <= 28 else f"…{name[-27:]}"


def _format_name(name: str) -> str:
    return "none recognised it" if name == "none" else name


def _spread_table(caption: str, spread: Spread, unit: str) -> Html:
    rows = [["fewest", f"{min(spread.counts, default=0):,}"]]
    rows += [[f"{share:.0%} have at most", f"{spread.at(share):,}"] for share in SHARES]
    rows += [["most", f"{spread.most:,}"], ["together", f"{spread.total:,}"]]
    bins = [[f"{one.start:,} to {one.end - 1:,}" if one.end - one.start > 1 else f"{one.start:,}", f"{one.n:,}"]
            for one in spread.bins(40)]  # fmt: skip
    return Html(table(caption, ["what", unit], rows) + table("How many have so many", [unit, "how many"], bins))


def _lengths(numbers: Numbers, charts: Charts) -> Html:
    if numbers.lengths is None or not numbers.lengths.n:
        why = _untold(numbers, "lengths") if numbers.lengths is None else el("p", "There are no rows.")
        return _section("lengths", "Token lengths", why)
    lengths = numbers.lengths
    half, most = lengths.at(0.5), lengths.most
    says = (
        f"Half of the {lengths.n:,} rows have at most {half:,} tokens, 95 % at most {lengths.at(0.95):,}, the longest "
        f"{most:,}."
    )
    if numbers.limit is not None:
        over = f"{percent(numbers.n_over, lengths.n)} are longer." if numbers.n_over else "None is longer."
        says += f" The limit is {numbers.limit:,} tokens ({numbers.limit_of}). {over}"
    chart = charts.histogram("Rows by their tokens", says, lengths, "tokens of a row", numbers.limit)
    return _section(
        "lengths", "Token lengths", el("p", says), _behind(chart, _spread_table("Tokens of a row", lengths, "tokens"))
    )


def _trained(numbers: Numbers, charts: Charts) -> Html:
    if not numbers.kinds:
        return _section("trained", "What is trained", _untold(numbers, "trained" if numbers.n_tokens else "kinds"))
    total, trained = sum(one.n for one in numbers.kinds), sum(one.n_trained for one in numbers.kinds)
    says = (
        f"{percent(trained, total)} tokens are trained: those that the model itself would have to write. "
        "The rest is what it reads."
    )
    bars = [Bar(one.name, one.n, f"{one.n:,} ({_share(one.n_trained, one.n)} trained)", "--c1", one.n_trained)
            for one in numbers.kinds]  # fmt: skip
    chart = charts.bars(
        "Tokens by kind, and the trained part of each", "; ".join(f"{b.label} {b.says}" for b in bars), bars
    )
    rows = [[one.name, f"{one.n:,}", f"{one.n_trained:,}", _share(one.n_trained, one.n)] for one in numbers.kinds]
    listed = table("Tokens by kind", ["kind", "tokens", "trained", "share"], rows)
    chart = _keyed(chart, "Filled: trained. Pale with an edge: not trained.")
    return _section("trained", "What is trained", el("p", says), _behind(chart, listed))


def _share(n: int, of: int) -> str:
    return f"{n / of:.0%}" if of else "–"


def _calls(numbers: Numbers, charts: Charts) -> Html:
    of = "sample" if numbers.about == "traces" else "row"
    parts: list[Html] = []
    if numbers.patterns is not None:
        total = sum(numbers.patterns.values())
        bars = [Bar(name, n, f"{n:,} ({_share(n, total)})", "--c2") for name, n in numbers.patterns.items()]
        says = "; ".join(f"{bar.label} {bar.says}" for bar in bars)
        chart = charts.bars("In which way samples call tools", says, bars) if bars else Html("")
        rows = [[name, f"{n:,}", _share(n, total)] for name, n in numbers.patterns.items()]
        parts += [
            el("p", "A model learns to call side by side, or several times in a row, only from samples that do."),
            _behind(chart, table("Samples by how they call tools", ["way", "samples", "share"], rows)),
        ]
    else:
        parts.append(_untold(numbers, "patterns"))
    spreads = (
        (numbers.turns, "Assistant turns" if of == "sample" else "Trained turns", "turns"),
        (numbers.depth, "Call depth: turns with calls behind each other", "turns"),
        (numbers.calls, "Tool calls", "calls"),
    )
    for spread, title, unit in spreads:
        if spread is None or not spread.n:
            continue
        half, nearly, most = spread.at(0.5), spread.at(0.95), spread.most
        says = f"Half of the {of}s have at most {half:,}, 95 % at most {nearly:,}, the most {most:,}."
        chart = charts.histogram(title, says, spread, f"{unit} of a {of}")
        parts += [el("h3", title), el("p", says), _behind(chart, _spread_table(f"{title}, of a {of}", spread, unit))]
    return _section("calls", "Turns and calls", *parts)


def _tools(numbers: Numbers, charts: Charts) -> Html:
    if numbers.tools is None:
        return _section("tools", "Tools", _untold(numbers, "tools"))
    called = [one for one in numbers.tools if one.n_called]
    never = [one for one in numbers.tools if not one.n_called]
    if not numbers.tools:
        return _section("tools", "Tools", el("p", "No tool is offered, and none is called."))
    says = f"{many(numbers.n_tools, 'tool')}: {len(called):,} called, {len(never):,} offered and never called."
    if numbers.n_tools_more:
        says = (
            f"{numbers.n_tools:,} tools. Of the {len(numbers.tools):,} that came first {len(called):,} are called; the "
            "others are not counted one by one."
        )
    bars = [Bar(one.name, one.n_called, f"{one.n_called:,}, offered in {one.n_offered:,}") for one in called[:15]]
    chart = (
        charts.bars(
            "Calls of the most called tools, and how many samples offer each",
            "; ".join(f"{b.label} {b.says}" for b in bars),
            bars,
        )
        if bars
        else Html("")
    )
    rows = [[el("code", one.name), f"{one.n_called:,}", f"{one.n_offered:,}"] for one in called[:MOST_TOOLS]]
    rest = f"; {len(called) - MOST_TOOLS:,} less called ones are not listed" if len(called) > MOST_TOOLS else ""
    parts = [
        el("p", says),
        _behind(chart, table(f"The most called tools{rest}", ["tool", "calls", "offered in samples"], rows)),
    ]
    if never:
        idle = [[el("code", one.name), f"{one.n_offered:,}"] for one in never[:MOST_UNCALLED]]
        rest = f"; {len(never) - MOST_UNCALLED:,} more are not listed" if len(never) > MOST_UNCALLED else ""
        parts.append(table(f"Offered and never called{rest}", ["tool", "offered in samples"], idle))
    return _section("tools", "Tools", *parts)


def _arguments(numbers: Numbers, charts: Charts) -> Html | None:
    called = [one for one in numbers.tools or () if one.n_called]
    if not called:
        return None
    rows: list[list[str]] = []
    for tool in called:
        rows += [
            [
                el("code", f"{tool.name}.{one.name}"),
                _kind(one.declared, one.required),
                f"{one.n_given:,}",
                _share(one.n_given, tool.n_called),
            ]
            for one in tool.parameters.values()
        ]
    n_declared, n_never = _coverage(called)
    says = (
        f"The called tools declare {n_declared:,} parameters; {n_never:,} of them are never given. "
        "A model does not learn to use what it never sees given."
    )
    left = f"; {len(rows) - MOST_PARAMETERS:,} more are not listed" if len(rows) > MOST_PARAMETERS else ""
    head = ["parameter", "declared as", "given in calls", "share of calls"]
    listed = table(f"Parameters of the most called tools{left}", head, rows[:MOST_PARAMETERS], {2, 3})
    bars = [
        Bar(
            f"{tool.name}.{one.name}",
            tool.n_called,
            f"{one.n_given:,} of {tool.n_called:,} ({_share(one.n_given, tool.n_called)})",
            "--c2",
            one.n_given,
        )
        for tool in called
        for one in tool.parameters.values()
        if one.declared
    ][:15]
    words = "; ".join(f"{bar.label} {bar.says}" for bar in bars)
    chart = charts.bars("In how many calls each declared parameter is given", words, bars) if bars else Html("")
    chart = _keyed(chart, "Filled: calls that give it. Pale with an edge: calls of its tool that do not.")
    return _section("arguments", "Arguments", el("p", says), _behind(chart, listed) if rows else Html(""))


def _kind(declared: bool, required: bool) -> Html:
    if not declared:
        return el("span", "not declared", class_="warn")
    return safe("required" if required else "optional")


def _coverage(called: Sequence[ToolUse]) -> tuple[int, int]:
    declared = [one for tool in called for one in tool.parameters.values() if one.declared]
    return len(declared), sum(not one.n_given for one in declared)


def _repeats(numbers: Numbers, _charts: Charts) -> Html:
    if numbers.n_repeated is None:
        return _section("repeats", "Duplicates", _untold(numbers, "repeated"))
    if numbers.about == "traces":
        n, what = numbers.n_samples or 0, "samples are word for word an earlier one"
    else:
        n, what = numbers.n_rows or 0, "rows have exactly the tokens of an earlier one"
    says = f"{percent(numbers.n_repeated, n)} {what}." if n else "There is nothing to compare."
    near = (
        f" {percent(numbers.n_near, n)} nearly are." if numbers.n_near is not None and n
        else " Near duplicates were not looked for (--near-duplicates)." if numbers.about == "traces" else ""
    )  # fmt: skip
    return _section("repeats", "Duplicates", el("p", says + near))


def _splits(numbers: Numbers, charts: Charts) -> Html:
    named = [one for one in numbers.splits if one.name]
    of = "samples" if numbers.about == "traces" else "rows"
    if not named:
        why = "No split is named, neither by the samples nor by their files; `build --split` makes some."
        return _section("splits", "Splits", el("p", *_words(why)))
    total, n_tokens = sum(one.n_samples for one in numbers.splits), sum(one.n_tokens for one in numbers.splits)
    is_asked = any(one.wanted is not None for one in numbers.splits)
    head = ["split", of, "share", *(["asked for"] if is_asked else []), "calls"]
    head += ["tokens", "share of tokens", "trained"] if n_tokens else []
    bars = [
        Bar(one.name or "none named", one.n_samples, f"{one.n_samples:,} {of} ({_share(one.n_samples, total)})")
        for one in numbers.splits
    ]
    chart = charts.bars(f"{of.capitalize()} by split", "; ".join(f"{b.label} {b.says}" for b in bars), bars)
    rows = [
        [
            one.name or "none named",
            f"{one.n_samples:,}",
            _share(one.n_samples, total),
            *([f"{one.wanted or 0:.0%}"] if is_asked else []),
            f"{one.n_calls:,}",
            *(
                [f"{one.n_tokens:,}", _share(one.n_tokens, n_tokens), _share(one.n_trained, one.n_tokens)]
                if n_tokens
                else []
            ),
        ]
        for one in numbers.splits
    ]
    return _section("splits", "Splits", _behind(chart, table("Splits", head, rows)))


def _cost(numbers: Numbers, _charts: Charts) -> Html:
    if numbers.n_tokens is None:
        return _section("cost", "What training takes", _untold(numbers, "cost"))
    assumed = numbers.assumed
    rows = [[size_name(one.parameters), hours(one.gpu_hours)] for one in costs(numbers.n_tokens, assumed)]
    return _section(
        "cost",
        "What training takes",
        el(
            "p",
            f"{numbers.n_tokens:,} tokens an epoch, {assumed.epochs:g} epochs. An estimate, with a GPU of "
            f"{assumed.peak / 1e12:,.0f} TFLOP/s of which training reaches {assumed.utilisation:.0%}; for a mixture of "
            "experts, the active parameters count. Attention over long rows, padding and recomputation come on top.",
        ),
        el("p", "GPU-hours = ", el("code", FORMULA)),
        table("Hours of one GPU", ["parameters", "GPU-hours"], rows),
    )


def _model(numbers: Numbers, _charts: Charts) -> Html:
    rows = [[name, el("code", value)] for name, value in numbers.facts]
    return _section(
        "model",
        "Model, template, tokenizer, parser, lock",
        table("What it was made with", ["what", "which"], rows, set()),
    )


def _samples(numbers: Numbers, _charts: Charts) -> Html:
    if not numbers.samples:
        why = numbers.untold.get("samples", "There is none to show.")
        return _section("samples", "Samples", el("p", why, class_="dim"))
    intro = (
        f"{len(numbers.samples):,} of {numbers.n_samples or numbers.n_rows or 0:,}, chosen by a hash: the same ones "
        "each time. All numbers above are of all of them."
    )
    shown = [
        el("details", el("summary", one.title), sample(one, EXTRACT, f"s{n}-", 3))
        for n, one in enumerate(numbers.samples, start=1)
    ]
    return _section("samples", "Samples", el("p", intro), joined(shown))
