"""The dataset card: what a built folder's README.md says to people and to `datasets.load_dataset`."""

from typing import Any

from qwen_sft.terminal import one_line


def card(manifest: dict[str, Any]) -> str:
    """The README.md of a build, from its manifest; the head tells `datasets` where the rows are."""
    rows, model, records, verified = (manifest[key] for key in ("rows", "model", "records", "verified"))
    share = rows["n_trained_tokens"] / rows["n_tokens"] if rows["n_tokens"] else 0.0
    rejected = "\n".join(f"| {code} | {n:,} |" for code, n in manifest["rejected_by_code"].items())
    inputs = "\n".join(
        f"| `{_cell(one['file'])}` | {one['n_records']:,} | `{one['sha256'][:16]}` |" for one in manifest["inputs"]
    )
    return f"""---
configs:
- config_name: default
  data_files:
  - split: train
    path: data/train-*.parquet
task_categories:
- text-generation
tags:
- qwen-sft
- tool-calling
- sft
---
# A training set for {model["family"]}

Built by qwen-sft {manifest["qwen_sft"]}. Every row holds `input_ids` (int32), `labels` (int64, -100 where a token is
not trained) and `kinds` (int8, what each token is); trained is what the model would have had to produce at inference.

| | |
|---|---:|
| records read | {records["read"]:,} |
| records written | {records["written"]:,} |
| records rejected | {records["rejected"]:,} |
| rows | {rows["n_rows"]:,} |
| tokens | {rows["n_tokens"]:,} |
| trained tokens | {rows["n_trained_tokens"]:,} ({share:.1%}) |
| samples verified | {verified["n_samples"]:,} (against {verified["against"]}) |

Model `{_cell(model["name"])}`, chat template sha256 `{model["template_sha256"][:16]}`, tokenizer sha256
`{model["tokenizer_sha256"][:16]}`, tool-call parser `{model["parser"]}`.

```python
from datasets import load_dataset

rows = load_dataset("PATH/TO/THIS/FOLDER", split="train")
```

## Sources

| file | records | sha256 |
|---|---:|---|
{inputs}

## Rejected records

{"| code | records |" + chr(10) + "|---|---:|" + chr(10) + rejected if rejected else "None."}

The records themselves are in `rejects.jsonl` with their findings; all counts are in `manifest.json`.
"""


def _cell(name: str) -> str:
    """A name that may hold anything, in one cell of a table."""
    return one_line(name).replace("|", "\\|").replace("`", "'")
