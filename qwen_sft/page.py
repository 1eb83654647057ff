"""Training rows as one self-contained HTML page: the same as `qwen-sft show` prints, to send and to keep.

Traces are hostile text: everything that comes from one is escaped, and the page runs no script and loads nothing.
"""

import html
from collections.abc import Sequence

from qwen_sft.finding import Diagnostic
from qwen_sft.terminal import printable
from qwen_sft.tokens import GENERATED, Kind
from qwen_sft.view import Stretch, Token, Turn, View, prompt_line, read_lines

_STYLE = """
:root { color-scheme: light dark; --ink: #1c1e21; --paper: #fff; --dim: #6b7280; --line: #e5e7eb; --trained: #0a7f3f;
  --wash: #e8f7ee; --warn: #a15c00; --bad: #b42318; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e6e6; --paper: #16181c; --dim: #9aa0a8; --line: #2c3036;
  --trained: #6fd79b; --wash: #15301f; --warn: #f0b35a; --bad: #ff8577; } }
body { color: var(--ink); background: var(--paper); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto;
  max-width: 72rem; padding: 0 1rem; }
h1 { font-size: 1.2rem; overflow-wrap: anywhere; } h2 { font-size: 1rem; margin-top: 2.5rem; }
.s { display: grid; grid-template-columns: 1.2rem 7rem 1fr; gap: .5rem; border-top: 1px solid var(--line); }
.s > b { color: var(--trained); } .s > i { color: var(--dim); font-style: normal; font-size: .85rem; }
pre { margin: 0; font: 13px/1.6 ui-monospace, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
.t { border-right: 1px solid var(--line); } .on .t { background: var(--wash); } .nl { color: var(--dim); }
.note { color: var(--dim); font-size: .85rem; padding: .2rem 0 .2rem 9.2rem; overflow-wrap: anywhere; }
.warning { color: var(--warn); } .error { color: var(--bad); }
"""


def page(title: str, views: Sequence[View], findings: Sequence[Diagnostic]) -> str:
    """The page of one record.

    Args:
        title: where the record stands.
        views: its rows; none where it was rejected before there were any.
        findings: what was found in it; each stands below its message, or at the end.
    """
    shown: set[int] = set()
    rows = "".join(_row(number, one, findings, shown) for number, one in enumerate(views, start=1))
    rest = "".join(_finding(found) for i, found in enumerate(findings) if i not in shown)
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{_safe(title)}</title>\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{_safe(title)}</h1>\n"
        "<p>A line ends a token; hover for its id. <b>T</b> and a coloured ground mark what is trained.</p>\n"
        f"{rows}{rest}</body>\n</html>\n"
    )


def _row(number: int, one: View, findings: Sequence[Diagnostic], shown: set[int]) -> str:
    row = one.row
    parts = [
        f"<h2>Row {number}: {len(row.input_ids):,} tokens, {row.n_trained_tokens:,} trained, "
        f"turns {', '.join(map(str, row.turns))}</h2>\n"
    ]
    begun: set[int] = set()
    for i, stretch in enumerate(one.stretches):
        turn = one.turns.get(stretch.message)
        if turn and stretch.kind in GENERATED and stretch.message not in begun:
            begun.add(stretch.message)
            parts.append(_note(f"prompt: {prompt_line(turn)}"))
        parts.append(_stretch(stretch))
        if turn and stretch.kind is Kind.STOP:
            parts += _read(turn)
        following = one.stretches[i + 1] if i + 1 < len(one.stretches) else None
        if following is None or following.message != stretch.message:
            parts += _findings(stretch.message, findings, shown)
    return "".join(parts)


def _stretch(stretch: Stretch) -> str:
    tokens = "".join(_token(token) for token in stretch.tokens)
    trained = bool(stretch.weight)
    mark = "T" if stretch.weight == 1 else f"T×{stretch.weight:g}" if trained else ""
    kind = stretch.kind.name.lower()
    return f'<div class="s{" on" if trained else ""}"><b>{mark}</b><i>{kind}</i><pre>{tokens}</pre></div>\n'


def _token(token: Token) -> str:
    text = _safe(token.text).replace("\n", '<span class="nl">⏎</span>\n').replace("\t", '<span class="nl">⇥</span>\t')
    return f'<span class="t" title="{token.id}">{text}</span>'


def _read(turn: Turn) -> list[str]:
    return [_note(f"read back: {line}") for line in read_lines(turn.read)] if turn.read is not None else []


def _findings(message: int, findings: Sequence[Diagnostic], shown: set[int]) -> list[str]:
    here = [i for i, d in enumerate(findings) if i not in shown and d.sample_path[:2] == ("messages", message)]
    shown.update(here)
    return [_finding(findings[i]) for i in here]


def _finding(found: Diagnostic) -> str:
    severity = found.severity.value
    return _note(f"{severity} {found.code} {found.json_path}: {found.says}; {found.fix}", severity)


def _note(text: str, kind: str = "") -> str:
    return f'<div class="note {kind}">{_safe(text)}</div>\n'


def _safe(text: str) -> str:
    """Text of a trace as HTML text: no markup, no control or direction characters."""
    return html.escape(printable(text))
