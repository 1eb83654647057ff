"""What we offer to CI systems is what they take, and stops bad traces: run here as far as it can be.

What is not: the steps that install from a server, and GitHub's own actions (checkout, setup-python, upload-sarif).
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import junitparser
import pytest
import warm
import yaml

from qwen_sft.rule import rules

ROOT = Path(__file__).parents[1]
CI = ROOT / "examples" / "ci"
ACTION = ROOT / ".github" / "actions" / "qwen-sft" / "action.yml"
HOOKS = ROOT / ".pre-commit-hooks.yaml"
BIN = Path(sys.executable).parent
GOOD_AND_BAD = pytest.mark.parametrize(("traces", "code"), [("clean.jsonl", 0), ("broken.jsonl", 1)])

SCHEMAS = {
    ACTION: "vendor.github-actions",
    CI / "github-action.yml": "vendor.github-workflows",
    CI / "github-actions.yml": "vendor.github-workflows",
    CI / "gitlab-ci.yml": "vendor.gitlab-ci",
}
"""Files of CI systems, and the name that check-jsonschema has for the public schema of each."""


def loaded(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def run(command: list[str | Path], cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PATH": warm.path(), "COLUMNS": "100", "HF_HUB_OFFLINE": "1", **variables}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True)


def bash(script: str, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """As GitHub and GitLab run one."""
    return run(["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script], cwd, **variables)


@pytest.fixture
def checkout(tmp_path: Path, traces: str) -> Path:
    """A repository with traces: those of an example."""
    (tmp_path / "traces").mkdir()
    shutil.copy(ROOT / "examples" / traces, tmp_path / "traces" / "runs.jsonl")
    return tmp_path


def test_every_file_for_a_ci_system_is_known_here() -> None:
    assert {path.name for path in CI.iterdir() if path.name != "__pycache__"} == {
        "gate.py",
        "github-action.yml",
        "github-actions.yml",
        "gitlab-ci.yml",
        "pre-commit-config.yaml",
        "pre-commit-hook.yaml",
        "test_traces.py",
    }


# -- GitHub ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("file", SCHEMAS, ids=lambda path: path.name)
def test_files_of_ci_systems_keep_to_their_public_schemas(file: Path) -> None:
    checked = run([BIN / "check-jsonschema", "--builtin-schema", SCHEMAS[file], file], ROOT)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def steps(given: dict[str, str]) -> list[dict[str, Any]]:
    """The steps of our action for some inputs: those that run, with their environment."""
    action = loaded(ACTION)
    inputs = {name: str(one.get("default", "")) for name, one in action["inputs"].items()}
    assert given.keys() <= inputs.keys()
    assert {name for name, one in action["inputs"].items() if one.get("required")} <= given.keys()
    inputs.update(given)
    found: list[dict[str, Any]] = []
    for step in action["runs"]["steps"]:
        condition = re.fullmatch(r"inputs\.([\w-]+) == '(\w+)'", step.get("if", "inputs.install == 'true'"))
        assert condition is not None, step
        assert "${{" not in step["run"], "an input in a script could be a command"
        if "if" not in step or inputs[condition[1]] == condition[2]:
            variables = {
                name: re.sub(r"\$\{\{ inputs\.([\w-]+) \}\}", lambda name: inputs[name[1]], value)
                for name, value in step.get("env", {}).items()
            }
            found.append({**step, "env": variables})
    return found


def act(folder: Path, given: dict[str, str]) -> tuple[subprocess.CompletedProcess[str], str, str]:
    """Our action in a checkout: the last step as it ran, the action's outputs, and the page of the job."""
    (step,) = steps({"install": "false", **given})
    output, summary = folder / "output.txt", folder / "summary.md"
    for file in (output, summary):
        file.write_text("")
    done = bash(step["run"], folder, GITHUB_OUTPUT=str(output), GITHUB_STEP_SUMMARY=str(summary), **step["env"])
    return done, output.read_text(), summary.read_text()


@GOOD_AND_BAD
def test_action_annotates_findings_and_writes_sarif_and_the_page_of_the_job(checkout: Path, code: int) -> None:
    done, output, summary = act(checkout, {"paths": "traces", "sarif-file": "traces.sarif"})
    assert (done.returncode, output) == (code, f"exit-code={code}\n"), done.stderr
    results = json.loads((checkout / "traces.sarif").read_text())["runs"][0]["results"]
    annotated = re.findall(r"^::(?:error|warning|notice) ", done.stdout, flags=re.MULTILINE)
    assert len(annotated) == len(results) >= 50 * code
    assert summary.count("TOL003") >= code
    assert ("none rejected" in summary) == (code == 0)


