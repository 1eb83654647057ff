"""tracelint: its linter over the same file: parsing, its adapter for chat messages, its default rules.

Each row's own tools are given to it, so that arguments are checked against their schemas. It has 12 rules; it knows no
template, no tokens and no rules about the whole set.
"""

import json
from pathlib import Path
from typing import Any

from serve import Ready, serve


def load(path: Path, _: Path) -> Ready:
    """Its default rules."""
    from tracelint.adapters.openai import from_openai_messages
    from tracelint.rules import default_rules, lint_trace
    from tracelint.tools import ToolRegistry

    def run(_: str) -> list[Any]:
        made: list[Any] = []
        with path.open("rb") as file:
            for number, line in enumerate(file):
                row = json.loads(line)
                tools = ToolRegistry.from_dict({tool["function"]["name"]: tool["function"] for tool in row["tools"]})
                trace = from_openai_messages(row["messages"], run_id=str(number))
                made.append(lint_trace(trace, default_rules(), tools))
        return made

    return Ready(run, lambda made: (len(made), 0, 0), ["tracelint"])


serve(load)
