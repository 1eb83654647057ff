"""What all tests share, and what those of the command line ask for."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from command import Ran
from hypothesis import HealthCheck, settings

import qwen_sft.tokenizing.tokenizer
from qwen_sft.cli import main
from qwen_sft.tokenizing.tokenizer import Tokenizer

# A busy machine is no fault of a test: hypothesis without its clocks, and in CI derandomized as it is by itself.
settings.register_profile(
    "without clocks", parent=settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("without clocks")


@pytest.fixture(scope="session", autouse=True)
def vocabularies_loaded_once() -> Iterator[Callable[..., Tokenizer]]:
    """A whole vocabulary takes a second or two to load, and some hundredths to hash: once for all tests.

    Gives what loads one anew.
    """
    load, hashing = qwen_sft.tokenizing.tokenizer._load, qwen_sft.tokenizing.tokenizer.load_tokenizer
    by_bytes: dict[tuple[str, str], Tokenizer] = {}
    by_file: dict[tuple[Any, ...], Tokenizer] = {}

    def loaded(path: Path, content: bytes, fingerprint: str, backend: Any) -> Tokenizer:
        if len(content) < 1_000_000:
            return load(path, content, fingerprint, backend)
        if (fingerprint, backend) not in by_bytes:
            by_bytes[fingerprint, backend] = load(path, content, fingerprint, backend)
        made = by_bytes[fingerprint, backend]
        return made if made.path == path else replace(made, path=path)

    def known(path: Path, backend: Any = "auto") -> Tokenizer:
        if not path.is_file():
            return hashing(path, backend)
        now = path.stat()
        key = (path.absolute(), now.st_mtime_ns, now.st_size, now.st_ino, backend)
        if key not in by_file:
            by_file[key] = hashing(path, backend)
        return by_file[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("qwen_sft.tokenizing.tokenizer._load", loaded)
        patch.setattr("qwen_sft.encoding.model.load_tokenizer", known)
        patch.setattr("qwen_sft.proving.served.load_tokenizer", known)
        yield load


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Callable[..., Ran]:
    """Runs a command line in this process, in an empty folder."""
    monkeypatch.chdir(tmp_path)

    def running(*arguments: str) -> Ran:
        monkeypatch.setattr("sys.argv", ["qwen-sft", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        assert isinstance(stop.value.code, int)
        return Ran(stop.value.code, *capfd.readouterr())

    return running