@pytest.mark.parametrize("traces", ["thinking.jsonl"])
def test_action_takes_flags_a_word_a_line_and_more_than_one_path(checkout: Path) -> None:
    shutil.copy(ROOT / "examples" / "clean.jsonl", checkout / "more clean.jsonl")
    given = {
        "paths": "traces/*.jsonl\nmore clean.jsonl\n",
        "arguments": "--model\nqwen2_5\n--where\nnot absent and $(touch pwned) or 1\n",
    }
    done, output, summary = act(checkout, given)
    assert (done.returncode, output) == (2, "exit-code=2\n")
    assert "absent and $(touch pwned) or 1" in done.stderr
    assert not (checkout / "pwned").exists()
    done, _, summary = act(checkout, {**given, "arguments": "--model\nqwen2_5\n", "fail-on": "warning"})
    assert done.returncode == 1
    assert "TOK003" in done.stdout
    assert "2 files" in summary
    assert "summary" not in act(checkout, {**given, "summary": "false"})[2]


@pytest.mark.parametrize("traces", ["clean.jsonl"])
def test_action_fails_where_nothing_was_checked_or_it_cannot_run(checkout: Path) -> None:
    (checkout / "empty.jsonl").write_text("")
    assert act(checkout, {"paths": "empty.jsonl"})[:2][1] == "exit-code=3\n"
    assert act(checkout, {"paths": "absent.jsonl"})[1] == "exit-code=2\n"
    assert act(checkout, {"paths": ""})[1] == "exit-code=2\n"


def test_action_installs_the_checkout_that_it_is_part_of() -> None:
    install, _ = steps({"paths": "traces"})
    (word,) = (word for word in shlex.split(install["run"]) if "GITHUB_ACTION_PATH" in word)
    folder = Path(word.replace("$GITHUB_ACTION_PATH", str(ACTION.parent))).resolve()
    assert folder == ROOT
    assert (folder / "pyproject.toml").is_file()


def test_workflow_calls_our_action_with_inputs_that_it_has() -> None:
    steps_of = loaded(CI / "github-action.yml")["jobs"]["gate"]["steps"]
    (ours,) = (step for step in steps_of if "/qwen-sft/" in step.get("uses", ""))
    assert ours["uses"] == f"OWNER/qwen-sft/{ACTION.parent.relative_to(ROOT).as_posix()}@main"
    assert len(steps({**ours["with"]})) == 2
    (upload,) = (step for step in steps_of if "upload-sarif" in step.get("uses", ""))
    assert upload["with"]["sarif_file"] == ours["with"]["sarif-file"]
    assert f"hashFiles('{ours['with']['sarif-file']}')" in upload["if"]


@GOOD_AND_BAD
def test_workflow_with_our_action_stops_bad_traces(checkout: Path, code: int) -> None:
    (ours,) = (s for s in loaded(CI / "github-action.yml")["jobs"]["gate"]["steps"] if "/qwen-sft/" in s["uses"])
    assert act(checkout, ours["with"])[0].returncode == code
    assert (checkout / ours["with"]["sarif-file"]).is_file()


@GOOD_AND_BAD
def test_workflow_without_an_action_stops_bad_traces(checkout: Path, code: int) -> None:
    workflow = loaded(CI / "github-actions.yml")
    commands = [step["run"] for step in workflow["jobs"]["gate"]["steps"] if "run" in step]
    assert [command.split()[0] for command in commands] == ["pip", "qwen-sft"]
    assert bash(commands[1], checkout).returncode == code


# -- GitLab ------------------------------------------------------------------------------------------------------------


@GOOD_AND_BAD
def test_gitlab_job_stops_bad_traces_and_leaves_its_reports(checkout: Path, code: int) -> None:
    job = loaded(CI / "gitlab-ci.yml")["traces"]
    done = bash("\n".join(job["script"]), checkout)
    assert done.returncode == code, done.stderr
    reports = job["artifacts"]["reports"]
    findings = json.loads((checkout / reports["codequality"]).read_text())
    assert {finding["location"]["path"] for finding in findings} == ({"traces/runs.jsonl"} if code else set())
    cases = junitparser.JUnitXml.fromfile(str(checkout / reports["junit"]))
    assert (cases.failures > 0) == (code == 1)
    assert job["artifacts"]["when"] == "always"


# -- pre-commit --------------------------------------------------------------------------------------------------------


