"""datatrove runs builds side by side, each of its share of the files."""

import json
from pathlib import Path

import pytest
from killing import content

import qwen_sft
from qwen_sft.errors import RejectedError, UsageError

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.slow


def files(folder: Path) -> list[str]:
    """Three files: two that pass, one that does not."""
    named = {"a.jsonl": "clean", "b.jsonl": "thinking", "c.jsonl": "broken"}
    for name, example in named.items():
        (folder / name).write_bytes((ROOT / f"examples/{example}.jsonl").read_bytes())
    return [str(folder / name) for name in named]


def test_each_task_builds_its_share_and_one_that_ran_is_not_run_again(tmp_path: Path):
    pytest.importorskip("datatrove")
    from datatrove.executor import LocalPipelineExecutor

    from qwen_sft.library.datatrove import Build

    a, b, c = files(tmp_path)
    step = Build([str(tmp_path / "*.jsonl")], tmp_path / "sets", model="qwen3", fail_on="never")
    for _ in range(2):  # the second time nothing is left to do
        LocalPipelineExecutor([step], tasks=2, workers=1, logging_dir=str(tmp_path / "logs")).run()
    stats = json.loads((tmp_path / "logs/stats.json").read_text())[0]["stats"]
    expected: dict[str, int] = {"read": 0, "written": 0, "rejected": 0}
    for number, mine in enumerate(([a, c], [b])):
        alone = qwen_sft.build(mine, tmp_path / "alone" / str(number), model="qwen3", fail_on="never")
        assert content(tmp_path / "sets" / f"{number:05d}") == content(alone.out)
        for what, n in alone.manifest["records"].items():
            expected[what] += n
    assert sorted(one.name for one in (tmp_path / "sets").iterdir()) == ["00000", "00001"]
    assert {what: stats[f"records_{what}"]["total"] for what in expected} == expected
    assert expected["rejected"] > 20


def test_a_share_that_fails_is_told_and_what_looks_at_all_files_is_refused(tmp_path: Path):
    pytest.importorskip("datatrove")
    from qwen_sft.library.datatrove import Build

    _, b, c = files(tmp_path)
    step = Build([b, c], tmp_path / "sets", model="qwen3")
    assert list(step.run(["a document"], rank=0, world_size=3)) == ["a document"]
    before = content(tmp_path / "sets")
    assert list(step.run(rank=0, world_size=3)) == []  # killed before it was marked as done: it is built again
    assert content(tmp_path / "sets") == before
    with pytest.raises(RejectedError, match=r"what was found fails task 1; '.*/00001/rejects\.jsonl' says why"):
        list(step.run(rank=1, world_size=3))
    assert list(step.run(rank=2, world_size=3)) == []  # more tasks than files
    assert sorted(one.name for one in (tmp_path / "sets").iterdir()) == ["00000", "00001"]
    for settings in ({"dedup": "exact"}, {"sample": 10}, {"mix": "mix.toml"}):
        with pytest.raises(UsageError, match="dedup, mix and a number to sample look at all files"):
            list(Build([b, c], tmp_path / "other", model="qwen3", **settings).run(rank=0, world_size=2))
