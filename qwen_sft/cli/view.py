"""`qwen-sft view`: samples in the browser, served to this machine only."""

import os
import sys
from typing import Annotated, Any

import typer

from qwen_sft.cli import options

EXAMPLES = """
Examples:

\b
  qwen-sft view dataset
  qwen-sft view runs.jsonl --model qwen3
  qwen-sft view traces/ --port 9000 --no-open
"""


@options.takes_settings("seed", "fail_on", "near_duplicates", "jobs", "limit", "baseline", *options.OF_A_SET)
def view(
    paths: options.Paths,
    flags: dict[str, Any],
    port: Annotated[
        int | None, typer.Option("--port", min=0, max=65535, metavar="N", help="Where [default: 8765, or a free one].")
    ] = None,
    opens: Annotated[bool, typer.Option("--open/--no-open", help="Open the browser.")] = True,
) -> None:
    """Look at samples in the browser: traces with their findings, or the rows of a built set.

    It answers on this machine only, until Ctrl-C.
    """
    from qwen_sft.errors import UsageError
    from qwen_sft.pipeline import Pipeline
    from qwen_sft.text.terminal import one_line
    from qwen_sft.viewing.opening import built, is_built, traces
    from qwen_sft.viewing.server import Server, Viewer
    from qwen_sft.viewing.traces import Traces

    sets = [path for path in paths if is_built(path)]
    if sets and len(paths) > 1:
        raise UsageError(f"{sets[0]!r} is a built set; name it alone")
    if sets:
        from pathlib import Path

        given = sorted(name for name, value in flags.items() if value is not None and name != "config")
        if given:
            flag = given[0].replace("_", "-")
            raise UsageError(f"{sets[0]!r} is a built set, made with its own settings; leave --{flag} out")
        every = built(Path(sets[0]))
    else:
        pipeline = Pipeline(options.settings(flags))
        every = [traces(paths, pipeline, lambda says: _say(f"qwen-sft: {one_line(says)}\n"))]
    for one in every:
        if isinstance(one, Traces):
            one.start()
    heading = one_line(", ".join(paths[:3]) + (f" and {len(paths) - 3:,} more" if len(paths) > 3 else ""))
    with Server(Viewer(heading, every), port) as server:
        sys.stdout.write(f"{heading} is shown at {server.url}\n")
        sys.stdout.flush()
        _say("qwen-sft: Ctrl-C ends it\n")
        if opens and _has_window():
            import webbrowser

            webbrowser.open(server.url)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            _say("\n")


def _say(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def _has_window() -> bool:
    """False where a browser could only open in this terminal."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


view.__doc__ = (view.__doc__ or "") + "\n" + EXAMPLES