def pre_commit(cwd: Path, *arguments: str | Path, home: Path | None = None) -> subprocess.CompletedProcess[str]:
    if not (BIN / "pre-commit").exists():
        pytest.skip("pre-commit is in the extra `test`")
    return run([BIN / "pre-commit", *arguments], cwd, PRE_COMMIT_HOME=str(home or cwd / "cache"))


@pytest.fixture
def repository(checkout: Path) -> Path:
    for command in (["git", "init", "--quiet"], ["git", "add", "traces"]):
        assert run(command, checkout).returncode == 0
    return checkout


def test_manifest_and_configurations_are_valid(tmp_path: Path) -> None:
    manifest = pre_commit(tmp_path, "validate-manifest", HOOKS)
    assert (manifest.returncode, manifest.stdout + manifest.stderr) == (0, "")
    for name in ("pre-commit-config.yaml", "pre-commit-hook.yaml"):
        valid = pre_commit(tmp_path, "validate-config", CI / name)
        assert (valid.returncode, valid.stdout + valid.stderr) == (0, "")


@GOOD_AND_BAD
def test_local_hook_stops_bad_traces(repository: Path, code: int) -> None:
    done = pre_commit(repository, "run", "--all-files", "--config", CI / "pre-commit-config.yaml")
    assert done.returncode == code, done.stdout + done.stderr
    assert ("Failed" in done.stdout, "TOL003" in done.stdout) == (code == 1, code == 1)


@GOOD_AND_BAD
def test_hook_of_the_manifest_stops_bad_traces(repository: Path, code: int) -> None:
    """With the qwen-sft that is installed here: what pre-commit installs is tested below."""
    (named,) = loaded(CI / "pre-commit-hook.yaml")["repos"][0]["hooks"]
    (hook,) = (one for one in loaded(HOOKS) if one["id"] == named["id"])
    for files in ({}, named):
        config = {"repos": [{"repo": "local", "hooks": [{**hook, **files, "language": "system"}]}]}
        (repository / "config.yaml").write_text(yaml.safe_dump(config))
        done = pre_commit(repository, "run", "--all-files", "--config", "config.yaml")
        assert done.returncode == code, done.stdout + done.stderr
        assert "no files to check" not in done.stdout


def test_hook_takes_files_of_records_and_no_others() -> None:
    (hook,) = loaded(HOOKS)
    taken = ["a.jsonl", "b/c.ndjson", "a.jsonl.gz", "a.jsonl.zst", "a.json", "jsonl.py", "a.jsonl.md"]
    assert [name for name in taken if re.search(hook["files"], name)] == taken[:4]


@pytest.mark.slow
def test_pre_commit_installs_the_hook_from_a_repository_and_runs_it(tmp_path: Path) -> None:
    """As a user's pre-commit does: it clones this repository and installs it with its dependencies."""
    source, user = tmp_path / "qwen-sft", tmp_path / "user"
    for name in ("qwen_sft", "schemas"):
        shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE", ".pre-commit-hooks.yaml"):
        shutil.copy(ROOT / name, source)
    (user / "traces").mkdir(parents=True)
    shutil.copy(ROOT / "examples" / "broken.jsonl", user / "traces")
    identity = ["-c", "user.name=test", "-c", "user.email=test@example.com"]
    for folder in (source, user):
        assert run(["git", "init", "--quiet"], folder).returncode == 0
        assert run(["git", "add", "."], folder).returncode == 0
        assert run(["git", *identity, "commit", "--quiet", "-m", "all"], folder).returncode == 0
    done = pre_commit(user, "try-repo", source, "qwen-sft", "--all-files", home=tmp_path / "cache")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "traces/broken.jsonl:21: TOL003 " in done.stdout


# -- Python ------------------------------------------------------------------------------------------------------------


@GOOD_AND_BAD
def test_pytest_example_stops_bad_traces(checkout: Path, code: int) -> None:
    (checkout / "tests").mkdir()
    shutil.copy(CI / "test_traces.py", checkout / "tests")
    done = run([sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "tests"], checkout)
    assert done.returncode == code, done.stdout
    assert ("1 passed" in done.stdout, "TOL003 orphan-tool-result" in done.stdout) == (code == 0, code == 1)


@GOOD_AND_BAD
def test_training_script_stops_before_bad_traces(checkout: Path, code: int) -> None:
    done = run([sys.executable, CI / "gate.py", "traces", "qwen3"], checkout)
    if code == 0:
        assert (done.returncode, done.stdout) == (0, "5 records may be trained on, 0 findings below an error\n")
    else:
        assert (done.returncode, done.stdout) == (1, "")
        named = set(re.findall(r" error ([A-Z]{3}\d{3}) ", done.stderr))
        assert len(named) >= 15
        assert named <= rules().keys()
