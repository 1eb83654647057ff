"""tinker-cookbook's renderer for Qwen3: ids and weights of a conversation in which all assistant turns are trained.

Its own messages, with calls as its objects, go in; making them of ours is not timed. All turns are trained in one
rendering, as we do where the template allows it (by default it would train the last turn, and for several turns render
one example a turn). It checks nothing of a trace, reads no calls back, asks no second computation, and writes nothing.
"""

import json
import logging
from pathlib import Path
from typing import Any

from serve import Ready, rows, serve


def load(path: Path, tokenizer: Path) -> Ready:
    """Its renderer "qwen3", with the tokenizer of transformers."""
    from tinker_cookbook.renderers import TrainOnWhat, get_renderer
    from tinker_cookbook.renderers.base import ToolCall
    from transformers import AutoTokenizer

    logging.disable(logging.WARNING)
    renderer: Any = get_renderer("qwen3", AutoTokenizer.from_pretrained(tokenizer))
    what = TrainOnWhat.ALL_ASSISTANT_MESSAGES

    def call(given: Any) -> Any:
        function = {"name": given["function"]["name"], "arguments": json.dumps(given["function"]["arguments"])}
        return ToolCall(id=given["id"], function=ToolCall.FunctionBody(**function))

    def conversation(row: Any) -> list[Any]:
        system, *rest = row["messages"]
        tools = [tool["function"] for tool in row["tools"]]
        prefix = renderer.create_conversation_prefix_with_tools(tools, system["content"])
        turns = [
            {**turn, "tool_calls": [call(one) for one in turn["tool_calls"]]} if "tool_calls" in turn else turn
            for turn in rest
        ]
        return [*prefix, *turns]

    given = [conversation(row) for row in rows(path)]

    def run(_: str) -> list[Any]:
        return [renderer.build_supervised_example(messages, train_on_what=what) for messages in given]

    def count(made: list[Any]) -> tuple[int, int, int]:
        trained = sum(int((weights > 0).sum()) for _, weights in made)
        return len(made), sum(one.length for one, _ in made), trained

    return Ready(run, count, ["tinker-cookbook", "transformers", "torch"])


serve(load)
