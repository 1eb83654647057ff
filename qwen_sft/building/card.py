"""The dataset card: what a built folder's README.md says to people and to `datasets.load_dataset`."""

import hashlib
from collections.abc import Sequence
from textwrap import fill
from typing import Any

from qwen_sft.text.terminal import one_line
from qwen_sft.writer import Writer
from qwen_sft.writing.stanza import FOLDER


def card(manifest: dict[str, Any], writer: Writer) -> str:
    """The README.md of a build, from its manifest and its writer; the head tells `datasets` where the rows are."""
    rows, model, records, verified = (manifest[key] for key in ("rows", "model", "records", "verified"))
    written = manifest["writer"]
    share = rows["n_trained_tokens"] / rows["n_tokens"] if rows["n_tokens"] else 0.0
    rejected = "\n".join(f"| {code} | {n:,} |" for code, n in manifest["rejected_by_code"].items())
    inputs = "\n".join(
        f"| `{_cell(one['file'])}` | {one['n_records']:,} | `{one['sha256'][:16]}` |" for one in manifest["inputs"]
    )
    splits = "\n".join(
        f"  - split: {split}\n    path: {writer.data_files.format(split=split)}" for split in written["n_rows_by_split"]
    )
    columns = "\n".join(f"| `{one['name']}` | {one['type']} | {one['what']} |" for one in written["columns"])
    files = "\n".join(
        f"| `{one['file']}` | {one['split'] or ''} | {one['n_rows']:,} | {one['n_bytes']:,} | `{one['sha256'][:16]}` |"
        for one in manifest["files"]
    )
    built = f"Built by qwen-sft {manifest['qwen_sft']} with the writer `{writer.name}`: {writer.title}."
    trained = (
        "Trained is what the model would have had to produce at inference, and of that what the settings select: the "
        f"counts above are of these tokens. {writer.masks}"
    )
    return f"""---
license: {manifest["license"]}
configs:
- config_name: default
  description: rows {_fingerprint(manifest)}
  data_files:
{splits}
task_categories:
- text-generation
tags:
- qwen-sft
- tool-calling
- sft
---
# A training set for {model["family"]}

{fill(built, 120)}

| | |
|---|---:|
| records read | {records["read"]:,} |
| records written | {records["written"]:,} |
| records rejected | {records["rejected"]:,} |
| rows | {written["n_rows"]:,}{_by_split(written["n_rows_by_split"])} |
| training rows | {rows["n_rows"]:,} |
| tokens | {rows["n_tokens"]:,} |
| trained tokens | {rows["n_trained_tokens"]:,} ({share:.1%}) |
| samples verified | {verified["n_samples"]:,} (against {verified["against"]}) |

Model `{_cell(model["name"])}`, chat template sha256 `{model["template_sha256"][:16]}`, tokenizer sha256
`{model["tokenizer_sha256"][:16]}`, tool-call parser `{model["parser"]}`.

```{writer.language}
{writer.load.replace("FOLDER", FOLDER)}```

## Columns

| column | type | what |
|---|---|---|
{columns}

## What is trained

{fill(trained, 120)}{_masked(written)}

{_plots(rows)}{_curation(manifest["curation"])}## Sources

| file | records | sha256 |
|---|---:|---|
{inputs}

{_formats(manifest)}## Files

| file | split | rows | bytes | sha256 |
|---|---|---:|---:|---|
{files}

## Rejected records

{"| code | records |" + chr(10) + "|---|---:|" + chr(10) + rejected if rejected else "None."}

The records themselves are in `rejects.jsonl` with their findings; all counts are in `manifest.json`.
"""


def _formats(manifest: dict[str, Any]) -> str:
    """What became of the events of the records, by the format that read them."""
    events = manifest["events"]["by_format"]
    lines = "\n".join(
        f"| {name} | {manifest['records_by_format'][name]:,} | {' | '.join(f'{one[fate]:,}' for fate in _FATES)} |"
        for name, one in events.items()
    )
    head = "| format | records | events | kept | merged | dropped |\n|---|---:|---:|---:|---:|---:|"
    return f"{head}\n{lines}\n\n" if events else ""


_FATES = ("read", "kept", "merged", "dropped")


def _curation(curated: dict[str, Any]) -> str:
    """What people have to know of how samples came into the set."""
    remarks = "\n".join(f"- {one_line(remark)}" for remark in curated["remarks"])
    sources = "\n".join(
        f"| {_cell(name)} | {one['weight']:g} | "
        f"{one['n_samples']:,} | {one['n_samples_written']:,} | {one['n_tokens']:,} |"
        for name, one in curated["sources"].items()
    )
    mixed = (
        f"| source | weight | samples | in the set | tokens |\n|---|---:|---:|---:|---:|\n{sources}\n\n"
        if sources
        else ""
    )
    return f"## Curation\n\n{mixed}{remarks}{chr(10) * 2 if remarks else ''}" if mixed or remarks else ""


def _by_split(counts: dict[str, int]) -> str:
    """The rows of each split, where there are several."""
    if len(counts) < 2:
        return ""
    return f" ({', '.join(f'{split} {n:,}' for split, n in counts.items())})"


def _masked(written: dict[str, Any]) -> str:
    """How many turns the conversations show that are not to be trained, and what becomes of them."""
    n = written["n_turns_masked"]
    if not n:
        return ""
    fate = (
        "these flags keep them out" if written["trains"] == "turns" else "**a trainer of these files may train them**"
    )
    return f"\n\nThe conversations show {n:,} turns of the assistant that are not to be trained; {fate}."


def _cell(name: str) -> str:
    """A name that may hold anything, in one cell of a table."""
    return one_line(name).replace("|", "\\|").replace("`", "'")


_BAR = 40  # characters of the longest bar


def _plots(rows: dict[str, Any]) -> str:
    """How long the rows are, and what their tokens are, as bars of text: they show wherever Markdown does."""
    if not rows["n_rows"]:
        return ""
    lengths = {int(most): n for most, n in rows["n_rows_by_length"].items()}
    bins = [1 << power for power in range(min(lengths).bit_length() - 1, max(lengths).bit_length())]
    by_length = _bars([(f"{most // 2 + 1:,}-{most:,}", lengths.get(most, 0)) for most in bins])
    by_kind = _bars([(kind, n) for kind, n in rows["n_tokens_by_kind"].items() if n])
    return (
        f"## Lengths\n\nTraining rows by their number of tokens:\n\n```text\n{by_length}```\n\n"
        "Tokens by what they are; a model is trained on reasoning, content, call and stop:\n\n"
        f"```text\n{by_kind}```\n\n"
    )


def _bars(counts: Sequence[tuple[str, int]]) -> str:
    wide = max(len(name) for name, _ in counts)
    digits = max(len(f"{n:,}") for _, n in counts)
    most = max(n for _, n in counts)
    return "".join(
        f"{name:>{wide}}  {n:>{digits},}  {'█' * -(-n * _BAR // most)}".rstrip() + "\n" for name, n in counts
    )


def _fingerprint(manifest: dict[str, Any]) -> str:
    """What tells the rows of two builds apart. `datasets` keeps what it has loaded by a folder's last name and what
    its card says of it: without this, a set that was built anew, or elsewhere under that name, gives the old rows."""
    return hashlib.sha256("".join(one["sha256"] for one in manifest["files"]).encode()).hexdigest()[:16]
