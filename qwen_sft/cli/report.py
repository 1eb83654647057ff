"""`qwen-sft report`: what traces or a built set are like, as one page."""

import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from qwen_sft.cli import options

if TYPE_CHECKING:
    from qwen_sft.surveying.numbers import Numbers

EXAMPLES = """
Examples:

\b
  qwen-sft report runs.jsonl --model qwen3 --out report.html
  qwen-sft report traces/ --baseline baseline.json --out report.html
  qwen-sft report dataset --out report.html --parameters 8B --epochs 2
  qwen-sft report dataset --model ./my-model --out report.html
"""

Epochs = Annotated[float, typer.Option("--epochs", min=0.01, metavar="N", help="How often each token is seen.")]
Parameters = Annotated[
    str | None,
    typer.Option("--parameters", metavar="8B", help="Of the model that is trained [default: those of Qwen3's sizes]."),
]
Peak = Annotated[
    float,
    typer.Option("--peak-tflops", min=0.001, metavar="N", help="What the GPU could do; an H100's dense BF16: 989."),
]
Utilisation = Annotated[
    float, typer.Option("--mfu", min=0.001, max=1.0, metavar="SHARE", help="The share of it that training reaches.")
]


@options.takes_settings(*options.OF_WORKERS, *options.OF_A_SET)
def report(
    paths: options.Paths,
    flags: dict[str, Any],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The page to write.")] = Path("report.html"),
    parameters: Parameters = None,
    epochs: Epochs = 3.0,
    peak_tflops: Peak = 989.0,
    mfu: Utilisation = 0.4,
) -> None:
    """Write a page on traces or on a built set: verdict, findings, lengths, calls, tools, what training takes.

    One HTML file that loads nothing and runs nothing. Charts need the extra `report` (vl-convert-python).
    """
    from qwen_sft.cli.report_file import opened
    from qwen_sft.ingesting.ingest import Input
    from qwen_sft.surveying.charts import Charts
    from qwen_sft.surveying.page import report_page
    from qwen_sft.text.terminal import fitted, one_line

    numbers, inputs = surveyed(paths, flags, (parameters, epochs, peak_tflops, mfu), excerpts=True)
    read = inputs or [
        Input(one.as_posix(), one) for path in paths for one in sorted(Path(path).rglob("*")) if one.is_file()
    ]
    page = report_page(numbers)
    with opened(out, read, flag="--out") as stream:
        stream.write(page)
    if Charts().missing:
        sys.stderr.write("qwen-sft: the page has tables and no charts; for charts: pip install 'qwen-sft[report]'\n")
    says = (
        f"{numbers.verdict}: {one_line(' '.join(numbers.sense))}\n{one_line(str(out))}: {len(page.encode()):,} bytes\n"
    )
    sys.stdout.write(fitted(says, sys.stdout))
    raise typer.Exit(numbers.code)


def surveyed(
    paths: Sequence[str],
    flags: dict[str, Any],
    cost: tuple[str | None, float, float, float],
    *,
    excerpts: bool,
) -> "tuple[Numbers, list[Any]]":
    """The numbers of what was named, and the inputs that were read for them; none for a built set.

    Args:
        cost: parameters, epochs, TFLOP/s and the share of them that training reaches.
        excerpts: whether findings are wanted with the line of the record around them.
    """
    from qwen_sft.cli.progress import Progress, reading_rows
    from qwen_sft.errors import UsageError
    from qwen_sft.ingesting.ingest import expand
    from qwen_sft.ingesting.remote import is_url, masked
    from qwen_sft.pipeline import Pipeline
    from qwen_sft.running.baseline import apart
    from qwen_sft.surveying.cost import Assumed
    from qwen_sft.surveying.cost import parameters as counted
    from qwen_sft.surveying.gather import named, survey

    size, epochs, tflops, utilisation = cost
    assumed = Assumed(epochs, tflops * 1e12, utilisation, None if size is None else counted(size))
    for path in paths:
        if is_url(path) and _is_built_there(path):
            raise UsageError(
                f"{masked(path)!r} is a built set on another machine; copy it to this one, and name that folder"
            )
    built = [path for path in paths if (Path(path) / "manifest.json").is_file() and _is_built(Path(path))]
    if built and len(paths) > 1:
        raise UsageError(f"{built[0]!r} is a built set; name it alone")
    if built:
        given = sorted(name for name, value in flags.items() if value is not None and name not in ("config", "model"))
        if given:
            flag = given[0].replace("_", "-")
            raise UsageError(f"{built[0]!r} is a built set, made with its own settings; leave --{flag} out")
        from qwen_sft.surveying.folder import survey_folder

        return survey_folder(Path(built[0]), assumed, flags["model"], reading_rows), []
    settings = options.settings(flags)
    skipped = Counter[str]()
    inputs = apart(expand(list(paths), skipped=skipped), list(paths), settings.baseline)
    pipeline = Pipeline(settings, excerpts=excerpts)
    with Progress(inputs) as progress:
        numbers = survey(inputs, pipeline, named(paths), assumed, each=progress.advance)
    for source in inputs:
        skipped.update(source.skipped)
    options.tell_skipped(skipped)
    return numbers, inputs


def _is_built(path: Path) -> bool:
    from qwen_sft.surveying.folder import is_built  # numpy and pyarrow

    return is_built(path)


def _is_built_there(url: str) -> bool:
    import orjson

    from qwen_sft.ingesting.remote import read_below
    from qwen_sft.sample import is_object

    try:
        told = orjson.loads(read_below(url, "manifest.json") or b"0")
    except ValueError:
        return False
    return is_object(told) and "qwen_sft" in told


report.__doc__ = (report.__doc__ or "") + "\n" + EXAMPLES
