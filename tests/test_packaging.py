"""The wheel holds all that runs, runs where the checkout is not, and installs into a fresh environment."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCES = ("qwen_sft", "schemas", "pyproject.toml", "README.md", "LICENSE")
SHELVES = ("families", "formats", "reporters", "rules", "writers")


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    return subprocess.run(command, cwd=cwd, env=clean, capture_output=True, text=True)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built by way of the source archive, from a copy: a build writes into the folder that it builds."""
    checkout, out = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("dist")
    for name in SOURCES:
        source, target = ROOT / name, checkout / name
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    made = run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, cwd=checkout)
    assert made.returncode == 0, made.stdout + made.stderr
    (found,) = out.glob("*.whl")
    return found


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_wheel_holds_every_module_schema_and_the_type_marker(wheel: Path) -> None:
    wanted = {path.relative_to(ROOT).as_posix() for path in (ROOT / "qwen_sft").rglob("*.py")}
    wanted |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "schemas").glob("*.json")}
    assert {"qwen_sft/cli/__init__.py", "schemas/sample.schema.json"} <= wanted
    assert {shelf for shelf in SHELVES if f"qwen_sft/{shelf}/__init__.py" in wanted} == set(SHELVES)
    held = names(wheel)
    assert sorted(wanted - held) == []
    assert "qwen_sft/py.typed" in held
    strangers = {name for name in held if not name.startswith(("qwen_sft/", "schemas/", "qwen_sft-"))}
    assert strangers == set()


def test_wheel_carries_licence_command_and_pytest_plugin(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (licence,) = (name for name in archive.namelist() if name.endswith("licenses/LICENSE"))
        assert archive.read(licence) == (ROOT / "LICENSE").read_bytes()
        (points,) = (name for name in archive.namelist() if name.endswith("entry_points.txt"))
        told = archive.read(points).decode().split("\n")
        command, plugin = "qwen-sft = qwen_sft.cli:main", "qwen-sft = qwen_sft.pytest_plugin"
        assert told == ["[console_scripts]", command, "", "[pytest11]", plugin, ""]


def works(python: Path, work: Path) -> None:
    """The command runs away from the checkout, and every shelf and schema is there."""
    command = python.with_name("qwen-sft")
    where = run(python, "-c", "import qwen_sft, schemas; print(qwen_sft.__file__)", cwd=work)
    assert where.stdout.startswith(str(python.parents[1])), where.stdout + where.stderr
    shutil.copy(ROOT / "examples" / "clean.jsonl", work)
    shutil.copy(ROOT / "examples" / "broken.jsonl", work)
    validated = run(command, "validate", "clean.jsonl", "--model", "qwen3", cwd=work)
    assert (validated.returncode, validated.stderr) == (0, "")
    assert run(command, "validate", "broken.jsonl", cwd=work).returncode == 1
    built = run(command, "build", "clean.jsonl", "--model", "qwen3", "--out", "dataset", cwd=work)
    assert (built.returncode, built.stdout) == (0, "dataset\n"), built.stderr
    listed = len(run(command, "rule", cwd=work).stdout.splitlines())
    assert listed == len([path for path in (ROOT / "qwen_sft" / "rules").glob("*.py") if path.stem != "__init__"])


def fresh(folder: Path) -> Path:
    venv.create(folder, with_pip=False, symlinks=True)
    return folder / "bin" / "python"


def test_wheel_runs_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """Its dependencies are lent by this environment, where qwen-sft is too: the wheel's own copy must come first."""
    python = fresh(tmp_path / "venv")
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps")
    installed = run(*pip, wheel, cwd=tmp_path)
    assert installed.returncode == 0, installed.stderr
    (packages,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    (packages / "lent.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (tmp_path / "work").mkdir()
    works(python, tmp_path / "work")


@pytest.mark.slow
def test_wheel_installs_with_its_dependencies_into_a_fresh_environment(wheel: Path, tmp_path: Path) -> None:
    python = fresh(tmp_path / "venv")
    installed = run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", wheel, cwd=tmp_path)
    assert installed.returncode == 0, installed.stderr
    (tmp_path / "work").mkdir()
    works(python, tmp_path / "work")
